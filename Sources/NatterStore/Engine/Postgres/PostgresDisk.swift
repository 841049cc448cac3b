internal import NatterModel
internal import NatterSystem

/// The disk of a store in PostgreSQL: log files are rows of the database, and every other path is on this machine.
///
/// Several servers may write to one log file at the same time. Each piece belongs to the server that wrote it, and two
/// pieces can't begin at the same place. So the slower one fails, and takes back nothing but its own.
struct PostgresDisk: Disk {
    let pool: PostgresPool
    /// The prefix of the paths of log files: `DIR/logs/`.
    let prefix: String
    /// This server's number.
    let node: Int64
    private let local = PosixDisk()

    init(_ pool: PostgresPool, directory: String, node: Int64) {
        (self.pool, self.node, prefix) = (pool, node, directory + "/logs/")
    }

    /// The name in the table `log_file` of a file below the data directory.
    static func logName(_ name: String) -> String { String(name.dropFirst("logs/".utf8.count)) }

    /// The path below `logs`; nil for a file of this machine.
    private func logPath(_ path: String) -> String? {
        path.hasPrefix(prefix) ? String(path.dropFirst(prefix.utf8.count)) : nil
    }

    /// The name of a log file for people: this machine has no such file.
    func name(_ path: String) -> String { logPath(path).map { "logs/" + $0 } ?? path }

    /// Runs a statement, and turns its errors into those of a disk.
    func run(
        _ operation: String, _ path: String, _ sql: String, _ values: PostgresValue...
    ) throws(DiskError) -> PostgresRows {
        do {
            return try pool.use { try $0.run(sql, all: values) }
        } catch {
            throw PostgresDisk.error(error, operation, name(path))
        }
    }

    /// Never `ioError`: a lost connection does not mean that a disk is broken.
    private static func error(_ error: any Error, _ operation: String, _ path: String) -> DiskError {
        let code: Errno
        var reason: Phrase?
        switch error as? PostgresError {
        case let error? where error.isFull: code = .noSpace
        case let error? where error.isUniqueViolation: code = .fileExists
        // Another server has removed the file.
        case let error? where error.isForeignKeyViolation: code = .noSuchFileOrDirectory
        case let error?:
            code = error.isHeldUp ? .resourceBusy : error.isPassing ? .connectionRefused : .invalidArgument
            reason = error.phrase
        case nil: code = .invalidArgument
        }
        return DiskError(code: code, operation: operation, path: path, reason: reason)
    }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        guard let name = logPath(path) else { return try local.open(path, mode) }
        if case .create = mode {
            let made = try run("create", path, "INSERT INTO log_file (path) VALUES ($1) RETURNING id", .text(name))
            return PostgresFile(disk: self, path: path, id: made.integer(0, 0))
        }
        let found = try run("open", path, "SELECT id FROM log_file WHERE path=$1", .text(name))
        guard found.count == 1 else {
            throw DiskError(code: .noSuchFileOrDirectory, operation: "open", path: self.name(path))
        }
        return PostgresFile(disk: self, path: path, id: found.integer(0, 0))
    }

    func makeDirectory(_ path: String) throws(DiskError) {
        if logPath(path) == nil { try local.makeDirectory(path) }
    }

    func rename(_ path: String, to target: String) throws(DiskError) {
        if logPath(path) == nil, logPath(target) == nil { return try local.rename(path, to: target) }
        // The file was staged here, or is set aside here. No file in PostgreSQL gets another name.
        try copy(path, to: target)
        try remove(path)
    }

    private func copy(_ path: String, to target: String) throws(DiskError) {
        let (source, copy) = (try open(path, .read), try open(target, .create))
        var offset: UInt64 = 0
        while true {
            let bytes = try source.read(count: PostgresFile.pieceBytes, at: offset)
            if bytes.isEmpty { break }
            try copy.write(bytes, at: offset)
            offset += UInt64(bytes.count)
        }
        try copy.sync()
    }

    func remove(_ path: String) throws(DiskError) {
        guard let name = logPath(path) else { return try local.remove(path) }
        let isFound: Bool
        do { isFound = try pool.use { try remove(name, $0) } } catch {
            throw PostgresDisk.error(error, "remove", self.name(path))
        }
        guard isFound else {
            throw DiskError(code: .noSuchFileOrDirectory, operation: "remove", path: self.name(path))
        }
    }

    /// Removes this server's pieces, and the file unless another server has pieces of it. A file that a segment names stays:
    /// while this server counted as dead, another one may have made the file anew and recorded it.
    ///
    /// - Returns: whether there is such a file.
    private func remove(_ name: String, _ connection: PostgresConnection) throws(PostgresError) -> Bool {
        // Waits for those who just add a piece, and keeps others from it. The lock of the log would not do: the writer's thread
        // may hold it while an import takes back its files there.
        try connection.execute("BEGIN")
        let found = try connection.run("SELECT id FROM log_file WHERE path=$1 FOR UPDATE", .text(name))
        if found.count > 0 {
            let id = PostgresValue.integer(found.integer(0, 0))
            try connection.run(
                "DELETE FROM log_piece p USING log_file f WHERE f.id=$1 AND p.file=f.id AND p.node=$2 AND \(Self.isUnrecorded)",
                id, .integer(node))
            try connection.run(
                """
                DELETE FROM log_file f WHERE id=$1 AND NOT EXISTS (SELECT 1 FROM log_piece p WHERE p.file=f.id)
                AND \(Self.isUnrecorded)
                """, id)
        }
        try connection.execute("COMMIT")
        return found.count > 0
    }

    private static let isUnrecorded = """
        NOT EXISTS (SELECT 1 FROM \(PostgresSweeper.segments) WHERE \(PostgresSweeper.isOfSegment))
        """

    /// Each statement is durable when it returns.
    func syncDirectory(_ path: String) throws(DiskError) {
        if logPath(path + "/") == nil { try local.syncDirectory(path) }
    }

    func list(_ path: String) throws(DiskError) -> [String] {
        guard let name = logPath(path + "/") else { return try local.list(path) }
        let rows = try run(
            "list", path,
            """
            SELECT DISTINCT split_part(substr(path, length($1) + 1), '/', 1) AS name FROM log_file
            WHERE starts_with(path, $1) ORDER BY name
            """, .text(name))
        return (0..<rows.count).map { rows.text($0, 0) }
    }

    func information(_ path: String) throws(DiskError) -> FileInformation? {
        guard let name = logPath(path) else {
            if path + "/" == prefix { return PostgresDisk.information(0, isDirectory: true) }
            return try local.information(path)
        }
        let found = try run("look at", path, "SELECT id FROM log_file WHERE path=$1", .text(name))
        if found.count == 1 {
            let file = PostgresFile(disk: self, path: path, id: found.integer(0, 0))
            return PostgresDisk.information(try file.size(), isDirectory: false)
        }
        let below = try run(
            "look at", path, "SELECT 1 FROM log_file WHERE starts_with(path, $1) LIMIT 1", .text(name + "/"))
        return below.count == 1 ? PostgresDisk.information(0, isDirectory: true) : nil
    }

    private static func information(_ size: UInt64, isDirectory: Bool) -> FileInformation {
        FileInformation(size: size, isDirectory: isDirectory, isRegular: !isDirectory, mode: 0o600, modified: 0)
    }

    func freeBytes(_ path: String) throws(DiskError) -> UInt64 { try local.freeBytes(path) }
}

