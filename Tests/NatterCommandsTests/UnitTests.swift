import NatterCommandLine
import NatterClient
internal import NatterHTTP
import NatterLog
import NatterModel
import NatterProtocol
import ServerSupport
import Testing
import TestSupport

@testable import NatterCommands

@Suite("names chosen by a pattern")
struct NamePatternTests {
    @Test(
        "a part, or a glob for the whole name; case never counts",
        arguments: [
            ("AL", "alice", true), ("ice", "alice", true), ("bob", "alice", false), ("", "alice", true),
            ("a*", "alice", true), ("*A", "maria", true), ("a*", "maria", false), ("?ob", "Bob", true),
            ("?ob", "bbob", false), ("[ab]*", "bob", true), ("[!ab]*", "bob", false), ("[a-c]ob", "BOB", true),
            ("[]x]", "]", true), ("[", "[x", true), ("a[b", "a[b", true), ("a[b", "ab", false), ("*", "x", true),
            ("маш", "Маша", true), ("[gnubie]", "[gnubie]", true), ("[gnubie]", "g", true),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ])
    func match(pattern: String, name: String, matches: Bool) {
        #expect(NamePattern(pattern).matches(name) == matches)
    }
}

@Suite("one place for exit codes")
struct ExitCodesTests {
    @Test("each code of the interface", arguments: ErrorCode.allCases)
    func codes(code: ErrorCode) {
        let error = RequestError.refused(RequestError.Refusal(status: code.status, code: code.rawValue, message: "m"))
        let expected: Int32 =
            switch code {
            case .badRequest, .badJSON, .badCursor, .nameTaken, .idReused, .notTried, .cursorExpired, .gone, .tooLarge,
                .badAbout, .badName, .badText, .badID, .weakPassword:
                65
            case .unauthorized, .tokenExpired, .badCredentials, .forbidden, .notAMember, .blocked, .registrationClosed,
                .quota,
                .lastAdmin:
                77
            case .noSuchUser, .noSuchConversation, .noSuchMessage: 67
            case .notFound, .methodNotAllowed, .unsupportedMediaType: 76
            case .slowDown, .busy, .diskFull: 75
            case .outcomeUnknown: 69
            case .damaged, .internalError, .notSupported: 74
            case .misdirected: 78
            }
        let failure = CommandFailure(error)
        #expect(failure.exitCode.rawValue == expected)
        #expect(failure.code == code.rawValue)
        #expect(failure.message.english.hasPrefix("m"))
    }

    @Test("a code of a newer server goes by its status", arguments: [(418, 76), (422, 65), (404, 67), (599, 74)])
    func unknown(status: Int, exit: Int32) {
        let refusal = RequestError.Refusal(status: status, code: "new_thing", message: "m")
        #expect(CommandFailure(RequestError.refused(refusal)).exitCode.rawValue == exit)
    }

    @Test("errors of the network")
    func network() throws {
        let server = try ServerAddress(url: "http://localhost:7117")
        func code(_ error: TransportError) -> Int32 {
            CommandFailure(RequestError.transport(error, server: server)).exitCode.rawValue
        }
        #expect(code(.notReached("x")) == 69)
        #expect(code(.certificate("x")) == 69)
        #expect(code(.timedOut(sent: true)) == 69)
        #expect(code(.protocolError("x")) == 76)
        let lost = CommandFailure(RequestError.unanswered(.timedOut(sent: true), server: server, advice: "look"))
        #expect(lost.exitCode.rawValue == 69 && lost.code == "outcome_unknown" && lost.remedy == "look")
        #expect(CommandFailure(SyncError.replica(.locked(path: "p"))).exitCode.rawValue == 75)
        #expect(CommandFailure(SyncError.api(.foreign("x"))).exitCode.rawValue == 76)
        let ids = (StoreID(high: 1, low: 2), StoreID(high: 3, low: 4))
        #expect(CommandFailure(SyncError.otherStore(expected: ids.0, found: ids.1)).exitCode.rawValue == 77)
    }
}

@Suite("--format")
struct MessageFormatTests {
    private func print(_ pattern: String) throws -> String {
        let output = Output.memory()
        let printer = MessagePrinter(
            output: output, style: .format(try MessageFormat(pattern)), showsConversation: false)
        let record = Record(
            seq: Seq(7), time: Timestamp(milliseconds: 1_795_166_135_988), sender: Array("bob".utf8), text: [],
            kind: .edit, about: Seq(3), salt: .newRun())
        let fields = MessageFields(record, in: "general")
        try printer.write(fields, text: Array("two\nlines \u{1B}[31m".utf8))
        return String(decoding: output.collected, as: UTF8.self)
    }

