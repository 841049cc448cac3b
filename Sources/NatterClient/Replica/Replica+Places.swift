internal import NatterArchive
internal import NatterSQLite
internal import NatterLog
internal import NatterModel

/// Where messages of a conversation lie: in a block of a log file, in a row of the tail, or nowhere.
enum ReplicaPlace {
    case block(BlockRow)
    case tail(TailRow)
    /// Nothing holds the messages up to this one.
    case missing(through: Seq)
}

extension Replica {
    /// Where a message lies, `seq` being 1 to the head.
    ///
    /// A writer may move messages from the tail into a log file at any moment, so what is not found in the first place and
    /// not in the second is looked for once more in the first.
    func place(of seq: Seq, in conversation: ReplicaConversation) throws -> ReplicaPlace {
        let number = conversation.number
        let isSealed = seq <= conversation.sealedSeq
        if !isSealed, let row = try TailRow.containing(seq, of: number, on: connection) { return .tail(row) }
        if let row = try ArchiveRows.block(containing: seq, of: number, on: connection) { return .block(row) }
        if isSealed, let row = try TailRow.containing(seq, of: number, on: connection) { return .tail(row) }
        let block = try ArchiveRows.blocks(
            seq...max(seq, conversation.head), of: number, limit: 1, on: connection
        ).first
        let tail = try TailRow.first(from: seq, of: number, on: connection)
        let next = min(block?.firstSeq ?? Seq(.max), tail?.firstSeq ?? Seq(.max))
        return .missing(through: max(seq, min(next.previous, conversation.head)))
    }

    /// Unpacks what lies at a place.
    ///
    /// - Throws: `ArchiveError.damaged` with the range that can't be read.
    func open(_ row: BlockRow, of conversation: ReplicaConversation) throws -> OpenBlock {
        try archive.open(row, of: conversation.identity(for: location.user))
    }

    /// The messages that lie together with `seq`; nil where it is missing.
    func block(containing seq: Seq, of conversation: ReplicaConversation) throws -> OpenBlock? {
        switch try place(of: seq, in: conversation) {
        case .block(let row): try open(row, of: conversation)
        case .tail(let row): try row.open(conversation: conversation.id)
        case .missing: nil
        }
    }
}
