internal import Glibc
internal import Testing
internal import TestSupport

/// These tests need a program. `OutboxTests` and `LineTests` have the rest.
@Suite("send --lines, --ndjson, --queue, and outbox")
struct QueueTests {
    private func bytes(_ text: String) -> ChildProcess.Stream { .text(text) }

    @Test("while another command delivers the outbox, sync and send are 75, and nothing comes before it")
    func deliveredElsewhere() throws {
        let world = try World()
        try expect(world.alice("send", "--queue", "--offline", "first"), hasNotes: true)
        let outbox = try #require(Files.below(world.alice.home).first { $0.hasSuffix("/outbox.db") })
        let descriptor = open(outbox.dropLast(9) + "delivery.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(descriptor) }
        #expect(flock(descriptor, LOCK_EX) == 0)
        for words in [["sync"], ["send", "--timeout", "1", "second one"]] {
            try expect(world.alice.run(words), 75)
        }
        #expect(try world.bob.texts("log") == [])
        #expect(flock(descriptor, LOCK_UN) == 0)
        try expect(world.alice("sync"), hasNotes: true)
        #expect(try world.bob.texts("log") == ["first"])
    }

    @Test("send --queue that another command has delivered says so, and prints the message")
    func deliveredByAnother() throws {
        let world = try World()
        let waiting = (1...200).map { "waiting \($0)\n" }.joined()
        #expect(try world.alice.run(["send", "--lines", "--queue", "--offline"], input: bytes(waiting)).code == 0)
        let sending = try (1...4).map { try world.alice.start(["send", "--queue", "--json", "at once \($0)"]) }
        for process in sending {
            let outcome = process.finish()
            #expect(outcome.code == 0)
            #expect(try outcome.objects().map { $0[int: "seq"] != nil } == [true], "\(outcome)")
        }
        #expect(try world.alice("outbox", "ls").lines == [])
        #expect(try world.bob.texts("log").count == 204)
    }

    @Test("--lines --queue: a line that the outbox refuses stops it, with its number; those before it wait")
    func refusedByOutbox() throws {
        let world = try World()
        func queue(_ text: String) throws -> Outcome {
            try world.alice.run(["send", "--lines", "--queue", "--offline", "--id", "k"], input: bytes(text))
        }
        try expect(queue("one\ntwo\n"), hasNotes: true)
        try expect(queue("one\nanother\nthree\n"), 65, "line 2: ")
        let other = try world.alice.run(
            ["send", "--ndjson", "--queue", "--offline"],
            input: bytes(#"{"text":"four","id":"four"}"# + "\n" + #"{"text":"x","id":"k:1"}"# + "\n"))
        #expect(other.code == 65 && other.errors.contains("line 2: "), "\(other)")
        try expect(world.alice("sync"), hasNotes: true)
        #expect(try world.bob.texts("log") == ["one", "two", "four"])
    }

    @Test("--ndjson: a line is a new text whatever its other fields are, also with --queue", arguments: [false, true])
    func otherFields(isQueued: Bool) throws {
        let world = try World(says: "one")
        let options = isQueued ? ["--queue", "--offline"] : []
        let input = """
            {"kind":"delete","about":1,"text":"two"}
            {"kind":"edit","about":1,"text":"three","seq":1,"edited":"x"}
            {"kind":"event","text":"four"}
            {"kind":7,"about":"x","written":"y","text":"five"}
            {"about":1,"written":1,"text":"six"}
            """
        try expect(world.alice.run(["send", "--ndjson"] + options, input: bytes(input)), hasNotes: isQueued)
        // A deletion needs no text, but a line does
        let empty = try world.alice.run(["send", "--ndjson"] + options, input: bytes(#"{"kind":"delete","about":1}"#))
        #expect(empty.code == 65 && isOneLine(empty.errors) && empty.errors.contains("'text'"))
        try expect(world.alice("sync"), hasNotes: true)
        let messages = try world.bob("log", "--json", "--raw").objects()
        #expect(messages.map { $0[string: "text"] } == ["one", "two", "three", "four", "five", "six"])
        let others: Set = ["kind", "about", "edited", "deleted", "written"]
        for message in messages { #expect(others.isDisjoint(with: message.names), "\(message)") }
    }

    @Test("a first word @NAME goes nowhere while nobody can be asked whether it is a user")
    func undecided() throws {
        let world = try World(isServing: false)
        for words in [["@dave", "a secret"], ["@dave"]] {
            try expect(world.alice.alone.run(["send", "--offline", "--queue"] + words), 64, "-c @dave")
        }
        for words in [["-c", "@dave", "a secret"], ["--", "@dave", "hello"], ["@dave, hello"]] {
            try expect(world.alice.alone.run(["send", "--offline", "--queue"] + words), hasNotes: true)
        }
        #expect(try world.alice.alone("outbox").lines.count == 3)
    }

    @Test("outbox retry --offline is 69 and changes nothing", arguments: [false, true])
    func retryOffline(isNamed: Bool) throws {
        let world = try World(isServing: false)
        #expect(try world.alice.alone("send", "--queue", "-c", "nix", "to nobody").code == 0)
        try world.serve()
        _ = try world.alice("sync")
        let before = try world.alice("outbox", "ls", "--json")
        let entry = try #require(try before.objects().first)
        #expect(entry[string: "state"] == "refused")
        let number = try #require(entry[int: "number"])
        try expect(world.alice.run(["outbox", "retry", "--offline"] + (isNamed ? ["\(number)"] : [])), 69, "--offline")
        #expect(try world.alice("outbox", "ls", "--json").bytes == before.bytes)
    }

    @Test("--queue keeps a message while something else answers in the server's place, not one that natterd refuses")
    func strangeAnswer() throws {
        let world = try World()
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let alice = world.alice.at(way.url)
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "SSH-2.0-OpenSSH_9.2\r\n",
        ] {
            way.answerAll(answer)
            let queued = try alice("send", "--queue", "one")
            #expect(queued.code == 0 && queued.bytes.isEmpty && isOneLine(queued.errors), "\(queued)")
            let lines = try alice.run(["send", "--lines", "--queue"], input: bytes("two\nthree\n"))
            #expect(lines.code == 0 && isOneLine(lines.errors), "\(lines)")
            #expect(try alice("outbox", "retry").code == 76)
            way.answerAll(nil)
            try expect(alice("sync"), hasNotes: true)
        }
        #expect(try world.bob.texts("log") == (1...4).flatMap { _ in ["one", "two", "three"] })
        #expect(try alice("send", "--queue", "-c", "@nobody", "four").code == 67)
        #expect(try alice("outbox").bytes.isEmpty)
    }

    @Test("outbox ls says which message is an answer")
    func kinds() throws {
        let world = try World(isServing: false)
        for words in [["to all"], ["--re", "7", "an answer"]] {
            try expect(world.alice.alone.run(["send", "--offline", "--queue"] + words), hasNotes: true)
        }
        let lines = try world.alice.alone("outbox").lines
        #expect(lines.count == 2 && lines.first?.contains("  to all") == true, "\(lines)")
        #expect(lines.last?.contains("  [reply to 7] an answer") == true, "\(lines)")
        #expect(try Screen.show(world.alice.alone, ["outbox"]).text.contains(" waiting, reply to 7 "))
    }
}
