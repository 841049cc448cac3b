internal import NatterModel

/// The tables of a store in PostgreSQL. Those with rows have the names and columns of `StoreSchema`, because each
/// server copies them.
enum PostgresSchema {
    /// Each step is one transaction. A step that was released never changes.
    static let steps = [
        """
        CREATE TABLE store (one bool PRIMARY KEY DEFAULT true CHECK (one), id bytea NOT NULL, key_secret bytea NOT NULL);
        -- The order of everything. Row n has the chain over the rows up to n. The rows of sealed messages are deleted.
        CREATE TABLE log (
            number bigint PRIMARY KEY, commit_number bigint NOT NULL, node bigint NOT NULL, attempt bigint NOT NULL,
            chain bytea NOT NULL, data bytea NOT NULL);
        ALTER TABLE log ALTER data SET STORAGE EXTERNAL;
        -- The log files of conversations, in the pieces in which they were written.
        CREATE TABLE log_file (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, path text COLLATE "C" NOT NULL UNIQUE);
        CREATE TABLE log_piece (
            file bigint NOT NULL REFERENCES log_file ON DELETE CASCADE, start bigint NOT NULL, node bigint NOT NULL,
            data bytea NOT NULL, PRIMARY KEY (file, start));
        ALTER TABLE log_piece ALTER data SET STORAGE EXTERNAL;
        CREATE TABLE sent_key (
            account bigint NOT NULL, time bigint NOT NULL, hash bigint NOT NULL, conversation bigint NOT NULL,
            seq bigint NOT NULL, content bigint NOT NULL, moved bigint NOT NULL, PRIMARY KEY (account, time, hash));
        CREATE INDEX sent_key_moved ON sent_key USING brin (moved);
        CREATE UNLOGGED TABLE node (
            id bigint PRIMARY KEY, name text NOT NULL, seen timestamptz NOT NULL, read bigint NOT NULL);

        CREATE TABLE meta (key text PRIMARY KEY, value bigint);
        CREATE TABLE epoch (run bigint PRIMARY KEY, value bigint NOT NULL, first_commit bigint NOT NULL);
        CREATE TABLE account (
            number bigint PRIMARY KEY, name text NOT NULL, name_key text NOT NULL UNIQUE, password text NOT NULL,
            admin bigint NOT NULL DEFAULT 0, disabled bigint NOT NULL DEFAULT 0, created bigint NOT NULL,
            last_seen bigint, last_address text);
        CREATE TABLE token (
            number bigint PRIMARY KEY, digest bytea NOT NULL UNIQUE, account bigint NOT NULL, label text,
            scope text NOT NULL, scope_id bytea, created bigint NOT NULL, expires bigint, last_used bigint,
            last_address text, host text, program text);
        CREATE INDEX token_account ON token (account);
        CREATE TABLE conversation (
            number bigint PRIMARY KEY, id bytea NOT NULL UNIQUE, kind bigint NOT NULL, name text NOT NULL,
            name_key text NOT NULL, is_open bigint NOT NULL DEFAULT 0, user_a bigint, user_b bigint,
            is_deleted bigint NOT NULL DEFAULT 0, sealed_seq bigint NOT NULL DEFAULT 0, sealed_hash bytea NOT NULL,
            sealed_commit bigint NOT NULL DEFAULT 0, sealed_time bigint, maker bigint);
        CREATE UNIQUE INDEX conversation_group ON conversation (name_key) WHERE kind = 1 AND is_deleted = 0;
        CREATE UNIQUE INDEX conversation_personal ON conversation (user_a, user_b) WHERE kind = 2;
        CREATE TABLE membership (
            conversation bigint NOT NULL, account bigint NOT NULL, is_admin bigint NOT NULL,
            since_commit bigint NOT NULL, PRIMARY KEY (conversation, account));
        CREATE TABLE sent (
            conversation bigint NOT NULL, sender text NOT NULL, count bigint NOT NULL,
            PRIMARY KEY (conversation, sender));
        CREATE TABLE read_mark (
            account bigint NOT NULL, conversation bigint NOT NULL, seq bigint NOT NULL, own_before bigint NOT NULL,
            PRIMARY KEY (account, conversation));
        CREATE TABLE change (
            account bigint NOT NULL, conversation bigint NOT NULL, kind bigint NOT NULL, commit_number bigint NOT NULL,
            data text, PRIMARY KEY (account, conversation, kind));
        CREATE TABLE contact (account bigint NOT NULL, peer bigint NOT NULL, PRIMARY KEY (account, peer));
        CREATE TABLE block_list (account bigint NOT NULL, peer bigint NOT NULL, PRIMARY KEY (account, peer));
        CREATE TABLE invite (
            digest bytea PRIMARY KEY, maker text NOT NULL, created bigint NOT NULL, expires bigint NOT NULL);
        CREATE TABLE audit (
            number bigint PRIMARY KEY, time bigint NOT NULL, actor text NOT NULL, action text NOT NULL,
            subject text NOT NULL);
        CREATE TABLE loss (
            conversation bigint NOT NULL, first_seq bigint NOT NULL, last_seq bigint NOT NULL, found bigint NOT NULL,
            PRIMARY KEY (conversation, first_seq));
        CREATE TABLE import_key (
            conversation bigint NOT NULL, hash bigint NOT NULL, seq bigint NOT NULL, content bigint NOT NULL,
            PRIMARY KEY (conversation, hash));
        CREATE TABLE import_file (
            conversation bigint NOT NULL, digest bytea NOT NULL, time bigint NOT NULL,
            PRIMARY KEY (conversation, digest));
        CREATE TABLE relation (
            conversation bigint NOT NULL, about bigint NOT NULL, kind bigint NOT NULL, seq bigint NOT NULL,
            time bigint NOT NULL, author text, PRIMARY KEY (conversation, about, kind, seq));
        CREATE TABLE segment (
            conversation bigint NOT NULL, first_seq bigint NOT NULL, generation bigint NOT NULL, size bigint NOT NULL,
            dictionary bytea NOT NULL, closed bigint NOT NULL, PRIMARY KEY (conversation, first_seq, generation));
        CREATE TABLE block (
            conversation bigint NOT NULL, first_seq bigint NOT NULL, count bigint NOT NULL, segment_seq bigint NOT NULL,
            generation bigint NOT NULL, "offset" bigint NOT NULL, length bigint NOT NULL, revision bigint NOT NULL,
            low_time bigint NOT NULL, high_time bigint NOT NULL, last_commit bigint NOT NULL,
            PRIMARY KEY (conversation, first_seq));
        CREATE TABLE dictionary (id bytea PRIMARY KEY, record bytea NOT NULL);
        """,
        // Erased messages, and which messages are kept.
        """
        CREATE TABLE retired (path text PRIMARY KEY);
        CREATE TABLE erasure (
            conversation bigint NOT NULL, seq bigint NOT NULL, hash bytea NOT NULL, commit_number bigint NOT NULL,
            PRIMARY KEY (conversation, seq));
        ALTER TABLE conversation ADD first_seq bigint NOT NULL DEFAULT 1, ADD first_commit bigint NOT NULL DEFAULT 0,
            ADD retain_days bigint;
        ALTER TABLE sent ADD dropped bigint NOT NULL DEFAULT 0;
        """,
        // A copy that is not finished yet.
        "ALTER TABLE store ADD unfinished bool NOT NULL DEFAULT false;",
        // Log files that go: those that a server writes until they are recorded (it is 'node'), and those that were replaced, as
        // soon as all servers have read entry 'number'.
        """
        DROP TABLE retired;
        CREATE TABLE retired (path text COLLATE "C" PRIMARY KEY, node bigint NOT NULL, number bigint);
        """,
        // Wrong passwords of the last minutes, and attempts that still run. A crash may forget them.
        """
        CREATE UNLOGGED TABLE guess (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account bytea NOT NULL, network bytea NOT NULL,
            failed bool NOT NULL DEFAULT false, time timestamptz NOT NULL);
        CREATE INDEX guess_network ON guess (network);
        CREATE INDEX guess_time ON guess (time);
        """,
        // From here on, entries of the log may be compressed, too, and an older natterd can't read them.
        "ALTER TABLE erasure ADD author bigint;",
        // The first entry that was left by the newest trim, which tells whether any are gone from the beginning; and which steps a
        // server knows, because one that does not know this trims without noting it.
        "ALTER TABLE store ADD log_start bigint; ALTER TABLE node ADD step bigint NOT NULL DEFAULT 0;",
        // An erasure finds what was imported by its seq.
        "CREATE INDEX import_key_seq ON import_key (conversation, seq);",
        // The account that added a member to a group.
        "ALTER TABLE membership ADD adder bigint;",
        // Whether a read mark is where the account came to the conversation; the name that users choose to be shown;
        // what a group is about.
        """
        ALTER TABLE read_mark ADD is_start bigint NOT NULL DEFAULT 0;
        ALTER TABLE account ADD display text;
        ALTER TABLE conversation ADD topic text;
        """,
    ]
    /// Servers that know so many steps note where the log begins.
    static let logStartStep = 7
    /// The tables of all steps.
    private static let tables = Set(
        steps.joined().split(separator: "TABLE ").dropFirst().map { String($0.prefix { $0.isLetter || $0 == "_" }) })

