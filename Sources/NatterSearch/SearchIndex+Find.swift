internal import NatterLanguage
public import NatterModel
public import NatterSQLite

extension SearchIndex {
    /// By rising row, although hits are wanted newest first: FTS5 reads its lists of rows in that direction, and turns
    /// a page of a list around before it reads it in the other. For the few rows of a range that is most of the time.
    static let hits = """
        SELECT rowid FROM posting WHERE posting MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid LIMIT ?4
        """

    /// Finds messages of some conversations, newest first, as a search of all conversations does, within a budget.
    ///
    /// - Parameters:
    ///   - reached: called before each group of ranges is queried: no hit that is not visited yet is newer than this.
    ///   - visit: as in the search of all conversations.
    /// - Throws: as the other; `SearchIndexError.database`, with `isOverBudget`, when the budget is used up. All hits
    ///   newer than `reached` said last have been visited then.
    public func search(
        _ query: SearchQuery, among conversations: some Collection<Entry>, since: Timestamp? = nil,
        until: Timestamp? = nil, budget: WorkBudget, reached: (Timestamp) -> Void,
        visit: (SearchHit) throws -> SearchStep
    ) throws {
        if let since, let until, since > until { return }
        try SearchIndexError.translate {
            try onOneState {
                guard !conversations.isEmpty else { return }
                let search = Search(
                    index: self, query: query, among: Set(conversations.map(\.number)), since: since?.rawValue ?? .min,
                    until: until?.rawValue ?? .max, budget: budget)
                do {
                    if try search.visitIfRare(visit) { return }
                } catch let error as SQLiteError where error.reason == .overBudget {
                    // The words are frequent, but hardly ever together. Nothing was visited yet.
                }
                try search.visitByGroups(visit, reached)
            }
        }
    }

    /// Finds messages, newest first.
    ///
    /// In one conversation, hits come by falling seq. Across conversations they come range by range. The range with the
    /// newest message is first, and within each range hits come by falling seq. `SearchHit.noNewerThan` is an upper
    /// bound for the times of all remaining hits, so that `SearchNewest` can sort them without waiting for the last.
    ///
    /// - Parameters:
    ///   - since, until: skip ranges that lie completely outside. Hits outside may still come.
    ///   - visit: receives each hit. If it ends the search early, the hits of a common word are never all collected.
    /// - Throws: `SearchIndexError.corrupt`, possibly after hits; `database`; and the errors of `visit`.
    public func search(
        _ query: SearchQuery, in conversation: ConversationID? = nil, since: Timestamp? = nil,
        until: Timestamp? = nil, visit: (SearchHit) throws -> SearchStep
    ) throws {
        if let since, let until, since > until { return }
        try SearchIndexError.translate {
            try onOneState {
                var number: Int64?
                if let conversation {
                    guard let known = try entry(of: conversation)?.number else { return }
                    number = known
                }
                let search = Search(
                    index: self, query: query, conversation: number, since: since?.rawValue ?? .min,
                    until: until?.rawValue ?? .max)
                if try search.visitIfRare(visit) == false { try search.visitByGroups(visit) { _ in } }
            }
        }
    }
}

/// The hits of one range, as a slice of all rows that were found.
private struct Found {
    let range: SearchRange
    let rows: ArraySlice<Int64>
}

private final class Search {
    /// If there are fewer hits than this, they are collected from all ranges and sorted afterwards.
    private static let rareLimit = 64
    /// The number of rows in the first group of ranges, and how many times larger each group is than the one before. If
    /// each FTS5 query is costly, there should be few.
    private var groups: (firstRows: Int64, growth: Int64) { query.isCostlyToStart ? (32_768, 64) : (512, 4) }
    /// A group that consists of more pieces than this is queried as one piece, and hits between the pieces are skipped.
    private static let pieceLimit = 64

    private let index: SearchIndex
    private let query: SearchQuery
    private let conversation: Int64?
    /// The only conversations whose hits are visited; nil for all.
    private let among: Set<Int64>?
    private let budget: WorkBudget?
    private let (since, until): (Int64, Int64)
    private var names: [Int64: ConversationID] = [:]

