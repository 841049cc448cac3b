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
    ///   - reached: called before each group of ranges but the first is queried: no hit that is not visited yet is newer than
    ///     this.
    ///   - visit: as in the search of all conversations.
    /// - Throws: as the other; `SearchIndexError.database`, with `isOverBudget`, when the budget is used up. All hits
    ///   newer than `reached` said last have been visited then; without that, none.
    public func search(
        _ query: SearchQuery, among conversations: some Collection<Entry>, since: Timestamp? = nil,
        until: Timestamp? = nil, budget: WorkBudget, reached: (Timestamp) -> Void,
        visit: (SearchHit) throws -> SearchStep
    ) throws {
        if let since, let until, since > until { return }
        try SearchIndexError.translate {
            try onOneState {
                guard !conversations.isEmpty else { return }
                let numbers = Set(conversations.map(\.number))
                let search = Search(
                    query, SearchRanges(self, among: numbers, since: since, until: until, budget: budget))
                do {
                    if try search.visitIfRare(visit) { return }
                } catch let error as SQLiteError where error.reason == .overBudget {
                    // The words are frequent, but hardly ever together. Nothing was visited yet.
                }
                try search.visitByGroups(visit, reached)
            }
        }
    }

    /// Visits the ranges of some conversations, whatever their messages contain, within a budget. That with the newest message
    /// is first.
    ///
    /// - Throws: as a search within a budget. The ranges before that have been visited.
    public func newest(
        among conversations: some Collection<Entry>, since: Timestamp? = nil, until: Timestamp? = nil,
        budget: WorkBudget,
        visit: (ConversationID, SearchRange) throws -> SearchStep
    ) throws {
        if let since, let until, since > until { return }
        try SearchIndexError.translate {
            try onOneState {
                let numbers = Set(conversations.map(\.number))
                let ranges = SearchRanges(self, among: numbers, since: since, until: until, budget: budget)
                let statement = try ranges.inOrder()
                while let range = try ranges.next(from: statement, rows: 1).ranges.first {
                    let name = try name(of: range.conversation)
                    if try SearchIndexError.foreign({ try visit(name, range) }) == .enough { return }
                }
            }
        }
    }

    /// Finds messages, newest first.
    ///
    /// Hits come range by range. The range with the newest message is first, and within each range hits come by falling
    /// seq. `SearchHit.noNewerThan` is an upper bound for the times of all remaining hits, so that `SearchNewest` can sort
    /// them without waiting for the last.
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
                let number = try conversation.flatMap { try entry(of: $0)?.number }
                guard conversation == nil || number != nil else { return }
                let search = Search(query, SearchRanges(self, among: number.map { [$0] }, since: since, until: until))
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
    /// So many rows may be hits in other conversations besides. If these counted as hits, one of them would decide which way is
    /// taken, and by the time of a search its user would learn of words that others have written.
    private static let foreignLimit = 448
    /// The number of rows in the first group of ranges, and how many times larger each group is than the one before. If
    /// each FTS5 query is costly, there should be few.
    private var groups: (firstRows: Int64, growth: Int64) { query.isCostlyToStart ? (32_768, 64) : (512, 4) }
    /// The part of a budget's pages that one query with a prefix may read. FTS5 merges the lists of all its words before the
    /// first hit: 30 ms for those of 150,000 messages, which 160 pages hold. A more frequent word is found faster
    /// by reading the newest messages.
    private static let prefixShare = 256
    /// A group that consists of more pieces than this is queried as one piece, and hits between the pieces are skipped.
    private static let pieceLimit = 64

    private let query: SearchQuery
    private let ranges: SearchRanges
    private var names: [Int64: ConversationID] = [:]
    private var index: SearchIndex { ranges.index }

    init(_ query: SearchQuery, _ ranges: SearchRanges) { (self.query, self.ranges) = (query, ranges) }

    /// Visits the hits if there are few, without reading all ranges.
    /// - Returns: false if there are many, or counting them would cost too much. Then none was visited.
    func visitIfRare(_ visit: (SearchHit) throws -> SearchStep) throws -> Bool {
        guard !query.isCostlyToStart else { return false }
        // Words that are frequent but never together cost a walk through all their lists. Three quarters of the budget
        // are left for the newest of them then.
        let limit = Search.rareLimit + (ranges.areOfSome ? Search.foreignLimit : 0)
        let rows = try index.connection.limited(to: ranges.budget, share: 4) {
            try self.rows(expression, from: 1, to: .max, limit: limit)
        }
        guard rows.count < limit else { return false }
        var found: [Found] = []
        var start = 0
        while start < rows.count {
            guard let range = try ranges.range(containing: rows[start]) else {
                start += 1
                continue
            }
            let end = rows[start...].firstIndex { $0 < range.firstRow } ?? rows.count
            if ranges.contain(range) { found.append(Found(range: range, rows: rows[start..<end])) }
            start = end
        }
        guard found.reduce(0, { $0 + $1.rows.count }) < Search.rareLimit else { return false }
        found = try index.connection.limited(to: ranges.budget, share: 4) { try withoutUnwanted(found) }
        found.sort { ranges.comesFirst($0.range, $1.range) }
        _ = try self.visit(found, visit)
        return true
    }

    /// Reads the ranges in order, in growing groups, until the visitor has enough.
    ///
    /// - Parameter reached: called before each group but the first: no hit that is not visited yet is newer than this.
    func visitByGroups(_ visit: (SearchHit) throws -> SearchStep, _ reached: (Timestamp) -> Void) throws {
        let statement = try ranges.inOrder()
        let share = query.isCostlyToStart ? Search.prefixShare : 1
        var groupRows = groups.firstRows
        while true {
            let group = try ranges.next(from: statement, rows: groupRows)
            if groupRows > groups.firstRows, let first = group.ranges.first { reached(first.maxTime) }
            let found = try index.connection.limited(to: ranges.budget, pageShare: share) { try find(in: group.ranges) }
            guard try self.visit(found, visit), !group.isLast else { return }
            groupRows = min(groupRows * groups.growth, 1 << 40)
        }
    }

    /// The hits in the ranges, in the order of the ranges.
    private func find(in group: [SearchRange]) throws -> [Found] {
        let falling = group.indices.sorted { group[$0].firstRow > group[$1].firstRow }
        var rows: [Int64] = []
        for piece in pieces(of: falling.map { group[$0] }) {
            rows += try self.rows(expression, from: piece.lowerBound, to: piece.upperBound)
        }
        var parts = [Range<Int>](repeating: 0..<0, count: group.count)
        var start = 0
        for index in falling {
            start = rows[start...].firstIndex { $0 <= group[index].lastRow } ?? rows.count
            let end = rows[start...].firstIndex { $0 < group[index].firstRow } ?? rows.count
            parts[index] = start..<end
            start = end
        }
        let found = group.indices.filter { !parts[$0].isEmpty }.map { Found(range: group[$0], rows: rows[parts[$0]]) }
        return try withoutUnwanted(found)
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

    /// Whether excluded words are looked for apart, and only in rows of the ranges that may be searched.
    ///
    /// FTS5 looks for them in the next row that has the other words, too, whoever wrote it. That takes up to a millisecond, by which
    /// a user would learn of words that others have written.
    private var excludesApart: Bool { ranges.areOfSome && query.hasNegative && !query.isCostlyToStart }
    private var expression: String { excludesApart ? query.wantedExpression : query.expression }

    /// How far apart rows may be whose excluded words are looked for together. To begin a search takes as long as to read some
    /// hundred rows.
    private static let unwantedSpan: Int64 = 512

    /// Leaves out the rows that have a word that the query excludes, if that was not asked yet.
    private func withoutUnwanted(_ found: [Found]) throws -> [Found] {
        guard excludesApart, let unwanted = query.unwantedExpression else { return found }
        return try found.map { part in
            var kept: [Int64] = []
            var rest = part.rows
            while let highest = rest.first {
                let end = rest.firstIndex { highest - $0 > Search.unwantedSpan } ?? rest.endIndex
                let near = rest[..<end]
                let excluded = Set(try rows(unwanted, from: near.last ?? highest, to: highest))
                kept += near.filter { !excluded.contains($0) }
                rest = rest[end...]
            }
            return Found(range: part.range, rows: kept[...])
        }
    }

    /// - Parameter limit: the maximum number of rows, or -1 for no limit.
    /// - Returns: the rows, highest first; if there are more than the limit, not the highest.
    private func rows(
        _ expression: String, from first: Int64, to last: Int64, limit: Int = -1
    ) throws -> [Int64] {
        var rows = try index.connection.rows(SearchIndex.hits, expression, first, last, limit) { $0.int64(0) }
        rows.reverse()
        return rows
    }

    /// - Returns: whether to continue.
    private func visit(_ found: [Found], _ visit: (SearchHit) throws -> SearchStep) throws -> Bool {
        for part in found {
            let conversation = part.range.conversation
            let name = try names[conversation] ?? index.name(of: conversation)
            names[conversation] = name
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
}

/// A message that the index found.
public struct SearchHit: Sendable, Equatable {
    public let conversation: ConversationID
    public let seq: Seq
    /// Neither this message nor any remaining hit is newer. The index does not have the message's own time.
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
