internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterSQLite

/// The engine of several servers that share one store in PostgreSQL.
///
/// The table `log` is one ordered log. Entry C+1 can be there only if its author had seen entry C, so nobody ever misses
/// an entry that commits late. Rows are tables that every entry changes in its own transaction. Each server keeps a copy
/// of the rows (`RowCopy`) in its cache directory and reads only that. Log files are rows as well (`PostgresDisk`).
final class PostgresEngine: StoreEngine {
    let directory: String
    let disk: any Disk
    let isShared = true
    let sealsTails = true
    let target: PostgresTarget
    private let pool: PostgresPool
    private let watch: PostgresWatch
    private let barrier = ReadBarrier()
    /// This start of this server.
    private let node: Int64
    private let retentionDays: Int
    let state: Monitor<State>
    /// nil before `load` and after `close`. Readers must not wait for the writer's thread.
    private let cache = Monitor<ArchiveCache?>(nil)
    private let lock: Monitor<[any DiskLock]>
    /// Until when this machine's disk counts as too full for a copy of the rows, in milliseconds of the monotonic clock.
    private let fullUntil = Monitor<Int64>(0)

    struct State {
        var log: PostgresLog
        /// nil before `load` and after `close`, and if it could not be made or written.
        var copy: RowCopy?
        /// Why it could not be written.
        var copyFailure: Phrase?
        /// The entries that the store counts in its journal.
        var journal: [(commit: Commit, bytes: Int)] = []
        var attempts: UInt64 = 0
        /// The time before which keys in PostgreSQL are to be forgotten, by sweeps: nobody's message waits for it.
        var expired: Timestamp?
        /// The store that was loaded first; nil before.
        var id: StoreID?

        /// Counts an entry that the store counts in its journal.
        mutating func note(_ entry: LogEntry) {
            journal.append((entry.commit, max(entry.journalBytes, PostgresEngine.leastEntryBytes)))
        }

        /// Copies the rows of entries of other servers, before the store makes them visible.
        mutating func follow(_ others: [LogEntry], _ cache: ArchiveCache?) throws {
            // There is nothing to go on from.
            guard let number = copy?.number else { throw HistoryWentBack(copyFailure: copyFailure) }
            for entry in others where entry.before.number >= number {
                do { try copy?.follow(entry, &log) } catch { throw lose(error) }
                for number in entry.changes.compactMap(\.rewritten) { cache?.forget(number) }
                note(entry)
            }
        }

        /// Gives up the copy if this machine's disk has failed it. It is never the truth, so the next look at the log loads it anew.
        mutating func lose(_ error: any Error) -> any Error {
            guard case .index(let failure) = ArchiveError(error) else { return error }
            (copy, copyFailure) = (nil, failure.phrase)
            return StoreError(error)
        }
    }

    static func cache(in directory: String) -> String { directory + "/shared" }

    /// Locks the cache directory, and creates it if necessary.
    init(_ target: PostgresTarget, cache directory: String, options: Store.Options) throws {
        self.target = target
        var random = SecureRandom()
        node = Int64(bitPattern: random.next())
        pool = PostgresPool(
            target, patienceMilliseconds: options.databasePatienceMilliseconds, report: options.report)
        watch = PostgresWatch(pool, node: node)
        // Beside it may be a store of files, which has nothing to do with this one.
        self.directory = PostgresEngine.cache(in: directory)
        disk = PostgresDisk(pool, directory: self.directory, node: node)
        retentionDays = options.idRetentionDays
        state = Monitor(State(log: PostgresLog(pool, node: node)))
        do throws(DiskError) { try PosixDisk().makeDirectories(directory) } catch {
            throw StoreOpenError.cannotCreate(error)
        }
        // A server of files there has the same socket.
        lock = Monitor(
            [try Store.takeLock(directory, disk: PosixDisk()), try Store.takeLock(self.directory, disk: PosixDisk())])
    }

    func close(isClean: Bool) {
        release()
        lock.signal { $0 = [] }
    }

    /// Releases everything, and leaves nothing in the cache directory.
    func closeAndDiscard() {
        release()
        // While it is still locked, because another check may wait for the directory.
        try? PosixDisk().removeDatabase(Store.databasePath(directory))
        lock.signal { $0 = [] }
    }

