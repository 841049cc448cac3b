internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// A file that waits with its message.
public struct OutboxFile: Sendable, Equatable {
    public let name: String
    public let size: UInt64
    /// BLAKE2b-256 of its bytes.
    let digest: [UInt8]
    let path: String

    /// What two uses of an id have in common.
    var content: [[UInt8]] { [Array(name.utf8), digest] }

    /// - Throws: if the file is away.
    func outgoing(on disk: any Disk) throws(DiskError) -> OutgoingFile {
        try OutgoingFile(disk.open(path, .read), name: name, keepsMetadata: true)
    }
}

/// The files of waiting messages: `files/` beside the outbox's database, each under a random name that its row says. Those
/// without a row, which a killed process has left, go after a day.
struct OutboxFiles {
    /// A step of the outbox's schema.
    static let table = """
        CREATE TABLE file (
            entry INTEGER NOT NULL,
            place INTEGER NOT NULL,
            path TEXT NOT NULL,
            name TEXT NOT NULL,
            size INTEGER NOT NULL,
            digest BLOB NOT NULL,
            PRIMARY KEY (entry, place)
        ) WITHOUT ROWID;
        """
    private static let pieceBytes = 1 << 20

    let directory: String
    let disk: any Disk

    /// Copies a file, and returns when that is on disk.
    func keep(_ file: OutgoingFile) throws -> OutboxFile {
        try disk.makeDirectories(directory)
        let path = "\(directory)/\(Hex.encode(SecureRandom.bytes(16)))"
        do {
            let (copy, digest) = (try disk.open(path, .create), StreamingDigest())
            var offset: UInt64 = 0
            while offset < file.count {
                let piece = try file.read(count: OutboxFiles.pieceBytes, at: offset)
                try copy.write(piece, at: offset)
                digest.add(piece)
                offset += UInt64(piece.count)
            }
            try copy.sync()
            try disk.syncDirectory(directory)
            return OutboxFile(name: file.name, size: file.count, digest: digest.finish(), path: path)
        } catch {
            try? disk.remove(path)
            throw error
        }
    }

    static func insert(_ files: [OutboxFile], of entry: Int64, on connection: Connection) throws {
        for (place, file) in files.enumerated() {
            try connection.run(
                "INSERT INTO file VALUES (?,?,?,?,?,?)", entry, place, Path.name(of: file.path), file.name, file.size,
                file.digest)
        }
    }

    func files(of entry: Int64, on connection: Connection) throws -> [OutboxFile] {
        try connection.rows("SELECT name,size,digest,path FROM file WHERE entry=? ORDER BY place", entry) { row in
            OutboxFile(
                name: row.text(0), size: UInt64(clamping: row.int64(1)), digest: row.blob(2),
                path: "\(directory)/\(Path.name(of: row.text(3)))")
        }
    }

    /// Drops the rows of files whose entries are gone.
    ///
    /// - Parameter names: those of all files before the entries went.
    /// - Returns: the names of the dropped ones, for `remove`.
    static func dropRows(of names: Set<String>, on connection: Connection) throws -> Set<String> {
        guard !names.isEmpty else { return [] }
        try connection.run("DELETE FROM file WHERE entry NOT IN (SELECT number FROM entry)")
        let dropped = names.subtracting(try self.names(on: connection))
        if !dropped.isEmpty { try connection.rewrite("file") }
        return dropped
    }

    static func names(on connection: Connection) throws -> Set<String> {
        Set(try connection.rows("SELECT path FROM file") { $0.text(0) })
    }

    /// Removes files after the commit that has dropped their rows, and what nobody has named in a day.
    func remove(_ dropped: Set<String>, on connection: Connection, now: Timestamp) throws {
        guard try disk.information(directory) != nil else { return }
        let known = try OutboxFiles.names(on: connection)
        for name in try disk.list(directory) where !known.contains(name) {
            let path = "\(directory)/\(name)"
            // Another process may be about to name a new one.
            let isOld = try disk.information(path).map {
                $0.modified < now.milliseconds - Limits.uploadMilliseconds
            }
            if dropped.contains(name) || isOld == true { try disk.remove(path) }
        }
    }
}
