internal import NatterConversation
internal import NatterSQLite

/// The tables of a replica: `replica.db`.
enum ReplicaSchema {
    /// `conversation.name` is the reader's name for it. If `head_hash` or `sealed_hash` is NULL, the messages just
    /// before are missing. `max_time` is the highest time of any message. A tail row is a block that is not in a log
    /// file yet.
    static let current = Schema(steps: [
        ArchiveSchema.tables + """
            CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
            CREATE TABLE conversation (
                number INTEGER PRIMARY KEY,
                id BLOB NOT NULL UNIQUE,
                kind INTEGER NOT NULL,
                name TEXT NOT NULL,
                first INTEGER NOT NULL DEFAULT 1,
                head INTEGER NOT NULL DEFAULT 0,
                head_hash BLOB,
                sealed_seq INTEGER NOT NULL DEFAULT 0,
                sealed_hash BLOB,
                server_head INTEGER NOT NULL DEFAULT 0,
                server_hash BLOB,
                read INTEGER NOT NULL DEFAULT 0,
                unread INTEGER NOT NULL DEFAULT 0,
                gone TEXT,
                max_time INTEGER NOT NULL DEFAULT 0,
                tail_bytes INTEGER NOT NULL DEFAULT 0,
                gap_count INTEGER NOT NULL DEFAULT 0
            );
            CREATE INDEX conversation_name ON conversation (name);
            CREATE TABLE tail (
                conversation INTEGER NOT NULL,
                first_seq INTEGER NOT NULL,
                count INTEGER NOT NULL,
                low_time INTEGER NOT NULL,
                high_time INTEGER NOT NULL,
                data BLOB NOT NULL,
                PRIMARY KEY (conversation, first_seq)
            ) WITHOUT ROWID;
            CREATE TABLE gap (
                conversation INTEGER NOT NULL,
                from_seq INTEGER NOT NULL,
                to_seq INTEGER NOT NULL,
                PRIMARY KEY (conversation, from_seq)
            ) WITHOUT ROWID;
            CREATE TABLE user (name TEXT PRIMARY KEY, online INTEGER NOT NULL, last_seen INTEGER) WITHOUT ROWID;
            """,
        // The lowest seq that the server keeps.
        RetiredFiles.table + "ALTER TABLE conversation ADD COLUMN server_first INTEGER NOT NULL DEFAULT 1;",
        // Texts of the user that were erased. Their records do not say any more whose they were.
        """
        CREATE TABLE own_erased (
            conversation INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            PRIMARY KEY (conversation, seq)
        ) WITHOUT ROWID;
        """,
        // The names that users choose to be shown, and what groups are about.
        "ALTER TABLE user ADD COLUMN display TEXT; ALTER TABLE conversation ADD COLUMN topic TEXT;",
        // The files of messages that were fetched.
        FileRows.table,
    ])
    /// How many steps a file needs to have the table `own_erased`, and the columns `display` and `topic`, and the table `file`.
    static let (ownErasedStep, displayStep, filesStep) = (3, 4, 5)
}

/// Single values of the replica's database.
enum ReplicaMeta {
    static func text(_ key: String, on connection: Connection) throws(SQLiteError) -> String? {
        try connection.row("SELECT value FROM meta WHERE key=?", key) { $0.optionalText(0) } ?? nil
    }

    /// A counter; 0 if it is not stored.
    static func number(_ key: String, on connection: Connection) throws(SQLiteError) -> UInt64 {
        try text(key, on: connection).flatMap { UInt64($0) } ?? 0
    }

    /// - Parameter value: nil removes the key.
    static func set(_ key: String, _ value: String?, on connection: Connection) throws(SQLiteError) {
        guard let value else {
            return try connection.run("DELETE FROM meta WHERE key=?", key)
        }
        try connection.run("INSERT OR REPLACE INTO meta VALUES (?,?)", key, value)
    }
}
