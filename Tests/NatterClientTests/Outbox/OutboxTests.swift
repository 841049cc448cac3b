import NatterClient
import NatterModel
import NatterServer
import NatterSystem
import NatterProtocol
import ServerSupport
import SystemSupport
import Testing
import TestSupport

@Suite("send --queue and the outbox")
struct OutboxTests {
    private let server: TestServer
    private let alice: Person

    init() throws {
        server = try TestServer()
        alice = try server.user("alice")
    }

    @Test("with a server it sends at once, and says no more than without")
    func online() throws {
        #expect(alice("send", "--queue", "hello") == .silent)
        #expect(alice("send", "--queue", "--json", "again").messages.map(\.seq) == [2])
        #expect(try alice.texts() == ["hello", "again"])
        #expect(alice("outbox", "ls") == .silent)
    }

    @Test(
        "messages queued while the server was down are sent in order by a later command",
        arguments: [["sync"], ["log"], ["users"], ["whoami"], ["send", "last"], ["send", "--queue", "last"]])
    func later(command: [String]) throws {
        // Given a first sync, so that log and users have something to show
        #expect(alice("sync").code == 0)
        server.stop()
        for number in 1...5 {
            let outcome = alice("send", "--queue", "message \(number)")
            #expect(outcome.code == 0 && outcome.output.isEmpty)
            #expect(outcome.errors.hasPrefix("natter: queued as message \(number) of the outbox: cannot reach"))
        }
        #expect(alice("send", "--queue", "--quiet", "message 6") == .silent)
        #expect(alice("outbox", "ls").lines.count == 6)
        // When the server is back
        try server.start()
        #expect(alice.run(command).code == 0)
        // Then all are there, in order, before anything that came later
        let expected = (1...6).map { "message \($0)" } + (command[0] == "send" ? ["last"] : [])
        #expect(try alice.texts() == expected)
        #expect(alice("outbox", "ls").output.isEmpty)
    }

    @Test("without --queue an unreachable server is an error, and queued messages go first")
    func withoutQueue() throws {
        #expect(alice("send", "--queue", "--offline", "one").errors.contains("--offline was given"))
        server.stop()
        #expect(alice("send", "two").code == 69)
        #expect(alice("sync").code == 69)
        try server.start()
        #expect(alice("send", "three").code == 0)
        #expect(try alice.texts() == ["one", "three"])
    }

    @Test("log and users show the replica if queued messages cannot be sent")
    func readersGoOn() throws {
        #expect(alice("send", "here").code == 0)
        #expect(alice("sync").code == 0)
        #expect(alice("users").code == 0)
        server.stop()
        #expect(alice("send", "--queue", "waits").code == 0)
        let log = alice("log", "--format", "%m")
        #expect(log.code == 0 && log.lines == ["here"] && log.errors.contains("the replica was synced"))
        #expect(alice("users").code == 0)
    }

    @Test("a queued message stays if it is sent again and the session has ended")
    func sessionEnded() throws {
        #expect(alice("send", "--queue", "--offline", "--id", "kept", "one").code == 0)
        // When the server takes nothing from us
        let token = "profiles/default/token"
        let text = String(
            decoding: try PosixDisk().contents(of: "\(alice.home)/\(token)", limit: 1_000), as: UTF8.self
        ).filter { $0 != "\n" }
        // The last character has two bits that must be zero, so it stays. The token is well-formed, but unknown.
        try alice.directory.write("home/\(token)", String(text.dropLast().reversed()) + text.suffix(1) + "\n")
        #expect(alice("send", "--queue", "--id", "kept", "one").code == 77)
        #expect(alice("send", "--queue", "--id", "fresh", "two").code == 77)
        // Then only messages reported as errors are not kept
        let list = alice("outbox", "ls", "--json").lines
        #expect(list.count == 1 && list[0].contains(#""id":"kept""#))
    }

    @Test("it is sent message by message to a server that keeps its room for single ones")
    func keptRoom() throws {
        var options = ChatServer.Options()
        options.spools.freeBytes = .max
        let server = try TestServer(options: options)
        let alice = try server.user("alice")
        for (to, text) in [("general", "one"), ("@nobody", "into the void"), ("general", "two")] {
            #expect(alice("send", "--queue", "--offline", "-c", to, text).code == 0)
        }
        // Many at once are refused, but not one, and not what waits
        #expect(try alice.send("--lines", input: Array("a\nb\n".utf8)).code == 75)
        #expect(alice("send", "three").code == 0)
        #expect(try alice.texts() == ["one", "two", "three"])
        #expect(alice("outbox", "ls", "--json").lines.count == 1)
    }