/// A log file in PostgreSQL.
final class PostgresFile: DiskFile {
    let path: String
    private let disk: PostgresDisk
    private let id: Int64
    /// The most bytes of one row.
    static let pieceBytes = 1 << 20

    init(disk: PostgresDisk, path: String, id: Int64) { (self.disk, self.path, self.id) = (disk, path, id) }

    func size() throws(DiskError) -> UInt64 {
        let last = try disk.run(
            "look at", path, "SELECT start+length(data) FROM log_piece WHERE file=$1 ORDER BY start DESC LIMIT 1",
            .integer(id))
        return last.count == 1 ? UInt64(clamping: last.integer(0, 0)) : 0
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        let start = Int64(clamping: offset)
        let end = Int64(clamping: offset.addingReportingOverflow(UInt64(buffer.count)).partialValue)
        guard start < end else { return 0 }
        // Only the wanted part of each piece leaves the database.
        let pieces = try disk.run(
            "read", path,
            """
            SELECT greatest(start,$2), substr(data, greatest($2-start,0)::int+1, ($3-greatest(start,$2))::int)
            FROM log_piece WHERE file=$1 AND start<$3
            AND start>=(SELECT coalesce(max(start),0) FROM log_piece WHERE file=$1 AND start<=$2) ORDER BY start
            """, .integer(id), .integer(start), .integer(end))
        var filled = 0
        for row in 0..<pieces.count {
            let bytes = pieces.blob(row, 1).prefix(buffer.count - filled)
            // A gap ends the file.
            guard pieces.integer(row, 0) == start + Int64(filled) else { break }
            UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]).copyBytes(from: bytes)
            filled += bytes.count
        }
        return filled
    }

    /// Appends. The end of the file is where this server last saw it, so a piece of another server there is an error.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            let piece = bytes[done...].prefix(PostgresFile.pieceBytes)
            _ = try disk.run(
                "write", path, "INSERT INTO log_piece (file,start,node,data) VALUES ($1,$2,$3,$4)", .integer(id),
                .integer(Int64(clamping: offset) + Int64(done)), .integer(disk.node), .bytes(Array(piece)))
            done += piece.count
        }
    }

    func sync() throws(DiskError) {}

    /// Removes this server's pieces from there on. The recorded part stays.
    func truncate(to size: UInt64) throws(DiskError) {
        _ = try disk.run(
            "truncate", path,
            """
            DELETE FROM log_piece p USING log_file f WHERE f.id=$1 AND p.file=f.id AND p.node=$3
            AND p.start>=greatest($2, (SELECT s.size FROM \(PostgresSweeper.segments) WHERE \(PostgresSweeper.isOfSegment)))
            """, .integer(id), .integer(Int64(clamping: size)), .integer(disk.node))
    }
}
