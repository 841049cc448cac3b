public import NatterModel
internal import NatterLog
internal import NatterSQLite
public import NatterSystem

/// Why a store could not be opened.
public enum StoreOpenError: FailureConvertible {
    /// Another process uses the directory.
    case locked(String)
    case cannotCreate(DiskError)
    case newer(Phrase)
    case damaged(Phrase)
    /// A part of the directory is missing.
    case incomplete(Phrase)
    /// A text that names no store.
    case malformed(Phrase)
    /// A database that can't be reached.
    case unreachable(Phrase)
    /// A database that does not keep what it has acknowledged, whose clock is wrong, or whose role lacks a right.
    case unfit(Phrase)

    public var failure: CommandFailure {
        switch self {
        case .locked(let directory):
            CommandFailure(
                .temporary, code: "locked", "another natterd is using '\(directory)'; stop it first")
        case .cannotCreate(let error): error.failure(creating: true)
        case .newer(let detail): CommandFailure(.configuration, code: "newer_format", detail)
        case .damaged(let detail): CommandFailure(.inputOutput, code: "damaged", detail)
        case .malformed(let detail): CommandFailure(.usage, code: "usage", detail)
        case .unreachable(let detail): CommandFailure(.unavailable, code: "no_database", detail)
        case .unfit(let detail): CommandFailure(.configuration, code: "unfit_database", detail)
        case .incomplete(let detail): CommandFailure(.inputOutput, code: "incomplete", detail)
        }
    }

    public var phrase: Phrase { if case .cannotCreate(let error) = self { error.phrase } else { failure.problem } }
}

extension Store {
    /// Opens the store of a directory or creates one. Recovers from a crash and starts the threads.
    ///
    /// - Throws: `StoreOpenError`.
    public static func open(
        _ directory: String, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        options: Options = Options()
    ) throws -> Store {
        try open(FileEngine(directory, disk: disk, clock: clock, options: options), clock: clock, options: options)
    }

    /// Opens the store of a directory that can't be written to, so that it can be looked at. Nothing is recovered: what a crash has
    /// left at the ends of log files is in the journal as well. All changes are refused.
    ///
    /// - Throws: `StoreOpenError`.
    public static func look(
        at directory: String, clock: any WallClock = SystemClock(), options: Options = Options()
    ) throws -> Store {
        var options = options
        options.onlyReads = true
        let engine = try FileEngine(directory, disk: PosixDisk(), clock: clock, options: options)
        let reserve = DiskReserve(engine, isKept: false)
        return Store(engine, try engine.look(), reserve: reserve, clock: clock, options: options)
    }

    /// Checks that a server could open or make its store in a directory, as far as that can be told without doing it. A store
    /// that another process has open is good.
    ///
    /// - Throws: `StoreOpenError`.
    public static func check(_ directory: String) throws {
        if let error = Path.cannotCreate(in: directory) { throw StoreOpenError.cannotCreate(error) }
        guard try exists(in: directory) else { return }
        do {
            try FileEngine(directory, disk: PosixDisk(), clock: SystemClock(), options: Options()).check()
        } catch StoreOpenError.locked {}
    }

    /// Opens the store of an engine.
    static func open(_ engine: any StoreEngine, clock: any WallClock, options: Options) throws -> Store {
        let reserve = DiskReserve(engine, isKept: options.keepsReserve)
        reserve.makeRoom()
        let loaded = try engine.load()
        _ = try? reserve.isRoom()
        try? removeCopies(in: engine.directory, engine.disk)
        let store = Store(engine, loaded, reserve: reserve, clock: clock, options: options)
        try store.start(WriterCore(store, engine, loaded))
        let isDone = Monitor(false)
        store.repeatErasures { isDone.signal { $0 = true } }
        isDone.wait { $0 }
        store.sealer.requestBacklog(of: store)
        return store
    }

    /// Whether a directory holds a store, or something that 'reindex', 'restore' or a start makes one of: logs without a database, a
    /// database that 'reindex' has not moved into place yet, a restore or a copy that was not finished. Changes nothing.
    public static func exists(in directory: String) throws(DiskError) -> Bool {
        let disk = PosixDisk()
        let marks = [StoreRestore.unfinishedName, StoreCopy.unfinishedName].map { directory + "/" + $0 }
        for path in [databasePath(directory), RebuiltDatabase.stagedPath(directory)] + marks
        where try disk.information(path) != nil { return true }
        return try hasLogs(directory, disk)
    }

    /// Whether a directory holds anything of a conversation's log, or the mark that each start of a store leaves there: what was
    /// sent may have been in the database only.
    static func hasLogs(_ directory: String, _ disk: any Disk) throws(DiskError) -> Bool {
        let logs = directory + "/logs"
        guard try disk.information(logs)?.isDirectory == true else { return false }
        return try !disk.list(logs).isEmpty
    }

    static func databasePath(_ directory: String) -> String { directory + "/store.db" }

    /// - Throws: `StoreOpenError.incomplete` if there are logs without a database, or with one of 0 bytes, whose write-ahead log
    ///   SQLite would remove.
    static func requireDatabase(in directory: String, _ disk: any Disk) throws {
        guard try (disk.information(databasePath(directory))?.size ?? 0) == 0, try hasLogs(directory, disk) else {
            return
        }
        throw StoreOpenError.incomplete(
            "'\(directory)' has logs but no database 'store.db'; put it back from a backup, or run 'natterd reindex'")
    }

    /// Creates the directory if necessary and locks it.
    ///
    /// The lock is on the directory itself. A lock file could be removed beside a running server, and a read-only file
    /// system lets nobody create one.
    static func takeLock(_ directory: String, disk: any Disk) throws(StoreOpenError) -> any DiskLock {
        do throws(DiskError) {
            try disk.makeDirectories(directory)
            if let lock = try disk.lock(directory + "/.") { return lock }
        } catch {
            throw .cannotCreate(error)
        }
        throw .locked(directory)
    }
}

extension Store {
    /// The libraries with their versions, for `--version`.
    public static var libraries: [String] { [Connection.library, Block.library, PostgresConnection.library] }
}
