public import NatterModel
internal import NatterSQLite
public import NatterSystem

/// The full-text index of a replica or store. It is a disposable SQLite file that can be rebuilt from the messages at
/// any time. Only one thread may use it at a time.
///
/// It contains words and row numbers, never the text. Messages have consecutive rows. A range (`SearchRange`) records
/// which rows belong to which seqs of a conversation, and the times of its oldest and newest message. Rows are never
/// reused, so dropping a range drops its hits. Each page has a checksum, so damage causes an error (`corrupt`) and
/// never a wrong answer.
public final class SearchIndex {
    /// The indexed seqs of one conversation, without gaps.
    public typealias Coverage = ClosedRange<Seq>

    let connection: Connection
    /// All entries, as of a version of the database.
    private var known: (version: UInt32, entries: [ConversationID: Entry])?
    var path: String { connection.path }

    private init(_ connection: Connection) { self.connection = connection }

    /// Opens the index for the only process that writes it. If the file is damaged, foreign or of another version, it
    /// is deleted with its write-ahead log and replaced by an empty one.
    ///
    /// - Throws: `SearchIndexError.database` if the disk fails.
    public static func openForWriting(path: String, disk: any Disk = PosixDisk()) throws -> SearchIndex {
        do {
            let connection = try connect(path, .writer, disk)
            if try Schema.version(of: connection) == version {
                try checkTables(of: connection)
                return SearchIndex(connection)
            }
            // The file is not ours unless it is an empty database.
            guard try isEmpty(connection) else { throw SQLiteError(reason: .corrupt, message: "foreign", path: path) }
            return try create(in: connection)
        } catch let error as SQLiteError {
            guard case .corrupt = SearchIndexError(error) else { throw SearchIndexError(error) }
        }
        try discard(path: path, disk: disk)
        return try SearchIndexError.translate { try create(in: connect(path, .writer, disk)) }
    }

    /// Opens the index for searching.
    ///
    /// - Returns: nil if no index can be read. Then every message must be scanned.
    public static func openForReading(path: String, disk: any Disk = PosixDisk()) -> SearchIndex? {
        guard let connection = try? connect(path, .reader, disk),
            (try? Schema.version(of: connection)) == version,
            (try? checkTables(of: connection)) != nil,
            // If another process discarded the index between opening the file and its log, the two don't match.
            !connection.fileHasMoved
        else { return nil }
        return SearchIndex(connection)
    }

    /// Deletes the index at `path`. Processes that have it open may continue to read, but should open it again.
    public static func discard(path: String, disk: any Disk = PosixDisk()) throws {
        try disk.removeDatabase(path)
    }

    /// Removes everything, so that nothing of it is left in the files. The index must be open for writing.
    public func empty() throws {
        try SearchIndexError.translate {
            try connection.transaction {
                try connection.execute(
                    "INSERT INTO posting(posting) VALUES('delete-all'); DELETE FROM range; DELETE FROM conversation")
            }
            try connection.checkpoint(.truncating)
        }
    }

    /// The indexed seqs of each conversation.
    public func coverage() throws -> [ConversationID: Coverage] { try SearchIndexError.translate(readCoverage) }

    /// The highest indexed seq of a conversation, or `Seq.zero` if none is indexed.
    public func indexedUpTo(_ conversation: ConversationID) throws -> Seq {
        try SearchIndexError.translate { try entry(of: conversation)?.head ?? .zero }
    }

    /// Shows that a conversation's messages here are those of a log.
    public struct Mark: Sendable, Equatable {
        public let seq: Seq
        /// The first eight bytes of the hash chain after that message.
        public let hashPrefix: UInt64

        public init(seq: Seq, hashPrefix: UInt64) { (self.seq, self.hashPrefix) = (seq, hashPrefix) }
    }

    /// The newest message of a conversation whose hash was noted; nil if there is none. Its seq is zero if messages could not be
    /// read when they were added.
    public func mark(of conversation: ConversationID) throws -> Mark? {
        try SearchIndexError.translate {
            let statement = try connection.statement("SELECT known_seq, known_hash FROM conversation WHERE name = ?1")
            try statement.bind(conversation.bytes)
            guard try statement.step(), !statement.isNull(0), !statement.isNull(1) else { return nil }
            return Mark(seq: Seq(statement.uint64(0)), hashPrefix: statement.uint64(1))
        }
    }

    /// The run of the server that wrote here last; 0 for none.
    public func epoch() throws -> Epoch {
        try SearchIndexError.translate {
            Epoch(rawValue: try connection.row("SELECT epoch FROM next WHERE id = 1") { $0.uint64(0) } ?? 0)
        }
    }

    /// Checkpoints the write-ahead log, and empties its file. A large one makes the next opening slow.
    public func checkpoint() throws {
        try SearchIndexError.translate { try connection.checkpoint(.truncating) }
    }

    /// Runs `body` on one state of the index, even if another process writes meanwhile, so that a search and its
    /// coverage agree. Keep it short, because no checkpoint can pass it.
    public func snapshot<Result>(_ body: () throws -> Result) throws -> Result {
        try SearchIndexError.translate { try onOneState { try SearchIndexError.foreign(body) } }
    }

