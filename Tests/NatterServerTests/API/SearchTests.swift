internal import NatterHTTP
internal import NatterModel
internal import ServerSupport
internal import Testing
internal import TestSupport

/// `GET /v1/search`: what it refuses, and how its pages follow each other.
@Suite("search on the server")
struct SearchTests {
    @Test("a query of too many words, or a prefix of one letter, is refused")
    func bounds() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        _ = try alice.say("ten tin cans, to taste")
        func outcome(_ query: String) throws -> String { try alice.get("/v1/search", ["q": query]).outcome }
        func words(_ count: Int, _ word: String = "ten") -> String {
            Array(repeating: word, count: count).joined(separator: " ")
        }
        // Given as many as are allowed
        #expect(try alice.get("/v1/search", ["q": words(16)]).json["messages"]?.items.count == 1)
        #expect(try alice.get("/v1/search", ["q": words(16, "te*")]).json["messages"]?.items.count == 1)
        #expect(try alice.get("/v1/search", ["q": "\"\(words(64))\""]).status == 200)
        // Then one more is not, whether wanted, unwanted, or in a phrase
        #expect(try outcome(words(17)) == "400 bad_request")
        #expect(try outcome("ten " + words(16, "-x")) == "400 bad_request")
        #expect(try outcome("\"\(words(65))\"") == "400 bad_request")
        // And a prefix has two letters of its last word, not of its text
        for query in ["t*", "ten -t*", "\"ten t\"*", "ten-t*", "..t*", "t\u{301}*", "т*"] {
            #expect(try outcome(query) == "400 bad_request", "\(query)")
        }
        #expect(try alice.get("/v1/search", ["q": "te* \"tin ca\"*"]).json["messages"]?.items.count == 1)
        #expect(try alice.get("/v1/search", ["q": "те*"]).status == 200)
    }

    @Test("conditions of the query narrow it, alone, too; they count as words do, and widen no token's scope")
    func conditions() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        for (name, person) in [("ops", alice), ("secret", bob)] {
            #expect(try person.post("/v1/groups", ["name": .string(name)]).status == 201)
        }
        _ = try alice.say("disk one, see https://example.org/")
        _ = try bob.say("disk two")
        _ = try alice.say("disk three", to: "ops")
        _ = try bob.say("disk four", to: "secret")
        func found(_ query: String, conversation: String = "") throws -> [Int] {
            let answer = try alice.get("/v1/search", ["q": query, "conversation": conversation])
            #expect(answer.status == 200, "\(answer)")
            let numbers = ["one", "two", "three", "four"]
            return try (answer.json["messages"]?.items ?? []).compactMap { message in
                numbers.firstIndex { message["text"]?.text?.contains("disk \($0)") == true }.map { $0 + 1 }
            }.sorted()
        }
        for isSealed in [false, true] {
            if isSealed { for name in ["general", "ops"] { try server.seal(name, as: alice) } }
            #expect(try found("disk") == [1, 2, 3] && found("two OR three disk") == [2, 3])
            #expect(try found("from:bob") == [2] && found("disk from:me") == [1, 3] && found("-from:Alice") == [2])
            #expect(
                try found("in:ops") == [3] && found("disk -in:ops") == [1, 2]
                    && found("in:ops OR in:general two") == [2])
            #expect(try found("has:link") == [1] && found("disk -has:link -two") == [3] && found("has:file") == [])
            #expect(try found("disk before:2026-01-01") == [] && found("after:2020-01-01 in:ops") == [3])
            #expect(try found("disk in:ops", conversation: "general") == [])
        }
        for (query, outcome) in [
            ("a OR -b", "400 bad_request"), ("after:yesterday", "400 bad_request"),
            ("in:nosuch", "404 no_such_conversation"),
            ("in:secret disk", "404 no_such_conversation"), ("-in:secret disk", "404 no_such_conversation"),
            ("x" + String(repeating: " from:a", count: 16), "400 bad_request"),
        ] {
            #expect(try alice.get("/v1/search", ["q": query]).outcome == outcome, "\(query)")
        }
        let scoped = try alice.post("/v1/tokens", ["label": "t", "scope": "read:ops"]).json["token"]?.text
        let reader = Client(server, token: scoped)
        #expect(try reader.get("/v1/search", ["q": "disk in:ops"]).outcome == "403 forbidden")
        for query in ["disk in:general", "disk -in:general"] {
            let answer = try reader.get("/v1/search", ["q": query, "conversation": "ops"])
            #expect(answer.outcome == "403 forbidden", "\(query)")
        }
        #expect(
            try reader.get("/v1/search", ["q": "disk in:ops", "conversation": "ops"]).json["messages"]?.items.count == 1
        )
    }

    @Test("lines have beside them where more follows, and nothing if none does")
    func lines() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        for number in 1...5 { _ = try alice.say("message \(number)") }
        for (path, query) in [("/v1/search", "q=message"), ("/v1/conversations/general/messages", "after=0")] {
            func page(_ limit: Int, lines: Bool) throws -> Answer {
                try alice.send(
                    .get, "\(path)?\(query)&limit=\(limit)",
                    headers: lines ? [("Accept", "application/x-ndjson")] : [])
            }
            let next = try page(2, lines: false).json["next"]
            #expect(try page(2, lines: true).header("Natter-Next") == next.map { $0.text ?? "\($0.int ?? 0)" })
            #expect(try page(2, lines: false).header("Natter-Next") == nil)
            #expect(try page(9, lines: true).header("Natter-Next") == nil)
        }
    }
}
