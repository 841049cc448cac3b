internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterSQLite

extension ReplicaWriter {
    /// Drops the messages that the server does not keep any more, whole blocks at a time. The tail is divided exactly.
    func dropWhatServerDropped() throws(ReplicaError) {
        guard let replica = try replica() else { return }
        for known in try replica.conversations(includingGone: true) where known.first < known.serverFirst {
            guard try replica.keepsDropped(known) else { continue }
            try ReplicaSession.run(at: location, disk: disk, clock: clock, timeoutMilliseconds: lockMilliseconds) {
                try $0.dropWhatServerDropped(known.id)
            }
        }
    }
}

extension Replica {
    /// Whether a whole block, a gap or a message of the tail is below what the server keeps.
    fileprivate func keepsDropped(_ conversation: ReplicaConversation) throws(ReplicaError) -> Bool {
        if conversation.head > conversation.sealedSeq, conversation.sealedSeq.next < conversation.serverFirst {
            return true
        }
        return try ReplicaError.translate {
            let first = try reader(of: conversation).extents().first
            return first.map { $0.seqs.upperBound < conversation.serverFirst } ?? false
        }
    }
}

extension ReplicaSession {
    fileprivate func dropWhatServerDropped(_ id: ConversationID) throws {
        guard let conversation = try conversation(id), conversation.head > .zero else { return }
        do { try prepare(conversation) } catch is TailDamage { return }
        if conversation.hasTail, conversation.sealedSeq.next < conversation.serverFirst {
            do {
                try sealTail(conversation, splittingBefore: conversation.serverFirst)
            } catch is TailDamage { return }
            try commit {}
        }
        let cut = try cut(of: conversation)
        guard cut > conversation.first else { return }
        conversation.first = cut
        let rewriter = SegmentRewriter(conversation.identity(for: location.user), replica.archive, logs)
        let plan = try rewriter.plan(droppingBelow: cut, hashAtEnd: conversation.sealedHash ?? .zero)
        try rewrite(conversation, plan, rewriter) {
            for sql: StaticString in [
                "DELETE FROM gap WHERE conversation=? AND to_seq<?",
                "DELETE FROM relation WHERE conversation=? AND seq<?",
                "DELETE FROM own_erased WHERE conversation=? AND seq<?",
            ] {
                try connection.run(sql, conversation.number, cut.rawValue)
            }
            try FileRows.retire(.zero...cut.previous, of: conversation.number, on: connection)
            try ConversationChange.countGaps(of: conversation.number, on: connection)
        }
    }

    /// The first seq of the first block that has a message which the server keeps.
    private func cut(of conversation: ConversationChange) throws -> Seq {
        if let block = try ArchiveRows.block(
            containing: conversation.serverFirst, of: conversation.number, on: connection)
        {
            return block.firstSeq
        }
        let last = max(conversation.sealedSeq, conversation.serverFirst)
        let next = try ArchiveRows.blocks(
            conversation.serverFirst...last, of: conversation.number, limit: 1, on: connection
        ).first
        return next?.firstSeq ?? conversation.sealedSeq.next
    }
}
