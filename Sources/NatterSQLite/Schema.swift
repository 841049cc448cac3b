internal import NatterLanguage

/// A database's schema as numbered steps. `PRAGMA user_version` counts the steps that were applied to a file. The
/// missing steps are applied in one transaction, so a file is never between two steps.
public struct Schema: Sendable {
    private let steps: [String]
    /// The highest `user_version` of files that were made before the first release. They are refused.
    private let unreleased: Int
    /// The `user_version` of a file that has all steps.
    public var version: Int { unreleased + steps.count }

    /// - Parameters:
    ///   - steps: SQL, oldest first. Append steps, but never change a published one.
    ///   - unreleased: how many steps versions before the first release had.
    public init(steps: [String], after unreleased: Int = 0) { (self.steps, self.unreleased) = (steps, unreleased) }

    /// Applies the missing steps to the file.
    ///
    /// - Throws: `newerSchema` if a newer natter migrated the file; `earlierSchema`.
    public func migrate(_ connection: Connection) throws {
        let known = try check(connection)
        guard known < version else { return }
        try connection.transaction {
            for step in steps.dropFirst(max(0, known - unreleased)) { try connection.execute(step) }
            try connection.execute("PRAGMA user_version=\(version)")
        }
    }

    /// Checks the schema for connections that only read. This program must know it.
    ///
    /// - Returns: the file's `user_version`; 0 if no step was applied yet.
    @discardableResult
    public func check(_ connection: Connection) throws -> Int {
        let found = try Schema.version(of: connection)
        guard found == 0 || found > unreleased, found <= version else {
            throw SQLiteError(
                reason: found > version ? .newerSchema : .earlierSchema,
                message: "schema \(found), this program knows \(version)", path: connection.path)
        }
        return found
    }

    public static func version(of connection: Connection) throws(SQLiteError) -> Int {
        try connection.row("PRAGMA user_version") { max(0, $0.int(0)) } ?? 0
    }
}
