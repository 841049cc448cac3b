internal import NatterConversation
internal import NatterSQLite

/// The tables of a server's store: `DIR/store.db`.
enum StoreSchema {
    /// How many steps a file needs to have these. A check does not write, so it meets files of earlier versions.
    static let (lossStep, retiredStep, firstSeqStep, fileStep) = (2, 6, 7, 13)

    static let current = Schema(steps: [
        ArchiveSchema.tables + """
            CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
            CREATE TABLE epoch (run INTEGER PRIMARY KEY, value INTEGER NOT NULL, first_commit INTEGER NOT NULL);
            CREATE TABLE account (
                number INTEGER PRIMARY KEY,
                name TEXT NOT NULL,
                name_key TEXT NOT NULL UNIQUE,
                password TEXT NOT NULL,
                admin INTEGER NOT NULL DEFAULT 0,
                disabled INTEGER NOT NULL DEFAULT 0,
                created INTEGER NOT NULL,
                last_seen INTEGER,
                last_address TEXT
            );
            CREATE TABLE token (
                number INTEGER PRIMARY KEY,
                digest BLOB NOT NULL UNIQUE,
                account INTEGER NOT NULL,
                label TEXT,
                scope TEXT NOT NULL,
                scope_id BLOB,
                created INTEGER NOT NULL,
                expires INTEGER,
                last_used INTEGER,
                last_address TEXT
            );
            CREATE INDEX token_account ON token (account);
            CREATE TABLE conversation (
                number INTEGER PRIMARY KEY,
                id BLOB NOT NULL UNIQUE,
                kind INTEGER NOT NULL,
                name TEXT NOT NULL,
                name_key TEXT NOT NULL,
                is_open INTEGER NOT NULL DEFAULT 0,
                user_a INTEGER,
                user_b INTEGER,
                is_deleted INTEGER NOT NULL DEFAULT 0,
                sealed_seq INTEGER NOT NULL DEFAULT 0,
                sealed_hash BLOB NOT NULL,
                sealed_commit INTEGER NOT NULL DEFAULT 0,
                sealed_time INTEGER
            );
            CREATE UNIQUE INDEX conversation_group ON conversation (name_key) WHERE kind = 1 AND is_deleted = 0;
            CREATE UNIQUE INDEX conversation_personal ON conversation (user_a, user_b) WHERE kind = 2;
            CREATE TABLE membership (
                conversation INTEGER NOT NULL,
                account INTEGER NOT NULL,
                is_admin INTEGER NOT NULL,
                since_commit INTEGER NOT NULL,
                PRIMARY KEY (conversation, account)
            ) WITHOUT ROWID;
            CREATE TABLE batch (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
            CREATE TABLE sent (
                conversation INTEGER NOT NULL,
                sender TEXT NOT NULL,
                count INTEGER NOT NULL,
                PRIMARY KEY (conversation, sender)
            ) WITHOUT ROWID;
            CREATE TABLE read_mark (
                account INTEGER NOT NULL,
                conversation INTEGER NOT NULL,
                seq INTEGER NOT NULL,
                own_before INTEGER NOT NULL,
                PRIMARY KEY (account, conversation)
            ) WITHOUT ROWID;
            -- What has changed for one account, in the order of commits; of each kind only the newest for a conversation.
            CREATE TABLE change (
                account INTEGER NOT NULL,
                conversation INTEGER NOT NULL,
                kind INTEGER NOT NULL,
                commit_number INTEGER NOT NULL,
                data TEXT,
                PRIMARY KEY (account, conversation, kind)
            ) WITHOUT ROWID;
            CREATE INDEX change_commit ON change (account, commit_number);
            CREATE TABLE contact (
                account INTEGER NOT NULL,
                peer INTEGER NOT NULL,
                PRIMARY KEY (account, peer)
            ) WITHOUT ROWID;
            CREATE TABLE block_list (
                account INTEGER NOT NULL,
                peer INTEGER NOT NULL,
                PRIMARY KEY (account, peer)
            ) WITHOUT ROWID;
            CREATE TABLE invite (
                digest BLOB PRIMARY KEY,
                maker TEXT NOT NULL,
                created INTEGER NOT NULL,
                expires INTEGER NOT NULL
            ) WITHOUT ROWID;
            CREATE TABLE audit (
                number INTEGER PRIMARY KEY,
                time INTEGER NOT NULL,
                actor TEXT NOT NULL,
                action TEXT NOT NULL,
                subject TEXT NOT NULL
            );
            """,
        // 2: messages that a repair has found to be lost. Their numbers are never assigned again.
        """
        CREATE TABLE loss (
            conversation INTEGER NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            found INTEGER NOT NULL,
            PRIMARY KEY (conversation, first_seq)
        ) WITHOUT ROWID;
        """,
        // 3: where a session was begun: the host and the program that the client names.
        """
        ALTER TABLE token ADD COLUMN host TEXT;
        ALTER TABLE token ADD COLUMN program TEXT;
        """,
        // 4: who created a group, because accounts may create only so many.
        "ALTER TABLE conversation ADD COLUMN maker INTEGER;",
        // 5: the ids of imported messages and the files that they came from, for as long as the conversation lives.
        """
        CREATE TABLE import_key (
            conversation INTEGER NOT NULL,
            hash INTEGER NOT NULL,
            seq INTEGER NOT NULL,
            content INTEGER NOT NULL,
            PRIMARY KEY (conversation, hash)
        ) WITHOUT ROWID;
        CREATE TABLE import_file (
            conversation INTEGER NOT NULL,
            digest BLOB NOT NULL,
            time INTEGER NOT NULL,
            PRIMARY KEY (conversation, digest)
        ) WITHOUT ROWID;
        """,
        // 6: what was erased, and the commit that readers learn it from.
        RetiredFiles.table + """
            CREATE TABLE erasure (
                conversation INTEGER NOT NULL,
                seq INTEGER NOT NULL,
                hash BLOB NOT NULL,
                commit_number INTEGER NOT NULL,
                PRIMARY KEY (conversation, seq)
            ) WITHOUT ROWID;
            CREATE INDEX erasure_commit ON erasure (conversation, commit_number);
            """,
        // 7: which messages are kept: the lowest seq, the commit that set it, and for how long. Of the messages that are not
        // kept, `sent.dropped` says how many a sender wrote; they stay in `sent.count`.
        """
        ALTER TABLE conversation ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE conversation ADD COLUMN first_commit INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE conversation ADD COLUMN retain_days INTEGER;
        ALTER TABLE sent ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
        """,
        // 8: for whom an erased text never counted as unread: the number of its author's account. From here on, values of `batch`
        // may be compressed, too, and an older natterd can't read them.
        "ALTER TABLE erasure ADD COLUMN author INTEGER;",
        // 9: deletions of erased messages still named their authors. An erasure finds what was imported by its seq.
        """
        CREATE INDEX account_name ON account (name);
        UPDATE relation SET author=coalesce('#'||(SELECT number FROM account
        WHERE name=relation.author AND NOT (disabled AND password='')),'')
        WHERE kind=3 AND author<>'@' AND substr(author,1,1)<>'#' AND EXISTS
        (SELECT 1 FROM erasure WHERE erasure.conversation=relation.conversation AND erasure.seq=relation.about);
        DROP INDEX account_name;
        CREATE INDEX import_key_seq ON import_key (conversation, seq);
        """,
        // 10: a second table of the journal, see `JournalTables`.
        """
        ALTER TABLE batch RENAME TO batch_a;
        CREATE TABLE batch_b (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
        CREATE VIEW batch AS SELECT number,data FROM batch_a UNION ALL SELECT number,data FROM batch_b;
        """,
        // 11: the user who added a member to a group.
        "ALTER TABLE membership ADD COLUMN adder INTEGER;",
        // 12: whether a read mark is where the account came to the conversation; the name that users choose to be shown;
        // what a group is about.
        """
        ALTER TABLE read_mark ADD COLUMN is_start INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE account ADD COLUMN display TEXT;
        ALTER TABLE conversation ADD COLUMN topic TEXT;
        """,
        // 13: the files that messages name.
        FileRows.table,
    ])
}

