internal import NatterLog
internal import NatterModel
public import NatterSQLite
public import NatterSystem

/// Log files that must go: those that a rewriting has replaced, and until it is recorded, the new ones that it writes; and files
/// that no message names any more. Each is overwritten with zeros and then removed. A start finishes what a crash has left.
public struct RetiredFiles {
    /// A step of the schemas of store and replica.
    public static let table = "CREATE TABLE retired (path TEXT PRIMARY KEY) WITHOUT ROWID;"
    private static let pieceBytes = 1 << 20

    let directory: String
    let disk: any Disk

    public init(directory: String, disk: any Disk) { (self.directory, self.disk) = (directory, disk) }

    /// - Parameter path: below the data directory.
    public static func insert(_ path: String, on connection: Connection) throws(SQLiteError) {
        try connection.run("INSERT OR IGNORE INTO retired VALUES (?)", path)
    }

    public static func delete(_ path: String, on connection: Connection) throws(SQLiteError) {
        try connection.run("DELETE FROM retired WHERE path=?", path)
    }

    /// The name of a log file (`Segment.name`), for GLOB.
    private static let logName = {
        func digits(_ count: Int) -> String { String(repeating: "[0-9a-f]", count: count) }
        return "logs/\(digits(2))/\(digits(32))/\(digits(16))-\(digits(4)).log"
    }()

    /// The name of a file that messages name (`BlobPath`), for GLOB.
    private static let blobName = "files/[0-9a-f][0-9a-f]/" + String(repeating: "[0-9a-f]", count: 64)

    /// Log files, files that messages named, and the search index. The database of a backup or a disk from a stranger may name
    /// anything, which would be wiped: any other name is passed over. So is a file that the index names, because it holds messages.
    public static func all(on connection: Connection) throws(SQLiteError) -> [String] {
        let paths = try connection.rows(
            """
            SELECT path FROM retired WHERE path GLOB ? OR path GLOB ?
            OR path GLOB 'search.db*' AND NOT path GLOB '*/*' ORDER BY path
            """, logName, blobName
        ) { $0.text(0) }
        var gone: [String] = []
        for path in paths where try !isRecorded(path, on: connection) { gone.append(path) }
        return gone
    }

    public static func isRecorded(_ path: String, on connection: Connection) throws(SQLiteError) -> Bool {
        if let id = BlobPath.id(of: path) { return try FileRows.isWanted(id, on: connection) }
        guard let file = Segment.parts(ofName: path) else { return false }
        return try connection.hasRow(
            """
            SELECT 1 FROM segment JOIN conversation ON conversation.number=segment.conversation
            WHERE conversation.id=? AND segment.first_seq=? AND segment.generation=?
            """, file.conversation.bytes, file.firstSeq.rawValue, file.generation)
    }

    /// Whether a file of this name must go. No other may take the name before.
    public static func has(_ path: String, on connection: Connection) throws(SQLiteError) -> Bool {
        try connection.hasRow("SELECT 1 FROM retired WHERE path=?", path)
    }

    /// Overwrites a file with zeros and removes it, durably.
    ///
    /// The zeros are synced before the name goes, because a removed file's bytes would otherwise stay on the disk.
    public func wipe(_ path: String) throws(DiskError) {
        let path = directory + "/" + path
        guard let found = try disk.information(path) else { return try settle(path) }
        guard found.isRegular else { return }
        let file = try disk.open(path, .readWrite)
        let zeros = [UInt8](repeating: 0, count: Int(clamping: min(found.size, UInt64(RetiredFiles.pieceBytes))))
        var offset: UInt64 = 0
        while offset < found.size {
            let count = Int(clamping: min(found.size - offset, UInt64(zeros.count)))
            try file.write(count == zeros.count ? zeros : Array(zeros.prefix(count)), at: offset)
            offset += UInt64(count)
        }
        try file.sync()
        try disk.remove(path)
        try disk.syncDirectory(Path.directory(of: path))
    }

    /// Makes it durable that a file is gone. An earlier attempt may have removed it and failed to sync that: without its row, it
    /// would be back after a power loss as a file that nobody knows.
    private func settle(_ path: String) throws(DiskError) {
        let parent = Path.directory(of: path)
        if try disk.information(parent)?.isDirectory == true { try disk.syncDirectory(parent) }
    }

    /// Removes the files that an earlier process has left. Call before anything else is read or written.
    public func finish(on connection: Connection) throws {
        let paths = try RetiredFiles.all(on: connection)
        guard !paths.isEmpty else { return }
        for path in paths { try wipe(path) }
        try connection.transaction { for path in paths { try RetiredFiles.delete(path, on: connection) } }
    }
}
