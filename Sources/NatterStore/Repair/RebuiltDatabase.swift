internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterModel
internal import NatterSystem

/// The database that a rebuild writes to. If the existing one can be read completely, it is used. Otherwise a new one
/// gets the readable rows of the old and replaces it at the end.
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
        try RebuiltDatabase.fillEmpty(database, disk, report)
        let exists = try (disk.information(database)?.size ?? 0) > 0
        if exists, try RebuiltDatabase.isWhole(database, disk) {
            isStaged = false
            let connection = try Connection(path: database, role: .writer, disk: disk)
            try StoreSchema.current.migrate(connection)
            open = connection
            hasUnknownLoss = try connection.lacksJournalEnd()
            return
        }
        guard try exists || Store.hasLogs(root, disk) else {
            throw DiskError(code: .noSuchFileOrDirectory, operation: "open", path: database)
        }
        // The copy of the secret is needed. If it can't be read, nothing is changed.
        if !exists { _ = try StoreSecret.read(in: root, disk: disk) }
        isStaged = true
        (wasMissing, hasUnknownLoss) = (!exists, !exists)
        let staged = RebuiltDatabase.stagedPath(root)
        try disk.removeDatabase(staged)
        let connection = try Connection(path: staged, role: .writer, disk: disk)
        open = connection
        var hasWholeJournal = true
        if exists { hasWholeJournal = try salvage(database, connection) }
        try StoreSchema.current.migrate(connection)
        if !hasWholeJournal {
            // It is the only place of its messages, and its checksums tell its rows from others.
            try TableSalvage.copyLeaves("batch", of: database, on: disk, to: connection) { row in
                (try? row.withBlob(1) { try SealedBatch(checking: $0) }) != nil
            }
        }
        if try connection.lacksJournalEnd() { hasUnknownLoss = true }
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

    /// The write-ahead log of a database of 0 bytes may hold all of it, as that of a young store does. SQLite reads it behind a
    /// page of any content, and would remove it otherwise.
    private static func fillEmpty(_ database: String, _ disk: any Disk, _ report: (Phrase) -> Void) throws(DiskError) {
        guard try disk.information(database)?.size == 0, let log = try disk.information(database + "-wal"), log.size > 0
        else { return }
        let file = try disk.open(database, .readWrite)
        try file.write([UInt8](repeating: 0, count: 4_096), at: 0)
        try file.sync()
        report("'\(database)' was empty; what its write-ahead log holds is taken")
    }

    /// Removes what a stopped run has left beside a database that is used: later it would be older.
    static func discardUnfinished(_ root: String, _ disk: any Disk) throws(DiskError) {
        try disk.removeDatabase(stagedPath(root))
    }

    /// - Throws: an error that says nothing about its content: this process may not open it, another one has locked it. A database
    ///   that is whole must not be replaced then.
    private static func isWhole(_ path: String, _ disk: any Disk) throws -> Bool {
        // A link may lead to a database that is whole, on another disk.
        if let found = try disk.information(path), !found.isRegular {
            throw StoreOpenError.unfit("'\(path)' is no regular file; put the database itself there, or move it away")
        }
        do {
            guard try isSound(path, disk) else { return false }
            // Nothing reads pages that nothing leads to, but they are still damage.
            return try Store.damagedPages(path, disk).isEmpty
        } catch let error as SQLiteError where !error.isOfContent {
            throw error
        } catch let error as DiskError where error.code.isOfProcess {
            throw error
        } catch {
            return false
        }
    }

    private static func isSound(_ path: String, _ disk: any Disk) throws -> Bool {
        let connection = try Connection(path: path, role: .reader, disk: disk)
        guard try connection.row("PRAGMA integrity_check(1)", read: { $0.text(0) }) == "ok" else { return false }
        return try connection.hasMeta(.storeID)
    }

    /// - Returns: whether all of the journal could be read.
    private func salvage(_ path: String, _ target: Connection) throws -> Bool {
        do {
            return try salvage(Connection(path: path, role: .reader, disk: disk), target)
        } catch let error as SQLiteError where error.path == path && error.reason != .newerSchema && error.isOfContent {
            report("the tables of '\(path)' can't be read: \(error.message)")
            try StoreSchema.current.migrate(target)
            let found = try LoosePages.withoutFirstPage(path, on: disk, like: target, isTable: KeyTables.isTable)
            if let found {
                report("the tables of '\(path)' were found without its first page")
                return try salvage(found, target)
            }
            hasUnknownLoss = true
            return false
        }
    }

    private func salvage(_ source: Connection, _ target: Connection) throws -> Bool {
        // Otherwise SQLite refuses all of a file that is shorter than its header says.
        try source.execute("PRAGMA writable_schema=ON")
        // Rows of an earlier schema lack the columns that later steps add.
        let version = try StoreSchema.current.check(source)
        try Schema(steps: Array(StoreSchema.current.steps.prefix(version))).migrate(target)
        var salvage = DatabaseSalvage(from: source, to: target)
        try target.transaction { try salvage.run() }
        for table in salvage.incomplete {
            report("of the table '\(table)' of '\(source.path)' not all could be read; a backup has it whole")
        }
        let problems = TableSalvage.problems(of: source)
        let lacksRows = salvage.incomplete.isEmpty && TableSalvage.lacksRows(problems)
        if lacksRows { report("rows of '\(source.path)' are lost; its indexes name more than its tables have") }
        let hasStrayRows = try TableSalvage.hasStrayRows(problems, of: source.path, on: disk)
        if hasStrayRows {
            report(
                "nothing leads to some pages of '\(source.path)' any more; messages in them are taken, other rows may be lost"
            )
        }
        hasLostRows = lacksRows || hasStrayRows || !salvage.incomplete.isEmpty
        hasLostMembers = !Set(["membership", "account"]).isDisjoint(with: salvage.incomplete)
        // Without these tables, nothing says which messages the journal held behind the end of a log.
        hasUnknownLoss = version == 0 || !Set(["batch", "conversation"]).isDisjoint(with: salvage.incomplete)
        return version > 0 && !salvage.incomplete.contains("batch") && !hasStrayRows
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
