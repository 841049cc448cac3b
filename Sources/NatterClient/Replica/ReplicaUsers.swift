public import NatterModel
internal import NatterSQLite
internal import NatterSystem

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

    /// The users with whom the user has a personal conversation.
    public func correspondents(from start: String, limit: Int) throws(ReplicaError) -> [String] {
        try names(
            """
            SELECT substr(name,2) AS user FROM conversation WHERE gone IS NULL
            AND kind=\(ConversationKind.personal.rawValue)
            AND substr(name,2,length(?1))=?1 COLLATE NOCASE ORDER BY user LIMIT ?2
            """, start, limit)
    }

    private func names(_ sql: String, _ start: String, _ limit: Int) throws(ReplicaError) -> [String] {
        try ReplicaError.translate {
            try connection.rows(sql, start, Int64(limit)) { $0.text(0) }
                .filter { (try? NameRule.checkForm($0)) != nil }
        }
    }
}

/// The list of users as of the last fetch.
public struct ReplicaUsers: Sendable {
    public struct User: Sendable, Equatable {
        public let name: String
        public let isOnline: Bool
        /// nil if the user was never online.
        public let lastSeen: Timestamp?
    }

    /// In the server's order, that of the names' case keys.
    public let users: [User]
    public let fetched: Timestamp

    static let timeKey = "users_fetched"
}

extension Replica {
    /// The time of the last fetch; nil if the list was never fetched.
    public func usersFetched() throws(ReplicaError) -> Timestamp? {
        try ReplicaError.translate {
            try ReplicaMeta.text(ReplicaUsers.timeKey, on: connection).flatMap { Int64($0) }.map {
                Timestamp(milliseconds: $0)
            }
        }
    }

    /// The users; nil if they were never fetched.
    public func users() throws(ReplicaError) -> ReplicaUsers? {
        guard let fetched = try usersFetched() else { return nil }
        return try ReplicaError.translate {
            var users = try connection.rows("SELECT name,online,last_seen FROM user") {
                ReplicaUsers.User(
                    name: $0.text(0), isOnline: $0.bool(1),
                    lastSeen: $0.isNull(2) ? nil : Timestamp(milliseconds: $0.int64(2)))
            }.map { (key: NameRule.caseKey($0.name), user: $0) }
            users.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            return ReplicaUsers(users: users.map(\.user), fetched: fetched)
        }
    }
}
