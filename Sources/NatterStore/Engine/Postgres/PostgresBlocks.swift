internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog

/// Reads the rows of segments and blocks that servers have recorded in PostgreSQL.
enum PostgresBlocks {
    /// The columns of a block `b` and of its segment `s`.
    private static let columns = """
        b.first_seq,b.count,b.segment_seq,b.generation,b."offset",b.length,b.revision,b.low_time,b.high_time,b.last_commit,
        s.first_seq,s.generation,s.size,s.dictionary,s.closed
        """

    /// The blocks of a conversation that begin in a range.
    static func recorded(
        of conversation: Int64, in seqs: ClosedRange<Seq>, _ connection: PostgresConnection
    ) throws -> [WrittenBlocks] {
        try written(
            of: conversation, connection,
            """
            SELECT \(columns) FROM block b
            LEFT JOIN segment s ON s.conversation=b.conversation AND s.first_seq=b.segment_seq
            AND s.generation=b.generation
            WHERE b.conversation=$1 AND b.first_seq>=$2 AND b.first_seq<=$3 ORDER BY b.first_seq
            """, .unsigned(seqs.lowerBound.rawValue), .unsigned(seqs.upperBound.rawValue))
    }

    /// All segments of a conversation, with the blocks up to a seq.
    static func segments(
        of conversation: Int64, upTo last: Seq, _ connection: PostgresConnection
    ) throws -> [WrittenBlocks] {
        // One statement sees one state, although another server may write segments again.
        try written(
            of: conversation, connection,
            """
            SELECT \(columns) FROM segment s
            LEFT JOIN block b ON b.conversation=s.conversation AND b.segment_seq=s.first_seq
            AND b.generation=s.generation AND b.first_seq<=$2
            WHERE s.conversation=$1 AND s.first_seq<=$2+1 ORDER BY s.first_seq,s.generation,b.first_seq
            """, .unsigned(last.rawValue))
    }

    /// - Parameter sql: gives rows of blocks with their segments. `$1` is the conversation.
    private static func written(
        of conversation: Int64, _ connection: PostgresConnection, _ sql: String, _ values: PostgresValue...
    ) throws -> [WrittenBlocks] {
        let rows = try connection.run(sql, all: [.integer(conversation)] + values)
        var written: [WrittenBlocks] = []
        for row in 0..<rows.count {
            guard !rows.isNull(row, 10) else {
                throw StoreError.failed("a block in PostgreSQL is in a segment that has no row")
            }
            let segment = segment(of: conversation, rows, row)
            if written.last?.segment != segment {
                let dictionary = try dictionary(segment.dictionary, connection)
                written.append(
                    WrittenBlocks(segment: segment, newDictionary: dictionary, blocks: [], hashAfter: .zero))
            }
            if rows.isNull(row, 0) { continue }
            written[written.count - 1].blocks.append(BlockRow(conversation: conversation) { rows.integer(row, $0) })
        }
        return written
    }

    private static func segment(of conversation: Int64, _ rows: PostgresRows, _ row: Int) -> SegmentRow {
        SegmentRow(
            conversation: conversation, firstSeq: Seq(rows.unsigned(row, 10)),
            generation: Int(clamping: rows.integer(row, 11)), size: UInt64(clamping: rows.integer(row, 12)),
            dictionary: DictionaryID(bytes: rows.blob(row, 13)) ?? .none, isClosed: rows.integer(row, 14) != 0)
    }

    private static func dictionary(_ id: DictionaryID, _ connection: PostgresConnection) throws -> LogDictionary? {
        let rows = try connection.run("SELECT record FROM dictionary WHERE id=$1", .bytes(id.bytes))
        guard rows.count == 1 else { return nil }
        return try rows.blob(0, 0).withUnsafeBytes { try LogDictionary(decoding: $0) }
    }
}
