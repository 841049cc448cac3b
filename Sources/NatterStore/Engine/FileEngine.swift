internal import NatterConversation
internal import NatterSystem
internal import NatterSQLite
internal import NatterModel

/// The engine of one server: rows and journal in SQLite (`store.db`), blocks in log files, all in one directory.
///
/// Its log is the journal, with one row for each entry that has messages. Changes are kept only as rows. They are
/// never encoded, and entries are never read back.
final class FileEngine: StoreEngine {
    let directory: String
    let disk: any Disk
    let clock: any WallClock
    let isShared = false
    let sealsTails = true
    private let idRetentionDays: Int
    private let checkpointBytes: Int
    private let opensUnfinished: Bool
    private let reporter: @Sendable (Phrase) -> Void
    private let cache: ArchiveCache
    /// Counted by the recovery.
    let shortLogs = Monitor(0)
    var shortLogCount: Int { shortLogs.withLock { $0 } }
    /// nil before `load` and after `close`.
    private let database = Monitor<Database?>(nil)
    /// The lock that keeps other processes out of the directory; nil after it was released.
    private let lock: Monitor<(any DiskLock)?>

    private struct Database {
        let connection: Connection
        var keys: KeyTables
        var journal: JournalTables
        let id: StoreID
        let keySecret: ShortHashKey
        /// The size of the write-ahead log at the last checkpoint.
        var checkpointedBytes = 0

        /// Checkpoints the write-ahead log when it has grown by this many bytes.
        ///
        /// From four times as many on, it waits for readers, so that the log begins anew. The readers' transactions are
        /// short: none is open while an answer is sent. Only a copy of the database takes longer, and can't be waited for.
        mutating func checkpoint(every bytes: Int) throws(SQLiteError) {
            let size = connection.walBytes
            if size < checkpointedBytes { checkpointedBytes = 0 }
            guard size - checkpointedBytes >= bytes else { return }
            checkpointedBytes = size
            do { try connection.checkpoint(size < 4 * bytes ? .passive : .restarting(milliseconds: 250)) } catch {
                // The write-ahead log still holds every frame. But a later checkpoint could seem to succeed although
                // pages were lost.
                if error.reason == .inputOutput { throw error }
            }
        }
    }

    /// Locks the directory, and creates it if necessary.
    init(_ directory: String, disk: any Disk, clock: any WallClock, options: Store.Options) throws {
        (self.directory, self.disk, self.clock) = (directory, disk, clock)
        (idRetentionDays, checkpointBytes) = (options.idRetentionDays, options.checkpointBytes)
        reporter = options.report
        opensUnfinished = options.opensUnfinished
        cache = ArchiveCache(directory: directory, disk: disk)
        lock = Monitor(try Store.takeLock(directory, disk: disk))
        try Store.requireNoCache(directory)
    }

    func report(_ line: Phrase) { reporter(line) }

    /// The open database goes with the directory that an administrator moves, but a new log file would be created at the
    /// former path.
    var trouble: StoreTrouble? { lock.withLock { $0?.isInPlace } == false ? .directoryMoved(directory) : nil }

    func close(isClean: Bool) {
        database.signal { database in
            if let connection = database?.connection {
                if isClean { try? connection.setMeta(.clean, true) }
                try? connection.checkpoint(.truncating)
            }
            database = nil
        }
        lock.signal { $0 = nil }
    }

    private func withDatabase<Result>(_ body: (inout Database) throws -> Result) throws -> Result {
        try database.withLock { database in
            guard var open = database else { throw StoreError.failed("the store is closed") }
            // With a second owner, each change of the keys would copy all of them.
            database = nil
            defer { database = open }
            return try body(&open)
        }
    }

    // MARK: The log

