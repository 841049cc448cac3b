internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("natterd serve")
struct ServeTests {
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
        try expect(#require(world.daemon).stop(signal), hasNotes: true)
        #expect(ContinuousClock.now - began < .seconds(20))
        #expect(waiting.finish(after: SIGINT).code == 130)
        try world.serve()
        #expect(try world.alice.texts("log") == ["one"])
    }

    @Test("a second server on a directory exits with 75; the first one keeps running")
    func second() throws {
        let world = try World()
        try expect(world.natterd("serve", "--listen", "127.0.0.1:0"), 75)
        try world.alice.sends("one")
        #expect(try world.bob.texts("log") == ["one"])
    }

    @Test("an occupied port is an error in one line")
    func portTaken() throws {
        let world = try World()
        try expect(
            Daemon.run(
                [
                    "serve", "--data", world.directory("second"), "--listen",
                    String(world.url.dropFirst("http://".count)),
                ], home: world.directory.path), 75, "natterd: ")
    }

    @Test("listens on ::1 as well")
    func six() throws {
        let world = try World(isServing: false)
        try world.serve(["--listen", "[::1]:0"])
        #expect(world.url.hasPrefix("http://[::1]:"))
        try world.alice.sends("one")
        #expect(try world.bob.texts("log") == ["one"])
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
        try expect(
            Daemon.run(["copy", "--from", empty, "--to", "postgresql:///x"], home: directory.path), 66, "with --from")
        #expect(Files.below(directory.path).sorted() == before)
    }

    @Test("'user add' makes a store, which the other commands then find")
    func addedStore() throws {
        let directory = try TemporaryDirectory()
        let data = directory("new/data")
        let secret = ChildProcess.Stream.text("long enough\n")
        let added = try Daemon.run(
            ["--data", data, "user", "add", "dora", "--password-stdin"], home: directory.path, input: secret)
        #expect(added.code == 0 && Files.mode(data) == 0o700, "\(added)")
        for words in [["status"], ["user", "list"], ["fsck"], ["fsck", "--repair"], ["reindex"]] {
            let outcome = try Daemon.run(["--data", data] + words, home: directory.path)
            #expect(outcome.code == 0, "\(words): \(outcome)")
        }
    }

    @Test("'natter serve' runs the natterd beside it")
    func natterServe() throws {
        let directory = try TemporaryDirectory()
        let process = try ChildProcess(
            Programs.path("natter"), ["serve", "--listen", "127.0.0.1:0", "--data", directory("data")],
            environment: ["HOME": directory.path])
        #expect(try process.line().hasPrefix("natterd: listening on http://127.0.0.1:"))
        #expect(process.finish(after: SIGTERM).code == 0)
        try expect(
            ChildProcess(Programs.path("natter"), ["serve", "--nix"], environment: ["HOME": directory.path]).finish(),
            64)
    }

    @Test("when the server is started with standard output closed for reading, it serves all the same")
    func closedOutput() throws {
        let world = try World(isServing: false)
        let daemon = try world.start(["serve", "--listen", "127.0.0.1:0"], output: .nothing)
        try daemon.waitForErrors("listening")
        #expect(daemon.finish(after: SIGTERM).code == 0)
    }
}
