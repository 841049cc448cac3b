internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("sync")
struct SyncTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

    @Test(
        "a token for one conversation hears nothing of a group that its owner leaves; the owner does, and who deletes one"
    )
    func goneGroups() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        let made = try alice.post("/v1/tokens", ["label": "reader", "scope": "read:general"]).json
        let reader = Client(server, token: try #require(made["token"]?.text))
        _ = try bob.post("/v1/groups", ["name": "hidden"])
        #expect(try bob.send(.put, "/v1/groups/hidden/members/alice").status == 200)
        func cursor(_ client: Client) throws -> String {
            try client.get("/v1/sync", ["cursor": "now"]).lines.last?["cursor"]?.text ?? ""
        }
        func types(_ client: Client, _ cursor: String) throws -> [String?] {
            try client.get("/v1/sync", ["cursor": cursor]).lines.map { $0["type"]?.text }
        }
        let (ofReader, ofAlice, ofBob) = (try cursor(reader), try cursor(alice), try cursor(bob))
        #expect(try bob.send(.delete, "/v1/groups/hidden/members/alice").status == 200)
        #expect(try types(reader, ofReader) == ["end"])
        #expect(try types(alice, ofAlice) == ["gone", "end"])
        #expect(try bob.send(.delete, "/v1/groups/hidden").status == 200)
        #expect(try types(bob, ofBob) == ["gone", "end"])
    }

    @Test("the lines of a sync, and what they hold")
    func lines() throws {
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        #expect(try alice.get("/v1/sync").lines.map { $0["type"] } == ["end"])
        let first = try alice.say("one").json
        _ = try bob.say("psst", to: "@alice")
        let answer = try alice.get("/v1/sync")
        #expect(answer.header("Content-Type") == "application/x-ndjson; charset=utf-8")
        let lines = try answer.lines
        #expect(lines.count == 5)
        // A conversation's line is the object, with a type; a message's, too
        for (name, text) in [("general", "one"), ("@bob", "psst")] {
            let index = try #require(lines.firstIndex { $0["name"]?.text == name })
            guard case .object(var object) = lines[index], case .object(var message) = lines[index + 1] else {
                continue
            }
            #expect(object.removeValue(forKey: "type") == "conversation")
            #expect(try .object(object) == alice.get("/v1/conversations/\(name)").json)
            #expect(message.removeValue(forKey: "type") == "message")
            #expect(message["text"] == .string(text))
            if name == "general" { #expect(.object(message) == first) }
        }
        #expect(lines.last?["type"] == "end")
        // Later answers have only news
        let cursor = answer.header("Natter-Cursor") ?? ""
        #expect(try alice.get("/v1/sync", ["cursor": cursor]).lines.count == 1)
        _ = try bob.say("more", to: "@alice")
        let next = try alice.get("/v1/sync", ["cursor": cursor]).lines
        #expect(next.map { $0["type"] } == ["conversation", "message", "end"])
        #expect(next.map { $0["text"] } == [nil, "more", nil])
    }

    @Test("a conversation is named once, although its reader was added to it and became its admin")
    func namedOnce() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        let cursor = try bob.get("/v1/sync").header("Natter-Cursor") ?? ""
        #expect(try alice.post("/v1/groups", ["name": "g"]).status == 201)
        _ = try alice.say("one", to: "g")
        #expect(try alice.send(.put, "/v1/groups/g/members/bob").status == 200)
        func types(_ cursor: String) throws -> ([JSONValue?], String) {
            let answer = try bob.get("/v1/sync", ["cursor": cursor])
            return (try answer.lines.map { $0["type"] }, answer.header("Natter-Cursor") ?? "")
        }
        let added = try types(cursor)
        #expect(added.0 == ["conversation", "message", "message", "message", "end"])
        let body = Array(#"{"admin":true}"#.utf8)
        #expect(try alice.send(.put, "/v1/groups/g/members/bob", body: body).status == 200)
        #expect(try alice.send(.patch, "/v1/groups/g", body: Array(#"{"name":"h"}"#.utf8)).status == 200)
        #expect(try types(added.1).0 == ["conversation", "message", "message", "end"])
    }

    @Test("a conversation is named once, although its reader was added to it and wants only what came later")
    func namedOnceSince() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try alice.post("/v1/groups", ["name": "g"]).status == 201)
        _ = try alice.say("one", to: "g")
        #expect(try alice.send(.put, "/v1/groups/g/members/bob").status == 200)
        func time(_ text: String) throws -> Int { try #require(alice.say(text, to: "g").json["ts"]?.int) }
        // In another millisecond than what came before
        let early = try time("early")
        var since = early
        while since == early { since = try time("late") }
        let lines = try bob.get("/v1/sync", ["since": "\(since)"]).lines.filter { $0["name"] == "g" }
        #expect(lines.count == 1, "\(lines)")
        #expect(lines.first?["first"] == lines.first?["head"])
    }

    @Test("a truncated body has no end line, so it is recognised")
    func cut() throws {
        let alice = try server.account("alice")
        let text = String(repeating: "x", count: 60_000)
        try server.post((0..<60).map { _ in NewMessage(conversation: "general", text: text, key: nil) }, as: alice)
        let body = try alice.get("/v1/sync").body
        for count in [body.count - 1, body.count - 30, body.count / 2] {
            let lines = body.prefix(count).split(separator: UInt8(ascii: "\n"))
            let last = try? WireJSON.decode(JSONValue.self, from: lines.last ?? [])
            #expect(last?["type"] != "end" || count == body.count - 1)
        }
        // On the wire it is an error of the transport: chunks without their end
        let connection = try RawClient(port: server.port)
        connection.sendRequest("GET", "/v1/sync", token: alice.token)
        let head = try connection.head()
        #expect(head.headers.contains { $0.name.lowercased() == "transfer-encoding" && $0.value == "chunked" })
    }

    @Test("a read mark of one device reaches the others")
    func readMark() throws {
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        _ = try bob.say("one")
        let cursor = try alice.get("/v1/sync").header("Natter-Cursor") ?? ""
        _ = try alice.send(.put, "/v1/conversations/general/read", body: Array("{\"seq\":1}".utf8))
        let lines = try alice.get("/v1/sync", ["cursor": cursor]).lines
        #expect(
            lines.contains {
                $0["type"] == "read" && $0["read"] == 1 || $0["type"] == "conversation" && $0["read"] == 1
            })
        #expect(try bob.get("/v1/sync", ["cursor": cursor]).lines.map { $0["type"] } == ["end"])
    }
}
