internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

@Suite("watch")
struct WatchTests {
    /// A running watch: messages sent from now on are new to it.
    private func watch(_ person: Person, _ command: String, _ conversations: String...) throws -> ChildProcess {
        let before = cursorFiles(of: person)
        let process = try person.start(["watch", "--exec", command] + conversations)
        // It records its position when it has read the existing messages.
        try eventually("a cursor file of watch") { cursorFiles(of: person) != before }
        return process
    }

    private func cursorFiles(of person: Person) -> Set<String> {
        let replicas = person.natterHome + "/replicas"
        let all = FileManager.default.enumerator(atPath: replicas)?.compactMap { $0 as? String } ?? []
        return Set(all.filter { $0.contains("/watches/") && !$0.contains("/watches/.") && !$0.hasSuffix(".start") })
    }

    @Test("runs the command for each later message: text on standard input, the other fields in variables")
    func fields() throws {
        // Given a message from before the first start
        let world = try World()
        try world.alice.sends("before")
        let watching = try watch(
            world.bob, "echo \"$NATTER_CONVERSATION $NATTER_SEQ $NATTER_SENDER $NATTER_KIND <$(cat)>\"")
        // When more come, with what a shell would take for its own
        try world.alice.sends("$(id) `id` 'x' \"y\" ; exit 1")
        #expect(try watching.line() == "general 2 alice text <$(id) `id` 'x' \"y\" ; exit 1>")
        try world.carol.sends("hello", to: "@bob")
        #expect(try watching.line() == "@carol 1 carol text <hello>")
        watching.signal(SIGINT)
        let end = watching.finish()
        #expect(end.code == 130 && end.bytes.isEmpty)
    }

    @Test("the time is in both forms, and the cursor is the message's")
    func time() throws {
        let world = try World()
        let watching = try watch(world.bob, "echo $NATTER_TIME $NATTER_TS $NATTER_CURSOR")
        try world.alice.sends("one")
        let words = try watching.line().split(separator: " ").map(String.init)
        let message = try #require(try world.alice("log", "--json").objects().first)
        #expect(words.first == message[string: "time"])
        #expect(words.last == message[string: "cursor"])
        #expect(words.count == 3 && Int64(words[1]).map { $0 > 1_700_000_000_000 } == true)
    }

    @Test("of the conversations named only")
    func named() throws {
        let world = try World()
        let watching = try watch(world.bob, "cat; echo", "@carol", "@me")
        try world.alice.sends("of no interest")
        try world.carol.sends("one", to: "@bob")
        #expect(try watching.line() == "one")
        #expect(try world.bob("watch", "@nobody", "--exec", "true").code == 67)
    }

    @Test("a message whose command fails is retried, and later messages of its conversation wait")
    func again() throws {
        // Given a command that fails while a file is missing
        let world = try World()
        let flag = world.directory("flag")
        let watching = try watch(world.bob, "test -e '\(flag)' && cat && echo")
        // When two messages come, and one in another conversation
        try world.alice.sends("one", "two")
        try watching.waitForErrors("failed with status 1 for message 1 of 'general'; retrying")
        // Then nothing was done, and all is, in order, once it can be
        #expect(FileManager.default.createFile(atPath: flag, contents: nil))
        #expect(try watching.line() == "one")
        #expect(try watching.line() == "two")
    }

    @Test("continues after the last finished message, however it ended; another command starts over")
    func goesOn() throws {
        let world = try World()
        let watching = try watch(world.bob, "cat; echo")
        try world.alice.sends("one", "two")
        #expect(try watching.line() == "one")
        #expect(try watching.line() == "two")
        try world.alice.sends("three")
        #expect(try watching.line() == "three")
        watching.signal(SIGKILL)
        _ = watching.finish()
        try world.alice.sends("four", "five")
        // The third was printed, but that it was done may not have been noted before the kill: at least once
        let again = try world.bob.start(["watch", "--exec", "cat; echo"])
        var line = try again.line()
        if line == "three" { line = try again.line() }
        #expect(line == "four")
        #expect(try again.line() == "five")
        // And another watch has not seen the past
        let other = try watch(world.bob, "cat; echo .")
        try world.alice.sends("six")
        #expect(try other.line() == "six.")
    }
}

@Suite("wrap")
struct WrapTests {
    @Test(
        "ends as the command ends, and sends how it went",
        arguments: [
            ("exit 0", 0, "done"), ("exit 7", 7, "failed with status 7"),
            ("kill -9 $$", 137, "ended by signal 9"),
        ] as [(String, Int32, String)])
    func status(_ command: String, _ code: Int32, _ how: String) throws {
        let world = try World()
        let outcome = try world.alice("wrap", "-c", "@bob", "--", "sh", "-c", command)
        #expect(outcome.code == code && outcome.bytes.isEmpty && outcome.errors.isEmpty)
        let text = try #require(try world.bob.texts("log", "@alice").first)
        #expect(text.hasPrefix("sh -c \(command): \(how) after ") && text.hasSuffix(" s"))
    }

    @Test("a command that can't be run is told of, with the status that a shell gives")
    func missing() throws {
        let world = try World()
        let missing = try world.alice("wrap", "--", "no-such-command", "word")
        #expect(missing.code == 127 && missing.bytes.isEmpty)
        #expect(missing.errors == "natter: cannot run 'no-such-command': no such file or directory\n")
        #expect(try world.alice("wrap", "--", "/").code == 126)
        let texts = try world.bob.texts("log")
        #expect(texts.first == "no-such-command word: cannot be run: no such file or directory")
        #expect(texts.last == "/: cannot be run: permission denied")
    }

    @Test("a signal to end it is passed on to the command, whose status is sent", arguments: [SIGTERM, SIGHUP])
    func signals(_ number: Int32) throws {
        let world = try World()
        let script = "trap 'echo bye; exit 9' TERM HUP; echo ready; while :; do sleep 0.05; done"
        let running = try world.alice.start(["wrap", "--", "sh", "-c", script])
        #expect(try running.line() == "ready")
        running.signal(number)
        let end = running.finish()
        #expect(end.code == 9 && end.output == "bye\n")
        let text = try #require(try world.bob.texts("log").first)
        #expect(text.contains("failed with status 9 after") && text.hasSuffix("\nready\nbye"))
    }

    @Test("the command's output goes where it goes, and its end into the message")
    func output() throws {
        let world = try World()
        let small = try world.alice("wrap", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        #expect(small.code == 3 && small.output == "out\n" && small.errors == "err\n")
        let large = try world.alice("wrap", "--", "seq", "100000")
        #expect(large.code == 0 && large.lines.count == 100_000)
        let texts = try world.bob.texts("log")
        #expect(texts.count == 2)
        let lines = (texts.first ?? "").split(separator: "\n")
        #expect(Set(lines.dropFirst()) == ["out", "err"])
        let last = texts.last ?? ""
        #expect(last.hasSuffix("\n99999\n100000") && last.utf8.count < 8_192)
    }

    @Test("without the server the message waits; without a session the command is not run")
    func alone() throws {
        let world = try World()
        let outcome = try world.alice.alone("wrap", "--", "sh", "-c", "exit 5")
        #expect(outcome.code == 5 && outcome.errors.contains("queued"))
        #expect(try world.alice("sync").code == 0)
        #expect(try world.bob.texts("log").count == 1)
        let stranger = try world.person("nobody")("wrap", "--", "echo", "ran")
        #expect(stranger.code == 77 && stranger.bytes.isEmpty)
    }
}