    @Test("a refused message is parked with its reason and blocks nothing")
    func parked() throws {
        #expect(alice("send", "--id", "used", "first").code == 0)
        server.stop()
        #expect(alice("send", "--queue", "one").code == 0)
        #expect(alice("send", "--queue", "-c", "@nobody", "into the void").code == 0)
        #expect(alice("send", "--queue", "--id", "used", "something else").code == 0)
        #expect(alice("send", "--queue", "two").code == 0)
        try server.start()
        let sync = alice("sync")
        #expect(sync.code == 0)
        #expect(sync.errors.contains("message 2 of the outbox, to '@nobody', was refused"))
        #expect(sync.errors.contains("message 3 of the outbox"))
        #expect(try alice.texts() == ["first", "one", "two"])
        let list = alice("outbox", "ls", "--json").lines
        #expect(list.count == 2)
        #expect(list[0].contains(#""code":"no_such_user""#) && list[0].contains(#""state":"refused""#))
        #expect(list[1].contains(#""code":"id_reused""#) && list[1].contains(#""id":"used""#))
        // They are not tried again by themselves, and said only once
        #expect(alice("sync").errors.isEmpty)
        // When the reason no longer holds, a retry sends it
        _ = try server.user("nobody")
        #expect(alice("outbox", "retry", "2").code == 0)
        #expect(try alice.texts("log", "@nobody") == ["into the void"])
        #expect(alice("outbox", "retry").code == 65)
        #expect(alice("outbox", "ls").lines.count == 1)
        // And unwanted messages can be dropped
        #expect(alice("outbox", "drop", "7").code == 67)
        #expect(alice("outbox", "drop").code == 64)
        #expect(alice("outbox", "drop", "--all", "3").code == 64)
        #expect(alice("outbox", "drop", "used").code == 0)
        #expect(alice("outbox", "ls").output.isEmpty)
    }

    @Test("a message waits while the server has no room for answers beside those of others")
    func noRoom() throws {
        var options = ChatServer.Options()
        options.spools.totalBytes = 1 << 20
        let directory = try TemporaryDirectory()
        let full = try TestServer(directory: directory, options: options)
        let person = try full.user("alice")
        #expect(person("send", "--queue", "--offline", "one").code == 0)
        // When it is offered, then it is not parked
        #expect(!person("sync").errors.contains("refused"))
        let list = person("outbox", "ls", "--json").lines
        #expect(list.count == 1 && list[0].contains(#""state":"waiting""#))
        // And it goes when there is room
        full.stop()
        let roomy = try TestServer(directory: directory)
        #expect(person("send", "--server", roomy.url, "three").code == 0)
        #expect(try person.texts("log", "--server", roomy.url) == ["one", "three"])
    }

