internal import NatterConversation
public import NatterModel
public import NatterSystem

/// Restores a backup into an empty data directory. The directory must be empty, so nothing is ever overwritten.
public enum StoreRestore {
    /// Exists in the directory until the restore is complete, so that no server starts on a part of a backup.
    static let unfinishedName = "restore.unfinished"

    public struct Summary: Sendable, Equatable {
        /// When the backup was taken.
        public var taken = Timestamp.zero
        public var conversations = 0
        public var messages: UInt64 = 0
        public var files = 0
        public var bytes: UInt64 = 0
        public var damages = 0
    }

    /// Copies the files and checks each against the manifest, then checks the whole as 'fsck' does. Begins a new
    /// epoch, so that clients with newer messages notice the restore.
    ///
    /// The database gets its name last, when everything else is there.
    ///
    /// - Parameter endsSessions: whether all sessions and tokens of the backup end. Some may have been revoked since.
    /// - Throws: `BackupError`, `StoreOpenError`, errors of the disk.
    public static func run(
        _ source: String, into directory: String, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        endsSessions: Bool = false, progress: @escaping (StoreProgress) throws -> Void = { _ in },
        report: @escaping @Sendable (Phrase) -> Void = { _ in },
        _ visit: @escaping (StoreDamage) -> Void = { _ in }
    ) throws -> Summary {
        guard let manifest = try BackupManifest.read(in: source, disk: disk),
            manifest.files.contains(where: { $0.path == "store.db" })
        else { throw BackupError.notABackup(source) }
        if Path.areNested(source, directory) { throw BackupError.nested(source) }
        try checkEmpty(directory, disk, mark: unfinishedName)
        var summary = Summary(taken: manifest.taken)
        do {
            let lock = try Store.takeLock(directory, disk: disk)
            try withExtendedLifetime(lock) {
                try checkEmpty(directory, disk, mark: unfinishedName)
                let lost =
                    try copy(manifest, source, directory, disk, progress) + damages(of: manifest, source, disk)
                for damage in lost { visit(damage) }
                let found = try StoreCheck.check(directory, disk: disk, progress: progress, visit)
                (summary.conversations, summary.messages) = (found.conversations, found.messages)
                (summary.files, summary.damages) = (manifest.files.count, found.damages + lost.count)
                summary.bytes = manifest.files.reduce(0) { $0 + $1.size }
            }
        }
        try beginEpoch(directory, disk, clock, report, endsSessions: endsSessions)
        // Until then nobody serves it, because sessions that were to end would be good.
        try disk.remove(directory + "/" + unfinishedName)
        try disk.syncDirectory(directory)
        return summary
    }

    /// Throws if the directory contains anything except what a killed try left, or the list of what was erased.
    ///
    /// - Parameter mark: the file that such a try has left.
    static func checkEmpty(_ directory: String, _ disk: any Disk, mark: String) throws {
        guard try disk.information(directory) != nil else { return }
        if try disk.information(directory + "/" + mark) != nil { return }
        // The restore erases again the messages that were erased after the backup.
        let allowed = [RememberedErasures.name, RememberedErasures.name + ".new", mark + ".new"]
        let names: [String]
        do throws(DiskError) { names = try disk.list(directory) } catch {
            throw error.code == .notADirectory ? BackupError.cannotCreate(error) : error
        }
        guard names.allSatisfy(allowed.contains) else { throw BackupError.notEmpty(directory) }
    }

    /// Refuses a directory that was to become a store, but holds only a part of one yet.
    static func requireFinished(in directory: String, disk: any Disk) throws {
        if try disk.information(directory + "/" + StoreRestore.unfinishedName) != nil {
            throw StoreOpenError.incomplete(
                "'\(directory)' holds a restore that was not finished; run 'natterd restore' again")
        }
        if try disk.information(directory + "/" + StoreCopy.unfinishedName) != nil {
            throw StoreOpenError.incomplete(
                "'\(directory)' holds a copy that was not finished; run 'natterd copy' again")
        }
    }