    func append(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws -> Appended {
        try withDatabase { database in
            let connection = database.connection
            try FileEngine.transaction(&database, isCertain: FileEngine.wroteNothing) { database in
                try entry.writeChanges(to: connection, &database.keys)
                for written in blocks { try written.record(on: connection) }
                for (batch, isMoved) in [(entry.movedTails, true), (entry.messages, false)] where !batch.isEmpty {
                    try database.journal.insert(batch, number: Batch.rowNumber(of: entry.commit, isMoved: isMoved))
                }
            }
            for number in entry.changes.compactMap(\.rewritten) { cache.forget(number) }
            return .done(LogPlace(number: entry.before.number &+ 1, chain: .zero))
        }
    }

    func entries(after place: LogPlace, limit: Int) throws -> [LogEntry] { [] }

    func head() throws -> LogPlace { .start }

    func onNews(_ hint: @escaping @Sendable (UInt64?) -> Void) {}

    func find(_ keys: [RecentKey]) throws -> [RecentKey: FoundKey] {
        do { return try withDatabase { try $0.keys.find(keys) } } catch {
            throw FileEngine.wroteNothing(error) ? StoreError(error) : error
        }
    }

    func trim(
        below floor: Commit, moving keys: [MovedKey], now: Timestamp, at place: LogPlace
    ) throws -> (bytes: Int, floor: Commit) {
        try withDatabase { database in
            try FileEngine.transaction(&database, isCertain: { !ArchiveError($0).leavesUnknown }) { database in
                let part = try FileEngine.trimmedPart(below: floor, database.connection)
                try database.keys.insert(keys.filter { $0.commit < part.floor }, now: now)
                try database.keys.dropExpired(now: now)
                try database.journal.delete(below: Batch.rowNumber(of: part.floor, isMoved: true))
                return part
            }
        }
    }

    /// So many bytes of messages are trimmed at a time, because the pages of their rows are freed one by one: 8 MiB would stop
    /// everybody's posts for 75 ms.
    private static let trimBytes = 512 << 10

    private static func trimmedPart(
        below floor: Commit, _ connection: Connection
    ) throws -> (bytes: Int, floor: Commit) {
        let rows = try connection.statement(
            """
            SELECT number,length(data),substr(data,1,\(SealedBatch.prefixCount)) FROM batch
            WHERE number < ? ORDER BY number
            """)
        try rows.bind(Batch.rowNumber(of: floor, isMoved: true))
        defer { rows.reset() }
        var (bytes, last) = (0, Commit.zero)
        while try rows.step() {
            let commit = Commit(rows.uint64(0) / 2)
            // Both rows of a commit go together.
            if bytes >= trimBytes, commit > last { return (bytes, commit) }
            bytes += rows.withBlob(2) { SealedBatch.rawByteCount(prefix: $0, of: rows.int(1)) }
            last = commit
        }
        return (bytes, floor)
    }

    func turnJournal() throws -> Bool { try withDatabase { try $0.journal.turn() } }

    func emptyFormerJournal() throws {
        try withDatabase { database in
            try FileEngine.transaction(&database, isCertain: FileEngine.wroteNothing) { try $0.journal.emptyFormer() }
        }
    }

    func changeFiles(_ body: (Connection) throws -> Void) throws {
        try withDatabase { database in
            try FileEngine.transaction(&database, isCertain: FileEngine.wroteNothing) { try body($0.connection) }
        }
    }

    /// Also names the search index, which has words of what goes and is made again.
    func noteNew(_ paths: [String]) throws {
        try changeFiles { for path in paths + StoreSearch.files { try RetiredFiles.insert(path, on: $0) } }
    }

    func emptyWriteAheadLog() throws {
        try withDatabase { database in
            // A checkpoint that finds no room leaves the write-ahead log as it is.
            do { try database.connection.checkpoint(.truncatingWithin(milliseconds: 20)) } catch let error
                as SQLiteError where error.reason == .full
            {
                throw StoreError(error)
            }
        }
    }

    var logBytes: Int { database.withLock { $0?.connection.walBytes ?? 0 } }

    func giveBack() throws -> Int { try withDatabase { try $0.connection.giveBack() } }

    /// Runs `body` in a transaction.
    ///
    /// - Parameter isCertain: whether an error thrown by `body` proves that nothing was written.
    /// - Throws: `StoreError` only if it is certain that nothing was written.
    private static func transaction<Result>(
        _ database: inout Database, isCertain: (any Error) -> Bool, _ body: (inout Database) throws -> Result
    ) throws -> Result {
        let connection = database.connection
        func undo() throws {
            connection.rollBack()
            // The rollback also undoes creating and dropping key tables, so the list of tables must be read again. Without it, a
            // message that is sent again would be stored again.
            try database.keys.reload()
        }
        let result: Result
        do {
            try connection.execute("BEGIN IMMEDIATE")
            result = try body(&database)
        } catch {
            try undo()
            throw isCertain(error) ? StoreError(error) : error
        }
        do { try connection.execute("COMMIT") } catch {
            try undo()
            if error.reason == .full || error.reason == .busy { throw StoreError(error) }
            throw error
        }
        return result
    }

    private static func wroteNothing(_ error: any Error) -> Bool {
        switch error {
        case let error as SQLiteError: error.reason != .inputOutput && error.reason != .corrupt
        case is StoreError: true
        default: false
        }
    }

    func checkpointIfDue() throws {
        try withDatabase { try $0.checkpoint(every: checkpointBytes) }
    }

    func makeReader() throws -> ArchiveReader {
        try ArchiveReader(
            connection: Connection(path: Store.databasePath(directory), role: .reader, disk: disk), cache: cache)
    }

    // MARK: Loading

    func load() throws -> LoadedState {
        try checkComplete()
        try warnOfReaders()
        do {
            return try loadAndRecover(isRebuilt: false)
        } catch is StoreRecovery.StaleIndex {
            // Rebuilds the index from all logs once, then opens the store with the new index.
            report("the index is older than the logs; it is made again from them")
            database.signal { $0 = nil }
            _ = try StoreRebuild.rebuild(directory, .reindex, disk: disk, clock: clock, report: reporter)
            return try loadAndRecover(isRebuilt: true)
        }
    }

    /// Says so if every user of this machine can read the store.
    private func warnOfReaders() throws(DiskError) {
        guard let mode = try disk.information(directory + "/.")?.mode, mode & 0o001 != 0 else { return }
        for name in ["store.db", "store.db-wal", "search.db", StoreSecret.name, "logs"] {
            let path = directory + "/" + name
            guard let mode = try disk.information(path)?.mode, mode & 0o004 != 0 else { continue }
            return report("every user of this machine can read '\(path)'; run 'chmod -R go= \(directory)'")
        }
    }

    /// Throws if a part of the directory is missing. Logs without a database would look like an empty store, which
    /// would assign their numbers again.
    private func checkComplete() throws {
        if !opensUnfinished { try StoreRestore.requireFinished(in: directory, disk: disk) }
        try BackupManifest.requireNone(in: directory, disk: disk)
        guard try (disk.information(Store.databasePath(directory))?.size ?? 0) == 0 else {
            // A repair that was stopped may have left it beside the database that is used. Later it would be older.
            return try disk.removeDatabase(RebuiltDatabase.stagedPath(directory))
        }
        try Store.requireDatabase(in: directory, disk)
    }

    private func loadAndRecover(isRebuilt: Bool) throws -> LoadedState {
        try explaining {
            try open()
            return try withDatabase { try load($0, isRebuilt: isRebuilt) }
        }
    }

    /// Loads what is there, and writes nothing.
    func look() throws -> LoadedState {
        try explaining {
            let (connection, isCurrent) = try reader()
            guard isCurrent else {
                throw StoreOpenError.incomplete(
                    "the store in '\(directory)' is of an earlier natterd; copy it to where it can be written to, and this one adapts it"
                )
            }
            let (id, secret) = try FileEngine.identity(connection)
            var loader = StateLoader(connection)
            var state = try loader.loadRows(id)
            try loader.loadJournal(&state)
            try loader.loadDeletions(state)
            state.commit = state.conversations.values.reduce(state.commit) { max($0, $1.lastCommit) }
            return LoadedState(keySecret: secret, state: state, keys: loader.keys)
        }
    }

    /// Reads the database and checks that a start could open it. Changes nothing.
    func check() throws { _ = try explaining { try reader() } }

    private func reader() throws -> (connection: Connection, isCurrent: Bool) {
        try StoreRestore.requireFinished(in: directory, disk: disk)
        try Store.requireDatabase(in: directory, disk)
        let connection = try Connection(path: Store.databasePath(directory), role: .reader, disk: disk)
        return (connection, try StoreSchema.current.check(connection) == StoreSchema.current.steps.count)
    }

    private func explaining<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as SQLiteError where error.reason == .newerSchema {
            throw StoreOpenError.newer(error.phrase)
        } catch let error as SQLiteError where error.reason == .corrupt {
            throw StoreOpenError.damaged("\(error.phrase); restore a backup, or run 'natterd reindex'")
        } catch let error as SQLiteError where error.reason == .cannotOpen {
            if error.systemError == .readOnlyFileSystem { throw StoreOpenError.incomplete(error.phrase) }
            throw StoreOpenError.cannotCreate(
                DiskError(code: error.systemError ?? .permissionDenied, operation: "open", path: error.path))
        }
    }

