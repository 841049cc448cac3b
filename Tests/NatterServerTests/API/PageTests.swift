internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterWire
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
        // What stands around one
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

    private struct Fact {
        let seq: UInt64
        let ts: Int64
        let sender: String
    }

    private struct History {
        let server: TestServer
        let clients: [Client]
        let facts: [Fact]

        /// 1,300 messages of three, at random times, long enough that most of them lie in sealed blocks.
        init(seed: UInt64) throws {
            var generator = SeededGenerator(seed: seed)
            let clock = TestClock()
            server = try TestServer(clock: clock)
            clients = try ["alice", "bob", "Маша"].map { [server] in try server.account($0) }
            while true {
                let count = Int.random(in: 1...40, using: &generator)
                try server.post(
                    (0..<count).map { _ in
                        NewMessage(
                            conversation: "general",
                            text: String(repeating: "some text ", count: Int.random(in: 1...40, using: &generator)),
                            key: nil)
                    }, as: clients[Int.random(in: 0..<3, using: &generator)])
                clock.advance(milliseconds: Int64.random(in: 0...5_000, using: &generator))
                if try clients[0].page(["limit": "1"]).head >= 1_300 { break }
            }
            var facts: [Fact] = []
            var after: UInt64 = 0
            while true {
                let page = try clients[0].page(["after": String(after), "limit": "1000"])
                facts += page.messages.map { Fact(seq: $0.seq, ts: $0.ts, sender: $0.sender) }
                after = page.next
                if !page.more { break }
            }
            self.facts = facts
        }
    }

    /// What a request filters by, in words of the query and of the model.
    private struct Filter {
        var items: [(String, String)] = []
        var passes: (Fact) -> Bool = { _ in true }

        init(_ history: History, using generator: inout SeededGenerator) {
            let low = history.facts[0].ts
            let high = history.facts[history.facts.count - 1].ts
            if Bool.random(using: &generator) {
                let since = Int64.random(in: low - 10...high + 10, using: &generator)
                let isText = Bool.random(using: &generator)
                items.append(("since", isText ? Timestamp(milliseconds: since).rfc3339 : String(since)))
                let former = passes
                passes = { former($0) && $0.ts >= since }
            }
            if Bool.random(using: &generator) {
                let until = Int64.random(in: low - 10...high + 10, using: &generator)
                items.append(("until", String(until)))
                let former = passes
                passes = { former($0) && $0.ts < until }
            }
            if Bool.random(using: &generator) {
                let sender = ["alice", "bob", "Маша", "nobody"].randomElement(using: &generator) ?? ""
                items.append(("from", sender))
                let former = passes
                passes = { former($0) && $0.sender == sender }
            }
        }
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

    @Test("pages in sequence return the filter's messages, once, in order", arguments: UInt64(1)...3)
    func walks(seed: UInt64) throws {
        let history = try History(seed: seed)
        var generator = SeededGenerator(seed: seed &* 7919)
        let head = UInt64(history.facts.count)
        #expect(history.facts.map(\.seq) == Array(1...head))
        for _ in 0..<25 {
            let filter = Filter(history, using: &generator)
            try walkForward(history, filter, head, using: &generator)
            try walkBackward(history, filter, head, using: &generator)
        }
    }

    private func walkForward(
        _ history: History, _ filter: Filter, _ head: UInt64, using generator: inout SeededGenerator
    ) throws {
        let start = UInt64.random(in: 0...head + 3, using: &generator)
        let end = Bool.random(using: &generator) ? UInt64.random(in: 0...head + 3, using: &generator) : nil
        var found: [UInt64] = []
        var after = start
        for _ in 0...history.facts.count {
            let limit = [1, 7, 100, 1_000, 5_000].randomElement(using: &generator) ?? 1
            if limit == 1, found.count > 20 { continue }
            var items = filter.items + [("after", String(after)), ("limit", String(limit))]
            if let end { items.append(("before", String(end))) }
            let page = try page(history.clients[1], items)
            #expect(page.head == head)
            #expect(page.messages.count <= min(limit, 1_000))
            #expect(page.messages.allSatisfy { $0.seq > after && $0.seq <= page.next })
            #expect(page.next >= after)
            found += page.messages.map(\.seq)
            if !page.more { break }
            #expect(page.next > after)
            after = page.next
        }
        let expected = history.facts.filter { filter.passes($0) && $0.seq > start && $0.seq < end ?? .max }
        #expect(found == expected.map(\.seq), "\(filter.items) after \(start) before \(end ?? 0)")
    }

    private func walkBackward(
        _ history: History, _ filter: Filter, _ head: UInt64, using generator: inout SeededGenerator
    ) throws {
        let start = UInt64.random(in: 0...head + 3, using: &generator)
        var pages: [[UInt64]] = []
        var before = start
        for _ in 0...history.facts.count {
            let limit = [1, 7, 100, 1_000].randomElement(using: &generator) ?? 1
            if limit == 1, pages.count > 20 { continue }
            let page = try page(
                history.clients[2], filter.items + [("before", String(before)), ("limit", String(limit))])
            #expect(page.head == head)
            #expect(page.messages.count <= limit)
            #expect(page.messages.allSatisfy { $0.seq < before && $0.seq >= page.next })
            #expect(zip(page.messages, page.messages.dropFirst()).allSatisfy { $0.seq < $1.seq })
            pages.append(page.messages.map(\.seq))
            if !page.more { break }
            #expect(page.next < before)
            before = page.next
        }
        let expected = history.facts.filter { filter.passes($0) && $0.seq < start }
        #expect(Array(pages.reversed().joined()) == expected.map(\.seq), "\(filter.items) before \(start)")
    }

    @Test("'around' returns as many messages as allowed, the named one among them, and can be continued")
    func around() throws {
        let history = try History(seed: 4)
        var generator = SeededGenerator(seed: 4)
        let head = history.facts.count
        for _ in 0..<60 {
            let seq = Int.random(in: 1...head, using: &generator)
            let limit = Int.random(in: 1...120, using: &generator)
            let page = try history.clients[0].page(["around": String(seq), "limit": String(limit)])
            let seqs = page.messages.map { Int($0.seq) }
            #expect(seqs.count == min(limit, head))
            #expect(seqs == Array((seqs.first ?? 0)..<(seqs.first ?? 0) + seqs.count))
            #expect(seqs.contains(seq))
            // Half of them before it, if there are enough on both sides
            if seq > limit, seq + limit < head { #expect(abs(seq - (seqs.first ?? 0) - limit / 2) <= 1) }
            #expect(page.next == page.messages.last?.seq)
            #expect(page.more == (Int(page.next) < head))
        }
        // Past the end the newest are nearest
        #expect(try history.clients[0].page(["around": "99999", "limit": "5"]).messages.last?.seq == UInt64(head))
    }

    @Test("without a selector the page is the newest, and 100 is how many it has unless told")
    func newest() throws {
        let history = try History(seed: 5)
        let head = UInt64(history.facts.count)
        let page = try history.clients[0].page()
        #expect(page.messages.map(\.seq) == Array(head - 99...head))
        #expect(page.head == head)
        #expect(try history.clients[0].page(["limit": "3"]).messages.map(\.seq) == Array(head - 2...head))
        #expect(try history.clients[0].page(["limit": "2000"]).messages.count == 1_000)
        #expect(try history.clients[0].page(["after": "0"]).messages.map(\.seq) == Array(1...100))
        #expect(try history.clients[0].page(["from": "alice", "limit": "1"]).messages.first?.sender == "alice")
        // After the end there is nothing, and the reader can continue from there
        let end = try history.clients[0].page(["after": String(head)])
        #expect(end.messages.isEmpty && !end.more && end.next == head)
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
