internal import NatterSQLite

/// Copies the readable rows of a damaged database into a new one. Every page has a checksum, so a row that can be
/// read is a row as it was written.
///
/// Tables that the logs can restore are left out.
struct DatabaseSalvage {
    private let source: Connection
    private let target: Connection
    /// Tables with rows that could not be read.
    private(set) var incomplete: [String] = []

    /// Tables that are rebuilt from the logs.
    private static let derived: Set<String> = ["segment", "block", "dictionary", "sent", "relation", "retired"]

    init(from source: Connection, to target: Connection) { (self.source, self.target) = (source, target) }

    mutating func run() throws {
        for table in try tables(of: target) where !DatabaseSalvage.derived.contains(table) { try copy(table) }
        // Idempotency keys have a table for each period.
        for table in (try? tables(of: source)) ?? [] where KeyTables.period(ofTable: table) != nil {
            try target.execute(KeyTables.creation(of: table))
            try copy(table)
        }
        // The second copies of dictionaries are useful. If one can't be read, the logs still have it, so the loss is
        // not reported.
        let before = incomplete
        try copy("dictionary")
        incomplete = before
    }

    private func tables(of connection: Connection) throws(SQLiteError) -> [String] {
        try connection.rows(
            "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ) { $0.text(0) }
    }

    private mutating func copy(_ table: String) throws {
        if try !TableSalvage.copy(table, from: source, to: target) { incomplete.append(table) }
    }
}
