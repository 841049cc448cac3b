internal import Foundation
internal import Glibc
internal import Testing
internal import TestSupport

/// Types a key and takes it back, again and again.
private final class Typing: @unchecked Sendable {
    // Unchecked: this thread only writes to the process, and what it shares is behind the lock.
    private let process: ChildProcess
    private let lock = NSLock()
    private var isOver = false

    init(_ process: ChildProcess) {
        self.process = process
        Thread.detachNewThread { [self] in
            while !lock.withLock({ isOver }) {
                self.process.type("x\u{8}")
                usleep(50_000)
            }
        }
    }

    func stop() { lock.withLock { isOver = true } }
}

@Suite("natter chat")
struct ChatTests {
    static let (up, down, tab, end) = ("\u{1B}[A", "\u{1B}[B", "\t", "\u{4}")
    let world: World

    init() throws { world = try World() }

    func start() throws -> ChildProcess { try Screen.start(world.bob, ["chat"], columns: 80) }

    /// A chat that waits for a line, of bob's unless somebody else is named, in `general` unless another conversation is.
    private func open(_ name: String? = nil, as person: Person? = nil, columns: Int = 80) throws -> ChildProcess {
        let words = ["chat"] + [name].compactMap { $0 }
        let chat = try Screen.start(person ?? world.bob, words, columns: columns)
        try chat.output(until: "\(name ?? "general")> ")
        return chat
    }

    func leave(_ chat: ChildProcess, sourceLocation: SourceLocation = #_sourceLocation) {
        chat.type(ChatTests.end)
        #expect(chat.finish().code == 0, sourceLocation: sourceLocation)
    }

    @Test("shows what is there and what comes, sends lines, edits the last message, and marks what was seen")
    func talk() throws {
        try world.alice.sends("before")
        let chat = try start()
        try chat.output(until: "before")
        try chat.output(until: "general> ")
        chat.type("hello, Маша\n")
        // The sent line is shown as everybody sees it
        try chat.output(until: "bob\u{1B}[m: hello, Маша")
        try world.alice.sends("news")
        try chat.output(until: ": news")
        chat.type(ChatTests.up)
        try chat.output(until: "edit 2")
        chat.type(" and all\n")
        try chat.output(until: "(edits 2): hello, Маша and all")
        #expect(try world.alice.texts("log") == ["before", "hello, Маша and all", "news"])
        // Down leaves it as it is
        chat.type(ChatTests.up)
        try chat.output(until: "edit 2")
        chat.type(ChatTests.down + "another\n")
        try chat.output(until: "bob\u{1B}[m: another")
        // A text of two lines, too
        try world.bob.sends("two\nlines")
        try chat.output(until: "lines")
        chat.type(ChatTests.up)
        try chat.output(until: "edit 6> two")
        chat.type("!\n")
        try chat.output(until: "(edits 6): two")
        leave(chat)
        #expect(try world.alice.texts("log").suffix(2) == ["another", "two\nlines!"])
        #expect(try world.bob("ls", "--json").objects().allSatisfy { $0[int: "unread"] == 0 })
    }

    @Test("a message that arrives does not disturb the line that is typed")
    func undisturbed() throws {
        try world.alice.sends("before")
        let chat = try open(columns: 40)
        let text = String(repeating: "long ", count: 20)
        chat.type(text)
        try chat.output(until: "long long")
        try world.alice.sends("between")
        try chat.output(until: ": between")
        chat.type("end\n")
        try eventually("it is sent") { try world.alice.texts("log").last == text + "end" }
        leave(chat)
    }

    @Test("a line of wide characters in several rows is taken away as a whole")
    func wideCharacters() throws {
        let chat = try open(columns: 11)
        // One beside the prompt, then five to a row, in which a column stays empty
        chat.type(String(repeating: "語", count: 1 + 15 + 1))
        // How libedit begins a row
        for _ in 1...4 { try chat.output(until: "\u{8}語") }
        try world.alice.sends("news")
        try chat.output(until: "\u{1B}[4A\r\u{1B}[J")
        chat.type("\u{15}" + ChatTests.end)
        #expect(chat.finish().code == 0)
    }

