internal import NatterConversation
internal import NatterLog
public import NatterModel

extension Replica {
    /// Notes read marks that the server has accepted, as the next sync would. If another process holds the lock, that sync does
    /// it.
    ///
    /// - Throws: `ReplicaError`; `locked` at once.
    public static func note(
        read marks: [ConversationID: Seq], at location: ReplicaLocation
    ) throws(ReplicaError) {
        guard !marks.isEmpty else { return }
        try ReplicaSession.run(at: location, timeoutMilliseconds: 0) { session in
            for (id, seq) in marks {
                guard let conversation = try session.conversation(id), seq > conversation.read else { continue }
                try session.mark(conversation, read: seq, unread: nil)
            }
            try session.commit {}
        }
    }
}

extension ReplicaSession {
    /// Sets how far a conversation has been read.
    ///
    /// - Parameter unread: the server's count; nil to count what is in the replica.
    func mark(_ conversation: ConversationChange, read seq: Seq, unread: UInt64?) throws {
        conversation.read = seq
        conversation.unread = unread ?? 0
        if unread != nil { return }
        guard seq < conversation.head, let stored = try replica.conversation(conversation.id) else { return }
        var filter = MessageFilter(after: seq)
        filter.unreadFor = location.user
        filter.excludedErased = try replica.ownErased(of: [stored])
        filter.isFolded = true
        let deleted = Set(try RelationRows.deleted(after: seq, in: conversation.number, on: connection))
        try replica.forward(stored, filter) { piece in
            guard case .messages(let run) = piece else { return true }
            conversation.unread += UInt64(
                run.positions.count { position in
                    run.records.kind(at: position) == .text
                        && !deleted.contains(run.records.firstSeq.advanced(by: position))
                })
            return true
        }
    }
}
