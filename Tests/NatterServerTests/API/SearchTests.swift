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