    @Test("a line of characters without a width is taken away as a whole", arguments: ["\u{FFFF}", "\u{10FFFF}"])
    func unknownCharacters(character: String) throws {
        let chat = try open(columns: 20)
        // Each drawn as its number, of 7 or 8 columns
        chat.type(String(repeating: character, count: 10) + "x")
        try chat.output(until: "x")
        try world.alice.sends("news")
        try chat.output(until: "\u{1B}[4A\r\u{1B}[J")
        chat.type("\u{15}" + ChatTests.end)
        #expect(chat.finish().code == 0)
    }

    @Test("Tab completes names; unread messages elsewhere stand before the line")
    func completion() throws {
        try world.alice.sends("before")
        _ = try world.bob("users")
        _ = try world.bob("sync")
        let chat = try open()
        try world.carol.sends("psst", to: "@bob")
        try chat.output(until: "[1 unread] general> ")
        chat.type("@al" + ChatTests.tab)
        try chat.output(until: "ice ")
        chat.type("hi\n")
        try eventually("it is sent") { try world.alice.texts("log").last == "@alice hi" }
        // A pasted one is text
        chat.type("al" + ChatTests.tab + "b\n")
        try eventually("it is sent") { try world.alice.texts("log").last == "al\tb" }
        leave(chat)
    }

    @Test("without the server the line says so, and what is typed waits in the outbox; a refused text comes back")
    func offline() throws {
        try world.alice.sends("before")
        _ = try world.bob("sync")
        let chat = try Screen.start(world.bob.alone, ["chat"], columns: 80)
        try chat.output(until: "[offline] general> ")
        chat.type("later\n")
        try chat.output(until: "queued as message 1 of the outbox")
        try chat.output(until: "[offline] general> ")
        // The waiting message is newer than anything that Up could bring back
        chat.type(ChatTests.up)
        try chat.output(until: "'natter outbox drop 1' drops it")
        leave(chat)
        #expect(try world.bob("sync").code == 0)
        // Up brings the last own message back; without the server the edit waits, too.
        let again = try Screen.start(world.bob.alone, ["chat"], columns: 80)
        try again.output(until: "[offline] general> ")
        again.type("\u{1B}[A")
        try again.output(until: "edit 2> later")
        again.type("!\n")
        try again.output(until: "queued as message 2 of the outbox")
        leave(again)
        #expect(try world.bob.alone("outbox", "ls", "--json").objects().first?[string: "kind"] == "edit")
        #expect(try world.bob.alone("outbox", "ls").output.contains("  [edit of 2] later!"))
        #expect(try world.bob("sync").code == 0)
        #expect(try world.alice.texts("log") == ["before", "later!"])
        // A group that removes its member meanwhile
        _ = try world.alice("group", "create", "crew")
        _ = try world.alice("group", "add", "crew", "bob")
        let crew = try open("crew")
        _ = try world.alice("group", "remove", "crew", "bob")
        crew.type("anybody here?\n")
        try crew.output(until: "there is no conversation 'crew'")
        try crew.output(until: "crew> ")
        try crew.output(until: "anybody here?")
        // Ctrl-U clears the line. Pasted lines come back as they were: a Tab completes nothing
        crew.type("\u{15}one\n\tt\two\n")
        try crew.output(until: "t       wo")
        crew.type("\n")
        try crew.output(until: "there is no conversation 'crew'")
        try crew.output(until: "t       wo")
        crew.type("\u{15}  \n" + ChatTests.end)
        let end = crew.finish()
        // Neither did the lines become one, nor is one of blanks sent
        #expect(end.code == 0 && !end.output.contains("onet") && !end.output.contains("no conversation"), "\(end)")
    }

    @Test("an edit that is refused is still an edit, and bytes that are not UTF-8 swallow no key")
    func refusedEdit() throws {
        try world.bob.sends("helo")
        let chat = try open()
        chat.type(ChatTests.up)
        try chat.output(until: "edit 1> helo")
        try expect(world.bob("delete", "1"))
        chat.type("!\n")
        try chat.output(until: "message 1 is deleted")
        try chat.output(until: "edit 1> ")
        // Down leaves the edit. The last letter is that of 'café' in Latin-1
        chat.type((Array((ChatTests.down + "caf").utf8) + [0xE9, 0x0A])[...])
        try eventually("it is sent") { try world.alice.texts("log").last == "caf\u{FFFD}" }
        leave(chat)
    }

