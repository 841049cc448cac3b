/// All file system operations that natter needs. Tests replace it with a disk that fails or loses unsynced writes.
public protocol Disk: Sendable {
    /// Opens an existing file, or creates a new one with mode 0600. Never follows a symbolic link.
    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile
    /// Creates the directory with mode 0700 unless it exists. Its parents must exist.
    func makeDirectory(_ path: String) throws(DiskError)
    /// Replaces `target` atomically. The change is durable only after `syncDirectory`.
    func rename(_ path: String, to target: String) throws(DiskError)
    func remove(_ path: String) throws(DiskError)
    /// Makes the entries of a directory durable.
    func syncDirectory(_ path: String) throws(DiskError)
    /// The names in a directory, without `.` and `..`, in byte order.
    func list(_ path: String) throws(DiskError) -> [String]
    /// Describes the entry at the path without following links. Returns nil if there is none.
    func information(_ path: String) throws(DiskError) -> FileInformation?
    /// The bytes that an unprivileged process can still write to the file system of this path.
    func freeBytes(_ path: String) throws(DiskError) -> UInt64
    /// Takes the lock of that file or directory, and waits for it up to `timeoutMilliseconds`. Creates the file if necessary,
    /// but no directory.
    ///
    /// - Returns: nil if another holder still has it. The lock is released when the value is deallocated.
    /// - Throws: `DiskError`; `isMissing` also if the directory was removed during the wait.
    func lock(_ path: String, timeoutMilliseconds: Int) throws(DiskError) -> (any DiskLock)?
    /// The name of the VFS through which SQLite accesses this disk's files. It is nil for SQLite's own VFS and files of
    /// the operating system.
    var sqliteVFS: String? { get }
}

/// A lock that is released when its value is deallocated or its process ends.
public protocol DiskLock: AnyObject, Sendable {
    /// False if the path of the locked file or directory leads elsewhere now, or nowhere.
    var isInPlace: Bool { get }
}

public enum OpenMode: Sendable {
    case read
    case readWrite
    /// Creates the file. Fails if anything exists at the path.
    case create
}

public struct FileInformation: Sendable, Equatable {
    public let size: UInt64
    public let isDirectory: Bool
    public let isRegular: Bool
    /// The permission bits.
    public let mode: UInt32
    /// The time of the last change of the content, in milliseconds since 1970.
    public let modified: Int64

    public init(size: UInt64, isDirectory: Bool, isRegular: Bool, mode: UInt32, modified: Int64) {
        (self.size, self.isDirectory, self.isRegular) = (size, isDirectory, isRegular)
        (self.mode, self.modified) = (mode, modified)
    }
}

/// An open file. It is closed with its last reference.
public protocol DiskFile: AnyObject, Sendable {
    var path: String { get }
    func size() throws(DiskError) -> UInt64
    /// Reads until the buffer is full or the file ends.
    /// - Returns: the number of bytes read.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int
    /// Writes all bytes, in as many calls as necessary.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError)
    /// Makes content and size durable before it returns. If it throws, the content of the disk is unknown.
    func sync() throws(DiskError)
    func truncate(to size: UInt64) throws(DiskError)
}

extension DiskFile {
    /// Reads up to `count` bytes from `offset`, or fewer if the file ends.
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

    /// Takes the lock without waiting for it.
    public func lock(_ path: String) throws(DiskError) -> (any DiskLock)? { try lock(path, timeoutMilliseconds: 0) }

    public var sqliteVFS: String? { nil }

    /// Reads a whole small file.
    /// - Throws: `.fileTooLarge` if it has more than `limit` bytes.
    public func contents(of path: String, limit: Int) throws(DiskError) -> [UInt8] {
        let file = try open(path, .read)
        guard try file.size() <= UInt64(limit) else {
            throw DiskError(code: .fileTooLarge, operation: "read", path: path)
        }
        return try file.read(count: limit, at: 0)
    }

    /// Replaces the content of a file atomically. After a crash, the file has either all of the new content or all of
    /// the old.
    public func replaceContents(of path: String, with bytes: [UInt8]) throws(DiskError) {
        let temporary = path + ".new"
        if try information(temporary) != nil { try remove(temporary) }
        let file = try open(temporary, .create)
        do throws(DiskError) {
            try file.write(bytes, at: 0)
            try file.sync()
            try rename(temporary, to: path)
        } catch {
            try? remove(temporary)
            throw error
        }
        try syncDirectory(Path.directory(of: path))
    }

    /// Removes a file unless it is missing.
    public func removeIfThere(_ path: String) throws(DiskError) {
        do throws(DiskError) { try remove(path) } catch  where error.isMissing {}
    }

    /// Makes bytes durable that an earlier process wrote and may never have synced, together with the names of the file
    /// and of the two directories above it. Call this before you rely on those bytes.
    ///
    /// The bytes are written again. After a failed sync the kernel marks pages as clean although they are not on the
    /// disk. They stay readable until the machine stops, and another sync does not write them.
    ///
    /// - Parameter range: bytes that were found to be valid. Any part beyond the end of the file is ignored.
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

    /// Creates a directory and its missing parents with mode 0700, durably.
    public func makeDirectories(_ path: String) throws(DiskError) {
        let parent = Path.directory(of: path)
        if let found = try information(path), found.isDirectory {
            // The process that created it may have ended before the name was durable.
            do throws(DiskError) { try syncDirectory(parent) } catch {
                // A directory that this user cannot sync was created by another user, so its durability is not our
                // task.
                let foreign: [Errno] = [.permissionDenied, .notPermitted, .readOnlyFileSystem, .invalidArgument]
                guard foreign.contains(error.code) else { throw error }
            }
            return
        }
        if parent != path { try makeDirectories(parent) }
        try makeDirectory(path)
        try syncDirectory(parent)
    }
}

/// Splits paths.
public enum Path {
    /// The part before the last slash, or `.` if there is no slash.
    public static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.utf8.startIndex ? "/" : String(path[..<slash])
    }

    /// The part after the last slash.
    public static func name(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
        return String(path[path.utf8.index(after: slash)...])
    }

    /// Whether a relative path stays in its directory, whoever wrote it. By bytes: as a character, a slash before a
    /// combining mark is not a slash.
    public static func staysBelow(_ path: some StringProtocol) -> Bool {
        path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { part in
            !["", ".", ".."].contains { part.elementsEqual($0.utf8) }
        }
    }
}
