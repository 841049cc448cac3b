internal import NatterSQLite
internal import NatterModel

/// Copies what can be read of a damaged database into a new one, row by row. Each page has a checksum, so a row that can be
/// read is as it was written.
///
/// What the logs can give again is left out. A page that can't be read hides the rows behind it from whoever walks over it;
/// so each table is read from both ends, and between two such pages by halves.
struct DatabaseSalvage {
    private let source: Connection
    private let target: Connection
    /// Tables of which something could not be read.
    private(set) var incomplete: [String] = []

    /// Made again from the logs.
    private static let derived: Set<String> = ["segment", "block", "dictionary", "sent"]

    init(from source: Connection, to target: Connection) { (self.source, self.target) = (source, target) }

    mutating func run() throws {
        for table in try tables(of: target) where !DatabaseSalvage.derived.contains(table) { try copy(table) }
        // Idempotency keys lie in tables of their own, one for each stretch of time.
        for table in (try? tables(of: source)) ?? [] where table.hasPrefix("keys_") {
            guard Int64(table.dropFirst(5)) != nil else { continue }
            try target.execute(
                """
                CREATE TABLE IF NOT EXISTS \(table) (account INTEGER NOT NULL, hash INTEGER NOT NULL,
                    conversation INTEGER NOT NULL, seq INTEGER NOT NULL, content INTEGER NOT NULL,
                    PRIMARY KEY (account, hash)) WITHOUT ROWID
                """)
            try copy(table)
        }
        // Second copies of dictionaries are worth having; what can't be read of them is in the logs.
        let before = incomplete
        try copy("dictionary")
        incomplete = before
    }

    private func tables(of connection: Connection) throws(SQLiteError) -> [String] {
        let rows = try connection.statement(
            "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
        var names: [String] = []
        while try rows.step() { names.append(rows.text(0)) }
        return names
    }

    private mutating func copy(_ table: String) throws {
        let info = try target.statement("SELECT name,pk FROM pragma_table_info('\(table)') ORDER BY cid")
        var columns: [String] = []
        var keys: [(order: Int, name: String)] = []
        while try info.step() {
            columns.append(info.text(0))
            if info.int(1) > 0 { keys.append((info.int(1), info.text(0))) }
        }
        info.reset()
        let order = keys.sorted { $0.order < $1.order }.map(\.name)
        var walk = TableWalk(source: source, target: target, table: table, columns: columns, keys: order)
        try walk.run()
        if !walk.isComplete { incomplete.append(table) }
    }
}

/// One table of it.
private struct TableWalk {
    let source: Connection
    let target: Connection
    let table: String
    let columns: [String]
    /// Its primary key.
    let keys: [String]
    private(set) var isComplete = true

    init(source: Connection, target: Connection, table: String, columns: [String], keys: [String]) {
        (self.source, self.target, self.table, self.columns, self.keys) = (source, target, table, columns, keys)
    }

    /// Deeper, halves have no page of their own any more.
    private static let deepest = 24

    mutating func run() throws {
        let (first, isWhole) = try read("", [], descending: false)
        if isWhole { return }
        isComplete = false
        let (last, _) = try read("", [], descending: true)
        // Numbers between the last that was read from below and the last from above.
        if let first, let last, first < last { try halve(first, last, depth: 0) }
    }

    private func halve(_ low: Int64, _ high: Int64, depth: Int) throws {
        guard high - low > 1, depth < TableWalk.deepest else { return }
        let middle = low + (high - low) / 2
        let key = keys[0]
        let (reached, upward) = try read("WHERE \(key)>? AND \(key)<?", [middle, high], descending: false)
        let (sunk, downward) = try read("WHERE \(key)>? AND \(key)<=?", [low, middle], descending: true)
        if !upward { try halve(reached ?? middle, high, depth: depth + 1) }
        if !downward { try halve(low, sunk ?? middle, depth: depth + 1) }
    }

    /// Copies rows until one can't be read.
    /// - Returns: the first column of the key of the last row, where that is a number; whether all could be read.
    private func read(
        _ condition: String, _ values: [any SQLValue], descending: Bool
    ) throws -> (reached: Int64?, isWhole: Bool) {
        let order = keys.map { descending ? "\($0) DESC" : $0 }.joined(separator: ",")
        let names = columns.joined(separator: ",")
        let marks = columns.map { _ in "?" }.joined(separator: ",")
        var reached: Int64?
        do {
            let rows = try source.statement("SELECT \(names) FROM \(table) \(condition) ORDER BY \(order)")
            try rows.bind(all: values)
            let insert = try target.statement("INSERT OR IGNORE INTO \(table) (\(names)) VALUES (\(marks))")
            let keyColumn = keys.first.flatMap { columns.firstIndex(of: $0) }
            while try rows.step() {
                let row = (0..<columns.count).map { rows.value($0) }
                if let keyColumn { reached = rows.isNull(keyColumn) ? nil : rows.int64(keyColumn) }
                try insert.bind(all: row)
                while try insert.step() {}
                insert.reset()
            }
            return (reached, true)
        } catch {
            guard error.path == source.path else { throw error }
            return (reached, false)
        }
    }
}