    @Test("keys that are typed while a message is on its way are for the next line")
    func typedAhead() throws {
        let chat = try open()
        world.daemon?.process.freeze()
        chat.type("one\n")
        // The terminal shows that the line was taken.
        try chat.output(until: "one\r\n")
        chat.type("mistake\u{15}two\n" + ChatTests.end)
        world.daemon?.process.signal(SIGCONT)
        #expect(try !chat.output(until: "general> ").contains("mistake"))
        #expect(chat.finish().code == 0)
        #expect(try world.alice.texts("log") == ["one", "two"])
    }

    @Test("the window stays with its group when that gets another name and another group takes the old one")
    func renamed() throws {
        try world.alice.group("ops", with: "bob")
        let chat = try open("ops")
        try expect(world.alice("group", "rename", "ops", "crew"))
        try world.alice.group("ops", with: "bob")
        try world.alice.sends("psst", to: "ops")
        try chat.output(until: "[1 unread] crew> ")
        chat.type("secret\n")
        try chat.output(until: "bob\u{1B}[m: secret")
        chat.type(ChatTests.up + " plan\n")
        try chat.output(until: "secret plan")
        leave(chat)
        #expect(try world.alice.texts("log", "crew").last == "secret plan")
        #expect(try world.alice.texts("log", "ops").last == "psst")
    }

    @Test("pasted lines and Alt-Enter make one text, which Enter alone sends", arguments: [false, true])
    func severalLines(isMarked: Bool) throws {
        let chat = try open()
        let paste = isMarked ? "\u{1B}[200~one\rtwo\u{7}\r\u{1B}[201~" : "one\ntwo\n"
        chat.type(paste)
        try chat.output(until: "two")
        try world.alice.sends("between")
        try chat.output(until: ": between")
        try chat.output(until: "two")
        chat.type("three\u{1B}\nfour")
        try chat.output(until: "four")
        #expect(try world.alice.texts("log") == ["between"])
        chat.type("\n")
        try eventually("it is sent") { try world.alice.texts("log").last == "one\ntwo\nthree\nfour" }
        leave(chat)
    }

    @Test("a line with '/' is a command; an unknown one is refused, and sends nothing of it")
    func commands() throws {
        let chat = try start()
        try chat.output(until: "'/quit' or Ctrl-D leaves")
        try chat.output(until: "general> ")
        chat.type("/help\n")
        try chat.output(until: "/quit or Ctrl-D leaves")
        chat.type("/msg alice secret\n")
        try chat.output(until: "'/msg' is no command here, and nothing was sent")
        for text in ["//etc/fstab", " /etc/hosts"] {
            try chat.output(until: "general> ")
            chat.type(text + "\n")
            try chat.output(until: "bob\u{1B}[m: \(text.dropFirst())")
        }
        try chat.output(until: "general> ")
        // The text that is edited begins with '/', and stays a text
        chat.type(ChatTests.up + ".bak\n")
        try chat.output(until: "(edits 2): /etc/hosts.bak")
        chat.type("/quit\n")
        #expect(chat.finish().code == 0)
        #expect(try world.alice.texts("log") == ["/etc/fstab", "/etc/hosts.bak"])
    }

    @Test("Down and Ctrl-N are for a text that is being edited, and leave any other line as it is")
    func downWithoutEdit() throws {
        let chat = try open()
        chat.type("long" + ChatTests.down + " and\u{E} precious\n")
        try eventually("it is sent") { try world.alice.texts("log").last == "long and precious" }
        leave(chat)
    }

