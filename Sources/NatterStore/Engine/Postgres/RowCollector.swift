internal import NatterConversation
internal import NatterSQLite

/// Collects the statements of changes.
final class RowCollector: RowWriter {
    private var collected: [PostgresConnection.Statement] = []
    /// The number of the entry.
    private let number: UInt64

    init(number: UInt64) { self.number = number }

    func run(_ sql: StaticString, _ values: any SQLValue...) {
        collected.append(.init(sql.description, values.map { PostgresValue($0.datum) }))
    }

    /// An import inserts a row for each id, while the lock of the log is held. So many of them are one statement. These are the
    /// numbers of rows that statements may have: each is prepared once.
    private static let rowsPerStatement = [256, 32, 4, 1]

    /// The statements, in which inserts one after the other into the same table are one, if rows that are there stay as they are.
    var statements: [PostgresConnection.Statement] {
        var statements: [PostgresConnection.Statement] = []
        var rest = collected[...]
        while let first = rest.first {
            var alike = first.sql.hasSuffix("DO NOTHING") ? rest.prefix { $0.sql == first.sql } : rest.prefix(1)
            rest = rest.dropFirst(alike.count)
            while let count = RowCollector.rowsPerStatement.first(where: { $0 <= alike.count }) {
                statements.append(RowCollector.merged(alike.prefix(count), first))
                alike = alike.dropFirst(count)
            }
        }
        return statements
    }

    /// One statement for inserts of the same SQL, which has one list of values.
    private static func merged(
        _ inserts: ArraySlice<PostgresConnection.Statement>, _ first: PostgresConnection.Statement
    ) -> PostgresConnection.Statement {
        let width = first.values.count
        func list(_ row: Int) -> String {
            "(" + (0..<width).map { "$\(row * width + $0 + 1)" }.joined(separator: ",") + ")"
        }
        let lists = (0..<inserts.count).map(list).joined(separator: ",")
        return .init(first.sql.replacing(list(0), with: lists), inserts.flatMap(\.values))
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
