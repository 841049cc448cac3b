internal import NatterLanguage

/// A database's schema as numbered steps. `PRAGMA user_version` says how many of them a file has seen; what is missing is
/// done in one transaction, so a file is always at one step or another, never between.
public struct Schema: Sendable {
    public let steps: [String]

    /// - Parameter steps: SQL, from the first ever to the newest. Old ones are never changed, only added to.
    public init(steps: [String]) { self.steps = steps }

    /// Brings the file up to date.
    ///
    /// - Throws: `newerSchema` if a newer natter has been here.
    public func migrate(_ connection: Connection) throws {
        let version = try Schema.version(of: connection)
        guard version < steps.count else {
            try check(connection)
            return
        }
        try connection.transaction {
            for step in steps[version...] { try connection.execute(step) }
            try connection.execute("PRAGMA user_version=\(steps.count)")
        }
    }

    /// For connections that only read: the schema must be one that this program knows.
    ///
    /// - Returns: how many steps the file has seen.
    @discardableResult
    public func check(_ connection: Connection) throws -> Int {
        let version = try Schema.version(of: connection)
        guard version <= steps.count else {
            throw SQLiteError(
                reason: .newerSchema, message: "schema \(version), this program knows \(steps.count)",
                path: connection.path)
        }
        return version
    }

    public static func version(of connection: Connection) throws(SQLiteError) -> Int {
        let statement = try connection.statement("PRAGMA user_version")
        return try statement.step() ? max(0, statement.int(0)) : 0
    }
}
