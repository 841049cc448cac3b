internal import NatterSystem
internal import NatterModel
internal import NatterLog

/// Reads the log in PostgreSQL.
enum PostgresEntries {
    static let columns = "number,node,attempt,chain,data"

    static func place(_ rows: PostgresRows, _ row: Int) -> LogPlace {
        LogPlace(
            number: rows.unsigned(row, 0), chain: Digest(bytes: rows.blob(row, 3)) ?? .zero)
    }

    /// - Parameter data: of the entry, if it is not in the row.
    /// - Returns: nil for the row that came with the store.
    static func entry(
        _ rows: PostgresRows, _ row: Int, before: LogPlace, data: [UInt8]? = nil
    ) throws -> LogEntry? {
        let place = place(rows, row)
        guard place.number > 0 else { return nil }
        let author = LogEntry.Author(
            node: rows.unsigned(row, 1), attempt: rows.unsigned(row, 2))
        let decoded = Result { try LogEntry(decoding: data ?? rows.blob(row, 4), before: before, author: author) }
        if case .failure(let error as FormatViolation) = decoded, error.isNewer {
            throw StoreOpenError.newer(
                "a newer natterd has written to the store in PostgreSQL what this one does not know; use a newer natterd"
            )
        }
        let entry = try decoded.get()
        // The chain before the first row that is left is not known.
        guard before.chain == .zero || entry.end == place else {
            throw FormatViolation("the hash chain of the log differs at entry \(place.number)")
        }
        return entry
    }

    /// The most bytes of entries in one answer. A server that stands still while it holds the lock of the log leaves an answer
    /// of this size in the buffers of its connection. With a larger one, PostgreSQL would wait for it, and not end it for
    /// being idle: all others would wait as well.
    private static let answerBytes: Int64 = 64 << 10

    /// The row of a place, and the rows behind it. Those that do not fit into an answer lack their data.
    static func reading(after place: LogPlace, _ limit: Int) -> PostgresConnection.Statement {
        .init(
            """
            SELECT number,node,attempt,chain,CASE WHEN number=$1 THEN '' WHEN bytes<=$3 THEN data END,length(data)
            FROM (SELECT *, sum(length(data)) FILTER (WHERE number>$1) OVER (ORDER BY number) AS bytes
                FROM log WHERE number>=$1 ORDER BY number LIMIT $2) AS next ORDER BY number
            """, [.unsigned(place.number), .integer(Int64(clamping: limit) + 1), .integer(answerBytes)])
    }

    /// - Parameter answer: to `reading`, if that was asked already.
    static func read(
        _ connection: PostgresConnection, after place: LogPlace, _ limit: Int, _ answer: PostgresRows? = nil
    ) throws -> [LogEntry] {
        var answer = answer
        var entries: [LogEntry] = []
        var before = place
        while true {
            let reading = reading(after: before, limit - entries.count)
            let rows = try answer ?? connection.run(reading.sql, all: reading.values)
            answer = nil
            // The row is gone if this server slept so long that others did not wait for it.
            guard rows.count > 0, PostgresEntries.place(rows, 0) == before else { throw HistoryWentBack() }
            var row = 1
            while row < rows.count, row == 1 || !rows.isNull(row, 4) {
                // One that is too large alone comes in parts.
                let data = rows.isNull(row, 4) ? try data(of: rows, row, connection) : nil
                if let entry = try entry(rows, row, before: before, data: data) { entries.append(entry) }
                before = PostgresEntries.place(rows, row)
                row += 1
            }
            if row >= rows.count { return entries }
        }
    }

    private static func data(of rows: PostgresRows, _ row: Int, _ connection: PostgresConnection) throws -> [UInt8] {
        var data: [UInt8] = []
        while data.count < rows.integer(row, 5) {
            let part = try connection.run(
                "SELECT substr(data,$2::int,$3::int) FROM log WHERE number=$1", .integer(rows.integer(row, 0)),
                .integer(Int64(data.count) + 1), .integer(answerBytes)
            ).blob(0, 0)
            // Trimmed meanwhile, as others may while this server counts as dead.
            if part.isEmpty { throw HistoryWentBack() }
            data += part
        }
        return data
    }
}

/// Finds out whether the last entries of the log are gone. Nothing in the entries that are left would show it.
enum LogEnd {
    /// The newest commit of each table whose rows have that of the entry that wrote them. The log's last row is never trimmed.
    private static let commits = [
        "SELECT max(first_commit) FROM epoch", "SELECT max(sealed_commit) FROM conversation",
        "SELECT max(since_commit) FROM membership", "SELECT max(commit_number) FROM change",
        "SELECT max(commit_number) FROM erasure",
    ]

    /// Tells which entries are missing; nil if none are known to be.
    static func missing(_ connection: PostgresConnection) throws(PostgresError) -> Phrase? {
        let rows = try connection.run(
            """
            SELECT number, coalesce(greatest((SELECT max(read) FROM node), (SELECT max(number) FROM retired)),0),
            commit_number, coalesce(greatest(\(commits.map { "(\($0))" }.joined(separator: ","))),0), node
            FROM log ORDER BY number DESC LIMIT 1
            """)
        guard rows.count == 1 else { return nil }
        let (last, read) = (rows.integer(0, 0), rows.integer(0, 1))
        if read > last {
            return "entries \(last + 1) to \(read) are missing at its end, although a server has read them"
        }
        let (commit, known) = (rows.integer(0, 2), rows.integer(0, 3))
        // In a store that was copied from files and that no server has begun yet, only messages are in the log. One whose log was
        // cut down to its first row looks the same.
        guard known > commit, rows.integer(0, 4) != 0 else { return nil }
        return "entries are missing at its end: its last commit is \(commit), but tables have rows of commit \(known)"
    }
}

/// Lets many threads share one look at the log's end. Each gets a look that began after it asked, so it sees everything
/// that any server has acknowledged before.
final class ReadBarrier: Sendable {
    private struct State {
        var isLooking = false
        var begun: UInt64 = 0
        /// The latest look that is over, and what came of it.
        var done: UInt64 = 0
        var latest: Result<LogPlace, any Error>?
    }

    private let state = Monitor(State())

    func head(_ look: () throws -> LogPlace) throws -> LogPlace {
        // The look under way began earlier, so it may have missed something. If it fails, the next one would, too.
        let (underWay, wanted) = state.withLock { ($0.isLooking ? $0.begun : nil, $0.begun + 1) }
        while true {
            let known = state.wait { state -> Result<LogPlace, any Error>?? in
                if state.done >= wanted { return .some(state.latest) }
                if let underWay, state.done == underWay, case .failure? = state.latest { return .some(state.latest) }
                guard !state.isLooking else { return nil }
                state.isLooking = true
                state.begun += 1
                return .some(nil)
            }
            if case .some(.some(let known)) = known { return try known.get() }
            let result = Result { try look() }
            state.signal { state in
                (state.isLooking, state.done, state.latest) = (false, state.begun, result)
            }
        }
    }
}