    @Test("every field, exact in a pipe")
    func fields() throws {
        #expect(try print("%t|%u|%c|%n|%s|%%") == "2026-11-20T09:15:35.988Z|1795166135988|general|7|bob|%\n")
        #expect(try print(#"%m\t\\\n."#) == "two\nlines \u{1B}[31m\t\\\n.\n")
        #expect(try print("%k %a") == "edit 3\n")
        #expect(try print("") == "\n")
    }

    @Test("unknown values are refused", arguments: ["%", "%x", "\\", "\\x", "100%"])
    func malformed(pattern: String) {
        #expect(throws: MessageFormat.Malformed.self) { try MessageFormat(pattern) }
    }
}

@Suite("messages for people")
struct MessagePrinterTests {
    private func message(_ sender: String, _ text: String, hours: Int64, kind: MessageKind = .text) -> Message {
        let id = ConversationID(high: 1, low: 2)
        return Message(
            conversation: "general", conversationID: id, seq: Seq(1),
            cursor: MessageCursor(conversation: id, seq: Seq(1), hashPrefix: 0),
            time: Timestamp(milliseconds: 1_795_132_800_000 + hours * 3_600_000), sender: sender, text: text,
            kind: kind,
            isImported: false)
    }

    private func print(
        _ messages: [Message], _ style: MessagePrinter.Style, isPainted: Bool, hasDayLines: Bool = true,
        highlight: ((String) -> [Range<Int>])? = nil
    ) throws -> String {
        let output = Output.memory()
        var printer = MessagePrinter(
            output: output, style: style, paint: Paint(isOn: isPainted), showsConversation: false,
            hasDayLines: hasDayLines)
        printer.reader = "alice"
        printer.highlight = highlight
        for message in messages { try printer.write(message) }
        return String(decoding: output.collected, as: UTF8.self)
    }

    @Test("a day is said once, where it begins, and then the time of day")
    func days() throws {
        // Two days lie between in any time zone
        let messages = [
            message("bob", "one", hours: 12), message("bob", "two", hours: 12), message("bob", "x", hours: 60),
        ]
        let lines = try print(messages, .terminal, isPainted: false).split(separator: "\n")
        #expect(lines.count == 5)
        #expect(lines[0].hasPrefix("-- ") && lines[0].hasSuffix(" 2026 --") && lines[0].contains("day, "))
        #expect(lines[1].dropFirst(8) == " bob: one" && lines[2].dropFirst(8) == " bob: two")
        #expect(lines[3].hasPrefix("-- ") && lines[3] != lines[0])
        // And where messages are not in the order of time, each has its date
        let found = try print(messages, .terminal, isPainted: false, hasDayLines: false).split(separator: "\n")
        #expect(found.count == 3 && found[0].dropFirst(19) == " bob: one")
    }