    @Test("drop takes all or none, and --all everything")
    func drop() throws {
        for number in 1...4 { #expect(alice("send", "--queue", "--offline", "message \(number)").code == 0) }
        #expect(alice("outbox", "drop", "1", "9").code == 67)
        #expect(alice("outbox", "ls").lines.count == 4)
        #expect(alice("outbox", "drop", "1", "3", "1").code == 0)
        #expect(alice("outbox", "ls").lines.count == 2)
        #expect(alice("outbox", "drop", "--all").code == 0)
        #expect(alice("sync").code == 0)
        #expect(try alice.texts().isEmpty)
    }

    @Test("the number of one message that is the id of another names neither", arguments: ["drop", "retry"])
    func ambiguous(verb: String) throws {
        #expect(alice("send", "--queue", "--offline", "--id", "2", "one").code == 0)
        #expect(alice("send", "--queue", "--offline", "--id", "1x", "two").code == 0)
        #expect(alice("outbox", verb, "2").code == 64)
        #expect(alice("outbox", "ls").lines.count == 2)
        // The number of the one, and the id of the other
        #expect(alice("outbox", "drop", "1").code == 0)
        #expect(alice("outbox", "drop", "1x").code == 0)
        #expect(alice("outbox", "ls").lines.isEmpty)
    }

    @Test("an immediate refusal is an error and leaves nothing behind", arguments: [false, true])
    func refusedAtOnce(behindAnother: Bool) throws {
        if behindAnother { #expect(alice("send", "--queue", "--offline", "waits").code == 0) }
        #expect(alice("send", "--queue", "-c", "@nobody", "x").code == 67)
        #expect(alice("outbox", "ls").output.isEmpty)
        #expect(try alice.texts() == (behindAnother ? ["waits"] : []))
    }

    @Test("an id is queued once; with other content it is refused at once")
    func ids() throws {
        server.stop()
        for _ in 1...2 { #expect(alice("send", "--queue", "--id", "job", "done").code == 0) }
        #expect(alice("send", "--queue", "--id", "job", "other").code == 65)
        #expect(alice("outbox", "ls").lines.count == 1)
        try server.start()
        #expect(alice("sync").code == 0)
        #expect(alice("send", "--queue", "--id", "job", "done").code == 0)
        #expect(try alice.texts() == ["done"])
    }

    @Test("--json shows the entry that was queued")
    func json() throws {
        let outcome = alice("send", "--queue", "--offline", "--json", "--id", "k", "-c", "@me", "note\u{1B}")
        #expect(outcome.lines.count == 1)
        for part in [
            #""state":"waiting""#, #""number":1"#, #""id":"k""#, #""conversation":"@me""#, #""text":"note\u001b""#,
        ] {
            #expect(outcome.output.contains(part), "\(outcome.output)")
        }
        #expect(alice("outbox", "ls", "--json").output == outcome.output)
        #expect(!alice("outbox", "ls").output.contains("\u{1B}"))
    }

    @Test("messages queued by one account are not sent by another")
    func accounts() throws {
        let bob = try server.user("bob")
        #expect(alice("send", "--queue", "--offline", "from alice").code == 0)
        // When bob is logged in at alice's home
        let other = alice.with(directory: try bob.directory.copy())
        try PosixDisk().rename("\(alice.home)/outbox", to: "\(other.home)/outbox")
        #expect(other("sync").code == 0)
        #expect(other("outbox", "ls").output.isEmpty)
        #expect(try bob.texts().isEmpty)
    }

    @Test("a copied home sends queued messages once, and later ones as its own")
    func copiedHome() throws {
        server.stop()
        for number in 1...20 { #expect(alice("send", "--queue", "message \(number)").code == 0) }
        let copy = alice.with(directory: try alice.directory.copy())
        #expect(alice("send", "--queue", "same words").code == 0)
        #expect(copy("send", "--queue", "same words").code == 0)
        try server.start()
        let outcomes = try concurrently(2) { [alice, copy][$0]("sync").code }
        #expect(outcomes == [0, 0])
        let expected = ((1...20).map { "message \($0)" } + ["same words", "same words"]).sorted()
        #expect(try alice.texts().sorted() == expected)
    }

    @Test("--lines with --queue keeps unsent messages, in order")
    func queuedLines() throws {
        server.stop()
        let lines = (1...2_300).map { "line \($0)" }
        let outcome = try alice.send("--lines", "--queue", input: Array(lines.joined(separator: "\n").utf8))
        #expect(outcome.code == 0 && outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("natter: 2300 of 2300 messages queued: cannot reach"))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        try server.start()
        // Behind them, whatever comes next
        #expect(try alice.send("--lines", "--queue", input: Array("after\n".utf8)).errors.isEmpty)
        #expect(try difference(alice.texts(), lines + ["after"]) == nil)
    }

    @Test("a message that got no answer and is older than the server keeps ids waits for its user")
    func doubtful() throws {
        func request(_ text: String) -> SendRequest { SendRequest(conversation: "general", text: text, id: text) }
        let long = Timestamp(milliseconds: SystemClock().now().milliseconds - 31 * 86_400_000)
        let lately = Timestamp(milliseconds: SystemClock().now().milliseconds - 29 * 86_400_000)
        // Given messages that were never sent, and some without an answer
        _ = try alice.outbox.add([request("never sent")], at: long)
        _ = try alice.outbox.add([request("long ago")], at: long, mayHaveArrived: true)
        _ = try alice.outbox.add([request("lately")], at: lately, mayHaveArrived: true)
        // When a command delivers
        let outcome = alice("sync")
        #expect(outcome.errors.contains("may be there already"), "\(outcome.errors)")
        // Then the doubtful one is parked
        #expect(try alice.texts() == ["never sent", "lately"])
        #expect(alice("outbox", "ls").lines.count == 1)
        // And its user decides
        #expect(alice("outbox", "retry").code == 0)
        #expect(try alice.texts() == ["never sent", "lately", "long ago"])
    }

    @Test("an id is of the same message if its group is, whatever the name; without the group's id, the name decides")
    func sameGroup() throws {
        var generator = SeededGenerator(seed: 1)
        let (one, other) = (ConversationID(using: &generator), ConversationID(using: &generator))
        func add(_ name: String, _ id: ConversationID?) throws -> ConversationID? {
            let request = SendRequest(conversation: name, conversationID: id, text: "x", id: "x")
            return try alice.outbox.add([request], at: SystemClock().now()).first?.entry.request.conversationID
        }
        #expect(try add("ops", one) == one)
        #expect(try add("crew", one) == one && add("ops", nil) == one)
        #expect(throws: OutboxError.idReused("x")) { try add("ops", other) }
        #expect(throws: OutboxError.idReused("x")) { try add("crew", nil) }
    }

    @Test("only a message whose outcome is unknown is in doubt")
    func doubt() throws {
        func tried() throws -> [Bool] {
            var tried: [Bool] = []
            try alice.outbox.forEach {
                tried.append($0.tried != nil)
                return true
            }
            return tried
        }
        _ = try alice.outbox.add([SendRequest(conversation: "general", text: "x", id: "x")], at: SystemClock().now())
        server.stop()
        _ = alice("sync", "--timeout", "0.5")
        #expect(try tried() == [false])
        // A server that does not say which store it has gets no message
        let silent = try ScriptedServer { peer, _ in _ = peer.readRequest() }
        _ = alice.with(server: silent.url)("sync", "--timeout", "0.5")
        #expect(try tried() == [false])
        // One that reads the message and does not answer
        let store = alice.store
        let taking = try ScriptedServer { peer, _ in
            guard peer.readRequest()?.hasPrefix("GET /healthz ") == true else { return }
            peer.answer("{}", headers: "Connection: close\r\nNatter-Store: \(store)\r\n")
        }
        _ = alice.with(server: taking.url)("sync", "--timeout", "2")
        #expect(try tried() == [true])
        try server.start()
        #expect(alice("sync").code == 0)
        #expect(try alice.texts() == ["x"])
    }
}
