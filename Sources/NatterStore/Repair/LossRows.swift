internal import NatterSQLite
internal import NatterModel

/// The table of lost messages. With it, a check can tell a loss that a repair has reported from a new one.
enum LossRows {
    /// By conversation, in the order of their seqs.
    static func all(on connection: Connection) throws(SQLiteError) -> [Int64: [ClosedRange<Seq>]] {
        guard try Schema.version(of: connection) >= StoreSchema.lossStep else { return [:] }
        var found: [Int64: [ClosedRange<Seq>]] = [:]
        let rows = try connection.statement(
            "SELECT conversation,first_seq,last_seq FROM loss WHERE first_seq<=last_seq ORDER BY conversation,first_seq"
        )
        while try rows.step() {
            found[rows.int64(0), default: []].append(Seq(rows.uint64(1))...Seq(rows.uint64(2)))
        }
        return found
    }

    /// Replaces everything recorded for a conversation. Call inside a transaction.
    static func replace(
        _ losses: [ClosedRange<Seq>], of conversation: Int64, at time: Timestamp, on connection: Connection
    ) throws(SQLiteError) {
        try connection.run("DELETE FROM loss WHERE conversation=?", conversation)
        let insert = try connection.statement("INSERT INTO loss VALUES (?,?,?,?)")
        for loss in losses {
            try insert.run(conversation, loss.lowerBound.rawValue, loss.upperBound.rawValue, time.milliseconds)
        }
    }

    /// Whether the whole range is recorded as lost.
    static func covers(_ losses: [ClosedRange<Seq>], _ range: ClosedRange<Seq>) -> Bool {
        var next = range.lowerBound
        for loss in losses where loss.contains(next) {
            if loss.upperBound >= range.upperBound { return true }
            next = loss.upperBound.next
        }
        return false
    }
}
