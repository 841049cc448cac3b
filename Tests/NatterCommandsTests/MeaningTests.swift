import NatterModel
import NatterProtocol
import ServerSupport
import Testing
import TestSupport

@testable import NatterCommands

@Suite("words for the number of a message")
struct SeqWordTests {
    @Test(
        "'last' and negative numbers count from the end, and nothing else does",
        arguments: [
            ("last", 1), ("-1", 1), ("-12", 12), ("1", nil), ("-0", nil), ("--1", nil), ("-x", nil), ("Last", nil),
        ]
            as [(String, Int?)])
    func place(word: String, place: Int?) {
        #expect(SeqWord.place(word) == place)
    }

    @Test("they stand wherever a number may; an edit and a deletion count one's own that are not deleted")
    func everywhere() throws {
        let (server, alice) = try TestServer.withAlice()
        let bob = try server.user("bob")
        for (person, text) in [(alice, "one"), (alice, "two"), (bob, "three")] {
            #expect(person("send", text) == .silent)
        }
        #expect(alice("edit", "last", "deux") == .silent)
        #expect(bob("send", "--re", "-2", "to two") == .silent)
        #expect(alice("log", "--json", "--around", "last", "-n", "1").messages.map(\.about) == [2])
        #expect(alice("show", "general", "-2", "--json").messages.map(\.text) == ["three"])
        #expect(alice("log", "--after", "-2", "--format", "%m").lines.first == "to two")
        #expect(alice("delete", "-1", "-2") == .silent)
        #expect(try alice.texts("log") == ["three", "to two"])
        #expect(alice("edit", "last", "x").code == 67)
        #expect(alice("edit", "-10001", "x").code == 64)
        // What is in the replica counts where the reader has seen no more
        #expect(bob("mark", "general", "-2").code == 67)
        #expect(bob("sync").code == 0 && bob("mark", "general", "-2").code == 0)
        #expect(bob("ls", "--json").output.contains(#""read":3"#))
    }
}