    @Test("colours change nothing else of a line; your own name looks different")
    func colours() throws {
        let messages = ["alice", "bob", "carol", "dave"].map { message($0, "a text", hours: 1) }
        for style in [MessagePrinter.Style.plain, .terminal] {
            let painted = try print(messages, style, isPainted: true) { _ in [2..<6] }
            let bare = painted.replacing(/\u{1B}\[[0-9;]*m/, with: "")
            #expect(bare == (try print(messages, style, isPainted: false)))
            #expect(painted.contains("\u{1B}[1malice\u{1B}[m:") && painted.contains("\u{1B}[1;31mtext\u{1B}[m"))
            for name in ["bob", "carol", "dave"] { #expect(!painted.contains("\u{1B}[1m\(name)")) }
        }
    }

    @Test("a name has the same look in every process, and the looks differ")
    func looks() {
        #expect(Paint.look(ofName: Array("bob".utf8)) == Paint.look(ofName: Array("bob".utf8)))
        let looks = Set((0..<200).map { Paint.look(ofName: Array("user\($0)".utf8)) })
        #expect(looks.count == 10 && !looks.contains(.match))
    }
}

@Suite("cursor files")
struct CursorFileTests {
    @Test("reads return what was written", arguments: UInt64(1)...20)
    func roundTrip(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        var cursors: [ConversationID: MessageCursor] = [:]
        for _ in 0..<Int.random(in: 0...5, using: &generator) {
            let id = ConversationID(using: &generator)
            cursors[id] = MessageCursor(conversation: id, seq: Seq(generator.next() >> 1), hashPrefix: generator.next())
        }
        let all = CursorFile.Content.all(StoreID(using: &generator), cursors)
        #expect(CursorFile.parse(CursorFile.bytes(of: all)) == all)
        if let cursor = cursors.values.first {
            let one = CursorFile.Content.conversation(cursor)
            #expect(CursorFile.parse(CursorFile.bytes(of: one)) == one)
        }
    }

    @Test("a position moves forward only, and only within its conversation or store")
    func forwardOnly() throws {
        var generator = SeededGenerator(seed: 1)
        let (one, other) = (ConversationID(using: &generator), ConversationID(using: &generator))
        let store = StoreID(using: &generator)
        func cursor(_ id: ConversationID, _ seq: UInt64) -> MessageCursor {
            MessageCursor(conversation: id, seq: Seq(seq), hashPrefix: seq)
        }
        let (low, high) = (cursor(one, 3), cursor(one, 4))
        #expect(CursorFile.Content.conversation(low).furthest(with: .conversation(high)) == .conversation(high))
        #expect(CursorFile.Content.conversation(high).furthest(with: .conversation(low)) == .conversation(high))
        #expect(CursorFile.Content.none.furthest(with: .conversation(low)) == .conversation(low))
        let foreign = CursorFile.Content.conversation(cursor(other, 9))
        for content in [foreign, .none, .all(store, [one: high])] {
            #expect(CursorFile.Content.conversation(low).furthest(with: content) == .conversation(low))
        }
        // With --all, each conversation has a position of its own
        let own = CursorFile.Content.all(store, [one: low])
        #expect(own.furthest(with: .all(StoreID(using: &generator), [one: high])) == own)
        let both: [ConversationID: MessageCursor] = [one: high, other: cursor(other, 2)]
        #expect(own.furthest(with: .all(store, both)) == .all(store, both))
        let mixed = CursorFile.Content.all(store, [one: low, other: cursor(other, 5)])
        #expect(mixed.furthest(with: .all(store, both)) == .all(store, [one: high, other: cursor(other, 5)]))
    }

    @Test("the file takes what is further on and keeps what is")
    func advance() throws {
        let directory = try TemporaryDirectory()
        let file = CursorFile(path: directory("cursor"))
        var generator = SeededGenerator(seed: 2)
        let id = ConversationID(using: &generator)
        let contents = (1...3).map {
            CursorFile.Content.conversation(MessageCursor(conversation: id, seq: Seq(UInt64($0)), hashPrefix: 0))
        }
        for (index, furthest) in [(0, 0), (2, 2), (1, 2), (2, 2)] {
            try file.advance(to: contents[index])
            #expect(try file.read() == contents[furthest])
        }
        // An empty file starts from the beginning, whoever emptied it
        try file.write(.none)
        try file.advance(to: contents[0])
        #expect(try file.read() == contents[0])
        #expect(directory.files() == [file.path])
    }

    @Test(
        "anything else is refused",
        arguments: ["x", "all", "all x", "all 0123456789abcdef0123456789abcdef\nx y", "{}", "all  ", "\u{0}"])
    func malformed(text: String) {
        #expect(CursorFile.parse(Array(text.utf8)) == nil)
    }
}

@Suite("the table of commands")
struct TableTests {
    @Test("every command does something, says what, and has a page that fits a terminal")
    func pages() throws {
        for row in NatterProgram.spec.commands {
            let path = CommandPath(names: [row.name], command: row)
            #expect(row.run != nil || !row.subcommands.isEmpty || row.name == "help")
            #expect(!row.summary.english.isEmpty && !row.summary.english.hasSuffix("."))
            for line in Help(NatterProgram.spec).page(of: path).split(separator: "\n") {
                #expect(line.count <= 80, "\(row.name): \(line)")
            }
            for option in row.options { #expect(!option.help.english.isEmpty && !option.help.english.hasSuffix(".")) }
        }
        let names = NatterProgram.spec.commands.map(\.name)
        for name in [
            "help", "log", "login", "logout", "pm", "register", "search", "send", "serve", "sync", "users", "whoami",
        ] {
            #expect(names.filter { $0 == name }.count == 1)
        }
    }

    @Test("a misspelt command gets the nearest one")
    func misspelt() throws {
        let person = try Person(server: "http://127.0.0.1:9")
        let outcome = person("serch", "x")
        #expect(outcome.code == 64)
        #expect(outcome.errors.contains("'search'"))
    }
}

@Suite("events of groups")
struct EventTextTests {
    @Test("one that is longer than any a server sends is shown as it is, and costs what its length costs")
    func long() {
        func cost(_ run: String) -> Int {
            ThreadTime.of { #expect(EventText.phrase("created\(run)").english == "created\(run)") }
        }
        _ = cost("warm up")
        let usual = cost(String(repeating: "\u{44F}", count: 128_000))
        #expect(cost(String(repeating: "\u{301}\u{316}", count: 64_000)) < 10 * usual)
        #expect(EventText.phrase("renamed a b").english == "renamed the group from 'a' to 'b'")
        #expect(EventText.phrase("topic").english == "removed the topic")
    }
}
