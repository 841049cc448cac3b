import NatterModel
import NatterSystem
import NatterWire
import ServerSupport
import Testing
import TestSupport

@Suite("log")
struct LogTests {
    /// Alice, with messages "1" to "n" in general.
    private func history(_ count: Int, on server: TestServer) throws -> Person {
        let alice = try server.user("alice")
        for number in 1...count { #expect(alice("send", "\(number)").code == 0) }
        return alice
    }

    @Test("a line is time, sender and text; further lines are indented and nothing steers a terminal")
    func plain() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        _ = alice("send", "one\ntwo \u{1B}[31m\u{202E}\u{7F}\ttab")
        let line = alice("log").output
        #expect(line.dropFirst(24) == " alice: one\n\ttwo \\x1b[31m\\u{202e}\\x7f\ttab\n")
        #expect(Timestamp(rfc3339: line.prefix(24)) != nil)
    }

    @Test("--json gives message objects, texts exactly")
    func json() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        _ = alice("send", "\u{1B}[31m\n")
        let line = try #require(alice("log", "--json").lines.first)
        let message: MessageObject = try WireJSON.decode(from: Array(line.utf8))
        #expect(message.text == "\u{1B}[31m\n" && message.sender == "alice" && message.seq == 1)
        #expect(message.cursor.seq == Seq(1))
    }

    private static let selections: [([String], [Int])] = [
        ([], [1, 2, 3, 4, 5, 6]),
        (["-n", "2"], [5, 6]),
        (["-n", "0"], []),
        (["-n", "9"], [1, 2, 3, 4, 5, 6]),
        (["--after", "4"], [5, 6]),
        (["--after", "2", "-n", "2"], [3, 4]),
        (["--after", "6"], []),
        (["--after", "99"], []),
        (["--before", "3"], [1, 2]),
        (["--before", "5", "-n", "2"], [3, 4]),
        (["--after", "1", "--before", "4"], [2, 3]),
        (["--reverse"], [6, 5, 4, 3, 2, 1]),
        (["--reverse", "-n", "2"], [6, 5]),
        (["--reverse", "--after", "2", "-n", "2"], [4, 3]),
        (["--around", "3", "-n", "3"], [2, 3, 4]),
        (["--around", "6", "-n", "3"], [4, 5, 6]),
        (["--around", "1", "-n", "3"], [1, 2, 3]),
        (["--around", "3", "-n", "99"], [1, 2, 3, 4, 5, 6]),
        (["--from", "alice", "-n", "1"], [6]),
        (["--from", "bob"], []),
        (["--since", "@4000000000"], []),
        (["--until", "@0"], []),
        (["--since", "today", "--until", "@4000000000", "-n", "1"], [6]),
        (["--all"], [1, 2, 3, 4, 5, 6]),
        (["--all", "-n", "2"], [5, 6]),
        (["--all", "--reverse", "-n", "2"], [6, 5]),
        (["GENERAL", "-n", "1"], [6]),
    ]

    @Test("which messages", arguments: selections)
    func selection(words: [String], expected: [Int]) throws {
        let server = try TestServer()
        let alice = try history(6, on: server)
        let now = Timestamp(milliseconds: 0)
        let outcome = alice.run(["log"] + words + ["--format", "%m"], now: words.contains("today") ? now : nil)
        #expect(outcome.lines == expected.map { "\($0)" })
        #expect(outcome.code == 0)
        // And the same without the server
        let offline = alice.run(
            ["log", "--offline"] + words + ["--format", "%m"], now: words.contains("today") ? now : nil)
        #expect(offline.lines == outcome.lines)
    }

    @Test(
        "options that make no sense",
        arguments: [
            ["--all", "general"], ["--all", "--after", "1"], ["--reverse", "-f"], ["-f", "--offline"], ["-n", "x"],
            ["-n", "-1"], ["--after", "-1"], ["--since", "soon"], ["--around", "0"], ["--format", "%q"],
            ["--format", "%m", "--numbers"],
            ["--around", "1", "--from", "x"], ["--cursor-file", "f", "--reverse"],
            ["--cursor-file", ""],
            ["--cursor-file", "f", "--after", "1"],
            ["a", "b"],
        ])
    func usage(words: [String]) throws {
        let person = try Person(server: "http://127.0.0.1:9")
        #expect(person.run(["log"] + words).code == 64)
    }

    @Test("unknown users and conversations are 67; empty ones are 0")
    func names() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        _ = try server.user("bob")
        #expect(alice("log", "@nobody").code == 67)
        #expect(alice("log", "no-such-group").code == 67)
        #expect(alice("log", "--around", "1").code == 67)
        for name in ["@bob", "@me", "@alice", "general"] {
            #expect(alice("log", name) == .silent)
        }
        #expect(alice("log", "--exit-code").code == 1)
    }

    @Test("personal conversations are named from each reader's side, --all puts the name before the sender")
    func personal() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let bob = try server.user("bob")
        _ = alice("pm", "bob", "psst")
        _ = bob("send", "hello")
        #expect(alice("log", "--all").lines.map { $0.dropFirst(25) } == ["@bob alice: psst", "general bob: hello"])
        #expect(bob("log", "--all").lines.map { $0.dropFirst(25) } == ["@alice alice: psst", "general bob: hello"])
        #expect(try bob.texts("log", "@ALICE") == ["psst"])
    }

    @Test("without the server, the replica with a note of its age; with nothing synced 69")
    func notReached() throws {
        let server = try TestServer()
        let alice = try history(1, on: server)
        #expect(alice("log", "--offline").code == 69)
        #expect(try alice.texts("log") == ["1"])
        let bob = try server.user("bob")
        server.stop()
        let outcome = alice("log")
        #expect(outcome.code == 0 && outcome.lines.count == 1)
        #expect(
            outcome.errors.contains("cannot reach '\(server.url)'")
                && outcome.errors.contains("the replica was synced "))
        #expect(alice("log", "--quiet").errors == "")
        #expect(alice("log", "--offline").errors == "")
        #expect(bob("log").code == 69)
        #expect(alice("sync").code == 69)
    }
}

