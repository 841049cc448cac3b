public import NatterLog
public import NatterModel
public import NatterSQLite

/// A conversation's identity in files and tables.
public struct ConversationIdentity: Sendable, Hashable {
    /// The database's own number of the conversation.
    public let number: Int64
    public let id: ConversationID
    public let kind: ConversationKind
    /// A group's name, or `general`; empty for a personal conversation.
    public let name: String
    /// Both users of a personal conversation, in byte order.
    public let users: [String]

    public init(number: Int64, id: ConversationID, kind: ConversationKind, name: String, users: [String]) {
        (self.number, self.id, self.kind, self.name, self.users) = (number, id, kind, name, users)
    }
}

/// One segment file in the index.
public struct SegmentRow: Sendable, Equatable {
    public var conversation: Int64
    public var firstSeq: Seq
    public var generation: Int
    /// The recorded bytes. Bytes beyond them were written but not recorded yet.
    public var size: UInt64
    public var dictionary: DictionaryID
    /// Whether nothing more may be appended, because the file is full or its end is damaged.
    public var isClosed: Bool

    public init(
        conversation: Int64, firstSeq: Seq, generation: Int, size: UInt64, dictionary: DictionaryID, isClosed: Bool
    ) {
        (self.conversation, self.firstSeq, self.generation) = (conversation, firstSeq, generation)
        (self.size, self.dictionary, self.isClosed) = (size, dictionary, isClosed)
    }

    /// The path below the data directory.
    public func name(of id: ConversationID) -> String {
        Segment.name(of: id, firstSeq: firstSeq, generation: generation)
    }
}

/// One block in the index.
public struct BlockRow: Sendable, Equatable {
    public var conversation: Int64
    public var firstSeq: Seq
    public var count: Int
    public var segmentSeq: Seq
    public var generation: Int
    public var offset: UInt64
    /// The length of header and stored bytes.
    public var length: Int
    public var revision: UInt32
    public var lowTime: Timestamp
    public var highTime: Timestamp
    public var lastCommit: Commit

    public var lastSeq: Seq { firstSeq.advanced(by: count - 1) }

    public init(_ header: BlockHeader, at offset: UInt64, in segment: SegmentRow) {
        conversation = segment.conversation
        firstSeq = header.firstSeq
        count = header.count
        segmentSeq = segment.firstSeq
        generation = segment.generation
        self.offset = offset
        length = header.totalLength
        revision = header.revision
        lowTime = header.lowestTime
        highTime = header.highestTime
        lastCommit = header.lastCommit
    }

    /// A row of another database.
    /// - Parameter column: the columns in the order of the table, without the conversation.
    public init(conversation: Int64, column: (Int) -> Int64) {
        self.conversation = conversation
        firstSeq = Seq(UInt64(bitPattern: column(0)))
        count = max(1, min(Int(clamping: column(1)), BlockHeader.maximumCount))
        segmentSeq = Seq(UInt64(bitPattern: column(2)))
        generation = Int(clamping: column(3))
        // No file reaches that far, so reading it finds the damage.
        offset = UInt64(max(0, min(column(4), 1 << 62)))
        length = Int(clamping: max(0, min(column(5), 1 << 31)))
        revision = UInt32(truncatingIfNeeded: column(6))
        lowTime = Timestamp(milliseconds: column(7))
        highTime = Timestamp(milliseconds: column(8))
        lastCommit = Commit(UInt64(bitPattern: column(9)))
    }

    fileprivate init(_ statement: borrowing Statement) {
        self.init(conversation: statement.int64(0)) { statement.int64($0 + 1) }
    }
}

/// Runs one statement that returns no rows, in the transaction of an entry.
public protocol RowWriter<Failure> {
    associatedtype Failure: Error
    /// - Parameter sql: in the dialect that SQLite and PostgreSQL share: parameters are `$1`, `$2` … in the order of
    ///   their first use, and conflicts use `ON CONFLICT`.
    func run(_ sql: StaticString, _ values: any SQLValue...) throws(Failure)
}

extension Connection: RowWriter {}

/// The queries of `ArchiveSchema`'s tables.
public enum ArchiveRows {
    private static let blockColumns =
        "conversation,first_seq,count,segment_seq,generation,offset,length,revision,low_time,high_time,last_commit"

