public import NatterLog
public import NatterModel
public import NatterSQLite

/// One record that is about another: a reply, an edit or a deletion.
public struct Relation: Sendable, Equatable {
    public let about: Seq
    public let kind: MessageKind
    public let seq: Seq
    public let time: Timestamp

    public init(about: Seq, kind: MessageKind, seq: Seq, time: Timestamp) {
        (self.about, self.kind, self.seq, self.time) = (about, kind, seq, time)
    }

    public init?(_ record: Record) {
        guard let about = record.about else { return nil }
        self.init(about: about, kind: record.kind, seq: record.seq, time: record.time)
    }

    /// The relations of all records.
    public static func all(of records: Records) -> [Relation] {
        records.aboutOthers.compactMap { Relation(records[$0]) }
    }
}

/// The queries of the table `relation`. It says which records are about a message, so that a reader of an old message finds
/// its edits without reading what came later.
public enum RelationRows {
    /// - `author` is there for deletions only. It says whose count of unread messages the deleted message did not raise: a
    ///   user's name, `nobody`, or `everyone`; of an erased message the account's number, as `#7`. NULL if that is not known yet.
    static let table = """
        CREATE TABLE relation (
            conversation INTEGER NOT NULL,
            about INTEGER NOT NULL,
            kind INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            time INTEGER NOT NULL,
            author TEXT,
            PRIMARY KEY (conversation, about, kind, seq)
        ) WITHOUT ROWID;
        CREATE INDEX relation_change ON relation (conversation, about, kind, seq) WHERE kind >= 2;
        """

    /// The author of a deleted message that counted for everyone.
    public static let nobody = ""
    /// The author of a deleted message that counted for nobody. It is no user's name.
    public static let everyone = "@"

    public static func insert(
        _ relation: Relation, of conversation: Int64, author: String? = nil, on connection: Connection
    ) throws(SQLiteError) {
        try connection.run(
            "INSERT OR IGNORE INTO relation VALUES (?,?,?,?,?,?)", conversation, relation.about.rawValue,
            Int(relation.kind.rawValue), relation.seq.rawValue,
            relation.time.milliseconds, author)
    }

    public static func insert(
        all records: Records, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) {
        for relation in Relation.all(of: records) { try insert(relation, of: conversation, on: connection) }
    }