    private func release() {
        watch.stop()
        pool.close()
        state.withLock { state in
            state.log = PostgresLog(pool, node: node)
            state.copy = nil
        }
        cache.withLock { $0 = nil }
    }

    // MARK: Loading

    func load() throws -> LoadedState {
        let former = state.withLock { $0.id }
        if MonotonicClock.now() < fullUntil.withLock({ $0 }) { throw StoreError.diskFull }
        do {
            // At the start, a database that can't be reached is more likely a wrong name.
            let connection = former == nil ? try pool.open() : try pool.connect()
            connection.silenceMilliseconds = PostgresPool.longSilenceMilliseconds
            if let former { try PostgresEngine.require(former, connection) }
            // First, so that a database that is refused gets no tables.
            try PostgresSchema.check(connection) { SystemClock().now().milliseconds }
            try PostgresSchema.migrate(connection)
            // Later, a table that is not there may be on its way, as while the database is restored.
            if former == nil { try PostgresSchema.requireTables(connection) }
            let (id, secret) = try PostgresEngine.identity(connection)
            if former == nil { try setApartErasures(ofOtherThan: id) }
            for _ in 0..<PostgresEngine.loadTries {
                if let loaded = try load(connection, id, secret) {
                    state.withLock { $0.id = id }
                    try watch.start()
                    return loaded
                }
            }
            throw StoreOpenError.unreachable("other servers write so much that this one can't begin; try again")
        } catch let error as PostgresError {
            if former != nil { throw StoreError(error) }
            throw StoreOpenError(error)
        } catch let error where former != nil && ArchiveError(error).isFull {
            fullUntil.withLock { $0 = MonotonicClock.now() + PostgresEngine.fullMilliseconds }
            throw StoreError.diskFull
        }
    }

    private static let loadTries = 16
    /// An entry without messages counts so much in the journal, so that a start does not read more than 50,000 of them.
    private static let leastEntryBytes = 512
    /// How long it does not try again to copy all rows to a full disk.
    private static let fullMilliseconds: Int64 = 5_000

    /// Refuses to go on with another store, whose numbers and cursors mean something else. Waits for one that is being restored:
    /// its tables are filled one by one, and what this server made there would be in the way.
    private static func require(_ id: StoreID, _ connection: PostgresConnection) throws {
        let rows = try connection.run("SELECT id FROM store")
        guard rows.count == 1 else { throw StoreError.databaseAway }
        guard rows.blob(0, 0) == id.bytes else {
            throw StoreOpenError.unfit("the database now holds another store than when this server began")
        }
    }

    /// The store's id and the secret of its short hashes. The first server of a new store makes both, and row 0.
    private static func identity(_ connection: PostgresConnection) throws -> (StoreID, ShortHashKey) {
        var random = SecureRandom()
        let fresh = StoreID(using: &random)
        try connection.execute("BEGIN")
        try connection.run(
            "INSERT INTO store (id,key_secret) VALUES ($1,$2) ON CONFLICT (one) DO NOTHING", .bytes(fresh.bytes),
            .bytes(ShortHashKey.random().bytes))
        guard let known = try knownIdentity(connection) else { throw lostID }
        if known.0 == fresh {
            try requireNoLog(connection)
            _ = try PostgresLog.begin(fresh, connection)
        }
        try connection.execute("COMMIT")
        return known
    }

    /// Refuses entries whose store is gone: under another id, nothing in them would be right.
    private static func requireNoLog(_ connection: PostgresConnection) throws {
        if try connection.run("SELECT 1 FROM log LIMIT 1").count > 0 { throw lostID }
    }

    private static let lostID = StoreOpenError.damaged("the store in PostgreSQL has lost its id")

    /// The refusal of a database without a store. Another schema may have it.
    static func noStore(_ connection: PostgresConnection) throws(PostgresError) -> StoreOpenError {
        let path = try connection.run("SELECT current_setting('search_path')").text(0, 0)
        return .unfit(
            "the database holds no store in its search_path '\(path)'; name another database or schema, or make a store with 'natterd serve'"
        )
    }

    /// Whether the database has the tables of a store.
    static func hasTables(_ connection: PostgresConnection) throws(PostgresError) -> Bool {
        try connection.run("SELECT 1 WHERE to_regclass('schema_step') IS NOT NULL").count == 1
    }

