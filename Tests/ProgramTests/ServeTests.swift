internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natterd serve")
struct ServeTests {
    @Test("prints a line when it is ready; SIGTERM and SIGINT end it with 0", arguments: [SIGTERM, SIGINT])
    func stop(signal: Int32) throws {
        let directory = try TemporaryDirectory()
        let daemon = try Daemon(data: directory("data"))
        #expect(daemon.url.wholeMatch(of: /http:\/\/127\.0\.0\.1:\d+/) != nil)
        let end = daemon.stop(signal)
        #expect(end.code == 0 && end.bytes.isEmpty)
    }

    @Test("a watchdog of systemd is fed while the server answers")
    func watchdog() throws {
        let directory = try TemporaryDirectory()
        let path = directory("notify")
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        #expect(isBound)
        let daemon = try Daemon(
            data: directory("data"), environment: ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"])
        func next() -> String? {
            var request = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, 60_000) > 0 else { return nil }
            var buffer = [UInt8](repeating: 0, count: 256)
            let count = recv(socket, &buffer, buffer.count, 0)
            return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
        }
        #expect(next() == "READY=1")
        for _ in 0..<5 { #expect(next() == "WATCHDOG=1") }
        #expect(daemon.stop().code == 0)
    }

    @Test("it ends at once while readers wait, and loses nothing", arguments: [SIGTERM, SIGINT])
    func stopWhileWaiting(signal: Int32) throws {
        let world = try World()
        let waiting = try world.bob.start(["log", "-f", "--format", "%m"])
        try world.alice.sends("one")
        #expect(try waiting.line() == "one")
        let began = ContinuousClock.now
        #expect(try #require(world.daemon).stop(signal).code == 0)
        #expect(ContinuousClock.now - began < .seconds(20))
        waiting.signal(SIGINT)
        #expect(waiting.finish().code == 130)
        try world.serve()
        #expect(try world.alice.texts("log") == ["one"])
    }

    @Test("a second server on a directory exits with 75; the first one keeps running")
    func second() throws {
        let world = try World()
        let outcome = try world.natterd("serve", "--listen", "127.0.0.1:0")
        #expect(outcome.code == 75 && isOneLine(outcome.errors) && outcome.bytes.isEmpty)
        try world.alice.sends("one")
        #expect(try world.bob.texts("log") == ["one"])
    }

    @Test("an address that is not loopback is 78, with the reason", arguments: ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"])
    func publicAddress(address: String) throws {
        let directory = try TemporaryDirectory()
        let outcome = try Daemon.run(
            ["serve", "--data", directory("data"), "--listen", address], home: directory.path)
        #expect(outcome.code == 78 && isOneLine(outcome.errors) && outcome.bytes.isEmpty)
    }

    @Test(
        "an address that is none is refused",
        arguments: ["nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:80", ""])
    func badAddress(address: String) throws {
        let directory = try TemporaryDirectory()
        let outcome = try Daemon.run(
            ["serve", "--data", directory("data"), "--listen", address], home: directory.path)
        #expect([64, 78].contains(outcome.code) && isOneLine(outcome.errors))
        #expect(Files.mode(directory("data")) == nil)
    }

    @Test("an occupied port is an error in one line")
    func portTaken() throws {
        let world = try World()
        let outcome = try Daemon.run(
            ["serve", "--data", world.directory("second"), "--listen", String(world.url.dropFirst("http://".count))],
            home: world.directory.path)
        #expect(outcome.code == 75 && outcome.bytes.isEmpty && outcome.errors.contains("natterd: "))
    }

    @Test("listens on ::1 as well")
    func six() throws {
        let world = try World(isServing: false)
        try world.serve(["--listen", "[::1]:0"])
        #expect(world.url.hasPrefix("http://[::1]:"))
        try world.alice.sends("one")
        #expect(try world.bob.texts("log") == ["one"])
    }

    @Test("the directory: --data before or after the command, NATTERD_DATA, STATE_DIRECTORY, XDG_DATA_HOME, HOME")
    func dataDirectory() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("in", JSON.line(ts: 1, sender: "x", text: "y"))
        let words = ["import", "--old", "general", file]
        func imports(into path: String, _ words: [String], _ environment: [String: String] = [:]) throws {
            let outcome = try Daemon.run(words, home: directory.path, environment: environment)
            #expect(outcome.code == 0, "\(outcome.errors)")
            #expect(Files.mode(directory(path)) == 0o700, "\(path)")
            #expect(Files.mode(directory(path) + "/logs") == 0o700)
        }
        try imports(into: "before", ["--data", directory("before")] + words)
        try imports(into: "after", words + ["--data=" + directory("after")])
        try imports(into: "variable", words, ["NATTERD_DATA": directory("variable"), "STATE_DIRECTORY": "/nix"])
        try imports(into: "state", words, ["STATE_DIRECTORY": directory("state"), "XDG_DATA_HOME": "/nix"])
        try imports(into: "xdg/natterd", words, ["XDG_DATA_HOME": directory("xdg")])
        try imports(into: ".local/share/natterd", words)
    }

    @Test("a data directory that can't be made is 73")
    func cannotCreate() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write("file", "")
        for words in [["serve", "--listen", "127.0.0.1:0"], ["import", "--old", "general", file]] {
            let outcome = try Daemon.run(words + ["--data", "\(file)/data"], home: directory.path)
            #expect(outcome.code == 73 && isOneLine(outcome.errors), "\(words)")
        }
    }

