internal import NatterConversation
internal import NatterSQLite
public import NatterModel
internal import NatterLog
public import NatterSystem

/// Copies a store as it is at one moment into a directory with the layout of a data directory. The store stays in
/// use.
///
/// The database is copied first, in one step. It contains every message acknowledged until then, either in the
/// journal or as a row that names its block. Then each log file is copied up to the length that this copy names. Logs
/// only grow, so these bytes exist. Everything is synced and checked like 'fsck' does, and only then
/// `backup.manifest` makes the copy a backup.
///
/// A later backup into the same directory copies only what is new. The former backup stays valid until the last step:
/// new bytes of a log lie behind the length in its manifest, other files are staged, and what is not needed any more is
/// removed at the end. The logs of the former backup are compared with the store, because nobody else may look at them for
/// years, and a repair would let go of them. If the store has another history than the former backup, everything is copied
/// again; see `BackupHistory`.
public final class StoreBackup {
    /// The result of a backup.
    public struct Summary: Sendable, Equatable {
        /// The last commit in the backup.
        public var commit = Commit.zero
        public var conversations = 0
        public var messages: UInt64 = 0
        public var files = 0
        public var bytes: UInt64 = 0
        /// Bytes that a former backup did not already have.
        public var copiedBytes: UInt64 = 0
        /// The number of damages of the store. The copy has them, too, unless it is older; everything else in it is good.
        public var damages = 0
    }

    private let source: String
    private let target: String
    private let disk: any Disk
    private let clock: any WallClock
    private let report: (StoreProgress) throws -> Void
    private var progress = StoreProgress()
    private var summary = Summary()
    private var directories: Set<String> = []

    private init(
        _ source: String, to target: String, disk: any Disk, clock: any WallClock,
        _ report: @escaping (StoreProgress) throws -> Void
    ) {
        (self.source, self.target, self.disk, self.clock, self.report) = (source, target, disk, clock, report)
    }

    /// Whether a directory holds a backup, as far as this process may look.
    public static func isThere(in directory: String) -> Bool {
        do throws(DiskError) {
            return try PosixDisk().information(directory + "/" + BackupManifest.name) != nil
        } catch {
            return !error.isMissing
        }
    }

    /// Backs up a directory that no server uses, and locks it meanwhile.
    ///
    /// - Throws: `StoreOpenError.locked` if it is in use, `BackupError`, errors of the disk and the database.
    public static func run(
        _ directory: String, to target: String, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        progress: @escaping (StoreProgress) throws -> Void = { _ in },
        _ visit: @escaping (StoreDamage) -> Void = { _ in }
    ) throws -> Summary {
        // The directory must already be a store, because taking the lock would create it.
        guard try disk.information(Store.databasePath(directory)) != nil else {
            throw DiskError(code: .noSuchFileOrDirectory, operation: "open", path: Store.databasePath(directory))
        }
        let lock = try Store.takeLock(directory, disk: disk)
        return try withExtendedLifetime(lock) {
            try Store.requireDatabase(in: directory, disk)
            let connection = try Connection(path: Store.databasePath(directory), role: .reader, disk: disk)
            return try StoreBackup(directory, to: target, disk: disk, clock: clock, progress).run(connection, visit)
        }
    }

    /// Backs up a store that is open.
    static func run(
        _ store: Store, to target: String, progress: @escaping (StoreProgress) throws -> Void,
        _ visit: @escaping (StoreDamage) -> Void
    ) throws -> Summary {
        try store.withReader { reader in
            try StoreBackup(store.directory, to: target, disk: store.disk, clock: store.clock, progress)
                .run(reader.connection, visit)
        }
    }

    private var stagedDatabase: String { Store.databasePath(target) + ".new" }

    private func run(_ connection: Connection, _ visit: @escaping (StoreDamage) -> Void) throws -> Summary {
        // An earlier backup must not end for one that could not be checked.
        do { try StoreSchema.current.check(connection) } catch let error as SQLiteError
            where error.reason == .newerSchema
        {
            throw StoreOpenError.newer(error.phrase)
        }
        guard !Path.areNested(source, target) else { throw BackupError.nested(target) }
        let lock = try lockTarget()
        return try withExtendedLifetime(lock) {
            let former = try prepare()
            // Before the messages: a hook must not have come further than the backup.
            let hooks = try copyFiles(of: "hooks/")
            var manifest = try copyDatabase(connection)
            manifest.files += hooks
            if let former, former.store != manifest.store { throw BackupError.otherStore(target) }
            try copyLogs(former.flatMap { try goesOn(from: $0) ? $0 : nil }, &manifest, visit)
            manifest.files += try copyFiles(of: "")
            try copyErasures(&manifest)
            for directory in directories { try disk.syncDirectory(directory) }
            try verify(manifest, visit)
            for damage in try RememberedErasures(source, disk).damages() {
                summary.damages += 1
                visit(damage)
            }
            try finish(&manifest)
            try removeStale(manifest, of: former)
            summary.files = manifest.files.count
            summary.bytes = manifest.files.reduce(0) { $0 + $1.size }
            return summary
        }
    }