@Suite("log --cursor-file")
struct LogCursorTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

    @Test("each message comes once; a missing and an empty file mean from the start")
    func once() throws {
        let alice = try server.user("alice")
        let file = "\(alice.directory.path)/seen"
        #expect(try alice.texts("log", "--cursor-file", file) == [])
        _ = alice("send", "1")
        _ = alice("send", "2")
        #expect(try alice.texts("log", "--cursor-file", file) == ["1", "2"])
        #expect(try alice.texts("log", "--cursor-file", file) == [])
        _ = alice("send", "3")
        #expect(try alice.texts("log", "--cursor-file", file) == ["3"])
        try alice.directory.write("seen", "")
        #expect(try alice.texts("log", "--cursor-file", file) == ["1", "2", "3"])
    }

    @Test("the file is its owner's alone, and there after an empty log too")
    func mode() throws {
        let alice = try server.user("alice")
        let file = try alice.directory.write("seen", "", mode: 0o644)
        for words in [["log"], ["log", "--all"]] {
            try alice.directory.write("seen", "", mode: 0o644)
            #expect(alice.run(words + ["--cursor-file", file]).code == 0)
            #expect(try PosixDisk().information(file)?.mode == 0o600)
        }
        #expect(alice("log", "@me", "--cursor-file", file + "-me").code == 0)
        #expect(try PosixDisk().information(file + "-me") != nil)
    }

    @Test("-n counts from the oldest and the rest comes later")
    func counted() throws {
        let alice = try server.user("alice")
        for number in 1...5 { _ = alice("send", "\(number)") }
        for all in [[], ["--all"]] {
            let file = "\(alice.directory.path)/seen\(all.count)"
            let next = { alice.run(["log", "-n", "2", "--cursor-file", file, "--format", "%m"] + all).lines }
            #expect([next(), next(), next(), next()] == [["1", "2"], ["3", "4"], ["5"], []])
        }
    }

    @Test("a filter makes it miss and repeat nothing")
    func filtered() throws {
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        _ = (alice("send", "a1"), bob("send", "b1"), alice("send", "a2"), bob("send", "b2"))
        let file = "\(alice.directory.path)/seen"
        #expect(try alice.texts("log", "--from", "bob", "-n", "1", "--cursor-file", file) == ["b1"])
        #expect(try alice.texts("log", "--cursor-file", file) == ["a2", "b2"])
        _ = (alice("send", "a3"), alice("send", "a4"))
        #expect(try alice.texts("log", "--from", "bob", "--cursor-file", file) == [])
        // What was passed over counts as seen
        #expect(try alice.texts("log", "--cursor-file", file) == [])
        // What is too new for --until is not: it is printed when its time has come
        _ = bob("send", "b3")
        #expect(try alice.texts("log", "--until", "-1h", "--cursor-file", file) == [])
        #expect(try alice.texts("log", "--cursor-file", file) == ["b3"])
    }

    @Test("a cursor that is not valid is 65 and the file stays")
    func bad() throws {
        let alice = try server.user("alice")
        _ = (alice("send", "1"), alice("pm", "me", "2"))
        let general = "\(alice.directory.path)/general"
        let all = "\(alice.directory.path)/all"
        #expect(alice("log", "--cursor-file", general).code == 0)
        #expect(alice("log", "--all", "--cursor-file", all).code == 0)
        let other = try TestServer()
        let stranger = try other.user("alice")
        #expect(stranger("log", "--all", "--cursor-file", all + "2").code == 0)
        for (words, file) in [
            (["@me"], general), (["--all"], general), ([], all), (["--all"], all + "2"),
            ([], try alice.directory.write("rubbish", "rubbish\n")),
        ] {
            let before = Files.text(file)
            let outcome = alice.run(["log", "--cursor-file", file] + words)
            #expect(outcome.code == 65 && outcome.output == "")
            #expect(outcome.errors.contains(file))
            #expect(Files.text(file) == before)
        }
        #expect(alice("log", "--cursor-file", alice.directory.path).code == 66)
        #expect(alice("log", "--cursor-file", "/no/such/directory/file").code == 73)
    }

    @Test("a cursor with the name of a conversation that is empty is 65, and the file stays")
    func otherIsEmpty() throws {
        let (alice, _) = (try server.user("alice"), try server.user("bob"))
        _ = alice("send", "1")
        let file = "\(alice.directory.path)/seen"
        #expect(try alice.texts("log", "--cursor-file", file) == ["1"])
        let before = Files.text(file)
        for words in [["@bob"], ["@bob", "--offline"]] {
            #expect(alice.run(["log", "--cursor-file", file] + words).code != 0)
            #expect(Files.text(file) == before)
        }
        #expect(alice("log", "@bob", "--cursor-file", file).code == 65)
    }

    @Test("a cursor ahead of the server is 65; with the server out of reach nothing is newer")
    func ahead() throws {
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        _ = (alice("send", "1"), bob("sync"), alice("send", "2"))
        let file = "\(alice.directory.path)/seen"
        #expect(try alice.texts("log", "--cursor-file", file) == ["1", "2"])
        // Bob's replica does not know of the second one
        #expect(bob("log", "--offline", "--cursor-file", file) == .silent)
        let cursor = try #require(MessageCursor(Files.text(file)?.dropLast() ?? ""))
        let beyond = MessageCursor(
            conversation: ConversationID(high: cursor.conversationPrefix, low: 0), seq: Seq(9), hashPrefix: 1)
        try alice.directory.write("seen", "\(beyond)\n")
        let ahead = alice("log", "--cursor-file", file)
        #expect(ahead.code == 65)
        #expect(ahead.errors.contains("'natter log general --cursor-file \(file) >/dev/null' skips what is there now"))
        let changed = MessageCursor(
            conversation: ConversationID(high: cursor.conversationPrefix, low: 0), seq: Seq(1), hashPrefix: 1)
        try alice.directory.write("seen", "\(changed)\n")
        let outcome = alice("log", "--cursor-file", file, "--json")
        #expect(outcome.code == 65)
        #expect(outcome.errors.contains(#""code":"cursor_expired""#))
    }
}
