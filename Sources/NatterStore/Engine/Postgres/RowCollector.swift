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

    func run(_ sql: StaticString, _ values: any SQLValue...) throws {
        statements.append(.init(sql.description, values.map { PostgresValue($0.datum) }))
    }

    /// The rows of blocks. `ArchiveRows` has the same for SQLite.
    func record(_ written: WrittenBlocks) throws {
        let replaced = [written.replaced].compactMap { $0 } + written.dropped
        for old in replaced {
            let row = old.row
            try run(
                "DELETE FROM block WHERE conversation=$1 AND segment_seq=$2 AND generation=$3", row.conversation,
                row.firstSeq.rawValue, row.generation)
            try run(
                "DELETE FROM segment WHERE conversation=$1 AND first_seq=$2 AND generation=$3", row.conversation,
                row.firstSeq.rawValue, row.generation)
            try run(
                "DELETE FROM dictionary WHERE id=$1 AND NOT EXISTS (SELECT 1 FROM segment WHERE dictionary=$1)",
                row.dictionary.bytes)
            try run(
                """
                INSERT INTO retired (path,node,number) VALUES ($1,0,$2)
                ON CONFLICT (path) DO UPDATE SET number=excluded.number
                """, PostgresDisk.logName(row.name(of: old.conversation)), number)
            try run(
                "DELETE FROM retired WHERE path=$1", PostgresDisk.logName(written.segment.name(of: old.conversation)))
        }
        if let dictionary = written.newDictionary, dictionary.id != .none {
            try run(
                "INSERT INTO dictionary (id,record) VALUES ($1,$2) ON CONFLICT (id) DO NOTHING", dictionary.id.bytes,
                dictionary.record)
        }
        let segment = written.segment
        try run(
            """
            INSERT INTO segment (conversation,first_seq,generation,size,dictionary,closed) VALUES ($1,$2,$3,$4,$5,$6)
            ON CONFLICT (conversation,first_seq,generation) DO UPDATE SET size=excluded.size, closed=excluded.closed
            """, segment.conversation, segment.firstSeq.rawValue, segment.generation, segment.size,
            segment.dictionary.bytes, segment.isClosed)
        for block in written.blocks {
            try run(
                """
                INSERT INTO block (conversation,first_seq,count,segment_seq,generation,"offset",length,revision,
                low_time,high_time,last_commit) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)
                """, block.conversation, block.firstSeq.rawValue, block.count, block.segmentSeq.rawValue,
                block.generation, block.offset, block.length, Int64(block.revision), block.lowTime.milliseconds,
                block.highTime.milliseconds, block.lastCommit.rawValue)
        }
    }
}
