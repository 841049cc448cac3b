internal import NatterLog
internal import NatterModel

/// Removes from PostgreSQL what messages that were erased or dropped have left.
///
/// A log file that was replaced stays until all servers that are alive have read of it. A file that a dead server wrote and
/// never recorded goes, too: messages are in the log until their blocks are recorded, so it is never the only copy.
struct PostgresSweeper {
    let connection: PostgresConnection
    /// This server.
    let node: Int64

    /// A server that says nothing for so long counts as dead. If it wakes, it finds out when it records its blocks.
    private static let alive = "SELECT id FROM node WHERE \(isAlive)"
    /// A server that was seen in the future was seen while PostgreSQL's clock was wrong.
    static let isAlive = "abs(extract(epoch FROM clock_timestamp()-seen))<60"
    /// The files that go. One that the index has never does, whatever the table says.
    private static let gone = """
        SELECT path FROM retired f WHERE CASE
        WHEN number IS NULL THEN node=$1 OR node NOT IN (\(alive))
        ELSE number<=(SELECT min(read) FROM node WHERE id IN (\(alive))) END
        AND NOT EXISTS (SELECT 1 FROM \(segments) WHERE \(isOfSegment))
        """
    /// Files that were noted as new although another server has recorded them: both planned the same, and this one was slower.
    private static let recorded = """
        SELECT path FROM retired f JOIN (\(segments)) ON \(isOfSegment) WHERE f.number IS NULL
        """
    static let segments = "conversation c JOIN segment s ON s.conversation=c.number"
    static let isOfSegment = """
        c.id=decode(split_part(f.path,'/',2),'hex')
        AND split_part(f.path,'/',3)=lpad(to_hex(s.first_seq),16,'0')||'-'||lpad(to_hex(s.generation),4,'0')||'.log'
        """
    /// Pieces of dead servers that are behind the recorded end of their file, or in a file that is not recorded.
    private static let strays = """
        log_file f JOIN log_piece p ON p.file=f.id LEFT JOIN (\(segments)) ON \(isOfSegment)
        WHERE p.node<>0 AND p.node NOT IN (\(alive)) AND p.start>=coalesce(s.size,0)
        AND NOT EXISTS (SELECT 1 FROM retired r WHERE r.path=f.path)
        """

    /// The files that a check must find in the index: those that do not go, and that no server is writing.
    static func settledFiles(_ connection: PostgresConnection) throws(PostgresError) -> [String] {
        let rows = try connection.run(
            """
            SELECT f.path FROM log_file f WHERE NOT EXISTS (SELECT 1 FROM retired r WHERE r.path=f.path)
            AND EXISTS (SELECT 1 FROM log_piece p WHERE p.file=f.id)
            AND NOT EXISTS (SELECT 1 FROM log_piece p WHERE p.file=f.id AND p.node IN (\(alive)))
            """)
        return (0..<rows.count).map { rows.text($0, 0) }
    }

    /// Names files that this server is about to write.
    ///
    /// - Throws: `StoreError.busy` if another server that is alive is about to do so, or has done so.
    func note(_ paths: [String]) throws {
        let noted = try connection.run(
            """
            INSERT INTO retired AS known (path,node) SELECT given.path,$2 FROM unnest($1::text::text[]) AS given(path)
            WHERE NOT EXISTS (SELECT 1 FROM log_file f WHERE f.path=given.path)
            ON CONFLICT (path) DO UPDATE SET node=excluded.node
            WHERE known.number IS NULL AND (known.node=excluded.node OR known.node NOT IN (\(Self.alive)))
            RETURNING path
            """, .array(paths.map { PostgresDisk.logName($0) }), .integer(node))
        guard noted.count == Set(paths).count else { throw StoreError.busy }
    }

    /// Takes away the hash of content of those ids that have left the log.
    func forgetContent(of seqs: Set<Seq>, in conversation: Int64) throws {
        try connection.run(
            "UPDATE sent_key SET content=$1 WHERE conversation=$2 AND content<>$1 AND seq=ANY($3::text::bigint[])",
            .unsigned(FoundKey.erasedContent), .integer(conversation),
            .array(seqs.map { "\($0.rawValue)" }))
    }

    /// Forgets a part of the keys that were stored before a time.
    /// - Returns: whether all are forgotten.
    func forgetKeys(before time: Timestamp, limit: Int64 = 100_000) throws -> Bool {
        let gone = try connection.run(
            """
            WITH gone AS (
                DELETE FROM sent_key WHERE ctid=ANY(ARRAY(SELECT ctid FROM sent_key WHERE moved<$1 LIMIT $2)) RETURNING 1)
            SELECT count(*) FROM gone
            """, .integer(time.milliseconds), .integer(limit))
        return gone.integer(0, 0) < limit
    }

    /// - Parameter conversations: those whose strays go now. Those of all others go when a server is found dead.
    func sweep(_ conversations: [ConversationID]) throws {
        let dead = try connection.run("SELECT id FROM node WHERE id NOT IN (\(Self.alive))")
        let hasRetired = try connection.run("SELECT EXISTS (SELECT 1 FROM retired)").integer(0, 0) != 0
        guard hasRetired || dead.count > 0 || !conversations.isEmpty else { return }
        // Before the lock is taken: among many files, this takes long.
        let files = try filesWithStrays(dead.count > 0 ? nil : conversations)
        // With the lock of the log, so that nobody records meanwhile what is removed here.
        do {
            try connection.execute("BEGIN; SELECT pg_advisory_xact_lock(\(PostgresLog.lock))")
            try connection.execute("DELETE FROM retired WHERE path IN (\(Self.recorded))")
            try connection.run("DELETE FROM log_file WHERE path IN (\(Self.gone))", .integer(node))
            try connection.run(
                """
                DELETE FROM retired r WHERE path IN (\(Self.gone))
                AND NOT EXISTS (SELECT 1 FROM log_file l WHERE l.path=r.path)
                """, .integer(node))
            if !files.isEmpty { try removeStrays(of: files) }
            if dead.count > 0 {
                try connection.run(
                    "DELETE FROM node WHERE id NOT IN (\(Self.alive)) AND id=ANY($1::text::bigint[])",
                    .array((0..<dead.count).map { "\(dead.integer($0, 0))" }))
            }
            try connection.execute("COMMIT")
        } catch {
            try? connection.execute("ROLLBACK")
            throw error
        }
    }

    /// - Parameter conversations: nil for all.
    private func filesWithStrays(_ conversations: [ConversationID]?) throws(PostgresError) -> [String] {
        let ranges = conversations?.map { PostgresDisk.logName(Segment.directory(of: $0)) }.map { ($0 + "/", $0 + "0") }
        var files: [String] = []
        for (first, end) in ranges ?? [("", "g")] {
            let found = try connection.run(
                "SELECT DISTINCT f.path FROM \(Self.strays) AND f.path>=$1 AND f.path<$2", .text(first), .text(end))
            files += (0..<found.count).map { found.text($0, 0) }
        }
        return files
    }

    private func removeStrays(of files: [String]) throws(PostgresError) {
        try connection.run(
            """
            WITH stray AS (SELECT p.file, p.start FROM \(Self.strays) AND f.path=ANY($1::text::text[])),
            removed AS (
                DELETE FROM log_piece p USING stray WHERE p.file=stray.file AND p.start=stray.start RETURNING p.file)
            DELETE FROM log_file f WHERE f.id IN (SELECT file FROM removed)
            AND NOT EXISTS (
                SELECT 1 FROM log_piece p WHERE p.file=f.id AND (p.file,p.start) NOT IN (SELECT file,start FROM stray))
            """, .array(files))
    }
}