    /// The block that contains a seq; nil if there is none.
    public static func block(
        containing seq: Seq, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> BlockRow? {
        let row = try block(atOrBefore: seq, of: conversation, on: connection)
        return row.flatMap { $0.lastSeq >= seq ? $0 : nil }
    }

    /// The last block that begins at or before a seq, even if it ends before the seq.
    static func block(
        atOrBefore seq: Seq, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> BlockRow? {
        try connection.row(
            "SELECT \(blockColumns) FROM block WHERE conversation=? AND first_seq<=? ORDER BY first_seq DESC LIMIT 1",
            conversation, seq.rawValue, read: BlockRow.init)
    }

    /// All blocks of a conversation as runs, lowest first.
    static func extents(of conversation: Int64, on connection: Connection) throws(SQLiteError) -> [RunExtent] {
        try connection.rows(
            "SELECT first_seq,count,low_time,high_time FROM block WHERE conversation=? ORDER BY first_seq",
            conversation, read: RunExtent.init)
    }

    /// The blocks that contain any seq of `range`, lowest first, at most `limit`.
    public static func blocks(
        _ range: ClosedRange<Seq>, of conversation: Int64, limit: Int = .max, on connection: Connection
    ) throws(SQLiteError) -> [BlockRow] {
        let start = try block(containing: range.lowerBound, of: conversation, on: connection)?.firstSeq
        return try connection.rows(
            """
            SELECT \(blockColumns) FROM block
            WHERE conversation=? AND first_seq>=? AND first_seq<=? ORDER BY first_seq LIMIT ?
            """, conversation, (start ?? range.lowerBound).rawValue, range.upperBound.rawValue, Int64(clamping: limit),
            read: BlockRow.init)
    }

    /// The blocks of a segment, lowest first.
    public static func blocks(of segment: SegmentRow, on connection: Connection) throws(SQLiteError) -> [BlockRow] {
        try connection.rows(
            """
            SELECT \(blockColumns) FROM block
            WHERE conversation=? AND first_seq>=? AND segment_seq=? AND generation=? ORDER BY first_seq
            """, segment.conversation, segment.firstSeq.rawValue, segment.firstSeq.rawValue, segment.generation,
            read: BlockRow.init)
    }

    /// The newest block without messages after a commit. The query reads backwards from the end, so its cost depends
    /// on how far the reader is behind.
    public static func lastBlock(
        upTo commit: Commit, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> BlockRow? {
        try connection.row(
            """
            SELECT \(blockColumns) FROM block WHERE conversation=? AND last_commit<=? ORDER BY first_seq DESC LIMIT 1
            """, conversation, commit.rawValue, read: BlockRow.init)
    }

    /// The oldest block with a message at or after a time.
    public static func firstBlock(
        from time: Timestamp, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> BlockRow? {
        try connection.row(
            "SELECT \(blockColumns) FROM block WHERE conversation=? AND high_time>=? ORDER BY first_seq LIMIT 1",
            conversation, time.milliseconds, read: BlockRow.init)
    }

    /// All blocks of a conversation, lowest first.
    public static func allBlocks(of conversation: Int64, on connection: Connection) throws(SQLiteError) -> [BlockRow] {
        try blocks(Seq(1)...Seq(UInt64(Int64.max)), of: conversation, on: connection)
    }

    public static func insert<Rows: RowWriter>(_ row: BlockRow, on rows: Rows) throws(Rows.Failure) {
        try rows.run(
            "INSERT INTO block VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)", row.conversation, row.firstSeq.rawValue,
            row.count,
            row.segmentSeq.rawValue, row.generation, row.offset,
            row.length, Int64(row.revision), row.lowTime.milliseconds, row.highTime.milliseconds,
            row.lastCommit.rawValue)
    }

    private static let segmentColumns = "conversation,first_seq,generation,size,dictionary,closed"

    private static func segment(_ statement: borrowing Statement) -> SegmentRow {
        SegmentRow(
            conversation: statement.int64(0), firstSeq: Seq(statement.uint64(1)), generation: statement.int(2),
            // No file is longer than that, so reading it finds the damage.
            size: UInt64(max(0, min(statement.int64(3), 1 << 62))),
            dictionary: DictionaryID(bytes: statement.blob(4)) ?? .none,
            isClosed: statement.bool(5))
    }

    /// The newest segment, which is the only one that may be appended to.
    public static func lastSegment(of conversation: Int64, on connection: Connection) throws(SQLiteError) -> SegmentRow?
    {
        try connection.row(
            """
            SELECT \(segmentColumns) FROM segment WHERE conversation=? ORDER BY first_seq DESC, generation DESC LIMIT 1
            """, conversation, read: segment)
    }

    public static func segments(of conversation: Int64, on connection: Connection) throws(SQLiteError) -> [SegmentRow] {
        try connection.rows(
            "SELECT \(segmentColumns) FROM segment WHERE conversation=? ORDER BY first_seq, generation", conversation,
            read: segment)
    }

    /// The segments of each conversation, lowest first.
    public static func segments(on connection: Connection) throws(SQLiteError) -> [Int64: [SegmentRow]] {
        let statement = try connection.statement(
            "SELECT \(segmentColumns) FROM segment ORDER BY conversation, first_seq, generation")
        var rows: [Int64: [SegmentRow]] = [:]
        while try statement.step() { rows[statement.int64(0), default: []].append(segment(statement)) }
        return rows
    }

    /// How many bytes all segments have together.
    public static func segmentBytes(on connection: Connection) throws(SQLiteError) -> UInt64 {
        try connection.row("SELECT total(size) FROM segment") { UInt64(clamping: $0.int64(0)) } ?? 0
    }

    /// Inserts or updates the row of a segment.
    public static func put<Rows: RowWriter>(_ row: SegmentRow, on rows: Rows) throws(Rows.Failure) {
        try rows.run(
            """
            INSERT INTO segment VALUES ($1,$2,$3,$4,$5,$6) ON CONFLICT (conversation,first_seq,generation)
            DO UPDATE SET size=excluded.size, dictionary=excluded.dictionary, closed=excluded.closed
            """, row.conversation, row.firstSeq.rawValue,
            row.generation, row.size, row.dictionary.bytes, row.isClosed)
    }

    /// The index's copy of a dictionary; nil if it is missing or damaged.
    public static func dictionary(_ id: DictionaryID, on connection: Connection) throws(SQLiteError) -> LogDictionary? {
        try connection.row("SELECT record FROM dictionary WHERE id=?", id.bytes) { row in
            row.withBlob(0) { try? LogDictionary(decoding: $0) }
        } ?? nil
    }

    /// Deletes the rows of a segment and its blocks, and its dictionary if no other segment has it.
    public static func delete<Rows: RowWriter>(_ row: SegmentRow, on rows: Rows) throws(Rows.Failure) {
        try rows.run(
            "DELETE FROM block WHERE conversation=$1 AND segment_seq=$2 AND generation=$3", row.conversation,
            row.firstSeq.rawValue, row.generation)
        try rows.run(
            "DELETE FROM segment WHERE conversation=$1 AND first_seq=$2 AND generation=$3", row.conversation,
            row.firstSeq.rawValue, row.generation)
        try rows.run(
            "DELETE FROM dictionary WHERE id=$1 AND NOT EXISTS (SELECT 1 FROM segment WHERE dictionary=$1)",
            row.dictionary.bytes)
    }

    /// Deletes the rows of all segments of a conversation.
    public static func deleteAll(of conversation: Int64, on connection: Connection) throws(SQLiteError) {
        for row in try segments(of: conversation, on: connection) { try delete(row, on: connection) }
    }

    public static func put<Rows: RowWriter>(_ dictionary: LogDictionary, on rows: Rows) throws(Rows.Failure) {
        guard dictionary.id != .none else { return }
        try rows.run(
            "INSERT INTO dictionary VALUES ($1,$2) ON CONFLICT (id) DO NOTHING", dictionary.id.bytes, dictionary.record)
    }
}

/// The tables that a server's store and a client's replica share: the place of each block of each conversation. They
/// can be rebuilt from the log files.
public enum ArchiveSchema {
    /// `conversation` is this database's own number for a conversation, assigned when the conversation first appears.
    public static let tables = """
        CREATE TABLE segment (
            conversation INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            size INTEGER NOT NULL,
            dictionary BLOB NOT NULL,
            closed INTEGER NOT NULL,
            PRIMARY KEY (conversation, first_seq, generation)
        ) WITHOUT ROWID;
        CREATE TABLE block (
            conversation INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            count INTEGER NOT NULL,
            segment_seq INTEGER NOT NULL,
            generation INTEGER NOT NULL,
            offset INTEGER NOT NULL,
            length INTEGER NOT NULL,
            revision INTEGER NOT NULL,
            low_time INTEGER NOT NULL,
            high_time INTEGER NOT NULL,
            last_commit INTEGER NOT NULL,
            PRIMARY KEY (conversation, first_seq)
        ) WITHOUT ROWID;
        CREATE TABLE dictionary (id BLOB PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;

        """ + RelationRows.table
}
