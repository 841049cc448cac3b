internal import NatterIndex
internal import NatterModel
internal import NatterSystem

/// Single values of the replica's database.
enum ReplicaMeta {
    static func text(_ key: String, on connection: Connection) throws(IndexError) -> String? {
        let statement = try connection.statement("SELECT value FROM meta WHERE key=?")
        try statement.bind(key)
        return try statement.step() ? statement.optionalText(0) : nil
    }

    /// A counter; 0 where there is none.
    static func number(_ key: String, on connection: Connection) throws(IndexError) -> UInt64 {
        try text(key, on: connection).flatMap { UInt64($0) } ?? 0
    }

    /// - Parameter value: nil removes the key.
    static func set(_ key: String, _ value: String?, on connection: Connection) throws(IndexError) {
        guard let value else {
            let statement = try connection.statement("DELETE FROM meta WHERE key=?")
            return try statement.run(key)
        }
        let statement = try connection.statement("INSERT OR REPLACE INTO meta VALUES (?,?)")
        try statement.run(key, value)
    }
}

/// When a sync was last complete. A file of its own and not synced, so that a sync without news costs no commit; a crash may
/// set it back.
enum LastSync {
    static func read(_ location: ReplicaLocation, on disk: any Disk) -> Timestamp? {
        guard let bytes = try? disk.contents(of: location.lastSyncPath, limit: 64) else { return nil }
        return Timestamp(rfc3339: String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    static func write(_ time: Timestamp, _ location: ReplicaLocation, on disk: any Disk) throws(DiskError) {
        let line = Array((time.rfc3339 + "\n").utf8)
        let file: any DiskFile
        do throws(DiskError) {
            file = try disk.open(location.lastSyncPath, .readWrite)
        } catch {
            guard error.isMissing else { throw error }
            do throws(DiskError) {
                file = try disk.open(location.lastSyncPath, .create)
            } catch {
                // Another process was faster; what it wrote is as good.
                if try disk.information(location.lastSyncPath) != nil { return }
                throw error
            }
        }
        try file.write(line, at: 0)
    }
}
