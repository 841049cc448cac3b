internal import Glibc
internal import Testing
internal import TestSupport

/// An administrator may do these things to a data directory and mean no harm. Here are those that need a server or a mount.
@Suite("innocent acts of an administrator", .enabled(if: !PostgresCluster.servesTests))
struct InnocentActTests {
    @Test("the directory moved under a server: posts are 503 and say so, and a server at the new place has everything")
    func moved() throws {
        let world = try World(says: "one")
        let moved = world.directory("moved")
        #expect(rename(world.data, moved) == 0)
        try expect(world.alice("send", "two"), 75, "data directory was moved")
        let health = try RawRequest.send("GET", "/healthz", to: world.url)
        #expect(health.status == 503 && health.code == "busy" && health.text.contains("data directory was moved"))
        // The former server keeps a second one out until it ends
        let early = try Daemon.run(["serve", "--data", moved, "--listen", "127.0.0.1:0"], home: world.directory.path)
        #expect(early.code == 75, "\(early)")
        #expect(world.stopServing()?.code == 0)
        let daemon = try Daemon(data: moved)
        defer { daemon.stop() }
        let alice = Person(name: "alice", home: world.directory("alice"), server: daemon.url)
        try alice.sends("three")
        #expect(try alice.texts("log") == ["one", "three"])
    }

    @Test(
        "on a read-only file system, fsck, status, user list and export read everything, the write-ahead log included, or fail",
        .enabled(if: ReadOnlyMount.isAllowed))
    func readOnlyFiles() throws {
        let world = try World(says: "one", "two")
        let program = try Programs.path("natterd")
        func look(_ command: String) throws -> Outcome {
            try ReadOnlyMount.run(in: world.data, "exec '\(program)' --data '\(world.data)' \(command)")
        }
        func expectAll(_ what: String) throws {
            let checked = try look("fsck")
            #expect(checked.code == 0 && checked.errors.isEmpty, "\(what): \(checked)")
            let status = try look("status --json")
            #expect(try status.code == 0 && JSON(parsing: status.output)[int: "messages"] == 2, "\(what): \(status)")
            #expect(try look("user list").lines.count == 3, "\(what)")
            let exported = try look("export general")
            #expect(exported.code == 0 && exported.lines.count == 2 && exported.errors.isEmpty, "\(what): \(exported)")
        }
        // Beside a running server they reach it, or find it in the way
        #expect(try look("status").output.contains("running"))
        // Killed: the messages are in the write-ahead log only
        world.killServer()
        try expectAll("killed")
        // Without its index, SQLite can't read that log there
        let index = world.data + "/store.db-shm"
        let bytes = try #require(Files.bytes(index))
        unlink(index)
        for command in ["fsck", "status", "user list", "export general"] {
            let outcome = try look(command)
            #expect(outcome.code == 74 && isOneLine(outcome.errors) && outcome.output.isEmpty, "\(outcome)")
            #expect(outcome.errors.contains("write-ahead log") && outcome.errors.contains("copy the whole directory"))
        }
        try Files.write(bytes, to: index)
        // A command that writes is refused
        #expect(try look("user disable alice").code == 74)
        // Closed: there is no log
        #expect(try world.natterd("status").code == 0)
        #expect(Files.bytes(world.data + "/store.db-wal") == nil)
        try expectAll("closed")
    }
}

/// A mount that nobody else sees, made by unshare(1).
private enum ReadOnlyMount {
    /// Whether this user may mount at all, which containers often forbid.
    static let isAllowed =
        (try? TemporaryDirectory()).flatMap { try? run(in: $0.path, "! touch '\($0.path)/x'") }?.code == 0

    /// Runs a shell script in which a directory is on a read-only file system.
    static func run(in directory: String, _ script: String) throws -> Outcome {
        let mounting =
            "mount --bind '\(directory)' '\(directory)' && mount -o remount,ro,bind '\(directory)' || exit 126; "
        return try ChildProcess(
            "/usr/bin/unshare", [geteuid() == 0 ? "-m" : "-rm", "/bin/sh", "-c", mounting + script],
            environment: ["HOME": directory, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "SWIFT_BACKTRACE": "enable=no"]
        ).finish()
    }
}
