internal import NatterArchive
internal import NatterLog
internal import NatterModel
internal import NatterPostgres
internal import NatterSQLite

/// Collects the statements of changes.
final class RowCollector: RowWriter {
    private(set) var statements: [PostgresConnection.Statement] = []
    /// The number of the entry.
    private let number: UInt64

    init(number: UInt64) { self.number = number }

    func run(_ sql: StaticString, _ values: any SQLValue...) {
        statements.append(.init(sql.description, values.map { PostgresValue($0.datum) }))
    }

    /// The rows of blocks, and which files they leave behind.
    func record(_ written: WrittenBlocks) {
        let replaced = [written.replaced].compactMap { $0 } + written.dropped
        for old in replaced {
            ArchiveRows.delete(old.row, on: self)
            run(
                """
                INSERT INTO retired (path,node,number) VALUES ($1,0,$2)
                ON CONFLICT (path) DO UPDATE SET number=excluded.number
                """, PostgresDisk.logName(old.row.name(of: old.conversation)), number)
            run("DELETE FROM retired WHERE path=$1", PostgresDisk.logName(written.segment.name(of: old.conversation)))
        }
        if let dictionary = written.newDictionary { ArchiveRows.put(dictionary, on: self) }
        ArchiveRows.put(written.segment, on: self)
        for block in written.blocks { ArchiveRows.insert(block, on: self) }
    }
}
