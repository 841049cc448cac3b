public import NatterModel
internal import NatterSQLite
public import NatterSystem

/// The name of a store in PostgreSQL.
public struct SharedStore: Sendable, Equatable {
    let target: PostgresTarget
    /// As it was given. It has no password.
    public var uri: String { target.text }

    fileprivate init(target: PostgresTarget) { self.target = target }

    /// Where a server keeps what it has of the store, its hooks among it, below its data directory.
    public static func cache(in directory: String) -> String { PostgresEngine.cache(in: directory) }

    private static func checkDirectory(_ directory: String) -> String { directory + "/check" }

    /// Removes what a check has left that was killed: rows with texts that may be erased since.
    fileprivate static func removeCopy(ofCheckIn directory: String) {
        try? PosixDisk().removeDatabase(Store.databasePath(PostgresEngine.cache(in: checkDirectory(directory))))
    }

    /// - Parameter text: a URI of libpq, such as `postgresql://db.example.org/natter`, without a password.
    /// - Throws: `StoreOpenError.malformed`.
    public init(_ text: String) throws(StoreOpenError) {
        do throws(PostgresTarget.Malformed) { target = try PostgresTarget(text) } catch {
            throw .malformed(error.phrase)
        }
    }

    /// Checks the log, all rows and all log files in PostgreSQL, while servers use them. Changes nothing, except that it counts
    /// as a server meanwhile.
    ///
    /// - Parameters:
    ///   - directory: where to keep a copy of the rows meanwhile.
    ///   - progress: called after each file. An error of it ends the check.
    ///   - visit: gets each damage as it is found.
    public func check(
        in directory: String, progress: @escaping (StoreProgress) throws -> Void = { _ in },
        _ visit: @escaping (StoreDamage) -> Void
    ) throws -> StoreCheck.Summary {
        let engine = try PostgresEngine(target, cache: SharedStore.checkDirectory(directory), options: Store.Options())
        defer { engine.closeAndDiscard() }
        let (files, missing): (Set<String>, Phrase?)
        do { (files, missing) = try engine.loadForCheck() } catch StoreOpenError.damaged(let problem) {
            // Without the log there are no rows to check the files against.
            visit(SharedStore.damage(problem))
            return StoreCheck.Summary(damages: 1)
        }
        // The check reads a copy that is gone afterwards, so damages name PostgreSQL instead.
        let (copy, above) = (Store.databasePath(engine.directory), engine.directory + "/")
        func name(_ path: String) -> String {
            path == copy ? "PostgreSQL" : path.hasPrefix(above + "logs/") ? String(path.dropFirst(above.count)) : path
        }
        if let missing { visit(SharedStore.damage(missing)) }
        var summary = try StoreCheck.check(
            engine.directory, files: files, disk: engine.disk, name: name, progress: progress, visit)
        summary.damages += missing == nil ? 0 : 1
        return summary
    }

    private static func damage(_ problem: Phrase) -> StoreDamage {
        var damage = StoreDamage(file: "log", problem: problem)
        damage.invariant = .sharedLogIsWhole
        return damage
    }
}

extension Store {
    /// Opens a store in PostgreSQL, which several servers may share. A new database gets an empty store.
    ///
    /// - Parameter cache: a directory of this server alone, for what can be made again.
    /// - Throws: `StoreOpenError`.
    public static func open(
        _ shared: SharedStore, cache: String, clock: any WallClock = SystemClock(), options: Options = Options()
    ) throws -> Store {
        let store = try open(
            PostgresEngine(shared.target, cache: cache, options: options), clock: clock, options: options)
        // Removes the files that a killed check or server has left.
        SharedStore.removeCopy(ofCheckIn: store.directory)
        store.sealer.requestSweep()
        return store
    }

    /// The store in PostgreSQL that this is; nil for a store of files.
    var sharedStore: SharedStore? { (engine as? PostgresEngine).map { SharedStore(target: $0.target) } }

    /// Whether a server whose store is in PostgreSQL has used a directory that has no store of files.
    public static func isCache(_ directory: String) throws(DiskError) -> Bool {
        if try exists(in: directory) { return false }
        return try PosixDisk().information(databasePath(PostgresEngine.cache(in: directory))) != nil
    }

    /// - Throws: `StoreOpenError.unfit` for such a directory. Messages meant for its server would be in no chat.
    public static func requireNoCache(_ directory: String) throws {
        guard try isCache(directory) else { return }
        throw StoreOpenError.unfit(
            "the server of '\(directory)' has its store in PostgreSQL; name that with --store or NATTERD_STORE, or remove '\(PostgresEngine.cache(in: directory))' if there is none any more"
        )
    }

    /// The servers that share the store; empty for a store of files.
    public func nodes() throws(StoreError) -> [StoreNode] {
        do { return try (engine as? PostgresEngine)?.nodes() ?? [] } catch { throw StoreError(error) }
    }
}

/// A server of a shared store.
public struct StoreNode: Sendable, Equatable {
    public let name: String
    public let isThis: Bool
    public let seen: Timestamp
    /// How many entries of the log it has not read yet.
    public let entriesBehind: Int64

    static func all(_ connection: PostgresConnection, this node: Int64) throws(PostgresError) -> [StoreNode] {
        let rows = try connection.run(
            """
            SELECT id,name,(extract(epoch FROM seen)*1000)::bigint,(SELECT max(number) FROM log)-read FROM node
            WHERE \(PostgresSweeper.isAlive) ORDER BY name,id
            """)
        return (0..<rows.count).map { row in
            StoreNode(
                name: rows.text(row, 1), isThis: rows.integer(row, 0) == node,
                seen: Timestamp(milliseconds: rows.integer(row, 2)), entriesBehind: max(0, rows.integer(row, 3)))
        }
    }
}