    /// Creates the target unless it is there, and locks it.
    private func lockTarget() throws -> any DiskLock {
        do throws(StoreOpenError) { return try Store.takeLock(target, disk: disk) } catch {
            // Reports errors of a backup, not those of a store that can't be opened.
            switch error {
            case .cannotCreate(let problem): throw BackupError.cannotCreate(problem)
            case .locked: throw BackupError.inUse(target)
            default: throw error
            }
        }
    }

    /// Says that the directory holds a backup, even if that was not finished.
    private var mark: String { target + "/" + BackupManifest.unfinishedName }

    /// Marks the target as a backup, and removes what an earlier try has left.
    /// - Returns: the manifest of the former backup; nil if there is none.
    /// - Throws: `BackupError.occupied` if the target holds something else.
    private func prepare() throws -> BackupManifest? {
        let former = try BackupManifest.read(in: target, disk: disk)
        if former == nil, try disk.information(mark) == nil {
            // A try that was killed before it wrote its mark may leave this file.
            let beginning = Path.name(of: mark) + ".new"
            guard try disk.list(target).allSatisfy({ $0 == beginning }) else { throw BackupError.occupied(target) }
            // The mark comes first, so that a retry knows that the directory holds a backup.
            try disk.replaceContents(of: mark, with: [])
        }
        if let former, former.isNext { try former.takeOver(target, disk: disk) }
        try disk.removeDatabase(stagedDatabase)
        return former
    }

    // MARK: The parts

    private func copyDatabase(_ connection: Connection) throws -> BackupManifest {
        do { return try copied(connection) } catch let error as SQLiteError where error.reason == .corrupt {
            // The copy is new, so what it can't be read for is in the store.
            throw SQLiteError(
                reason: .corrupt, code: error.code, message: error.message, path: Store.databasePath(source))
        }
    }

    private func copied(_ connection: Connection) throws -> BackupManifest {
        try connection.copy(to: stagedDatabase, disk: disk)
        let copy = try Connection(path: stagedDatabase, role: .writer, disk: disk)
        let id = try copy.meta(.storeID) { StoreID(bytes: $0.blob(0)) }
        guard let store = id ?? nil else {
            throw BackupError.damaged(path: Store.databasePath(source), problem: "has lost its store's id")
        }
        // The copied rows describe the copied files exactly, whatever the store does meanwhile.
        try copy.setMeta(.clean, true)
        summary.commit = try StateLoader.lastCommit(on: copy)
        try copy.checkpoint(.truncating)
        return BackupManifest(store: store, commit: summary.commit, taken: clock.now())
    }

