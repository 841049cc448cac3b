public import NatterModel
internal import NatterSQLite

/// Consecutive rows of the index that belong to consecutive messages of one conversation.
public struct SearchRange {
    /// The maximum number of rows. Ranges are large enough to cost little, and small enough to be numerous.
    static let rowLimit = 4_096

    var firstRow: Int64
    var count: Int64
    /// The conversation's number in this index.
    var conversation: Int64
    var firstSeq: Seq
    var minTime: Timestamp
    /// The time of its newest message.
    public internal(set) var maxTime: Timestamp
    /// True if no message is older than one before it.
    var timesRise: Bool

    var lastRow: Int64 { firstRow + count - 1 }
    public var seqs: ClosedRange<Seq> { firstSeq...seq(of: lastRow) }

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

/// The ranges that a search may look into, newest first.
struct SearchRanges {
    let index: SearchIndex
    /// Those that are searched, by their numbers; nil for all.
    private let among: Set<Int64>?
    private let (since, until): (Int64, Int64)
    /// nil for no limit.
    let budget: WorkBudget?

    init(
        _ index: SearchIndex, among: Set<Int64>?, since: Timestamp?, until: Timestamp?, budget: WorkBudget? = nil
    ) {
        (self.index, self.among, self.budget) = (index, among, budget)
        (self.since, self.until) = (since?.rawValue ?? .min, until?.rawValue ?? .max)
    }

    /// Whether only some conversations may be searched, as on a server, which gives each search a budget.
    var areOfSome: Bool { budget != nil }

    func contain(_ range: SearchRange) -> Bool {
        isWanted(range) && range.maxTime.rawValue >= since && range.minTime.rawValue <= until
    }

    private func isWanted(_ range: SearchRange) -> Bool { among?.contains(range.conversation) ?? true }

    /// Compares in the order of `inOrder`.
    func comesFirst(_ one: SearchRange, _ other: SearchRange) -> Bool {
        (one.maxTime, one.firstRow) > (other.maxTime, other.firstRow)
    }

    /// A statement for `next`.
    func inOrder() throws(SQLiteError) -> Statement {
        let select = "SELECT \(SearchRange.columns) FROM range"
        let overlaps = "max_time >= ?1 AND min_time <= ?2"
        let newestFirst = "ORDER BY max_time DESC, first_row DESC"
        if let among, among.count <= SearchIndex.fewConversations {
            // Otherwise a user of few conversations would pay for all those of others.
            let list = "[" + among.map(String.init).joined(separator: ",") + "]"
            return try index.connection.statement(
                """
                \(select) INDEXED BY range_conversation
                WHERE conversation IN (SELECT value FROM json_each(?3)) AND \(overlaps) \(newestFirst)
                """, [since, until, list])
        }
        return try index.connection.statement("\(select) WHERE \(overlaps) \(newestFirst)", [since, until])
    }

    /// Reads the next ranges, until they have that many rows together. At the end there may be fewer.
    func next(
        from statement: borrowing Statement, rows: Int64
    ) throws -> (ranges: [SearchRange], isLast: Bool) {
        var ranges: [SearchRange] = []
        var count: Int64 = 0
        return try index.connection.limited(to: budget) {
            while count < rows {
                guard try statement.step() else { return (ranges, true) }
                let range = try SearchRange(statement, path: index.path)
                guard isWanted(range) else { continue }
                ranges.append(range)
                count += range.count
            }
            return (ranges, false)
        }
    }

    func range(containing row: Int64) throws(SQLiteError) -> SearchRange? {
        let range = try index.connection.row(
            "SELECT \(SearchRange.columns) FROM range WHERE first_row <= ?1 ORDER BY first_row DESC LIMIT 1", row
        ) { row throws(SQLiteError) in try SearchRange(row, path: index.path) }
        return range.flatMap { row <= $0.lastRow ? $0 : nil }
    }
}
