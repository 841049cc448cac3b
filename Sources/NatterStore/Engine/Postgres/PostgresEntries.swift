internal import NatterCrypto
internal import NatterLanguage
internal import NatterLog
internal import NatterPostgres

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
