internal import Foundation
internal import Glibc

/// A PostgreSQL of its own for tests: a cluster in a temporary directory, reached by a socket there. It runs as an
/// ordinary user, because PostgreSQL refuses root.
package final class PostgresCluster: @unchecked Sendable {
    // Unchecked: only one test at a time stops and starts a cluster, and it has the cluster for itself.
    private let directory: TemporaryDirectory
    private let programs: String
    private var server: ChildProcess?
    private var frozen: [pid_t] = []

    private struct Common: Sendable {
        var cluster: PostgresCluster?
        var databases = 0
        /// The schemas of the shared cluster that no test has taken yet.
        var schemas: [String] = []
    }

    private static let common = Shared(Common())

    /// The cluster that the tests of this process share.
    package static func shared() throws -> PostgresCluster {
        try common.withLock { common in
            if let cluster = common.cluster { return cluster }
            let made = try PostgresCluster()
            common.cluster = made
            return made
        }
    }

    package convenience init() throws {
        try self.init { cluster in
            let words = [
                "-D", cluster.directory("data"), "-U", "natter", "-A", "trust", "-E", "UTF8", "--locale=C", "-N",
            ]
            try cluster.run("initdb", words)
        }
    }

    /// A standby of another cluster, which follows it.
    package convenience init(standbyOf primary: PostgresCluster) throws {
        try self.init { cluster in
            try cluster.run(
                "pg_basebackup",
                [
                    "-D", cluster.directory("data"), "-h", primary.socket, "-U", "natter", "-R", "-X", "stream",
                    "--checkpoint=fast", "--no-sync",
                ])
        }
    }

    private init(_ make: (PostgresCluster) throws -> Void) throws {
        directory = try TemporaryDirectory(in: PostgresCluster.parent)
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        guard let newest = versions.compactMap(Int.init).max() else {
            throw Failure("there is no PostgreSQL in /usr/lib/postgresql; run 'make packages'")
        }
        programs = "/usr/lib/postgresql/\(newest)/bin"
        if geteuid() == 0, let nobody = getpwnam("nobody") {
            chown(directory.path, nobody.pointee.pw_uid, nobody.pointee.pw_gid)
        }
        try make(self)
        try start()
    }

    /// In memory if there is room: hundreds of stores have tens of thousands of files, and every checkpoint would sync them.
    /// Files that a killed server has written stay there.
    private static var parent: String {
        var room = statvfs()
        let isRoomy = statvfs("/dev/shm", &room) == 0 && room.f_bavail >= (2 << 30) / room.f_frsize
        return isRoomy ? "/dev/shm" : "/tmp"
    }

    package func start() throws {
        server = try process(
            "postgres",
            [
                "-D", directory("data"), "-k", directory.path, "-c", "listen_addresses=", "-c", "shared_buffers=16MB",
                "-c", "max_connections=200", "-c", "autovacuum=off", "-c", "max_wal_size=256MB",
            ], errors: .end("/dev/null"))
        try waitUntilReady()
    }

    private func waitUntilReady() throws {
        try eventually("PostgreSQL is ready") {
            try process("pg_isready", ["-q", "-h", directory.path]).finish().code == 0
        }
    }

    /// Where its socket is; in a URI, the host.
    package var socket: String { directory.path }

    /// Waits until a standby has all that its primary has.
    package func catchUp(with primary: PostgresCluster) throws {
        let end = try primary.query("SELECT pg_current_wal_lsn()", in: primary.uri("postgres")).joined()
        try eventually("the standby has everything") {
            try query("SELECT pg_last_wal_replay_lsn()>='\(end)'", in: uri("postgres")) == ["t"]
        }
    }

    /// Makes a standby the primary.
    package func promote() throws { try query("SELECT pg_promote()", in: uri("postgres")) }

    /// Ends the server: SIGINT as an operator does, SIGQUIT as a crash would.
    package func stop(_ signal: Int32) {
        server?.signal(signal)
        _ = server?.finish()
        server = nil
    }

    /// Stops the server's processes without ending them: all, or only the sessions of a database.
    package func freeze(sessionsOf uri: String? = nil) throws {
        let some = uri == nil ? "true" : "datname=current_database()"
        let sessions = try query(
            "SELECT pid FROM pg_stat_activity WHERE pid<>pg_backend_pid() AND \(some)", in: uri ?? self.uri("postgres")
        ).compactMap { pid_t($0) }
        frozen = sessions + (uri == nil ? [server?.id].compactMap { $0 } : [])
        for process in frozen { kill(process, SIGSTOP) }
    }

    /// - Returns: the processes that were frozen.
    @discardableResult
    package func thaw() -> [Int32] {
        defer { frozen = [] }
        for process in frozen { kill(process, SIGCONT) }
        return frozen
    }

    /// A new database, empty or a copy of one that nobody uses.
    /// - Returns: its URI.
    package func makeDatabase(copying original: String? = nil) throws -> String {
        let name = PostgresCluster.common.withLock { common in
            common.databases += 1
            return "store\(common.databases)"
        }
        // The name in the URI stands between '///' and '?'.
        let template = original?.split(separator: "/").dropFirst().first?.split(separator: "?").first.map(String.init)
        try run("createdb", ["-h", directory.path, "-U", "natter", "-T", template ?? "template0", name])
        return uri(name)
    }

    /// An empty schema of the shared cluster. It holds a store as a database does, and costs a hundredth of one.
    /// - Returns: a URI whose search path is the schema.
    package static func makeSchema() throws -> String {
        let cluster = try shared()
        let schema = try common.withLock { common in
            if common.schemas.isEmpty {
                // Many at once, because the start of psql costs more than a schema.
                let first = common.databases + 1
                common.databases += 200
                common.schemas = (first...common.databases).map { "store\($0)" }
                let sql = common.schemas.map { "CREATE SCHEMA \($0)" }.joined(separator: ";")
                try cluster.query(sql, in: cluster.uri("postgres"))
            }
            return common.schemas.removeLast()
        }
        return cluster.uri("postgres") + "&options=-csearch_path%3D\(schema)"
    }

    /// Whether the servers of tests keep their stores in PostgreSQL this time.
    package static let servesTests = ProcessInfo.processInfo.environment["NATTER_TEST_STORE"] == "postgresql"

    /// The store of a data directory, or nil if tests use files this time. The first call makes it, and notes it in the
    /// directory. If it is a whole database, a copy of the directory gets a copy of it.
    package static func store(of directory: String, isDatabase: Bool = false) throws -> String? {
        guard servesTests else { return nil }
        let note = directory + "/database"
        let known = ((try? String(contentsOfFile: note, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
        if known.first == directory, let uri = known.last { return uri }
        let made = isDatabase ? try shared().makeDatabase(copying: known.last) : try makeSchema()
        try "\(directory)\n\(made)\n".write(toFile: note, atomically: true, encoding: .utf8)
        return made
    }

    package func uri(_ name: String) -> String { "postgresql:///\(name)?host=\(directory.path)&user=natter" }

    /// Runs SQL, each statement in a transaction of its own, and returns the lines of the answer.
    @discardableResult
    package func query(_ sql: String, in uri: String) throws -> [String] {
        var words = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", uri]
        for statement in sql.split(separator: ";\n") { words += ["-c", String(statement)] }
        return try run("psql", words).lines
    }

    /// Locks a table until the process is killed and its session ended.
    package func hold(_ table: String, in uri: String) throws -> ChildProcess {
        let holder = try session("BEGIN;\nLOCK TABLE \(table);\n\\echo held\nSELECT pg_sleep(600);\n", in: uri)
        guard try holder.line() == "held" else { throw Failure("'\(table)' can't be locked") }
        return holder
    }

    /// Runs SQL in a session that lasts until the process is killed, and waits for more until then.
    package func session(_ sql: String, in uri: String) throws -> ChildProcess {
        let session = try process("psql", ["-XAtq", "-d", uri], input: .pipe)
        session.type(sql)
        return session
    }

    @discardableResult
    private func run(_ program: String, _ words: [String]) throws -> Outcome {
        let end = try process(program, words).finish()
        guard end.code == 0 else { throw Failure("\(program): \(end.errors)") }
        return end
    }

    private func process(
        _ program: String, _ words: [String], input: ChildProcess.Stream = .nothing,
        errors: ChildProcess.Stream = .pipe
    ) throws -> ChildProcess {
        let environment = ["PATH": "\(programs):/usr/bin:/bin", "LC_ALL": "C", "HOME": directory.path]
        let path = "\(programs)/\(program)"
        guard geteuid() == 0 else {
            return try ChildProcess(path, words, environment: environment, input: input, errors: errors)
        }
        return try ChildProcess(
            "/usr/bin/setpriv", ["--reuid=nobody", "--regid=nogroup", "--clear-groups", path] + words,
            environment: environment, input: input, errors: errors)
    }
}
