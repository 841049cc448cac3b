import NatterSystem

/// Writes down the calls that change something, in their order.
final class RecordingDisk: Disk {
    private let disk = MemoryDisk()
    private let log = Monitor<[String]>([])
    var calls: [String] { log.withLock { $0 } }

    private func note(_ call: String) { log.withLock { $0.append(call) } }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        note("open \(path)")
        return RecordingFile(try disk.open(path, mode), note: note)
    }

    func syncDirectory(_ path: String) throws(DiskError) { note("sync directory \(path)") }
    func makeDirectory(_ path: String) throws(DiskError) { note("make directory \(path)") }
    func rename(_ path: String, to target: String) throws(DiskError) { note("rename \(path)") }
    func remove(_ path: String) throws(DiskError) { note("remove \(path)") }
    func list(_ path: String) throws(DiskError) -> [String] { try disk.list(path) }
    func freeBytes(_ path: String) throws(DiskError) -> UInt64 { try disk.freeBytes(path) }
    func information(_ path: String) throws(DiskError) -> FileInformation? {
        FileInformation(size: 0, isDirectory: true, isRegular: false, mode: 0o700, modified: 0)
    }
}

private final class RecordingFile: DiskFile {
    private let file: any DiskFile
    private let note: @Sendable (String) -> Void
    var path: String { file.path }

    init(_ file: any DiskFile, note: @escaping @Sendable (String) -> Void) { (self.file, self.note) = (file, note) }

    func size() throws(DiskError) -> UInt64 { try file.size() }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        try file.read(into: buffer, at: offset)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        note("write \(path)")
        try file.write(bytes, at: offset)
    }
    func sync() throws(DiskError) { note("sync \(path)") }
    func truncate(to size: UInt64) throws(DiskError) { note("truncate \(path)") }
}
