internal import NatterSQLite

/// Single values of the replica's database.
enum ReplicaMeta {
    static func text(_ key: String, on connection: Connection) throws(SQLiteError) -> String? {
        let statement = try connection.statement("SELECT value FROM meta WHERE key=?")
        try statement.bind(key)
        return try statement.step() ? statement.optionalText(0) : nil
    }

    /// A counter; 0 where there is none.
    static func number(_ key: String, on connection: Connection) throws(SQLiteError) -> UInt64 {
        try text(key, on: connection).flatMap { UInt64($0) } ?? 0
    }

    /// - Parameter value: nil removes the key.
    static func set(_ key: String, _ value: String?, on connection: Connection) throws(SQLiteError) {
        guard let value else {
            let statement = try connection.statement("DELETE FROM meta WHERE key=?")
            return try statement.run(key)
        }
        let statement = try connection.statement("INSERT OR REPLACE INTO meta VALUES (?,?)")
        try statement.run(key, value)
    }
}
