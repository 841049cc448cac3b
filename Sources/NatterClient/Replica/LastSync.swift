internal import NatterModel
internal import NatterSystem

/// The time of the last complete sync, in a file that is never synced. It is not in the database, so that a sync without news costs
/// no commit; a crash may lose it or restore an earlier one.
enum LastSync {
    static func read(_ location: ReplicaLocation, on disk: any Disk) -> Timestamp? {
        guard let bytes = try? disk.contents(of: location.lastSyncPath, limit: 64) else { return nil }
        return Timestamp(rfc3339: String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    static func write(_ time: Timestamp, _ location: ReplicaLocation, on disk: any Disk) throws(DiskError) {
        let file: any DiskFile
        do throws(DiskError) {
            file = try disk.open(location.lastSyncPath, .readWrite)
        } catch {
            guard error.isMissing else { throw error }
            do throws(DiskError) {
                file = try disk.open(location.lastSyncPath, .create)
            } catch {
                // Another process was faster, and its time is as good.
                if try disk.information(location.lastSyncPath) != nil { return }
                throw error
            }
        }
        // Each time has the same length, so it overwrites the one before.
        try file.write(Array((time.rfc3339 + "\n").utf8), at: 0)
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
