import Glibc
import NatterSystem
import NatterProtocol
import ServerSupport
import Testing
import TestSupport

@testable import NatterCommands

@Suite("send --lines and --ndjson")
struct LineTests {
    private let server: TestServer
    private let alice: Person

    init() throws {
        server = try TestServer()
        alice = try server.user("alice")
    }

    private func bytes(_ lines: [String]) -> [UInt8] { Array(lines.joined(separator: "\n").utf8) }

    @Test("each line is a message; blank ones are skipped, line breaks of any kind end them, the last needs none")
    func lines() throws {
        let outcome = try alice.send("--lines", input: Array("one\n\n  \t\ntwo\r\n three \n\u{1}\"\\é\nlast".utf8))
        #expect(outcome == .silent)
        let log = alice("log", "--json").messages
        #expect(log.map(\.text) == ["one", "two", " three ", "\u{1}\"\\é", "last"])
    }

    @Test("a byte order mark before the first line is no part of it", arguments: ["--lines", "--ndjson"])
    func byteOrderMark(form: String) throws {
        let texts = [String(repeating: "x", count: 65_536), "\u{FEFF}second"]
        let lines = texts.map { form == "--lines" ? $0 : #"{"text":"\#($0)"}"# }
        let outcome = try alice.send(form, input: Array(("\u{FEFF}" + lines.joined(separator: "\r\n")).utf8))
        #expect(outcome == .silent)
        #expect(try alice.texts() == texts)
        // With nothing else, the line is blank
        #expect(try alice.send(form, input: Array("\u{FEFF}\n".utf8)) == .silent)
    }

    @Test("nothing at all is no error", arguments: ["", "\n\n \n"])
    func empty(input: String) throws {
        for form in ["--lines", "--ndjson"] { #expect(try alice.send(form, input: Array(input.utf8)).code == 0) }
        #expect(try alice.texts().isEmpty)
    }

    @Test("--json gives the message of each line, in order, across batches")
    func json() throws {
        let lines = (1...2_500).map { "line \($0)" }
        let outcome = try alice.send("--lines", "--json", "-c", "@me", input: bytes(lines))
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        #expect(difference(outcome.messages.map(\.text), lines) == nil)
        #expect(outcome.messages.map(\.seq) == Array(1...2_500))
        #expect(outcome.messages.allSatisfy { $0.conversation == "@alice" })
    }

    @Test("an object's fields count: conversation, text, id; others do not")
    func objects() throws {
        _ = try server.user("bob")
        let input = bytes([
            #"{"text":"to general"}"#, "", #"{"conversation":"@bob","text":"to bob","seq":7,"ts":null}"#,
            #"{"text":"mine","id":"k1"}"#, #"{"text":"mine","id":"k1","conversation":null}"#,
        ])
        let outcome = try alice.send("--ndjson", "--json", "--id", "job", input: input)
        #expect(outcome.code == 0)
        #expect(outcome.messages.map(\.conversation) == ["general", "@bob", "general", "general"])
        #expect(outcome.messages.map(\.seq) == [1, 1, 2, 2])
        #expect(try alice.texts() == ["to general", "mine"])
        // And a line without a conversation goes to the command's
        #expect(try alice.send("--ndjson", "-c", "@me", input: bytes([#"{"text":"note"}"#])).code == 0)
        #expect(try alice.texts("log", "@me") == ["note"])
    }

    private static let badLines: [(form: String, line: String, words: String)] = [
        ("--lines", String(repeating: "a", count: 65_537), "65536 bytes"),
        ("--lines", String(repeating: "a", count: 400_000), "65536 bytes"),
        ("--lines", "a\0b", "U+0000"),
        ("--ndjson", "nonsense", "not JSON"),
        ("--ndjson", "[]", "not a JSON object"),
        ("--ndjson", #"{"conversation":"general"}"#, "'text'"),
        ("--ndjson", #"{"text":7}"#, "'text'"),
        ("--ndjson", #"{"text":""}"#, "empty"),
        ("--ndjson", #"{"text":"x","id":"é"}"#, "the id"),
        ("--ndjson", #"{"text":"x","conversation":"@nobody"}"#, "nobody"),
        ("--ndjson", #"{"text":"x","conversation":"no-such-group"}"#, "no-such-group"),
        ("--ndjson", #"{"text":"other","id":"used"}"#, "id"),
        ("--ndjson", #"{"text":""# + String(repeating: "a", count: 1 << 20) + #""}"#, "1048576 bytes"),
    ]

    @Test("at the first refused line it stops with 65 and names it; those before are sent", arguments: badLines)
    func refused(form: String, line: String, words: String) throws {
        #expect(alice("send", "--id", "used", "-c", "@me", "before").code == 0)
        let good = { (text: String) in form == "--lines" ? text : #"{"text":"\#(text)"}"# }
        let outcome = try alice.send(form, input: bytes([good("one"), "", good("two"), line, good("three")]))
        #expect(outcome.code == 65)
        #expect(outcome.errors.hasPrefix("natter: line 4: ") && outcome.errors.contains(words), "\(outcome.errors)")
        #expect(outcome.errors.contains("the lines before it were sent"))
        #expect(try alice.texts() == ["one", "two"])
    }

    @Test("lines that are not UTF-8 are named, and an error is one object with --json")
    func notUTF8() throws {
        let outcome = try alice.send("--lines", "--json", input: Array("one\n".utf8) + [0x61, 0xFF, 0x0A])
        #expect(outcome.code == 65 && outcome.messages.map(\.text) == ["one"])
        #expect(outcome.errors.hasPrefix(#"{"error":{"code":"bad_text","exit":65,"message":"line 2: "#))
    }

    @Test("the same key again, also after more lines, sends nothing twice")
    func resume() throws {
        let lines = (1...1_500).map { "line \($0)" }
        #expect(try alice.send("--lines", "--id", "job", input: bytes(Array(lines.prefix(700)))).code == 0)
        let outcome = try alice.send("--lines", "--id", "job", "--json", input: bytes(lines))
        #expect(outcome.messages.map(\.seq) == Array(1...1_500))
        #expect(try difference(alice.texts(), lines) == nil)
        // Another text under the id of a line is refused as such.
        let other = try alice.send("--lines", "--id", "job", input: bytes(["line 1", "changed"]))
        #expect(other.code == 65 && other.errors.hasPrefix("natter: line 2: "))
    }

    private static let senseless: [([String], Int32)] = [
        (["--lines", "--id", String(repeating: "k", count: 53)], 65),
        (["--ndjson", "--id", ""], 65),
        (["--lines", "--ndjson"], 64),
        (["--lines", "text"], 64),
    ]

    @Test("contradictory options are refused before anything is read", arguments: senseless)
    func usage(words: [String], code: Int32) throws {
        #expect(alice.send(words, descriptor: -1).code == code)
    }

    @Test("a key of 52 bytes leaves room for the number of every line")
    func longestKey() throws {
        let key = String(repeating: "k", count: 52)
        #expect(try alice.send("--lines", "--id", key, input: bytes(["a", "b"])).code == 0)
        #expect(try alice.send("--lines", "--id", key, input: bytes(["a", "b"])).code == 0)
        #expect(try alice.texts() == ["a", "b"])
    }

    @Test("a line is sent when it arrives, not when the input ends")
    func slowInput() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let (input, output) = (ends[0], ends[1])
        let done = Monitor<Outcome?>(nil)
        let thread = try SystemThread(name: "test-sender") {
            let outcome = alice.send(["--lines"], descriptor: input)
            done.signal { $0 = outcome }
        }
        #expect(write(output, "first\nha", 8) == 8)
        try eventually("the first line") { try alice.texts().count == 1 }
        #expect(write(output, "lf\n", 3) == 3)
        try eventually("the second line") { try alice.texts().count == 2 }
        close(output)
        thread.join()
        close(input)
        #expect(done.withLock { $0?.code } == 0)
        #expect(try alice.texts() == ["first", "half"])
    }

    @Test("a server that is not there: 69 at once, and nothing was sent")
    func notReached() throws {
        server.stop()
        let outcome = try alice.send("--lines", input: bytes(["one"]))
        #expect(outcome.code == 69 && outcome.errors.contains("cannot reach"))
    }
}
