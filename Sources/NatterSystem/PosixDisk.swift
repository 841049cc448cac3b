internal import CSystem
internal import Glibc

/// The real disk. It uses `pread` and `pwrite` only. If a mapped file were truncated, SIGBUS would end the process.
public struct PosixDisk: Disk {
    public init() {}

    public func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        let flags: Int32 =
            switch mode {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            }
        // O_NONBLOCK, because a pipe at the path must be an error. Without it, the open would wait for the other end.
        let descriptor = retrying { Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600) }
        guard descriptor >= 0 else {
            throw DiskError(operation: mode == .create ? "create" : "open", path: path)
        }
        return PosixFile(descriptor: descriptor, path: path)
    }

    public func makeDirectory(_ path: String) throws(DiskError) {
        if mkdir(path, 0o700) == 0 { return }
        let error = DiskError(operation: "create directory", path: path)
        var status = stat()
        guard error.code == .fileExists, stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR
        else { throw error }
    }

    public func rename(_ path: String, to target: String) throws(DiskError) {
        if Glibc.rename(path, target) != 0 { throw DiskError(operation: "rename", path: path) }
    }

    public func remove(_ path: String) throws(DiskError) {
        if unlink(path) != 0 { throw DiskError(operation: "remove", path: path) }
    }

    public func syncDirectory(_ path: String) throws(DiskError) {
        let descriptor = retrying { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw DiskError(operation: "open directory", path: path) }
        defer { close(descriptor) }
        if retrying({ fsync(descriptor) }) != 0 { throw DiskError(operation: "sync directory", path: path) }
    }

    public func list(_ path: String) throws(DiskError) -> [String] {
        guard let directory = opendir(path) else { throw DiskError(operation: "list", path: path) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            // readdir returns nil both at the end and after an error. Only errno distinguishes them.
            errno = 0
            guard let entry = readdir(directory) else {
                if errno != 0 { throw DiskError(operation: "list", path: path) }
                break
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    public func information(_ path: String) throws(DiskError) -> FileInformation? {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw DiskError(operation: "look at", path: path)
        }
        return FileInformation(
            size: UInt64(max(0, status.st_size)),
            isDirectory: status.st_mode & S_IFMT == S_IFDIR,
            isRegular: status.st_mode & S_IFMT == S_IFREG,
            mode: status.st_mode & 0o7777,
            modified: Int64(status.st_mtim.tv_sec) * 1_000 + Int64(status.st_mtim.tv_nsec) / 1_000_000)
    }

    public func freeBytes(_ path: String) throws(DiskError) -> UInt64 {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw DiskError(operation: "look at the file system of", path: path) }
        return UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue
    }
}

extension Path {
    /// Why no file can be created in a directory, or the directory itself if it does not exist; nil if it can.
    public static func cannotCreate(in directory: String) -> DiskError? {
        var place = absolute(directory)
        while access(place, F_OK) != 0, errno == ENOENT, place != "/" { place = Path.directory(of: place) }
        return access(place + "/.", W_OK | X_OK) == 0 ? nil : DiskError(operation: "create", path: directory)
    }

    /// Whether a path lies on a file system that is mounted for reading only.
    public static func isReadOnly(_ path: String) -> Bool { access(path, W_OK) != 0 && errno == EROFS }
}

/// An open file that owns its descriptor. Thread-safe, because `pread` and `pwrite` take the offset as an argument.
final class PosixFile: DiskFile {
    let path: String
    private let descriptor: Int32

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    func size() throws(DiskError) -> UInt64 {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw DiskError(operation: "look at", path: path) }
        return UInt64(max(0, status.st_size))
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = retrying { pread(descriptor, rest.baseAddress, rest.count, fileOffset(offset, plus: done)) }
            if count < 0 { throw DiskError(operation: "read", path: path) }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let count = retrying { pwrite(descriptor, rest.baseAddress, rest.count, fileOffset(offset, plus: done)) }
            if count < 0 { throw DiskError(operation: "write", path: path) }
            done += count
        }
    }

    func sync() throws(DiskError) {
        if retrying({ fdatasync(descriptor) }) != 0 { throw DiskError(operation: "sync", path: path) }
    }

    func truncate(to size: UInt64) throws(DiskError) {
        if retrying({ ftruncate(descriptor, Int(clamping: size)) }) != 0 {
            throw DiskError(operation: "truncate", path: path)
        }
    }

    func duplicate() throws(DiskError) -> Int32 {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw DiskError(operation: "open", path: path) }
        return copy
    }

    private func fileOffset(_ offset: UInt64, plus done: Int) -> Int {
        Int(clamping: offset.addingReportingOverflow(UInt64(done)).partialValue)
    }
}

/// An unnamed temporary file in a directory, or in memory. It disappears with its last reference.
public final class UnnamedFile: Sendable {
    private let file: PosixFile

    public init(directory: String) throws(DiskError) {
        let descriptor = retrying { open(directory, O_RDWR | O_CLOEXEC | natter_o_tmpfile, 0o600) }
        guard descriptor >= 0 else { throw DiskError(operation: "make a temporary file in", path: directory) }
        file = PosixFile(descriptor: descriptor, path: directory)
    }

    /// A file in memory.
    public init(inMemory name: String) throws(DiskError) {
        let descriptor = natter_memory_file(name)
        guard descriptor >= 0 else { throw DiskError(operation: "make a temporary file in", path: name) }
        file = PosixFile(descriptor: descriptor, path: name)
    }

    public var content: any DiskFile { file }

    public func write(_ bytes: [UInt8], at offset: UInt64) throws(DiskError) { try file.write(bytes, at: offset) }

    public func read(count: Int, at offset: UInt64) throws(DiskError) -> [UInt8] {
        try file.read(count: count, at: offset)
    }

    /// A descriptor of its own for the same content, which the caller closes.
    public func duplicate() throws(DiskError) -> Int32 { try file.duplicate() }
}
