internal import NatterConversation
internal import NatterSystem
internal import NatterModel

/// The writer's way to the log in PostgreSQL.
///
/// An entry is inserted only behind the row that its author saw last. Locks give fairness, never safety: the key of the
/// table admits one row a number.
struct PostgresLog {
    private let pool: PostgresPool
    /// This server's number.
    private let node: Int64
    /// nil before the first use and after a loss.
    private var connection: PostgresConnection?
    /// Whether a transaction is open that holds the lock of the queue.
    private var holdsLock = false
    /// How many entries still go through the queue.
    private var queued = 0
    /// The latest attempt whose answer was lost.
    private var uncertain: LogEntry.Author?
    /// Whether the log may have an entry that no synchronous standby has: the answer to one of this server was lost, or one of
    /// another was read, which a restart of PostgreSQL makes visible before a standby has it.
    private var isUnconfirmed = true
    /// The database that the connection leads to; nil before the first one.
    private var origin: String?
    /// Whether it leads elsewhere now, where entries may be missing that others have read, and no epoch has begun since.
    private var isElsewhere = false
    private var turn: PostgresTurn
    /// How long the session waits for a lock, in milliseconds.
    private var lockTimeout: Int64

    /// How many entries go through the queue after another server was faster.
    private static let queueLength = 16
    /// How many entries are read at a time.
    private static let readLimit = 256
    /// Differs after a standby has taken over, after recovery to an earlier point, and after the tables were restored.
    private static let originQuery = """
        SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE
        left(pg_walfile_name(pg_current_wal_lsn()),8)||' '||pg_postmaster_start_time()||' '||'log'::regclass::oid||' '||
        (SELECT oid FROM pg_database WHERE datname=current_database()) END
        """
    /// Two numbers that name the lock of this log in its database.
    static let lock = "7117, 'log'::regclass::oid::int"
    /// The channel that says the number of a new entry.
    static let channel = "'natter_' || 'log'::regclass::oid"

    init(_ pool: PostgresPool, node: Int64) {
        (self.pool, self.node) = (pool, node)
        turn = PostgresTurn(patienceMilliseconds: pool.patienceMilliseconds)
        lockTimeout = turn.fullMilliseconds
    }

    // MARK: Beginning

    /// Inserts row 0, which comes with the store.
    static func begin(_ store: StoreID, _ connection: PostgresConnection) throws(PostgresError) -> LogPlace {
        let place = LogPlace(number: 0, chain: Digest(of: store.bytes))
        try connection.run(
            "INSERT INTO log (number,commit_number,node,attempt,chain,data) VALUES (0,0,0,0,$1,'')",
            .bytes(place.chain.bytes))
        return place
    }

    /// Keeps all servers from appending for as long as the connection lives.
    /// - Returns: false if one of them is about to append.
    static func hold(_ connection: PostgresConnection) throws(PostgresError) -> Bool {
        try connection.run("SELECT pg_try_advisory_lock(\(lock))").integer(0, 0) != 0
    }

    /// Ends the session of a server that stands still while it sends an entry under the lock of the log. In the middle of
    /// what a client sends, PostgreSQL 15 has no limit of its own, and would wait as long as the connection lives.
    /// - Returns: how many were ended.
    @discardableResult
    static func endFrozen(_ connection: PostgresConnection, after seconds: Int64 = 30) throws(PostgresError) -> Int {
        try connection.run(
            """
            SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype='advisory' AND l.granted AND (l.classid::int,l.objid::int)=(\(lock))
            AND l.database=(SELECT oid FROM pg_database WHERE datname=current_database())
            AND a.state='active' AND a.wait_event='ClientRead' AND extract(epoch FROM clock_timestamp()-a.state_change)>$1
            AND pg_has_role(a.usesysid,'USAGE')
            """, .integer(seconds)
        ).count
    }

    // MARK: Reading

    mutating func entries(after place: LogPlace, limit: Int) throws -> [LogEntry] {
        try translating { log in try log.read(log.connected(), after: place, limit) }
    }

