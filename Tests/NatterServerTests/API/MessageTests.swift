internal import NatterHTTP
internal import NatterModel
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("sending a message")
struct MessageTests {
    private static let fields: Set<String> = [
        "conversation", "conversation_id", "seq", "cursor", "time", "ts", "sender", "text",
    ]

    private let server: TestServer
    private let alice: Client

    init() throws {
        server = try TestServer()
        alice = try server.account("alice")
    }

    @Test("a message comes back as it was stored, with all its fields and no others")
    func object() throws {
        let clock = TestClock(Timestamp(milliseconds: 1_795_159_445_123))
        let author = try TestServer(clock: clock).account("alice")
        let answer = try author.say("h\u{E9}llo / \"quoted\" \\ \u{2028}\n\ttab \u{1F44D}")
        #expect(answer.status == 201)
        let message = try answer.json
        #expect(message.keys == MessageTests.fields)
        #expect(message["conversation"] == "general")
        #expect(message["conversation_id"]?.text?.count == 32)
        #expect(message["seq"] == 1)
        #expect(message["time"] == "2026-11-20T07:24:05.123Z")
        #expect(message["ts"] == 1_795_159_445_123)
        #expect(message["sender"] == "alice")
        #expect(message["text"] == "h\u{E9}llo / \"quoted\" \\ \u{2028}\n\ttab \u{1F44D}")
        // It is there for the next read, the same object
        #expect(try author.get("/v1/conversations/general/messages").json["messages"]?.items == [message])
        #expect(try author.get("/v1/conversations/general").json["last"] == message)
    }

    @Test("a cursor is printable and safe in a URL")
    func cursorCharacters() throws {
        for index in 0..<20 {
            let cursor = try alice.say("\(index)").json["cursor"]?.text ?? ""
            #expect(!cursor.isEmpty && cursor.utf8.allSatisfy { isUnreserved($0) })
        }
    }

