internal import NatterSQLite
internal import NatterModel
public import NatterSystem
public import NatterWire

extension Replica {
    /// Stores a fetched list of users for times when the server can't be reached. Waits only briefly for another
    /// process, because a missed update does not matter.
    ///
    /// - Parameter users: all users of the server.
    public static func keep(
        _ users: [UserObject], at location: ReplicaLocation, disk: any Disk = PosixDisk(),
        clock: any WallClock = SystemClock()
    ) throws(ReplicaError) {
        try ReplicaSession.run(at: location, disk: disk, clock: clock, timeoutMilliseconds: 200) { session in
            var known: [String: ReplicaUsers.User] = [:]
            for user in try session.replica.users()?.users ?? [] { known[user.name] = user }
            try session.commit {
                let insert = try session.connection.statement("INSERT OR REPLACE INTO user VALUES (?,?,?)")
                for object in users {
                    let seen = object.lastSeen.flatMap { Timestamp(rfc3339: $0) }
                    let user = ReplicaUsers.User(name: object.name, isOnline: object.online, lastSeen: seen)
                    // Only a few users have changed since the last time.
                    guard known.removeValue(forKey: user.name) != user else { continue }
                    try insert.run(user.name, user.isOnline ? 1 : 0, seen?.milliseconds)
                }
                let delete = try session.connection.statement("DELETE FROM user WHERE name=?")
                for name in known.keys { try delete.run(name) }
                let now = clock.now().milliseconds
                try ReplicaMeta.set(ReplicaUsers.timeKey, "\(now)", on: session.connection)
            }
        }
    }
}
