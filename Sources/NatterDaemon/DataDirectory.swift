internal import Glibc
internal import NatterCommandLine
internal import NatterStore
internal import NatterSystem

/// The directory that holds all data of a server, and the store in it.
enum DataDirectory {
    /// The path from `--data`, `NATTERD_DATA`, or the state directory that systemd gives a unit. The default is a
    /// directory below the user's data.
    static func path(_ arguments: Arguments, _ console: Console) throws -> String {
        let path = try find(arguments, console)
        try becomeOwner(of: path)
        return path
    }

    /// As root, becomes the owner of another user's data directory before anything there is touched. Files of root would
    /// keep that user's server from its own store. A directory that does not exist yet will be of the owner of the one above.
    static func becomeOwner(of directory: String) throws(CommandFailure) {
        var (place, found) = (Path.absolute(directory), stat())
        guard geteuid() == 0 else { return }
        while stat(place, &found) != 0 {
            guard errno == ENOENT, place != "/" else { return }
            place = Path.directory(of: place)
        }
        guard found.st_uid != 0 else { return }
        let group = getpwuid(found.st_uid).map(\.pointee.pw_gid) ?? found.st_gid
        guard setgroups(0, nil) == 0, setgid(group) == 0, setuid(found.st_uid) == 0 else {
            throw CommandFailure(
                .refused, code: "not_allowed",
                "'\(place)' belongs to the user \(found.st_uid); run this command as that user")
        }
    }

    /// Whether `find` has chosen the packaged directory, which it could not again as that directory's owner.
    private static let isPackaged = Monitor(false)

    private static func find(_ arguments: Arguments, _ console: Console) throws -> String {
        let environment = console.environment
        if let given = arguments.value("data") {
            guard !given.isEmpty else { throw arguments.error("--data takes a directory, not an empty word") }
            return trimmed(given)
        }
        if let path = try environment.path("NATTERD_DATA") { return trimmed(path) }
        // systemd separates several directories by colons. Use the first one.
        if let state = environment["STATE_DIRECTORY"]?.split(separator: ":").first { return trimmed(String(state)) }
        if isPackaged.withLock({ $0 }) { return packaged }
        let own = trimmed(try environment.dataHome()) + "/natterd"
        // Root usually means the server of the package, whose unit has this directory.
        guard geteuid() == 0, own != packaged, try !isUsed(own), try isUsed(packaged) else { return own }
        isPackaged.signal { $0 = true }
        if console.errors.isTerminal { console.note("using the data directory '\(packaged)'") }
        return packaged
    }

    /// The state directory of `natterd.service`.
    private static let packaged = "/var/lib/natterd"

    /// Whether a directory has a store, or settings that name one in PostgreSQL.
    private static func isUsed(_ directory: String) throws -> Bool {
        if try Store.exists(in: directory) { return true }
        return try ServeSettings.file(in: directory, skipsMalformed: true)?.entries.contains { $0.key == "store" }
            ?? false
    }

    /// Whether there is a store. One in PostgreSQL is made by its first use.
    static func hasStore(_ arguments: Arguments, _ console: Console) throws -> Bool {
        if try sharedStore(arguments, console) != nil { return true }
        return try Store.exists(in: try path(arguments, console))
    }

    /// The path without slashes at the end.
    static func trimmed(_ path: String) -> String {
        var path = path
        while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// The absolute path, for a process with another working directory.
    static func absolute(_ path: String) -> String {
        Path.absolute(trimmed(path))
    }

    /// Refuses a directory without a store: a mistyped name would look like a store in which all is well.
    ///
    /// - Parameter option: the one that names the directory.
    static func requireStore(in directory: String, by option: String = "--data") throws(CommandFailure) {
        let exists: Bool
        do throws(DiskError) { exists = try Store.exists(in: directory) } catch {
            throw CommandFailure(unreadable: error)
        }
        guard !exists else { return }
        throw CommandFailure(
            .noInput, code: "no_store", "no store in '\(directory)'; name the directory of the store with \(option)")
    }

    /// The value of `--store` or `NATTERD_STORE`.
    static func namedStore(_ arguments: Arguments, _ console: Console) -> String? {
        arguments.value("store") ?? console.environment["NATTERD_STORE"]
    }

    /// The store in PostgreSQL from `--store`, `NATTERD_STORE` or the file of settings in the data directory; nil if the
    /// store is in the directory itself.
    static func sharedStore(_ arguments: Arguments, _ console: Console) throws -> SharedStore? {
        if let given = namedStore(arguments, console) { return try SharedStore(given) }
        // A caller that needs the other settings, too, reads them itself and reports their mistakes.
        guard let file = try ServeSettings.file(in: try path(arguments, console), skipsMalformed: true),
            let entry = file.entries.last(where: { $0.key == "store" })
        else { return nil }
        do throws(StoreOpenError) { return try SharedStore(entry.value) } catch {
            throw file.error(entry, error.phrase)
        }
    }

    /// Refuses a command that is about files, if the store is in PostgreSQL.
    static func requireFiles(_ arguments: Arguments, _ console: Console) throws {
        if try sharedStore(arguments, console) != nil || Store.isCache(path(arguments, console)) { throw notFiles }
    }

    static var notFiles: CommandFailure {
        CommandFailure(
            .usage, code: "usage", "this store is in PostgreSQL, whose own tools do this; see natter-postgresql(7)")
    }

    /// Opens the store for a command while no server runs, with the limits of `natterd.conf`. Reports of recovery go to standard error.
    ///
    /// - Parameter onlyReads: whether the command can do with a store that is on a read-only file system.
    static func openStore(_ arguments: Arguments, _ console: Console, onlyReads: Bool = false) throws -> Store {
        let notes = Monitor(console)
        var options = Store.Options()
        options.report = { line in notes.withLock { $0.note(line) } }
        let directory = try path(arguments, console)
        let shared = try sharedStore(arguments, console)
        // On a full disk it opens by the room that a server has kept. It keeps none in a store that has had no server.
        options.keepsReserve = Store.hasReserve(in: directory)
        // A command does what the server would do for it.
        let settings = try ServeSettings.ofStore(in: directory)
        options.idRetentionDays = settings.retentionDays
        let store =
            try shared.map { try Store.open($0, cache: directory, clock: console.clock, options: options) }
            ?? (onlyReads && Path.isReadOnly(directory)
                ? Store.look(at: directory, clock: console.clock, options: options)
                : Store.open(directory, clock: console.clock, options: options))
        store.use(settings.limits)
        store.use(settings.retention)
        return store
    }
}
