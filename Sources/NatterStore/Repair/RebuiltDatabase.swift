internal import NatterConversation
internal import NatterSystem
internal import NatterSQLite
internal import NatterModel

/// The database that a rebuild writes to. If SQLite finds the existing one whole, it is used. Otherwise a new one gets the rows
/// that SQLite can still read of the old, and replaces it at the end.
final class RebuiltDatabase {
    private let root: String
    private let disk: any Disk
    private let report: (Phrase) -> Void
    private var open: Connection?
    /// Whether there was no database before.
    private(set) var isNew = false
    /// Whether there was no file.
    private(set) var wasMissing = false
    /// Whether there may have been messages in it that are in no log and could not be read, nor their numbers.
    private(set) var hasUnknownLoss = false
    /// Whether rows of accounts could not be read.
    private(set) var hasLostAccounts = false
    /// Whether rows of members, or of accounts, could not be read.
    private(set) var hasLostMembers = false
    /// Whether rows could not be read that no log has.
    private(set) var hasLostRows = false
    /// Whether it has a temporary name until it is finished.
    private let isStaged: Bool

    var path: String { Store.databasePath(root) }
    private var stagedPath: String { RebuiltDatabase.stagedPath(root) }

    /// Where the new database of a directory is until it takes the place of the old one.
    static func stagedPath(_ root: String) -> String { Store.databasePath(root) + ".rebuilt" }

    init(_ root: String, disk: any Disk, report: @escaping (Phrase) -> Void) throws {
        (self.root, self.disk, self.report) = (root, disk, report)
        let database = Store.databasePath(root)
        try RebuiltDatabase.finishFormer(root, disk, report)
        let exists = try (disk.information(database)?.size ?? 0) > 0
        if exists, try RebuiltDatabase.isWhole(database, disk) {
            isStaged = false
            let connection = try Connection(path: database, role: .writer, disk: disk)
            try StoreSchema.current.migrate(connection)
            open = connection
            return
        }
        guard try exists || Store.hasLogs(root, disk) else {
            throw DiskError(code: .noSuchFileOrDirectory, operation: "open", path: database)
        }
        // The copy of the secret is needed. If it can't be read, nothing is changed.
        if !exists { _ = try StoreSecret.read(in: root, disk: disk) }
        isStaged = true
        (wasMissing, hasUnknownLoss, hasLostAccounts) = (!exists, !exists, !exists)
        let staged = RebuiltDatabase.stagedPath(root)
        try disk.removeDatabase(staged)
        let connection = try Connection(path: staged, role: .writer, disk: disk)
        open = connection
        if exists { try salvage(database, connection) }
        try StoreSchema.current.migrate(connection)
        isNew = try storeID() == nil
    }

    /// Only until `finish`.
    var connection: Connection {
        guard let open else { preconditionFailure("the database was finished") }
        return open
    }

    /// Completes a run that was killed while its database replaced the old one. As long as that is there, a server may have
    /// written to it since.
    private static func finishFormer(_ root: String, _ disk: any Disk, _ report: (Phrase) -> Void) throws {
        let (path, staged) = (Store.databasePath(root), stagedPath(root))
        guard try (disk.information(path)?.size ?? 0) == 0, try disk.information(staged) != nil,
            try disk.information(staged + "-wal") == nil, try isWhole(staged, disk)
        else { return }
        do {
            let connection = try Connection(path: staged, role: .reader, disk: disk)
            guard try connection.hasMeta(.clean) else { return }
        }
        try disk.removeLog(of: staged)
        try replace(root, disk, Quarantine(root: root, disk: disk), report)
        report("put '\(path)' in place, which a repair that was stopped had finished")
    }

    /// - Throws: an error that says nothing about its content: this process may not open it, another one has locked it. A database
    ///   that is whole must not be replaced then.
    private static func isWhole(_ path: String, _ disk: any Disk) throws -> Bool {
        // A link may lead to a database that is whole, on another disk.
        if let found = try disk.information(path), !found.isRegular {
            throw StoreOpenError.unfit("'\(path)' is no regular file; put the database itself there, or move it away")
        }
        do {
            let connection = try Connection(path: path, role: .reader, disk: disk)
            return try connection.problems().isEmpty && connection.hasMeta(.storeID)
        } catch let error as SQLiteError {
            guard error.isOfContent else { throw error }
            return false
        }
    }

    /// Tables that are made again from the logs.
    private static let derived: Set<String> = ["segment", "block", "sent", "relation", "retired"]