    @Test("Ctrl and Alt with an arrow go by words; keys without a command write nothing; Esc alone stops nothing")
    func specialKeys() throws {
        let chat = try open()
        chat.type("one two\u{1B}[1;5DX")
        // PageUp, F5, F1 of the Linux console, F1, the marks of a paste, Shift-Tab
        chat.type("\u{1B}[5~\u{1B}[15~\u{1B}[[A\u{1B}OP\u{1B}[200~Y\u{1B}[201~\u{1B}[Z")
        chat.type("\u{1B}[1;3C!\u{1B}[1~\u{1B}[3~O\n")
        try eventually("it is sent") { try world.alice.texts("log").last == "One XYtwo!" }
        chat.type("three four\u{1B}")
        try world.alice.sends("news")
        try chat.output(until: ": news")
        // Alt-B, as Esc and a letter
        chat.type("b-\u{1B}")
        chat.type("[D+\n")
        try eventually("it is sent") { try world.alice.texts("log").last == "three +-four" }
        leave(chat)
    }

    /// A chat that has lost its server, which can be reached again now.
    private func losing(_ way: HostileServer) throws -> ChildProcess {
        let bob = world.bob.at(way.url)
        let chat = try open(as: bob)
        way.answerAll("")
        try chat.output(until: "[offline] general> ")
        way.answerAll(nil)
        return chat
    }

    @Test("a message of the outbox that the server refuses later is told")
    func refusedLater() throws {
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let bob = world.bob.at(way.url)
        let chat = try open("@alice", as: bob)
        way.answerAll("")
        try chat.output(until: "[offline] @alice> ")
        chat.type("psst\n")
        try chat.output(until: "queued as message 1 of the outbox")
        try expect(world.alice("block", "bob"))
        way.answerAll(nil)
        try chat.output(until: "message 1 of the outbox, to '@alice', was refused: ")
        try chat.output(until: "@alice> ")
        leave(chat)
    }

    @Test("the end of a membership is told once")
    func removed() throws {
        try world.alice.group("crew", with: "bob")
        let chat = try open("crew")
        try expect(world.alice("group", "remove", "crew", "bob"))
        try chat.output(until: "you were removed from 'crew'")
        try world.alice.sends("psst", to: "@bob")
        #expect(try !chat.output(until: "[1 unread] crew> ").contains("you were removed"))
        leave(chat)
    }

    @Test("the line says at once that the server is reached again")
    func reachedAgain() throws {
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let chat = try losing(way)
        let start = ContinuousClock.now
        try chat.output(until: "\u{1B}[Jgeneral> ")
        // A request for news waits for 25 s
        #expect(start.duration(to: .now) < .seconds(24))
        leave(chat)
    }

    @Test("whoever types all the time sees it, too")
    func reachedWhileTyping() throws {
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let chat = try losing(way)
        let typing = Typing(chat)
        defer { typing.stop() }
        try chat.output(until: "\u{1B}[Jgeneral> ")
    }

    @Test("news is shown while the server takes no more from this user")
    func newsBehindQuota() throws {
        world.stopServing()
        try world.serve(["--bytes-per-day", "65536"])
        let most = [UInt8](repeating: UInt8(ascii: "x"), count: 65_500)
        try expect(world.bob.run(["send", "--quiet"], input: .bytes(most)), hasNotes: true)
        let chat = try open()
        chat.type("a line that is longer than what is left for today\n")
        try chat.output(until: "queued as message 1 of the outbox")
        try chat.output(until: "[offline] general> ")
        try world.alice.sends("news")
        try chat.output(until: ": news")
        leave(chat)
    }

    @Test("another answer in the server's place is waited out; the end of a session is told once, and the line queued")
    func endings() throws {
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let bob = world.bob.at(way.url)
        let chat = try open(as: bob)
        way.answerAll("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")
        try chat.output(until: "[offline] general> ")
        chat.type("patience")
        try eventually("a sync has that answer") { way.hasAnswered }
        way.answerAll(nil)
        try chat.output(until: "\u{1B}[Jgeneral> ")
        chat.type("\n")
        try eventually("it is sent") { try world.alice.texts("log").last == "patience" }
        chat.type("last words")
        try expect(world.natterd("user", "disable", "bob"), hasNotes: true)
        try chat.output(until: "natter login")
        chat.type("\n")
        let end = chat.finish()
        #expect(end.code == 77)
        #expect(end.output.contains("natter: queued as message 1 of the outbox\r\n"), "\(end)")
        #expect(!end.output.contains("natter login"), "\(end)")
    }

