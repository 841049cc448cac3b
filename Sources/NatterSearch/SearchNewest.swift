public import NatterModel

/// Sorts the hits of a search of all conversations while they arrive, newest first, and decides when there are enough.
///
/// For each hit, look up its time and `offer` it. Then `take` and print the hits that no later hit can precede. At the
/// end call `finish`. Messages of the same time are sorted by conversation id, then by falling seq.
public struct SearchNewest<Element> {
    private struct Entry {
        let time: Timestamp
        let conversation: ConversationID
        let seq: Seq
        let element: Element
    }

    /// How many more hits are wanted.
    private var wanted: Int
    /// Hits that are not taken yet, oldest first. There are never more than `wanted`.
    private var waiting: [Entry] = []

    /// - Parameter limit: how many hits are wanted.
    public init(limit: Int = .max) { wanted = max(0, limit) }

    /// True if a message of that time may be among the wanted ones.
    public func wants(_ time: Timestamp) -> Bool {
        guard waiting.count >= wanted else { return true }
        return waiting.first.map { $0.time <= time } ?? false
    }

    /// Adds one message, unless there are enough newer ones.
    public mutating func offer(_ element: Element, conversation: ConversationID, seq: Seq, time: Timestamp) {
        guard wants(time) else { return }
        let entry = Entry(time: time, conversation: conversation, seq: seq, element: element)
        waiting.insert(entry, at: waiting.indices.partitionPoint { precedes(waiting[$0], entry) })
        if waiting.count > wanted { waiting.removeFirst() }
    }

    /// Adds a hit and returns how to continue the search. Call it only for hits that the filter accepts.
    ///
    /// - Parameter time: the message's own time.
    public mutating func offer(_ element: Element, hit: SearchHit, time: Timestamp) -> SearchStep {
        offer(element, conversation: hit.conversation, seq: hit.seq, time: time)
        if isComplete(before: hit.noNewerThan) { return .enough }
        return hit.timesFall && !wants(time) ? .nextRange : .next
    }

    /// True if there are enough hits, given that no remaining hit is newer than `bound`.
    public func isComplete(before bound: Timestamp) -> Bool {
        guard waiting.count >= wanted else { return false }
        return waiting.first.map { $0.time > bound } ?? true
    }

    /// Removes and returns the hits that are newer than all remaining ones, newest first.
    public mutating func take(newerThan bound: Timestamp) -> [Element] {
        var taken: [Element] = []
        while let last = waiting.last, last.time > bound {
            taken.append(last.element)
            waiting.removeLast()
        }
        wanted -= min(wanted, taken.count)
        return taken
    }

    /// Removes and returns the rest, newest first.
    public mutating func finish() -> [Element] {
        defer { (wanted, waiting) = (0, []) }
        return waiting.reversed().map(\.element)
    }

    /// True if `one` comes before `other` in the order newest first.
    private func precedes(_ one: Entry, _ other: Entry) -> Bool {
        if one.time != other.time { return one.time > other.time }
        if one.conversation != other.conversation { return one.conversation < other.conversation }
        return one.seq > other.seq
    }
}