    init(
        index: SearchIndex, query: SearchQuery, conversation: Int64? = nil, among: Set<Int64>? = nil, since: Int64,
        until: Int64, budget: WorkBudget? = nil
    ) {
        (self.index, self.query, self.conversation) = (index, query, conversation)
        (self.among, self.budget) = (among, budget)
        (self.since, self.until) = (since, until)
    }

    /// Visits the hits if there are few, without reading all ranges.
    /// - Returns: false if there are many, or counting them would cost too much. Then none was visited.
    func visitIfRare(_ visit: (SearchHit) throws -> SearchStep) throws -> Bool {
        guard !query.isCostlyToStart else { return false }
        // Words that are frequent but never together cost a walk through all their lists. Three quarters of the budget
        // are left for the newest of them then.
        let rows = try index.connection.limited(to: budget, share: 4) {
            try self.rows(from: 1, to: .max, limit: Search.rareLimit)
        }
        guard rows.count < Search.rareLimit else { return false }
        var found: [Found] = []
        var start = 0
        while start < rows.count {
            guard let range = try range(containing: rows[start]) else {
                start += 1
                continue
            }
            let end = rows[start...].firstIndex { $0 < range.firstRow } ?? rows.count
            if isWanted(range), range.maxTime.rawValue >= since,
                range.minTime.rawValue <= until
            {
                found.append(Found(range: range, rows: rows[start..<end]))
            }
            start = end
        }
        found.sort { comesFirst($0.range, $1.range) }
        _ = try self.visit(found, visit)
        return true
    }

    /// Reads the ranges in order, in growing groups, until the visitor has enough.
    ///
    /// - Parameter reached: called before each group: no hit that is not visited yet is newer than this. It is right
    ///   only if more than one conversation may be searched.
    func visitByGroups(_ visit: (SearchHit) throws -> SearchStep, _ reached: (Timestamp) -> Void) throws {
        let statement = try rangesInOrder()
        var groupRows = groups.firstRows
        while true {
            let group = try index.connection.limited(to: budget) { try ranges(from: statement, rows: groupRows) }
            if let first = group.ranges.first { reached(first.maxTime) }
            let found = try index.connection.limited(to: budget) { try find(in: group.ranges) }
            guard try self.visit(found, visit), !group.isLast else { return }
            groupRows = min(groupRows * groups.growth, 1 << 40)
        }
    }

    /// Reads the next ranges, until they have that many rows together. At the end there may be fewer.
    private func ranges(
        from statement: borrowing Statement, rows: Int64
    ) throws(SQLiteError) -> (ranges: [SearchRange], isLast: Bool) {
        var ranges: [SearchRange] = []
        var count: Int64 = 0
        while count < rows {
            guard try statement.step() else { return (ranges, true) }
            let range = try SearchRange(statement, path: index.path)
            guard isWanted(range) else { continue }
            ranges.append(range)
            count += range.count
        }
        return (ranges, false)
    }

    private func isWanted(_ range: SearchRange) -> Bool {
        if let conversation { return range.conversation == conversation }
        return among?.contains(range.conversation) ?? true
    }

    /// The same order as in `rangesInOrder`.
    private func comesFirst(_ one: SearchRange, _ other: SearchRange) -> Bool {
        if conversation != nil { return one.firstSeq > other.firstSeq }
        return (one.maxTime, one.firstRow) > (other.maxTime, other.firstRow)
    }

    private func rangesInOrder() throws(SQLiteError) -> Statement {
        if let conversation {
            let statement = try index.connection.statement(
                """
                SELECT \(SearchRange.columns) FROM range WHERE conversation = ?3 AND max_time >= ?1 AND min_time <= ?2
                ORDER BY first_seq DESC
                """)
            try statement.bind(since, until, conversation)
            return statement
        }
        if let among, among.count <= SearchIndex.fewConversations {
            // Otherwise a user of few conversations would pay for all those of others.
            let statement = try index.connection.statement(
                """
                SELECT \(SearchRange.columns) FROM range INDEXED BY range_conversation
                WHERE conversation IN (SELECT value FROM json_each(?3)) AND max_time >= ?1 AND min_time <= ?2
                ORDER BY max_time DESC, first_row DESC
                """)
            try statement.bind(since, until, "[" + among.map(String.init).joined(separator: ",") + "]")
            return statement
        }
        let statement = try index.connection.statement(
            """
            SELECT \(SearchRange.columns) FROM range WHERE max_time >= ?1 AND min_time <= ?2
            ORDER BY max_time DESC, first_row DESC
            """)
        try statement.bind(since, until)
        return statement
    }

