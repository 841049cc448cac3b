internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel
internal import NatterSQLite

extension ReplicaWriter {
    /// Inserts messages at the beginning of a gap, after checking them against the hash chain before and behind it.
    ///
    /// - Returns: how many were inserted; 0 if the gap no longer exists or they do not belong to this history.
    func fill(
        _ gap: ClosedRange<Seq>, of known: ReplicaConversation, with blocks: [Block]
    ) throws(ReplicaError) -> Int {
        guard let first = blocks.first, first.header.firstSeq == gap.lowerBound,
            first.header.conversationPrefix == known.id.high
        else { return 0 }
        return try ReplicaSession.run(at: location, disk: disk, clock: clock, timeoutMilliseconds: lockMilliseconds) {
            session in
            guard let stored = try session.replica.conversation(known.id),
                try session.replica.gaps(of: stored).contains(gap),
                // Nothing here knows the chain before the first message of a replica that begins late.
                let before = try session.replica.hash(at: gap.lowerBound.previous, of: stored)
                    ?? (gap.lowerBound == stored.first ? first.header.hashBefore : nil),
                let records = ReplicaWriter.records(blocks, in: gap, hashBefore: before)
            else { return 0 }
            return try session.fill(gap, of: stored, with: records, hashBefore: before) ? records.count : 0
        }
    }

    /// - Returns: nil if the blocks are not consecutive or belong to another history.
    private static func records(_ blocks: [Block], in gap: ClosedRange<Seq>, hashBefore: Digest) -> Records? {
        var records = Records(firstSeq: gap.lowerBound)
        var hash = hashBefore
        for block in blocks {
            guard block.header.firstSeq == records.lastSeq.next, block.header.lastSeq <= gap.upperBound,
                block.header.hashBefore == hash, let more = try? block.verify(with: .none)
            else { return nil }
            records.append(contentsOf: more)
            hash = block.header.hashAfter
        }
        return records.isEmpty ? nil : records
    }
}

extension ReplicaSession {
    /// - Returns: false if the hash chain of the messages does not lead to the messages behind the gap.
    fileprivate func fill(
        _ gap: ClosedRange<Seq>, of stored: ReplicaConversation, with records: Records, hashBefore: Digest
    ) throws -> Bool {
        guard let conversation = try conversation(stored.id) else { return false }
        let rest = records.lastSeq < gap.upperBound ? records.lastSeq.next...gap.upperBound : nil
        let after = HashChain.advance(hashBefore, over: records)
        if rest == nil, gap.upperBound < stored.head {
            let following = try replica.reader(of: stored).block(containing: gap.upperBound.next)
            guard following?.hashBefore ?? after == after else { return false }
        }
        var written = try logs.seal(
            [OpenBlock(records: records, hashBefore: hashBefore)], of: conversation.identity(for: location.user),
            last: nil, effort: .brisk, earlierText: { [] })
        // No other block may be appended behind these.
        written.segment.isClosed = true
        conversation.written.append(written)
        if rest == nil, gap.upperBound == conversation.head { conversation.headHash = after }
        if rest == nil, gap.upperBound == conversation.sealedSeq { conversation.sealedHash = after }
        // The search index lacks the messages of the gap and cannot insert them between others.
        try ReplicaIndexing.discard(at: location, disk: disk)
        try commit {
            try RelationRows.insert(all: records, of: conversation.number, on: connection)
            try connection.run(
                "DELETE FROM gap WHERE conversation=? AND from_seq=?", conversation.number, gap.lowerBound.rawValue)
            if let rest {
                try connection.run(
                    "INSERT INTO gap VALUES (?,?,?)", conversation.number, rest.lowerBound.rawValue,
                    rest.upperBound.rawValue)
            }
            try ConversationChange.countGaps(of: conversation.number, on: connection)
        }
        return true
    }
}
