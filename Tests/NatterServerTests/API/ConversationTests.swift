internal import NatterSystem
internal import NatterHTTP
internal import NatterLog
internal import NatterModel
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("conversations")
struct ConversationTests {
    private static let fields: Set<String> = ["name", "id", "kind", "first", "head", "hash", "read", "unread", "last"]

    @Test("a member that is no user is 404 to whoever sees the group, and 403 comes after it")
    func unknownMember() throws {
        let server = try TestServer()
        let (alice, bob, carol) = (try server.account("alice"), try server.account("bob"), try server.account("carol"))
        #expect(try alice.post("/v1/groups", ["name": "g"]).status == 201)
        #expect(try alice.send(.put, "/v1/groups/g/members/bob").status == 200)
        for (client, name, outcome) in [
            (alice, "nobody", "404 no_such_user"), (bob, "nobody", "404 no_such_user"), (bob, "carol", "403 forbidden"),
            (carol, "nobody", "404 no_such_conversation"),
        ] {
            #expect(try client.send(.put, "/v1/groups/g/members/\(name)").outcome == outcome)
        }
        for (name, outcome) in [
            ("nobody", "404 no_such_user"), ("carol", "404 no_such_user"), ("alice", "403 forbidden"),
        ] {
            #expect(try bob.send(.delete, "/v1/groups/g/members/\(name)").outcome == outcome)
        }
    }

    @Test("general is there from the start, empty")
    func emptyGeneral() throws {
        let alice = try TestServer().account("alice")
        let object = try alice.get("/v1/conversations/general").json
        #expect(object.keys == ConversationTests.fields)
        #expect(object["name"] == "general")
        #expect(object["kind"] == "general")
        #expect(object["head"] == 0)
        #expect(object["read"] == 0)
        #expect(object["unread"] == 0)
        #expect(object["last"] == .null)
        let list = try alice.get("/v1/conversations").json
        #expect(list.keys.isSuperset(of: ["conversations", "more"]))
        #expect(list["conversations"]?.items == [object])
        #expect(list["more"] == false)
    }

    @Test("an error has its key and values beside its message")
    func errorParts() throws {
        let server = try TestServer()
        let error = try server.account("alice").get("/v1/conversations/nowhere").json["error"]
        #expect(error?["message"]?.text == "there is no conversation 'nowhere'")
        #expect(error?["phrase"]?["key"]?.text == "there is no conversation '%s'")
        #expect(error?["phrase"]?["values"]?.items.compactMap(\.text) == ["nowhere"])
    }