    /// Copies the rows of each table up to the first that can't be read.
    private func salvage(_ path: String, _ target: Connection) throws {
        do {
            let source = try Connection(path: path, role: .reader, disk: disk)
            // Otherwise SQLite refuses all of a file that is shorter than its header says.
            try source.execute("PRAGMA writable_schema=ON")
            // Rows of an earlier schema lack the columns that later steps add.
            let version = try StoreSchema.current.check(source)
            try Schema(steps: Array(StoreSchema.current.steps.prefix(version))).migrate(target)
            for table in KeyTables.names(in: (try? RebuiltDatabase.tables(of: source)) ?? []) {
                try target.execute(KeyTables.creation(of: table))
            }
            var incomplete: Set<String> = []
            for table in try RebuiltDatabase.tables(of: target) where !RebuiltDatabase.derived.contains(table) {
                let (count, problem) = try copy(table, from: source, to: target)
                guard let problem else {
                    if count > 0 { report("took \(count) rows of the table '\(table)'") }
                    continue
                }
                incomplete.insert(table)
                report("took \(count) rows of the table '\(table)', and no others: \(problem)")
            }
            // The logs have dictionaries, too.
            hasLostRows = !incomplete.subtracting(["dictionary"]).isEmpty
            hasLostAccounts = incomplete.contains("account")
            hasLostMembers = hasLostAccounts || incomplete.contains("membership")
            // Without these tables, nothing says which messages the journal held behind the end of a log. Earlier schemas have
            // one table of the journal, 'batch'.
            hasUnknownLoss =
                version == 0 || !incomplete.isDisjoint(with: JournalTables.names + ["batch", "conversation"])
        } catch let error as SQLiteError where error.path == path && error.reason != .newerSchema && error.isOfContent {
            report("no table of '\(path)' can be read: \(error.message)")
            (hasUnknownLoss, hasLostRows, hasLostAccounts, hasLostMembers) = (true, true, true, true)
        }
    }

    private static func tables(of connection: Connection) throws(SQLiteError) -> [String] {
        try connection.rows(
            "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ) { $0.text(0) }
    }

    /// - Returns: how many rows were copied, and why the others were not; nil if these are all.
    /// - Throws: errors of the target.
    private func copy(
        _ table: String, from source: Connection, to target: Connection
    ) throws -> (count: Int, problem: Phrase?) {
        let columns = try target.rows("SELECT name FROM pragma_table_info('\(table)') ORDER BY cid") { $0.text(0) }
        let names = columns.joined(separator: ",")
        let marks = columns.map { _ in "?" }.joined(separator: ",")
        var count = 0
        return try target.transaction {
            let insert = try target.statement("INSERT OR IGNORE INTO \(table) (\(names)) VALUES (\(marks))")
            do {
                let rows = try source.statement("SELECT \(names) FROM \(table)")
                while try rows.step() {
                    try insert.bind(all: columns.indices.map { rows.value($0) })
                    while try insert.step() {}
                    insert.reset()
                    count += 1
                }
                return (count, nil)
            } catch let error as SQLiteError where error.path == source.path {
                return (count, error.message)
            }
        }
    }

    // MARK: Contents

    func storeID() throws -> StoreID? {
        try connection.meta(.storeID) { StoreID(bytes: $0.blob(0)) } ?? nil
    }

    /// Gives a new database the store's id, which the logs contain.
    func identify(_ found: StoreID?) throws -> StoreID {
        if let own = try storeID() {
            if try !connection.hasMeta(.keySecret) { try putSecret() }
            return own
        }
        var random = SecureRandom()
        let id = found ?? StoreID(using: &random)
        try connection.setMeta(.storeID, id.bytes)
        try putSecret()
        return id
    }

    private func putSecret() throws {
        try connection.setMeta(.keySecret, (try StoreSecret.read(in: root, disk: disk) ?? .random()).bytes)
        report(
            "the ids of messages sent before are not known any more: a message sent again with such an id counts as new"
        )
    }

    // MARK: The end

    /// Makes the database durable and gives it its final name.
    func finish(_ quarantine: Quarantine) throws {
        try connection.checkpoint(.truncating)
        open = nil
        guard isStaged else { return }
        try disk.open(stagedPath, .readWrite).sync()
        try disk.syncDirectory(root)
        try RebuiltDatabase.replace(root, disk, quarantine, report)
    }

    /// Moves the old files to quarantine. The database goes first, because without its WAL it lacks commits, and a start would
    /// use it. The new one comes last, because SQLite must never apply the WAL to it.
    private static func replace(
        _ root: String, _ disk: any Disk, _ quarantine: Quarantine, _ report: (Phrase) -> Void
    ) throws {
        let path = Store.databasePath(root)
        for name in [path, path + "-wal", path + "-shm"] where try disk.information(name) != nil {
            let target = try quarantine.move(name)
            if name == path { report("moved the damaged database to '\(target)'") }
        }
        try disk.rename(stagedPath(root), to: path)
        try disk.syncDirectory(root)
    }
}