/// The keys of the table `meta`, whose values describe the store as a whole.
enum MetaKey: String {
    case storeID = "store_id"
    /// The secret of the short hashes of messages' ids.
    case keySecret = "key_secret"
    /// The milliseconds for which one table of message ids is written.
    case keyPeriod = "key_period"
    /// The newest commit that left no row of its own.
    case commit
    /// There only between a proper end and the next start.
    case clean
    /// The stamp of the file whose erasures the database all knows.
    case erasedFile = "erased_file"
    // The highest numbers that were ever given. Rows may have lost what they belong to.
    case highestAccount = "highest_account"
    case highestConversation = "highest_conversation"
    /// The highest number of a token or session, which may have ended: an id names one for ever.
    case highestToken = "highest_token"
}

extension Connection {
    func meta<Value>(
        _ key: MetaKey, read: (borrowing Statement) throws(SQLiteError) -> Value
    ) throws(SQLiteError) -> Value? {
        try row("SELECT value FROM meta WHERE key=?", key.rawValue, read: read)
    }

    func hasMeta(_ key: MetaKey) throws(SQLiteError) -> Bool {
        try hasRow("SELECT 1 FROM meta WHERE key=?", key.rawValue)
    }

    func setMeta(_ key: MetaKey, _ value: any SQLValue) throws(SQLiteError) {
        try run("INSERT OR REPLACE INTO meta VALUES (?,?)", key.rawValue, value)
    }
}
