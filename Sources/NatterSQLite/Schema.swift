internal import NatterModel

/// A database's schema as numbered steps. `PRAGMA user_version` counts the steps that were applied to a file. The
/// missing steps are applied in one transaction, so a file is never between two steps.
public struct Schema: Sendable {
    public let steps: [String]

    /// - Parameter steps: SQL, oldest first. Append steps, but never change a published one.
    public init(steps: [String]) { self.steps = steps }

    /// Applies the missing steps to the file.
    ///
    /// - Throws: `newerSchema` if a newer natter migrated the file.
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

    /// Checks the schema for connections that only read. This program must know it.
    ///
    /// - Returns: how many steps were applied to the file.
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
        try connection.row("PRAGMA user_version") { max(0, $0.int(0)) } ?? 0
    }
}
