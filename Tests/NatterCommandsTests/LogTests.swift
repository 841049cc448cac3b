import NatterModel
import ServerSupport
import Testing
import TestSupport

@Suite("log")
struct LogTests {
    @Test(
        "options that make no sense",
        arguments: [
            ["--all", "general"], ["--all", "--after", "1"], ["--reverse", "-f"], ["-f", "--offline"], ["-n", "x"],
            ["-n", "-1"], ["--since", "soon"], ["--around", "0"], ["--format", "%q"],
            ["--format", "%m", "--numbers"],
            ["--around", "1", "--from", "x"], ["--cursor-file", "f", "--reverse"],
            ["--cursor-file", ""],
            ["--cursor-file", "f", "--after", "1"],
            ["a", "b"], ["--after", "x"], ["--since", ""], ["--since", "-2"], ["--since", "2023-02-30"],
            ["--since", "@x"], ["--until", "2023-13-01"], ["--nix"], ["-x"], ["--json=1"], ["-n"],
            ["--mark", "--offline"], ["--mark", "-f"], ["--unread", "-f"], ["--unread", "--after", "1"],
            ["--unread", "--cursor-file", "f"], ["--all", "--unread", "--reverse", "-n", "1"],
        ])
    func usage(words: [String]) throws {
        let person = try Person(server: "http://127.0.0.1:9")
        let outcome = person.run(["log"] + words)
        #expect(outcome.code == 64 && outcome.bytes.isEmpty, "\(outcome)")
        #expect(outcome.errors.hasPrefix("natter: ") && outcome.errors.count { $0 == "\n" } == 1, "\(outcome)")
    }
}

@Suite("log --cursor-file")
struct LogCursorTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

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
