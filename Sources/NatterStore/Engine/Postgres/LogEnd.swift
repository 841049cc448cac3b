internal import NatterLanguage
internal import NatterPostgres

/// Finds out whether the last entries of the log are gone. Nothing in the entries that are left would show it.
enum LogEnd {
    /// The newest commit of each table whose rows have that of the entry that wrote them. The log's last row is never trimmed.
    private static let commits = [
        "SELECT max(first_commit) FROM epoch", "SELECT max(sealed_commit) FROM conversation",
        "SELECT max(since_commit) FROM membership", "SELECT max(commit_number) FROM change",
        "SELECT max(commit_number) FROM erasure",
    ]

    /// Tells which entries are missing; nil if none are known to be.
    static func missing(_ connection: PostgresConnection) throws(PostgresError) -> Phrase? {
        let rows = try connection.run(
            """
            SELECT number, coalesce(greatest((SELECT max(read) FROM node), (SELECT max(number) FROM retired)),0),
            commit_number, coalesce(greatest(\(commits.map { "(\($0))" }.joined(separator: ","))),0), node
            FROM log ORDER BY number DESC LIMIT 1
            """)
        guard rows.count == 1 else { return nil }
        let (last, read) = (rows.integer(0, 0), rows.integer(0, 1))
        if read > last {
            return "entries \(last + 1) to \(read) are missing at its end, although a server has read them"
        }
        let (commit, known) = (rows.integer(0, 2), rows.integer(0, 3))
        // In a store that was copied from files and that no server has begun yet, only messages are in the log. One whose log was
        // cut down to its first row looks the same.
        guard known > commit, rows.integer(0, 4) != 0 else { return nil }
        return "entries are missing at its end: its last commit is \(commit), but tables have rows of commit \(known)"
    }
}