    private func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: true
        default: false
        }
    }

    @Test(
        "a text is not normalized, trimmed or otherwise changed",
        arguments: [" ", "\n", "e\u{301}", "\u{E9}", "\u{FEFF}a", "\u{202E}x", "\u{7F}\u{1B}[31m", "\r\n"])
    func exactText(text: String) throws {
        #expect(try Array((alice.say(text).json["text"]?.text ?? "").utf8) == Array(text.utf8))
        #expect(try alice.page().messages.map { Array($0.text.utf8) } == [Array(text.utf8)])
    }

    @Test(
        "a text has 1 to 65,536 bytes and no U+0000",
        arguments: [
            ("", "422 bad_text"), ("a", "201"), (String(repeating: "a", count: 65_536), "201"),
            (String(repeating: "a", count: 65_537), "422 bad_text"),
            (String(repeating: "\u{E9}", count: 32_768), "201"),
            (String(repeating: "\u{E9}", count: 32_768) + "a", "422 bad_text"),
            (String(repeating: "\u{1F44D}", count: 16_384), "201"), ("a\u{0}b", "422 bad_text"),
            ("\u{0}", "422 bad_text"),
        ])
    func textLimits(text: String, outcome: String) throws {
        let answer = try alice.say(text)
        #expect(answer.outcome == outcome)
        if outcome == "201" { #expect(try answer.json["text"] == .string(text)) }
        #expect(try alice.page().head == (outcome == "201" ? 1 : 0))
    }

    @Test("the largest text comes through when each of its bytes is escaped in six")
    func escapedText() throws {
        let escaped = String(repeating: "\\u0001", count: 65_536)
        let body = Array("{\"conversation\":\"general\",\"text\":\"\(escaped)\"}".utf8)
        #expect(try alice.send(.post, "/v1/messages", body: body).status == 201)
        #expect(try alice.page().messages.first?.text.utf8.count == 65_536)
    }

    @Test(
        "an id has 1 to 64 printable ASCII bytes",
        arguments: [
            ("a", "201"), (String(repeating: "k", count: 64), "201"), (String(repeating: "k", count: 65), "422 bad_id"),
            ("", "422 bad_id"), (" ", "201"), ("a b", "201"), ("~!\"#$%&'/\\{}", "201"), ("\u{E9}", "422 bad_id"),
            ("a\tb", "422 bad_id"), ("a\u{7F}", "422 bad_id"), ("a\u{0}", "422 bad_id"), ("a\n", "422 bad_id"),
        ])
    func idLimits(id: String, outcome: String) throws {
        #expect(try alice.say("text", id: id).outcome == outcome)
        if outcome == "201" { #expect(try alice.say("text", id: id).outcome == "200") }
    }

    @Test("null for an id is none")
    func nullID() throws {
        let body: JSONValue = ["conversation": "general", "text": "a", "id": nil]
        #expect(try alice.post("/v1/messages", body).status == 201)
        #expect(try alice.post("/v1/messages", body).status == 201)
    }

    // MARK: Plain text

    /// Posts a text to the path of a conversation.
    private func post(
        _ text: some Sequence<UInt8>, to conversation: String = "general", _ query: String = "",
        type: String? = "text/plain", by client: Client
    ) throws -> Answer {
        try client.send(
            .post, "/v1/conversations/\(HTTPRequest.encodeSegment(conversation))/messages\(query)", body: Array(text),
            headers: type.map { [("Content-Type", $0), ("Title", "ignored")] } ?? [])
    }

    @Test(
        "a plain body is the text as it is, also where its type is missing or that of 'curl -d'",
        arguments: [nil, "text/plain", "Text/Plain; charset=utf-8", "application/x-www-form-urlencoded"])
    func plainText(type: String?) throws {
        let bob = try server.account("bob")
        let text = "disk full: 100%25 of /srv?a=b&c=d+e\n"
        let answer = try post(text.utf8, type: type, by: alice)
        #expect(answer.status == 201)
        #expect(try answer.json.keys == MessageTests.fields && answer.json["text"] == .string(text))
        #expect(try alice.get("/v1/conversations/general/messages").json["messages"]?.items == [answer.json])
        let personal = try post("psst".utf8, to: "@alice", type: type, by: bob)
        #expect(try personal.status == 201 && personal.json["conversation"] == "@alice")
    }

    @Test("the query's id makes a plain text safe to repeat, and is the same key as in JSON")
    func plainTextID() throws {
        let first = try post("once".utf8, "?id=a%20b", by: alice)
        let again = try post("once".utf8, "?id=a%20b", by: alice)
        #expect(try first.status == 201 && again.status == 200 && again.json == first.json)
        #expect(try alice.say("once", id: "a b").outcome == "200")
        #expect(try post("other".utf8, "?id=a%20b", by: alice).outcome == "409 id_reused")
        #expect(try alice.page().head == 1)
    }

    @Test("what a plain text may not be is refused as in JSON, and changes nothing")
    func badPlainText() throws {
        let long = [UInt8](repeating: 0x61, count: 65_537)
        #expect(try post([], by: alice).outcome == "422 bad_text")
        #expect(try post(long, by: alice).outcome == "422 bad_text")
        #expect(try post("a\u{0}".utf8, by: alice).outcome == "422 bad_text")
        #expect(try post([0x61, 0xFF], by: alice).outcome == "400 bad_json")
        #expect(try post("a".utf8, "?id=%C3%A9", by: alice).outcome == "422 bad_id")
        #expect(try post("a".utf8, "?id=", by: alice).outcome == "422 bad_id")
        #expect(try post("a".utf8, "?id=1&id=2", by: alice).outcome == "400 bad_request")
        #expect(try post("a".utf8, to: "nix", by: alice).outcome == "404 no_such_conversation")
        #expect(try post("a".utf8, to: "@nix", by: alice).outcome == "404 no_such_user")
        for type in ["application/json", "application/x-ndjson", "text/html", "multipart/form-data; boundary=x"] {
            #expect(try post("{}".utf8, type: type, by: alice).outcome == "415 unsupported_media_type")
        }
        #expect(try alice.page().head == 0)
        #expect(try post(long.dropLast(), by: alice).status == 201)
    }

    // MARK: The same id again

    @Test("the same id with the same content is the earlier message, and nothing new")
    func repeated() throws {
        let bob = try server.account("bob")
        let first = try alice.say("text", id: "key")
        #expect(first.status == 201)
        _ = try bob.say("between")
        let again = try alice.say("text", id: "key")
        #expect(again.status == 200)
        #expect(try again.json == first.json)
        // The key is the user's own
        #expect(try bob.say("text", id: "key").status == 201)
        #expect(try alice.page().messages.map(\.text) == ["text", "between", "text"])
    }

    @Test("the same id with other content is 409, in the same conversation or another")
    func reused() throws {
        try server.account("bob")
        #expect(try alice.say("text", id: "key").status == 201)
        #expect(try alice.say("other", id: "key").outcome == "409 id_reused")
        #expect(try alice.say("text", to: "@bob", id: "key").outcome == "409 id_reused")
        #expect(try alice.say("text", to: "@me", id: "key").outcome == "409 id_reused")
        #expect(try alice.say("text", to: "GENERAL", id: "key").outcome == "200")
        #expect(try alice.page().head == 1)
        // To a conversation that only the refused message would have begun
        #expect(try alice.get("/v1/conversations").json["conversations"]?.items.count == 1)
        // A refused message has not used its key up
        #expect(try alice.say("", id: "second").outcome == "422 bad_text")
        #expect(try alice.say("x", to: "nowhere", id: "second").outcome == "404 no_such_conversation")
        #expect(try alice.say("text", id: "second").status == 201)
    }

    @Test("thirty-two at once with one id make one message")
    func repeatedAtOnce() throws {
        let token = alice.token
        let answers = try concurrently(32) { [server] _ in try Client(server, token: token).say("text", id: "key") }
        #expect(answers.filter { $0.status == 201 }.count == 1)
        #expect(answers.filter { $0.status == 200 }.count == 31)
        #expect(try Set(answers.map { try $0.json["cursor"]?.text }).count == 1)
        #expect(try alice.page().head == 1)
    }

    // MARK: Order

    // MARK: Where to

    @Test("a name in a body is found in either form and any case")
    func nameForms() throws {
        try server.account("Ren\u{E9}")
        for name in ["@Ren\u{E9}", "@Rene\u{301}", "@REN\u{C9}"] {
            #expect(try alice.say("a", to: name).json["conversation"] == "@Ren\u{E9}")
        }
        #expect(try alice.page(of: "@Ren\u{E9}").head == 3)
    }

    @Test(
        "an unknown conversation is 404",
        arguments: [
            ("nowhere", "404 no_such_conversation"), ("", "404 no_such_conversation"), ("@", "404 no_such_user"),
            ("@nobody", "404 no_such_user"), ("@@bob", "404 no_such_user"), ("bob", "404 no_such_conversation"),
            ("@alice,@bob", "404 no_such_user"), ("general ", "404 no_such_conversation"),
            ("../general", "404 no_such_conversation"), ("@b\u{0}ob", "404 no_such_user"),
        ])
    func noSuchConversation(name: String, outcome: String) throws {
        try server.account("bob")
        #expect(try alice.say("text", to: name).outcome == outcome)
    }
}
