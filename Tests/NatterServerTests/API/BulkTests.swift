internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@testable internal import NatterServer

@Suite("sending many messages in one request")
struct BulkTests {
    private let server: TestServer
    private let alice: Client
    private static let ndjson = "Content-Type: application/x-ndjson"

    init() throws {
        server = try TestServer()
        alice = try server.account("alice")
    }

    private func line(_ text: String, to conversation: String = "general", id: String? = nil) -> String {
        let id = id.map { ",\"id\":\"\($0)\"" } ?? ""
        return "{\"conversation\":\"\(conversation)\",\"text\":\"\(text)\"\(id)}"
    }

    @Test("each line is answered in order, by the message or by what is wrong with it")
    func everyLine() throws {
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
        let lines = (1...300).map { line("text \($0)", id: "key:\($0)") }
        let first = try alice.bulk(Array(lines[..<200]))
        let second = try alice.bulk(lines)
        #expect(try second.lines.prefix(200) == first.lines[...])
        #expect(try alice.page(["after": "0", "limit": "1000"]).messages.map(\.text) == (1...300).map { "text \($0)" })
    }

    @Test("line ends of any kind, and none at the end, make the same messages")
    func lineEnds() throws {
        let body = line("one") + "\r\n" + line("two") + "\n\n\r\n" + line("three")
        let answer = try alice.send(
            .post, "/v1/messages", body: Array(body.utf8), headers: [("Content-Type", "application/x-ndjson")])
        #expect(try answer.lines.map { $0["text"] } == ["one", "two", "three"])
    }

    @Test("nothing sent is nothing answered", arguments: ["", "\n", "\n\n  \n"])
    func empty(body: String) throws {
        let answer = try alice.send(
            .post, "/v1/messages", body: Array(body.utf8), headers: [("Content-Type", "application/x-ndjson")])
        #expect(answer.status == 200)
        #expect(answer.body.isEmpty)
    }

    @Test("a line may have 1 MiB; a longer one alone is refused, and the body has no limit")
    func longLines() throws {
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

    @Test("a line of 1 MiB that comes without the LF of its end counts as one line")
    func cutLineEnd() throws {
        let start = line("exact").dropLast() + ",\"x\":\""
        let exact = start + String(repeating: "y", count: (1 << 20) - start.utf8.count - 2) + "\"}\r"
        let connection = try RawClient(port: server.port)
        connection.sendRequest(
            "POST", "/v1/messages", headers: [Self.ndjson, "Transfer-Encoding: chunked"], token: alice.token)
        // The library passes on each chunk by itself.
        for chunk in [exact, "\n{\r\n"] {
            connection.send("\(String(chunk.utf8.count, radix: 16))\r\n\(chunk)\r\n")
        }
        connection.send("0\r\n\r\n")
        let lines = try connection.answer().lines
        #expect(lines.map { $0["text"]?.text ?? $0["error"]?["code"]?.text } == ["exact", "bad_json"])
        #expect(lines.last?["line"] == 2)
    }

    @Test("a chunked body is read like one with a length, however it is cut", arguments: UInt64(1)...4)
    func chunks(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let body = Array((1...400).map { line("text \($0)") + "\n" }.joined().utf8)
        let connection = try RawClient(port: server.port)
        connection.sendRequest(
            "POST", "/v1/messages", headers: [Self.ndjson, "Transfer-Encoding: chunked"], token: alice.token)
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
        let lines = (1...1_500).map { line("text \($0)", id: "key:\($0)") }
        let body = Array(lines.map { $0 + "\n" }.joined().utf8)
        do {
            let connection = try RawClient(port: server.port)
            connection.sendRequest(
                "POST", "/v1/messages", headers: [Self.ndjson, "Content-Length: \(body.count)"], token: alice.token)
            connection.send(Array(body.prefix(body.count * 2 / 3)))
        }
        let answer = try alice.send(
            .post, "/v1/messages", body: body, headers: [("Content-Type", "application/x-ndjson")])
        #expect(try answer.lines.map { $0["text"]?.text } == (1...1_500).map { "text \($0)" })
        #expect(try alice.page().head == 1_500)
    }

    @Test("thousands of short lines, which make several batches, are answered in order")
    func shortLines() throws {
        let answer = try alice.bulk((0..<5_000).map { $0 % 1_000 == 999 ? "x" : line("\($0)") })
        #expect(answer.status == 200)
        let lines = try answer.lines
        #expect(
            lines.enumerated().allSatisfy { index, line in
                index % 1_000 == 999 ? line["line"]?.int == index + 1 : line["text"]?.text == "\(index)"
            })
        #expect(lines.compactMap { $0["seq"]?.int } == Array(1...4_995))
    }

    @Test("many short lines are stored while the rest of the request is still to come")
    func shortBatches() throws {
        // Given lines that are fewer bytes than a batch may have, of a request that does not end
        let body = Array((1...3_000).map { line("\($0)") + "\n" }.joined().utf8)
        #expect(body.count < 256 << 10)
        let connection = try RawClient(port: server.port)
        connection.sendRequest(
            "POST", "/v1/messages", headers: [Self.ndjson, "Content-Length: \(10 * body.count)"], token: alice.token)
        connection.send(body)
        // Then somebody who waits for the last of 2,048 gets it
        #expect(try alice.page(["after": "2047", "wait": "50"]).messages.first?.text == "2048")
    }

    @Test("an answer too long for memory arrives complete")
    func longAnswer() throws {
        let count = 600
        let text = String(repeating: "long ", count: 800)
        let answer = try alice.bulk((1...count).map { _ in line(text) })
        let seqs = try answer.lines.map { $0["seq"]?.int }
        #expect(seqs == (1...count).map { $0 })
        #expect(answer.body.count > 2 << 20)
    }

