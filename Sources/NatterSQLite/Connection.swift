internal import CSQLite
internal import Glibc
public import NatterModel
public import NatterSystem

/// One connection to one SQLite file. Only one thread may use it at a time.
///
/// SQLite 3.7.0 to 3.51.2 can lose a committed transaction if two connections write or checkpoint at the same time (the
/// "WAL-reset bug", fixed in 3.51.3). So only the process that holds the store's lock opens a connection as `.writer`,
/// and only one. All others are `.reader`: they cannot write and never checkpoint, not even when they close.
public final class Connection {
    public enum Role: Sendable {
        /// Reads, writes and checkpoints. Creates the file with mode 0600 if it does not exist.
        case writer
        /// Reads only.
        case reader
    }

    public enum Durability: Sendable {
        /// A commit is durable when it returns.
        case full
        /// A crash may lose the last commits, but nothing else. Use it for data that can be rebuilt.
        case normal
    }

    public let path: String
    let handle: OpaquePointer
    /// Retained because it may own the VFS through which SQLite accesses the file.
    private let disk: any Disk
    /// Those that were used last come last. Comparing a text costs less than hashing it, and the lengths mostly differ.
    private var cached: [(sql: String, handle: OpaquePointer)] = []
    /// The frames of the write-ahead log, as of this connection's last commit. They include those that a checkpoint has
    /// moved, until the log begins anew.
    private var walFrames = 0

    private static let savingMemory: Void = { _ = natter_sqlite_save_memory() }()

    /// How long a statement waits for another connection's lock.
    private static let busyMilliseconds: Int32 = 2_000

    /// - Parameter disk: the disk that has the file.
    /// - Throws: `cannotOpen`; `corrupt` if the file is not a database.
    public convenience init(
        path: String, role: Role, durability: Durability = .full, disk: any Disk = PosixDisk()
    ) throws(SQLiteError) {
        // No memory mapping, because a stray write or an I/O error must not become SIGBUS. Deleted rows are overwritten, so
        // that an erased text does not stay in free pages. Keys and words change pages here and there, and with less than 16 MB
        // most of them would be read again each time.
        let writing = "PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=ON; PRAGMA cache_size=-16384"
        let settings =
            switch (role, durability) {
            case (.writer, .full):
                // In a file that has pages, it would write its header anew each time.
                ((try? disk.information(path)?.size ?? 0) == 0 ? "PRAGMA auto_vacuum=INCREMENTAL; " : "")
                    + "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; " + writing
            case (.writer, .normal): "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; " + writing
            case (.reader, _): "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0"
            }
        try self.init(path, isReader: role == .reader, disk: disk, settings: settings)
    }

    /// Opens a new file that receives a copy. An incomplete copy is worthless, so it needs no journal and no syncs.
    convenience init(copyTarget path: String, disk: any Disk) throws(SQLiteError) {
        try self.init(
            path, isReader: false, disk: disk, settings: "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF")
    }

    /// The name of a database in memory, which has no file.
    public static let inMemory = ":memory:"

    private init(_ path: String, isReader: Bool, disk: any Disk, settings: String) throws(SQLiteError) {
        Connection.savingMemory
        let vfs = disk.sqliteVFS
        if !isReader, path != Connection.inMemory, vfs == nil { try Connection.makePrivate(path) }
        var handle: OpaquePointer?
        let flags =
            isReader
            ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW
            : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW
        func open(_ path: String) throws(SQLiteError) -> Int32 {
            let name = isReader && vfs == nil ? try Connection.name(of: path) : path
            return sqlite3_open_v2(
                name, &handle,
                flags | (name == path ? 0 : SQLITE_OPEN_URI) | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
                    | SQLITE_OPEN_PRIVATECACHE, vfs)
        }
        var code = try open(path)
        // SQLite refuses a link anywhere in the path. Only the file itself must not be one: the directories are those that
        // the user has chosen, and a home may lie behind a link.
        if code == Connection.foundLink {
            sqlite3_close_v2(handle)
            code = try open(Path.real(Path.directory(of: path)) + "/" + Path.name(of: path))
        }
        guard code == SQLITE_OK, let handle else {
            let error = Connection.error(code: code, handle: handle, path: path)
            sqlite3_close_v2(handle)
            throw error
        }
        self.handle = handle
        self.path = path
        self.disk = disk
        // From here on, a throw ends in 'deinit', which closes it.
        sqlite3_busy_timeout(handle, Connection.busyMilliseconds)
        if isReader { natter_sqlite_no_checkpoint_on_close(handle) }
        try execute("PRAGMA mmap_size=0; " + settings)
        if !isReader { countFrames() }
    }

