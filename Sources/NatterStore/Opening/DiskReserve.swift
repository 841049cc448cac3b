internal import NatterSystem
internal import NatterModel

/// Which part of a disk a change may fill.
enum Room: Sendable {
    /// All but `DiskReserve.keptBytes`.
    case ordinary
    /// Also those bytes: the change makes files smaller, or takes a right away from somebody.
    case kept
}

/// Decides whether there is room on the disk.
///
/// The last bytes are kept for changes of `Room.kept`. A file of 1 MiB also keeps room from other programs. A start or a change of
/// `Room.kept` removes it if hardly anything else is free: to open a store, SQLite needs some pages of its write-ahead log and of
/// shared memory, and without them nobody could read, either. Messages are refused until the file is there again.
final class DiskReserve: Sendable {
    /// So many free bytes are kept for changes of `Room.kept`.
    static let keptBytes: UInt64 = 1 << 20
    /// Messages need so many more: the largest is in the write-ahead log, and from a checkpoint on in the database. When they are
    /// refused, the sealer can still move some to log files, which makes room.
    private static let messageBytes = 512 << 10
    private static let fileBytes = 1 << 20

    private let engine: any StoreEngine
    private let isKept: Bool
    private let isThere = Monitor(false)
    /// The bytes of free pages that the database could not give back to the disk.
    private let sparePageBytes = Monitor(0)
    /// Why a shared database last took nothing, and when, in milliseconds of the monotonic clock.
    private let database = Monitor<(trouble: StoreTrouble, time: Int64)?>(nil)
    /// How long that is believed. A server that looks ill gets no messages, and so would never find out.
    private static let beliefMilliseconds: Int64 = 10_000

    /// - Parameter isKept: whether this process keeps the file. One that only looks on does not.
    init(_ engine: any StoreEngine, isKept: Bool) { (self.engine, self.isKept) = (engine, isKept) }

    static let name = "reserve"
    private var path: String { engine.directory + "/" + DiskReserve.name }

    /// Gives the file away if hardly anything else is free. Call before the store is loaded, and on the writer's thread.
    func makeRoom() {
        guard isKept, let free = try? freeBytes(), free < DiskReserve.keptBytes / 2,
            (try? engine.disk.information(path)) != nil
        else { return }
        isThere.signal { $0 = false }
        try? engine.disk.remove(path)
    }

    /// Whether so many bytes of messages and changes may be written beside the kept room. If they may not, the engine first gives
    /// back what it does not use. Call on the writer's thread, or when the store was loaded.
    ///
    /// - Throws: `DiskError` if the disk does not say how much is free. After any other error, the content of the disk is unknown.
    func isRoom(for bytes: Int = 0) throws -> Bool {
        let needed = max(DiskReserve.messageBytes, 2 * bytes)
        // The next checkpoint may need the room of the whole log once more.
        if try !isFree(needed + engine.logBytes) {
            let spare = try engine.giveBack()
            sparePageBytes.withLock { $0 = spare }
            guard try isFree(needed, beside: spare) else { return false }
        }
        if isKept, !isThere.withLock({ $0 }) {
            try fill()
            isThere.signal { $0 = true }
        }
        return true
    }

    /// Whether so many bytes are free beside the kept room.
    ///
    /// - Parameter spare: bytes of free pages in the database, which messages can use, but not log files or the file of the reserve.
    func isFree(_ needed: Int, beside spare: Int = 0) throws(DiskError) -> Bool {
        let free = try freeBytes()
        var isWhole = !isKept || isThere.withLock { $0 }
        if !isWhole { isWhole = try engine.disk.information(path)?.size == UInt64(DiskReserve.fileBytes) }
        let limit = DiskReserve.keptBytes + UInt64(needed)
        return isWhole ? free + UInt64(spare) > limit : free > limit + UInt64(DiskReserve.fileBytes)
    }

    private func freeBytes() throws(DiskError) -> UInt64 { try engine.disk.freeBytes(engine.directory) }

    /// The trouble with the space on the disk, as far as that can be told without a change.
    var trouble: StoreTrouble? {
        // A disk that can't say how full it is can't be written to, either.
        guard (try? isFree(DiskReserve.messageBytes, beside: sparePageBytes.withLock { $0 })) == true else {
            return .diskFull
        }
        return (try? freeBytes()).map { $0 < Store.lowSpaceBytes } == false ? nil : .lowOnSpace
    }

    /// Why a shared database took nothing just now. Its server alone knows how much room it has.
    var databaseTrouble: StoreTrouble? {
        guard let (trouble, time) = database.withLock({ $0 }) else { return nil }
        return MonotonicClock.now() - time < DiskReserve.beliefMilliseconds ? trouble : nil
    }

    /// Notes what became of an entry for a shared database; nil is success.
    func note(_ refusal: StoreError?) {
        let trouble: StoreTrouble
        switch refusal {
        case nil: return database.withLock { $0 = nil }
        case .diskFull: trouble = .diskFull
        case .databaseLocked: trouble = .databaseLocked
        case .databaseAway, .outcomeUnknown: trouble = .databaseAway
        default: return
        }
        database.withLock { $0 = (trouble, MonotonicClock.now()) }
    }

    private func fill() throws(DiskError) {
        let disk = engine.disk
        if let found = try disk.information(path) {
            if found.size == UInt64(DiskReserve.fileBytes) { return }
            try disk.remove(path)
        }
        let file = try disk.open(path, .create)
        // A file system that compresses would keep nothing free for zeros.
        var random = SecureRandom()
        var block: [UInt8] = []
        while block.count < 1 << 16 { block.append(littleEndian: random.next()) }
        for offset in stride(from: 0, to: DiskReserve.fileBytes, by: block.count) {
            try file.write(block, at: UInt64(offset))
        }
    }
}

extension Store {
    /// With less free space than this, the server is low on space, and says so. Requests of many messages are refused a little
    /// later, single ones when only `DiskReserve.keptBytes` are left.
    public static let lowSpaceBytes: UInt64 = 256 << 20

    /// Whether log files may grow by so many bytes beside the kept room. Call on the sealer's thread.
    func isRoom(forLogs bytes: Int) throws -> Bool {
        if isShared { return true }
        func isFree() throws(DiskError) -> Bool { try reserve.isFree(bytes + engine.logBytes) }
        if try isFree() { return true }
        giveBack()
        return try isFree()
    }

    /// Gives a part of what the database does not use back to the disk. Call it from time to time.
    public func giveBack() { if !isShared { try? upkeep { _ = try $0.engine.giveBack() } } }
}
