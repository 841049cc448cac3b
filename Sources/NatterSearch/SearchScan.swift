internal import NatterSQLite

/// Searches messages that are not in the index, with an in-memory index for one batch at a time. It uses the tokenizer,
/// mapping and query language of `SearchIndex`, so that both find the same messages. Only one thread may use it at a
/// time.
public final class SearchScan {
    private let connection: Connection
    private let query: SearchQuery
    private var text = SearchText()

    /// - Throws: `SQLiteError` only if memory is short.
    public init(_ query: SearchQuery) throws {
        self.query = query
        connection = try Connection(path: Connection.inMemory, role: .writer)
        try connection.execute(SearchIndex.tableOfWords)
        // Batches stay in the table's buffer and are never written to index pages.
        try connection.execute("INSERT INTO posting(posting, rank) VALUES('hashsize', 67108864)")
    }

    /// Finds the messages of a batch that match.
    ///
    /// - Parameters:
    ///   - count: how many messages there are.
    ///   - text: calls the closure with the text of the message at that index, in UTF-8, unless it has none.
    /// - Returns: the indices of the messages that match, highest first.
    public func matches(
        count: Int, text: (Int, (UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> [Int] {
        guard count > 0 else { return [] }
        try connection.execute("BEGIN")
        defer { connection.rollBack() }
        let insert = try connection.statement("INSERT INTO posting(rowid, text) VALUES(?1, ?2)")
        var places: [Int] = []
        let expression = query.hasWords ? query.expression : query.unwantedExpression
        for place in 0..<count {
            try text(place) { bytes in
                places.append(place)
                if expression != nil { try self.text.insertMapped(bytes, row: Int64(place), with: insert) }
            }
        }
        let rows = try expression.map { expression in
            try connection.rows("SELECT rowid FROM posting WHERE posting MATCH ?1 ORDER BY rowid DESC", expression) {
                $0.int(0)
            }
        }
        if query.hasWords { return rows ?? [] }
        // Words alone exclude some of them.
        let unwanted = Set(rows ?? [])
        return places.reversed().filter { !unwanted.contains($0) }
    }
}
