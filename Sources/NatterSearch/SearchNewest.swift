public import NatterModel

/// Sorts the hits of a search while they arrive, newest first, and decides when there are enough.
///
/// For each hit, look up its time and `offer` it. Then `take` and print the hits that no later hit can precede. At the
/// end call `finish`. Messages of the same time are sorted by conversation id, then by falling seq.
public struct SearchNewest {
    /// A message that was found, without its text, because many of these may wait.
    public struct Found: Sendable {
        public let conversation: ConversationID
        public let seq: Seq
        public let time: Timestamp

        public init(conversation: ConversationID, seq: Seq, time: Timestamp) {
            (self.conversation, self.seq, self.time) = (conversation, seq, time)
        }
    }

    /// How many more hits are wanted.
    private var wanted: Int
    /// Hits that are not taken yet, oldest first. There are never more than `wanted`.
    private var waiting: [Found] = []

    /// - Parameter limit: how many hits are wanted.
    public init(limit: Int) { wanted = max(0, limit) }

    /// True if a message of that time may be among the wanted ones.
    public func wants(_ time: Timestamp) -> Bool {
        guard waiting.count >= wanted else { return true }
        return waiting.first.map { $0.time <= time } ?? false
    }

    /// Adds one message, unless there are enough newer ones or it waits already.
    public mutating func offer(_ found: Found) {
        guard wants(found.time) else { return }
        let place = waiting.indices.partitionPoint { precedes(waiting[$0], found) }
        if place > 0, !precedes(found, waiting[place - 1]) { return }
        waiting.insert(found, at: place)
        if waiting.count > wanted { waiting.removeFirst() }
    }

    /// Adds the message of a hit and returns how to continue the search. Call it only for hits that the filter accepts.
    public mutating func offer(_ found: Found, hit: SearchHit) -> SearchStep {
        offer(found)
        if isComplete(before: hit.noNewerThan) { return .enough }
        return hit.timesFall && !wants(found.time) ? .nextRange : .next
    }

    /// True if there are enough hits, given that no remaining hit is newer than `bound`.
    public func isComplete(before bound: Timestamp) -> Bool {
        guard waiting.count >= wanted else { return false }
        return waiting.first.map { $0.time > bound } ?? true
    }

    /// Removes and returns the hits that are newer than all remaining ones, newest first.
    public mutating func drain(newerThan bound: Timestamp) -> [Found] {
        var taken: [Found] = []
        while let last = waiting.last, last.time > bound {
            taken.append(last)
            waiting.removeLast()
        }
        wanted -= min(wanted, taken.count)
        return taken
    }

    /// Removes and returns the rest, newest first.
    public mutating func finish() -> [Found] {
        defer { (wanted, waiting) = (0, []) }
        return waiting.reversed()
    }

    /// True if `one` comes before `other` in the order newest first.
    private func precedes(_ one: Found, _ other: Found) -> Bool {
        if one.time != other.time { return one.time > other.time }
        if one.conversation != other.conversation { return one.conversation < other.conversation }
        return one.seq > other.seq
    }
}