    func onOneState<Result>(_ body: () throws -> Result) throws -> Result {
        try connection.isIdle ? connection.snapshot(body) : body()
    }
}

extension SearchIndex {
    /// Our own version combined with SQLite's, because SQLite's tables of letters may change with each release.
    static var version: Int { 5 * 10_000_000 + Connection.libraryVersion }

    static let tableOfWords =
        "CREATE VIRTUAL TABLE posting USING fts5(text, content='', columnsize=0, tokenize=\"\(WordTokenizer.setting)\")"

    private static let tables = """
        CREATE TABLE conversation(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, first INTEGER NOT NULL,
            head INTEGER NOT NULL, known_seq INTEGER, known_hash INTEGER);
        CREATE TABLE range(first_row INTEGER PRIMARY KEY, count INTEGER NOT NULL, conversation INTEGER NOT NULL,
            first_seq INTEGER NOT NULL, min_time INTEGER NOT NULL, max_time INTEGER NOT NULL, rises INTEGER NOT NULL);
        CREATE INDEX range_time ON range(max_time, first_row);
        CREATE INDEX range_conversation ON range(conversation, first_seq);
        CREATE TABLE next(id INTEGER PRIMARY KEY, row INTEGER NOT NULL, epoch INTEGER NOT NULL DEFAULT 0);
        INSERT INTO next(id, row) VALUES(1, 1);
        """

    private static func connect(
        _ path: String, _ role: Connection.Role, _ disk: any Disk
    ) throws(SQLiteError) -> Connection {
        try Connection(path: path, role: role, durability: .normal, disk: disk)
    }

    private static func create(in connection: Connection) throws -> SearchIndex {
        try connection.transaction {
            try connection.execute(tableOfWords + ";" + tables + "PRAGMA user_version=\(version)")
        }
        return SearchIndex(connection)
    }

    func entry(of conversation: ConversationID) throws(SQLiteError) -> Entry? {
        try connection.row("SELECT id, head FROM conversation WHERE name = ?1", conversation.bytes) {
            Entry(number: $0.int64(0), head: Seq($0.uint64(1)))
        }
    }

    /// The conversation with a number in this index.
    func name(of number: Int64) throws(SQLiteError) -> ConversationID {
        let bytes = try connection.row("SELECT name FROM conversation WHERE id = ?1", number) { $0.blob(0) }
        guard let name = bytes.flatMap({ ConversationID(bytes: $0) }) else {
            throw SQLiteError(reason: .corrupt, message: "a range of no conversation", path: path)
        }
        return name
    }

    /// A conversation's number in this index, and its highest indexed seq.
    public struct Entry: Sendable {
        let number: Int64
        public let head: Seq
    }

    /// The entry of each of these conversations, in their order; nil for one of which nothing is indexed.
    public func entries(of conversations: [ConversationID]) throws -> [Entry?] {
        try SearchIndexError.translate {
            guard conversations.count > SearchIndex.fewConversations else {
                return try conversations.map { try entry(of: $0) }
            }
            let all = try onOneState(allEntries)
            return conversations.map { all[$0] }
        }
    }

    /// So many conversations are looked up one by one. For more of them, all are read once and kept until the index
    /// changes.
    static let fewConversations = 256

    private func allEntries() throws -> [ConversationID: Entry] {
        let version = try connection.dataVersion()
        if let known, known.version == version { return known.entries }
        var entries: [ConversationID: Entry] = [:]
        let statement = try connection.statement("SELECT name, id, head FROM conversation")
        while try statement.step() {
            guard let id = ConversationID(bytes: statement.blob(0)) else { continue }
            entries[id] = Entry(number: statement.int64(1), head: Seq(statement.uint64(2)))
        }
        known = (version, entries)
        return entries
    }

    private func readCoverage() throws -> [ConversationID: Coverage] {
        var coverage: [ConversationID: Coverage] = [:]
        let statement = try connection.statement("SELECT name, first, head FROM conversation")
        while try statement.step() {
            let (first, head) = (Seq(statement.uint64(1)), Seq(statement.uint64(2)))
            guard let name = ConversationID(bytes: statement.blob(0)), first <= head else {
                throw SQLiteError(reason: .corrupt, message: "a conversation that cannot be", path: path)
            }
            coverage[name] = first...head
        }
        return coverage
    }

    private static func isEmpty(_ connection: Connection) throws(SQLiteError) -> Bool {
        try !connection.hasRow("SELECT 1 FROM sqlite_schema LIMIT 1")
    }

    /// Throws unless the tables can be read.
    private static func checkTables(of connection: Connection) throws(SQLiteError) {
        guard try connection.hasRow("SELECT row FROM next") else {
            throw SQLiteError(reason: .corrupt, message: "the table 'next' is empty", path: connection.path)
        }
        let hits = try connection.statement(SearchIndex.hits)
        hits.reset()
    }
}
