internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog
internal import NatterSQLite

/// One server's copy of the rows in PostgreSQL, as a `store.db` of its own. Everything above the engine reads it, so no
/// reader asks the network for a row. It is made anew at each load and follows the log.
///
/// It lives in the cache directory and is never the truth: nothing in it has to survive a crash.
struct RowCopy {
    let connection: Connection
    var keys: KeyTables
    /// The number of the last entry whose rows are here.
    private(set) var number: UInt64 = 0
    private var changesSinceCheckpoint = 0
    /// Whether text was removed that a checkpoint removes from the files.
    private var hasRemovedText = false

    /// Changes that a checkpoint waits for.
    private static let checkpointChanges = 20_000
    private static let fetchedRows = 2_000
    /// How many rows are fetched where one may have megabytes, because all rows of an answer are in memory.
    private static let fetchedLargeRows = 32

    /// Creates an empty database in place of the last one.
    init(path: String, retentionDays: Int) throws {
        try PosixDisk().removeDatabase(path)
        connection = try Connection(path: path, role: .writer, durability: .normal)
        try StoreSchema.current.migrate(connection)
        keys = try KeyTables(connection: connection, retentionDays: retentionDays)
    }

    // MARK: Loading

    /// Begins the transaction of `fill`, which sees one state of the database. It only reads and keeps nobody from writing, so it
    /// may pause for longer than others, as while the disk of this machine is slow.
    static let begin = """
        BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SET LOCAL idle_in_transaction_session_timeout = \(PostgresPool.longSilenceMilliseconds)
        """

    /// Copies all rows and all entries. Call in a transaction that `begin` has begun.
    ///
    /// - Returns: the end of the log.
    mutating func fill(
        from database: PostgresConnection, _ id: StoreID, _ secret: ShortHashKey, entry take: (LogEntry) throws -> Void
    ) throws -> LogPlace {
        var place = LogPlace.start
        try connection.execute("BEGIN IMMEDIATE")
        try connection.setMeta(.storeID, id.bytes)
        try connection.setMeta(.keySecret, secret.bytes)
        for table in try RowCopy.tables(of: connection) {
            try copy(table, from: database)
        }
        try RowCopy.visit(
            database, "SELECT account,time,hash,conversation,seq,content,moved FROM sent_key ORDER BY moved"
        ) { rows, row in
            let found = FoundKey(
                conversation: rows.integer(row, 3), seq: Seq(rows.unsigned(row, 4)),
                content: rows.unsigned(row, 5))
            let key = RecentKey(
                account: rows.integer(row, 0), time: rows.unsigned(row, 1),
                hash: rows.unsigned(row, 2))
            try keys.insert(
                [MovedKey(key: key, found: found, commit: .zero)],
                now: Timestamp(milliseconds: rows.integer(row, 6)))
        }
        let starts = try database.run("SELECT log_start FROM store WHERE log_start IS NOT NULL")
        let start = starts.count > 0 ? starts.integer(0, 0) : nil
        var isFirst = true
        let entries = "SELECT \(PostgresEntries.columns) FROM log ORDER BY number"
        try RowCopy.visit(database, entries, fetching: RowCopy.fetchedLargeRows) { rows, row in
            if isFirst {
                // The place before the first row that is left, as far as it matters: entries are decoded behind it.
                place = LogPlace(number: rows.unsigned(row, 0) &- 1, chain: .zero)
                if let start, rows.integer(row, 0) > start {
                    throw StoreOpenError.damaged(
                        "entries \(start) to \(rows.integer(row, 0) - 1) are missing at the beginning of PostgreSQL's table 'log'"
                    )
                }
                isFirst = false
            }
            let entry: LogEntry?
            do { entry = try PostgresEntries.entry(rows, row, before: place) } catch let error as FormatViolation {
                throw StoreOpenError.damaged(error.reason)
            }
            if let entry {
                for (batch, isMoved) in [(entry.movedTails, true), (entry.messages, false)] where !batch.isEmpty {
                    try connection.statement("INSERT INTO \(JournalTables.names[0]) VALUES (?,?)").run(
                        Batch.rowNumber(of: entry.commit, isMoved: isMoved), batch.bytes)
                }
                try take(entry)
            }
            place = PostgresEntries.place(rows, row)
        }
        // Row 0 comes with the store, and the newest row is never trimmed.
        if isFirst { throw StoreOpenError.damaged("PostgreSQL's table 'log' is empty, although there is a store") }
        try connection.execute("COMMIT")
        try connection.checkpoint(.truncating)
        number = place.number
        return place
    }

    /// The tables of rows, which PostgreSQL has under the same names. Files that go are another matter there.
    static func tables(of connection: Connection) throws -> [String] {
        try connection.rows(
            """
            SELECT name FROM sqlite_schema
            WHERE type='table' AND name NOT IN ('batch_a','batch_b','retired','file') AND name NOT GLOB 'keys_*'
            """
        ) { $0.text(0) }
    }

    /// The columns of a table, as a list for SQL.
    static func columns(of table: String, _ connection: Connection) throws -> String {
        try connection.rows("SELECT name FROM pragma_table_info('\(table)')") { "\"\($0.text(0))\"" }
            .joined(separator: ",")
    }

    private func copy(_ table: String, from database: PostgresConnection) throws {
        let columns = try RowCopy.columns(of: table, connection)
        let count = columns.split(separator: ",").count
        let places = repeatElement("?", count: count).joined(separator: ",")
        let limit = table == "dictionary" ? RowCopy.fetchedLargeRows : RowCopy.fetchedRows
        try RowCopy.visit(database, "SELECT \(columns) FROM \(table)", fetching: limit) { rows, row in
            let insert = try connection.statement("INSERT INTO \(table) (\(columns)) VALUES (\(places))")
            try insert.bind(all: (0..<count).map { SQLDatum(rows.value(row, $0)) })
            while try insert.step() {}
        }
    }