    /// The blocks of a conversation that others have sealed.
    mutating func blocks(of conversation: Int64, _ seqs: ClosedRange<Seq>) throws -> [WrittenBlocks] {
        try translating { try PostgresBlocks.recorded(of: conversation, in: seqs, $0.connected()) }
    }

    /// All segments of a conversation, with the blocks up to a seq.
    mutating func segments(of conversation: Int64, upTo last: Seq) throws -> [WrittenBlocks] {
        try translating { try PostgresBlocks.segments(of: conversation, upTo: last, $0.connected()) }
    }

    // MARK: Appending

    /// See `StoreEngine.append`. After `.behind`, the lock is held for the next proposal, until `release`. If tables are
    /// not as they should be, it throws the `PostgresError`.
    mutating func append(_ entry: LogEntry, with blocks: [WrittenBlocks]) throws -> Appended {
        turn.begin()
        if uncertain == entry.author, !turn.mayRepeat {
            turn.note(isHeldUp: true)
            throw StoreError.outcomeUnknown
        }
        do {
            let connection = try connected()
            do {
                let answer = try propose(entry, blocks, connection)
                uncertain = nil
                if case .done = answer { (isUnconfirmed, isElsewhere) = (false, false) }
                turn.note(nil)
                return answer
            } catch let error as PostgresError where error.isLost {
                drop()
                (uncertain, isUnconfirmed) = (entry.author, true)
                return .unknown
            }
        } catch let error as PostgresError {
            turn.note(error)
            if !error.isLost { release(always: true) }
            // An earlier attempt may still come into effect, whatever this one has met.
            if uncertain == entry.author { throw StoreError.outcomeUnknown }
            if error.isMisfit { throw error }
            throw StoreError(error)
        }
    }

    /// See `StoreEngine.confirm`. A commit that writes to the write-ahead log waits until the standbys have all before it, which
    /// reading does not.
    mutating func confirm(_ place: LogPlace) throws {
        guard isUnconfirmed else { return }
        do {
            try translating { log in
                let connection = try log.connected()
                // After a lost connection this may be another PostgreSQL, which never had it.
                let look = PostgresConnection.Statement(
                    "SELECT pg_logical_emit_message(true,'natter','') FROM log WHERE number=$1 AND chain=$2",
                    [.unsigned(place.number), .bytes(place.chain.bytes)])
                let found = try connection.run(all: log.holdsLock ? [look, PostgresLog.commit] : [look])
                log.holdsLock = false
                guard found.first?.count == 1 else { throw HistoryWentBack() }
                log.isUnconfirmed = false
            }
        } catch let reason as HistoryWentBack {
            throw reason
        } catch {
            turn.note(isHeldUp: true)
            throw StoreError.outcomeUnknown
        }
    }

    /// See `PostgresEntries.read`, and `isUnconfirmed` for what is found.
    private mutating func read(
        _ connection: PostgresConnection, after place: LogPlace, _ limit: Int = PostgresLog.readLimit,
        answer: PostgresRows? = nil
    ) throws -> [LogEntry] {
        let found = try PostgresEntries.read(connection, after: place, limit, answer)
        if !found.isEmpty { isUnconfirmed = true }
        return found
    }

    private mutating func propose(
        _ entry: LogEntry, _ blocks: [WrittenBlocks], _ connection: PostgresConnection
    ) throws -> Appended {
        if let moved = try moved(entry, connection) { return moved }
        let (reached, values) = PostgresLog.row(of: entry)
        let rows = try PostgresLog.rows(of: entry, blocks)
        if queued == 0, !holdsLock {
            if try append(PostgresLog.insertIfFree, values, rows, blocks, connection) { return .done(reached) }
            queued = PostgresLog.queueLength
        }
        // A server that holds the lock since the last proposal has read everything.
        for _ in 0..<2 {
            // The connection's limit is new, because the first attempt may have waited, too.
            let connection = try holdsLock ? connection : connected()
            if let moved = try moved(entry, connection) { return moved }
            if !holdsLock {
                let others = try takeLock(connection, behind: entry.before)
                if !others.isEmpty { return .behind(others) }
            }
            if try append(PostgresLog.insert, values, rows, blocks, connection) {
                queued = max(0, queued - 1)
                return .done(reached)
            }
        }
        throw StoreError.failed("PostgreSQL's log takes no entry although it ends where it should")
    }

