internal import NatterSystem

/// Wrong passwords and running attempts at all servers of a shared store, in a table that each of them counts in.
public struct SharedGuesses: Sendable {
    public enum Answer: Sendable, Equatable {
        /// The attempt may run, and is named so to `end`.
        case begun(Int64)
        /// There are too many wrong passwords for so many seconds.
        case refused(seconds: Int)
        /// The outcome depends on attempts that still run.
        case busy
    }

    let pool: PostgresPool

    /// How many attempts may fail in a time, for one account from one network and for all accounts from it.
    public struct Limits: Sendable {
        let seconds: Int
        let account: Int
        let network: Int

        public init(seconds: Int, account: Int, network: Int) {
            (self.seconds, self.account, self.network) = (seconds, account, network)
        }
    }

    /// Begins an attempt if all that run might fail without passing a limit.
    public func begin(account: String, network: String, _ limits: Limits) throws(StoreError) -> Answer {
        // Hashes, because people also type passwords in place of names.
        let (account, network) = (PostgresValue.bytes(hash(account)), PostgresValue.bytes(hash(network)))
        return try use { connection in
            let answers = try connection.run(all: [
                .init("BEGIN ISOLATION LEVEL READ COMMITTED", []),
                // One after the other for each network. The other number of the lock belongs to the store.
                .init(
                    "SELECT pg_advisory_xact_lock('guess'::regclass::oid::int,hashtext(encode($1::bytea,'hex')))",
                    [network]
                ),
                .init(
                    """
                    DELETE FROM guess WHERE id IN (
                        SELECT id FROM guess WHERE time<=clock_timestamp()-$1*interval '1 second'
                        LIMIT 1000 FOR UPDATE SKIP LOCKED)
                    """, [.integer(Int64(limits.seconds))]),
                .init(
                    """
                    WITH recent AS (
                        SELECT account=$1::bytea AS is_own,failed,time FROM guess
                        WHERE network=$2::bytea AND time>clock_timestamp()-$3*interval '1 second'),
                    counted AS (
                        SELECT count(*) FILTER (WHERE is_own) AS own, count(*) AS total,
                        CASE WHEN count(*) FILTER (WHERE is_own AND failed)>=$4
                            THEN min(time) FILTER (WHERE is_own AND failed)
                            WHEN count(*) FILTER (WHERE failed)>=$5 THEN min(time) FILTER (WHERE failed) END AS oldest
                        FROM recent),
                    added AS (
                        INSERT INTO guess (account,network,time) SELECT $1,$2,clock_timestamp() FROM counted
                        WHERE own<$4 AND total<$5 RETURNING id)
                    SELECT (SELECT id FROM added),
                    ceil(extract(epoch FROM oldest-clock_timestamp())+$3)::bigint FROM counted
                    """,
                    [
                        account, network, .integer(Int64(limits.seconds)), .integer(Int64(limits.account)),
                        .integer(Int64(limits.network)),
                    ]),
                .init("COMMIT", []),
            ])
            guard let found = answers.dropLast().last, found.count == 1 else { return .busy }
            if !found.isNull(0, 0) { return .begun(found.integer(0, 0)) }
            return found.isNull(0, 1) ? .busy : .refused(seconds: max(1, Int(clamping: found.integer(0, 1))))
        }
    }

    /// Ends an attempt. If it can't be said, it counts as wrong until its time is over.
    public func end(_ attempt: Int64, isWrong: Bool) {
        let sql =
            isWrong
            ? "UPDATE guess SET failed=true, time=clock_timestamp() WHERE id=$1" : "DELETE FROM guess WHERE id=$1"
        _ = try? use { try $0.run(sql, .integer(attempt)) }
    }

    private func hash(_ text: String) -> [UInt8] { Digest(of: Array(text.utf8)).bytes }

    private func use<Result>(_ body: (PostgresConnection) throws -> Result) throws(StoreError) -> Result {
        do {
            return try pool.use { connection in
                do { return try body(connection) } catch let error as PostgresError where !error.isLost {
                    try connection.execute("ROLLBACK")
                    throw error
                }
            }
        } catch { throw StoreError(error) }
    }
}

extension Store {
    /// Counts wrong passwords at all servers; nil if there is only one.
    public var guesses: SharedGuesses? { (engine as? PostgresEngine)?.guesses }
}
