public import NatterSystem

/// Copies the readable rows of one table of a damaged database into a new one. Every page has a checksum, so a row that
/// can be read is a row as it was written.
///
/// A scan stops at an unreadable page and never sees the rows behind it. So the table is read from both ends, and the
/// range between two unreadable pages is halved again and again.
public struct TableSalvage {
    private let source: Connection
    private let target: Connection
    private let table: String
    private let columns: [String]
    /// The columns of its primary key.
    private let keys: [String]
    private var isComplete = true

    /// - Parameter target: has the same table.
    /// - Returns: whether all rows could be read.
    /// - Throws: errors of the target.
    public static func copy(_ table: String, from source: Connection, to target: Connection) throws -> Bool {
        let columns = try target.rows("SELECT name,pk FROM pragma_table_info('\(table)') ORDER BY cid") {
            (name: $0.text(0), order: $0.int(1))
        }
        let keys = columns.filter { $0.order > 0 }.sorted { $0.order < $1.order }.map(\.name)
        var salvage = TableSalvage(
            source: source, target: target, table: table, columns: columns.map(\.name), keys: keys)
        try salvage.run()
        return salvage.isComplete
    }

    /// Copies the rows to which no page leads any more, because that page, or the first one with its schema, can't be read.
    ///
    /// - Parameters:
    ///   - path: a damaged database that nobody else uses.
    ///   - isRow: whether a row belongs to the table. What is in pages of other tables is offered, too.
    /// - Throws: errors of the target and of the disk.
    public static func copyLeaves(
        _ table: String, of path: String, on disk: any Disk, to target: Connection,
        isRow: (borrowing Statement) -> Bool
    ) throws {
        let creation = try target.row("SELECT sql FROM sqlite_schema WHERE name=?", table) { $0.text(0) }
        let columns = try target.rows("SELECT name FROM pragma_table_info('\(table)') ORDER BY cid") { $0.text(0) }
        guard let pages = try LoosePages(of: table, creation: creation ?? "", in: path, on: disk) else { return }
        let salvage = TableSalvage(source: pages.source, target: target, table: table, columns: columns, keys: [])
        try target.transaction {
            // A page of another table is left at its first row.
            try pages.forEach { page in _ = try salvage.read("/* page \(page) */", [], while: isRow) }
        }
    }

    /// What SQLite finds wrong in a damaged database.
    public static func problems(of source: Connection) -> [String] {
        ((try? source.rows("PRAGMA integrity_check(100)") { $0.text(0) }) ?? [])
            .flatMap { $0.split(separator: "\n").map { String($0) } }
    }

    /// Whether an index has more rows than its table, of a database whose pages are all whole: an old page that a lost write has
    /// left is whole, but not what its index says.
    ///
    /// - Parameter problems: what SQLite finds wrong in it.
    public static func lacksRows(_ problems: [String]) -> Bool {
        // The same is said of an index that lacks rows, which are named then.
        return problems.contains { line in
            guard line.hasPrefix("wrong # of entries in index "), let index = line.split(separator: " ").last else {
                return false
            }
            return !problems.contains { $0.hasSuffix(" missing from index \(index)") }
        }
    }

    /// Whether pages to which nothing leads have rows. Free pages have only zeros.
    ///
    /// - Parameter problems: what SQLite finds wrong in the database.
    public static func hasStrayRows(
        _ problems: [String], of path: String, on disk: any Disk
    ) throws(DiskError) -> Bool {
        let file = try disk.open(path, .read)
        for line in problems where line.hasSuffix(" is never used") {
            guard let page = line.split(separator: " ").dropFirst().first.flatMap({ UInt64($0) }), page > 1 else {
                continue
            }
            // A leaf, of a table or of one in the order of its key, with a number of rows.
            let head = try file.read(count: 5, at: (page - 1) * UInt64(PageChecksums.pageBytes))
            if head.count == 5, [10, 13].contains(head[0]), head[3...] != [0, 0] { return true }
        }
        return false
    }

    private init(source: Connection, target: Connection, table: String, columns: [String], keys: [String]) {
        (self.source, self.target, self.table, self.columns, self.keys) = (source, target, table, columns, keys)
    }

    /// At this depth, a half is smaller than a page.
    private static let deepest = 24

    private mutating func run() throws {
        let (first, isWhole) = try read("", [], descending: false)
        if isWhole { return }
        isComplete = false
        let (last, _) = try read("", [], descending: true)
        // The rows between the last one read upwards and the last one read downwards.
        if let first, let last, first < last { try halve(first, last, depth: 0) }
    }

    private func halve(_ low: Int64, _ high: Int64, depth: Int) throws {
        guard high &- low > 1, depth < TableSalvage.deepest else { return }
        let middle = low + (high - low) / 2
        let key = keys[0]
        let (reached, upward) = try read("WHERE \(key)>? AND \(key)<?", [middle, high], descending: false)
        let (sunk, downward) = try read("WHERE \(key)>? AND \(key)<=?", [low, middle], descending: true)
        if !upward { try halve(reached ?? middle, high, depth: depth + 1) }
        if !downward { try halve(low, sunk ?? middle, depth: depth + 1) }
    }

    /// Copies rows until one can't be read.
    /// - Returns: the first column of the last row's key, if it is a number, and whether all rows could be read.
    private func read(
        _ condition: String, _ values: [any SQLValue], descending: Bool = false,
        while isRow: (borrowing Statement) -> Bool = { _ in true }
    ) throws -> (reached: Int64?, isWhole: Bool) {
        let order = keys.isEmpty ? "" : "ORDER BY " + keys.map { descending ? "\($0) DESC" : $0 }.joined(separator: ",")
        let names = columns.joined(separator: ",")
        let marks = columns.map { _ in "?" }.joined(separator: ",")
        var reached: Int64?
        do {
            let rows = try source.statement("SELECT \(names) FROM \(table) \(condition) \(order)")
            try rows.bind(all: values)
            let insert = try target.statement("INSERT OR IGNORE INTO \(table) (\(names)) VALUES (\(marks))")
            let keyColumn = keys.first.flatMap { columns.firstIndex(of: $0) }
            while try rows.step(), isRow(rows) {
                let row = (0..<columns.count).map { rows.value($0) }
                if let keyColumn { reached = rows.optionalInt64(keyColumn) }
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
