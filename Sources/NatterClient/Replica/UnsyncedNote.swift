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
