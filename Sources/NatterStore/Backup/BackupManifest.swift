internal import NatterConversation
public import NatterModel
public import NatterSystem

/// `backup.manifest`: the store of a backup, and the length and checksum of each file. It is written last, so a
/// directory without it is an unfinished backup.
///
/// It is text: the lines `natter-backup 1`, `store ID`, `commit N` and `taken TIME`, then `CRC LENGTH PATH` for each
/// file, and last `end CRC` over all earlier lines. A file's CRC-32C covers its first LENGTH bytes, because a later,
/// unfinished backup may have appended to a log.
///
/// A backup stages each file but logs as `NAME.new`. `backup.next` is the manifest of a backup that is whole, but whose
/// files do not all have their names yet. From then on it counts, and no longer the manifest of the former backup.
struct BackupManifest: Equatable {
    static let name = "backup.manifest"
    /// Exists in the directory of a first backup until it is finished, so that a retry knows that the directory holds
    /// a backup.
    static let unfinishedName = "backup.unfinished"
    private static let nextName = "backup.next"
    private static let firstLine = "natter-backup 1"
    /// Enough for a million files.
    private static let maximumBytes = 128 << 20

    struct File: Equatable {
        /// The path below the directory.
        let path: String
        let size: UInt64
        let checksum: UInt32
    }

    let store: StoreID
    let commit: Commit
    let taken: Timestamp
    var files: [File] = []
    /// Whether some of its files may still be staged.
    private(set) var isNext = false

    init(store: StoreID, commit: Commit, taken: Timestamp) {
        (self.store, self.commit, self.taken) = (store, commit, taken)
    }

    func encode() -> [UInt8] {
        var text = "\(BackupManifest.firstLine)\nstore \(store)\ncommit \(commit)\ntaken \(taken.milliseconds)\n"
        for file in files {
            text += "\(Hex.encode(file.checksum)) \(file.size) \(file.path)\n"
        }
        let body = Array(text.utf8)
        return body + Array("end \(Hex.encode(Checksum.crc32c(body)))\n".utf8)
    }

    /// - Returns: nil for anything that `encode` does not write.
    init?(decoding bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        guard lines.popLast() == "", let end = lines.popLast(), end.hasPrefix("end "),
            let checksum = UInt32(end.dropFirst(4), radix: 16),
            Checksum.crc32c(Array(bytes.dropLast(end.utf8.count + 1))) == checksum,
            lines.popFirst().map(String.init) == BackupManifest.firstLine,
            let store = lines.popFirst().flatMap({ StoreID(hex: $0.dropFirst("store ".count)) }),
            let commit = lines.popFirst().flatMap({ UInt64($0.dropFirst("commit ".count)) }),
            let taken = lines.popFirst().flatMap({ Int64($0.dropFirst("taken ".count)) })
        else { return nil }
        self.init(store: store, commit: Commit(commit), taken: Timestamp(milliseconds: taken))
        for line in lines {
            let fields = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3, let checksum = UInt32(fields[0], radix: 16), let size = UInt64(fields[1]),
                Path.staysBelow(fields[2])
            else { return nil }
            files.append(File(path: String(fields[2]), size: size, checksum: checksum))
        }
    }

    /// - Returns: nil if there is none.
    /// - Throws: `BackupError.notABackup` if it can't be read.
    static func read(in directory: String, disk: any Disk) throws -> BackupManifest? {
        for name in [nextName, name] {
            let path = directory + "/" + name
            guard try disk.information(path) != nil else { continue }
            guard var manifest = BackupManifest(decoding: try disk.contents(of: path, limit: maximumBytes)) else {
                throw BackupError.notABackup(directory)
            }
            manifest.isNext = name == nextName
            return manifest
        }
        return nil
    }