    /// The name that SQLite opens for reading. Where nothing can be written, SQLite can't create the files that it wants beside
    /// a database, and needs none of them without a write-ahead log.
    ///
    /// - Throws: `cannotOpen` if that log holds commits and lacks its index, so that SQLite can't read it there. Without them, an
    ///   earlier state would pass for the present one.
    private static func name(of path: String) throws(SQLiteError) -> String {
        guard Path.isReadOnly(Path.directory(of: path)) else { return path }
        var found = stat()
        if lstat(path + "-wal", &found) == 0, found.st_size > 0 {
            if lstat(path + "-shm", &found) == 0 { return path }
            throw SQLiteError(
                reason: .cannotOpen,
                message:
                    "its write-ahead log can't be read on a read-only file system; copy the whole directory to where it can be written to",
                path: path, systemError: .readOnlyFileSystem)
        }
        let escaped = path.unicodeScalars.map {
            "%?#".unicodeScalars.contains($0) ? "%" + String($0.value, radix: 16) : "\($0)"
        }
        return (path.hasPrefix("/") ? "file://" : "file:") + escaped.joined() + "?immutable=1"
    }

    /// Keeps `walFrames` up to date. Call after `wal_autocheckpoint` was set, which takes the same hook.
    private func countFrames() {
        sqlite3_wal_hook(
            handle,
            { connection, _, _, frames in
                guard let connection else { return SQLITE_OK }
                Unmanaged<Connection>.fromOpaque(connection).takeUnretainedValue().walFrames = Int(frames)
                return SQLITE_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    deinit {
        for statement in cached { sqlite3_finalize(statement.handle) }
        sqlite3_close_v2(handle)
    }

    /// `SQLITE_CANTOPEN_SYMLINK`, a macro that Swift does not import.
    private static let foundLink = SQLITE_CANTOPEN | 6 << 8

    /// Creates the file for its owner only. SQLite would create it with the umask's mode, and gives the write-ahead log
    /// the mode of the database.
    private static func makePrivate(_ path: String) throws(SQLiteError) {
        // O_EXCL, because closing any descriptor of an existing file would release all of the process's locks on it.
        let descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        if descriptor >= 0 {
            close(descriptor)
        } else if errno != EEXIST {
            let error = Errno.current
            throw SQLiteError(reason: .cannotOpen, message: error.phrase, path: path, systemError: error)
        }
    }

    /// Makes the write-ahead log of an earlier process durable, if there is one. Call it before a checkpoint or an
    /// append.
    ///
    /// - SeeAlso: `Disk.makeDurable`.
    public static func makeLogDurable(of path: String, on disk: any Disk) throws(DiskError) {
        let log = path + "-wal"
        if let found = try disk.information(log), found.size > 0 { try disk.makeDurable(log, 0..<found.size) }
    }

    /// Runs one or more statements that return no rows.
    public func execute(_ sql: String) throws(SQLiteError) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        if code != SQLITE_OK { throw error(code) }
    }

    /// A prepared statement from the cache. When the returned value ends, the statement is reset and returned to the
    /// cache.
    ///
    /// - Parameter sql: of the program, never from input.
    public func statement(_ sql: String) throws(SQLiteError) -> Statement {
        // The statement leaves the cache while it is in use, so that a nested use of the same SQL gets its own
        // statement.
        if let index = cached.lastIndex(where: { $0.sql == sql }) {
            return Statement(handle: cached.remove(at: index).handle, sql: sql, connection: self)
        }
        var prepared: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
        guard code == SQLITE_OK, let prepared else { throw error(code) }
        return Statement(handle: prepared, sql: sql, connection: self)
    }

    func giveBack(_ statement: OpaquePointer, sql: String) {
        sqlite3_reset(statement)
        sqlite3_clear_bindings(statement)
        cached.append((sql, statement))
        if cached.count > 128 { sqlite3_finalize(cached.removeFirst().handle) }
    }

    /// Runs `body` in a transaction. All of it is committed, or nothing.
    public func transaction<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws -> Result {
        try execute("BEGIN IMMEDIATE")
        do {
            let result = try body()
            try execute("COMMIT")
            return result
        } catch {
            rollBack()
            throw error
        }
    }

    /// Runs `body` on one state of the database, even if other connections commit meanwhile. Keep it short, because no
    /// checkpoint can pass it.
    public func snapshot<Result>(_ body: () throws -> Result) throws -> Result {
        try execute("BEGIN")
        defer { rollBack() }
        return try body()
    }

    /// Rolls a transaction back. Does nothing outside a transaction.
    public func rollBack() {
        if sqlite3_get_autocommit(handle) == 0 { sqlite3_exec(handle, "ROLLBACK", nil, nil, nil) }
    }

    /// True if no transaction is open.
    public var isIdle: Bool { sqlite3_get_autocommit(handle) != 0 }

    /// True if the path now names another file than the open one, or none.
    public var fileHasMoved: Bool {
        var hasMoved: Int32 = 0
        return sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &hasMoved) == SQLITE_OK && hasMoved != 0
    }

    /// Differs from an earlier value if the database was changed since, by whomever. Ask within a transaction.
    public func dataVersion() throws(SQLiteError) -> UInt32 {
        // A transaction that has read nothing yet is of no state yet.
        guard try statement("SELECT 1 FROM sqlite_schema LIMIT 1").step() else { return 0 }
        var version: UInt32 = 0
        sqlite3_file_control(handle, "main", SQLITE_FCNTL_DATA_VERSION, &version)
        return version
    }

    public var lastInsertedRow: Int64 { sqlite3_last_insert_rowid(handle) }
    public var changedRows: Int { Int(sqlite3_changes(handle)) }

    /// The size of the write-ahead log as of this connection's last commit, in bytes.
    public var walBytes: Int { walFrames * Connection.frameBytes }
    private static let pageBytes = 4_096
    private static let frameBytes = pageBytes + 24

    /// How far a checkpoint goes.
    public enum Checkpoint: Sendable {
        /// Moves what no reader needs, and waits for nobody.
        case passive
        /// Also waits for readers for so long, so that the next commit begins the log anew. Readers that come and go
        /// without a pause would otherwise let it grow for ever.
        case restarting(milliseconds: Int32)
        /// Also truncates the log, durably. Afterwards nothing of a deleted row is left, unless a reader was in the way.
        case truncating
        /// Also truncates the log, but waits for readers only for so long.
        case truncatingWithin(milliseconds: Int32)
    }

    /// Moves the write-ahead log's content into the database file.
    ///
    /// - Throws: `inputOutput`. Write nothing after it, because the content of the file is unknown.
    public func checkpoint(_ extent: Checkpoint) throws(SQLiteError) {
        var mode = SQLITE_CHECKPOINT_PASSIVE
        switch extent {
        case .passive: break
        case .restarting(let milliseconds):
            mode = SQLITE_CHECKPOINT_RESTART
            sqlite3_busy_timeout(handle, milliseconds)
        case .truncating: mode = SQLITE_CHECKPOINT_TRUNCATE
        case .truncatingWithin(let milliseconds):
            mode = SQLITE_CHECKPOINT_TRUNCATE
            sqlite3_busy_timeout(handle, milliseconds)
        }
        defer { sqlite3_busy_timeout(handle, Connection.busyMilliseconds) }
        let code = sqlite3_wal_checkpoint_v2(handle, nil, mode, nil, nil)
        if code != SQLITE_OK, code & 0xFF != SQLITE_BUSY { throw error(code) }
        guard mode == SQLITE_CHECKPOINT_TRUNCATE else { return }
        if code == SQLITE_OK { walFrames = 0 }
        try syncLog()
    }

    /// Makes the truncated log durable. SQLite leaves that to the next commit, and until then a power loss could bring it back.
    private func syncLog() throws(SQLiteError) {
        var log: UnsafeMutablePointer<sqlite3_file>?
        guard sqlite3_file_control(handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK, let log,
            let methods = log.pointee.pMethods
        else { return }
        let code = methods.pointee.xSync(log, SQLITE_SYNC_NORMAL)
        if code != SQLITE_OK { throw error(code) }
    }

    /// Gives the file system back the write-ahead log, and free pages, a MiB at most. A full disk or a reader may leave a part.
    ///
    /// - Returns: the bytes of free pages that are left. A file that was made without `auto_vacuum` keeps all of them.
    public func giveBack() throws(SQLiteError) -> Int {
        func freePages() throws(SQLiteError) -> Int { try row("PRAGMA freelist_count") { $0.int(0) } ?? 0 }
        // A commit that found no room has no frames, but may have made the log's file longer.
        func logBytes() -> UInt64 { (try? disk.information(path + "-wal"))?.size ?? 0 }
        func emptyLog() throws(SQLiteError) {
            if logBytes() > 0 { try checkpoint(.truncatingWithin(milliseconds: 20)) }
        }
        do throws(SQLiteError) {
            try emptyLog()
            // Pages that move need room in the log, so few of them do at a time.
            for _ in 0..<4 {
                guard logBytes() == 0, try freePages() > 0 else { break }
                try execute("PRAGMA incremental_vacuum(64)")
                try emptyLog()
            }
        } catch {
            guard error.reason == .full else { throw error }
        }
        return try freePages() * Connection.pageBytes
    }

    /// The problems that SQLite finds in the whole database; empty if there are none.
    public func problems() throws(SQLiteError) -> [Phrase] {
        try rows("PRAGMA quick_check(100)") { $0.text(0) }.filter { $0 != "ok" }.map { Phrase(verbatim: $0) }
    }

    /// Reads the whole database and checks how the pages fit together.
    ///
    /// - Throws: `corrupt`.
    public func checkIntegrity() throws(SQLiteError) {
        if let problem = try problems().first {
            throw SQLiteError(reason: .corrupt, message: problem, path: path)
        }
    }

    /// Writes all rows of a table anew, so that nothing of its deleted rows is left in the file.
    ///
    /// `secure_delete` overwrites the pages that SQLite frees with zeros, but a page that stays may keep copies of rows that it had.
    /// A table whose rows all go frees all its pages. Call it in a transaction, and truncate the write-ahead log afterwards.
    ///
    /// - Parameter table: a name of the program, never from input.
    public func rewrite(_ table: String) throws(SQLiteError) {
        try execute(
            """
            CREATE TABLE rewritten AS SELECT * FROM \(table);
            DELETE FROM \(table);
            INSERT INTO \(table) SELECT * FROM rewritten;
            DROP TABLE rewritten;
            """)
    }

    /// Leaves the write-ahead log as it is on closing, without a checkpoint. That saves two syncs in programs that
    /// write little and often. The caller must checkpoint.
    public func leaveWALOnClose() { natter_sqlite_no_checkpoint_on_close(handle) }

    func error(_ code: Int32) -> SQLiteError { Connection.error(code: code, handle: handle, path: path) }

    private static func error(code: Int32, handle: OpaquePointer?, path: String) -> SQLiteError {
        let message = handle.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) } ?? "out of memory"
        // SQLite looks for links before it opens a file, and its number is of that.
        let systemError =
            code == foundLink
            ? .tooManySymbolicLinkLevels : handle.map { Errno(rawValue: sqlite3_system_errno($0)) }
        let isFull = SQLiteError.isFull(code, code == SQLiteError.write ? writeError(handle, systemError) : systemError)
        let reason: SQLiteError.Reason =
            switch code & 0xFF {
            case SQLITE_FULL: .full
            case SQLITE_IOERR where isFull: .full
            case SQLITE_IOERR: .inputOutput
            case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt
            case SQLITE_BUSY, SQLITE_LOCKED: .busy
            case SQLITE_CONSTRAINT: .constraint
            case SQLITE_INTERRUPT: .overBudget
            case SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_READONLY: .cannotOpen
            default: .other
            }
        // "Unable to open database file" and "disk I/O error" say less than the system did.
        let phrase = Phrase(verbatim: message)
        guard [.cannotOpen, .inputOutput].contains(reason), let systemError, systemError.rawValue != 0 else {
            return SQLiteError(reason: reason, code: code, message: phrase, path: path)
        }
        return SQLiteError(
            reason: reason, code: code, message: "\(phrase): \(systemError.phrase)", path: path,
            systemError: systemError)
    }