@Suite("a message to several")
struct SeveralTests {
    @Test("goes to each, with an id of its own, or nowhere if one of them is not there")
    func each() throws {
        let (server, alice) = try TestServer.withAlice()
        let (bob, carol) = (try server.user("bob"), try server.user("carol"))
        #expect(alice("send", "-c", "general", "-c", "@nobody", "x").code == 67)
        for _ in 1...2 { #expect(alice("send", "--id", "k", "-c", "general", "-c", "@bob", "x") == .silent) }
        #expect(alice("send", "--id", "k:2", "-c", "@bob", "x") == .silent)
        #expect(alice("pm", "bob,carol", "y") == .silent)
        #expect(try bob.texts("log") == ["x"])
        #expect(try bob.texts("log", "@alice") == ["x", "y"])
        #expect(try carol.texts("log", "@alice") == ["y"])
        for words in [
            ["send", "-c", "general", "-c", "General", "x"], ["send", "-c", "general", "-c", "@bob", "--re", "1", "x"],
            ["send", "-c", "general", "-c", "@bob", "--lines"], ["pm", "bob,", "carol", "x"],
        ] {
            #expect(alice.run(words).code == 64, "\(words)")
        }
        #expect(alice("send", "--id", String(repeating: "k", count: 63), "-c", "general", "-c", "@bob", "x").code == 65)
    }

    @Test("is sent to the others if one fails, and the status is that of the failure")
    func partly() throws {
        let (server, alice) = try TestServer.withAlice()
        let bob = try server.user("bob")
        #expect(bob("block", "alice").code == 0)
        let outcome = alice("send", "-c", "@bob", "-c", "general", "x")
        #expect(outcome.code == 77 && outcome.errors.contains("to '@bob': "), "\(outcome)")
        #expect(try bob.texts("log") == ["x"])
    }

    @Test("several --from mean any of them")
    func from() throws {
        let (server, alice) = try TestServer.withAlice()
        for name in ["bob", "carol", "dave"] { #expect(try server.user(name)("send", "by \(name)") == .silent) }
        #expect(alice("log", "--from", "BOB", "--from", "dave", "--format", "%s").lines == ["bob", "dave"])
        #expect(alice("log", "--from", "bob", "--from", "dave", "-n", "1", "--format", "%s").lines == ["dave"])
        #expect(alice("search", "by", "--from", "bob", "--from", "carol").lines.count == 2)
    }
}

@Suite("changes that wait")
struct WaitingChangeTests {
    @Test("an edit, a deletion and a mark wait in the outbox, in order, and arrive with the next command")
    func queue() throws {
        let (server, alice) = try TestServer.withAlice()
        let bob = try server.user("bob")
        for text in ["one", "two"] { #expect(alice("send", text) == .silent) }
        #expect(bob("send", "three") == .silent)
        #expect(alice("sync").code == 0)
        for words in [
            ["edit", "1", "uno"], ["delete", "2"], ["mark", "general"], ["mark", "general", "last"],
        ] {
            let outcome = alice.run(words + ["--offline", "--queue"])
            #expect(outcome.code == 0 && outcome.errors.contains("queued as message"), "\(words): \(outcome)")
        }
        #expect(alice("outbox").lines.contains { $0.contains("[mark up to 3]") })
        // Until then the newest of one's own is what waits
        #expect(alice("edit", "--offline", "--queue", "last", "x").code == 65)
        #expect(alice("--offline", "ls", "--json").output.contains(#""unread":0"#))
        #expect(alice("sync").code == 0)
        #expect(try bob.texts("log") == ["uno", "three"])
        #expect(alice("outbox", "--json").lines.isEmpty)
        let seen = try #require(alice("ls", "--json").lines.first)
        #expect(seen.contains(#""read":3"#) && seen.contains(#""unread":0"#), "\(seen)")
    }

    @Test("a mark of a conversation that is gone is dropped, and what waits behind it is sent")
    func gone() throws {
        let (server, alice) = try TestServer.withAlice()
        let bob = try server.user("bob")
        #expect(bob("group", "create", "ops").code == 0 && bob("group", "add", "ops", "alice").code == 0)
        #expect(bob("send", "-c", "ops", "x") == .silent)
        #expect(alice("sync").code == 0)
        #expect(alice("--offline", "mark", "--queue", "ops").code == 0)
        #expect(alice("--offline", "send", "--queue", "behind").code == 0)
        #expect(bob("group", "remove", "ops", "alice").code == 0)
        #expect(alice("sync").code == 0 && alice("outbox", "--json").lines.isEmpty)
        #expect(try bob.texts("log") == ["behind"])
    }
}

@Suite("the output in a report")
struct CommandOutputTests {
    private func excerpt(_ output: String, keeping count: Int = 4_096) -> (text: String, leftOut: Int) {
        CommandOutput.excerpt(Array(output.utf8.suffix(count)), of: output.utf8.count)
    }

    @Test(
        "it is what a terminal shows: no colours, and of a progress bar the last step",
        arguments: [
            ("\u{1B}[1;31mred\u{1B}[0m\r\nplain\r\n", "red\nplain"), ("10%\r20%\rdone\nnext\n", "done\nnext"),
            ("20%\r", "20%"), ("\u{1B}]0;title\u{7}a\u{1B}]0;title\u{1B}\\b\u{1B}(Bc\u{1B}=d", "abcd"),
            ("a\u{0}b\u{1B}", "ab"), ("\n\na\n\n", "a"), ("\u{1B}[12", ""),
        ])
    func shown(output: String, text: String) {
        #expect(excerpt(output) == (text, 0))
    }

    @Test("a part begins with a whole line, or at a character, and tells how much is before it")
    func part() {
        #expect(excerpt("one\ntwo\nthree\n", keeping: 8) == ("three", 8))
        #expect(excerpt("жжж", keeping: 3) == ("ж", 4))
        #expect(excerpt("long line\n", keeping: 4) == ("ine", 6))
    }
}

@Suite("a blank text")
struct BlankTextTests {
    @Test("is no message, and no new text of one", arguments: [" ", "\t\n", "\u{3000}"])
    func refused(text: String) throws {
        let (server, alice) = try TestServer.withAlice()
        defer { withExtendedLifetime(server) {} }
        #expect(alice("send", "x") == .silent)
        for words in [["send", text], ["pm", "me", text], ["edit", "1", text]] {
            let outcome = alice.run(words)
            #expect(outcome.code == 65 && outcome.errors.contains("blank"), "\(words): \(outcome)")
        }
        #expect(try alice.texts("log") == ["x"])
    }
}