    /// Makes this the manifest of a directory that has all of its files, and gives those that are staged their names.
    /// Whoever finds it unfinished can finish it.
    func takeOver(_ directory: String, disk: any Disk) throws {
        if !isNext { try disk.replaceContents(of: directory + "/" + BackupManifest.nextName, with: encode()) }
        var directories: Set<String> = [directory]
        for file in files {
            let path = directory + "/" + file.path
            guard BackupManifest.isStaged(file), try disk.information(path + ".new") != nil else { continue }
            try disk.rename(path + ".new", to: path)
            directories.insert(Path.directory(of: path))
        }
        for directory in directories { try disk.syncDirectory(directory) }
        try disk.rename(directory + "/" + BackupManifest.nextName, to: directory + "/" + BackupManifest.name)
        try disk.syncDirectory(directory)
    }

    /// Where a file is now.
    func location(of file: File, in directory: String, disk: any Disk) throws -> String {
        let path = directory + "/" + file.path
        guard isNext, BackupManifest.isStaged(file), try disk.information(path + ".new") != nil else { return path }
        return path + ".new"
    }

    /// Logs and the list of what was erased only grow, so a former backup stays valid when they do.
    private static func isStaged(_ file: File) -> Bool {
        !file.path.hasPrefix("logs/") && !BlobPath.isBlob(file.path) && file.path != RememberedErasures.name
    }

    /// Refuses to use a backup as a store: even a command that only looks would change the database, whose checksum the
    /// manifest has.
    static func requireNone(in directory: String, disk: any Disk) throws {
        if try disk.information(directory + "/" + name) != nil {
            throw StoreOpenError.incomplete(
                "'\(directory)' is a backup; restore it into another directory with 'natterd restore', or remove its 'backup.manifest' to use it as a store"
            )
        }
        if try disk.information(directory + "/" + unfinishedName) != nil {
            throw StoreOpenError.incomplete(
                "'\(directory)' holds a backup that was not finished; run 'natterd backup' again")
        }
    }
}

/// Why a backup was not made or not restored.
public enum BackupError: FailureConvertible, Equatable {
    /// Another backup goes to the target, or a server uses it. After a command that was interrupted, its server still works.
    case inUse(String)
    /// The target of the backup contains something else.
    case occupied(String)
    /// The target contains a backup of another store.
    case otherStore(String)
    /// The target lies inside the data directory, or the other way round.
    case nested(String)
    case notABackup(String)
    /// The target can't be created.
    case cannotCreate(DiskError)
    /// The backup differs from what was written.
    case damaged(path: String, problem: Phrase)
    /// The data directory to restore into is not empty.
    case notEmpty(String)

    public var failure: CommandFailure {
        func failure(_ exitCode: ExitCode, _ code: String, _ phrase: Phrase) -> CommandFailure {
            CommandFailure(exitCode, code: code, phrase)
        }
        return switch self {
        case .inUse(let path):
            failure(
                .temporary, "locked",
                "another natterd is using '\(path)', perhaps for the backup of a command that was interrupted; try again in a moment"
            )
        case .occupied(let path):
            failure(
                .cannotCreate, "occupied",
                "'\(path)' holds something else than a backup; name a directory that is empty or does not exist")
        case .otherStore(let path):
            failure(
                .cannotCreate, "occupied",
                "'\(path)' holds a backup of another store; name a directory that is empty or does not exist")
        case .nested(let path):
            failure(
                .usage, "usage", "'\(path)' and the data directory lie one in the other; name another directory")
        case .notABackup(let path):
            failure(
                .invalidData, "not_a_backup",
                "'\(path)' is no finished backup; name a directory that 'natterd backup' has made to its end")
        case .cannotCreate(let error) where error.code == .readOnlyFileSystem:
            failure(
                .cannotCreate, "cannot_create",
                "\(error.phrase); name a directory that can be written, for a server under systemd one in its ReadWritePaths="
            )
        case .cannotCreate(let error): error.failure(creating: true)
        case .damaged(let path, let problem):
            failure(
                .inputOutput, "damaged", "the backup's file '\(path)' \(problem); take another backup")
        case .notEmpty(let path):
            failure(
                .cannotCreate, "occupied",
                "the data directory '\(path)' is not empty, and nothing is overwritten; name another with --data, or move it away"
            )
        }
    }

    public var phrase: Phrase { if case .cannotCreate(let error) = self { error.phrase } else { failure.problem } }
}
