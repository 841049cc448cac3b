internal import NatterModel
internal import NatterSystem

/// The connections of one server to its database. After a loss it connects again by itself.
final class PostgresPool: Sendable {
    private let target: PostgresTarget
    private let state = Monitor(State())

    private struct State {
        var idle: [PostgresConnection] = []
        /// When the first of the latest failures was, in milliseconds of the monotonic clock.
        var downSince: Int64?
        var lastFailure: PostgresError?
        /// Whether a call tries to reach a database that is away for longer than calls wait.
        var isProbed = false
        /// Whether the database has ever been there. At a start, whoever opens the store says why not.
        var hasOpened = false
        var isClosed = false
    }

    /// How long a call waits for a database that is away. Later ones fail at once until it is back.
    let patienceMilliseconds: Int64
    private static let pauseMilliseconds = 200

    private let report: @Sendable (Phrase) -> Void

    /// - Parameter report: is told once that the database is away, and once that it is back.
    init(
        _ target: PostgresTarget, patienceMilliseconds: Int64 = Store.Options().databasePatienceMilliseconds,
        report: @escaping @Sendable (Phrase) -> Void = { _ in }
    ) {
        (self.target, self.patienceMilliseconds, self.report) = (target, patienceMilliseconds, report)
    }

    /// A new connection. Waits for a database that is away.
    func connect() throws(PostgresError) -> PostgresConnection {
        while true {
            let isProbe = try beginProbe()
            defer { if isProbe { state.withLock { $0.isProbed = false } } }
            do throws(PostgresError) { return try open() } catch {
                guard !isAwayForLong(state.withLock { $0 }) else { throw error }
                if state.wait(timeoutMilliseconds: PostgresPool.pauseMilliseconds, for: { $0.isClosed }) { throw error }
            }
        }
    }

    /// Lets one call at a time try to reach a database that is away for long, because each try may take seconds.
    ///
    /// - Returns: whether the caller is that one; false while the database is not away for long.
    /// - Throws: the last failure, if another call tries.
    private func beginProbe() throws(PostgresError) -> Bool {
        let (isProbe, failure) = state.withLock { state -> (Bool, PostgresError?) in
            guard isAwayForLong(state) else { return (false, nil) }
            if state.isProbed, let failure = state.lastFailure { return (false, failure) }
            state.isProbed = true
            return (true, nil)
        }
        if let failure { throw failure }
        return isProbe
    }

    private func isAwayForLong(_ state: State) -> Bool {
        state.downSince.map { MonotonicClock.now() - $0 >= patienceMilliseconds } ?? false
    }

    /// A new connection, without waiting.
    ///
    /// An answer may take three times as long as a connection, because a disk that is slow still works. Waiting for a lock
    /// ends earlier, so that PostgreSQL itself can say why there is no answer.
    func open() throws(PostgresError) -> PostgresConnection {
        let began = MonotonicClock.now()
        let lockTimeout = PostgresTurn(patienceMilliseconds: patienceMilliseconds).fullMilliseconds
        do throws(PostgresError) {
            let connection = try PostgresConnection(
                target, silenceMilliseconds: Int32(clamping: 2 * patienceMilliseconds))
            // A server that sleeps must not hold the lock of the log for others. The log relies on its own order, and another level
            // of isolation would refuse much of what comes at the same moment. How long a statement may take is up to us.
            // If the network fails while this server sends a transaction, PostgreSQL waits in the middle of it, with its
            // locks, and without a time limit but that of TCP: two hours by default.
            try connection.execute(
                """
                SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;
                SET idle_in_transaction_session_timeout = '5s'; SET lock_timeout = \(lockTimeout);
                SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0
                """)
            // A start says more of it. Later it may be another server, or have other settings.
            if state.withLock({ $0.hasOpened }) { try PostgresSchema.requireMemory(of: connection) }
            connection.silenceMilliseconds = Int32(clamping: 3 * patienceMilliseconds)
            noteBack()
            return connection
        } catch {
            noteAway(error, since: began)
            throw error
        }
    }

    private func noteAway(_ error: PostgresError, since began: Int64) {
        let isNew = state.withLock { state in
            defer { (state.downSince, state.lastFailure) = (state.downSince ?? began, error) }
            return state.downSince == nil && state.hasOpened && !state.isClosed
        }
        if isNew { report("the database can't be reached, and is tried again: \(error)") }
    }

    private func noteBack() {
        let since = state.signal { state in
            defer { (state.downSince, state.hasOpened) = (nil, true) }
            return state.downSince.flatMap { state.hasOpened ? $0 : nil }
        }
        guard let since else { return }
        report("the database is back after \(Double((MonotonicClock.now() - since) / 100) / 10) s")
    }

    /// How long statements may take that visit whole tables and send nothing meanwhile.
    static let longSilenceMilliseconds: Int32 = 600_000

    /// Runs `body`, which only reads or may be repeated, again if the connection is lost.
    func use<Result>(_ body: (PostgresConnection) throws -> Result) throws -> Result {
        let began = MonotonicClock.now()
        var tries = 0
        while true {
            let connection: PostgresConnection
            if let known = state.withLock({ $0.idle.popLast() }) {
                connection = known
            } else {
                connection = try connect()
            }
            let left = 3 * patienceMilliseconds - (MonotonicClock.now() - began)
            connection.silenceMilliseconds = Int32(clamping: max(patienceMilliseconds, left))
            do {
                defer { tries += 1 }
                let result = try body(connection)
                giveBack(connection)
                return result
            } catch let error as PostgresError where error.isLost {
                // The idle connections are probably lost as well.
                state.withLock { $0.idle = [] }
                let isOver = MonotonicClock.now() - began >= 4 * patienceMilliseconds
                if isOver || tries > PostgresPool.tries { throw error }
            } catch {
                giveBack(connection)
                throw error
            }
        }
    }

    private func giveBack(_ connection: PostgresConnection) {
        // Where a transaction was left open, all that comes after would fail.
        guard connection.isBetweenTransactions else { return }
        state.withLock { if !$0.isClosed, $0.idle.count < PostgresPool.idleLimit { $0.idle.append(connection) } }
    }

    private static let tries = 4
    private static let idleLimit = 8

    func close() {
        state.signal { state in
            state.isClosed = true
            state.idle = []
        }
    }
}
