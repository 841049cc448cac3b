internal import CSQLite
internal import NatterSystem

/// The state that this process's connections to one database on a `Disk` share: locks on the file, the index of the
/// WAL, and locks on the index's parts. It ends with the last connection, and SQLite rebuilds the index from the WAL.
final class SharedDatabase: Sendable {
    /// The number of locks on parts of a WAL's index, as SQLite's file format defines it.
    static let slotCount = Int(SQLITE_SHM_NLOCK)

    private struct Slot {
        var owner: ObjectIdentifier?
        var readers: Set<ObjectIdentifier> = []
    }

    private struct State {
        /// The holders of SQLite's five lock levels.
        var levels: [ObjectIdentifier: Int32] = [:]
        var slots = [Slot](repeating: Slot(), count: slotCount)
        var regions: [UnsafeMutableRawPointer] = []
        var isReplaced = false
    }

    private let state = Monitor(State())

    deinit { state.withLock { for region in $0.regions { region.deallocate() } } }

    /// True if the file was removed and another one created with its name.
    var isReplaced: Bool {
        get { state.withLock { $0.isReplaced } }
        set { state.withLock { $0.isReplaced = newValue } }
    }

    // MARK: The file

    /// - Returns: false if another connection's lock conflicts.
    func lock(_ file: ObjectIdentifier, to level: Int32) -> Bool {
        state.withLock { state in
            let others = state.levels.filter { $0.key != file }.values.max() ?? SQLITE_LOCK_NONE
            guard level > state.levels[file] ?? SQLITE_LOCK_NONE else { return true }
            switch level {
            case SQLITE_LOCK_SHARED: if others >= SQLITE_LOCK_PENDING { return false }
            case SQLITE_LOCK_RESERVED: if others >= SQLITE_LOCK_RESERVED { return false }
            default:
                if others >= SQLITE_LOCK_RESERVED { return false }
                // Admit no new readers while this one waits for the last reader to finish.
                state.levels[file] = SQLITE_LOCK_PENDING
                if others >= SQLITE_LOCK_SHARED { return false }
            }
            state.levels[file] = level
            return true
        }
    }

    func unlock(_ file: ObjectIdentifier, to level: Int32) {
        state.withLock { state in
            guard level < state.levels[file] ?? SQLITE_LOCK_NONE else { return }
            state.levels[file] = level == SQLITE_LOCK_NONE ? nil : level
        }
    }

    var isReserved: Bool { state.withLock { $0.levels.values.contains { $0 >= SQLITE_LOCK_RESERVED } } }

    /// Releases all locks of a file.
    func release(_ file: ObjectIdentifier) {
        unlock(file, to: SQLITE_LOCK_NONE)
        unlock(0..<SharedDatabase.slotCount, of: file)
    }

    // MARK: The index of the WAL

    /// - Returns: nil if there is no such region and none should be created.
    func region(_ number: Int, bytes: Int, makes: Bool) -> UnsafeMutableRawPointer? {
        state.withLock { state in
            while makes, state.regions.count <= number {
                let region = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
                region.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
                state.regions.append(region)
            }
            return number < state.regions.count ? state.regions[number] : nil
        }
    }

    func lock(_ slots: Range<Int>, of file: ObjectIdentifier, isExclusive: Bool) -> Bool {
        state.withLock { state in
            guard slots.lowerBound >= 0, slots.upperBound <= state.slots.count else { return false }
            for slot in state.slots[slots] {
                if let owner = slot.owner, owner != file { return false }
                if isExclusive, slot.readers.contains(where: { $0 != file }) { return false }
            }
            for number in slots {
                if isExclusive {
                    state.slots[number].owner = file
                } else {
                    state.slots[number].readers.insert(file)
                }
            }
            return true
        }
    }

    func unlock(_ slots: Range<Int>, of file: ObjectIdentifier) {
        state.withLock { state in
            for number in slots.clamped(to: state.slots.indices) {
                if state.slots[number].owner == file { state.slots[number].owner = nil }
                state.slots[number].readers.remove(file)
            }
        }
    }

    /// Makes earlier writes visible to later reads.
    func barrier() { state.withLock { _ in } }
}
