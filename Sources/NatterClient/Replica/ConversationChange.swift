internal import NatterConversation
internal import NatterSystem
internal import NatterSQLite
internal import NatterLog
internal import NatterModel

/// A conversation that a session is changing: its row, and what has changed since, to be recorded in one transaction.
///
/// The tail reaches from the message after `sealedSeq` to the head and has no gap, so it is sealed before a gap is recorded.
final class ConversationChange {
    let number: Int64
    let id: ConversationID
    private(set) var isNew: Bool
    var kind: ConversationKind
    var name: String
    var first = Seq(1)
    var head = Seq.zero
    var headHash: Digest?
    var sealedSeq = Seq.zero
    var sealedHash: Digest?
    /// The lowest seq that the server keeps.
    var serverFirst = Seq(1)
    var serverHead = Seq.zero
    var serverHash: Digest?
    var read = Seq.zero
    var unread: UInt64 = 0
    /// What a group is about.
    var topic: String?
    var gone: String?
    var maxTime = Timestamp.range.lowerBound
    /// The approximate uncompressed size of the tail in bytes.
    var tailBytes = 0

    /// Whether the end of the log files was compared with the database.
    var isRecovered = false
    /// Whether what killed processes have left was removed, because it may hold erased texts.
    var isWiped = false
    /// Whether nothing more is added, because it diverged or must be fetched again.
    var isClosed = false
    var lastSegment: SegmentRow?
    /// Blocks that will be written to the log unchanged. They already count as sealed.
    var waiting: [Block] = []
    /// Blocks in log files that are not recorded yet, in order.
    var written: [WrittenBlocks] = []
    /// Segments whose rows change, recorded after `written`.
    var segmentUpdates: [SegmentRow] = []
    /// Whether the tail's rows in the database no longer belong to the tail.
    var dropsStoredTail = false
    var newTail: [TailRow] = []
    var newGaps: [ClosedRange<Seq>] = []
    /// Records that are about others.
    var newRelations: [Relation] = []
    /// The head up to which new messages are in the report.
    private var reportedHead = Seq.zero
    /// The name and the reason for being gone in the database; nil for a new conversation.
    private var stored: (name: String, gone: String?)?

    init(new number: Int64, _ id: ConversationID, _ kind: ConversationKind, _ name: String) {
        (self.number, self.id, self.kind, self.name, isNew) = (number, id, kind, name, true)
        headHash = HashChain.start(of: id)
        sealedHash = headHash
    }

    private static let columns = """
        number,id,kind,name,first,head,head_hash,sealed_seq,sealed_hash,server_head,server_hash,read,unread,gone,max_time,
        tail_bytes,server_first,topic
        """

    static func find(_ id: ConversationID, on connection: Connection) throws(SQLiteError) -> ConversationChange? {
        try connection.row("SELECT \(columns) FROM conversation WHERE id=?", id.bytes) {
            ConversationChange($0, id: id)
        } ?? nil
    }

    private init?(_ row: borrowing Statement, id: ConversationID) {
        number = row.int64(0)
        self.id = id
        isNew = false
        kind = ConversationKind(rawValue: UInt8(truncatingIfNeeded: row.int64(2))) ?? .group
        name = row.text(3)
        first = Seq(row.uint64(4))
        head = Seq(row.uint64(5))
        reportedHead = head
        headHash = Digest(bytes: row.blob(6))
        sealedSeq = Seq(row.uint64(7))
        sealedHash = Digest(bytes: row.blob(8))
        serverHead = Seq(row.uint64(9))
        serverHash = Digest(bytes: row.blob(10))
        read = Seq(row.uint64(11))
        unread = row.uint64(12)
        gone = row.optionalText(13)
        stored = (name, gone)
        maxTime = Timestamp(milliseconds: row.int64(14))
        // It is only compared, and an index that was damaged may have any number.
        tailBytes = max(0, min(row.int(15), 1 << 40))
        serverFirst = Seq(row.uint64(16))
        topic = row.optionalText(17)
    }

    var hasTail: Bool { head > sealedSeq }
    /// Whether this changes which groups the user is in, or their names.
    var changesGroups: Bool { kind == .group && (stored.map { $0.name != name || $0.gone != gone } ?? true) }
    /// How many new messages were not reported yet.
    var newCount: Int {
        newGaps.reduce(head.distance(after: max(reportedHead, first.previous))) {
            $0 - ($1.lowerBound > reportedHead ? $1.upperBound.distance(after: $1.lowerBound.previous) : 0)
        }
    }

    func didReport() { reportedHead = head }