    /// A command that needs a store, by its first words.
    private static let needingAStore = [
        ["status"], ["status", "--json"], ["clients"], ["user", "list"], ["user", "disable", "alice"], ["fsck"],
        ["fsck", "--repair"], ["reindex"], ["export", "general"], ["backup"],
    ]

    @Test("a data directory without a store is 66, and nothing is made there", arguments: needingAStore)
    func noStore(words: [String]) throws {
        let directory = try TemporaryDirectory()
        let words = words == ["backup"] ? ["backup", directory("copy")] : words
        let file = try directory.write("file", "a file")
        let (empty, other) = (directory("empty"), directory("other"))
        for path in [empty, other, "\(other)/logs"] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        let before = Files.below(directory.path).sorted()
        for data in [directory("missing"), empty, other, file] {
            let outcome = try Daemon.run(["--data", data] + words, home: directory.path)
            #expect(outcome.code == 66 && outcome.bytes.isEmpty, "\(data): \(outcome)")
            let sentence = "no store in '\(data)'; name the directory of the store with --data"
            let isSaid =
                words.contains("--json")
                ? outcome.errors.contains(#""message":"\#(sentence)""#) : outcome.errors == "natterd: \(sentence)\n"
            #expect(isSaid, "\(outcome.errors)")
        }
        let copy = try Daemon.run(["copy", "--from", empty, "--to", "postgresql:///x"], home: directory.path)
        #expect(copy.code == 66 && copy.errors.contains("with --from"), "\(copy)")
        #expect(Files.below(directory.path).sorted() == before)
    }

    @Test("'user add' makes a store, which the other commands then find")
    func addedStore() throws {
        let directory = try TemporaryDirectory()
        let data = directory("new/data")
        let secret = ChildProcess.Stream.bytes(Array("long enough\n".utf8))
        let added = try Daemon.run(
            ["--data", data, "user", "add", "dora", "--password-stdin"], home: directory.path, input: secret)
        #expect(added.code == 0 && Files.mode(data) == 0o700, "\(added)")
        for words in [["status"], ["user", "list"], ["fsck"], ["fsck", "--repair"], ["reindex"]] {
            let outcome = try Daemon.run(["--data", data] + words, home: directory.path)
            #expect(outcome.code == 0, "\(words): \(outcome)")
        }
    }

    @Test("natterd.conf has the same options; the command line overrides it; an unknown option is 78")
    func configuration() throws {
        let world = try World(isServing: false)
        let path = world.directory("data/natterd.conf")
        try Data("# comment\nlisten = [::1]:0\nlog-format = json\n".utf8).write(to: URL(filePath: path))
        let daemon = try world.start(["serve"], errors: .path(world.directory("log")))
        #expect(try daemon.line().hasPrefix("natterd: listening on http://[::1]:"))
        daemon.signal(SIGTERM)
        #expect(daemon.finish().code == 0)
        let events = try #require(Files.text(world.directory("log"))).split(separator: "\n").map {
            try JSON(parsing: String($0))
        }
        #expect(events.contains { $0[string: "event"] == "listening" })
        try world.serve()
        #expect(world.url.hasPrefix("http://127.0.0.1:"))
        world.stopServing()
        for line in [
            "nix = 1", "listen", "log-level = loud", "listen = 0.0.0.0:0", "store = db", "store = postgresql://a:b@c/d",
        ] {
            try Data("\(line)\n".utf8).write(to: URL(filePath: path))
            // Without the store that the environment may name.
            let outcome = try Daemon.run(["serve", "--data", world.data], home: world.directory.path)
            #expect(outcome.code == 78 && isOneLine(outcome.errors), "\(line)")
        }
    }