    private func open() throws {
        let path = Store.databasePath(directory)
        // Makes changes of an earlier process durable before relying on them. After a kill they may be only in the
        // kernel's memory, and a checkpoint or a new commit must not depend on them.
        try Connection.makeLogDurable(of: path, on: disk)
        let connection = try Connection(path: path, role: .writer, disk: disk)
        // Behind the next transaction, an unfinished one in the log would look like damage.
        try connection.checkpoint(.truncating)
        try StoreSchema.current.migrate(connection)
        let (id, secret) = try FileEngine.identity(connection)
        // A full disk must not keep anybody from reading.
        do throws(DiskError) { try StoreSecret.keep(secret, in: directory, disk: disk) } catch {
            report("cannot keep a second copy of the store's secret: \(error)")
        }
        let opened = Database(
            connection: connection, keys: try KeyTables(connection: connection, retentionDays: idRetentionDays),
            journal: try JournalTables(connection), id: id, keySecret: secret)
        nonisolated(unsafe) let shared = opened
        database.signal { $0 = shared }
    }

    /// The store's id and the secret of its short hashes. A new store gets both.
    static func identity(_ connection: Connection) throws -> (StoreID, ShortHashKey) {
        if let known = try connection.meta(.storeID, read: { $0.blob(0) }) {
            guard let id = StoreID(bytes: known),
                let secret = try connection.meta(.keySecret, read: { ShortHashKey(bytes: $0.blob(0)) }) ?? nil
            else { throw StoreOpenError.damaged("the database '\(connection.path)' has lost its store's id") }
            return (id, secret)
        }
        var random = SecureRandom()
        let id = StoreID(using: &random)
        let secret = ShortHashKey.random()
        try connection.transaction {
            try connection.setMeta(.storeID, id.bytes)
            try connection.setMeta(.keySecret, secret.bytes)
        }
        return (id, secret)
    }