    func identity(for user: String) -> ConversationIdentity {
        ReplicaConversation.identity(number: number, id: id, kind: kind, name: name, user: user)
    }

    /// The rows of the tail after this change.
    func tailRows(on connection: Connection) throws(SQLiteError) -> [TailRow] {
        (dropsStoredTail ? [] : try TailRow.all(of: number, on: connection)) + newTail
    }

    /// Adds blocks that were written to a log file.
    func add(_ blocks: WrittenBlocks) {
        written.append(blocks)
        lastSegment = blocks.segment
    }

    /// Lets nothing be appended to the last file: the blocks of one file must be consecutive.
    func closeLastSegment() {
        guard var segment = lastSegment, !segment.isClosed else { return }
        segment.isClosed = true
        lastSegment = segment
        segmentUpdates.append(segment)
    }

    /// Moves the head over missing messages. The chain there is unknown.
    func skip(to seq: Seq) { (head, headHash, sealedSeq, sealedHash) = (seq, nil, seq, nil) }

    /// Drops the tail, both stored and new rows.
    func dropTail() { (dropsStoredTail, newTail, tailBytes) = (true, [], 0) }

    /// Moves the head; `isSealed` if the messages are in a log file or wait to be written to one.
    func advance(to seq: Seq, hash: Digest, highTime: Timestamp, isSealed: Bool) {
        (head, headHash) = (seq, hash)
        maxTime = max(maxTime, highTime)
        if isSealed { (sealedSeq, sealedHash) = (seq, hash) }
    }

    // MARK: Recording

    /// Writes all changes. Call inside a transaction.
    func record(on connection: Connection) throws(SQLiteError) {
        if isNew {
            try connection.run(
                "INSERT INTO conversation (number,id,kind,name) VALUES (?,?,?,?)", number, id.bytes, Int(kind.rawValue),
                name)
        }
        for blocks in written { try blocks.record(on: connection) }
        for segment in segmentUpdates { try ArchiveRows.put(segment, on: connection) }
        if dropsStoredTail { try connection.run("DELETE FROM tail WHERE conversation=?", number) }
        for row in newTail { try row.insert(on: connection) }
        for gap in newGaps { try record(gap, on: connection) }
        for relation in newRelations { try RelationRows.insert(relation, of: number, on: connection) }
        try connection.run(
            """
            UPDATE conversation SET kind=?,name=?,first=?,head=?,head_hash=?,sealed_seq=?,sealed_hash=?,server_head=?,
            server_hash=?,read=?,unread=?,gone=?,max_time=?,tail_bytes=?,server_first=?,topic=?
            WHERE number=?
            """, Int(kind.rawValue), name, first.rawValue, head.rawValue, headHash?.bytes, sealedSeq.rawValue,
            sealedHash?.bytes, serverHead.rawValue, serverHash?.bytes, read.rawValue, unread, gone,
            maxTime.milliseconds, tailBytes, serverFirst.rawValue, topic, number)
    }

    /// Forgets the changes, which are recorded now.
    func didRecord() {
        (isNew, dropsStoredTail, stored) = (false, false, (name, gone))
        (written, segmentUpdates, newTail, newGaps, newRelations) = ([], [], [], [], [])
    }

    private func record(_ gap: ClosedRange<Seq>, on connection: Connection) throws(SQLiteError) {
        try connection.run(
            "UPDATE gap SET to_seq=? WHERE conversation=? AND to_seq=?", gap.upperBound.rawValue, number,
            gap.lowerBound.previous.rawValue)
        if connection.changedRows == 0 {
            try connection.run(
                "INSERT INTO gap VALUES (?,?,?)", number, gap.lowerBound.rawValue, gap.upperBound.rawValue)
        }
        try ConversationChange.countGaps(of: number, on: connection)
    }

    static func countGaps(of number: Int64, on connection: Connection) throws(SQLiteError) {
        try connection.run(
            "UPDATE conversation SET gap_count=(SELECT count(*) FROM gap WHERE conversation=?) WHERE number=?", number,
            number)
    }

    /// Removes every row of a conversation. Call inside a transaction.
    static func erase(_ number: Int64, on connection: Connection) throws(SQLiteError) {
        try FileRows.retire(.zero...Seq(UInt64(Int64.max)), of: number, on: connection)
        for table in ["tail", "gap", "block", "segment", "relation", "own_erased"] {
            try connection.statement("DELETE FROM \(table) WHERE conversation=?").run(number)
        }
        try connection.run("DELETE FROM conversation WHERE number=?", number)
    }
}
