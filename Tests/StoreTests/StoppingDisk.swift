import NatterSystem

/// The real disk up to a number of changes; from then on every call fails, as if the process had been killed there.
final class StoppingDisk: Disk {
    private let real = PosixDisk()
    private let left: Monitor<Int>

    /// - Parameter changes: how many calls that change something still succeed.
    init(after changes: Int) { left = Monitor(changes) }

    private var isOver: Bool { left.withLock { $0 <= 0 } }

    fileprivate func change(_ operation: String, _ path: String) throws(DiskError) {
        let isAllowed = left.withLock { left in
            left -= 1
            return left >= 0
        }
        if !isAllowed { throw DiskError(code: 5, operation: operation, path: path) }
    }

    fileprivate func look(_ operation: String, _ path: String) throws(DiskError) {
        // Not EIO, which a repair takes for a bad sector.
        if isOver { throw DiskError(code: 9, operation: operation, path: path) }
    }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        if mode == .create { try change("create", path) } else { try look("open", path) }
        return StoppingFile(try real.open(path, mode), self)
    }
    func makeDirectory(_ path: String) throws(DiskError) {
        try change("make", path)
        try real.makeDirectory(path)
    }
    func rename(_ path: String, to target: String) throws(DiskError) {
        try change("rename", path)
        try real.rename(path, to: target)
    }
    func remove(_ path: String) throws(DiskError) {
        try change("remove", path)
        try real.remove(path)
    }
    func syncDirectory(_ path: String) throws(DiskError) {
        try look("sync", path)
        try real.syncDirectory(path)
    }
    func list(_ path: String) throws(DiskError) -> [String] {
        try look("list", path)
        return try real.list(path)
    }
    func information(_ path: String) throws(DiskError) -> FileInformation? {
        try look("look at", path)
        return try real.information(path)
    }
    func freeBytes(_ path: String) throws(DiskError) -> UInt64 { try real.freeBytes(path) }
}

private final class StoppingFile: DiskFile {
    private let real: any DiskFile
    private let disk: StoppingDisk
    var path: String { real.path }

    init(_ real: any DiskFile, _ disk: StoppingDisk) { (self.real, self.disk) = (real, disk) }

    func size() throws(DiskError) -> UInt64 { try real.size() }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        try disk.look("read", path)
        return try real.read(into: buffer, at: offset)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        try disk.change("write", path)
        try real.write(bytes, at: offset)
    }
    func sync() throws(DiskError) {
        try disk.look("sync", path)
        try real.sync()
    }
    func truncate(to size: UInt64) throws(DiskError) {
        try disk.change("truncate", path)
        try real.truncate(to: size)
    }
}
