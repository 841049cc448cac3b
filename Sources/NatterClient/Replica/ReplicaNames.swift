internal import NatterModel
internal import NatterSQLite

/// Names for the shell's completion. They begin with a word, in any case of its ASCII letters, and are in byte order.
///
/// The names come from a server, and a shell may interpret them. So anything that is not a valid name is left out.
extension Replica {
    /// - Parameter limit: how many names to return at most.
    public func userNames(from start: String, limit: Int) throws(ReplicaError) -> [String] {
        try names(
            "SELECT name FROM user WHERE substr(name,1,length(?1))=?1 COLLATE NOCASE ORDER BY name LIMIT ?2",
            start, limit)
    }

    /// The groups that the user belongs to.
    public func groupNames(from start: String, limit: Int) throws(ReplicaError) -> [String] {
        try names(
            """
            SELECT name FROM conversation WHERE gone IS NULL AND kind=\(ConversationKind.group.rawValue)
            AND substr(name,1,length(?1))=?1 COLLATE NOCASE ORDER BY name LIMIT ?2
            """, start, limit)
    }

    /// The users with whom the user has a personal conversation. Those whom the list of users does not have are gone.
    public func correspondents(from start: String, limit: Int) throws(ReplicaError) -> [String] {
        try names(
            """
            SELECT substr(name,2) AS user FROM conversation WHERE gone IS NULL
            AND kind=\(ConversationKind.personal.rawValue)
            AND substr(name,2,length(?1))=?1 COLLATE NOCASE
            AND (substr(name,2) IN (SELECT name FROM user) OR NOT EXISTS (SELECT 1 FROM user)) ORDER BY user LIMIT ?2
            """, start, limit)
    }

    private func names(_ sql: String, _ start: String, _ limit: Int) throws(ReplicaError) -> [String] {
        try ReplicaError.translate {
            try connection.rows(sql, start, Int64(limit)) { $0.text(0) }
                .filter { (try? NameRule.checkForm($0)) != nil }
        }
    }
}