    @Test("a token that may not send is refused before the body is read")
    func scope() throws {
        let made = try alice.post("/v1/tokens", ["label": "reader", "scope": "read:general"])
        let token = try #require(made.json["token"]?.text)
        let connection = try RawClient(port: server.port)
        connection.sendRequest("POST", "/v1/messages", headers: [Self.ndjson, "Content-Length: 1000000"], token: token)
        let answer = try connection.answer()
        #expect(answer.status == 403)
    }

    @Test(
        "after 2,000 refused lines in a row one line says so, and the rest is dropped",
        arguments: ["[]", "", "conversation"])
    func refusedInRow(_ kind: String) throws {
        let bad = kind == "[]" ? "[]" : line(kind.isEmpty ? "" : "x", to: kind.isEmpty ? "general" : "nowhere")
        // More than a batch has, so that the store refuses many lines of one.
        let many = Array(repeating: bad, count: 8_000)
        let answers = try alice.bulk(many[..<1_999] + [line("good")] + many + [line("dropped")]).lines
        #expect(answers.count == 4_001)
        #expect(answers[1_999]["text"] == "good")
        #expect(answers.dropFirst(2_000).allSatisfy { $0["error"] != nil })
        #expect(answers.last?["error"]?["code"] == "not_tried")
        #expect(answers.last?["line"]?.int == answers.count)
        #expect(try alice.page().head == 1)
    }

    @Test("lines that the server and the store refuse count together, and a good line begins anew")
    func mixedRefusals() throws {
        let mixed = (0..<3_000).map {
            $0.isMultiple(of: 3) ? "[]" : line($0.isMultiple(of: 2) ? "" : "x", to: "nowhere")
        }
        let lines = mixed[..<1_700] + [line("one")] + mixed[..<1_999] + [line("two")] + mixed + [line("three")]
        let answers = try alice.bulk(Array(lines)).lines
        #expect(answers.count == 1_700 + 1 + 1_999 + 1 + 2_000 + 1)
        #expect(answers.last?["error"]?["code"] == "not_tried")
        #expect(try alice.page().messages.map(\.text) == ["one", "two"])
    }

    @Test(
        "with stop=1, lines that are not tried count as refused, whoever refuses the first",
        arguments: ["[]", "nowhere"])
    func stopInRow(_ kind: String) throws {
        let bad = kind == "[]" ? kind : line("x", to: kind)
        let answers = try alice.bulk([bad] + Array(repeating: line("x"), count: 5_000), query: "?stop=1").lines
        #expect(answers.count == 2_001)
        #expect(try alice.page().head == 0)
    }

    @Test("answers that would take too much room end the request with a line that says so")
    func spoolRoom() throws {
        var options = ChatServer.Options()
        options.spools.totalBytes = (64 << 20) + 200_000
        let client = try TestServer(options: options).account("alice")
        let lines = (1...20_000).map { line("text \($0)", id: "key:\($0)") }
        let answers = try client.bulk(lines).lines
        #expect(answers.last?["error"]?["code"] == "not_tried")
        let head = try client.page().head
        #expect(answers.count == Int(head) + 1)
        #expect(answers.dropLast().allSatisfy { $0["seq"] != nil })
        // The room is given back when the answer was sent: repeating with the same ids succeeds.
        try eventually("room for another request") { try client.bulk(Array(lines.prefix(10))).lines.count == 10 }
        #expect(try client.bulk(Array(lines.prefix(10))).lines == Array(answers.prefix(10)))
    }

    @Test("unread answers of one account leave room for those of others, and give theirs back")
    func spoolShare() throws {
        var limits = SpoolLimits()
        (limits.accountBytes, limits.totalBytes) = (300_000, 1_000_000)
        let room = SpoolRoom(limits, FaultyDisk())
        let (alice, bob) = (AccountID(rawValue: 1), AccountID(rawValue: 2))
        let answers = [UInt8](repeating: 0x78, count: 200_000)
        do {
            let first = try room.makeSpool(for: alice)
            #expect(try first.append(answers))
            let second = try room.makeSpool(for: alice)
            #expect(try !second.append(answers))
            let other = try room.makeSpool(for: bob)
            #expect(try other.append(answers))
            #expect(first.count == answers.count && second.count == 0)
        }
        let third = try room.makeSpool(for: alice)
        #expect(try third.append(answers))
    }

    @Test("an account sends so many bulks at a time; a further one is told to come again, and others are not concerned")
    func sixteen() throws {
        let room = SpoolRoom(SpoolLimits(), FaultyDisk())
        let (alice, bob) = (AccountID(rawValue: 1), AccountID(rawValue: 2))
        var spools = try (0..<16).map { _ in try room.makeSpool(for: alice) }
        let refusal = #expect(throws: APIError.self) { try room.makeSpool(for: alice) }
        #expect(refusal?.code == .slowDown && refusal?.retryAfter == 1)
        spools.append(try room.makeSpool(for: bob))
        spools.removeFirst()
        spools.append(try room.makeSpool(for: alice))
    }

    @Test("a disk without the room that is kept for log files takes no answers")
    func diskRoom() throws {
        var options = ChatServer.Options()
        options.spools.freeBytes = .max
        let client = try TestServer(options: options).account("alice")
        let answers = try client.bulk([line("one"), line("two")]).lines
        // Not "not tried": a client tries again what the server had no room for, and gives up what was wrong.
        #expect(answers.map { $0["error"]?["code"] } == ["disk_full"])
        #expect(answers.first?["line"] == 1)
        #expect(try client.page().head == 0)
    }
}
