internal import NatterSystem

/// A buffer that is written first and read afterwards. It holds up to 1 MiB in memory and the rest in an unnamed file.
struct Spool {
    private static let memoryBytes = 1 << 20

    private let directory: String
    private var memory: [UInt8] = []
    private var file: UnnamedFile?
    private var fileBytes: UInt64 = 0
    private var readOffset: UInt64 = 0

    init(directory: String) { self.directory = directory }

    var count: Int { Int(clamping: fileBytes) + memory.count }

    mutating func append(_ bytes: [UInt8]) throws(DiskError) {
        memory += bytes
        guard memory.count > Spool.memoryBytes else { return }
        if file == nil { file = try UnnamedFile(directory: directory) }
        try file?.write(memory, at: fileBytes)
        fileBytes += UInt64(memory.count)
        memory.removeAll(keepingCapacity: true)
    }

    /// Returns the next bytes, at most `maximum`. The result is empty at the end.
    mutating func read(maximum: Int) throws(DiskError) -> [UInt8] {
        if let file, readOffset < fileBytes {
            let count = min(maximum, Int(clamping: fileBytes - readOffset))
            let bytes = try file.read(count: count, at: readOffset)
            readOffset += UInt64(bytes.count)
            return bytes
        }
        let start = Int(clamping: readOffset - fileBytes)
        let bytes = Array(memory[min(start, memory.count)...].prefix(maximum))
        readOffset += UInt64(bytes.count)
        return bytes
    }
}

/// Sends the content of a spool.
final class SpoolProducer: BodyProducer {
    private let spool: Monitor<Spool>

    init(_ spool: Spool) { self.spool = Monitor(spool) }

    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep {
        let bytes = spool.withLock { spool in try? spool.read(maximum: maximum) }
        guard let bytes else { return .abort }
        return bytes.isEmpty ? .end : .bytes(bytes)
    }

    func closed() {}
}
