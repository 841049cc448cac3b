internal import NatterConversation
internal import NatterSystem
public import NatterModel
internal import NatterSQLite

/// Copies a whole store between a directory and PostgreSQL. Ids, numbers, epochs, hashes, keys and the bytes of the log
/// files stay as they are, so cursors and replicas stay good. No server may use either store meanwhile.
///
/// The target must be empty. It has a mark until it is complete, so no server starts on a part of a store. A copy that
/// was killed is begun again from the start.
public enum StoreCopy {
    public struct Summary: Sendable, Equatable {
        public var conversations = 0
        public var files = 0
        public var bytes: UInt64 = 0
    }

    /// Exists in the directory until the copy is complete.
    static let unfinishedName = "copy.unfinished"

    /// Turns errors of PostgreSQL into those of a store.
    private static func translating(_ body: () throws -> Summary) throws -> Summary {
        do { return try body() } catch let error as PostgresError {
            if error.isMisfit || error.isLost { throw StoreOpenError(error) }
            throw StoreError(error)
        }
    }

    // MARK: To PostgreSQL

    /// Fills an empty database. Everything except the mark is one transaction.
    public static func run(
        from directory: String, to shared: SharedStore, report: @escaping @Sendable (Phrase) -> Void
    ) throws -> Summary {
        // Recovers from a crash, and repeats erasures that the database does not know.
        var options = Store.Options()
        options.report = report
        try Store.open(directory, options: options).close()
        let lock = try Store.takeLock(directory, disk: PosixDisk())
        return try withExtendedLifetime(lock) {
            let rows = try Connection(path: Store.databasePath(directory), role: .reader)
            guard try FileRows.uses(on: rows).isEmpty else {
                throw StoreOpenError.unfit("messages of this store have files, which a store in PostgreSQL can't keep")
            }
            return try translating {
                let database = try PostgresPool(shared.target).open()
                database.silenceMilliseconds = PostgresPool.longSilenceMilliseconds
                try PostgresSchema.check(database) { SystemClock().now().milliseconds }
                try PostgresSchema.migrate(database)
                var place = try begin(rows, database)
                for table in try RowCopy.tables(of: rows) where table != "meta" {
                    let columns = try RowCopy.columns(of: table, rows)
                    try send(columns, of: table, "SELECT \(columns) FROM \(table)", from: rows, database)
                }
                // Its other rows belong to the file, or are in the table `store`.
                let shared = "key IN ('commit','highest_account','highest_conversation','highest_token')"
                try send("key,value", of: "meta", "SELECT key,value FROM meta WHERE \(shared)", from: rows, database)
                try sendKeys(from: rows, database)
                try sendJournal(from: rows, behind: &place, database)
                let summary = try sendFiles(of: directory, rows, database)
                try database.execute("UPDATE store SET unfinished=false; COMMIT")
                return summary
            }
        }
    }

    /// Marks the database as unfinished and begins the transaction.
    private static func begin(_ rows: Connection, _ database: PostgresConnection) throws -> LogPlace {
        let (id, secret) = try FileEngine.identity(rows)
        // A slow disk must not end the transaction.
        try database.execute("SET idle_in_transaction_session_timeout = 0")
        try database.run(
            "INSERT INTO store (id,key_secret,unfinished) VALUES ($1,$2,true) ON CONFLICT (one) DO NOTHING",
            .bytes(id.bytes), .bytes(secret.bytes))
        try database.execute("BEGIN")
        let marks = try database.run("SELECT unfinished FROM store FOR UPDATE SKIP LOCKED")
        guard marks.count == 1 else {
            throw StoreOpenError.unfit("another 'natterd copy' fills the database")
        }
        guard marks.integer(0, 0) != 0 else {
            throw StoreOpenError.unfit("the database holds a store, and nothing is overwritten; name one that is empty")
        }
        try database.run("UPDATE store SET id=$1, key_secret=$2", .bytes(id.bytes), .bytes(secret.bytes))
        return try PostgresLog.begin(id, database)
    }

    /// Inserts each row of a query.
    private static func send(
        _ columns: String, of table: String, _ query: String, from rows: Connection, _ database: PostgresConnection
    ) throws {
        let count = columns.split(separator: ",").count
        let insert =
            "INSERT INTO \(table) (\(columns)) VALUES (\((1...count).map { "$\($0)" }.joined(separator: ","))) "
            + "ON CONFLICT DO NOTHING"
        let statement = try rows.statement(query)
        var waiting: [PostgresConnection.Statement] = []
        while try statement.step() {
            waiting.append(.init(insert, (0..<count).map { PostgresValue(statement.value($0).datum) }))
            if waiting.count == 1_000 {
                try database.run(all: waiting)
                waiting = []
            }
        }
        try database.run(all: waiting)
    }

    /// The tables of keys become one, in which their time begins anew.
    private static func sendKeys(from rows: Connection, _ database: PostgresConnection) throws {
        let now = SystemClock().now().milliseconds
        let columns = "account,time,hash,conversation,seq,content"
        let tables = "SELECT name FROM sqlite_schema WHERE type='table' AND name GLOB 'keys_*' ORDER BY name DESC"
        for table in try rows.rows(tables, read: { $0.text(0) }) {
            try send(columns + ",moved", of: "sent_key", "SELECT \(columns),\(now) FROM \(table)", from: rows, database)
        }
    }

