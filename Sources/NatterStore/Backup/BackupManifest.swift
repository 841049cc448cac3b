public import NatterLanguage
internal import NatterModel
internal import NatterSystem

/// `backup.manifest`, written last: what a backup is of, and each of its files with its length and checksum. A directory
/// without it is no finished backup.
///
/// Text, a line each: `natter-backup 1`, `store ID`, `commit N`, `taken TIME`, then `CRC LENGTH PATH` for each file (CRC-32C of
/// its first LENGTH bytes; a log that a later, unfinished backup has added to is longer), last `end CRC` over all before it.
struct BackupManifest: Equatable {
    static let name = "backup.manifest"
    /// Stands in the directory of a first backup until that is finished, so that the next try knows whose it is.
    static let unfinishedName = "backup.unfinished"
    private static let firstLine = "natter-backup 1"
    /// A million files.
    private static let maximumBytes = 128 << 20

    struct File: Equatable {
        /// Below the directory.
        let path: String
        let size: UInt64
        let checksum: UInt32
    }

    let store: StoreID
    let commit: Commit
    let taken: Timestamp
    var files: [File] = []

    init(store: StoreID, commit: Commit, taken: Timestamp) {
        (self.store, self.commit, self.taken) = (store, commit, taken)
    }

    func encode() -> [UInt8] {
        var text = "\(BackupManifest.firstLine)\nstore \(store)\ncommit \(commit)\ntaken \(taken.milliseconds)\n"
        for file in files {
            text += "\(Hex.encode(UInt64(file.checksum)).suffix(8)) \(file.size) \(file.path)\n"
        }
        let body = Array(text.utf8)
        return body + Array("end \(Hex.encode(UInt64(Checksum.crc32c(body))).suffix(8))\n".utf8)
    }

    /// - Returns: nil for anything that was not written by `encode`.
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
                BackupManifest.isBelow(fields[2])
            else { return nil }
            files.append(File(path: String(fields[2]), size: size, checksum: checksum))
        }
    }

    /// Nothing in a manifest, whoever wrote it, leads out of the directory.
    private static func isBelow(_ path: Substring) -> Bool {
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !["", ".", ".."].contains($0) }
    }

    /// - Returns: nil where there is none.
    /// - Throws: `BackupError.unfinished` for one that can't be read.
    static func read(in directory: String, disk: any Disk) throws -> BackupManifest? {
        let path = directory + "/" + name
        guard try disk.information(path) != nil else { return nil }
        guard let manifest = BackupManifest(decoding: try disk.contents(of: path, limit: maximumBytes)) else {
            throw BackupError.notABackup(directory)
        }
        return manifest
    }
}

/// Why a backup was not made, or not put back.
public enum BackupError: Error, Equatable, PhraseConvertible {
    /// There is something in the place where the backup should go.
    case occupied(String)
    /// The backup in that place is of another store.
    case otherStore(String)
    /// The backup would be part of what is backed up, or the other way round.
    case nested(String)
    case notABackup(String)
    case brokenOff(String)
    /// A backup that is not as it was written.
    case damaged(path: String, problem: Phrase)
    /// There is something in the data directory that a backup should be put into.
    case notEmpty(String)

    public var phrase: Phrase {
        switch self {
        case .occupied(let path):
            "'\(path)' holds something else than a backup; name a directory that is empty or does not exist"
        case .otherStore(let path):
            "'\(path)' holds a backup of another store; name a directory that is empty or does not exist"
        case .nested(let path): "'\(path)' and the data directory lie one in the other; name another directory"
        case .notABackup(let path):
            "'\(path)' is no finished backup; name a directory that 'natterd backup' has made to its end"
        case .brokenOff(let path): "the backup to '\(path)' was broken off; begin it again"
        case .damaged(let path, let problem): "the backup's file '\(path)' \(problem); take another backup"
        case .notEmpty(let path):
            "the data directory '\(path)' is not empty, and nothing is overwritten; name another by --data, or move it away"
        }
    }
}
