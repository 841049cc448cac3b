public import NatterSystem

/// The pages of a damaged database, read without those that lead to them.
///
/// SQLite is told of every page that it is the first one of a table, in a transaction that is rolled back, so that it reads
/// each leaf by itself. Instead of the first page of the file it reads one with nothing but that table.
///
/// Freed pages are overwritten with zeros (`secure_delete`), so no row of former times comes back.
public struct LoosePages {
    let source: Connection
    private let table: String
    private let count: Int

    /// - Parameter creation: SQL that makes the table.
    /// - Returns: nil if nothing can be read.
    /// - Throws: errors of the disk.
    init?(of table: String, creation: String, in path: String, on disk: any Disk) throws {
        let firstPage = try LoosePages.firstPage(creation, besides: path, on: disk)
        guard let source = try? Connection(damaged: path, firstPage: firstPage, disk: disk),
            let count = try? source.row("PRAGMA page_count", read: { $0.int(0) })
        else { return nil }
        (self.source, self.table, self.count) = (source, table, count)
    }

    /// Makes each page the table's only one, and calls `body` with its number.
    func forEach(_ body: (Int) throws -> Void) rethrows {
        for page in 2..<max(2, count + 1) {
            defer { try? source.execute("ROLLBACK; PRAGMA writable_schema=RESET") }
            do throws(SQLiteError) {
                try source.execute("BEGIN IMMEDIATE; PRAGMA writable_schema=ON")
                try source.run("UPDATE sqlite_schema SET rootpage=? WHERE name=?", page, table)
                try source.execute("PRAGMA writable_schema=RESET")
            } catch {
                continue
            }
            try body(page)
        }
    }

    private static func firstPage(_ creation: String, besides path: String, on disk: any Disk) throws -> [UInt8] {
        let file = path + ".first"
        try disk.removeDatabase(file)
        do {
            let connection = try Connection(path: file, role: .writer, disk: disk)
            try connection.execute(creation)
            try connection.checkpoint(.truncating)
        }
        var page = try disk.open(file, .read).read(count: PageChecksums.pageBytes, at: 0)
        try disk.removeDatabase(file)
        // Without a number of pages, SQLite goes by the size of the file.
        if page.count == PageChecksums.pageBytes { page.replaceSubrange(28..<32, with: [0, 0, 0, 0]) }
        return page
    }

    // MARK: The first page

    /// A table or an index, as `sqlite_schema` lists it.
    private struct Listed: Hashable {
        let type: String
        let name: String
        let table: String
        /// Empty for an index that belongs to its table's definition.
        let creation: String

        init(_ row: borrowing Statement) {
            (type, name, table, creation) = (row.text(0), row.text(1), row.text(2), row.text(3))
        }
    }

    private static let listColumns = "type,name,tbl_name,sql"

    /// Opens a database whose first page can't be read. That page itself says where tables begin only if they are few. Otherwise
    /// their list is in other pages, and is found there.
    ///
    /// - Parameters:
    ///   - model: a database with the same tables. What it lacks does not count as a table.
    ///   - isTable: whether a name and its SQL are those of a table that the model lacks.
    /// - Returns: the database to read from, without the tables that were not found; nil if there are none.
    /// - Throws: errors of the model and of the disk.
    public static func withoutFirstPage(
        _ path: String, on disk: any Disk, like model: Connection, isTable: (_ name: String, _ sql: String) -> Bool
    ) throws -> Connection? {
        let known = Set(try model.rows("SELECT \(listColumns) FROM sqlite_schema") { Listed($0) })
        var found: [Listed: Int64] = [:]
        let list = "CREATE TABLE list (type TEXT,name TEXT,tbl_name TEXT,rootpage INTEGER,sql TEXT)"
        guard let pages = try LoosePages(of: "list", creation: list, in: path, on: disk) else { return nil }
        pages.forEach { page in
            guard
                let rows = try? pages.source.statement("/* page \(page) */ SELECT \(listColumns),rootpage FROM list")
            else { return }
            while (try? rows.step()) == true {
                let row = Listed(rows)
                // A page of another table is left at its first row.
                guard known.contains(row) || row.type == "table" && isTable(row.name, row.creation), rows.int64(4) > 1
                else { return }
                found[row] = rows.int64(4)
            }
        }
        guard !found.isEmpty else { return nil }
        let version = "PRAGMA user_version=\(try Schema.version(of: model))"
        let firstPage = try firstPage(version, besides: path, on: disk)
        do throws(SQLiteError) {
            let source = try Connection(damaged: path, firstPage: firstPage, disk: disk)
            // It is never committed.
            try source.execute("BEGIN IMMEDIATE; PRAGMA writable_schema=ON")
            let insert = try source.statement("INSERT INTO sqlite_schema (\(listColumns),rootpage) VALUES (?,?,?,?,?)")
            for (row, root) in found {
                try insert.run(row.type, row.name, row.table, row.creation.isEmpty ? nil : row.creation, root)
            }
            try source.execute("PRAGMA writable_schema=RESET")
            return source
        } catch {
            return nil
        }
    }
}