    /// An entry that others have read may be missing here, although this server has not seen it. So the next one must tell
    /// cursors of the lost history from later ones.
    ///
    /// - Returns: nil if the entry may be next.
    private mutating func moved(_ entry: LogEntry, _ connection: PostgresConnection) throws -> Appended? {
        guard isElsewhere, !entry.changes.contains(where: \.beginsEpoch) else { return nil }
        return .behind(try read(connection, after: entry.before), isMoved: true)
    }

    /// See `StoreEngine.lineUp`.
    mutating func lineUp(behind place: LogPlace) throws -> [LogEntry] {
        guard queued > 0, !holdsLock else { return [] }
        return try translating { log in
            do { return try log.takeLock(log.connected(), behind: place) } catch {
                log.turn.note(error)
                throw error
            }
        }
    }

    /// Begins a transaction that holds the lock of the queue.
    /// - Returns: what others have appended meanwhile.
    private mutating func takeLock(
        _ connection: PostgresConnection, behind place: LogPlace
    ) throws -> [LogEntry] {
        let answers = try connection.run(all: [
            // The connection's limit is for the queue, and what that leaves is for the table, which may be locked, too.
            turn.transaction(), turn.limit(after: "pg_advisory_xact_lock(\(PostgresLog.lock))"),
            PostgresEntries.reading(after: place, PostgresLog.readLimit),
        ])
        holdsLock = true
        return try read(connection, after: place, answer: answers.last)
    }

    /// Inserts an entry with its rows and commits, in the transaction that holds the lock or else in one of its own.
    ///
    /// - Returns: false if the log does not end where the author saw the end. No transaction is open then.
    private mutating func append(
        _ insert: String, _ values: [PostgresValue], _ rows: [PostgresConnection.Statement], _ blocks: [WrittenBlocks],
        _ connection: PostgresConnection
    ) throws -> Bool {
        let begin = holdsLock || rows.isEmpty ? [] : [turn.transaction()]
        let insert = PostgresConnection.Statement(insert, values)
        if rows.isEmpty {
            // Without rows, nothing depends on whether the log takes the entry.
            let answers =
                holdsLock
                ? try connection.run(all: [insert, PostgresLog.commit])
                : [try connection.run(insert.sql, all: values)]
            holdsLock = false
            return try PostgresLog.isAdded(answers.first, connection)
        }
        guard try PostgresLog.isAdded(connection.run(all: begin + [insert]).last, connection) else {
            holdsLock = false
            try connection.execute("ROLLBACK")
            return false
        }
        let rows = turn.limiting(rows)
        if blocks.isEmpty {
            try connection.run(all: rows + [PostgresLog.commit])
        } else {
            try connection.run(all: rows + [turn.limit()])
            try check(blocks, connection)
            try connection.execute("COMMIT")
        }
        holdsLock = false
        return true
    }

    /// Whether the log has taken an entry.
    ///
    /// - Throws: if PostgreSQL may forget it, because a setting has changed since the connection was made. The entry may be
    ///   there then, as after the loss of a connection.
    private static func isAdded(_ rows: PostgresRows?, _ connection: PostgresConnection) throws -> Bool {
        guard let rows, rows.count == 1 else { return false }
        if rows.integer(0, 1) == 0 { try PostgresSchema.requireMemory(of: connection) }
        return true
    }

    private static func row(of entry: LogEntry) -> (reached: LogPlace, values: [PostgresValue]) {
        let data = entry.encode()
        let reached = entry.before.after(data)
        return (
            reached,
            [
                .unsigned(reached.number), .unsigned(entry.commit.rawValue),
                .unsigned(entry.author.node), .unsigned(entry.author.attempt),
                .bytes(reached.chain.bytes), .bytes(data), .bytes(entry.before.chain.bytes),
            ]
        )
    }

