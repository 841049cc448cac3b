public import NatterModel
public import NatterSQLite

/// What the table `file` knows of a blob. Name, key and type are in the record only, because an erased name must never have
/// stood in a row: SQLite leaves copies of rows that it moved.
public struct FileRow: Sendable, Equatable {
    public enum State: UInt8, Sendable, CaseIterable {
        /// Its blob is about to get its name, or has it.
        case announced = 0
        /// No message names it yet.
        case uploaded = 1
        case named = 2
        /// Its message was erased or dropped, or it was never named.
        case gone = 3
    }

    public var id: FileID
    public var state: State
    /// The number of the account that has uploaded it; 0 if that is unknown.
    public var account: Int64
    public var size: UInt64
    /// When it was uploaded.
    public var time: Timestamp
    /// The record that names it, from `named` on.
    public var conversation: Int64?
    public var seq: Seq?

    public init(
        id: FileID, state: State, account: Int64, size: UInt64, time: Timestamp, conversation: Int64? = nil,
        seq: Seq? = nil
    ) {
        (self.id, self.state, self.account, self.size, self.time) = (id, state, account, size, time)
        (self.conversation, self.seq) = (conversation, seq)
    }
}

/// The queries of the table `file`.
public enum FileRows {
    /// A step of the store's schema. The second index finds the records of files in the table `relation`.
    public static let table = """
        CREATE TABLE file (
            id BLOB PRIMARY KEY,
            state INTEGER NOT NULL,
            account INTEGER NOT NULL,
            size INTEGER NOT NULL,
            time INTEGER NOT NULL,
            conversation INTEGER,
            seq INTEGER
        ) WITHOUT ROWID;
        CREATE INDEX file_message ON file (conversation, seq);
        CREATE INDEX relation_file ON relation (conversation, seq) WHERE kind = 4;
        """
    private static let columns = "id,state,account,size,time,conversation,seq"

    public static func put(_ row: FileRow, on rows: some RowWriter) throws {
        try rows.run(
            """
            INSERT INTO file (id,state,account,size,time,conversation,seq) VALUES ($1,$2,$3,$4,$5,$6,$7)
            ON CONFLICT (id) DO UPDATE SET state=excluded.state, conversation=excluded.conversation, seq=excluded.seq
            """, row.id.bytes, Int64(row.state.rawValue), row.account, row.size, row.time.milliseconds,
            row.conversation, row.seq?.rawValue)
    }

    private static func read(_ row: borrowing Statement) -> FileRow? {
        guard let id = FileID(bytes: row.blob(0)), let state = FileRow.State(rawValue: UInt8(clamping: row.int(1)))
        else {
            return nil
        }
        return FileRow(
            id: id, state: state, account: row.int64(2), size: UInt64(clamping: row.int64(3)),
            time: Timestamp(milliseconds: row.int64(4)), conversation: row.optionalInt64(5),
            seq: row.optionalInt64(6).map { Seq(UInt64(clamping: $0)) })
    }

    public static func row(_ id: FileID, on connection: Connection) throws(SQLiteError) -> FileRow? {
        try rows("id=?", id.bytes, on: connection).first
    }

    private static func rows(
        _ condition: String, _ values: any SQLValue..., on connection: Connection
    ) throws(SQLiteError) -> [FileRow] {
        let statement = try connection.statement("SELECT \(columns) FROM file WHERE \(condition)", values)
        var rows: [FileRow] = []
        while try statement.step() { if let row = read(statement) { rows.append(row) } }
        return rows
    }

    /// Those of no message.
    public static func unnamed(on connection: Connection) throws(SQLiteError) -> [FileRow] {
        try rows("conversation IS NULL AND state<=1", on: connection)
    }

    /// Those whose blobs must be there.
    public static func wanted(on connection: Connection) throws(SQLiteError) -> [FileRow] {
        try rows("state IN (1,2) ORDER BY conversation,seq", on: connection)
    }

    /// Lets go of files that an earlier process was about to name. Their blobs may be there.
    public static func dropAnnounced(on connection: Connection) throws {
        for var row in try unnamed(on: connection) where row.state == .announced {
            row.state = .gone
            try put(row, on: connection)
            try RetiredFiles.insert(BlobPath.of(row.id), on: connection)
        }
    }

    /// Those that records of a range name.
    public static func named(
        in seqs: ClosedRange<Seq>, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> [FileRow] {
        try rows(
            "conversation=? AND seq BETWEEN ? AND ? AND state=2", conversation, seqs.lowerBound.rawValue,
            seqs.upperBound.rawValue, on: connection)
    }

    /// Drops the rows of what records of a range name, and lets the files themselves go.
    public static func retire(
        _ seqs: ClosedRange<Seq>, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) {
        for row in try named(in: seqs, of: conversation, on: connection) {
            try RetiredFiles.insert(BlobPath.of(row.id), on: connection)
            try connection.run("DELETE FROM file WHERE id=?", row.id.bytes)
        }
    }

    /// The conversations with files that were uploaded up to a time.
    public static func conversations(before time: Timestamp, on connection: Connection) throws(SQLiteError) -> [Int64] {
        try connection.rows(
            "SELECT DISTINCT conversation FROM file WHERE state=2 AND time<=?", time.milliseconds
        ) { $0.int64(0) }
    }

    /// The records of files that were uploaded up to a time, lowest first.
    public static func seqs(
        before time: Timestamp, in conversation: Int64, limit: Int, on connection: Connection
    ) throws(SQLiteError) -> [Seq] {
        try connection.rows(
            "SELECT seq FROM file WHERE conversation=? AND state=2 AND time<=? ORDER BY seq LIMIT ?", conversation,
            time.milliseconds, limit
        ) { Seq($0.uint64(0)) }
    }

    /// How many files and bytes an account has.
    public struct Use: Sendable {
        public let account: Int64
        public let count: UInt64
        public let bytes: UInt64
    }

    /// What each account has, files without a message included.
    public static func uses(on connection: Connection) throws(SQLiteError) -> [Use] {
        try connection.rows("SELECT account,count(*),sum(size) FROM file WHERE state<3 GROUP BY account") {
            Use(account: $0.int64(0), count: $0.uint64(1), bytes: UInt64(clamping: $0.int64(2)))
        }
    }

    /// The records of files that the table does not know, as after an index was made from the logs.
    public static func unknown(on connection: Connection) throws(SQLiteError) -> [(conversation: Int64, seq: Seq)] {
        try connection.rows(
            """
            SELECT conversation,seq FROM relation INDEXED BY relation_file WHERE kind=4 AND NOT EXISTS
            (SELECT 1 FROM file WHERE file.conversation=relation.conversation AND file.seq=relation.seq)
            """
        ) { ($0.int64(0), Seq($0.uint64(1))) }
    }

    /// Whether a blob belongs to a message, or may still.
    static func isWanted(_ id: FileID, on connection: Connection) throws(SQLiteError) -> Bool {
        try connection.hasRow("SELECT 1 FROM file WHERE id=? AND state<3", id.bytes)
    }
}