    /// The number of the write that failed last, of the database or of its write-ahead log. If a failed commit has been rolled
    /// back, `sqlite3_system_errno` is not of that write, but each file keeps its own.
    ///
    /// - Parameter systemError: of the call, which is true if no file has a number. Then the write was one of a file that is closed
    ///   since, such as the journal of a database that is being made.
    /// - Returns: nil if there are different numbers, so that it is not known which one is of the last write.
    private static func writeError(_ handle: OpaquePointer?, _ systemError: Errno?) -> Errno? {
        var numbers: Set<Int32> = []
        for pointer in [SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER] {
            var (file, number): (UnsafeMutablePointer<sqlite3_file>?, Int32) = (nil, 0)
            guard sqlite3_file_control(handle, "main", pointer, &file) == SQLITE_OK, let file,
                let control = file.pointee.pMethods?.pointee.xFileControl,
                control(file, SQLITE_FCNTL_LAST_ERRNO, &number) == SQLITE_OK, number != 0
            else { continue }
            numbers.insert(number)
        }
        if numbers.count > 1 { return nil }
        return numbers.first.map { Errno(rawValue: $0) } ?? systemError
    }

    /// SQLite's version number, such as 3040001.
    public static var libraryVersion: Int { Int(sqlite3_libversion_number()) }
    /// The library with its version, for `--version`.
    public static var library: String { "SQLite " + String(cString: sqlite3_libversion()) }
}