    /// - Returns: nil if the database holds no store.
    static func knownIdentity(_ connection: PostgresConnection) throws -> (StoreID, ShortHashKey)? {
        let rows = try connection.run("SELECT id,key_secret,unfinished FROM store")
        guard rows.count == 1 else { return nil }
        guard rows.integer(0, 2) == 0 else {
            throw StoreOpenError.incomplete(
                "the database holds a copy that was not finished; run 'natterd copy' again")
        }
        guard let id = StoreID(bytes: rows.blob(0, 0)), let secret = ShortHashKey(bytes: rows.blob(0, 1)) else {
            throw lostID
        }
        return (id, secret)
    }

    /// - Returns: nil if another server has written meanwhile.
    private func load(
        _ connection: PostgresConnection, _ id: StoreID, _ secret: ShortHashKey
    ) throws -> LoadedState? {
        try state.withLock { engine in
            let (copy, place) = try copyRows(&engine, from: connection, id, secret)
            var loader = StateLoader(copy.connection)
            var state = try loader.loadRows(id)
            try loader.loadJournal(&state)
            try loader.loadDeletions(state)
            // A message of another server may have ended the run of salts since.
            for conversation in state.conversations.values { conversation.nextSalt = nil }
            state.commit = state.conversations.values.reduce(state.commit) { max($0, $1.lastCommit) }
            state.place = place
            (engine.copy, engine.copyFailure) = (copy, nil)
            // Before anything is written, so that nobody trims what this server has not read.
            watch.note(read: place.number)
            try watch.sayAlive(connection)
            var keys = loader.keys
            defer { engine.log.endTurn() }
            guard try begin(&state, &keys, id, &engine) else { return nil }
            state.leastEntryBytes = PostgresEngine.leastEntryBytes
            state.journalBytes = engine.journal.reduce(0) { $0 + $1.bytes }
            return LoadedState(keySecret: secret, state: state, keys: try copy.withoutErased(keys))
        }
    }

    /// Puts the list of what was erased in another store, which this directory served before, beside that of this store: here, its
    /// names would be taken.
    private func setApartErasures(ofOtherThan id: StoreID) throws {
        let (disk, list) = (PosixDisk(), directory + "/" + RememberedErasures.name)
        let copy = try? Connection(path: Store.databasePath(directory), role: .reader)
        guard let former = try? copy?.meta(.storeID, read: { StoreID(bytes: $0.blob(0)) }), let former, former != id
        else { return }
        if try disk.information(list) != nil { try disk.rename(list, to: "\(list).\(former)") }
        if try disk.information("\(list).\(id)") != nil { try disk.rename("\(list).\(id)", to: list) }
        try disk.syncDirectory(directory)
    }

    /// Makes the copy of the rows anew. `look` sees the database at the same moment.
    private func copyRows(
        _ engine: inout State, from connection: PostgresConnection, _ id: StoreID, _ secret: ShortHashKey,
        _ look: () throws -> Void = {}
    ) throws -> (copy: RowCopy, place: LogPlace) {
        // Readers of the former copy keep their file open until they are dropped.
        engine.copy = nil
        var copy = try RowCopy(path: Store.databasePath(directory), retentionDays: retentionDays)
        // Until the copy is whole, a new reader would find nothing in it.
        cache.withLock { $0 = nil }
        engine.journal = []
        try connection.execute(RowCopy.begin)
        try look()
        let place = try copy.fill(from: connection, id, secret) { engine.note($0) }
        try connection.execute("COMMIT")
        let fresh = ArchiveCache(directory: directory, disk: disk)
        cache.withLock { $0 = fresh }
        return (copy, place)
    }