    @Test("its log is a line an event, with no password, token, text or control character")
    func log() throws {
        let world = try World(isServing: false)
        try world.serve(["--log-level", "debug"])
        try world.alice.sends("a very private text")
        let dora = world.person("dora\u{1B}[2J")
        _ = try dora.run(
            ["register", "--password-stdin", "--", dora.name], input: .bytes(Array("a dark secret\n".utf8)))
        _ = try dora.run(["login", "--password-stdin", "--", dora.name], input: .bytes(Array("a dark secret\n".utf8)))
        _ = try world.bob.run(["login", "bob", "--password-stdin"], input: .bytes(Array("a dark secret\n".utf8)))
        world.stopServing()
        let log = try #require(Files.text(world.data + ".log"))
        let token = try #require(Files.text("\(world.alice.natterSettings)/profiles/default/token")).dropLast()
        for secret in ["a very private text", "a dark secret", World.password, String(token), "\u{1B}"] {
            #expect(!log.contains(secret))
        }
        for line in log.split(separator: "\n") {
            #expect(line.prefixMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error)\ /) != nil)
        }
    }

    @Test("SIGHUP reloads the configuration without a restart")
    func reload() throws {
        let world = try World(isServing: false)
        let daemon = try world.start(["serve", "--listen", "127.0.0.1:0"])
        let url = String(try daemon.line().dropFirst("natterd: listening on ".count))
        daemon.signal(SIGHUP)
        try daemon.waitForErrors(" reloaded")
        #expect(try Person(name: "alice", home: world.alice.home, server: url)("whoami").code == 0)
        daemon.signal(SIGTERM)
        #expect(daemon.finish().code == 0)
    }

    @Test("'natter serve' runs the natterd beside it")
    func natterServe() throws {
        let directory = try TemporaryDirectory()
        let process = try ChildProcess(
            Programs.path("natter"), ["serve", "--listen", "127.0.0.1:0", "--data", directory("data")],
            environment: ["HOME": directory.path])
        #expect(try process.line().hasPrefix("natterd: listening on http://127.0.0.1:"))
        process.signal(SIGTERM)
        #expect(process.finish().code == 0)
        let misused = try ChildProcess(
            Programs.path("natter"), ["serve", "--nix"], environment: ["HOME": directory.path]
        ).finish()
        #expect(misused.code == 64 && isOneLine(misused.errors))
    }

    @Test("natterd's command line: help, misspelt words, 64")
    func usage() throws {
        let directory = try TemporaryDirectory()
        let alone = try Daemon.run([], home: directory.path)
        #expect(alone.code == 0 && alone.errors.isEmpty)
        for command in ["serve", "status", "clients", "user", "import", "export", "fsck"] {
            #expect(alone.output.contains("\n  \(command) "))
            let page = try Daemon.run(["help", command], home: directory.path)
            #expect(page.code == 0 && page.output.contains("usage: natterd \(command)"))
            #expect(try Daemon.run([command, "--help"], home: directory.path).bytes == page.bytes)
        }
        let misspelt = try Daemon.run(["imprt"], home: directory.path)
        #expect(misspelt.code == 64 && isOneLine(misspelt.errors) && misspelt.errors.contains("'import'"))
        for words in [
            ["import", "general"], ["export"], ["fsck", "x"], ["serve", "x"], ["--nix"], ["serve", "--listen"],
        ] {
            let outcome = try Daemon.run(words, home: directory.path)
            #expect(outcome.code == 64 && isOneLine(outcome.errors), "\(words)")
        }
        // Nothing of this made a data directory.
        #expect(Files.mode(directory(".local")) == nil)
    }

    @Test("when the server is started with standard output closed for reading, it serves all the same")
    func closedOutput() throws {
        let world = try World(isServing: false)
        let daemon = try world.start(["serve", "--listen", "127.0.0.1:0"], output: .nothing)
        try daemon.waitForErrors("listening")
        daemon.signal(SIGTERM)
        #expect(daemon.finish().code == 0)
    }
}
