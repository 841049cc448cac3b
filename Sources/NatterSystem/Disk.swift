internal import Glibc

/// Everything that natter asks of a file system, so that a test can put a failing or forgetful disk in its place.
public protocol Disk: Sendable {
    /// Opens an existing file, or makes a new one with mode 0600 that must not exist yet; never follows a symbolic link.
    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile
    /// Makes the directory, mode 0700, if it is not there. Parents must exist.
    func makeDirectory(_ path: String) throws(DiskError)
    /// Replaces `target` in one step; durable only after `syncDirectory`.
    func rename(_ path: String, to target: String) throws(DiskError)
    func remove(_ path: String) throws(DiskError)
    /// Makes the entries of a directory durable.
    func syncDirectory(_ path: String) throws(DiskError)
    /// The names in a directory, without `.` and `..`, in byte order.
    func list(_ path: String) throws(DiskError) -> [String]
    /// What lies at the path, links not followed; nil if nothing does.
    func information(_ path: String) throws(DiskError) -> FileInformation?
    /// Bytes that an unprivileged process can still write on the file system of this path.
    func freeBytes(_ path: String) throws(DiskError) -> UInt64
    /// Tries to take the lock of that name, and waits up to `timeoutMilliseconds` for it. Makes its file if need be, but not
    /// the directory.
    ///
    /// - Returns: nil if somebody else still holds it. Dropping the value lets the lock go.
    /// - Throws: `DiskError`, with `isMissing` also where the directory was removed while this waited.
    func lock(_ path: String, timeoutMilliseconds: Int) throws(DiskError) -> (any DiskLock)?
    /// The name of the VFS by which SQLite reaches this disk's files; nil for SQLite's own VFS, and files of the operating
    /// system.
    var sqliteVFS: String? { get }
}

/// A lock that goes with its value, and with its process.
public protocol DiskLock: AnyObject, Sendable {}

public enum OpenMode: Sendable {
    case read
    case readWrite
    /// Makes the file; fails if anything is there.
    case create
}

public struct FileInformation: Sendable, Equatable {
    public let size: UInt64
    public let isDirectory: Bool
    public let isRegular: Bool
    /// The permission bits.
    public let mode: UInt32
    /// Last change of content, milliseconds since 1970.
    public let modified: Int64

    public init(size: UInt64, isDirectory: Bool, isRegular: Bool, mode: UInt32, modified: Int64) {
        (self.size, self.isDirectory, self.isRegular) = (size, isDirectory, isRegular)
        (self.mode, self.modified) = (mode, modified)
    }
}

/// One open file. Closed when the last reference goes.
public protocol DiskFile: AnyObject, Sendable {
    var path: String { get }
    func size() throws(DiskError) -> UInt64
    /// Reads until the buffer is full or the file ends.
    /// - Returns: how many bytes there were.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int
    /// Writes all of the bytes, however many calls it takes.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError)
    /// The barrier: returns once content and size are on the disk. After it has thrown, what is there is unknown.
    func sync() throws(DiskError)
    func truncate(to size: UInt64) throws(DiskError)
}

extension DiskFile {
    /// Up to `count` bytes from `offset` on; fewer where the file ends.
    public func read(count: Int, at offset: UInt64) throws(DiskError) -> [UInt8] {
        var failure: DiskError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(DiskError) {
                filled = try read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(DiskError) {
        var failure: DiskError?
        bytes.withUnsafeBytes { raw in
            do throws(DiskError) { try write(raw, at: offset) } catch { failure = error }
        }
        if let failure { throw failure }
    }
}

extension Disk {
    public func lock(_ path: String, timeoutMilliseconds: Int) throws(DiskError) -> (any DiskLock)? {
        try FileLock.take(path, timeoutMilliseconds: timeoutMilliseconds)
    }

    /// The same without waiting.
    public func lock(_ path: String) throws(DiskError) -> (any DiskLock)? { try lock(path, timeoutMilliseconds: 0) }

    public var sqliteVFS: String? { nil }

    /// Reads a whole small file.
    /// - Throws: `EFBIG` if it is larger than `limit` bytes.
    public func contents(of path: String, limit: Int) throws(DiskError) -> [UInt8] {
        let file = try open(path, .read)
        guard try file.size() <= UInt64(limit) else { throw DiskError(code: 27, operation: "read", path: path) }
        return try file.read(count: limit, at: 0)
    }

    /// Puts new content in a file's place in one step: all of it is there after a crash, or all of the old.
    public func replaceContents(of path: String, with bytes: [UInt8]) throws(DiskError) {
        let temporary = path + ".new"
        if try information(temporary) != nil { try remove(temporary) }
        let file = try open(temporary, .create)
        try file.write(bytes, at: 0)
        try file.sync()
        try rename(temporary, to: path)
        try syncDirectory(Path.directory(of: path))
    }

    /// Makes durable what another process wrote to a file and may never have synced, with the names of the file and of two
    /// directories above it. To be called before anything relies on it.
    ///
    /// The bytes are written once more: where a sync has failed, the kernel takes the pages for clean although they are not on
    /// the disk, so that they can be read until the machine stops, and another sync does nothing.
    ///
    /// - Parameter range: bytes that were found to be whole; those that the file does not have are passed over.
    /// - SeeAlso: Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.
    public func makeDurable(_ path: String, _ range: Range<UInt64>) throws(DiskError) {
        let file = try open(path, .readWrite)
        var offset = range.lowerBound
        while offset < range.upperBound {
            let bytes = try file.read(count: Int(clamping: min(range.upperBound - offset, 1 << 20)), at: offset)
            if bytes.isEmpty { break }
            try file.write(bytes, at: offset)
            offset += UInt64(bytes.count)
        }
        try file.sync()
        let directory = Path.directory(of: path)
        try makeDirectories(Path.directory(of: directory))
        try makeDirectories(directory)
        try syncDirectory(directory)
    }

    /// Makes a directory and those above it that are missing, durably, mode 0700.
    public func makeDirectories(_ path: String) throws(DiskError) {
        let parent = Path.directory(of: path)
        if let found = try information(path), found.isDirectory {
            // Whoever made it may have died, or failed, before its name was durable.
            do throws(DiskError) { try syncDirectory(parent) } catch {
                // One that is no business of ours was made by somebody else.
                guard [EACCES, EPERM, EROFS, EINVAL].contains(error.code) else { throw error }
            }
            return
        }
        if parent != path { try makeDirectories(parent) }
        try makeDirectory(path)
        try syncDirectory(parent)
    }
}

/// The little that we need of paths.
public enum Path {
    /// What stands before the last slash; `.` if there is none.
    public static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.utf8.startIndex ? "/" : String(path[..<slash])
    }

    /// What stands behind the last slash.
    public static func name(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(path[path.utf8.index(after: slash)...])
    }
}