    /// Inserts an entry that has messages only, in a transaction of the caller.
    static func insert(_ entry: LogEntry, _ connection: PostgresConnection) throws(PostgresError) -> LogPlace {
        let (reached, values) = row(of: entry)
        _ = try connection.run(insert, all: values)
        return reached
    }

    private static let insert = inserting("")
    private static let insertIfFree = inserting("pg_try_advisory_xact_lock(\(lock)) AND")

    private static func inserting(_ condition: String) -> String {
        """
        WITH added AS (
            INSERT INTO log (number,commit_number,node,attempt,chain,data)
            SELECT $1::bigint,$2::bigint,$3::bigint,$4::bigint,$5::bytea,$6::bytea
            WHERE \(condition) EXISTS (SELECT 1 FROM log WHERE number=$1::bigint-1 AND chain=$7::bytea)
            ON CONFLICT (number) DO NOTHING RETURNING number)
        SELECT pg_notify(\(channel), number::text), \(PostgresSchema.remembers) FROM added
        """
    }

    private static let commit = PostgresConnection.Statement("COMMIT", [])

    /// Another server could have removed what it took for its own, or for what a dead server has left. So the index
    /// never names missing bytes. It could also have written there since: its blocks may differ, and it takes them back.
    private func check(_ blocks: [WrittenBlocks], _ connection: PostgresConnection) throws {
        for written in blocks {
            let segment = written.segment
            let found = try connection.run(
                """
                SELECT sum(length(p.data))>=$4, bool_or(p.start>=$5 AND p.node<>$6) FROM conversation c
                JOIN log_file f ON f.path=substr(encode(c.id,'hex'),1,2)||'/'||encode(c.id,'hex')||'/'
                    ||lpad(to_hex($2::bigint),16,'0')||'-'||lpad(to_hex($3::bigint),4,'0')||'.log'
                JOIN log_piece p ON p.file=f.id WHERE c.number=$1 AND p.start<$4
                """, .integer(segment.conversation), .unsigned(segment.firstSeq.rawValue),
                .integer(Int64(segment.generation)), .unsigned(segment.size), .unsigned(written.start), .integer(node))
            let (isWhole, hasOthers) = (found.integer(0, 0) != 0, found.integer(0, 1) != 0)
            guard isWhole, !hasOthers else {
                try connection.execute("ROLLBACK")
                throw hasOthers ? StoreError.busy : .failed("the blocks to record are not in PostgreSQL")
            }
        }
    }

    private static func rows(of entry: LogEntry, _ blocks: [WrittenBlocks]) throws -> [PostgresConnection.Statement] {
        guard !entry.changes.isEmpty || !blocks.isEmpty else { return [] }
        let collector = RowCollector(number: entry.before.number &+ 1)
        for change in entry.changes { try change.write(to: collector, at: entry.commit) }
        for written in blocks { collector.record(written) }
        return collector.statements
    }

    // MARK: Trimming

