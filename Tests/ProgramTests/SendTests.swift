internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("send, pm")
struct SendTests {
    private let world: World

    init() throws { world = try World() }

    @Test("words are joined by a space; nothing is printed in a pipe; general unless -c")
    func words() throws {
        #expect(try world.alice("send", "two", "words").bytes.isEmpty)
        #expect(try world.alice("send", "-c", "@bob", "for bob").code == 0)
        #expect(try world.alice("send", "--conversation=@me", "a note").code == 0)
        #expect(try world.bob.texts("log") == ["two words"])
        #expect(try world.bob.texts("log", "@alice") == ["for bob"])
        #expect(try world.alice.texts("log", "@alice") == ["a note"])
    }

    @Test(
        "standard input is one message, without its final newline",
        arguments: [("a\nb\n", "a\nb"), ("a\n\n", "a\n"), ("a", "a"), (" \t ", " \t ")], [[], ["-"]])
    func standardInput(text: (String, String), words: [String]) throws {
        let outcome = try world.alice.run(["send"] + words, input: .bytes(Array(text.0.utf8)))
        #expect(outcome.code == 0 && outcome.bytes.isEmpty)
        #expect(try world.alice.texts("log") == [text.1])
    }

    @Test("pm writes to @USER, with and without its @, and to oneself")
    func personal() throws {
        #expect(try world.alice("pm", "bob", "hi", "bob").code == 0)
        #expect(try world.alice("pm", "@BOB", "again").code == 0)
        #expect(try world.alice.run(["pm", "bob"], input: .bytes(Array("from a pipe\n".utf8))).code == 0)
        #expect(try world.alice("pm", "me", "note").code == 0)
        #expect(try world.bob.texts("log", "@alice") == ["hi bob", "again", "from a pipe"])
        #expect(try world.alice.texts("log", "@me") == ["note"])
        #expect(try world.carol("log", "--all").bytes.isEmpty)
    }