    /// Two numbers that name the lock of migrations. There is no table yet whose number could be its name.
    private static let lock = "7117, 0"

    /// Brings the tables up to date. Several servers may do it at the same time.
    static func migrate(_ connection: PostgresConnection) throws {
        try connection.execute("BEGIN; SELECT pg_advisory_xact_lock(\(lock))")
        do {
            // A role that may make no tables can use those of another.
            let hasSteps =
                try connection.run(
                    "SELECT 1 FROM pg_tables WHERE schemaname=current_schema() AND tablename='schema_step'"
                ).count == 1
            if !hasSteps { try connection.execute("CREATE TABLE schema_step (number bigint PRIMARY KEY)") }
            let known = try knownStep(connection)
            for (index, step) in steps.enumerated() where Int64(index) >= known {
                try connection.execute(step)
                try connection.run("INSERT INTO schema_step VALUES ($1)", .integer(Int64(index + 1)))
            }
            try connection.execute("COMMIT")
        } catch {
            try? connection.execute("ROLLBACK")
            throw error
        }
    }

    /// The last step that was taken.
    /// - Throws: `StoreOpenError.newer` if this program does not know it.
    static func knownStep(_ connection: PostgresConnection) throws -> Int64 {
        let step = try connection.run("SELECT coalesce(max(number),0) FROM schema_step").integer(0, 0)
        guard step <= Int64(steps.count) else {
            throw StoreOpenError.newer(
                "the store in PostgreSQL was changed by a newer natterd (step \(step)); this one knows \(steps.count)")
        }
        return step
    }

