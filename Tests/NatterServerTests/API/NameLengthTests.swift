internal import NatterModel
@testable internal import NatterServer
internal import NatterProtocol
internal import ServerSupport
internal import Testing
internal import TestSupport

/// Normalizing, comparing and hashing a text takes time that grows with the square of a run of combining marks.
@Suite("names of any length from outside")
struct NameLengthTests {
    /// Marks of two classes in turn, which normalization must sort: the dearest text there is.
    private static func marks(_ count: Int) -> String { String(repeating: "\u{301}\u{316}", count: count / 2) }

    @Test("what is too long for a name is cut before it is normalized")
    func cut() {
        for text in [NameLengthTests.marks(200_000), String(repeating: "a", count: 257), NameLengthTests.marks(130)] {
            let cut = Normalization.formC(text)
            #expect((65...1_024).contains(cut.utf8.count))
            // No name contains a space, so it is nobody's, whatever was cut.
            #expect(cut.hasSuffix(" …"))
            #expect(throws: NameError.tooLong) { _ = try UserName(cut) }
        }
    }

    @Test("the longest way to write a name is still that name")
    func longest() {
        // U+0390 in 7 bytes instead of 2; no character has a longer form.
        let longest = String(repeating: "\u{1FBE}\u{308}\u{341}", count: 32)
        #expect(longest.utf8.count == 224)
        #expect(Array(Normalization.formC(longest).utf8) == Array(String(repeating: "\u{390}", count: 32).utf8))
        let ascii = String(repeating: "a", count: 256)
        #expect(Normalization.formC(ascii) == ascii)
    }

    @Test("a name gets normalization form C")
    func form() {
        for (written, normal) in [
            ("Lo\u{308}wer", "L\u{F6}wer"), ("\u{1112}\u{1161}\u{11AB}", "\u{D55C}"), ("\u{2126}", "\u{3A9}"),
            // Both stand just behind the letters that are composed.
            ("\u{1113}\u{1161}", "\u{1113}\u{1161}"), ("\u{1100}\u{1176}", "\u{1100}\u{1176}"),
        ] {
            #expect(Array(Normalization.formC(written).utf8) == Array(normal.utf8))
        }
    }

    @Test("an endless name is unknown or too long, and the answer does not repeat it")
    func answers() throws {
        let alice = try TestServer().account("alice")
        let name = NameLengthTests.marks(200_000)
        func expect(_ answer: Answer, _ outcome: String) {
            #expect(answer.outcome == outcome)
            #expect(answer.body.count < 4_096)
        }
        try expect(alice.say("hi", to: name), "404 no_such_conversation")
        try expect(alice.say("hi", to: "@a" + name), "404 no_such_user")
        let short = NameLengthTests.marks(6_000)
        try expect(alice.post("/v1/groups", ["name": .string(short)]), "422 bad_name")
        try expect(
            alice.post("/v1/register", ["name": .string(short), "password": "long enough"]), "422 bad_name")
        try expect(alice.post("/v1/login", ["name": .string(short), "password": "x"]), "401 bad_credentials")
    }

    // MARK: Names that are compared before anybody is authenticated

    private func cost(_ body: () -> Void) -> Int {
        ThreadTime.of { for _ in 0..<3 { body() } }
    }

    @Test("a head full of combining marks costs what any head of its size costs")
    func heads() throws {
        let server = try TestServer()
        let router = Router(routes: Routes.all)
        func read(_ text: String) -> Int {
            let head = RequestHead(
                method: "GET", target: "/v1/" + text, path: ["v1", text], query: [(text, text), ("stop", text)],
                headers: [("cookie", "\(text)=1; \(text)=2")], remoteAddress: "127.0.0.1", isProxied: false,
                contentLength: nil, isChunked: false)
            let event = Event(
                RequestSummary(
                    method: "GET", target: head.target, status: 404, bytesIn: 0, bytesOut: 0, durationMicroseconds: 0,
                    remoteAddress: "127.0.0.1", isComplete: true, note: nil, facts: []))
            return cost {
                #expect(throws: NatterServer.APIError.self) { _ = try router.match(head) }
                #expect(throws: Never.self) { try Query.check(head) }
                #expect(Query(head)["name"] == nil)
                #expect(throws: NatterServer.APIError.self) { _ = try Query(head).flag("stop") }
                #expect(throws: NatterServer.APIError.self) { _ = try Authentication(head, server.store).principal() }
                #expect(!event.isRequest(for: API.log.path))
            }
        }
        _ = read("warm up")
        let usual = read(String(repeating: "\u{44F}", count: 16_000))
        #expect(read(NameLengthTests.marks(16_000)) < 10 * usual)
    }
}