    /// Copies the rows for a check, and begins nothing. Until it is closed, servers keep the log files that the copy names.
    ///
    /// - Returns: the paths of the log files that the copy must know, and what is missing at the end of the log.
    /// - Throws: `StoreOpenError.damaged` for a log that can't be read.
    func loadForCheck() throws -> (files: Set<String>, missing: Phrase?) {
        do {
            let connection = try pool.open()
            connection.silenceMilliseconds = PostgresPool.longSilenceMilliseconds
            if let reason = try PostgresSchema.forgetfulness(of: connection) { throw StoreOpenError.unfit(reason) }
            guard try PostgresEngine.hasTables(connection) else { throw try PostgresEngine.noStore(connection) }
            // Steps would end the servers that do not know them.
            guard try PostgresSchema.knownStep(connection) == Int64(PostgresSchema.steps.count) else {
                throw StoreOpenError.unfit("the store in PostgreSQL is of an older natterd; start this one on it first")
            }
            try PostgresSchema.requireTables(connection)
            guard let (id, secret) = try PostgresEngine.knownIdentity(connection) else {
                try PostgresEngine.requireNoLog(connection)
                throw try PostgresEngine.noStore(connection)
            }
            // Before the copy is made, and with the lock of the log: a server may just be removing what is replaced.
            try connection.execute("BEGIN; SELECT pg_advisory_xact_lock(\(PostgresLog.lock))")
            let last = try connection.run("SELECT coalesce(max(number),0) FROM log").integer(0, 0)
            watch.note(read: UInt64(bitPattern: last))
            try watch.sayAlive(connection)
            try connection.execute("COMMIT")
            try watch.start()
            let (files, missing) = try state.withLock { engine -> ([String], Phrase?) in
                var (files, missing): ([String], Phrase?) = ([], nil)
                let made = try copyRows(&engine, from: connection, id, secret) {
                    files = try PostgresSweeper.settledFiles(connection)
                    missing = try LogEnd.missing(connection)
                }
                engine.copy = made.copy
                return (files, missing)
            }
            return (Set(files.map { directory + "/logs/" + $0 }), missing)
        } catch let error as PostgresError { throw StoreOpenError(error) }
    }

    /// Begins an epoch, and `general` in a new store. Other servers write meanwhile, so it follows them until it has its turn.
    ///
    /// - Returns: false if the store must be loaded anew.
    private func begin(
        _ state: inout StoreState, _ keys: inout [MovedKey], _ id: StoreID, _ engine: inout State
    ) throws -> Bool {
        while true {
            var changes: [Change] = []
            if state.general == 0 {
                changes.append(.conversationAdded(.general(of: id, number: state.counters.conversation + 1)))
            }
            let first = state.commit.next
            changes.append(.epochBegun(Epoch.next(after: state.epoch), first: first))
            engine.attempts &+= 1
            let entry = LogEntry(
                before: state.place,
                author: LogEntry.Author(node: UInt64(bitPattern: node), attempt: engine.attempts), commit: first,
                changes: changes)
            let answer: Appended
            // Entries that this server had not read were trimmed before it said that it is alive.
            do { answer = try append(entry, with: [], &engine) } catch is HistoryWentBack { return false }
            switch answer {
            case .done(let reached):
                for change in changes { change.apply(to: &state, at: first) }
                state.place = reached
                return true
            case .behind(let others, _):
                for other in others {
                    keys += try state.follow(other).keys
                    state.place = other.end
                }
            case .unknown: return false
            }
        }
    }

    // MARK: The log