    @Test("Ctrl-C ends with 130, leaves the terminal as it was, and the cursor on a row of its own")
    func interrupt() throws {
        let chat = try open()
        // In the first row of two
        chat.type(String(repeating: "long ", count: 20) + "\u{1}")
        try chat.output(until: "\u{1B}[A")
        chat.type("\u{3}")
        let end = chat.finish()
        #expect(end.code == 130 && end.output.hasSuffix("\r\n\u{1B}[J"), "\(end)")
    }

    /// Bob's running commands of this name, which have his home in their environment.
    private func processes(_ command: String) throws -> [pid_t] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc").compactMap { pid_t($0) }.filter { process in
            let words = Files.text("/proc/\(process)/cmdline")?.split(separator: "\0") ?? []
            return words.dropFirst().first == command[...]
                && Files.text("/proc/\(process)/environ")?.contains("HOME=\(world.bob.home)\0") == true
        }
    }

    @Test("a signal that ends the sync is named, and another sync begins")
    func endedSync() throws {
        let chat = try open()
        try eventually("a sync has begun") { try processes("sync").count == 1 }
        kill(try #require(try processes("sync").first), SIGKILL)
        try chat.output(until: "natter: the sync was ended by signal 9; retrying")
        try chat.output(until: "\u{1B}[Jgeneral> ")
        leave(chat)
    }

    @Test("a signal that ends the chat ends its sync, too", arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT])
    func ended(number: Int32) throws {
        // On a terminal that stays. The end of one ends what runs there.
        let chat = try Screen.start(
            world.bob, ["chat"], columns: 80, followedBy: "echo over; read line")
        try chat.output(until: "general> ")
        // Also after a line was sent
        chat.type("one\n")
        try chat.output(until: ": one")
        try eventually("a sync has begun") { try processes("sync").count == 1 }
        let process = try #require(try processes("chat").first)
        kill(process, number)
        try chat.output(until: "over")
        // A sync goes on for 25 s otherwise.
        try eventually("no sync is left", milliseconds: 20_000) { try processes("sync").isEmpty }
        chat.type("\n")
        #expect(chat.finish().code == 0)
    }

    @Test(
        "a signal while a line is being sent names its id, and leaves the terminal as it was",
        arguments: [SIGINT, SIGTERM])
    func endedWhileSending(number: Int32) throws {
        let way = try HostileServer(for: world.url)
        defer { way.stop() }
        let bob = world.bob.at(way.url)
        let chat = try Screen.start(bob, ["chat"], columns: 80, followedBy: "stty -a; read line")
        try chat.output(until: "general> ")
        world.daemon?.process.freeze()
        defer { world.daemon?.process.signal(SIGCONT) }
        chat.type("one\n")
        try eventually("the line is on its way") { way.wasAsked("POST /v1/messages") }
        kill(try #require(try processes("chat").first), number)
        try chat.output(
            until: "\r\n\u{1B}[Jnatter: interrupted; the message may have been sent or not; repeat it with --id ")
        let settings = try chat.output(until: "noflsh")
        #expect(settings.contains(" icanon") && settings.contains(" echo "))
        try eventually("no sync is left", milliseconds: 20_000) { try processes("sync").isEmpty }
        chat.type("\n")
        #expect(chat.finish().code == 0)
    }

    @Test("64 without a terminal, in JSON and on one that can't move its cursor; 67 for no conversation")
    func refused() throws {
        for words in [["chat"], ["chat", "general"], ["chat", "--json"]] {
            let outcome = try world.bob.run(words)
            #expect(outcome.code == 64 && outcome.errors.filter { $0 == "\n" }.count == 1, "\(words)")
        }
        #expect(try Screen.show(world.bob, ["chat"], environment: ["TERM": "dumb"]).code == 64)
        #expect(try Screen.show(world.bob, ["chat", "nosuch"]).code == 67)
    }
}
