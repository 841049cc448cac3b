internal import NatterLog
public import NatterModel

extension Replica {
    /// Bytes of unpacked messages that a merge keeps, about.
    private static let mergeBytes = 32 << 20

    /// Visits the messages of several conversations by time, each conversation's own in the order of their seqs. An imported
    /// time that goes back counts as the highest one before it.
    ///
    /// Keeps some 32 MiB of messages at most, and for each block of these conversations 40 bytes.
    ///
    /// - Parameters:
    ///   - filter: its `after` and `before` are left out of account: seqs are each conversation's own.
    ///   - after: exclusive, by conversation; those that are not named begin at their first message.
    ///   - isNewestFirst: exactly the reverse order.
    ///   - visit: false ends the walk. Runs are as long as one conversation has the floor.
    public func merged(
        _ conversations: [ReplicaConversation], _ filter: MessageFilter, after: [ConversationID: Seq] = [:],
        isNewestFirst: Bool = false, limit: Int = .max, visit: (ReplicaPiece) throws -> Bool
    ) throws {
        let order = MergeOrder(isNewestFirst: isNewestFirst)
        var heap = Heap<MergeStream> { order.precedes($0, $1) }
        for conversation in conversations where conversation.head >= conversation.first {
            var own = filter
            (own.after, own.before) = (after[conversation.id] ?? .zero, nil)
            guard own.after < conversation.head else { continue }
            heap.insert(MergeStream(conversation, own, isNewestFirst: isNewestFirst))
        }
        var memory = MergeMemory(limit: Replica.mergeBytes)
        var left = limit
        while left > 0, let stream = heap.popFirst() {
            if stream.isExact, stream.loadedBytes > 0 {
                let rival = heap.first
                let run = stream.take(limit: left) { key in
                    rival.map { order.precedes(key, stream, $0) } ?? true
                }
                if let run {
                    left -= run.positions.count
                    if try !visit(.messages(run)) { return }
                }
                if !stream.isFinished { heap.insert(stream) }
                continue
            }
            switch try stream.advance(in: self) {
            case .ready, .moved:
                memory.note(stream)
                heap.insert(stream)
            case .missing(let range, let reason):
                if try !visit(.missing(stream.conversation, range, reason)) { return }
                if !stream.isFinished { heap.insert(stream) }
            case .finished: break
            }
        }
    }

    /// After which seq of each conversation the newest `count` messages of all of them begin: what `merged` takes as `after`.
    /// So the newest can be visited oldest first without keeping them.
    public func starts(
        ofNewest count: Int, _ conversations: [ReplicaConversation], _ filter: MessageFilter,
        after: [ConversationID: Seq] = [:]
    ) throws(ReplicaError) -> [ConversationID: Seq] {
        var starts: [ConversationID: Seq] = [:]
        for conversation in conversations { starts[conversation.id] = conversation.head }
        do {
            try merged(conversations, filter, after: after, isNewestFirst: true, limit: count) { piece in
                if case .messages(let run) = piece, let last = run.positions.last {
                    starts[run.conversation.id] = run.records.firstSeq.advanced(by: last).previous
                }
                return true
            }
        } catch {
            throw ReplicaError(error)
        }
        return starts
    }
}

/// By time, then by the conversations' ids.
private struct MergeOrder {
    let isNewestFirst: Bool

    func precedes(_ one: MergeStream, _ other: MergeStream) -> Bool {
        // A bound has to be looked into before a message of the same time can be given.
        if one.key == other.key, one.isExact != other.isExact { return !one.isExact }
        return precedes(one.key, one.conversation.id, other.key, other.conversation.id)
    }

    /// Whether a message of `stream` with this key comes before all of `rival`.
    func precedes(_ key: Timestamp, _ stream: MergeStream, _ rival: MergeStream) -> Bool {
        if key == rival.key, !rival.isExact { return false }
        return precedes(key, stream.conversation.id, rival.key, rival.conversation.id)
    }

    private func precedes(
        _ key: Timestamp, _ id: ConversationID, _ otherKey: Timestamp, _ otherID: ConversationID
    ) -> Bool {
        isNewestFirst ? (key, id) > (otherKey, otherID) : (key, id) < (otherKey, otherID)
    }
}

/// Sees to it that the streams of a merge do not keep too much.
private struct MergeMemory {
    let limit: Int
    private var streams: [ObjectIdentifier: MergeStream] = [:]
    private var clock = 0

    init(limit: Int) { self.limit = limit }

    mutating func note(_ stream: MergeStream) {
        guard stream.loadedBytes > 0 else { return }
        clock += 1
        stream.lastUse = clock
        streams[ObjectIdentifier(stream)] = stream
        guard clock % 16 == 0, streams.values.reduce(0, { $0 + $1.loadedBytes }) > limit else { return }
        // Half of them at once, so that this is not done for each.
        for old in streams.values.sorted(by: { $0.lastUse < $1.lastUse }).prefix(streams.count / 2) { old.unload() }
        streams = streams.filter { $0.value.loadedBytes > 0 }
    }
}