    /// The journal's rows become entries of the log.
    private static func sendJournal(
        from rows: Connection, behind place: inout LogPlace, _ database: PostgresConnection
    ) throws {
        let statement = try rows.statement("SELECT number,data FROM batch ORDER BY number")
        while try statement.step() {
            let number = statement.uint64(0)
            let batch = try statement.withBlob(1) { try SealedBatch(checking: $0) }
            let commit = Commit(number / 2)
            let isMoved = number == Batch.rowNumber(of: commit, isMoved: true)
            let entry = LogEntry(
                before: place, author: LogEntry.Author(node: 0, attempt: number), commit: commit,
                changes: [], messages: isMoved ? .empty : batch, movedTails: isMoved ? batch : .empty)
            place = try PostgresLog.insert(entry, database)
        }
    }

    private static func sendFiles(
        of directory: String, _ rows: Connection, _ database: PostgresConnection
    ) throws -> Summary {
        let disk = PosixDisk()
        return try visitFiles(rows) { name, size in
            let path = directory + "/" + name
            guard let found = try disk.information(path), found.isRegular, found.size >= size else { throw cut(path) }
            let file = try disk.open(path, .read)
            let made = try database.run(
                "INSERT INTO log_file (path) VALUES ($1) RETURNING id", .text(PostgresDisk.logName(name)))
            var offset: UInt64 = 0
            while offset < size {
                let piece = try file.read(
                    count: Int(clamping: min(size - offset, UInt64(PostgresFile.pieceBytes))), at: offset)
                if piece.isEmpty { throw cut(path) }
                try database.run(
                    "INSERT INTO log_piece (file,start,node,data) VALUES ($1,$2,0,$3)", .integer(made.integer(0, 0)),
                    .integer(Int64(clamping: offset)), .bytes(piece))
                offset += UInt64(piece.count)
            }
        }
    }

    private static func cut(_ path: String) -> StoreOpenError {
        .damaged("the log '\(path)' is missing or cut short")
    }

    /// Calls `body` with the name of each log file and its recorded length.
    private static func visitFiles(
        _ rows: Connection, _ body: (_ name: String, _ size: UInt64) throws -> Void
    ) throws -> Summary {
        var summary = Summary()
        for conversation in try CheckedConversation.all(on: rows) {
            summary.conversations += 1
            for segment in try ArchiveRows.segments(of: conversation.identity.number, on: rows) {
                try body(segment.name(of: conversation.identity.id), segment.size)
                summary.files += 1
                summary.bytes += segment.size
            }
        }
        return summary
    }

    // MARK: To a directory

    /// Fills a new directory. The mark goes last.
    public static func run(from shared: SharedStore, to directory: String) throws -> Summary {
        let disk = PosixDisk()
        try StoreRestore.checkEmpty(directory, disk, mark: unfinishedName)
        return try translating {
            let pool = PostgresPool(shared.target)
            let database = try pool.open()
            database.silenceMilliseconds = PostgresPool.longSilenceMilliseconds
            guard try PostgresEngine.hasTables(database) else { throw try PostgresEngine.noStore(database) }
            try PostgresSchema.migrate(database)
            try PostgresSchema.requireTables(database)
            guard let (id, secret) = try PostgresEngine.knownIdentity(database) else {
                throw try PostgresEngine.noStore(database)
            }
            let held = try PostgresLog.hold(database)
            guard held, try StoreNode.all(database, this: 0).isEmpty else {
                throw StoreOpenError.unfit(
                    "servers use the store; stop them first (one that was killed counts for a minute)")
            }
            let lock = try Store.takeLock(directory, disk: disk)
            return try withExtendedLifetime(lock) {
                try StoreRestore.checkEmpty(directory, disk, mark: unfinishedName)
                let mark = directory + "/" + unfinishedName
                try StoreRestore.clear(directory, keeping: [unfinishedName], disk)
                try disk.replaceContents(of: mark, with: [])
                let path = Store.databasePath(directory)
                let summary = try fetch(id, secret, from: database, pool, to: directory, disk)
                // The servers were kept away for as long as this connection has lived.
                try database.execute("SELECT 1")
                let file = try disk.open(path, .readWrite)
                try file.sync()
                try disk.syncDirectory(directory)
                try disk.remove(mark)
                try disk.syncDirectory(directory)
                return summary
            }
        }
    }

    private static func fetch(
        _ id: StoreID, _ secret: ShortHashKey, from database: PostgresConnection, _ pool: PostgresPool,
        to directory: String, _ disk: PosixDisk
    ) throws -> Summary {
        let days = Store.Options().idRetentionDays
        var copy = try RowCopy(path: Store.databasePath(directory), retentionDays: days)
        try database.execute(RowCopy.begin)
        _ = try copy.fill(from: database, id, secret) { _ in }
        try database.execute("COMMIT")
        let files = FileCopy(disk: PostgresDisk(pool, directory: directory, node: 0))
        try disk.makeDirectories(directory + "/logs")
        if let epoch = try Epoch.last(on: copy.connection) {
            try StoreRecovery.writeMark(epoch, in: directory, disk: disk)
        }
        return try visitFiles(copy.connection) { name, size in
            let path = directory + "/" + name
            try disk.makeDirectories(Path.directory(of: path))
            let target = try disk.open(path, .create)
            guard try files.append(path, from: 0, to: size, onto: target).size == size else { throw cut(path) }
            try target.sync()
            try disk.syncDirectory(Path.directory(of: path))
        }
    }
}