extension Connection {
    /// Copies one state of the database to a new file, even if other connections commit meanwhile.
    ///
    /// It uses SQLite's backup, because reading the file directly would release all of the process's locks on it when
    /// the descriptor is closed. A single step makes the copy consistent and finite, however busy the writer is. No
    /// checkpoint can pass it while the file is written. The caller syncs the file, and removes an incomplete file
    /// after a failure.
    ///
    /// - Parameter target: a path without a file. The copy has mode 0600.
    /// - Throws: `SQLiteError`; `corrupt` if a page can't be read. The copy then lacks that page.
    public func copy(to target: String, disk: any Disk) throws(SQLiteError) {
        let copy = try Connection(copyTarget: target, disk: disk)
        guard let backup = sqlite3_backup_init(copy.handle, "main", handle, "main") else {
            throw copy.error(sqlite3_errcode(copy.handle))
        }
        let code = sqlite3_backup_step(backup, -1)
        let finished = sqlite3_backup_finish(backup)
        guard code == SQLITE_DONE else { throw copy.error(code) }
        guard finished == SQLITE_OK else { throw copy.error(finished) }
    }
}

extension Disk {
    /// Removes a database, and the files that SQLite has beside it, as far as they are there. A process with it open reads on.
    public func removeDatabase(_ path: String) throws(DiskError) {
        // Without the database, the others are ignored.
        try removeIfThere(path)
        try removeLog(of: path)
    }

    /// Removes the files that SQLite has beside a database.
    public func removeLog(of path: String) throws(DiskError) {
        for end in ["-wal", "-shm"] { try removeIfThere(path + end) }
    }
}
