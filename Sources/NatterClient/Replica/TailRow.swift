internal import NatterConversation
internal import NatterLog
internal import NatterModel
internal import NatterSQLite

/// Messages that are not in a log file yet: a whole block with its checksums, as received by a sync.
struct TailRow {
    let conversation: Int64
    let part: TailPart
    let data: [UInt8]

    var firstSeq: Seq { part.firstSeq }
    var lastSeq: Seq { part.lastSeq }
    var highTime: Timestamp { part.highTime }

    init(_ block: Block, conversation: Int64) {
        self.conversation = conversation
        data = block.bytes
        part = TailPart(
            firstSeq: block.header.firstSeq, count: block.header.count, lowTime: block.header.lowestTime,
            highTime: block.header.highestTime, content: .block(data))
    }

    private static let columns = "conversation,first_seq,count,low_time,high_time,data"

    private init(_ row: borrowing Statement) {
        conversation = row.int64(0)
        data = row.blob(5)
        part = TailPart(
            firstSeq: Seq(row.uint64(1)), count: max(1, min(row.int(2), BlockHeader.maximumCount)),
            lowTime: Timestamp(milliseconds: row.int64(3)), highTime: Timestamp(milliseconds: row.int64(4)),
            content: .block(data))
    }

    static func containing(
        _ seq: Seq, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> TailRow? {
        let row = try connection.row(
            "SELECT \(columns) FROM tail WHERE conversation=? AND first_seq<=? ORDER BY first_seq DESC LIMIT 1",
            conversation, seq.rawValue, read: TailRow.init)
        return row.flatMap { $0.lastSeq >= seq ? $0 : nil }
    }

    static func all(of conversation: Int64, on connection: Connection) throws(SQLiteError) -> [TailRow] {
        try connection.rows(
            "SELECT \(columns) FROM tail WHERE conversation=? ORDER BY first_seq", conversation, read: TailRow.init)
    }

    func insert(on connection: Connection) throws(SQLiteError) {
        try connection.run(
            "INSERT OR REPLACE INTO tail VALUES (?,?,?,?,?,?)", conversation, firstSeq.rawValue, part.count,
            part.lowTime.milliseconds, highTime.milliseconds, data)
    }

    func open(conversation id: ConversationID) throws(ArchiveError) -> OpenBlock { try part.open(of: id) }
}

/// The tail of a conversation in a replica: the rows of its table `tail`.
struct ReplicaTail: LogTail {
    let conversation: Int64

    func part(containing seq: Seq, on connection: Connection) throws(SQLiteError) -> TailPart? {
        try TailRow.containing(seq, of: conversation, on: connection)?.part
    }

    func neighbours(of seq: Seq, on connection: Connection) throws(SQLiteError) -> (below: Seq?, above: Seq?) {
        try connection.row(
            """
            SELECT (SELECT first_seq+count-1 FROM tail WHERE conversation=?1 AND first_seq<=?2
                ORDER BY first_seq DESC LIMIT 1),
            (SELECT min(first_seq) FROM tail WHERE conversation=?1 AND first_seq>?2)
            """, conversation, seq.rawValue
        ) { ($0.isNull(0) ? nil : Seq($0.uint64(0)), $0.isNull(1) ? nil : Seq($0.uint64(1))) } ?? (nil, nil)
    }

    func extents(on connection: Connection) throws(SQLiteError) -> [RunExtent] {
        try connection.rows(
            "SELECT first_seq,count,low_time,high_time FROM tail WHERE conversation=? ORDER BY first_seq",
            conversation, read: RunExtent.init)
    }
}
