internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterWire
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

    /// The fields of a line that a reader goes by; any of them may be missing.
    private struct Line: Decodable {
        var type: String
        var id: String?
        var conversation_id: String?
        var head: UInt64?
        var seq: UInt64?
        var text: String?
        var cursor: String?
        var more: Bool?
    }

    /// What a reader knows after following a sync: each conversation's messages by number.
    private struct Reader {
        var messages: [String: [UInt64: String]] = [:]
        var heads: [String: UInt64] = [:]
        var cursor: String?

        /// Takes one complete answer. Fails on a message that is there already, or out of its order, or whose conversation has
        /// not been named before it.
        mutating func take(_ answer: Answer) throws -> Bool {
            guard answer.status == 200 else { throw Failure("sync: \(answer.outcome)") }
            let lines = try answer.body.split(separator: UInt8(ascii: "\n")).map {
                try WireJSON.decode(Line.self, from: $0)
            }
            var named: Set<String> = []
            for line in lines.dropLast() {
                switch line.type {
                case "conversation":
                    let id = line.id ?? ""
                    guard named.insert(id).inserted else { throw Failure("a conversation is named twice") }
                    heads[id] = line.head
                case "message":
                    let id = line.conversation_id ?? ""
                    let seq = line.seq ?? 0
                    guard named.contains(id) else { throw Failure("a message comes before its conversation") }
                    guard seq == UInt64(messages[id, default: [:]].count + 1) else {
                        throw Failure("message \(seq) after \(messages[id, default: [:]].count)")
                    }
                    messages[id, default: [:]][seq] = line.text
                default: throw Failure("an unknown line: \(line)")
                }
            }
            guard let end = lines.last, end.type == "end", let cursor = end.cursor, let more = end.more,
                answer.body.last == UInt8(ascii: "\n")
            else { throw Failure("no end line") }
            guard answer.header("Natter-Cursor") == cursor else { throw Failure("the cursors differ") }
            self.cursor = cursor
            return more
        }

        /// Follows until there is no more.
        mutating func catchUp(_ client: Client) throws -> Int {
            var answers = 0
            while true {
                answers += 1
                let isMore = try take(client.get("/v1/sync", cursor.map { ["cursor": $0] } ?? [:]))
                if !isMore { return answers }
            }
        }
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

    @Test("cursor=now returns the end line alone; everything after it is new")
    func now() throws {
        let alice = try server.account("alice")
        _ = try alice.say("old")
        let answer = try alice.get("/v1/sync", ["cursor": "now"])
        #expect(try answer.lines.map { $0["type"] } == ["end"])
        #expect(try answer.lines[0]["more"] == false)
        _ = try alice.say("new")
        #expect(
            try alice.get("/v1/sync", ["cursor": answer.header("Natter-Cursor") ?? ""]).lines.compactMap { $0["text"] }
                == ["new"])
    }

    @Test("a reader at random times misses nothing and sees nothing twice", arguments: UInt64(1)...3)
    func followed(seed: UInt64) throws {
        let clients = try ["alice", "bob", "carol"].map { try server.account($0) }
        var readers = clients.map { _ in Reader() }
        var generator = SeededGenerator(seed: seed)
        let names = ["general", "@alice", "@bob", "@carol", "@me"]
        for _ in 0..<120 {
            let who = Int.random(in: 0..<3, using: &generator)
            if Int.random(in: 0..<3, using: &generator) > 0 {
                let text = String(repeating: "text ", count: Int.random(in: 1...1_000, using: &generator))
                let messages = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                    NewMessage(conversation: names.randomElement(using: &generator) ?? "general", text: text, key: nil)
                }
                try server.post(messages, as: clients[who])
            } else {
                _ = try readers[who].catchUp(clients[who])
            }
        }
        for (who, client) in clients.enumerated() {
            _ = try readers[who].catchUp(client)
            var fresh = Reader()
            _ = try fresh.catchUp(client)
            #expect(readers[who].messages == fresh.messages)
            for object in try client.get("/v1/conversations").decode(ConversationList.self).conversations {
                #expect(UInt64(fresh.messages[object.id]?.count ?? 0) == object.head)
                #expect(fresh.heads[object.id] == object.head || object.head == 0)
            }
        }
    }

    @Test("an answer that is too long is continued, while more is being written")
    func continued() throws {
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        // Given 21 MB, more than one answer holds, which pack to next to nothing, in three conversations
        let text = String(repeating: "0123456789abcdef", count: 4_096)
        for round in 0..<36 {
            for name in ["general", "@bob", "@me"] {
                try server.post(
                    (0..<3).map {
                        NewMessage(conversation: name, text: "\(round) \($0) " + text.dropLast(8), key: nil)
                    },
                    as: alice)
            }
        }
        var reader = Reader()
        var isMore = true
        var answers = 0
        while isMore {
            let answer = try alice.get("/v1/sync", reader.cursor.map { ["cursor": $0] } ?? [:])
            #expect(answer.body.count < 24 << 20)
            isMore = try reader.take(answer)
            answers += 1
            if answers < 3 { _ = try bob.say("meanwhile \(answers)", to: answers % 2 == 0 ? "general" : "@alice") }
        }
        #expect(answers >= 2)
        _ = try reader.catchUp(alice)
        for object in try alice.get("/v1/conversations").decode(ConversationList.self).conversations {
            #expect(UInt64(reader.messages[object.id]?.count ?? 0) == object.head)
        }
    }

    @Test("an answer of any size can be continued where it ends, at every place", arguments: [1, 3_000, 100_000])
    func smallAnswers(limitBytes: Int) throws {
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let principal = try server.principal(of: alice)
        for round in 0..<60 {
            try server.post(
                ["general", "@bob", "@me"].map {
                    NewMessage(conversation: $0, text: "\(round) " + String(repeating: "text ", count: 800), key: nil)
                }, as: alice)
        }
        var seen: [ConversationID: [Seq]] = [:]
        var position = SyncPosition.start
        for step in 0..<2_000 {
            let plan = try server.store.planSync(
                since: position, for: principal, form: .messages, limitBytes: limitBytes)
            let answer = try #require(try plan.next())
            while let chunks = try answer.next() {
                for case .messages(let messages) in chunks {
                    for message in messages { seen[message.conversationID, default: []].append(message.seq) }
                }
            }
            // The cursor goes through its text, as it does for a client.
            position = .cursor(try #require(StoreCursor(answer.cursor.description)))
            if step % 5 == 0, step < 200 { _ = try bob.say("meanwhile", to: "@alice") }
            if !answer.more, step >= 200 || step % 5 != 0 { break }
        }
        #expect(seen.count == 3)
        for seqs in seen.values { #expect(seqs == (1...UInt64(seqs.count)).map { Seq($0) }) }
        let heads = try alice.get("/v1/conversations").decode(ConversationList.self).conversations.map(\.head)
        #expect(heads.sorted() == seen.values.map { UInt64($0.count) }.sorted())
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
        connection.send(
            "GET /v1/sync HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(alice.token ?? "")\r\n\r\n")
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
