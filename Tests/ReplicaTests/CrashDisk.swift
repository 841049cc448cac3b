import NatterSystem
import Synchronization

/// A disk on which a process dies: at one call, and from then on nothing is done any more. Of a write at that call, a part
/// arrives.
final class CrashDisk: Disk {
    private let calls: Mutex<Int>
    private let limit: Int
    private let disk = PosixDisk()

    /// - Parameter limit: how many calls that change something are done.
    init(limit: Int) {
        self.limit = limit
        calls = Mutex(0)
    }

    var hasCrashed: Bool { calls.withLock { $0 > limit } }

    /// - Returns: whether this is the call at which it happens.
    fileprivate func count() throws(DiskError) {
        let count = calls.withLock { calls in
            calls += 1
            return calls
        }
        if count > limit { throw DiskError(code: 5, operation: "go on with", path: "a crash") }
    }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        if mode == .create { try count() }
        return CrashFile(file: try disk.open(path, mode), disk: self)
    }

    func makeDirectory(_ path: String) throws(DiskError) {
        try count()
        try disk.makeDirectory(path)
    }

    func rename(_ path: String, to target: String) throws(DiskError) {
        try count()
        try disk.rename(path, to: target)
    }

    func remove(_ path: String) throws(DiskError) {
        try count()
        try disk.remove(path)
    }

    func syncDirectory(_ path: String) throws(DiskError) {
        try count()
        try disk.syncDirectory(path)
    }

    func list(_ path: String) throws(DiskError) -> [String] { try disk.list(path) }
    func information(_ path: String) throws(DiskError) -> FileInformation? { try disk.information(path) }
    func freeBytes(_ path: String) throws(DiskError) -> UInt64 { try disk.freeBytes(path) }
}

private final class CrashFile: DiskFile {
    private let file: any DiskFile
    private let disk: CrashDisk
    var path: String { file.path }

    init(file: any DiskFile, disk: CrashDisk) { (self.file, self.disk) = (file, disk) }

    func size() throws(DiskError) -> UInt64 { try file.size() }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        try file.read(into: buffer, at: offset)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        let wasAlive = !disk.hasCrashed
        do throws(DiskError) {
            try disk.count()
        } catch {
            if wasAlive {
                try file.write(UnsafeRawBufferPointer(rebasing: bytes.prefix(bytes.count * 2 / 3)), at: offset)
            }
            throw error
        }
        try file.write(bytes, at: offset)
    }

    func sync() throws(DiskError) {
        try disk.count()
        try file.sync()
    }

    func truncate(to size: UInt64) throws(DiskError) {
        try disk.count()
        try file.truncate(to: size)
    }
}