    /// The newest edit and the deletion of each message of a range. It steps from message to message, so that the number of edits
    /// costs nothing.
    static func changes(
        _ range: ClosedRange<Seq>, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> [Seq: MessageChanges] {
        var changes: [Seq: MessageChanges] = [:]
        var next = range.lowerBound
        while next <= range.upperBound,
            let about = try firstChanged(next...range.upperBound, of: conversation, on: connection)
        {
            var change = MessageChanges()
            change.isDeleted = try connection.hasRow(
                "SELECT 1 FROM relation WHERE conversation=? AND about=? AND kind=3", conversation, about.rawValue)
            change.newestEdit = try connection.row(
                "SELECT seq,time FROM relation WHERE conversation=? AND about=? AND kind=2 ORDER BY seq DESC LIMIT 1",
                conversation, about.rawValue
            ) { (seq: Seq($0.uint64(0)), time: Timestamp(milliseconds: $0.int64(1))) }
            changes[about] = change
            next = about.next
        }
        return changes
    }

    /// Files are passed over: readers find them behind their texts.
    private static func firstChanged(
        _ range: ClosedRange<Seq>, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> Seq? {
        try connection.row(
            """
            SELECT about FROM relation WHERE conversation=? AND about BETWEEN ? AND ? AND kind >= 2 AND kind < 4
            ORDER BY about LIMIT 1
            """, conversation, range.lowerBound.rawValue, range.upperBound.rawValue
        ) { Seq($0.uint64(0)) }
    }

    /// The relations of the records in some ranges, with the authors of deletions.
    public static func all(
        in ranges: [ClosedRange<Seq>], of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> [(relation: Relation, author: String?)] {
        var found: [(Relation, String?)] = []
        for range in ranges {
            found += try connection.rows(
                "SELECT about,kind,seq,time,author FROM relation WHERE conversation=? AND seq BETWEEN ? AND ?",
                conversation,
                range.lowerBound.rawValue, range.upperBound.rawValue
            ) { row in
                let relation = Relation(
                    about: Seq(row.uint64(0)), kind: MessageKind(rawValue: UInt8(clamping: row.int(1))),
                    seq: Seq(row.uint64(2)), time: Timestamp(milliseconds: row.int64(3)))
                return (relation, row.optionalText(4))
            }
        }
        return found
    }

    /// Whether any message of a conversation was edited or deleted, or has files.
    static func hasChanges(_ conversation: Int64, on connection: Connection) throws(SQLiteError) -> Bool {
        try connection.hasRow("SELECT 1 FROM relation WHERE conversation=? AND kind >= 2 LIMIT 1", conversation)
    }

    /// The conversations that have edits, deletions or files.
    public static func changedConversations(on connection: Connection) throws(SQLiteError) -> [Int64] {
        try connection.rows("SELECT DISTINCT conversation FROM relation WHERE kind >= 2") { $0.int64(0) }
    }

    /// The deleted messages after a seq, lowest first.
    public static func deleted(
        after seq: Seq, in conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> [Seq] {
        try connection.rows(
            "SELECT about FROM relation WHERE conversation=? AND about>? AND kind >= 2 AND kind = 3 ORDER BY about",
            conversation, seq.rawValue
        ) { Seq($0.uint64(0)) }
    }

    /// The records of a kind that are about a message, lowest first.
    public static func seqs(
        of kind: MessageKind, about seq: Seq, in conversation: Int64, limit: Int, on connection: Connection
    ) throws(SQLiteError) -> [Seq] {
        try connection.rows(
            "SELECT seq FROM relation WHERE conversation=? AND about=? AND kind=? ORDER BY seq LIMIT ?",
            conversation, seq.rawValue, Int(kind.rawValue), limit
        ) { Seq($0.uint64(0)) }
    }

    /// The edits of a message, newest first.
    static func edits(
        of seq: Seq, upTo last: Seq, in conversation: Int64, limit: Int, on connection: Connection
    ) throws(SQLiteError) -> [Seq] {
        try connection.rows(
            """
            SELECT seq FROM relation WHERE conversation=? AND about=? AND kind=2 AND seq<=? ORDER BY seq DESC LIMIT ?
            """, conversation, seq.rawValue, last.rawValue, limit
        ) { Seq($0.uint64(0)) }
    }

    /// Whether a range has any record of a file. It is asked for each page, and has an index of its own.
    static func hasFiles(
        in seqs: ClosedRange<Seq>, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> Bool {
        try connection.hasRow(
            "SELECT 1 FROM relation WHERE kind=4 AND conversation=? AND seq BETWEEN ? AND ? LIMIT 1", conversation,
            seqs.lowerBound.rawValue, seqs.upperBound.rawValue)
    }

    /// All deletions of a store, with their authors.
    public static func deletions(
        on connection: Connection
    ) throws(SQLiteError) -> [(conversation: Int64, about: Seq, author: String?)] {
        try connection.rows("SELECT conversation,about,author FROM relation WHERE kind >= 2 AND kind = 3") {
            ($0.int64(0), Seq($0.uint64(1)), $0.optionalText(2))
        }
    }

    public static func setAuthor(
        _ author: String, ofDeleted seq: Seq, in conversation: Int64, on connection: Connection
    ) throws(SQLiteError) {
        try connection.run(
            "UPDATE relation SET author=? WHERE conversation=? AND about=? AND kind=3", author, conversation,
            seq.rawValue)
    }
}

extension LogReader {
    /// The newest edit and the deletion of each message of a range.
    func changes(_ range: ClosedRange<Seq>) throws(SQLiteError) -> [Seq: MessageChanges] {
        try RelationRows.changes(range, of: log.number, on: archive.connection)
    }
}

/// The changes of a message after it was sent.
struct MessageChanges {
    var newestEdit: (seq: Seq, time: Timestamp)?
    var isDeleted = false
}

extension Records {
    /// The author that the table `relation` records if this text is deleted.
    public func author(at index: Int) -> String {
        switch uncounted(at: index) {
        case .nobody: RelationRows.nobody
        case .everyone: RelationRows.everyone
        case .sender: String(decoding: sender(at: index), as: UTF8.self)
        }
    }
}
