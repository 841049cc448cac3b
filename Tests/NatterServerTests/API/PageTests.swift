internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

/// Pages of one long history, compared with a list in memory.
@Suite("pages of messages")
struct PageTests {
    @Test("the newest messages of a user: 'more' says whether there are older ones of the same")
    func newestOfUser() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        for text in ["one", "two", "three"] { _ = try bob.say(text) }
        _ = try alice.say("last")
        for (limit, more) in [("2", true), ("3", false)] {
            let page = try alice.get("/v1/conversations/general/messages", ["from": "bob", "limit": limit]).json
            #expect(page["messages"]?.items.count == Int(limit) && page["more"] == .bool(more))
        }
    }

    @Test("a page has about 1 MiB, whatever its limit, and no message is missed")
    func bytes() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        // In JSON, each byte of these takes six
        let text = String(repeating: "\u{1}", count: 65_536)
        for number in 1...9 { _ = try alice.say(number == 5 ? "short" : text) }
        for name in ["one", "two", "three", "four", "five"] {
            _ = try alice.post("/v1/groups", ["name": .string(name)])
            _ = try alice.say(text, to: name)
        }
        func numbers(_ page: JSONValue) -> [Int] { page["messages"]?.items.compactMap { $0["seq"]?.int } ?? [] }
        func walk(_ field: String, _ start: String) throws -> (pages: [[Int]], most: Int) {
            var (pages, most, next): ([[Int]], Int, String?) = ([], 0, start)
            while let place = next, pages.count < 20 {
                let target = "/v1/conversations/general/messages" + HTTPRequest.encodeQuery([(field, place)])
                let answer = try alice.send(.get, target)
                let page = try answer.json
                pages.append(numbers(page))
                most = max(most, answer.body.count)
                next = page["more"] == true ? page["next"]?.int.map(String.init) : nil
            }
            return (pages, most)
        }
        let up = try walk("after", "0")
        #expect(up.pages.flatMap { $0 } == Array(1...9) && up.pages.count > 3)
        let down = try walk("before", "10")
        #expect(down.pages.reversed().flatMap { $0 } == Array(1...9) && down.pages.count > 3)
        #expect(max(up.most, down.most) < 3 << 19)
        // The newest; those that did not fit come before them
        let newest = try alice.get("/v1/conversations/general/messages").json
        #expect(numbers(newest) == [8, 9] && newest["more"] == true && newest["next"] == 8 && newest["head"] == 9)
        let fitting = try alice.get("/v1/conversations/general/messages", ["limit": "2"]).json
        #expect(numbers(fitting) == [8, 9] && fitting["more"] == false && fitting["next"] == 9)
        // The messages around one
        for seq in 1...9 {
            let around = try alice.get("/v1/conversations/general/messages", ["around": "\(seq)"])
            #expect(numbers(try around.json).contains(seq) && around.body.count < 3 << 19, "\(seq)")
        }
        // And a list of conversations, each with its last message
        var (names, next, most): ([String], String?, Int) = ([], "", 0)
        while let place = next, names.count < 20 {
            let answer = try alice.get("/v1/conversations", ["after": place])
            let page = try answer.json
            names += page["conversations"]?.items.compactMap { $0["name"]?.text } ?? []
            most = max(most, answer.body.count)
            next = page["more"] == true ? page["next"]?.text : nil
        }
        #expect(names == ["five", "four", "general", "one", "three", "two"] && most < 3 << 19)
    }

    @Test("without a selector the page is the newest, and 100 is how many it has unless told")
    func newest() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.post((1...1_100).map { NewMessage(conversation: "general", text: "\($0)", key: nil) }, as: alice)
        let page = try alice.page()
        #expect(page.messages.map(\.seq) == Array(1_001...1_100) && page.head == 1_100)
        #expect(try alice.page(["limit": "3"]).messages.map(\.seq) == [1_098, 1_099, 1_100])
        #expect(try alice.page(["limit": "2000"]).messages.count == 1_000)
        #expect(try alice.page(["after": "0"]).messages.map(\.seq) == Array(1...100))
        // After the end there is nothing, and the reader can continue from there
        let end = try alice.page(["after": "1100"])
        #expect(end.messages.isEmpty && !end.more && end.next == 1_100)
        // Half of what stands around one comes before it; past the end the newest are nearest
        let around = try alice.page(["around": "500", "limit": "10"])
        #expect(around.messages.map(\.seq) == Array(495...504) && around.more && around.next == 504)
        #expect(try alice.page(["around": "99999", "limit": "5"]).messages.last?.seq == 1_100)
    }

    private func page(_ client: Client, _ items: [(String, String)]) throws -> MessageList {
        let query = items.map { "\($0.0)=\(percent($0.1))" }.joined(separator: "&")
        return try client.send(.get, "/v1/conversations/general/messages?" + query).decode()
    }

    private func percent(_ text: String) -> String {
        text.utf8.map { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined()
    }

    @Test(
        "times are RFC 3339 with any offset, or Unix milliseconds; since is inclusive, until is not",
        arguments: [
            ("since", "2026-11-20T07:24:05.123Z", 2), ("since", "2026-11-20T07:24:05.124Z", 1),
            ("since", "2026-11-20T10:24:05.123+03:00", 2), ("since", "2026-11-20T02:24:05.123-05:00", 2),
            ("since", "2026-11-20t07:24:05.123z", 2), ("since", "1795159445123", 2), ("since", "0", 3),
            ("since", "-1", 3), ("until", "2026-11-20T07:24:05.123Z", 1), ("until", "2026-11-20T07:24:05.124Z", 2),
            ("until", "1795159445123", 1), ("until", "9999-12-31T23:59:59Z", 3),
        ])
    func times(field: String, value: String, count: Int) throws {
        let clock = TestClock(Timestamp(milliseconds: 1_795_159_444_000))
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        _ = try alice.say("before")
        clock.advance(milliseconds: 1_123)
        _ = try alice.say("at")
        clock.advance(milliseconds: 1)
        _ = try alice.say("after")
        #expect(try page(alice, [(field, value)]).messages.count == count)
    }

    @Test(
        "an invalid time or number is 400",
        arguments: [
            "since=x", "until=2026-11-20", "since=2026-13-01T00:00:00Z", "since=2026-11-20T07:24:05", "around=0",
            "around=-1", "around=x", "after=-1", "after=x", "before=1.5", "after=1%20", "before=%2B1",
        ])
    func badQuery(query: String) throws {
        let alice = try TestServer().account("alice")
        let answer = try alice.send(.get, "/v1/conversations/general/messages?" + query)
        #expect(answer.status == 400)
        #expect(answer.code == (query.hasPrefix("after") || query.hasPrefix("before") ? "bad_cursor" : "bad_request"))
    }

    @Test("the page of a list has exactly its fields")
    func fields() throws {
        let alice = try TestServer().account("alice")
        #expect(try alice.get("/v1/conversations/general/messages").json.keys == ["messages", "head", "more", "next"])
    }
}
