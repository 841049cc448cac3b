internal import NatterConversation
internal import NatterLog
internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

extension ReplicaSession {
    /// Erases messages that the server has erased since the replica got them.
    ///
    /// The tail is sealed first, so that all of them are in log files. Each step may be the last before a crash: the cursor has
    /// not moved yet, so the next sync brings the same block again, and what is erased already stays so.
    ///
    /// - Parameter records: of a block that the server has written again.
    /// - Returns: false if the replica has other messages under these numbers.
    func erase(_ records: Records, of conversation: ConversationChange) throws -> Bool {
        guard let stored = try replica.conversation(conversation.id) else { return true }
        let reader = replica.reader(of: stored)
        var seqs: Set<Seq> = []
        for index in 0..<records.count where records.isErased(at: index) {
            let seq = records.firstSeq.advanced(by: index)
            guard let own = try readable(seq, of: stored, reader), let record = own[seq],
                !record.isErased || records[index].differs(from: record)
            else { continue }
            guard own.digest(of: seq) == records.digest(of: seq) else { return false }
            seqs.insert(seq)
        }
        try erase(seqs, of: conversation)
        return true
    }

    /// Erases messages that the server has erased and does not keep any more, and their edits and files, which it may not know
    /// any more.
    func erase(_ seqs: [Seq], of conversation: ConversationChange) throws {
        guard let stored = try replica.conversation(conversation.id) else { return }
        let parts = try seqs.flatMap { seq in
            try [MessageKind.edit, .file].flatMap {
                try RelationRows.seqs(of: $0, about: seq, in: conversation.number, limit: .max, on: connection)
            }
        }
        let reader = replica.reader(of: stored)
        let own = try (seqs + parts).filter { try readable($0, of: stored, reader)?[$0]?.isErased == false }
        try erase(Set(own), of: conversation)
    }

    /// The messages stored together with one that the replica has. A damaged message stays as it is, and 'verify' reports it.
    ///
    /// - Throws: if it can't be read now. The cursor must not move over it, because nothing would erase it later.
    private func readable(_ seq: Seq, of stored: ReplicaConversation, _ reader: LogReader) throws -> Records? {
        guard seq >= stored.first, seq <= stored.head else { return nil }
        do throws(ArchiveError) { return try reader.block(containing: seq)?.records } catch .damaged { return nil }
    }

    private func erase(_ seqs: Set<Seq>, of conversation: ConversationChange) throws {
        guard !seqs.isEmpty else { return }
        // A crash may have left blocks in the last file that are not recorded yet.
        try prepare(conversation)
        try sealTail(conversation)
        let own = try ownTexts(among: seqs, of: conversation)
        try commit {
            let row = try connection.statement("INSERT OR IGNORE INTO own_erased VALUES (?,?)")
            for seq in own { try row.run(conversation.number, seq.rawValue) }
        }
        let rewriter = SegmentRewriter(conversation.identity(for: location.user), replica.archive, logs)
        // The rows of tails that were sealed may have left copies.
        try rewrite(conversation, try rewriter.plan(erasing: seqs), rewriter) {
            try connection.rewrite("tail")
            for seq in seqs { try FileRows.retire(seq...seq, of: conversation.number, on: connection) }
        }
    }

    /// The texts that are not unread for the user, who typed them.
    private func ownTexts(among seqs: Set<Seq>, of conversation: ConversationChange) throws -> [Seq] {
        guard let stored = try replica.conversation(conversation.id) else { return [] }
        let reader = replica.reader(of: stored)
        let user = Array(location.user.utf8)
        return try seqs.filter { seq in
            guard let record = try readable(seq, of: stored, reader)?[seq] else { return false }
            return record.kind == .text && record.via == nil && !record.isImported && record.sender == user
        }
    }

    /// Removes what a killed process may have left of a conversation, once in each session, before a message of it is erased:
    /// what recovery has set aside, log files that the index does not name, and the write-ahead log. Any of them may hold texts
    /// that the replica has never recorded, and learns only now as erased. So may a history that the server has lost, unless it
    /// is still to be compared.
    func wipeRemains(of conversation: ConversationChange) throws {
        guard !conversation.isWiped else { return }
        conversation.isWiped = true
        let id = conversation.id
        _ = try Quarantine(root: location.directory, disk: disk).wipe(id)
        for aside in try DivergedHistory.all(at: location, disk: disk) where aside.conversation == id && aside.isListed
        {
            try aside.wipe()
        }
        try ReplicaRebuild.wipe(at: location, disk)
        try dropUnread(conversation)
        let segments =
            try ArchiveRows.segments(of: conversation.number, on: connection) + conversation.written.map(\.segment)
        let named = Set(segments.map { $0.name(of: id) })
        let logs = Segment.directory(of: id)
        if try disk.information(location.directory + "/" + logs) != nil {
            for name in try disk.list(location.directory + "/" + logs) where !named.contains(logs + "/" + name) {
                try RetiredFiles(directory: location.directory, disk: disk).wipe(logs + "/" + name)
            }
        }
        try connection.checkpoint(.truncating)
    }

    /// Forgets log files of which no block is read any more, because all were damaged and their messages are fetched again. A
    /// file without blocks that is whole says where the log begins.
    private func dropUnread(_ conversation: ConversationChange) throws {
        let unread = try ArchiveRows.segments(of: conversation.number, on: connection).filter { row in
            guard try ArchiveRows.blocks(of: row, on: connection).isEmpty else { return false }
            let path = location.directory + "/" + row.name(of: conversation.id)
            return (try? Segment.open(at: path, on: disk))?.bodyOffset != row.size
        }
        guard !unread.isEmpty else { return }
        try commit { for row in unread { try ArchiveRows.delete(row, on: connection) } }
        conversation.lastSegment = try ArchiveRows.lastSegment(of: conversation.number, on: connection)
    }
}

extension Record {
    /// Whether another copy of an erased event has a name that this one does not have any more.
    fileprivate func differs(from copy: Record) -> Bool {
        !(copy.text.isEmpty && copy.sender.isEmpty) && (text, sender) != (copy.text, copy.sender)
    }
}

extension Records {
    /// Whether any message is erased.
    var hasErased: Bool { (0..<count).contains { isErased(at: $0) } }
}
