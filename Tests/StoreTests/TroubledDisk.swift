import NatterSystem

@testable import NatterStore

/// The real disk with troubles that a test turns on.
final class TroubledDisk: Disk {
    struct Troubles: Sendable {
        /// What is left, as the file system says.
        var freeBytes: UInt64?
        /// Log files can't be synced.
        var failsToSync = false
        /// Log files can't grow.
        var isFull = false
        /// Nothing can be taken back, as if the process had ended there.
        var isOver = false
    }

    private let real = PosixDisk()
    private let troubles = Monitor(Troubles())

    func set(_ change: (inout Troubles) -> Void) { troubles.withLock { change(&$0) } }
    var now: Troubles { troubles.withLock { $0 } }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        TroubledFile(try real.open(path, mode), self)
    }
    func makeDirectory(_ path: String) throws(DiskError) { try real.makeDirectory(path) }
    func rename(_ path: String, to target: String) throws(DiskError) { try real.rename(path, to: target) }
    func remove(_ path: String) throws(DiskError) {
        if now.isOver { throw DiskError(code: 5, operation: "remove", path: path) }
        try real.remove(path)
    }
    func syncDirectory(_ path: String) throws(DiskError) { try real.syncDirectory(path) }
    func list(_ path: String) throws(DiskError) -> [String] { try real.list(path) }
    func information(_ path: String) throws(DiskError) -> FileInformation? { try real.information(path) }
    func freeBytes(_ path: String) throws(DiskError) -> UInt64 {
        if let free = now.freeBytes { return free }
        return try real.freeBytes(path)
    }
}

private final class TroubledFile: DiskFile {
    private let real: any DiskFile
    private let disk: TroubledDisk
    var path: String { real.path }

    init(_ real: any DiskFile, _ disk: TroubledDisk) { (self.real, self.disk) = (real, disk) }

    func size() throws(DiskError) -> UInt64 { try real.size() }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        try real.read(into: buffer, at: offset)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        guard disk.now.isFull else { return try real.write(bytes, at: offset) }
        // Half of it still fits.
        try real.write(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]), at: offset)
        throw DiskError(code: 28, operation: "write", path: path)
    }
    func sync() throws(DiskError) {
        if disk.now.failsToSync { throw DiskError(code: 5, operation: "sync", path: path) }
        try real.sync()
    }
    func truncate(to size: UInt64) throws(DiskError) {
        if disk.now.isOver { throw DiskError(code: 5, operation: "truncate", path: path) }
        try real.truncate(to: size)
    }
}
