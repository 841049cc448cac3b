internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
internal import NatterModel

/// Messages that stand in no log file yet: one row for each piece that a sync brought, a whole block with its checksums.
struct TailRow {
    let conversation: Int64
    let firstSeq: Seq
    let count: Int
    let lowTime: Timestamp
    let highTime: Timestamp
    let data: [UInt8]

    var lastSeq: Seq { firstSeq.advanced(by: count - 1) }

    init(_ block: Block, conversation: Int64) {
        self.conversation = conversation
        firstSeq = block.header.firstSeq
        count = block.header.count
        lowTime = block.header.lowestTime
        highTime = block.header.highestTime
        data = block.bytes
    }

    private static let columns = "conversation,first_seq,count,low_time,high_time,data"

    private init(_ row: borrowing Statement) {
        conversation = row.int64(0)
        firstSeq = Seq(row.uint64(1))
        count = max(1, min(row.int(2), BlockHeader.maximumCount))
        lowTime = Timestamp(milliseconds: row.int64(3))
        highTime = Timestamp(milliseconds: row.int64(4))
        data = row.blob(5)
    }

    static func containing(_ seq: Seq, of conversation: Int64, on connection: Connection) throws(SQLiteError)
        -> TailRow?
    {
        let statement = try connection.statement(
            "SELECT \(columns) FROM tail WHERE conversation=? AND first_seq<=? ORDER BY first_seq DESC LIMIT 1")
        try statement.bind(conversation, seq.rawValue)
        guard try statement.step() else { return nil }
        let row = TailRow(statement)
        return row.lastSeq >= seq ? row : nil
    }

    /// The first row that begins at `seq` or later.
    static func first(from seq: Seq, of conversation: Int64, on connection: Connection) throws(SQLiteError) -> TailRow?
    {
        let statement = try connection.statement(
            "SELECT \(columns) FROM tail WHERE conversation=? AND first_seq>=? ORDER BY first_seq LIMIT 1")
        try statement.bind(conversation, seq.rawValue)
        return try statement.step() ? TailRow(statement) : nil
    }

    static func all(of conversation: Int64, on connection: Connection) throws(SQLiteError) -> [TailRow] {
        let statement = try connection.statement("SELECT \(columns) FROM tail WHERE conversation=? ORDER BY first_seq")
        try statement.bind(conversation)
        var rows: [TailRow] = []
        while try statement.step() { rows.append(TailRow(statement)) }
        return rows
    }

    func insert(on connection: Connection) throws(SQLiteError) {
        let statement = try connection.statement("INSERT OR REPLACE INTO tail VALUES (?,?,?,?,?,?)")
        try statement.run(
            conversation, firstSeq.rawValue, count, lowTime.milliseconds, highTime.milliseconds, data)
    }

    /// The block in the row, checked; it needs no dictionary.
    ///
    /// - Throws: `ArchiveError.damaged`.
    func block(conversation id: ConversationID) throws(ArchiveError) -> Block {
        do throws(FormatViolation) {
            let header = try data.withUnsafeBytesTyped { bytes throws(FormatViolation) in
                try BlockHeader(decoding: bytes)
            }
            guard header.firstSeq == firstSeq, header.count == count, header.conversationPrefix == id.high,
                header.dictionary == .none
            else { throw FormatViolation("a block is not the one that its row names") }
            let block = Block(header: header, stored: Array(data[BlockHeader.byteCount...]))
            try block.checkStored()
            return block
        } catch {
            throw .damaged(from: firstSeq, to: lastSeq, detail: error.reason)
        }
    }

    func open(conversation id: ConversationID) throws(ArchiveError) -> OpenBlock {
        let block = try block(conversation: id)
        do throws(FormatViolation) {
            return OpenBlock(records: try block.open(with: .none), hashBefore: block.header.hashBefore)
        } catch {
            throw .damaged(from: firstSeq, to: lastSeq, detail: error.reason)
        }
    }
}
