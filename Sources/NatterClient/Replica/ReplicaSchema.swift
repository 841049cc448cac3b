internal import NatterArchive
internal import NatterSQLite

/// The tables of a replica: `replica.db`.
enum ReplicaSchema {
    /// `conversation.name` is what the reader calls it; where `head_hash` or `sealed_hash` is NULL, the messages just before
    /// are missing. `max_time` is the highest time of any message. A tail row is a block that stands in no log file yet.
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
            """
    ])
}
