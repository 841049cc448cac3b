import NatterSystem

/// Files in memory, for tests that need a thousand of them.
final class MemoryDisk: Disk {
    private let files = Monitor<[String: MemoryFile]>([:])

    subscript(path: String) -> [UInt8] {
        get { files.withLock { $0[path] }?.bytes ?? [] }
        set { files.withLock { $0[path] = MemoryFile(path: path, bytes: newValue) } }
    }

    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile {
        let found = files.withLock { files -> MemoryFile? in
            if mode == .create, files[path] == nil {
                let file = MemoryFile(path: path, bytes: [])
                files[path] = file
                return file
            }
            return mode == .create ? nil : files[path]
        }
        guard let found else { throw DiskError(code: mode == .create ? 17 : 2, operation: "open", path: path) }
        return found
    }

    func makeDirectory(_: String) throws(DiskError) {}
    func rename(_ path: String, to target: String) throws(DiskError) {
        files.withLock {
            $0[target] = $0[path]
            $0[path] = nil
        }
    }
    func remove(_ path: String) throws(DiskError) { files.withLock { $0[path] = nil } }
    func syncDirectory(_: String) throws(DiskError) {}
    func list(_ path: String) throws(DiskError) -> [String] { [] }
    func freeBytes(_: String) throws(DiskError) -> UInt64 { 1 << 40 }

    func information(_ path: String) throws(DiskError) -> FileInformation? {
        guard let file = files.withLock({ $0[path] }) else { return nil }
        return FileInformation(
            size: UInt64(file.bytes.count), isDirectory: false, isRegular: true, mode: 0o600, modified: 0)
    }
}

final class MemoryFile: DiskFile {
    let path: String
    private let content: Monitor<[UInt8]>
    var bytes: [UInt8] { content.withLock { $0 } }

    init(path: String, bytes: [UInt8]) {
        self.path = path
        content = Monitor(bytes)
    }

    func size() throws(DiskError) -> UInt64 { UInt64(bytes.count) }
    func sync() throws(DiskError) {}
    func truncate(to size: UInt64) throws(DiskError) { content.withLock { $0 = Array($0.prefix(Int(size))) } }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(DiskError) -> Int {
        content.withLock { content in
            let start = min(content.count, Int(clamping: offset))
            let count = min(buffer.count, content.count - start)
            content.withUnsafeBytes { buffer.copyBytes(from: $0[start..<start + count]) }
            return count
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(DiskError) {
        content.withLock { content in
            let start = Int(offset)
            if content.count < start + bytes.count {
                content += [UInt8](repeating: 0, count: start + bytes.count - content.count)
            }
            content.replaceSubrange(start..<start + bytes.count, with: bytes)
        }
    }
}