    private func copyLogs(
        _ former: BackupManifest?, _ manifest: inout BackupManifest, _ visit: (StoreDamage) -> Void
    ) throws {
        // The check of the copy names a file that is missing.
        let known = Dictionary(
            (former?.files ?? []).map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
        let rows = try segments() + blobs()
        progress.totalBytes &+= try rows.reduce(disk.information(stagedDatabase)?.size ?? 0) { $0 &+ $1.size }
        for (path, size) in rows {
            guard try disk.information(source + "/" + path)?.isRegular == true else { continue }
            manifest.files.append(try copyLog(path, size: size, former: known[path], visit))
        }
    }

    /// Each log file that the copied database names, and its recorded length.
    private func segments() throws -> [(path: String, size: UInt64)] {
        let copy = try Connection(path: stagedDatabase, role: .reader, disk: disk)
        let conversations = try CheckedConversation.all(on: copy)
        return try conversations.flatMap { conversation in
            try ArchiveRows.segments(of: conversation.identity.number, on: copy).map {
                ($0.name(of: conversation.identity.id), $0.size)
            }
        }
    }

    /// Each file that messages name, or may. It never changes.
    private func blobs() throws -> [(path: String, size: UInt64)] {
        let copy = try Connection(path: stagedDatabase, role: .reader, disk: disk)
        return try FileRows.wanted(on: copy).map { (BlobPath.of($0.id), $0.size) }
    }

    /// Whether only new bytes need to be copied. If not, the earlier backup ends here: its files are replaced one by one,
    /// and what a backup that is killed would leave is neither of both.
    private func goesOn(from former: BackupManifest) throws -> Bool {
        let path = Store.databasePath(target)
        if try BackupHistory.goesOn(
            from: path, at: former.commit, in: stagedDatabase, at: summary.commit, disk: disk)
        {
            return true
        }
        try disk.replaceContents(of: mark, with: [])
        try disk.remove(target + "/" + BackupManifest.name)
        try disk.syncDirectory(target)
        return false
    }

    private func copyLog(
        _ path: String, size: UInt64, former: BackupManifest.File?, _ visit: (StoreDamage) -> Void
    ) throws -> BackupManifest.File {
        let (from, to) = (source + "/" + path, target + "/" + path)
        try makeDirectory(of: to)
        if let former, former.size <= size, try disk.information(to)?.isRegular == true,
            try checksum(to, size: former.size) == former.checksum, case let isSame = try isSame(from, as: former),
            try isSame || !isSound(from, size: former.size)
        {
            // Nothing changes what is sealed, so the store is damaged. The copy will be the only one that is whole.
            if !isSame {
                summary.damages += 1
                visit(
                    StoreDamage(
                        file: from,
                        problem:
                            "differs from its whole copy '\(to)'; stop the server and put the copy in its place, before a repair and before the next backup"
                    ))
            }
            if former.size == size { return former }
            let file = try disk.open(to, .readWrite)
            let (end, crc) = try copy().append(from, from: former.size, to: size, onto: file, checksum: former.checksum)
            try file.sync()
            return BackupManifest.File(path: path, size: end, checksum: crc)
        }
        let file = try stage(from, path, size: size)
        try disk.rename(to + ".new", to: to)
        return file
    }

    /// Whether a log of the store has what the earlier backup has of it.
    private func isSame(_ path: String, as former: BackupManifest.File) throws -> Bool {
        do throws(DiskError) {
            return try FileCopy(disk: disk).checksum(path, size: former.size) == former.checksum
        } catch {
            if error.isUnreadable { return false }
            throw error
        }
    }

    /// Whether the first bytes of a log are a header and whole blocks. Then the earlier backup took it when it was damaged, and it
    /// was mended since.
    private func isSound(_ path: String, size: UInt64) throws -> Bool {
        let file = try disk.open(path, .read)
        guard size <= UInt64(LogSurvey.maximumBytes), try file.size() >= size,
            let bytes = try? file.read(count: Int(size), at: 0)
        else { return false }
        let contents = SegmentContents(bytes, path: path)
        return contents.header != nil && contents.dictionary != nil && contents.loose.isEmpty
    }

    /// The checksum of a file that is already there. Its bytes count as progress.
    private func checksum(_ path: String, size: UInt64) throws -> UInt32? {
        let crc = try FileCopy(disk: disk).checksum(path, size: size)
        if crc != nil { try advance(size) }
        return crc
    }

    /// Copies a file to `NAME.new`.
    private func stage(_ from: String, _ path: String, size: UInt64) throws -> BackupManifest.File {
        let temporary = "\(target)/\(path).new"
        if try disk.information(temporary) != nil { try disk.remove(temporary) }
        let file = try disk.open(temporary, .create)
        let (end, crc) = try copy().append(from, from: 0, to: size, onto: file)
        try file.sync()
        return BackupManifest.File(path: path, size: end, checksum: crc)
    }

    private func copy() -> FileCopy {
        FileCopy(disk: disk) { [self] count in
            summary.copiedBytes += UInt64(count)
            try advance(UInt64(count))
        }
    }

    private func advance(_ bytes: UInt64) throws {
        progress.bytes &+= bytes
        try report(progress)
    }

    /// Copies the other files of the service, such as its configuration, a certificate and its key.
    ///
    /// - Parameter directory: "", or the name of a directory with its slash.
    private func copyFiles(of directory: String) throws -> [BackupManifest.File] {
        let others = [".db", "-wal", "-shm", ".lock", ".new", "manifest", ".unfinished"]
        guard try directory.isEmpty || disk.information("\(source)/\(directory)")?.isDirectory == true else {
            return []
        }
        if directory.isEmpty { directories.insert(target) } else { try makeDirectory(of: "\(target)/\(directory)x") }
        var files: [BackupManifest.File] = []
        for name in try disk.list("\(source)/\(directory)") where !others.contains(where: { name.hasSuffix($0) }) {
            let path = directory + name
            // The rest of a copy that a check made of the database matches, too. A start makes the reserve.
            if [RememberedErasures.name, DiskReserve.name].contains(path) || path.hasPrefix("store.db")
                || path.hasPrefix("search.db")
            {
                continue
            }
            // A certificate is often a link to where it is renewed.
            let real = Path.real("\(source)/\(path)")
            let found = try disk.information(real)
            guard let found, found.isRegular, found.size <= 1 << 20, !name.utf8.contains(0x0A) else { continue }
            progress.totalBytes &+= found.size
            files.append(try stage(real, path, size: found.size))
        }
        return files
    }

    /// Adds what was erased since, so that a restore of this backup knows it.
    private func copyErasures(_ manifest: inout BackupManifest) throws {
        let copy = RememberedErasures(target, disk)
        try copy.add(RememberedErasures(source, disk).forEach)
        let path = target + "/" + RememberedErasures.name
        guard let size = try disk.information(path)?.size,
            let checksum = try FileCopy(disk: disk).checksum(path, size: size)
        else { return }
        manifest.files.append(BackupManifest.File(path: RememberedErasures.name, size: size, checksum: checksum))
    }

    /// - Throws: if somebody has put a link in the place of a directory.
    private func makeDirectory(of path: String) throws {
        var directory = Path.directory(of: path)
        guard directories.insert(directory).inserted else { return }
        try disk.makeDirectories(directory)
        while directory.utf8.count > target.utf8.count {
            guard try disk.information(directory)?.isDirectory == true else {
                throw BackupError.damaged(path: directory, problem: "is a symbolic link")
            }
            directory = Path.directory(of: directory)
        }
    }

    /// Removes logs that a repair or an erasure has replaced since the former backup, hooks, keys and settings that were removed,
    /// and what a backup that ended early has staged.
    private func removeStale(_ manifest: BackupManifest, of former: BackupManifest?) throws {
        let inner = try ["logs", "hooks", BlobPath.directory].flatMap {
            try StoreCheck.files(below: target + "/" + $0, disk)
        }
        .map { String($0.dropFirst(target.count + 1)) }
        let staged = try disk.list(target).filter { $0.hasSuffix(".new") }
        // `removed` has no path below a directory, which may be a link, and none that the server still has, such as a link to a
        // certificate that is just being renewed. A backup needs no reserve.
        let removed = try (former?.files.map(\.path) ?? []).filter {
            try !$0.contains("/") && ($0 == DiskReserve.name || disk.information(source + "/" + $0) == nil)
        }
        let known = inner + staged + removed
        for path in Set(known).subtracting(manifest.files.map(\.path))
        where try disk.information(target + "/" + path) != nil {
            try RetiredFiles(directory: target, disk: disk).wipe(path)
        }
    }

    // MARK: The end

    private func verify(_ manifest: BackupManifest, _ visit: @escaping (StoreDamage) -> Void) throws {
        let files = Set(manifest.files.map { "\(target)/\($0.path)" })
        let found = try StoreCheck.check(
            target, database: stagedDatabase, files: files, disk: disk, progress: report, visit)
        (summary.conversations, summary.messages) = (found.conversations, found.messages)
        summary.damages += found.damages
    }

    /// Syncs the database, and ends the former backup.
    private func finish(_ manifest: inout BackupManifest) throws {
        let database = Store.databasePath(target)
        let size = try disk.information(stagedDatabase)?.size ?? 0
        let file = try disk.open(stagedDatabase, .readWrite)
        try file.sync()
        guard let crc = try FileCopy(disk: disk).checksum(stagedDatabase, size: size) else {
            throw DiskError(code: .ioError, operation: "read", path: stagedDatabase)
        }
        manifest.files.append(BackupManifest.File(path: Path.name(of: database), size: size, checksum: crc))
        summary.copiedBytes += size
        try advance(size)
        // If somebody opened the former backup, a WAL may lie beside it, and SQLite would apply it to the new
        // database. The WAL of the new copy is empty, because it was checkpointed and only read since.
        for path in [database, stagedDatabase] { try disk.removeLog(of: path) }
        try disk.syncDirectory(target)
        try manifest.takeOver(target, disk: disk)
        if try disk.information(mark) != nil { try disk.remove(mark) }
        try disk.syncDirectory(target)
    }
}

extension Store {
    /// Makes a backup while the store is in use, on the calling thread; see `StoreBackup`.
    ///
    /// - Parameters:
    ///   - target: a directory that does not exist, is empty, or holds a former backup of this store.
    ///   - progress: called repeatedly. An error of it ends the backup.
    ///   - visit: gets each damage of the copy.
    public func backup(
        to target: String, progress: @escaping (StoreProgress) throws -> Void = { _ in },
        _ visit: @escaping (StoreDamage) -> Void = { _ in }
    ) throws -> StoreBackup.Summary {
        try copying { try StoreBackup.run(self, to: target, progress: progress, visit) }
    }
}
