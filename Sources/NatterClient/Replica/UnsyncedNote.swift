internal import NatterModel
internal import NatterSystem

/// A line of text in a file of its own that is not synced: written often, and worth little after a crash, which may set it
/// back or lose it.
struct UnsyncedNote {
    let path: String
    let disk: any Disk

    /// What is there; nil where there is nothing that can be read.
    func read() -> String? {
        guard let bytes = try? disk.contents(of: path, limit: 64) else { return nil }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    /// - Parameter text: always of the same length, since it goes over what is there.
    func write(_ text: String) throws(DiskError) {
        let file: any DiskFile
        do throws(DiskError) {
            file = try disk.open(path, .readWrite)
        } catch {
            guard error.isMissing else { throw error }
            do throws(DiskError) {
                file = try disk.open(path, .create)
            } catch {
                // Another process was faster; what it wrote is as good.
                if try disk.information(path) != nil { return }
                throw error
            }
        }
        try file.write(Array((text + "\n").utf8), at: 0)
    }
}

/// When a sync was last complete. Not in the database, so that a sync without news costs no commit.
enum LastSync {
    static func read(_ location: ReplicaLocation, on disk: any Disk) -> Timestamp? {
        UnsyncedNote(path: location.lastSyncPath, disk: disk).read().flatMap { Timestamp(rfc3339: $0) }
    }

    static func write(_ time: Timestamp, _ location: ReplicaLocation, on disk: any Disk) throws(DiskError) {
        try UnsyncedNote(path: location.lastSyncPath, disk: disk).write(time.rfc3339)
    }
}

/// Which commit of a replica's database is known to be on the disk, by its number.
///
/// A process that was killed, or whose disk failed it, before a commit was synced leaves one that the next process reads
/// like any other. But it may be on the disk never: after a failed sync the kernel takes the pages for clean, and what is
/// written behind them in the log is cut off with them when the power goes. The number tells: it is written after the sync,
/// and where a loss of power takes it back, that has decided about the commit, too.
///
/// - SeeAlso: `Disk.makeDurable`.
enum DurableCommit {
    /// The number of the newest commit, under this key of `ReplicaMeta`.
    static let key = "commits"

    /// nil where none is known.
    static func read(_ location: ReplicaLocation, on disk: any Disk) -> UInt64? {
        UnsyncedNote(path: location.durableCommitPath, disk: disk).read().flatMap { UInt64($0) }
    }

    /// To be called once the commit is synced. Without it the next process makes it durable once more.
    static func write(_ number: UInt64, _ location: ReplicaLocation, on disk: any Disk) {
        let digits = String(number)
        let text = String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits
        try? UnsyncedNote(path: location.durableCommitPath, disk: disk).write(text)
    }

    /// Takes the note away, whatever is in it and whoever has made it.
    static func forget(_ location: ReplicaLocation, on disk: any Disk) throws(DiskError) {
        guard let found = try disk.information(location.durableCommitPath), !found.isDirectory else { return }
        try disk.remove(location.durableCommitPath)
    }
}
