internal import NatterConversation
internal import NatterLog
internal import NatterModel
internal import NatterSQLite

/// The two tables of the journal, of which one takes new rows. The view `batch` shows both.
///
/// A table that keeps rows may keep copies of rows that it had before, in the free space of its pages. So an erasure turns to the
/// other table, waits until no tail needs the former one, and empties that one.
struct JournalTables {
    /// Those that the schema makes.
    static let names = ["batch_a", "batch_b"]

    private let connection: Connection
    /// The table that takes new rows: the one with the newest row, so that a start finds it again.
    private var current: String
    private var former: String { JournalTables.names.first { $0 != current } ?? current }

    init(_ connection: Connection) throws(SQLiteError) {
        self.connection = connection
        var newest: (name: String, number: UInt64) = (JournalTables.names[0], 0)
        for name in JournalTables.names {
            let last = try connection.row("SELECT coalesce(max(number),0) FROM \(name)") { $0.uint64(0) } ?? 0
            if last > newest.number { newest = (name, last) }
        }
        current = newest.name
    }

    func insert(_ batch: SealedBatch, number: UInt64) throws(SQLiteError) {
        try connection.statement("INSERT INTO \(current) VALUES (?,?)").run(number, batch.bytes)
    }

    func delete(below number: UInt64) throws(SQLiteError) {
        for name in JournalTables.names { try connection.statement("DELETE FROM \(name) WHERE number<?").run(number) }
    }

    /// Makes the other table the one that takes new rows.
    ///
    /// - Returns: false, with nothing done, if it still has rows: an erasure was cut short.
    mutating func turn() throws(SQLiteError) -> Bool {
        guard try !connection.hasRow("SELECT 1 FROM \(former)") else { return false }
        current = former
        return true
    }

    /// Overwrites the pages of the table that takes no rows. Without a condition, `DELETE` frees all of them, which
    /// `secure_delete` fills with zeros.
    ///
    /// - Throws: `StoreError.busy` if a tail still needs a row of it.
    func emptyFormer() throws {
        guard try !connection.hasRow("SELECT 1 FROM \(former)") else { throw StoreError.busy }
        try connection.execute("DELETE FROM \(former)")
    }
}
