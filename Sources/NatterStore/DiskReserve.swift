internal import NatterCrypto
internal import NatterModel
internal import NatterSystem

/// Room on the disk for a start: a file of 1 MiB, which is removed if a start finds the disk full.
///
/// To open a store, SQLite needs some pages of its write-ahead log and of shared memory. Without them nobody could read,
/// either. Messages are refused until the file is there again.
final class DiskReserve: Sendable {
    private static let bytes = 1 << 20

    private let directory: String
    private let disk: any Disk
    private let isKept: Bool
    private let isThere = Monitor(false)
    /// Why a shared database last took nothing, and when, in milliseconds of the monotonic clock.
    private let database = Monitor<(trouble: StoreTrouble, time: Int64)?>(nil)
    /// How long that is believed. A server that looks ill gets no messages, and so would never find out.
    private static let beliefMilliseconds: Int64 = 10_000

    /// - Parameter isKept: whether this process keeps the file. One that only looks on does not.
    init(_ directory: String, disk: any Disk, isKept: Bool) {
        (self.directory, self.disk, self.isKept) = (directory, disk, isKept)
    }

    static let name = "reserve"
    private var path: String { directory + "/" + DiskReserve.name }
    private static let neededBytes = StoreWriter.reservedBytes + UInt64(bytes)

    /// Call before the store is loaded.
    func makeRoom() {
        guard isKept, let free = try? disk.freeBytes(directory), free <= StoreWriter.reservedBytes,
            (try? disk.information(path)) != nil
        else { return }
        try? disk.remove(path)
    }

    /// Call when the store is loaded.
    func restore() { _ = try? isRoom() }

    /// Whether a message may be written.
    func isRoom() throws(DiskError) -> Bool {
        guard try disk.freeBytes(directory) > StoreWriter.reservedBytes else { return false }
        guard isKept, !isThere.withLock({ $0 }) else { return true }
        guard try isRoomLeft() else { return false }
        try fill()
        isThere.signal { $0 = true }
        return true
    }

    /// The same, and changes nothing.
    func isRoomLeft() throws(DiskError) -> Bool {
        let free = try disk.freeBytes(directory)
        var isComplete = !isKept || isThere.withLock { $0 }
        if !isComplete { isComplete = try disk.information(path)?.size == UInt64(DiskReserve.bytes) }
        return free > (isComplete ? StoreWriter.reservedBytes : DiskReserve.neededBytes)
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
        if let found = try disk.information(path) {
            if found.size == UInt64(DiskReserve.bytes) { return }
            try disk.remove(path)
        }
        let file = try disk.open(path, .create)
        // A file system that compresses would keep nothing free for zeros.
        var random = SecureRandom()
        var block: [UInt8] = []
        while block.count < 1 << 16 { block.append(littleEndian: random.next()) }
        for offset in stride(from: 0, to: DiskReserve.bytes, by: block.count) {
            try file.write(block, at: UInt64(offset))
        }
    }
}