    @Test("a refused message begins no personal conversation, alone and in bulk")
    func refusedBeginning() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try alice.change("text", of: 1, "a reply to nothing", in: "@bob").outcome == "422 bad_about")
        let bulk = try alice.send(
            .post, "/v1/messages",
            body: Array(#"{"conversation":"@bob","text":"x","about":1}"#.utf8),
            headers: [("Content-Type", "application/x-ndjson")])
        #expect(bulk.status == 200 && bulk.text.contains("bad_about"))
        for client in [alice, bob] {
            #expect(try client.get("/v1/conversations").json["conversations"]?.items.map { $0["name"] } == ["general"])
        }
        // A reply to a message of the same body is one
        let both = #"{"conversation":"@bob","text":"first"}"# + "\n" + #"{"conversation":"@bob","text":"re","about":1}"#
        let written = try alice.send(
            .post, "/v1/messages", body: Array(both.utf8), headers: [("Content-Type", "application/x-ndjson")])
        #expect(try written.lines.compactMap { $0["seq"] } == [1, 2])
    }

    @Test("a personal conversation without a message is there, but in no list")
    func unwritten() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("Bob")
        let object = try alice.get("/v1/conversations/@bob").json
        #expect(object.keys == ConversationTests.fields)
        #expect(object["name"] == "@Bob")
        #expect(object["kind"] == "personal")
        #expect(object["head"] == 0)
        #expect(object["last"] == .null)
        let page = try alice.get("/v1/conversations/@bob/messages")
        #expect(page.status == 200)
        #expect(try page.json["head"] == 0)
        #expect(try page.json["messages"] == [])
        #expect(try alice.get("/v1/conversations").json["conversations"]?.items.count == 1)
        // Its id and name do not change when somebody writes to it
        _ = try bob.say("hi", to: "@alice")
        let written = try alice.get("/v1/conversations/@bob").json
        #expect(written["id"] == object["id"])
        #expect(written["name"] == object["name"])
    }

    @Test("head, last, hash and unread tell what is there")
    func object() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        for index in 1...7 {
            _ = try (index % 3 == 0 ? bob : alice).say("text \(index)", to: index % 3 == 0 ? "@alice" : "@bob")
        }
        let object = try alice.get("/v1/conversations/@bob").decode(ConversationObject.self)
        let messages = try alice.page(["after": "0"], of: "@bob").messages
        #expect(object.head == 7)
        #expect(object.first == 1)
        #expect(object.last == messages.last)
        // The hash is the chain over the messages, as natter-log(5) has it
        let id = try #require(ConversationID(hex: object.id))
        var hash = HashChain.start(of: id)
        let blocks = try alice.get(
            "/v1/conversations/@bob/messages", ["after": "0"], accept: SyncFrame.mediaType)
        var frames = SyncFrameReader()
        blocks.body.withUnsafeBytes { frames.feed($0) }
        let payload = try #require(try frames.next()).payload
        let header = try BlockHeader(decoding: payload)
        let records = try Block(header: header, stored: Array(payload[BlockHeader.byteCount...])).verify(with: .none)
        #expect(records.count == messages.count)
        for (index, message) in messages.enumerated() {
            #expect(String(decoding: records[index].text, as: UTF8.self) == message.text)
            hash = HashChain.advance(hash, over: records[index])
            // and a cursor carries its beginning
            #expect(message.cursor.hashPrefix == hash.prefix)
        }
        #expect(object.hash == hash.description)
        // It is the same from the other side; messages of others are unread
        let other = try bob.get("/v1/conversations/@alice").decode(ConversationObject.self)
        #expect(other.hash == object.hash)
        #expect(other.id == object.id)
        #expect((object.read, object.unread) == (0, 2))
        #expect((other.read, other.unread) == (0, 5))
    }

    @Test("a read mark only rises, stops at the head, and is what unread is counted from")
    func readMark() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        for index in 1...6 { _ = try (index % 2 == 0 ? bob : alice).say("text \(index)") }
        func mark(_ seq: JSONValue) throws -> Answer {
            try alice.send(.put, "/v1/conversations/general/read", body: WireJSON.encode(["seq": seq] as JSONValue))
        }
        func state() throws -> [Int?] {
            let object = try alice.get("/v1/conversations/general").json
            return [object["read"]?.int, object["unread"]?.int]
        }
        #expect(try state() == [0, 3])
        #expect(try mark(3).json == ["read": 3])
        #expect(try state() == [3, 2])
        #expect(try mark(2).json == ["read": 3])
        #expect(try mark(0).json == ["read": 3])
        #expect(try mark(100).json == ["read": 6])
        #expect(try state() == [6, 0])
        _ = try alice.say("own")
        #expect(try state() == [6, 0])
        _ = try bob.say("other")
        #expect(try state() == [6, 1])
        // Nobody else's changes
        #expect(try bob.get("/v1/conversations/general").json["read"] == 0)
        for wrong in [nil, "3", -1, true, [3]] as [JSONValue] {
            #expect(try mark(wrong).outcome == "400 bad_request", "\(wrong)")
        }
        #expect(
            try alice.send(.put, "/v1/conversations/nowhere/read", body: Array("{\"seq\":1}".utf8)).outcome
                == "404 no_such_conversation")
    }

    @Test(
        "a limit is a number from 1; above 1,000 it counts as 1,000",
        arguments: [
            ("1", "200"), ("1000", "200"), ("1001", "200"), ("99999999999999999999999", "200"),
            ("0", "400 bad_request"),
            ("00", "400 bad_request"), ("-1", "400 bad_request"), ("x", "400 bad_request"), ("1.5", "400 bad_request"),
            ("1e3", "400 bad_request"), (" 1", "400 bad_request"), ("+1", "400 bad_request"),
            ("0x10", "400 bad_request"),
        ])
    func limits(limit: String, outcome: String) throws {
        let alice = try TestServer().account("alice")
        for path in ["/v1/conversations", "/v1/conversations/general/messages", "/v1/users"] {
            #expect(try alice.get(path, ["limit": limit]).outcome == outcome, "\(path)")
        }
    }

    @Test(
        "as NDJSON a list is its objects alone",
        arguments: ["application/x-ndjson", "text/html, application/x-ndjson;q=0.9"])
    func lines(accept: String) throws {
        let server = try TestServer(clock: TestClock())
        let alice = try server.account("alice")
        _ = try alice.say("one")
        _ = try alice.say("two")
        for (path, field) in [
            ("/v1/conversations", "conversations"), ("/v1/conversations/general/messages", "messages"),
            ("/v1/users", "users"),
        ] {
            let answer = try alice.get(path, accept: accept)
            #expect(answer.header("Content-Type") == "application/x-ndjson; charset=utf-8")
            #expect(try answer.lines == alice.get(path).json[field]?.items)
            #expect(try alice.get(path, accept: "*/*").header("Content-Type") == "application/json; charset=utf-8")
        }
    }
}
