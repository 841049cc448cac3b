internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// The operator's commands, with a server on the directory and without one.
@Suite("natterd user, clients, status, and the socket")
struct OperateTests {
    /// Does the same twice: in a world whose server runs, and in one where none does.
    private func inBoth(_ body: (World) throws -> Void) throws {
        for isServing in [true, false] { try body(World(isServing: isServing)) }
    }

    /// With a server for as long as `body` runs, at least.
    private func serving(_ world: World, afterwards: Bool, _ body: () throws -> Void) throws {
        if world.daemon == nil { try world.serve() }
        try body()
        if !afterwards { world.stopServing() }
    }

    private let secret = ChildProcess.Stream.bytes(Array("a new password\nanother line\n".utf8))

    @Test("without a terminal, as in cron, success is silent; on one it is told, unless --quiet is given")
    func silence() throws {
        let world = try World(says: "one", "two")
        let backup = world.directory("backup")
        // PostgreSQL has tools of its own for a backup.
        let own = PostgresCluster.servesTests ? [] : [["backup", backup]]
        for words in own + [
            ["retain", "general", "90d"], ["fsck"], ["user", "disable", "carol"],
            ["erase", "general", "9999", "--quiet"], ["serve", "--check"],
        ] {
            let outcome = try world.natterd(words)
            let isRefused = words[0] == "erase"
            #expect(
                outcome.code == (isRefused ? 67 : 0) && outcome.bytes.isEmpty && outcome.errors.isEmpty != isRefused,
                "\(words): \(outcome)")
        }
        let data = ["--data", world.data, "--yes"]
        func shown(_ words: String...) throws -> String {
            try Screen.show(world.alice, data + words, program: "natterd").text
        }
        #expect(try shown("retain", "general", "80d") == "natterd: 'general' keeps messages: 80d\n")
        #expect(try shown("retain", "general", "70d", "-q") == "")
        #expect(try shown("fsck").contains("; no damage"))
        // Every command prints errors as objects.
        let error = try world.natterd("import", "general", "/nonexistent", "--json").errors
        #expect(try JSON(parsing: error)[object: "error"]?[int: "exit"] == 66)
    }

    @Test("user add makes an account that can log in; --admin makes an admin; invalid names are refused")
    func add() throws {
        try inBoth { world throws in
            let added = try world.natterd("user", "add", "dora", "--password-stdin", input: secret)
            #expect(added.code == 0 && added.bytes.isEmpty && added.errors.isEmpty)
            let file = try world.directory.write("password", "from a file\n")
            let admin = try world.natterd("user", "add", "Café", "--admin", "--password-file", file, "--json")
            let object = try #require(try admin.objects().first)
            #expect(admin.code == 0 && object[string: "name"] == "Café" && object[bool: "admin"] == true)
            for (words, code, input) in [
                (["DORA"], Int32(65), secret), (["a b"], 65, secret), (["me"], 65, secret), (["x,y"], 65, secret),
                (["short"], 65, .bytes(Array("seven77\n".utf8))), (["empty"], 65, .bytes([])),
                (["nofile", "--password-file", world.directory("nix")], 66, .nothing),
                (["nobody"], 64, .nothing), ([], 64, secret), (["one", "two"], 64, secret),
            ] {
                let how = input.isNothing ? [] : ["--password-stdin"]
                let outcome = try world.natterd(["user", "add"] + words + how, input: input)
                #expect(outcome.code == code && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(words)")
            }
            if world.daemon == nil { try world.serve() }
            let dora = world.person("dora")
            #expect(try dora.run(["login", "dora", "--password-stdin"], input: secret).code == 0)
            try dora.sends("hello")
            let list = try world.natterd("user", "list", "--json").objects()
            #expect(list.compactMap { $0[string: "name"] } == ["alice", "bob", "Café", "carol", "dora"])
            #expect(list.filter { $0[bool: "admin"] == true }.count == 1)
        }
    }

    @Test("user list has a line for each account, by name; clients lists recent clients, newest first")
    func lists() throws {
        let world = try World()
        _ = try world.natterd("user", "add", "zoe", "--password-stdin", input: secret)
        try world.bob.sends("one")
        usleep(5_000)
        try world.alice.sends("two")
        let running = try world.natterd("clients", "--json")
        #expect(try running.objects().prefix(2).map { $0[string: "name"] } == ["alice", "bob"])
        // Also of who has only registered.
        #expect(try running.objects().count > 2)
        #expect(try running.objects().allSatisfy { $0[string: "address"] == "127.0.0.1" })
        #expect(try running.objects().allSatisfy { $0[string: "name"] != "zoe" })
        let table = try world.natterd("clients")
        let first = try #require(table.lines.first)
        #expect(first.wholeMatch(of: /alice\ +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z +127\.0\.0\.1/) != nil)
        #expect(table.errors.isEmpty)
        let users = try world.natterd("user", "list")
        world.stopServing()
        // The server wrote its state at the end.
        #expect(try world.natterd("clients").bytes == table.bytes)
        #expect(users.lines.map { $0.prefix { $0 != " " } } == ["alice", "bob", "carol", "zoe"])
        #expect(try world.natterd("user", "list").lines.count == 4)
    }

    @Test("user passwd and disable end all sessions, enable brings none back; an unknown user is 67")
    func sessions() throws {
        try inBoth { world throws in
            let isServing = world.daemon != nil
            #expect(try world.natterd("user", "passwd", "alice", "--password-stdin", input: secret).code == 0)
            try serving(world, afterwards: isServing) { () throws in
                #expect(try world.alice("whoami").code == 77)
                let old = ChildProcess.Stream.bytes(Array("\(World.password)\n".utf8))
                #expect(try world.alice.run(["login", "alice", "--password-stdin"], input: old).code == 77)
                #expect(try world.alice.run(["login", "alice", "--password-stdin"], input: secret).code == 0)
            }
            #expect(try world.natterd("user", "disable", "ALICE").code == 0)
            try serving(world, afterwards: isServing) { () throws in
                #expect(try world.alice("whoami").code == 77)
                #expect(try world.alice.run(["login", "alice", "--password-stdin"], input: secret).code == 77)
            }
            #expect(try world.natterd("user", "enable", "alice").code == 0)
            try serving(world, afterwards: isServing) { () throws in
                #expect(try world.alice("whoami").code == 77)
                #expect(try world.alice.run(["login", "alice", "--password-stdin"], input: secret).code == 0)
                #expect(try world.bob("whoami").code == 0)
            }
            for command in ["disable", "enable", "promote", "demote"] {
                let outcome = try world.natterd("user", command, "nobody")
                #expect(outcome.code == 67 && isOneLine(outcome.errors) && outcome.errors.contains("'nobody'"))
            }
            #expect(try world.natterd("user", "passwd", "nobody", "--password-stdin", input: secret).code == 67)
        }
    }

    @Test("promote and demote: an admin's rights, and the audit trail")
    func admins() throws {
        let world = try World()
        let token = try #require(Files.text("\(world.alice.natterSettings)/profiles/default/token"))
            .trimmingCharacters(in: .newlines)
        func log() throws -> Answer {
            try RawRequest.send(
                "GET", "/v1/admin/audit", to: world.url, token: token, headers: ["Accept: application/x-ndjson"])
        }
        #expect(try log().status == 403)
        #expect(try world.natterd("user", "promote", "alice").code == 0)
        #expect(try log().status == 200)
        #expect(try world.natterd("user", "demote", "alice").code == 0)
        #expect(try log().status == 403)
        #expect(try world.natterd("retain", "general", "90d", "--yes").code == 0)
        world.stopServing()
        #expect(try world.natterd("user", "promote", "alice").code == 0)
        #expect(try world.natterd("export", "general").code == 0)
        let line = #"{"ts":1700000000000,"sender":"old","text":"x"}"# + "\n"
        for options in [["--dry-run"], []] {
            #expect(
                try world.natterd(["import"] + options + ["general", "-"], input: .bytes(Array(line.utf8))).code == 0)
        }
        try world.serve()
        let entries = try log().text.split(separator: "\n").map { try JSON(parsing: String($0)) }
        #expect(
            entries.map { $0[string: "action"] } == [
                "imported", "exported", "user_promoted", "retention_set", "user_demoted", "user_promoted",
            ])
        #expect(entries.allSatisfy { $0[string: "actor"] == "operator (uid \(getuid()))" })
        #expect(
            entries.map { $0[string: "subject"] } == [
                "general 1-1", "general", "alice", "general 90d", "alice", "alice",
            ])
    }

    @Test("status: with a server its process, address and age; without one what the store holds; 0 for both")
    func status() throws {
        let world = try World()
        try world.alice.sends("one", "two")
        let running = try world.natterd("status", "--json")
        let object = try #require(try running.objects().first)
        #expect(running.code == 0 && running.lines.count == 1 && running.errors.isEmpty)
        #expect(object[bool: "running"] == true)
        let server = try #require(object[object: "server"])
        #expect(server[int: "pid"] == world.daemon.map { Int($0.process.id) })
        #expect(server[string: "address"] == world.url)
        #expect(server[string: "since"]?.hasSuffix("Z") == true && server[int: "waiting"] == 0)
        #expect(server[string: "registration"] == "open" && server.hasNull("certificate_expires"))
        let human = try world.natterd("status")
        #expect(human.code == 0 && human.output.contains("running") && human.output.contains(world.url))
        world.stopServing()
        let stopped = try world.natterd("status", "--json")
        let after = try #require(try stopped.objects().first)
        #expect(stopped.code == 0 && after[bool: "running"] == false && after.hasNull("server"))
        for found in [object, after] {
            #expect(found[object: "users"]?[int: "all"] == 3 && found[object: "users"]?[int: "admins"] == 0)
            #expect(found[int: "messages"] == 2 && found[int: "conversations"] == 1)
            #expect(found[string: "directory"] == URL(filePath: world.store).resolvingSymlinksInPath().path)
            #expect(found.hasNull("failure") && found[object: "bytes"]?[int: "free"] ?? 0 > 0)
        }
        #expect(object[string: "store"] == after[string: "store"])
        #expect(try world.natterd("status").output.contains("not running"))
    }

    @Test(
        "status: logs that are missing are a problem, with a server and without",
        .enabled(if: !PostgresCluster.servesTests, "PostgreSQL holds the logs"))
    func missingLogs() throws {
        let world = try World()
        try world.importGeneral(
            (1...200).map { JSON.line(ts: 1_700_000_000_000 + $0, sender: "a", text: "x") }.joined())
        world.stopServing()
        try FileManager.default.removeItem(atPath: world.data + "/logs")
        func problem() throws -> JSON? {
            try world.natterd("status", "--json").objects().first?[objects: "problems"].first
        }
        let alone = try #require(try problem())
        #expect(alone[string: "kind"] == "logs" && alone[string: "message"]?.contains("natterd fsck") == true)
        try world.serve()
        #expect(try problem()?[string: "message"] == alone[string: "message"])
        #expect(try world.natterd("status").output.contains("natterd fsck"))
    }

    @Test("natterd.conf limits what is kept without a server, too; an error in it is 78 and names the line")
    func limitsOfTheFile() throws {
        let world = try World(isServing: false)
        // A command needs no certificate, although a server on this address does.
        try world.directory.write("data/natterd.conf", "listen = 0.0.0.0:0\nretain = 90d\nsession-idle = never\n")
        for isServing in [false, true] {
            if isServing { try world.serve() }
            let refused = try world.natterd("retain", "general", "400d")
            #expect(refused.code == 77 && isOneLine(refused.errors), "\(refused)")
            #expect(try world.natterd("retain", "general", "60d").code == 0)
        }
        world.stopServing()
        try world.directory.write("data/natterd.conf", "session-idle = never\nretain = soon\n")
        let wrong = try world.natterd("user", "list")
        #expect(wrong.code == 78 && isOneLine(wrong.errors) && wrong.errors.contains("line 2"), "\(wrong)")
    }

    @Test("a server that does not answer: each command ends with 75 and says so, and all is well when it goes on")
    func hangingServer() throws {
        let world = try World()
        let daemon = try #require(world.daemon)
        daemon.process.freeze()
        // They wait at the same time, because each waits for ten seconds.
        let commands = try [["status"], ["clients"], ["user", "list"], ["export", "general"]].map {
            try world.start($0)
        }
        for command in commands {
            let outcome = command.finish()
            #expect(outcome.code == 75 && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(outcome)")
            #expect(outcome.errors.contains("does not answer"))
        }
        daemon.process.signal(SIGCONT)
        #expect(try world.natterd("status", "--json").objects().first?[bool: "running"] == true)
    }

    @Test("export and import say the same with a server and without, and sent messages are there at once")
    func bulk() throws {
        let lines = (1...500).map { JSON.line(ts: $0, sender: "x", text: "message \($0)") }.joined()
        let world = try World()
        #expect(
            try world.natterd("import", "--old", "general", "-", "--json", input: .bytes(Array(lines.utf8))).code == 0)
        try world.alice.sends("after it", "\u{1B}[2J")
        let running = try world.natterd("export", "general")
        #expect(running.code == 0 && running.lines.count == 502 && running.errors.isEmpty)
        let bad = try world.natterd("import", "--old", "general", "-", input: .bytes(Array("\(lines)nonsense\n".utf8)))
        #expect(bad.code == 65 && isOneLine(bad.errors) && bad.errors.contains("standard input, line 501"))
        #expect(try world.natterd("export", "nowhere").code == 67)
        #expect(try world.natterd("import", "--old", "@alice,@bob", "-", input: .bytes(Array(lines.utf8))).code == 65)
        let full = try world.start(["export", "general"], output: .path("/dev/full")).finish()
        #expect(full.code == 74 && isOneLine(full.errors))
        #expect(try world.bob.texts("log").count == 502)
        world.stopServing()
        #expect(try world.natterd("export", "general").bytes == running.bytes)
        #expect(try world.natterd("fsck").code == 0)
    }

    @Test("an admin of the server gives an imported group its members and its first admin, and reads nothing of it")
    func importedGroup() throws {
        let world = try World()
        let line = JSON.line(ts: 1, sender: "x", text: "long ago")
        #expect(try world.natterd("import", "--old", "archive", "-", input: .bytes(Array(line.utf8))).code == 0)
        #expect(try world.alice("group", "add", "archive", "bob").code == 67)
        #expect(try world.natterd("user", "promote", "alice").code == 0)
        let added = try world.alice("group", "add", "archive", "bob")
        #expect(added.code == 0, "\(added.errors)")
        #expect(try world.alice("group", "members", "archive").lines.count == 1)
        #expect(try world.alice("log", "archive").code == 67)
        #expect(try world.alice("send", "-c", "archive", "x").code == 67)
        #expect(try world.bob.texts("log", "archive").first == "long ago")
        #expect(try world.alice("group", "promote", "archive", "bob").code == 0)
        // From here on it has an admin of its own, and alice is a stranger to it
        #expect(try world.alice("group", "add", "archive", "carol").code == 67)
        #expect(try world.alice("group", "members", "archive").code == 67)
        #expect(try world.bob("group", "add", "archive", "carol").code == 0)
        #expect(try world.carol.texts("log", "archive").first == "long ago")
        // unless that admin is disabled
        #expect(try world.natterd("user", "disable", "bob").code == 0)
        #expect(try world.alice("group", "promote", "archive", "carol").code == 0)
        #expect(try world.alice("group", "add", "archive", "alice").code == 67)
    }

    @Test("a command killed while it sends its file leaves nothing behind, and the server keeps running")
    func killedCommand() throws {
        let world = try World()
        let process = try world.start(["import", "--old", "general", "-"], input: .pipe)
        for number in 1...2_000 { process.type(JSON.line(ts: number, sender: "x", text: "message \(number)")) }
        process.signal(SIGKILL)
        #expect(process.finish().code == 137)
        try world.alice.sends("one")
        #expect(try world.natterd("export", "general").lines.count == 1)
        #expect(
            try world.natterd(
                "import", "--old", "general", "-", input: .bytes(Array(JSON.line(ts: 1, sender: "x", text: "y").utf8))
            )
            .code == 0)
        #expect(try world.bob.texts("log") == ["one", "y"])
    }

    @Test("the socket is 0600, removed by a stop, left by a kill, and replaced by the next start")
    func socket() throws {
        let world = try World()
        let path = world.data + "/natterd.sock"
        #expect(Files.mode(path) == 0o600 && Files.mode(world.data) == 0o700)
        world.stopServing()
        #expect(Files.mode(path) == nil)
        try world.serve()
        world.killServer()
        #expect(Files.mode(path) == 0o600)
        #expect(try world.natterd("user", "list").lines.count == 3)
        try world.serve()
        #expect(try world.natterd("status", "--json").objects().first?[bool: "running"] == true)
        // A file of another origin is not removed.
        world.stopServing()
        for make in ["mkfifo '\(path)'", "ln -s /tmp/elsewhere '\(path)'", "touch '\(path)'"] {
            #expect(try ChildProcess("/bin/sh", ["-c", make], environment: [:]).finish().code == 0)
            let outcome = try world.natterd("serve", "--listen", "127.0.0.1:0")
            #expect(outcome.code == 73 && isOneLine(outcome.errors) && outcome.errors.contains("natterd.sock"))
            #expect(try world.natterd("user", "list").code == 0)
            #expect(unlink(path) == 0)
        }
    }

    @Test(
        "users other than root and the server's are refused, even if the file modes allow them",
        .enabled(if: Machine.isRoot, "only root can be another user"))
    func stranger() throws {
        // A copy that everybody may run, wherever the programs are.
        let place = try TemporaryDirectory()
        let program = place("natterd")
        try Programs.install(Programs.path("natterd"), as: program)
        #expect(chmod(place.path, 0o711) == 0)
        func asNobody(_ words: [String]) throws -> Outcome {
            try ChildProcess(
                "/usr/bin/setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", program] + words,
                environment: ["SWIFT_BACKTRACE": "enable=no"]
            ).finish()
        }
        let world = try World()
        for path in [world.directory.path, world.data] { #expect(chmod(path, 0o711) == 0) }
        let closed = try asNobody(["--data", world.data, "user", "list"])
        #expect(closed.code == 77 && isOneLine(closed.errors) && closed.errors.contains("natterd.sock"), "\(closed)")
        #expect(chmod(world.data + "/natterd.sock", 0o666) == 0)
        let outcome = try asNobody(["--data", world.data, "user", "list"])
        #expect(outcome.code == 77 && isOneLine(outcome.errors) && outcome.bytes.isEmpty, "\(outcome)")
        #expect(try world.natterd("user", "list").code == 0)
    }

    @Test(
        "a command that root runs on another user's directory leaves no file of root's there",
        .enabled(if: Machine.isRoot, "only root can be another user"))
    func root() throws {
        let world = try World(isServing: false)
        #expect(chmod(world.directory.path, 0o711) == 0)
        func everything() throws -> [String] {
            [world.data]
                + (try FileManager.default.subpathsOfDirectory(atPath: world.data).map { world.data + "/" + $0 })
        }
        for path in try everything() { #expect(lchown(path, 65_534, 65_534) == 0) }
        // When each kind of command has run
        try expect(world.natterd("user", "promote", "alice"), hasNotes: true)
        #expect(try world.natterd("fsck").code == 0)
        #expect(try world.natterd("reindex").code == (PostgresCluster.servesTests ? 64 : 0))
        #expect(try world.natterd("status").code == 0)
        // Then all files are still the owner's
        for path in try everything() {
            var found = stat()
            #expect(lstat(path, &found) == 0 && found.st_uid == 65_534, "\(path)")
        }
    }

    @Test(
        "a store that root restores below another user's directory belongs to that user",
        .enabled(if: Machine.isRoot && !PostgresCluster.servesTests, "only root can be another user"))
    func rootRestores() throws {
        let world = try World(isServing: false)
        let home = world.directory("theirs")
        #expect(try world.natterd("backup", world.directory("backup")).code == 0)
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        let all =
            [world.directory.path, home, world.directory("backup")]
            + (try FileManager.default.subpathsOfDirectory(atPath: world.directory("backup"))
                .map { world.directory("backup") + "/" + $0 })
        for path in all { #expect(lchown(path, 65_534, 65_534) == 0) }
        let outcome = try Daemon.run(
            ["--data", home + "/new/data", "restore", world.directory("backup")], home: world.directory.path)
        #expect(outcome.code == 0, "\(outcome.errors)")
        for name in ["new"] + (try FileManager.default.subpathsOfDirectory(atPath: home)) {
            var found = stat()
            #expect(lstat(home + "/" + name, &found) == 0 && found.st_uid == 65_534, "\(name)")
        }
    }

    @Test("a directory whose path is longer than a socket's address")
    func longPath() throws {
        let directory = try TemporaryDirectory()
        let data = directory(String(repeating: "long/", count: 40) + "data")
        try FileManager.default.createDirectory(atPath: data, withIntermediateDirectories: true)
        #expect(chmod(data, 0o700) == 0)
        let daemon = try Daemon(data: data)
        let outcome = try Daemon.run(["--data", data, "status", "--json"], home: directory.path)
        #expect(try outcome.objects().first?[bool: "running"] == true)
        #expect(daemon.stop().code == 0)
    }

    @Test("six commands at once, and all are done")
    func atOnce() throws {
        try inBoth { world throws in
            let processes = try (1...6).map { number in
                try world.start(["user", "add", "u\(number)", "--password-stdin"], input: secret)
            }
            for process in processes {
                let outcome = process.finish()
                #expect(outcome.code == 0, "\(outcome.errors)")
            }
            #expect(try world.natterd("user", "list").lines.count == 9)
        }
    }

    @Test("the server survives any input on the socket", arguments: UInt64(1)...8)
    func noise(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let world = try World()
        for _ in 0..<20 {
            var bytes = [UInt8]("Q".utf8) + [UInt8.random(in: 0...64, using: &generator), 0, 0, 0]
            if Bool.random(using: &generator) { bytes[4] = .random(in: 0...255, using: &generator) }
            let count = Int.random(in: 0...2_000, using: &generator)
            bytes += (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            UnixSocket.send(bytes, to: world.data + "/natterd.sock")
        }
        #expect(try world.natterd("status").code == 0)
        try world.alice.sends("one")
        #expect(world.stopServing()?.code == 0)
    }
}

/// A connection that says something and goes away.
private enum UnixSocket {
    static func send(_ bytes: [UInt8], to path: String) {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(connected == 0)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }
}

extension ChildProcess.Stream {
    fileprivate var isNothing: Bool { if case .nothing = self { true } else { false } }
}
