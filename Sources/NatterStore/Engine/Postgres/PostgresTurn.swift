internal import NatterSystem

/// How long the writer's thread waits for PostgreSQL in one turn: from `lineUp` to the answers of the requests, with
/// everything that it repeats meanwhile.
struct PostgresTurn {
    /// How long a call waits for a database that is away.
    private let patience: Int64
    /// When waiting for locks ends, in milliseconds of the monotonic clock; nil between two turns.
    private var lockEnd: Int64?
    /// How long the transaction that is open may wait for locks, from its begin.
    private var lockMillisecondsAtBegin: Int64 = 0
    /// When the last turn waited in vain for a lock or an answer, if it did. Those who came meanwhile have waited, too, so
    /// the next turn is short.
    private var heldUp: Int64?

    init(patienceMilliseconds patience: Int64) { self.patience = patience }

    mutating func begin() {
        guard lockEnd == nil else { return }
        let now = MonotonicClock.now()
        let isShort = heldUp.map { now - $0 < patience } ?? false
        lockEnd = now + (isShort ? shortMilliseconds : fullMilliseconds)
    }

    mutating func end() { lockEnd = nil }

    /// Notes what became of a proposal.
    mutating func note(_ error: (any Error)?) { note(isHeldUp: (error as? PostgresError)?.isLocked == true) }

    mutating func note(isHeldUp: Bool) { heldUp = isHeldUp ? MonotonicClock.now() : nil }

    /// How long a session waits for each lock until it is told otherwise. PostgreSQL itself then says why there is no
    /// answer, before the connection counts as lost.
    var fullMilliseconds: Int64 { 2 * patience }
    /// How long a turn waits soon after another one has waited in vain.
    var shortMilliseconds: Int64 { max(1, patience / 5) }
    /// The least that is worth waiting. PostgreSQL takes 0 for no limit.
    var leastMilliseconds: Int64 { max(1, patience / 20) }

    private var left: Int64 { (lockEnd ?? 0) - MonotonicClock.now() }

    /// How long the next lock may keep this turn waiting.
    var lockMilliseconds: Int64 { max(leastMilliseconds, left) }
    /// How long the next answer may take, longer than waiting for any lock.
    var silenceMilliseconds: Int32 { Int32(clamping: max(0, left) + patience) }
    /// Whether a proposal whose answer was lost may be repeated.
    var mayRepeat: Bool { left > -2 * patience }

    // MARK: Transactions

    /// Begins a transaction.
    mutating func transaction() -> PostgresConnection.Statement {
        lockMillisecondsAtBegin = lockMilliseconds
        return .init("BEGIN", [])
    }

    /// Limits how long the transaction waits for its next locks, to what is left of this turn when the statement runs.
    ///
    /// - Parameter call: a function that PostgreSQL calls first.
    func limit(after call: String = "now()") -> PostgresConnection.Statement {
        .init(
            """
            SELECT set_config('lock_timeout', greatest($1::bigint,
            $2::bigint-(extract(epoch FROM clock_timestamp()-now())*1000)::bigint)::text, true) FROM \(call)
            """, [.integer(leastMilliseconds), .integer(lockMillisecondsAtBegin)])
    }

    /// Limits each statement that may wait for another table than the one before it. Otherwise each table could take as
    /// long as the first.
    func limiting(_ rows: [PostgresConnection.Statement]) -> [PostgresConnection.Statement] {
        var last = ""
        return rows.flatMap { row in
            defer { last = row.sql }
            return row.sql == last ? [row] : [limit(), row]
        }
    }
}