    /// - Returns: files, except logs, that differ from what the backup wrote. They are restored as they are. For the logs, the
    ///   check of the store tells which messages are lost.
    private static func copy(
        _ manifest: BackupManifest, _ source: String, _ directory: String, _ disk: any Disk,
        _ report: @escaping (StoreProgress) throws -> Void
    ) throws -> [StoreDamage] {
        if try disk.information(directory + "/" + unfinishedName) != nil {
            try clear(directory, keeping: Set(manifest.files.map(\.path) + [unfinishedName]), disk)
        }
        try disk.replaceContents(of: directory + "/" + unfinishedName, with: Array("\(manifest.store)\n".utf8))
        var progress = StoreProgress(totalBytes: manifest.files.reduce(0) { $0 + $1.size })
        let copy = FileCopy(disk: disk) { count in
            progress.bytes += UInt64(count)
            try report(progress)
        }
        var damages: [StoreDamage] = []
        var directories: Set<String> = [directory]
        let ordered = manifest.files.filter { $0.path != "store.db" } + manifest.files.filter { $0.path == "store.db" }
        for file in ordered {
            let target = directory + "/" + file.path
            if directories.insert(Path.directory(of: target)).inserted {
                try disk.makeDirectories(Path.directory(of: target))
            }
            if file.path == RememberedErasures.name {
                try RememberedErasures(directory, disk).add(RememberedErasures(source, disk).forEach)
                continue
            }
            if try disk.information(target) != nil { try disk.remove(target) }
            let path = try manifest.location(of: file, in: source, disk: disk)
            var problem: Phrase?
            if try disk.information(path)?.isRegular == true {
                let made = try disk.open(target, .create)
                let (size, checksum) = try copy.append(path, from: 0, to: file.size, onto: made)
                if size != file.size {
                    problem = "is cut short"
                } else if checksum != file.checksum {
                    problem = "has another checksum than when it was written"
                }
                try made.sync()
            } else {
                problem = "is missing"
            }
            guard let problem, !file.path.hasPrefix("logs/") else { continue }
            if file.path == "store.db" { throw BackupError.damaged(path: path, problem: problem) }
            // The database has it, too, and the next start copies it from there.
            if file.path == StoreSecret.name, try disk.information(target) != nil { try disk.remove(target) }
            damages.append(
                StoreDamage(
                    file: path,
                    problem: "the file \(problem); look at what is restored of it before you start the server"))
        }
        for directory in directories { try disk.syncDirectory(directory) }
        return damages
    }

    /// The damage in the backup's list of erasures. The backup is restored all the same, without those lines.
    private static func damages(
        of manifest: BackupManifest, _ source: String, _ disk: any Disk
    ) throws -> [StoreDamage] {
        guard let file = manifest.files.first(where: { $0.path == RememberedErasures.name }) else { return [] }
        let found = try RememberedErasures(source, disk).damages()
        let path = source + "/" + file.path
        let isThere = try disk.information(path)?.isRegular == true
        let isWhole = try isThere && FileCopy(disk: disk).checksum(path, size: file.size) == file.checksum
        if isWhole || !found.isEmpty { return found }
        return [
            StoreDamage(
                file: path, problem: "the list of what was erased is missing or differs from what the backup wrote")
        ]
    }

    /// Removes what a killed try left.
    static func clear(_ directory: String, keeping names: Set<String>, _ disk: any Disk) throws {
        let kept = names.union([RememberedErasures.name])
        // A data directory may be a link to one on another disk.
        let real = Path.real(directory)
        for file in try StoreCheck.files(below: real, disk).sorted()
        where !kept.contains(String(file.dropFirst(real.count + 1))) { try disk.remove(file) }
    }

    /// Opens the store once, which begins an epoch and proves that the store opens.
    private static func beginEpoch(
        _ directory: String, _ disk: any Disk, _ clock: any WallClock, _ report: @escaping @Sendable (Phrase) -> Void,
        endsSessions: Bool
    ) throws {
        var options = Store.Options()
        options.report = report
        options.opensUnfinished = true
        let store = try Store.open(directory, disk: disk, clock: clock, options: options)
        defer { store.close() }
        guard endsSessions else { return }
        let failure = store.record { [state = store.state] _ in
            Decision(.tokensRemoved(state.withLock { Array($0.tokens.keys) }))
        }
        if let failure { throw failure }
    }
}