    /// Calls `body` with each row of a query of any length.
    static func visit(
        _ database: PostgresConnection, _ query: String, fetching limit: Int = fetchedRows,
        _ body: (PostgresRows, Int) throws -> Void
    ) throws {
        try database.execute("DECLARE walk NO SCROLL CURSOR FOR \(query)")
        while true {
            let rows = try database.runOnce("FETCH \(limit) FROM walk")
            for row in 0..<rows.count { try body(rows, row) }
            if rows.count < limit { break }
        }
        try database.execute("CLOSE walk")
    }

    // MARK: Following

    /// Writes the rows of the next entry of this server. Does nothing for an entry that is here already.
    mutating func follow(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws {
        guard entry.before.number &+ 1 > number else { return }
        try write(entry, blocks)
    }

    /// Does the same for an entry of another server, whose blocks are in PostgreSQL.
    mutating func follow(_ entry: LogEntry, _ log: inout PostgresLog) throws {
        guard entry.before.number &+ 1 > number else { return }
        let rewritten = Set(entry.changes.compactMap(\.rewritten))
        var ends: [Int64: Seq] = [:]
        for change in entry.changes {
            switch change {
            case .tailSealed(let sealed):
                ends[sealed.conversation] = max(ends[sealed.conversation] ?? .zero, sealed.lastSeq)
            case .importSettled(let settled):
                ends[settled.conversation] = max(ends[settled.conversation] ?? .zero, settled.lastSeq)
            default: break
            }
        }
        var blocks: [WrittenBlocks] = []
        for (number, last) in ends where !rewritten.contains(number) {
            let first = try sealedSeq(of: number).next
            if first <= last { blocks += try log.blocks(of: number, first...last) }
        }
        for number in rewritten {
            blocks += try log.segments(of: number, upTo: max(sealedSeq(of: number), ends[number] ?? .zero))
        }
        try write(entry, blocks, inPlaceOf: rewritten)
    }

    /// - Parameter replaced: conversations whose blocks are all among `blocks`.
    private mutating func write(
        _ entry: LogEntry, _ blocks: [WrittenBlocks], inPlaceOf replaced: Set<Int64> = []
    ) throws {
        if !entry.changes.isEmpty {
            try connection.transaction {
                try entry.writeChanges(to: connection, &keys)
                for number in replaced { try ArchiveRows.deleteAll(of: number, on: connection) }
                for written in blocks { try written.record(on: connection) }
            }
            changesSinceCheckpoint += entry.changes.count
            if entry.changes.contains(where: { $0.rewritten != nil }) { hasRemovedText = true }
        }
        number = entry.before.number &+ 1
    }

    private func sealedSeq(of conversation: Int64) throws -> Seq {
        try connection.row("SELECT sealed_seq FROM conversation WHERE number=?", conversation) { Seq($0.uint64(0)) }
            ?? .zero
    }

    /// Takes away the content of those keys whose messages are erased.
    func withoutErased(_ loaded: [MovedKey]) throws -> [MovedKey] {
        try loaded.map { key in
            guard try ErasedTexts.has(key.found.seq, in: key.found.conversation, connection) else { return key }
            return MovedKey(key: key.key, found: key.found.withoutContent, commit: key.commit)
        }
    }

    /// Stores keys that leave the log, and removes what the log was loaded with below a commit.
    /// - Returns: the time before which stored keys were dropped; nil if none were.
    mutating func trim(below floor: Commit, moving moved: [MovedKey], now: Timestamp) throws -> Timestamp? {
        do {
            return try connection.transaction {
                try keys.insert(moved, now: now)
                let dropped = try keys.dropExpired(now: now)
                let end = Batch.rowNumber(of: floor, isMoved: true)
                if try connection.hasRow("SELECT 1 FROM batch WHERE number<?", end) {
                    try connection.statement("DELETE FROM \(JournalTables.names[0]) WHERE number<?").run(end)
                    hasRemovedText = true
                }
                return dropped
            }
        } catch {
            // Memory has keys of the transaction that was rolled back.
            try keys.reload()
            // Later trims repeat it, so the server need not stop.
            throw ArchiveError(error).isFull ? StoreError.diskFull : error
        }
    }

    /// Removes from the files what was removed from the tables.
    mutating func emptyWriteAheadLog() throws {
        guard hasRemovedText else { return }
        // A checkpoint that finds no room leaves the write-ahead log as it is.
        do {
            try connection.transaction { try connection.rewrite(JournalTables.names[0]) }
            try connection.checkpoint(.truncating)
        } catch  where ArchiveError(error).isFull {
            throw StoreError.diskFull
        }
        hasRemovedText = false
    }

    mutating func checkpointIfDue() throws {
        guard changesSinceCheckpoint >= RowCopy.checkpointChanges else { return }
        changesSinceCheckpoint = 0
        do { try connection.checkpoint(.passive) } catch  where ArchiveError(error).isFull {}
    }
}

extension SQLDatum {
    init(_ value: PostgresValue) {
        self =
            switch value {
            case .null: .null
            case .integer(let number): .integer(number)
            case .text(let text): .text(text)
            case .bytes(let bytes): .blob(bytes)
            }
    }
}

extension PostgresValue {
    init(_ datum: SQLDatum) {
        self =
            switch datum {
            case .null: .null
            case .integer(let number): .integer(number)
            case .text(let text): .text(text)
            case .blob(let bytes): .bytes(bytes)
            }
    }
}
