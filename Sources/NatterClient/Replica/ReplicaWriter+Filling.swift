internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLog
internal import NatterModel
internal import NatterSystem

extension ReplicaWriter {
    /// Puts messages into the beginning of a hole, checked against the chain of what lies before and behind.
    ///
    /// - Returns: how many fitted; 0 if the hole is no longer there, or they do not belong to this history.
    func fill(
        _ gap: ClosedRange<Seq>, of known: ReplicaConversation, with messages: [Message]
    ) throws(ReplicaError) -> Int {
        guard let first = messages.first, first.seq == gap.lowerBound else { return 0 }
        return try ReplicaSession.run(
            at: location, disk: disk, clock: clock, timeoutMilliseconds: lockMilliseconds
        ) { session in
            guard let stored = try session.replica.conversation(known.id),
                try session.replica.gaps(of: stored).contains(gap),
                let conversation = try session.conversation(known.id),
                let before = try session.replica.hash(at: gap.lowerBound.previous, of: stored),
                let records = GapFilling.records(messages, in: gap, of: known.id, hashBefore: before)
            else { return 0 }
            let filling = GapFilling(
                session: session, stored: stored, conversation: conversation, gap: gap, records: records,
                hashBefore: before)
            return try filling.run() ? records.count : 0
        }
    }
}

/// Messages on their way into a hole.
private struct GapFilling {
    let session: ReplicaSession
    let stored: ReplicaConversation
    let conversation: WritableConversation
    let gap: ClosedRange<Seq>
    let records: Records
    let hashBefore: Digest

    /// - Returns: nil where they don't follow each other, or their cursors are of another history.
    static func records(
        _ messages: [Message], in gap: ClosedRange<Seq>, of id: ConversationID, hashBefore: Digest
    ) -> Records? {
        var records = Records(firstSeq: gap.lowerBound)
        var hash = hashBefore
        for message in messages {
            guard message.seq == records.lastSeq.next || records.isEmpty, message.seq <= gap.upperBound else {
                return nil
            }
            records.append(
                time: message.time, sender: Array(message.sender.utf8), text: Array(message.text.utf8),
                kind: message.kind, isImported: message.isImported, about: message.about, commit: .zero)
            let index = records.count - 1
            hash = HashChain.advance(hash, over: records, index..<index + 1)
            guard message.cursor.isOf(id), message.cursor.hashPrefix == hash.prefix else { return nil }
        }
        return records.isEmpty ? nil : records
    }

    func run() throws -> Bool {
        let rest = records.lastSeq < gap.upperBound ? records.lastSeq.next...gap.upperBound : nil
        let after = HashChain.advance(hashBefore, over: records)
        if rest == nil, gap.upperBound < stored.head {
            let following = try session.replica.reader(of: stored).block(containing: gap.upperBound.next)
            guard following?.hashBefore ?? after == after else { return false }
        }
        let blocks = try session.logs.seal(
            records, of: conversation.identity(for: session.location.user), last: nil, hashBefore: hashBefore,
            effort: .brisk, earlierText: { [] })
        var written = blocks
        // Nothing follows these in their file.
        written.segment.isClosed = true
        conversation.written.append(written)
        if rest == nil, gap.upperBound == conversation.head { conversation.headHash = after }
        if rest == nil, gap.upperBound == conversation.sealedSeq { conversation.sealedHash = after }
        // The index has nothing for the messages of the hole, and can't take them in between.
        try ReplicaIndexing.discard(at: session.location, disk: session.disk)
        let connection = session.connection
        try session.commit {
            let delete = try connection.statement("DELETE FROM gap WHERE conversation=? AND from_seq=?")
            try delete.run(conversation.number, gap.lowerBound.rawValue)
            if let rest {
                let insert = try connection.statement("INSERT INTO gap VALUES (?,?,?)")
                try insert.run(conversation.number, rest.lowerBound.rawValue, rest.upperBound.rawValue)
            }
            try WritableConversation.countGaps(of: conversation.number, on: connection)
        }
        return true
    }
}