    private func range(containing row: Int64) throws(SQLiteError) -> SearchRange? {
        let range = try index.connection.row(
            "SELECT \(SearchRange.columns) FROM range WHERE first_row <= ?1 ORDER BY first_row DESC LIMIT 1", row
        ) { row throws(SQLiteError) in try SearchRange(row, path: index.path) }
        return range.flatMap { row <= $0.lastRow ? $0 : nil }
    }

    /// The hits in the ranges, in the order of the ranges.
    private func find(in group: [SearchRange]) throws -> [Found] {
        let falling = group.indices.sorted { group[$0].firstRow > group[$1].firstRow }
        var rows: [Int64] = []
        for piece in pieces(of: falling.map { group[$0] }) {
            rows += try self.rows(from: piece.lowerBound, to: piece.upperBound, limit: -1)
        }
        var parts = [Range<Int>](repeating: 0..<0, count: group.count)
        var start = 0
        for index in falling {
            start = rows[start...].firstIndex { $0 <= group[index].lastRow } ?? rows.count
            let end = rows[start...].firstIndex { $0 < group[index].firstRow } ?? rows.count
            parts[index] = start..<end
            start = end
        }
        return group.indices.filter { !parts[$0].isEmpty }.map { Found(range: group[$0], rows: rows[parts[$0]]) }
    }

    /// The rows of ranges, with adjacent ranges joined. Input and output are in descending order.
    private func pieces(of ranges: [SearchRange]) -> [ClosedRange<Int64>] {
        var pieces: [ClosedRange<Int64>] = []
        for range in ranges {
            if let last = pieces.last, last.lowerBound == range.lastRow + 1 {
                pieces[pieces.count - 1] = range.firstRow...last.upperBound
            } else {
                pieces.append(range.firstRow...range.lastRow)
            }
        }
        let limit = query.isCostlyToStart ? 1 : Search.pieceLimit
        if pieces.count > limit, let first = pieces.first, let last = pieces.last {
            return [last.lowerBound...first.upperBound]
        }
        return pieces
    }

    /// - Parameter limit: the maximum number of rows, or -1 for no limit.
    /// - Returns: the rows, highest first; if there are more than the limit, not the highest.
    private func rows(from first: Int64, to last: Int64, limit: Int) throws -> [Int64] {
        var rows = try index.connection.rows(SearchIndex.hits, query.expression, first, last, limit) { $0.int64(0) }
        rows.reverse()
        return rows
    }

    /// - Returns: whether to continue.
    private func visit(_ found: [Found], _ visit: (SearchHit) throws -> SearchStep) throws -> Bool {
        for part in found {
            let name = try name(of: part.range.conversation)
            hits: for row in part.rows {
                let hit = SearchHit(
                    conversation: name, seq: part.range.seq(of: row), noNewerThan: part.range.maxTime,
                    timesFall: part.range.timesRise)
                switch try SearchIndexError.foreign({ try visit(hit) }) {
                case .next: continue
                case .nextRange: break hits
                case .enough: return false
                }
            }
        }
        return true
    }

    private func name(of number: Int64) throws -> ConversationID {
        if let name = names[number] { return name }
        let bytes = try index.connection.row("SELECT name FROM conversation WHERE id = ?1", number) { $0.blob(0) }
        guard let name = bytes.flatMap({ ConversationID(bytes: $0) }) else {
            throw SQLiteError(reason: .corrupt, message: "a range of no conversation", path: index.path)
        }
        names[number] = name
        return name
    }
}

/// A message that the index found.
public struct SearchHit: Sendable, Equatable {
    public let conversation: ConversationID
    public let seq: Seq
    /// In a search of all conversations, neither this message nor any remaining hit is newer. The index does not have
    /// the message's own time.
    public let noNewerThan: Timestamp
    /// True if the following hits of the same range, which `SearchStep.nextRange` would skip, are certainly not newer
    /// than this one.
    public let timesFall: Bool
}

/// How a search continues after a hit.
public enum SearchStep: Sendable, Equatable {
    case next
    /// Skip to the next range. This skips at most a few thousand messages of the same conversation.
    case nextRange
    /// End the search.
    case enough
}
