internal import NatterSQLite
internal import NatterModel

/// The table of messages that were lost, so that a check can tell a loss that was stated from one that is news.
enum LossRows {
    /// By conversation, in the order of their seqs.
    static func all(on connection: Connection) throws(SQLiteError) -> [Int64: [ClosedRange<Seq>]] {
        // A database from before has none of it, and a check does not write.
        guard try exists(on: connection) else { return [:] }
        var found: [Int64: [ClosedRange<Seq>]] = [:]
        let rows = try connection.statement(
            "SELECT conversation,first_seq,last_seq FROM loss WHERE first_seq<=last_seq ORDER BY conversation,first_seq"
        )
        while try rows.step() {
            found[rows.int64(0), default: []].append(Seq(rows.uint64(1))...Seq(rows.uint64(2)))
        }
        return found
    }

    private static func exists(on connection: Connection) throws(SQLiteError) -> Bool {
        let statement = try connection.statement("SELECT 1 FROM sqlite_schema WHERE name='loss'")
        return try statement.step()
    }

    /// Takes the place of all that was stated of a conversation, inside a transaction.
    static func replace(
        _ losses: [ClosedRange<Seq>], of conversation: Int64, at time: Timestamp, on connection: Connection
    ) throws(SQLiteError) {
        let delete = try connection.statement("DELETE FROM loss WHERE conversation=?")
        try delete.run(conversation)
        let insert = try connection.statement("INSERT INTO loss VALUES (?,?,?,?)")
        for loss in losses {
            try insert.run(conversation, loss.lowerBound.rawValue, loss.upperBound.rawValue, time.milliseconds)
        }
    }

    /// Whether all of a range was stated.
    static func covers(_ losses: [ClosedRange<Seq>], _ range: ClosedRange<Seq>) -> Bool {
        var next = range.lowerBound
        for loss in losses where loss.contains(next) {
            if loss.upperBound >= range.upperBound { return true }
            next = loss.upperBound.next
        }
        return false
    }
}
