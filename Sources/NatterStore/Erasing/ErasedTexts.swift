internal import NatterModel
internal import NatterSQLite

/// For whom erased texts do not count as unread. Their records do not name their authors any more, but the counts of a user's
/// own texts still have them.
enum ErasedTexts {
    /// How many of these messages are erased texts of each user.
    static func counts(
        _ seqs: ClosedRange<Seq>, in conversation: Int64, _ connection: Connection
    ) throws(SQLiteError) -> [String: Int] {
        let rows = try connection.statement(
            """
            SELECT account.name,count(*) FROM erasure JOIN account ON account.number=erasure.author
            WHERE conversation=? AND seq>=? AND seq<=? GROUP BY account.name
            """)
        try rows.bind(conversation, seqs.lowerBound.rawValue, seqs.upperBound.rawValue)
        var counts: [String: Int] = [:]
        while try rows.step() { counts[rows.text(0)] = rows.int(1) }
        return counts
    }

    /// Whether a message is recorded as erased.
    static func has(_ seq: Seq, in conversation: Int64, _ connection: Connection) throws(SQLiteError) -> Bool {
        try connection.hasRow("SELECT 1 FROM erasure WHERE conversation=? AND seq=?", conversation, seq.rawValue)
    }

    /// The author of an erased text as the table `relation` records it; nil if it counts for everyone.
    static func author(
        of seq: Seq, in conversation: Int64, _ connection: Connection
    ) throws(SQLiteError) -> String? {
        try connection.row("SELECT author FROM erasure WHERE conversation=? AND seq=?", conversation, seq.rawValue) {
            $0.optionalInt64(0).map { "#\($0)" }
        } ?? nil
    }
}