    func append(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws -> Appended {
        do { return try state.withLock { try append(entry, with: blocks, &$0) } } catch let error as PostgresError {
            throw StoreError(error)
        }
    }

    /// - Throws: `PostgresError` if a right or a table is missing, which ends a start.
    private func append(_ entry: LogEntry, with blocks: [WrittenBlocks], _ engine: inout State) throws -> Appended {
        try watch.requireCurrent()
        defer { watch.note(read: engine.copy?.number) }
        // More entries would keep readers waiting. And one whose answer was lost could not be told from those of others.
        guard engine.copy != nil else { throw HistoryWentBack(copyFailure: engine.copyFailure) }
        let answer = try engine.log.append(entry, with: blocks)
        switch answer {
        case .done:
            watch.noteAnswer()
            engine.note(entry)
            // The entry is durable. So its requests are answered, and nobody reads rows until they are loaded anew.
            do { try engine.copy?.follow(entry, with: blocks) } catch {
                let error = engine.lose(error)
                guard engine.copy == nil else { throw error }
                cache.withLock { $0 = nil }
            }
            for number in entry.changes.compactMap(\.rewritten) { cache.withLock { $0 }?.forget(number) }
        case .behind(let others, _):
            do { try engine.follow(others, cache.withLock { $0 }) } catch let error as StoreError
                where error.isOfDatabase || engine.copy == nil
            {
                // The entry itself may be there, from an attempt whose answer was lost.
                throw others.contains { $0.author == entry.author } ? StoreError.outcomeUnknown : error
            }
        case .unknown: break
        }
        return answer
    }

    func confirm(_ place: LogPlace) throws { try state.withLock { try $0.log.confirm(place) } }

    func lineUp(behind place: LogPlace) throws -> [LogEntry] { try read { try $0.lineUp(behind: place) } }

    func entries(after place: LogPlace, limit: Int) throws -> [LogEntry] {
        try read { try $0.entries(after: place, limit: limit) }
    }

    private func read(_ body: (inout PostgresLog) throws -> [LogEntry]) throws -> [LogEntry] {
        try watch.requireCurrent()
        return try state.withLock { engine in
            defer { watch.note(read: engine.copy?.number) }
            let others = try body(&engine.log)
            try engine.follow(others, cache.withLock { $0 })
            return others
        }
    }

    func head() throws -> LogPlace {
        try barrier.head {
            try pool.use { connection in
                let rows = try connection.run("SELECT \(PostgresEntries.columns) FROM log ORDER BY number DESC LIMIT 1")
                watch.noteAnswer()
                return PostgresEntries.place(rows, 0)
            }
        }
    }

    func onNews(_ hint: @escaping @Sendable (UInt64?) -> Void) { watch.onNews(hint) }

    var trouble: StoreTrouble? { watch.trouble }

    func find(_ keys: [RecentKey]) throws -> [RecentKey: FoundKey] {
        try state.withLock { try $0.copy?.keys.find(keys) ?? [:] }
    }

    func trim(
        below floor: Commit, moving keys: [MovedKey], now: Timestamp, at place: LogPlace
    ) throws -> (bytes: Int, floor: Commit) {
        try state.withLock { engine in
            guard engine.copy != nil else { return (0, floor) }
            try engine.log.trim(below: floor, moving: keys, now: now, read: place)
            // In place: a second owner would copy the keys that are in memory.
            let expired = try engine.copy?.trim(below: floor, moving: keys, now: now)
            if let expired = expired ?? nil { engine.expired = expired }
            let kept = engine.journal.firstIndex { $0.commit >= floor } ?? engine.journal.count
            defer { engine.journal.removeFirst(kept) }
            return (engine.journal[..<kept].reduce(0) { $0 + $1.bytes }, floor)
        }
    }

    var hasRows: Bool { cache.withLock { $0 != nil } }

    func makeReader() throws -> ArchiveReader {
        guard let cache = cache.withLock({ $0 }) else { throw StoreError.databaseAway }
        return try ArchiveReader(
            connection: Connection(path: Store.databasePath(directory), role: .reader), cache: cache)
    }

    func checkpointIfDue() throws {
        try state.withLock { engine in
            engine.log.endTurn()
            try engine.copy?.checkpointIfDue()
        }
    }

    func emptyWriteAheadLog() throws { try state.withLock { try $0.copy?.emptyWriteAheadLog() } }

    // MARK: Removing

    func noteNew(_ paths: [String]) throws { try sweeper { try $0.note(paths) } }

    func forgetContent(of seqs: Set<Seq>, in conversation: Int64) throws {
        try sweeper { try $0.forgetContent(of: seqs, in: conversation) }
    }

    func sweep(_ conversations: [ConversationID]) throws {
        try sweeper { try $0.sweep(conversations) }
        // A part each time, because tails wait to be sealed.
        guard let expired = state.withLock({ $0.expired }), try sweeper({ try $0.forgetKeys(before: expired) }) else {
            return
        }
        state.withLock { if $0.expired == expired { $0.expired = nil } }
    }

    private func sweeper<Result>(_ body: (PostgresSweeper) throws -> Result) throws -> Result {
        do {
            return try pool.use { connection in
                // It visits whole tables.
                let silence = connection.silenceMilliseconds
                connection.silenceMilliseconds = PostgresPool.longSilenceMilliseconds
                defer { connection.silenceMilliseconds = silence }
                return try body(PostgresSweeper(connection: connection, node: node))
            }
        } catch let error as PostgresError { throw StoreError(error) }
    }

    var guesses: SharedGuesses { SharedGuesses(pool: pool) }

    /// The servers of this store, and how far each has read.
    func nodes() throws -> [StoreNode] { try pool.use { try StoreNode.all($0, this: node) } }
}
