internal import NatterConversation
public import NatterModel
public import NatterSystem

/// A file that is being received: `files/new/…` until its content, and so its name, is known.
///
/// Nothing of it is in memory but the caller's buffer. Unless it is placed, its last reference removes it.
final class BlobWriter {
    let key: [UInt8]
    private(set) var size: UInt64 = 0
    private let directory: String
    private let disk: any Disk
    private let path: String
    private let file: any DiskFile
    private let digest = StreamingDigest()
    private var checksum: UInt32 = 0
    private var prefix: [UInt8] = []
    private var isPlaced = false

    /// - Parameters:
    ///   - directory: the data directory.
    ///   - path: where it is received; nil for below `files/new/`.
    init(
        in directory: String, disk: any Disk, key: [UInt8] = SecureRandom.bytes(FileRecord.keyBytes),
        at path: String? = nil
    ) throws(DiskError) {
        (self.directory, self.disk, self.key) = (directory, disk, key)
        let path = path ?? "\(directory)/\(BlobPath.received)/\(Hex.encode(SecureRandom.bytes(16)))"
        self.path = path
        do throws(DiskError) { file = try disk.open(path, .create) } catch  where error.isMissing {
            try disk.makeDirectories(Path.directory(of: path))
            file = try disk.open(path, .create)
        }
        digest.add(key)
    }

    deinit { if !isPlaced { try? disk.remove(path) } }

    func append(_ bytes: [UInt8]) throws(DiskError) {
        try file.write(bytes, at: size)
        digest.add(bytes)
        checksum = bytes.withUnsafeBytes { Checksum.crc32c($0, continuing: checksum) }
        if prefix.count < FileType.prefixBytes { prefix += bytes.prefix(FileType.prefixBytes - prefix.count) }
        size += UInt64(bytes.count)
    }

    /// Makes the content durable. Append nothing afterwards.
    ///
    /// - Returns: its record, and a checksum of its content alone; nil if the name is none.
    func finish(named name: String) throws(DiskError) -> (record: FileRecord, checksum: UInt32)? {
        try file.sync()
        let record = FileID(bytes: digest.finish()).flatMap {
            FileRecord(id: $0, key: key, size: size, type: FileType.of(prefix: prefix), name: name)
        }
        return record.map { ($0, checksum) }
    }

    /// Gives a finished file its name, durably. A row must announce it before, so that a start removes it if nothing follows.
    func place(as id: FileID) throws(DiskError) {
        try move(to: "\(directory)/\(BlobPath.of(id))")
    }

    /// Moves a finished file, durably.
    func move(to target: String) throws(DiskError) {
        try disk.makeDirectories(Path.directory(of: target))
        try disk.rename(path, to: target)
        isPlaced = true
        try disk.syncDirectory(Path.directory(of: target))
    }

    /// Removes what earlier processes were receiving.
    static func removeAll(in directory: String, disk: any Disk) throws(DiskError) {
        let received = "\(directory)/\(BlobPath.received)"
        guard try disk.information(received)?.isDirectory == true else { return }
        for name in try disk.list(received) { try disk.remove("\(received)/\(name)") }
    }
}

/// The bytes of a file that a message names.
public final class Blob: Sendable {
    public let record: FileRecord
    private let file: any DiskFile

    /// - Throws: `isMissing` if it is not there; `.ioError` if it has another size than its record says.
    init(_ record: FileRecord, in directory: String, disk: any Disk) throws(DiskError) {
        let path = "\(directory)/\(BlobPath.of(record.id))"
        self.record = record
        file = try disk.open(path, .read)
        guard try file.size() == record.size else {
            throw DiskError(code: .ioError, operation: "read", path: path)
        }
    }

    /// Up to `count` bytes from `offset`.
    ///
    /// - Throws: also if the file ends before.
    public func read(count: Int, at offset: UInt64) throws(DiskError) -> [UInt8] {
        let wanted = Int(clamping: min(UInt64(clamping: count), record.size - min(offset, record.size)))
        let bytes = try file.read(count: wanted, at: offset)
        guard bytes.count == wanted else { throw DiskError(code: .ioError, operation: "read", path: file.path) }
        return bytes
    }

    /// Whether the bytes are those that were uploaded.
    package func isIntact() throws(DiskError) -> Bool { try file.isWhole(record) }
}
