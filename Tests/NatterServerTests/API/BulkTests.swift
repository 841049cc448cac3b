internal import NatterClient
internal import NatterHTTP
internal import NatterWire
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("sending many messages in one request")
struct BulkTests {
    private func line(_ text: String, to conversation: String = "general", id: String? = nil) -> String {
        let id = id.map { ",\"id\":\"\($0)\"" } ?? ""
        return "{\"conversation\":\"\(conversation)\",\"text\":\"\(text)\"\(id)}"
    }

    @Test("each line is answered in order, by the message or by what is wrong with it")
    func everyLine() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.account("bob")
        let answer = try alice.bulk([
            line("one", id: "k1"), "nonsense", line("two", to: "@bob"), "", line("", id: "k2"), line("one", id: "k1"),
            line("other", id: "k1"), line("x", to: "nowhere"), "[]", "   ", line("three"),
        ])
        #expect(answer.status == 200)
        #expect(answer.header("Content-Type") == "application/x-ndjson; charset=utf-8")
        let lines = try answer.lines
        let outcomes = lines.map { line in
            line["error"].map { "\(line["line"]?.int ?? 0) \($0["code"]?.text ?? "")" } ?? line["text"]?.text ?? ""
        }
        #expect(
            outcomes == [
                "one", "2 bad_json", "two", "5 bad_text", "one", "7 id_reused", "8 no_such_conversation",
                "9 bad_request",
                "three",
            ])
        #expect(lines[0] == lines[4])
        #expect(lines[1].keys == ["error", "line"])
        #expect(lines[2]["conversation"] == "@bob")
        #expect(try alice.page().messages.map(\.text) == ["one", "three"])
    }

    @Test("with stop=1 no line after a bad one is accepted", arguments: ["?stop=1", "?stop=true", "?other=x&stop=1"])
    func stop(query: String) throws {
        let alice = try TestServer().account("alice")
        // Given lines that are refused by their form, by their text, and by the store alone
        for bad in ["nonsense", line(""), line("x", to: "@nobody")] {
            let answer = try alice.bulk(
                [line("one"), line("two"), bad, line("three"), "", "{", line("four")], query: query)
            #expect(answer.status == 200)
            let lines = try answer.lines
            #expect(lines.prefix(2).map { $0["text"] } == ["one", "two"])
            #expect(lines[2]["line"] == 3)
            #expect(lines.dropFirst(3).map { $0["error"]?["code"] } == ["not_tried", "not_tried", "not_tried"])
            #expect(lines.dropFirst(3).map { $0["line"] } == [4, 6, 7])
        }
        #expect(try alice.page().messages.map(\.text) == ["one", "two", "one", "two", "one", "two"])
    }

    @Test("repeating a whole request with its ids adds missing messages, and none twice")
    func repeatedRequest() throws {
        let alice = try TestServer().account("alice")
        let lines = (1...300).map { line("text \($0)", id: "key:\($0)") }
        let first = try alice.bulk(Array(lines[..<200]))
        let second = try alice.bulk(lines)
        #expect(try second.lines.prefix(200) == first.lines[...])
        #expect(try alice.page(["after": "0", "limit": "1000"]).messages.map(\.text) == (1...300).map { "text \($0)" })
    }

    @Test("line ends of any kind, and none at the end, make the same messages")
    func lineEnds() throws {
        let alice = try TestServer().account("alice")
        let body = line("one") + "\r\n" + line("two") + "\n\n\r\n" + line("three")
        let answer = try alice.send(
            .post, "/v1/messages", body: Array(body.utf8), headers: [("Content-Type", "application/x-ndjson")])
        #expect(try answer.lines.map { $0["text"] } == ["one", "two", "three"])
    }

    @Test("nothing sent is nothing answered", arguments: ["", "\n", "\n\n  \n"])
    func empty(body: String) throws {
        let alice = try TestServer().account("alice")
        let answer = try alice.send(
            .post, "/v1/messages", body: Array(body.utf8), headers: [("Content-Type", "application/x-ndjson")])
        #expect(answer.status == 200)
        #expect(answer.body.isEmpty)
    }

    @Test("a line may have 1 MiB; a longer one alone is refused, and the body has no limit")
    func longLines() throws {
        let alice = try TestServer().account("alice")
        func padded(_ text: String, _ count: Int) -> String {
            let start = "{\"conversation\":\"general\",\"text\":\"\(text)\",\"x\":\""
            return start + String(repeating: "y", count: count - start.utf8.count - 2) + "\"}"
        }
        let answer = try alice.bulk([
            padded("exact", 1 << 20), padded("over", (1 << 20) + 1), line("after"), padded("far over", 5 << 20),
            line("last"),
        ])
        let lines = try answer.lines
        #expect(
            lines.map { $0["text"]?.text ?? $0["error"]?["code"]?.text } == [
                "exact", "too_large", "after", "too_large", "last",
            ])
        #expect(lines.compactMap { $0["line"] } == [2, 4])
    }

    @Test("a chunked body is read like one with a length, however it is cut", arguments: UInt64(1)...4)
    func chunks(seed: UInt64) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        var generator = SeededGenerator(seed: seed)
        let body = Array((1...400).map { line("text \($0)") + "\n" }.joined().utf8)
        let connection = try RawClient(port: server.port)
        connection.send(
            """
            POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(alice.token ?? "")\r\n\
            Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n
            """)
        var start = 0
        while start < body.count {
            let count = min(body.count - start, Int.random(in: 1...3_000, using: &generator))
            connection.send(Array("\(String(count, radix: 16))\r\n".utf8) + body[start..<start + count] + [13, 10])
            start += count
        }
        connection.send("0\r\n\r\n")
        let answer = try connection.answer()
        #expect(answer.status == 200)
        #expect(try answer.lines.map { $0["seq"]?.int } == (1...400).map { $0 })
        #expect(try alice.page(["after": "0", "limit": "1000"]).messages.map(\.text) == (1...400).map { "text \($0)" })
    }

    @Test("a broken connection leaves whole lines or none, and the ids show which")
    func brokenOff() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let lines = (1...1_500).map { line("text \($0)", id: "key:\($0)") }
        let body = Array(lines.map { $0 + "\n" }.joined().utf8)
        do {
            let connection = try RawClient(port: server.port)
            connection.send(
                """
                POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(alice.token ?? "")\r\n\
                Content-Type: application/x-ndjson\r\nContent-Length: \(body.count)\r\n\r\n
                """)
            connection.send(Array(body.prefix(body.count * 2 / 3)))
        }
        let answer = try alice.send(
            .post, "/v1/messages", body: body, headers: [("Content-Type", "application/x-ndjson")])
        #expect(try answer.lines.map { $0["text"]?.text } == (1...1_500).map { "text \($0)" })
        #expect(try alice.page().head == 1_500)
    }

    @Test("one line of NDJSON is bulk too")
    func single() throws {
        let alice = try TestServer().account("alice")
        let answer = try alice.bulk([line("one")])
        #expect(answer.status == 200)
        #expect(try answer.lines.count == 1)
    }

    @Test("an answer too long for memory arrives complete")
    func longAnswer() throws {
        let alice = try TestServer().account("alice")
        let count = 600
        let text = String(repeating: "long ", count: 800)
        let answer = try alice.bulk((1...count).map { _ in line(text) })
        let seqs = try answer.lines.map { $0["seq"]?.int }
        #expect(seqs == (1...count).map { $0 })
        #expect(answer.body.count > 2 << 20)
    }
}