    @Test("--json prints the message, with all of its fields")
    func json() throws {
        let outcome = try world.alice("pm", "bob", "hi", "--json")
        let message = try #require(try outcome.objects().first)
        #expect(
            message.names == ["conversation", "conversation_id", "cursor", "sender", "seq", "text", "time", "ts"])
        #expect(message[string: "conversation"] == "@bob")
        #expect(message[int: "seq"] == 1)
        #expect(message[string: "sender"] == "alice" && message[string: "text"] == "hi")
        // And a log shows the same, to the byte
        #expect(try world.alice("log", "@bob", "--json").bytes == outcome.bytes)
    }

    @Test("the same --id sends nothing twice; with other content it is 65")
    func identity() throws {
        let first = try world.alice("send", "--id", "k1", "once", "--json")
        let second = try world.alice("send", "--id", "k1", "once", "--json")
        #expect(first.code == 0 && second.code == 0)
        #expect(first.bytes == second.bytes)
        for words in [["send", "--id", "k1", "other"], ["pm", "bob", "--id", "k1", "once"]] {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == 65 && isOneLine(outcome.errors))
        }
        // Another user has keys of their own, and a restart forgets none.
        #expect(try world.bob("send", "--id", "k1", "bob's").code == 0)
        world.stopServing()
        try world.serve()
        #expect(try world.alice("send", "--id", "k1", "once").code == 0)
        #expect(try world.alice.texts("log") == ["once", "bob's"])
    }

    @Test(
        "invalid messages are refused with 65, in one line, and nothing is sent",
        arguments: [
            [], [0x0A], [0xFF, 0x0A], [0x61, 0x00, 0x62], [0xC0, 0x80], [0xED, 0xA0, 0x80],
            [UInt8](repeating: 0x61, count: 65_537),
        ] as [[UInt8]])
    func refused(bytes: [UInt8]) throws {
        let outcome = try world.alice.run(["send"], input: .bytes(bytes))
        #expect(outcome.code == 65)
        #expect(isOneLine(outcome.errors) && outcome.bytes.isEmpty)
        #expect(try world.alice("log").bytes.isEmpty)
    }

    @Test("the name of an own group as the only word is refused before the first sync, too, and '--' sends it")
    func groupWithoutReplica() throws {
        try expect(world.alice("group", "create", "ops"))
        let refused = try world.alice.run(["send", "ops"], input: .bytes(Array("a secret".utf8)))
        #expect(refused.code == 64 && isOneLine(refused.errors) && refused.errors.contains("-c ops"), "\(refused)")
        #expect(try world.bob.texts("log") == [])
        try world.alice.sends("done")
        try expect(world.alice("send", "--", "ops"))
        #expect(try world.bob.texts("log") == ["done", "ops"])
    }

    @Test("an empty argument is no message either")
    func emptyArgument() throws {
        #expect(try world.alice("send", "").code == 65)
        #expect(try world.alice("pm", "bob", "").code == 65)
    }

    @Test("texts and ids may be as long as is said, and no longer")
    func limits() throws {
        let text = String(repeating: "ж", count: 32_768)
        #expect(try world.alice.run(["send"], input: .bytes(Array(text.utf8))).code == 0)
        #expect(try world.alice.run(["send"], input: .bytes(Array("\(text)\n".utf8))).code == 0)
        #expect(try world.alice.texts("log") == [text, text])
        #expect(try world.alice("send", "--id", String(repeating: "k", count: 64), "x").code == 0)
        for id in [String(repeating: "k", count: 65), "", "é", "a\u{7F}"] {
            let outcome = try world.alice("send", "--id", id, "never")
            #expect(outcome.code == 65 || id.isEmpty && outcome.code == 64)
            #expect(isOneLine(outcome.errors))
        }
        #expect(try world.alice.texts("log").count == 3)
    }

    @Test("lines beyond the account's limit end at once and say when to go on; with --queue they wait in the outbox")
    func limited() throws {
        world.stopServing()
        try world.serve(["--messages-per-minute", "3"])
        try world.alice.sends("1", "2", "3")
        let lines = ChildProcess.Stream.bytes(Array("four words to send\nand some more\n".utf8))
        // A limit of this command, or of this test, would end first if it waited
        let ended = try world.alice.run(["send", "--lines", "--timeout", "600"], input: lines)
        #expect(ended.code == 75 && isOneLine(ended.errors), "\(ended)")
        #expect(ended.errors.contains(/try again in \d+ seconds/) && !ended.errors.contains("later"), "\(ended)")
        let queued = try world.alice.run(["send", "--lines", "--queue", "--timeout", "600"], input: lines)
        #expect(queued.code == 0 && queued.errors.contains("queued"), "\(queued)")
        #expect(try world.alice("outbox", "ls", "--json").objects().count == 2)
    }

    @Test("two hundred thousand lines need no more memory than a batch")
    func memory() throws {
        let input = (1...200_000).map { "line \($0) with about as much text as a line of a log may have on average\n" }
        // 32 MiB are enough for a few lines.
        let outcome = try ChildProcess(
            "/bin/sh",
            [
                "-c", "ulimit -v 49152; exec \"$0\" \"$@\"", Programs.path("natter"), "send", "--lines", "-q", "-c",
                "@me",
            ],
            environment: ["HOME": world.alice.home, "NATTER_SERVER": world.url, "SWIFT_BACKTRACE": "enable=no"],
            input: .bytes(Array(input.joined().utf8))
        ).finish()
        #expect(outcome.code == 0, "\(outcome)")
        #expect(try world.alice("log", "@me", "-n", "1", "--format", "%n").lines == ["\(input.count)"])
    }

    @Test("the server's log has no word of a text, also if natter asks whether it is a group")
    func unlogged() throws {
        world.stopServing()
        try world.serve(["--log-level", "debug"])
        try world.alice.sends("hunter2")
        try expect(world.alice("send", "--quiet", "hunter3"))
        world.stopServing()
        let log = try #require(Files.text(world.data + ".log"))
        #expect(log.contains("target=/v1/conversations/… status=404") && !log.contains("hunter"), "\(log)")
    }

    @Test("a conversation or user that is not there is 67")
    func unknown() throws {
        for words in [["send", "-c", "nix", "x"], ["send", "-c", "@nix", "x"], ["pm", "nix", "x"]] {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == 67 && isOneLine(outcome.errors) && outcome.errors.contains("nix"))
        }
    }

    @Test("without a login the status is 77, before standard input is read")
    func notLoggedIn() throws {
        // Nothing ever comes through this pipe.
        let process = try world.person("nobody").start(["send"], input: .pipe)
        let outcome = process.finish()
        #expect(outcome.code == 77 && isOneLine(outcome.errors))
    }

    @Test(
        "a signal while the message is on its way says that it may have been sent, and with which id to repeat it",
        arguments: [(SIGINT, 130), (SIGTERM, 143)] as [(Int32, Int32)], [[], ["--queue"]])
    func ended(_ end: (signal: Int32, code: Int32), options: [String]) throws {
        // Given a server that takes the request and does not answer
        let (listener, port) = try Loopback.listen(host: "127.0.0.1", port: 0, backlog: 1)
        defer { close(listener) }
        let file = try world.directory.write("token", world.alice.token() + "\n")
        let job = Person(name: "job", home: world.directory("job"), server: "http://127.0.0.1:\(port)")
        let words = ["send", "-c", "general", "--id", "it's 7", "x", "--token-file", file]
        let sending = try job.start(words + options)
        let socket = accept(listener, nil, nil)
        defer { close(socket) }
        #expect(Loopback.message(from: socket, timeoutMilliseconds: -1) != nil)
        sending.signal(end.signal)
        let outcome = sending.finish()
        #expect(outcome.code == end.code && outcome.bytes.isEmpty, "\(outcome)")
        #expect(
            outcome.errors
                == "natter: interrupted; the message may have been sent or not; repeat it with --id 'it'\\''s 7'\n")
    }

    @Test("if no server answers, the status is 69 and the error names it")
    func noServer() throws {
        world.stopServing()
        let outcome = try world.alice("send", "x")
        #expect(outcome.code == 69 && isOneLine(outcome.errors) && outcome.errors.contains(world.url))
        #expect(try world.alice("send", "x", "--offline").code != 0)
        try world.serve()
        #expect(try world.alice("log").bytes.isEmpty)
    }

    @Test("a text may begin with a dash after --, and as an option's value")
    func dashes() throws {
        #expect(try world.alice("send", "--", "-n", "--json").code == 0)
        #expect(try world.alice("send", "--id", "-k", "x").code == 0)
        #expect(try world.alice("send", "-x").code == 64)
        #expect(try world.alice.texts("log") == ["-n --json", "x"])
    }
}
