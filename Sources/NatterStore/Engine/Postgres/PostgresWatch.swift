internal import Glibc
internal import NatterSystem

/// The thread that listens for entries of other servers, and says that this server is alive.
final class PostgresWatch: Sendable {
    private struct State {
        var hint: (@Sendable (UInt64?) -> Void)?
        /// The last entry that this server has read; nil while it has no copy of the rows. It will load them anew then, so it
        /// needs no entry, and keeps no file from going.
        var read: UInt64? = 0
        /// That a newer natterd has changed the tables meanwhile.
        var outdated: StoreOpenError?
        /// When the log was last read or written, in milliseconds of the monotonic clock.
        var answered: Int64 = 0
        /// Whether the last look found the log locked.
        var isLocked = false
        var isStopping = false
    }

    private let pool: PostgresPool
    private let node: Int64
    private let state = Monitor(State())
    private let thread = Monitor<SystemThread?>(nil)

    /// Hints may get lost, so it looks this often as well.
    private static let pollMilliseconds: Int32 = 250
    /// While entries come one after the other, one look serves those of this time.
    private static let burstMilliseconds: Int32 = 5
    private static let aliveMilliseconds: Int64 = 5_000
    /// How long it waits for a lock. Others wait longer, but only this thread tells whoever must not wait.
    private let lockMilliseconds: Int64

    init(_ pool: PostgresPool, node: Int64) {
        (self.pool, self.node) = (pool, node)
        lockMilliseconds = PostgresTurn(patienceMilliseconds: pool.patienceMilliseconds).shortMilliseconds
    }

    func onNews(_ hint: @escaping @Sendable (UInt64?) -> Void) { state.withLock { $0.hint = hint } }

    func note(read: UInt64?) { state.withLock { $0.read = read } }

    /// Notes that the log was read or written.
    func noteAnswer() { state.withLock { ($0.answered, $0.isLocked) = (MonotonicClock.now(), false) } }

    /// Why the log can't be read now; nil if it can. Never waits for the database.
    var trouble: StoreTrouble? {
        let state = state.withLock { $0 }
        if state.isLocked { return .databaseLocked }
        // A look under way may wait for a lock first, so a longer silence is needed to tell. A server that is outdated looks
        // no more, and says why.
        let isSilent = MonotonicClock.now() - state.answered > 2 * lockMilliseconds
        return isSilent && state.outdated == nil ? .databaseAway : nil
    }

    /// - Throws: `StoreOpenError.newer` if a newer natterd has changed the tables.
    func requireCurrent() throws(StoreOpenError) {
        if let outdated = state.withLock({ $0.outdated }) { throw outdated }
    }

    /// Says now that this server is alive, so that nothing behind its place is trimmed. The entries that it had read before may
    /// be of a history that is gone.
    func sayAlive(_ connection: PostgresConnection) throws(PostgresError) {
        guard let read = state.withLock({ $0.read }) else { return try sayNothing(connection) }
        try connection.run(
            """
            INSERT INTO node (id,name,seen,read,step) VALUES ($1,$2,clock_timestamp(),$3,$4)
            ON CONFLICT (id) DO UPDATE SET seen=excluded.seen, read=excluded.read
            """, .integer(node), .text("\(Host.name ?? "?")[\(getpid())]"), .unsigned(read),
            .integer(Int64(PostgresSchema.steps.count)))
    }

    /// Takes this server out of those that others wait for.
    private func sayNothing(_ connection: PostgresConnection) throws(PostgresError) {
        try connection.run("DELETE FROM node WHERE id=$1", .integer(node))
    }

    func start() throws {
        let isRunning = thread.withLock { $0 != nil }
        guard !isRunning else { return }
        noteAnswer()
        let made = try SystemThread(name: "natter-watch") { [self] in
            // At least once: it may be told to stop before it begins, and this server is in the table.
            repeat {
                // After a loss it connects again. Others report what is wrong.
                do { try watch(try pool.open()) } catch {
                    if let error = error as? StoreOpenError {
                        let hint = state.withLock { state in
                            state.outdated = error
                            return state.hint
                        }
                        hint?(nil)
                    } else {
                        let isLocked = (error as? PostgresError)?.isLocked == true
                        state.withLock { $0.isLocked = isLocked }
                    }
                    pause(PostgresWatch.pollMilliseconds)
                }
            } while !state.withLock({ $0.isStopping })
        }
        thread.withLock { $0 = made }
    }

    private func pause(_ milliseconds: Int32) {
        state.wait(timeoutMilliseconds: Int(milliseconds)) { $0.isStopping }
    }

    private func watch(_ connection: PostgresConnection) throws {
        let name = try connection.run("SELECT \(PostgresLog.channel)").text(0, 0)
        try connection.execute("LISTEN \(name); SET lock_timeout = \(lockMilliseconds)")
        var nextSign: Int64 = 0
        while !state.withLock({ $0.isStopping }) {
            if MonotonicClock.now() >= nextSign {
                // A lock on these tables, or a full disk, keeps nobody from the log. It counts as dead only after a minute.
                do {
                    try sayAlive(connection)
                    _ = try PostgresSchema.knownStep(connection)
                } catch let error as PostgresError where error.isLocked || error.isFull {}
                try PostgresSchema.requireMemory(of: connection)
                // Whoever lacks the right to end it leaves it to others.
                do { try PostgresLog.endFrozen(connection) } catch { if error.isLost { throw error } }
                nextSign = MonotonicClock.now() + PostgresWatch.aliveMilliseconds
            }
            let new = try connection.notifications(timeoutMilliseconds: PostgresWatch.pollMilliseconds)
            let (read, hint) = state.withLock { ($0.read, $0.hint) }
            if new.isEmpty {
                let last = try connection.run("SELECT coalesce(max(number),0) FROM log").integer(0, 0)
                if UInt64(bitPattern: last) != read { hint?(nil) }
            } else {
                if let last = new.compactMap({ UInt64($0) }).max(), last > read ?? 0 { hint?(last) }
                pause(PostgresWatch.burstMilliseconds)
            }
            noteAnswer()
        }
        try sayNothing(connection)
    }

    func stop() {
        state.signal { $0.isStopping = true }
        thread.exchange(nil)?.join()
    }
}