    private func load(_ database: Database, isRebuilt: Bool) throws -> LoadedState {
        let connection = database.connection
        try BlobWriter.removeAll(in: directory, disk: disk)
        try connection.transaction { try FileRows.dropAnnounced(on: connection) }
        try RetiredFiles(directory: directory, disk: disk).finish(on: connection)
        var loader = StateLoader(connection)
        var state = try loader.loadRows(database.id)
        let isClean = try FileEngine.takeCleanMark(connection)
        state.commit = max(state.commit, try loader.lastJournaled())
        let known = state.conversations.values.reduce(state.commit) { max($0, $1.lastCommit) }
        let recovery = StoreRecovery(
            store: self, storeID: database.id, connection: connection, journal: loader.journal, isRebuilt: isRebuilt)
        try recovery.run(&state, isClean: isClean)
        try loader.loadJournal(&state)
        try connection.transaction {
            try loader.restoreRelations()
            try loader.restoreFiles(&state, cache: cache)
            try loader.loadDeletions(state, cache: cache)
        }
        if state.general == 0 {
            let general = Change.conversationAdded(.general(of: database.id, number: state.counters.conversation + 1))
            try make(general, at: state.commit, &state, connection)
        }
        state.commit = state.conversations.values.reduce(state.commit) { max($0, $1.lastCommit) }
        // The new epoch begins before commits that were found only in the logs, because their other changes are lost.
        let first = min(known, state.commit).next
        try make(.epochBegun(Epoch.next(after: state.epoch), first: first), at: first, &state, connection)
        try StoreRecovery.writeMark(state.epoch, in: directory, disk: disk)
        return LoadedState(keySecret: database.keySecret, state: state, keys: loader.keys)
    }

    /// Makes a change durable while the store is being opened.
    private func make(
        _ change: Change, at commit: Commit, _ state: inout StoreState, _ connection: Connection
    ) throws {
        try connection.transaction { try change.write(to: connection, at: commit) }
        change.apply(to: &state, at: commit)
    }

    /// Whether the store was closed properly. Removes the mark, so that the next crash is noticed.
    private static func takeCleanMark(_ connection: Connection) throws -> Bool {
        let isClean = try connection.hasMeta(.clean)
        if isClean { try connection.execute("DELETE FROM meta WHERE key='clean'") }
        return isClean
    }
}

extension Epoch {
    static func next(after epoch: Epoch) -> Epoch {
        var random = SecureRandom()
        return Epoch(run: epoch.run &+ 1, random: UInt32(truncatingIfNeeded: random.next()))
    }

    static func last(on connection: Connection) throws(SQLiteError) -> Epoch? {
        try connection.row("SELECT value FROM epoch ORDER BY run DESC LIMIT 1") { Epoch(rawValue: $0.uint64(0)) }
    }
}
