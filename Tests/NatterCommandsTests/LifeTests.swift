import NatterProtocol
import ServerSupport
import Testing
import TestSupport

@Suite("replies, edits and deletions in the commands")
struct LifeCommandTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

    /// Lines without their times.
    private func lines(_ outcome: Outcome) -> [String] { outcome.lines.map { String($0.dropFirst(25)) } }

    @Test("log shows the newest text; what is new has lines for edits and deletions of earlier messages")
    func folding() throws {
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        let seen = bob.directory("seen")
        #expect(alice("send", "helo").code == 0)
        #expect(alice("send", "secret").code == 0)
        #expect(lines(bob("log", "--cursor-file", seen)) == ["alice: helo", "alice: secret"])
        #expect(bob("send", "--re", "1", "hi").code == 0)
        #expect(alice("edit", "1", "hello").code == 0)
        #expect(alice("delete", "2").code == 0)
        let folded = ["alice: hello (edited)", "alice: (deleted)", "bob (re 1): hi"]
        #expect(lines(bob("log")) == folded)
        #expect(lines(bob("log", "-n", "2")) == Array(folded.dropFirst()))
        #expect(lines(bob("log", "--offline", "--all")) == folded.map { "general " + $0 })
        #expect(
            lines(bob("log", "--cursor-file", seen))
                == ["bob (re 1): hi", "alice (edits 1): hello", "alice (deletes 2)"])
        #expect(bob("log", "--cursor-file", seen).output.isEmpty)
        #expect(
            lines(bob("log", "--raw"))
                == [
                    "alice: helo (edited)", "alice: (deleted)", "bob (re 1): hi", "alice (edits 1): hello",
                    "alice (deletes 2)",
                ])
        // From the beginning, an edit of what is printed here has no line
        #expect(lines(bob("log", "--cursor-file", bob.directory("new"))) == folded)
        #expect(!bob("log", "--raw", "--json").output.contains("secret"))
        let objects = try bob("log", "--json").lines.map { line -> MessageObject in
            try WireJSON.decode(from: Array(line.utf8))
        }
        #expect(objects.map(\.text) == ["hello", "", "hi"] && objects.map(\.seq) == [1, 2, 3])
        #expect(objects[0].edited != nil && objects[1].deleted == true && objects[2].about == 1)
        #expect(bob("log", "--format", "%n %k %a %m").lines == ["1 text  hello", "2 text  ", "3 text 1 hi"])
        #expect(lines(bob("log", "--numbers", "-n", "1")) == ["3 bob (re 1): hi"])
        #expect(lines(bob("log", "--thread", "3")) == [folded[0], folded[2]])
        // That of an edit is that of its original.
        #expect(lines(bob("log", "--thread", "4")) == lines(bob("log", "--thread", "1")))
    }

    @Test("each message that '-n' counts has a line, also edits of a message that was deleted then")
    func editsOfDeleted() throws {
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        let seen = bob.directory("seen")
        _ = alice("send", "secret")
        #expect(lines(bob("log", "--mark", "--cursor-file", seen)) == ["alice: secret"])
        for text in ["another", "a third"] { _ = alice("edit", "1", text) }
        _ = alice("delete", "1")
        _ = alice("send", "important")
        for line in ["alice (deletes 1)", "alice: important"] {
            #expect(lines(bob("log", "--cursor-file", seen, "-n", "1", "--exit-code")) == [line])
        }
        #expect(bob("log", "--cursor-file", seen, "-n", "1", "--exit-code").code == 1)
        #expect(lines(bob("log", "--unread", "-n", "2")) == ["alice (deletes 1)", "alice: important"])
        #expect(
            lines(bob("log", "--raw", "--numbers"))
                == [
                    "1 alice: (deleted)", "2 alice (edits 1): (deleted)", "3 alice (edits 1): (deleted)",
                    "4 alice (deletes 1)", "5 alice: important",
                ])
        #expect(lines(bob("log", "--raw", "-n", "3")).count == 3)
    }

    @Test("unread messages of others show what happened to what was read before")
    func unread() throws {
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        _ = alice("send", "one")
        _ = bob("log", "--mark")
        _ = alice("send", "two")
        _ = alice("edit", "1", "uno")
        _ = alice("edit", "2", "due")
        #expect(lines(bob("log", "--unread")) == ["alice: due (edited)", "alice (edits 1): uno"])
        #expect(bob("log", "--unread", "--json").lines.count == 3)
        #expect(bob("ls", "--json").output.contains("\"unread\":1"))
    }

    @Test("a search finds the newest text alone, with messages around it")
    func search() throws {
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        for text in ["before", "walrus", "after", "walrus too"] { _ = alice("send", text) }
        _ = alice("edit", "2", "penguin")
        _ = alice("delete", "4")
        _ = bob("sync")
        for _ in 1...2 {
            #expect(bob("search", "walrus").code == 1)
            #expect(bob("search", "--substring", "walrus").code == 1)
            #expect(lines(bob("search", "penguin")) == ["general alice: penguin (edited)"])
            #expect(lines(bob("search", "--regex", "pen.uin")) == ["general alice: penguin (edited)"])
        }
        #expect(
            lines(bob("search", "penguin", "-C", "1"))
                == ["general alice: before", "general alice: penguin (edited)", "general alice: after"])
        #expect(lines(bob("log", "--grep", "PENG")) == ["alice: penguin (edited)"])
        // Nobody learns by patterns what a deleted message and its edits said.
        _ = alice("delete", "2")
        _ = bob("sync")
        for option in ["--raw", "--json"] {
            #expect(bob("log", option, "--grep", "penguin|walrus").output == "")
            #expect(bob("log", option, "--raw", "--grep", "before").lines.count == 1)
        }
    }

    @Test("edits and deletions don't count among the messages around one")
    func around() throws {
        let alice = try server.user("alice")
        for number in 1...6 {
            let sent: MessageObject = try WireJSON.decode(
                from: Array(alice("send", "--json", "text \(number)").output.utf8))
            let seq = "\(sent.seq)"
            for _ in 1...3 { _ = alice("edit", seq, "walrus \(number)") }
        }
        // The messages have the numbers 1, 5, 9 and so on.
        #expect(lines(alice("log", "--around", "9", "-n", "3")) == (2...4).map { "alice: walrus \($0) (edited)" })
        #expect(lines(alice("log", "--around", "10", "-n", "2")) == (3...4).map { "alice: walrus \($0) (edited)" })
        #expect(lines(alice("log", "--around", "1", "-n", "3")) == (1...3).map { "alice: walrus \($0) (edited)" })
        #expect(lines(alice("log", "--around", "24", "-n", "3")) == (4...6).map { "alice: walrus \($0) (edited)" })
        #expect(alice("log", "--around", "9", "-n", "3", "--raw").lines.count == 3)
        #expect(alice("log", "--around", "9", "--grep", "walrus").code == 64)
        #expect(lines(alice("search", "walrus 3", "-C", "1")) == (2...4).map { "general alice: walrus \($0) (edited)" })
    }

    @Test("what stands around hits is printed once where it touches")
    func touching() throws {
        let alice = try server.user("alice")
        for number in 1...13 { _ = alice("send", [3, 6, 12].contains(number) ? "walrus \(number)" : "text \(number)") }
        _ = alice("edit", "7", "a walrus now")
        _ = alice("sync")
        func numbers(_ context: String) -> [String] {
            lines(alice("search", "walrus", "-C", context)).map { $0.split(separator: " ").last.map(String.init) ?? "" }
        }
        #expect(numbers("0") == ["(edited)", "12", "6", "3"])
        // The message before the older of two hits is there, too.
        #expect(
            lines(alice("search", "--regex", "text 1[01]", "-C", "1")).map { $0.suffix(2) } == [" 9", "10", "11", "12"])
        #expect(lines(alice("search", "--regex", "text (8|10)", "-C", "2")).count == 7)
        // 7 is found by its edit, the newest message. The messages around 3 and 6 touch, between 4 and 5.
        #expect(
            numbers("1")
                == ["6", "(edited)", "8", "", "11", "12", "13", "", "2", "3", "4", "5", "6", "(edited)"])
        #expect(
            numbers("2")
                == ["5", "6", "(edited)", "8", "9", "", "10", "11", "12", "13", ""]
                + ["1", "2", "3", "4", "5", "6", "(edited)", "8"])
    }

    @Test("show prints one message with its replies, edits and hash")
    func show() throws {
        let alice = try server.user("alice")
        _ = alice("send", "one")
        _ = alice("send", "--re", "1", "two")
        _ = alice("edit", "1", "uno")
        let object: MessageObject = try WireJSON.decode(
            from: Array(alice("show", "general", "1", "--json").output.utf8))
        #expect(object.text == "uno" && object.replies == [2] && object.edits == [3] && object.hash?.count == 64)
        let raw: MessageObject = try WireJSON.decode(
            from: Array(alice("show", "general", "1", "--json", "--raw").output.utf8))
        #expect(raw.text == "one")
        let text = alice("show", "general", "1").lines
        #expect(text.count == 4 && text[1] == "replies: 2" && text[2] == "edits: 3")
        #expect(alice("show", "general", "9").code == 67)
        #expect(alice("edit", "9", "x").code == 65)
        #expect(alice("edit", "2", "x", "--id", "k").code == 0)
        #expect(alice("edit", "2", "x", "--id", "k").code == 0)
        #expect(alice("delete", "2", "1").code == 0)
        #expect(alice("log").lines.map { $0.dropFirst(25) } == ["alice: (deleted)", "alice (re 1): (deleted)"])
    }

    @Test("a mention is '@' and the name in any case, before the end, white space or punctuation")
    func mentions() throws {
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        for text in ["hi @BOB!", "mail bob", "@bobby", "to @bob", "@bob_x", "x@bob, y"] { _ = alice("send", text) }
        #expect(
            lines(bob("log", "--mentions")) == ["alice: hi @BOB!", "alice: to @bob", "alice: x@bob, y"])
        // In a pipe, 'ls' prints a plain number.
        #expect(bob("ls").output.contains(" 6 ") && !bob("ls").output.contains("6@"))
        #expect(bob("status", "--short").lines == ["6@"])
        _ = bob("mark")
        _ = bob("sync")
        #expect(bob("status", "--short").output.isEmpty)
    }

    @Test("a text full of combining marks costs what any text of its size costs")
    func marks() throws {
        let alice = try server.user("alice")
        /// The time to look for mentions in a text, and to show its first line.
        func cost(_ run: String) throws -> Int {
            let name = "bob\(run.unicodeScalars.count)"
            let bob = try server.user(name)
            for text in ["@b\(run)", "@\(run)", "@\(name)-\(run)", "\(run)\n"] {
                #expect(alice("send", text).code == 0)
            }
            #expect(bob("sync").code == 0)
            return ThreadTime.of {
                #expect(bob("log", "--mentions", "--offline").lines.count == 1)
                #expect(bob("ls", "--offline").output.utf8.count > 10_000)
            }
        }
        let usual = try cost(String(repeating: "\u{44F}", count: 28_000))
        // Marks of two classes in turn, which a comparison of characters must sort.
        #expect(try cost(String(repeating: "\u{301}\u{316}", count: 14_001)) < 10 * usual)
    }
}
