internal import NatterStore
internal import NatterSystem

/// How much disk the answers to bulk may take while their requests are read.
public struct SpoolLimits: Sendable {
    /// Where spools that do not fit into memory lie.
    public var directory = "/tmp"
    /// The bytes of all spools of one account.
    public var accountBytes = 1 << 30
    /// The bytes of all spools together.
    public var totalBytes = 4 << 30
    /// The room that spools leave free on their disk, so that messages can be moved to log files at any time.
    public var freeBytes = Store.lowSpaceBytes / 2

    public init() {}
}

/// Makes spools and counts the bytes of all of them.
final class SpoolRoom: Sendable {
    fileprivate let limits: SpoolLimits
    fileprivate let disk: any Disk
    private let used = Monitor(Used())

    private struct Used {
        var total = 0
        var inMemory = 0
        var byAccount: [AccountID: (bytes: Int, spools: Int)] = [:]
    }

    /// From so many bytes of all spools in memory on, each keeps only `Spool.leastMemoryBytes`.
    private static let memoryBytes = 64 << 20
    /// No batch of lines makes more bytes of answers than about this.
    fileprivate static let batchBytes = 64 << 20

    init(_ limits: SpoolLimits, _ disk: any Disk) { (self.limits, self.disk) = (limits, disk) }

    /// How many requests of one account may have a spool. The batches that each has in memory take some MiB.
    private static let accountSpools = 16

    /// - Throws: 429 if the account has too many.
    func makeSpool(for account: AccountID) throws(APIError) -> Spool {
        let hasRoom = used.withLock { used in
            guard used.byAccount[account, default: (0, 0)].spools < SpoolRoom.accountSpools else { return false }
            used.byAccount[account, default: (0, 0)].spools += 1
            return true
        }
        guard hasRoom else { throw .tooManyOwn }
        return Spool(self, account)
    }

    fileprivate func hasRoom(for bytes: Int, of account: AccountID) -> Bool {
        used.withLock { isRoom(for: bytes, of: account, beside: $0) }
    }

    private func isRoom(for bytes: Int, of account: AccountID, beside used: Used) -> Bool {
        used.byAccount[account, default: (0, 0)].bytes <= limits.accountBytes - bytes
            && used.total <= limits.totalBytes - bytes
    }

    fileprivate func reserve(_ bytes: Int, for account: AccountID) -> Bool {
        used.withLock { used in
            guard isRoom(for: bytes, of: account, beside: used) else { return false }
            used.total += bytes
            used.byAccount[account, default: (0, 0)].bytes += bytes
            return true
        }
    }

    /// Counts what a spool keeps in memory.
    ///
    /// - Returns: whether all of them keep little.
    fileprivate func keep(_ bytes: Int, before: Int) -> Bool {
        used.withLock { used in
            used.inMemory += bytes - before
            return used.inMemory <= SpoolRoom.memoryBytes
        }
    }

    /// Forgets a spool.
    fileprivate func giveBack(_ bytes: Int, by account: AccountID) {
        used.withLock { used in
            used.total -= bytes
            guard let own = used.byAccount[account], own.spools > 1 else {
                used.byAccount[account] = nil
                return
            }
            used.byAccount[account] = (own.bytes - bytes, own.spools - 1)
        }
    }
}

/// A buffer that is written first and read afterwards. It holds up to 256 KiB in memory, less if there are many, and the rest in
/// an unnamed file.
///
/// Its last reference gives the bytes back.
final class Spool {
    private static let memoryBytes = 256 << 10
    private static let leastMemoryBytes = 16 << 10

    private let room: SpoolRoom
    private let account: AccountID
    private var memory: [UInt8] = []
    private var file: UnnamedFile?
    private var fileBytes: UInt64 = 0
    private var readOffset: UInt64 = 0

    fileprivate init(_ room: SpoolRoom, _ account: AccountID) { (self.room, self.account) = (room, account) }
    deinit {
        _ = room.keep(0, before: memory.count)
        room.giveBack(count, by: account)
    }

    var count: Int { Int(clamping: fileBytes) + memory.count }

    /// Whether the answers to so many further batches will have room.
    func hasRoom(forBatches count: Int) -> Bool { room.hasRoom(for: count * SpoolRoom.batchBytes, of: account) }

    /// Whether the disk is free enough for the answers to a batch. It is refused only when the server is low on space.
    func isDiskFree(for bytes: Int = SpoolRoom.batchBytes) -> Bool {
        guard let free = try? room.disk.freeBytes(room.limits.directory) else { return false }
        return free >= room.limits.freeBytes && free - room.limits.freeBytes >= UInt64(bytes)
    }

    /// - Returns: whether there was room.
    func append(_ bytes: [UInt8]) throws(DiskError) -> Bool {
        guard room.reserve(bytes.count, for: account) else { return false }
        memory += bytes
        let isLittle = room.keep(memory.count, before: memory.count - bytes.count)
        guard memory.count > (isLittle ? Spool.memoryBytes : Spool.leastMemoryBytes) else { return true }
        guard isDiskFree(for: memory.count) else { return false }
        if file == nil { file = try UnnamedFile(directory: room.limits.directory) }
        try file?.write(memory, at: fileBytes)
        fileBytes += UInt64(memory.count)
        _ = room.keep(0, before: memory.count)
        memory = []
        return true
    }

    /// Returns the next bytes, at most `maximum`. The result is empty at the end.
    func read(maximum: Int) throws(DiskError) -> [UInt8] {
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
}
