public import NatterModel
internal import NatterSQLite
public import NatterSystem
public import NatterProtocol

/// The list of users as of the last fetch.
public struct ReplicaUsers: Sendable {
    public struct User: Sendable, Equatable {
        public let name: String
        public let isOnline: Bool
        /// nil if the user was never online.
        public let lastSeen: Timestamp?
        /// The name that the user chose to be shown.
        public let display: String?
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
            let hasDisplay = try Schema.version(of: connection) >= ReplicaSchema.displayStep
            var users = try connection.rows(
                "SELECT name,online,last_seen,\(hasDisplay ? "display" : "NULL") FROM user"
            ) {
                ReplicaUsers.User(
                    name: $0.text(0), isOnline: $0.bool(1),
                    lastSeen: $0.optionalInt64(2).map { Timestamp(milliseconds: $0) }, display: $0.optionalText(3))
            }.map { (key: NameRule.caseKey($0.name), user: $0) }
            users.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            return ReplicaUsers(users: users.map(\.user), fetched: fetched)
        }
    }

    /// Stores a fetched list of users for times when the server can't be reached. Waits only briefly for another
    /// process, because a missed update does not matter.
    ///
    /// - Parameter users: all users of the server.
    public static func keep(
        _ users: [UserObject], at location: ReplicaLocation, clock: any WallClock
    ) throws(ReplicaError) {
        try ReplicaSession.run(at: location, clock: clock, timeoutMilliseconds: 200) { session in
            var known: [String: ReplicaUsers.User] = [:]
            for user in try session.replica.users()?.users ?? [] { known[user.name] = user }
            try session.commit {
                let insert = try session.connection.statement("INSERT OR REPLACE INTO user VALUES (?,?,?,?)")
                for object in users {
                    let seen = object.lastSeen.flatMap { Timestamp(rfc3339: $0) }
                    let user = ReplicaUsers.User(
                        name: object.name, isOnline: object.online, lastSeen: seen, display: object.display)
                    // Only a few users have changed since the last time.
                    guard known.removeValue(forKey: user.name) != user else { continue }
                    try insert.run(user.name, user.isOnline ? 1 : 0, seen?.milliseconds, user.display)
                }
                let delete = try session.connection.statement("DELETE FROM user WHERE name=?")
                for name in known.keys { try delete.run(name) }
                let now = clock.now().milliseconds
                try ReplicaMeta.set(ReplicaUsers.timeKey, "\(now)", on: session.connection)
            }
        }
    }
}
