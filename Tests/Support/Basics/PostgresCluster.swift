internal import Foundation
internal import Glibc

/// A PostgreSQL of its own for tests: a cluster in a temporary directory, reached by a socket there. It runs as an
/// ordinary user, because PostgreSQL refuses root.
package final class PostgresCluster: @unchecked Sendable {
    // Unchecked: only one test at a time stops and starts a cluster, and it has the cluster for itself.
    private let directory: TemporaryDirectory
    private let programs: String
    private var server: ChildProcess?
    private static let all = NSLock()
    nonisolated(unsafe) private static var common: PostgresCluster?
    nonisolated(unsafe) private static var databases = 0

    /// The cluster that the tests of this process share.
    package static func shared() throws -> PostgresCluster {
        all.lock()
        defer { all.unlock() }
        if let common { return common }
        let made = try PostgresCluster()
        common = made
        return made
    }

    package init() throws {
        directory = try TemporaryDirectory()
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        guard let newest = versions.compactMap(Int.init).max() else {
            throw Failure("there is no PostgreSQL in /usr/lib/postgresql; run 'make packages'")
        }
        programs = "/usr/lib/postgresql/\(newest)/bin"
        if geteuid() == 0, let nobody = getpwnam("nobody") {
            chown(directory.path, nobody.pointee.pw_uid, nobody.pointee.pw_gid)
        }
        try run("initdb", ["-D", directory("data"), "-U", "natter", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"])
        try start()
    }

    package func start() throws {
        server = try process(
            "postgres",
            [
                "-D", directory("data"), "-k", directory.path, "-c", "listen_addresses=", "-c", "shared_buffers=16MB",
                "-c", "max_connections=200", "-c", "autovacuum=off",
            ], errors: .end("/dev/null"))
        try waitUntilReady()
    }

    private func waitUntilReady() throws {
        try eventually("PostgreSQL is ready") {
            try process("pg_isready", ["-q", "-h", directory.path]).finish().code == 0
        }
    }

    /// Ends the server: SIGINT as an operator does, SIGQUIT as a crash would.
    package func stop(_ signal: Int32) {
        server?.signal(signal)
        _ = server?.finish()
        server = nil
    }

    /// A new database, empty or a copy of one that nobody uses.
    /// - Returns: its URI.
    package func makeDatabase(copying original: String? = nil) throws -> String {
        PostgresCluster.all.lock()
        PostgresCluster.databases += 1
        let name = "store\(PostgresCluster.databases)"
        PostgresCluster.all.unlock()
        // The name in the URI stands between '///' and '?'.
        let template = original?.split(separator: "/").dropFirst().first?.split(separator: "?").first.map(String.init)
        try run("createdb", ["-h", directory.path, "-U", "natter", "-T", template ?? "template0", name])
        return uri(name)
    }

    /// Whether the servers of tests keep their stores in PostgreSQL this time.
    package static let servesTests = ProcessInfo.processInfo.environment["NATTER_TEST_STORE"] == "postgresql"

    /// The database of a data directory, or nil if tests use files this time. The first call makes it, and notes it in
    /// the directory. A copy of a directory gets a copy of its database.
    package static func database(of directory: String) throws -> String? {
        guard servesTests else { return nil }
        let note = directory + "/database"
        let known = ((try? String(contentsOfFile: note, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
        if known.first == directory, let uri = known.last { return uri }
        let made = try shared().makeDatabase(copying: known.last)
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
        let script = "BEGIN;\nLOCK TABLE \(table);\n\\echo held\nSELECT pg_sleep(600);\n"
        let holder = try process("psql", ["-XAtq", "-d", uri], input: .bytes(Array(script.utf8)))
        guard try holder.line() == "held" else { throw Failure("'\(table)' can't be locked") }
        return holder
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
