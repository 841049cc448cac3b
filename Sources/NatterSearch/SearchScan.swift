internal import NatterSQLite

/// Searches messages that no index knows: an index in memory, thrown away after each batch. Tokenizer, mapping and
/// language are those of `SearchIndex`, so that a message is found by both or by neither.
///
/// Give it batches from the newest to the oldest, and stop when there are enough. To be used by one thread at a time.
public final class SearchScan {
    private let connection: Connection
    private let query: SearchQuery
    private var text = SearchText()

    /// - Throws: `SQLiteError` only where there is no memory.
    public init(_ query: SearchQuery) throws {
        self.query = query
        connection = try Connection(path: ":memory:", role: .writer, checksums: false)
        try connection.execute(SearchIndex.tableOfWords)
        // Batches stay in the table's buffer, before they become an index.
        try connection.execute("INSERT INTO posting(posting, rank) VALUES('hashsize', 67108864)")
    }

    /// Finds the messages of a batch (a block of them, say).
    ///
    /// - Parameters:
    ///   - count: how many there are.
    ///   - text: calls the closure with the text of the message of that place, from 0, in UTF-8; or not at all, where
    ///     there is none.
    /// - Returns: the places of those that match, highest first.
    public func matches(
        count: Int, text: (Int, (UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> [Int] {
        guard count > 0 else { return [] }
        try connection.execute("BEGIN")
        defer { connection.rollBack() }
        let insert = try connection.statement("INSERT INTO posting(rowid, text) VALUES(?1, ?2)")
        for place in 0..<count {
            try text(place) { bytes in
                try self.text.insertMapped(bytes, row: Int64(place), with: insert)
            }
        }
        let hits = try connection.statement(
            "SELECT rowid FROM posting WHERE posting MATCH ?1 ORDER BY rowid DESC")
        try hits.bind(query.expression)
        var places: [Int] = []
        while try hits.step() { places.append(hits.int(0)) }
        return places
    }

    /// The same with strings.
    public func matches(_ texts: [String]) throws -> [Int] {
        try matches(count: texts.count) { place, body in
            var text = texts[place]
            try text.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
        }
    }
}