    /// Refuses a server that would forget what it has acknowledged, or whose clock differs much from ours.
    static func check(_ connection: PostgresConnection, now: () -> Int64) throws {
        if let reason = try forgetfulness(of: connection) { throw StoreOpenError.unfit(reason) }
        let encoding = try connection.run("SELECT current_setting('server_encoding')").text(0, 0)
        guard encoding == "UTF8" else {
            throw StoreOpenError.unfit("the database's encoding is \(encoding); create it with the encoding UTF8")
        }
        let before = now()
        let theirs = try connection.run("SELECT (extract(epoch FROM clock_timestamp())*1000)::bigint").integer(0, 0)
        let after = now()
        guard theirs > before - clockTolerance, theirs < after + clockTolerance else {
            throw StoreOpenError.unfit(
                "the clocks of this machine and of PostgreSQL's are \((theirs - after).magnitude / 1_000) s apart; correct them"
            )
        }
    }

    /// Refuses a store of which a table is gone. Some are asked for only when a user logs in, or a file goes.
    static func requireTables(_ connection: PostgresConnection) throws {
        let missing = try connection.run(
            "SELECT name FROM unnest($1::text::text[]) AS name WHERE to_regclass(name) IS NULL ORDER BY name",
            .array(tables.sorted()))
        guard missing.count > 0 else { return }
        throw StoreOpenError.unfit(
            "PostgreSQL: relation \"\(missing.text(0, 0))\" does not exist; the tables of the store are incomplete, so restore them or name another database"
        )
    }

    /// If one of these is off, PostgreSQL could forget what it has acknowledged.
    private static let durableSettings = ["fsync", "full_page_writes", "synchronous_commit"]
    /// The condition, in SQL, that none of them is off.
    static let remembers = durableSettings.map { "current_setting('\($0)')<>'off'" }.joined(separator: " AND ")

    /// Why PostgreSQL could forget what it has acknowledged; nil if it keeps it.
    static func forgetfulness(of connection: PostgresConnection) throws(PostgresError) -> Phrase? {
        let off = try connection.run(
            """
            SELECT name FROM unnest('{\(durableSettings.joined(separator: ","))}'::text[]) AS name
            WHERE current_setting(name)='off'
            """)
        guard off.count > 0 else { return nil }
        return "'\(off.text(0, 0))' is off in PostgreSQL, so a crash could lose acknowledged messages"
    }

    /// - Throws: as for a database that can't be reached, if PostgreSQL could forget what it has acknowledged.
    static func requireMemory(of connection: PostgresConnection) throws(PostgresError) {
        if let reason = try forgetfulness(of: connection) { throw PostgresError(message: reason.english) }
    }

    /// How many milliseconds the clocks may be apart.
    private static let clockTolerance: Int64 = 5_000
}

extension StoreOpenError {
    /// Why a start, a check or a copy can't use a database.
    init(_ error: PostgresError) {
        self =
            switch error.state {
            case "3F000":
                .unfit(
                    "PostgreSQL: the role can use no schema of its search_path; create one, grant USAGE on it, or name another in the URI"
                )
            case "42P07":
                .unfit("\(error); the schema has tables of another program, so name an empty schema or database")
            case "42501": .unfit("\(error); grant the role the rights that natter-postgresql(7) lists")
            case _ where error.isMisfit:
                .unfit("\(error); the tables of the store are incomplete, so restore them or name another database")
            case _ where error.isLocked:
                .unreachable("another session of PostgreSQL holds a lock that is needed; see its view pg_locks")
            default: .unreachable(error.phrase)
            }
    }
}
