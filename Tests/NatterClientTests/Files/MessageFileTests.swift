internal import Glibc
internal import NatterClient
internal import NatterModel
internal import NatterProtocol
internal import NatterStore
internal import NatterSystem
internal import ServerSupport
internal import SystemSupport
internal import TestSupport
internal import Testing

@Suite("files of messages at a shell", .enabled(if: !PostgresCluster.servesTests))
struct MessageFileTests {
    private static let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 ^ ($0 >> 8)) }
    private let server: TestServer
    private let alice: Person
    private let bob: Person

    init() throws {
        server = try TestServer()
        (alice, bob) = (try server.user("alice"), try server.user("bob"))
    }

    /// The path of a file of alice's.
    private func file(_ name: String, _ content: [UInt8] = content) throws -> String {
        try alice.directory.write(name, content)
    }

    private static func files(below directory: String) -> [String] {
        Files.below(directory).filter {
            $0.contains("/files/") && (try? PosixDisk().information($0)?.isRegular) == true
        }
    }

    private func bytes(_ path: String) throws -> [UInt8] {
        let file = try PosixDisk().open(path, .read)
        return try file.read(count: Int(try file.size()), at: 0)
    }

    private func get(_ words: String..., by person: Person) -> Outcome {
        person.run(["get"] + words + ["--to", person.directory("got")])
    }

    @Test("send --file sends files with a text or without, and get gives the same bytes")
    func sendAndGet() throws {
        let (log, other) = (try file("build.log"), try file("ten", [1, 2, 3]))
        #expect(alice("send", "--file", log, "--file", other, "It failed again") == .silent)
        #expect(alice("pm", "bob", "--file", other) == .silent)
        #expect(try alice.send("--file", "-", "--name", "a/piped.log", input: Array("1\n".utf8)) == .silent)
        let lines = bob("log").lines.map { $0.dropFirst(25) }
        #expect(lines == ["alice: It failed again [build.log, 300.0 kB] [ten, 3 B]", "alice: [piped.log, 2 B]"])
        #expect(bob("log", "--format", "%m|%f").lines == ["It failed again|build.log, ten", "|piped.log"])
        #expect(bob("log", "--json").messages.map { $0.files?.map(\.name) } == [["build.log", "ten"], ["piped.log"]])
        #expect(get("general", "1", by: bob) == .silent)
        #expect(try bytes(bob.directory("got") + "/build.log") == Self.content)
        #expect(try bytes(bob.directory("got") + "/ten") == [1, 2, 3])
        #expect(bob("get", "last", "-o", "-").output == "1\n")
        let path = bob.directory("mine")
        #expect(bob("get", "@alice", "1", "-o", path) == .silent)
        #expect(try bytes(path) == [1, 2, 3])
        #expect(bob("get", "1", "-o", path).code == 64)
    }

    @Test("what can't be sent or fetched is refused with its status, and nothing changes")
    func refusals() throws {
        let log = try file("build.log")
        for (words, code) in [
            (["send", "--file", alice.directory("missing"), "x"], 66),
            (["send", "--file", alice.directory.path, "x"], 66),
            (["send", "--file", "-"], 64), (["send", "--name", "x", "text"], 64),
            (["send", "--file", log, "--name", ".."], 65), (["send", "--lines", "--file", log], 64),
            (["send", "--file", log, "-c", "nix"], 67), (["get", "1"], 67), (["get"], 64),
            (["get", "--since", "1d", "1"], 64),
            (["sync", "--files", "much"], 64),
        ] as [([String], Int32)] {
            let outcome = alice.run(words)
            #expect(
                outcome.code == code && outcome.output.isEmpty && outcome.lineCountOfErrors == 1, "\(words) \(outcome)")
        }
        #expect(alice("send", "--file", log, "text") == .silent)
        #expect(alice("send", "no file") == .silent)
        #expect(bob("get", "3").code == 67)
        #expect(get("1", by: bob) == .silent)
        #expect(get("1", by: bob).code == 73)
        #expect(get("1", "--force", by: bob) == .silent)
        // A link is neither followed nor taken for the file.
        let (target, link) = (bob.directory("target"), bob.directory("link"))
        #expect(symlink(target, link) == 0)
        #expect(bob("get", "1", "-o", link).code == 73)
        #expect(bob("get", "1", "-o", link, "--force") == .silent)
        #expect(access(target, F_OK) != 0)
        #expect(try bytes(link) == Self.content)
        // Bytes that are not those of the message
        let path = try #require(Self.files(below: server.directory.path).first)
        try PosixDisk().open(path, .readWrite).write([7], at: 299_999)
        #expect(bob("get", "1", "-o", bob.directory("broken")).code == 74)
        #expect(access(bob.directory("broken"), F_OK) != 0)
        #expect(Files.below(bob.directory.path).filter { $0.hasSuffix(".part") } == [])
    }

    @Test("a repeated send with its id is one message, whose file was uploaded again")
    func repeated() throws {
        let log = try file("build.log")
        for _ in 1...2 { #expect(alice("send", "--id", "k", "--file", log, "once") == .silent) }
        #expect(try bob.texts() == ["once"])
        #expect(alice("send", "--id", "k", "--file", try file("other", [1]), "once").code == 65)
    }

    @Test("a fetch that was cut goes on, and what others have left under its name is not believed")
    func resumed() throws {
        #expect(alice("send", "--file", try file("build.log"), "x") == .silent)
        let id = try #require(bob("log", "--json").messages.first?.files?.first?.id)
        for beginning in [Array(Self.content.prefix(123_456)), Self.content + [1]] {
            let part = try bob.directory.write(".\(id.prefix(16)).part", beginning)
            #expect(bob("get", "1", "-o", bob.directory("got.log"), "--force") == .silent)
            #expect(try bytes(bob.directory("got.log")) == Self.content)
            #expect(access(part, F_OK) != 0)
        }
        _ = try bob.directory.write(".\(id.prefix(16)).part", [UInt8](repeating: 1, count: 99))
        #expect(bob("get", "1", "-o", bob.directory("foreign")).code == 74)
        #expect(bob("get", "1", "-o", bob.directory("foreign")) == .silent)
    }

    @Test("get --all takes each file once, and two of one name beside one another")
    func all() throws {
        for (name, content) in [("a", [1]), ("a", [2]), (".bashrc", [3])] as [(String, [UInt8])] {
            #expect(alice("send", "--file", try file(name, content), "x") == .silent)
        }
        for _ in 1...2 {
            #expect(get("--all", by: bob) == .silent)
            let found = try PosixDisk().list(bob.directory("got"))
            #expect(found == ["3-a", "_bashrc", "a"])
        }
        #expect(try bytes(bob.directory("got") + "/3-a") == [2])
        let later = bob("get", "--all", "--since", "2d ago", "general", "--to", bob.directory("later"), "--json")
        #expect(later.code == 0 && later.lines.count == 3, "\(later)")
    }

    @Test("with --queue the bytes wait with the message, whatever becomes of the file")
    func queued() throws {
        let log = try file("build.log")
        server.stop()
        let queued = alice("send", "--queue", "--id", "k", "--file", log, "later")
        #expect(queued.code == 0 && queued.errors.contains("queued as message 1"))
        #expect(alice("send", "--queue", "--id", "k", "--file", log, "later").code == 0)
        #expect(alice("send", "--queue", "--id", "k", "--file", try file("other", [1]), "later").code == 65)
        #expect(alice("send", "--queue", "behind").code == 0)
        try PosixDisk().remove(log)
        #expect(alice("outbox", "ls").output.contains("later [build.log, 300.0 kB]"))
        let kept = { Self.files(below: self.alice.home) }
        #expect(kept().count == 1)
        try server.start()
        #expect(alice("sync").code == 0)
        #expect(bob("log", "--format", "%m|%f").lines == ["later|build.log", "behind|"])
        #expect(bob("get", "1", "-o", bob.directory("got.log")) == .silent)
        #expect(try bytes(bob.directory("got.log")) == Self.content)
        #expect(kept().isEmpty)
    }

    @Test("a file that is refused is parked, and the next message goes with its own")
    func parked() throws {
        var limits = FileLimits()
        limits.fileBytes = 1_000
        server.stop()
        #expect(
            alice("send", "--queue", "--file", try file("large"), "--file", try file("small", [1]), "one").code == 0)
        #expect(alice("send", "--queue", "--file", try file("other", [2]), "two").code == 0)
        try server.start()
        server.store.use(limits)
        #expect(alice("sync").code == 0)
        #expect(bob("log", "--format", "%m|%f").lines == ["two|other"])
        #expect(bob("get", "1", "-o", "-").bytes == [2])
        #expect(alice("outbox", "ls").output.contains("'file-size'"))
        // Small first, so that it is there when the other is refused
        server.stop()
        #expect(
            alice("send", "--queue", "--file", try file("small", [1]), "--file", try file("large"), "three").code == 0)
        #expect(alice("send", "--queue", "--file", try file("last", [3]), "four").code == 0)
        try server.start()
        server.store.use(limits)
        #expect(alice("sync").code == 0)
        #expect(bob("log", "--format", "%m|%f").lines == ["two|other", "four|last"])
    }

    @Test("sync fetches files only if it is told to, up to a size, and they go when they are erased")
    func synced() throws {
        let secret = Array("Xylophonkonzert-7731".utf8)
        #expect(alice("send", "--file", try file("small", secret), "x") == .silent)
        #expect(alice("send", "--file", try file("large"), "x") == .silent)
        let kept = { Self.files(below: self.bob.home) }
        #expect(bob("sync").code == 0)
        #expect(kept().isEmpty)
        for _ in 1...2 {
            #expect(bob("sync", "--files", "1K").code == 0)
            #expect(kept().count == 1)
        }
        server.stop()
        #expect(bob("--offline", "get", "1", "-o", "-").bytes == secret)
        try server.start()
        #expect(bob("--offline", "get", "3", "-o", "-").code == 69)
        _ = try waitFor { server.store.erase([Seq(1)...Seq(1)], in: "general", by: "alice", $0) }.get()
        #expect(bob("sync").code == 0)
        #expect(kept().isEmpty)
        #expect(Files.holding(piecesOf: "Xylophonkonzert-7731", below: bob.home).isEmpty)
        #expect(Files.holding(piecesOf: "small", below: bob.home).isEmpty)
        #expect(bob("get", "1").code == 67)
    }
}

extension Outcome {
    fileprivate var lineCountOfErrors: Int { errors.split(separator: "\n").count }
}
