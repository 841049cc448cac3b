internal import NatterLanguage
internal import NatterModel
internal import NatterSQLite

/// Consecutive rows of the index that belong to consecutive messages of one conversation.
struct SearchRange {
    /// The maximum number of rows. Ranges are large enough to cost little, and small enough to be numerous.
    static let rowLimit = 4_096

    var firstRow: Int64
    var count: Int64
    /// The conversation's number in this index.
    var conversation: Int64
    var firstSeq: Seq
    var minTime: Timestamp
    var maxTime: Timestamp
    /// True if no message is older than one before it.
    var timesRise: Bool

    var lastRow: Int64 { firstRow + count - 1 }

    /// - Parameter row: a row of this range.
    func seq(of row: Int64) -> Seq { firstSeq.advanced(by: Int(clamping: row - firstRow)) }

    /// The columns that `init(_:)` reads, in order.
    static let columns = "first_row, count, conversation, first_seq, min_time, max_time, rises"
}

extension SearchRange {
    /// Reads a row of a statement that selects `columns`.
    /// - Throws: `corrupt` for impossible numbers.
    init(_ statement: borrowing Statement, path: String) throws(SQLiteError) {
        firstRow = statement.int64(0)
        count = statement.int64(1)
        conversation = statement.int64(2)
        firstSeq = Seq(statement.uint64(3))
        minTime = Timestamp(milliseconds: statement.int64(4))
        maxTime = Timestamp(milliseconds: statement.int64(5))
        timesRise = statement.bool(6)
        guard firstRow > 0, count > 0, count <= Int64(SearchRange.rowLimit), firstRow < Int64.max - count,
            minTime <= maxTime
        else { throw SQLiteError(reason: .corrupt, message: "a range that cannot be", path: path) }
    }
}
