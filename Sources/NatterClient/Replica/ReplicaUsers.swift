internal import NatterSQLite
public import NatterModel
internal import NatterSystem

/// The list of users as it was last fetched.
public struct ReplicaUsers: Sendable {
    public struct User: Sendable, Equatable {
        public let name: String
        public let isOnline: Bool
        /// nil for one who was never seen.
        public let lastSeen: Timestamp?

        public init(name: String, isOnline: Bool, lastSeen: Timestamp?) {
            (self.name, self.isOnline, self.lastSeen) = (name, isOnline, lastSeen)
        }
    }

    /// In the order of their names, byte by byte.
    public let users: [User]
    public let fetched: Timestamp

    static let timeKey = "users_fetched"
}

extension Replica {
    /// When the list of users was fetched; nil if it never was.
    public func usersFetched() throws(ReplicaError) -> Timestamp? {
        do {
            return try ReplicaMeta.text(ReplicaUsers.timeKey, on: connection).flatMap { Int64($0) }.map {
                Timestamp(milliseconds: $0)
            }
        } catch {
            throw ReplicaError(error)
        }
    }

    /// The users; nil if they were never fetched.
    public func users() throws(ReplicaError) -> ReplicaUsers? {
        guard let fetched = try usersFetched() else { return nil }
        do {
            let rows = try connection.statement("SELECT name,online,last_seen FROM user ORDER BY name")
            var users: [ReplicaUsers.User] = []
            while try rows.step() {
                users.append(
                    ReplicaUsers.User(
                        name: rows.text(0), isOnline: rows.bool(1),
                        lastSeen: rows.isNull(2) ? nil : Timestamp(milliseconds: rows.int64(2))))
            }
            return ReplicaUsers(users: users, fetched: fetched)
        } catch {
            throw ReplicaError(error)
        }
    }
}