    /// - Parameter read: the end of the log as this server has read it.
    /// - Throws: `StoreError.busy`, with nothing changed, if the log went back: others may be below this floor then.
    mutating func trim(below floor: Commit, moving keys: [MovedKey], now: Timestamp, read: LogPlace) throws {
        let node = node
        try translating { log in
            func list(_ values: [Int64]) -> PostgresValue { .array(values.map { String($0) }) }
            let connection = try log.connected()
            log.release()
            do { _ = try PostgresEntries.read(connection, after: read, 0) } catch is HistoryWentBack {
                throw StoreError.busy
            }
            // By itself, so that of two servers that trim at once, the later one sees how far both have read. Otherwise
            // neither would trim what both have read before the next tail is sealed.
            try connection.run(
                "UPDATE node SET read=$1, seen=clock_timestamp() WHERE id=$2", .unsigned(read.number), .integer(node))
            try connection.execute("BEGIN")
            if !keys.isEmpty {
                try connection.run(
                    """
                    INSERT INTO sent_key (account,time,hash,conversation,seq,content,moved)
                    SELECT *, $7::bigint FROM unnest(
                        $1::text::bigint[],$2::text::bigint[],$3::text::bigint[],$4::text::bigint[],$5::text::bigint[],
                        $6::text::bigint[])
                    ON CONFLICT (account,time,hash) DO NOTHING
                    """, list(keys.map(\.key.account)), list(keys.map { Int64(bitPattern: $0.key.time) }),
                    list(keys.map { Int64(bitPattern: $0.key.hash) }),
                    list(keys.map(\.found.conversation)), list(keys.map { Int64(bitPattern: $0.found.seq.rawValue) }),
                    list(keys.map { Int64(bitPattern: $0.found.content) }), .integer(now.milliseconds))
            }
            // Each server still has to find the entry that it read last.
            try connection.run(
                """
                DELETE FROM log WHERE commit_number<$1 AND number<(SELECT max(number) FROM log) AND number<
                (SELECT min(read) FROM node WHERE \(PostgresSweeper.isAlive))
                """, .unsigned(floor.rawValue))
            // Two servers may trim at once, and one of them sees an older log: the place only rises. Beside a server that
            // trims without noting it, it is not known.
            try connection.run(
                """
                UPDATE store SET log_start=CASE WHEN older.count>0 THEN NULL ELSE greatest(log_start,start) END
                FROM (SELECT min(number) AS start FROM log) AS log,
                (SELECT count(*) FROM node WHERE \(PostgresSweeper.isAlive) AND step<\(PostgresSchema.logStartStep)) AS older
                WHERE older.count>0 OR coalesce(log_start,-1)<start
                """)
            try connection.execute("COMMIT")
        }
    }

    // MARK: The connection

    /// The connection, which waits for locks and answers as long as this turn may.
    private mutating func connected() throws(PostgresError) -> PostgresConnection {
        turn.begin()
        let known = self.connection
        let connection: PostgresConnection
        if let known { connection = known } else { connection = try connect() }
        connection.silenceMilliseconds = turn.silenceMilliseconds
        let wanted = turn.lockMilliseconds
        guard (wanted - lockTimeout).magnitude > UInt64(turn.leastMilliseconds) else { return connection }
        // Later transactions begin with the session's limit.
        do { try connection.execute("SET \(holdsLock ? "LOCAL " : "")lock_timeout = \(wanted)") } catch {
            drop()
            // It was lost since it was last used, and nothing was asked of it yet.
            if known != nil, error.isLost { return try connected() }
            throw error
        }
        if !holdsLock { lockTimeout = wanted }
        return connection
    }

    private mutating func connect() throws(PostgresError) -> PostgresConnection {
        let made = try pool.connect()
        // Otherwise PostgreSQL plans some of the statements, such as that of `reading`, anew each time.
        try made.execute("SET plan_cache_mode = force_generic_plan")
        let found = try made.runOnce(PostgresLog.originQuery).text(0, 0)
        // The code of what a standby says to whoever writes.
        if found.isEmpty { throw PostgresError(state: "25006", message: "the server is a standby") }
        if let origin, origin != found { isElsewhere = true }
        origin = found
        (connection, lockTimeout) = (made, turn.fullMilliseconds)
        return made
    }

    /// Runs what may be repeated, and repeats it once if the connection is lost.
    private mutating func translating<Result>(_ body: (inout PostgresLog) throws -> Result) throws -> Result {
        do {
            do { return try body(&self) } catch let error as PostgresError where error.isLost && turn.mayRepeat {
                drop()
                return try body(&self)
            }
        } catch let error as PostgresError {
            if error.isLost { drop() } else { release(always: true) }
            throw StoreError(error)
        }
    }

    private mutating func drop() { (connection, holdsLock) = (nil, false) }

    /// Ends the turn, and lets go of the lock if no proposal has followed.
    mutating func endTurn() {
        turn.end()
        release()
    }

    /// Lets go of the lock.
    private mutating func release(always: Bool = false) {
        guard holdsLock || always, let connection else { return }
        holdsLock = false
        do { try connection.execute("ROLLBACK") } catch { drop() }
    }
}
