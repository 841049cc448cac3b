internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("send, pm")
struct SendTests {
    private let world: World

    init() throws { world = try World() }

    @Test("pm writes to @USER, with and without its @, and to oneself")
    func personal() throws {
        #expect(try world.alice("pm", "bob", "hi", "bob").code == 0)
        #expect(try world.alice("pm", "@BOB", "again").code == 0)
        #expect(try world.alice.run(["pm", "bob"], input: .text("from a pipe\n")).code == 0)
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
        let sent = try world.alice("send", "multi\nline \u{1}\u{1B}[2J\r\u{202E}", "--json").bytes
        #expect(try world.bob("log", "--json").bytes == sent)
        #expect(try world.bob("--json", "--offline", "log").bytes == sent)
    }

    @Test("the name of an own group as the only word is refused before the first sync, too, and '--' sends it")
    func groupWithoutReplica() throws {
        try expect(world.alice("group", "create", "ops"))
        try expect(world.alice.run(["send", "ops"], input: .text("a secret")), 64, "-c ops")
        #expect(try world.bob.texts("log") == [])
        try world.alice.sends("done")
        try expect(world.alice("send", "--", "ops"))
        #expect(try world.bob.texts("log") == ["done", "ops"])
    }

    @Test("lines beyond the account's limit end at once and say when to go on; with --queue they wait in the outbox")
    func limited() throws {
        world.stopServing()
        try world.serve(["--messages-per-minute", "3"])
        try world.alice.sends("1", "2", "3")
        let lines = ChildProcess.Stream.text("four words to send\nand some more\n")
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
        try expectSuccess(
            ChildProcess(
                "/bin/sh",
                [
                    "-c", "ulimit -v 49152; exec \"$0\" \"$@\"", Programs.path("natter"), "send", "--lines", "-q", "-c",
                    "@me",
                ], environment: ["HOME": world.alice.home, "NATTER_SERVER": world.url, "SWIFT_BACKTRACE": "enable=no"],
                input: .text(input.joined())
            ).finish())
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

    @Test("without a login the status is 77, before standard input is read")
    func notLoggedIn() throws {
        // Nothing ever comes through this pipe.
        let process = try world.person("nobody").start(["send"], input: .pipe)
        expect(process.finish(), 77)
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
        let outcome = sending.finish(after: end.signal)
        #expect(outcome.code == end.code && outcome.bytes.isEmpty, "\(outcome)")
        #expect(
            outcome.errors
                == "natter: interrupted; the message may have been sent or not; repeat it with --id 'it'\\''s 7'\n")
    }
}
