internal import NatterModel
internal import NatterSystem

/// A line of text in its own file, which is never synced. It is written often and matters little: a crash may lose it
/// or restore an earlier one.
struct UnsyncedNote {
    let path: String
    let disk: any Disk

    /// The text; nil if it can't be read.
    func read() -> String? {
        guard let bytes = try? disk.contents(of: path, limit: 64) else { return nil }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }

    /// - Parameter text: must always have the same length, because it overwrites the old text.
    func write(_ text: String) throws(DiskError) {
        let file: any DiskFile
        do throws(DiskError) {
            file = try disk.open(path, .readWrite)
        } catch {
            guard error.isMissing else { throw error }
            do throws(DiskError) {
                file = try disk.open(path, .create)
            } catch {
                // Another process was faster, and its text is as good.
                if try disk.information(path) != nil { return }
                throw error
            }
        }
        try file.write(Array((text + "\n").utf8), at: 0)
    }
}

/// The time of the last complete sync. It is not in the database, so that a sync without news costs no commit.
enum LastSync {
    static func read(_ location: ReplicaLocation, on disk: any Disk) -> Timestamp? {
        UnsyncedNote(path: location.lastSyncPath, disk: disk).read().flatMap { Timestamp(rfc3339: $0) }
    }

    static func write(_ time: Timestamp, _ location: ReplicaLocation, on disk: any Disk) throws(DiskError) {
        try UnsyncedNote(path: location.lastSyncPath, disk: disk).write(time.rfc3339)
    }
}

/// The number of the last commit of a replica's database that is known to be durable.
///
/// If a process is killed or its disk fails before a commit is synced, the next process still reads that commit from
/// the kernel's memory. But it may never reach the disk. After a failed sync the kernel marks its pages as clean, and
/// a power loss removes them together with everything behind them in the log. The number is written only after the
/// sync. If a power loss removes the number, it has also decided whether the commit exists.
///
/// - SeeAlso: `Disk.makeDurable`.
enum DurableCommit {
    /// The key of `ReplicaMeta` for the number of the newest commit.
    static let key = "commits"

    /// nil if no commit is known to be durable.
    static func read(_ location: ReplicaLocation, on disk: any Disk) -> UInt64? {
        UnsyncedNote(path: location.durableCommitPath, disk: disk).read().flatMap { UInt64($0) }
    }

    /// Call after the commit was synced. Without this note, the next process makes the commit durable once more.
    static func write(_ number: UInt64, _ location: ReplicaLocation, on disk: any Disk) {
        let digits = String(number)
        let text = String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits
        try? UnsyncedNote(path: location.durableCommitPath, disk: disk).write(text)
    }

    /// Notes that the database is damaged, so that the next sync checks all of it.
    static func distrust(_ location: ReplicaLocation, on disk: any Disk) { write(.max, location, on: disk) }

    /// Removes the note, whatever it contains.
    static func forget(_ location: ReplicaLocation, on disk: any Disk) throws(DiskError) {
        guard let found = try disk.information(location.durableCommitPath), !found.isDirectory else { return }
        try disk.remove(location.durableCommitPath)
    }
}

/// The names of the user's groups in a file of their own, so that `natter send` can look for one without opening the
/// database, which would cost more than sending. It is removed before a commit that changes them and written after it, so
/// that a crash leaves none rather than an old one.
enum GroupNames {
    private static let limit = 4 << 20

    /// - Returns: nil if there is no file that tells.
    static func contain(_ name: String, _ location: ReplicaLocation, on disk: any Disk) -> Bool? {
        guard let bytes = try? disk.contents(of: location.groupNamesPath, limit: limit) else { return nil }
        let key = Array(NameRule.caseKey(name).utf8)
        return bytes.split(separator: UInt8(ascii: "\n")).contains { $0.elementsEqual(key) }
    }

    /// Without the file, the database is asked, so a failure costs only time.
    static func write(_ names: [String], _ location: ReplicaLocation, on disk: any Disk) {
        let text = names.map { NameRule.caseKey($0) + "\n" }.joined()
        guard text.utf8.count <= limit else { return }
        try? disk.replaceContents(of: location.groupNamesPath, with: Array(text.utf8))
    }

    static func forget(_ location: ReplicaLocation, on disk: any Disk) throws(DiskError) {
        guard let found = try disk.information(location.groupNamesPath), !found.isDirectory else { return }
        try disk.remove(location.groupNamesPath)
        try disk.syncDirectory(location.directory)
    }
}
