internal import NatterSQLite
internal import NatterModel

/// Names for a shell to offer: those that begin with a word, whatever the case of its ASCII letters, in byte order.
///
/// They came from a server, and a shell is no place for surprises: what can be no name is left out.
extension Replica {
    /// - Parameter limit: how many at most; a list that is longer helps nobody.
    public func userNames(from start: String, limit: Int) throws(ReplicaError) -> [String] {
        try names(
            "SELECT name FROM user WHERE substr(name,1,length(?1))=?1 COLLATE NOCASE ORDER BY name LIMIT ?2",
            start, limit)
    }

    /// Of the groups that one belongs to.
    public func groupNames(from start: String, limit: Int) throws(ReplicaError) -> [String] {
        try names(
            """
            SELECT name FROM conversation WHERE gone IS NULL AND kind=\(ConversationKind.group.rawValue)
            AND substr(name,1,length(?1))=?1 COLLATE NOCASE ORDER BY name LIMIT ?2
            """, start, limit)
    }

    /// Of the users with whom one has a personal conversation.
    public func correspondents(from start: String, limit: Int) throws(ReplicaError) -> [String] {
        try names(
            """
            SELECT substr(name,2) AS user FROM conversation WHERE gone IS NULL
            AND kind=\(ConversationKind.personal.rawValue)
            AND substr(name,2,length(?1))=?1 COLLATE NOCASE ORDER BY user LIMIT ?2
            """, start, limit)
    }

    private func names(_ sql: String, _ start: String, _ limit: Int) throws(ReplicaError) -> [String] {
        do {
            let rows = try connection.statement(sql)
            try rows.bind(start, Int64(limit))
            var names: [String] = []
            while try rows.step() {
                let name = rows.text(0)
                if (try? NameRule.check(name)) != nil { names.append(name) }
            }
            return names
        } catch {
            throw ReplicaError(error)
        }
    }
}
