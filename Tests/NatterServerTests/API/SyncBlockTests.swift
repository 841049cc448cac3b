internal import NatterSystem
internal import NatterLog
internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("sync as blocks")
struct SyncBlockTests {
    private struct Line: Equatable {
        let conversation: String
        let seq: UInt64
        let ts: Int64
        let sender: String
        let text: String
    }

    /// Takes an answer apart, checking everything that can be.
    private func open(_ answer: Answer) throws -> (lines: [JSONValue], messages: [Line], sealed: Int, provisional: Int)
    {
        var reader = SyncFrameReader()
        answer.body.withUnsafeBytes { reader.feed($0) }
        var lines: [JSONValue] = []
        var messages: [Line] = []
        var (sealed, provisional, byteCount) = (0, 0, 0)
        var dictionaries: [DictionaryID: LogDictionary] = [:]
        var ends: [String: (seq: Seq, hash: String)] = [:]
        while let frame = try reader.next() {
            byteCount += SyncFrame.headerBytes + frame.payload.count
            switch frame.kind {
            case .line: lines.append(try WireJSON.decode(JSONValue.self, from: frame.payload))
            case .dictionary:
                let dictionary = try frame.payload.withUnsafeBytes { try LogDictionary(decoding: $0) }
                dictionaries[dictionary.id] = dictionary
            case .block, .provisional:
                if frame.kind == .block { sealed += 1 } else { provisional += 1 }
                let object = try #require(lines.last { $0["type"] == "conversation" })
                let id = object["id"]?.text ?? ""
                let header = try BlockHeader(decoding: frame.payload)
                #expect(header.isProvisional == (frame.kind == .provisional))
                let block = Block(header: header, stored: Array(frame.payload[BlockHeader.byteCount...]))
                let dictionary =
                    header.dictionary == .none ? LogDictionary.none : try #require(dictionaries[header.dictionary])
                let records = try block.verify(with: dictionary)
                // Each block follows the one before it
                if let end = ends[id] {
                    #expect(header.firstSeq == end.seq.next)
                    #expect(header.hashBefore.description == end.hash)
                }
                ends[id] = (records.lastSeq, header.hashAfter.description)
                for index in 0..<records.count {
                    let record = records[index]
                    messages.append(
                        Line(
                            conversation: id, seq: record.seq.rawValue, ts: record.time.milliseconds,
                            sender: String(decoding: record.sender, as: UTF8.self),
                            text: String(decoding: record.text, as: UTF8.self)))
                }
                if records.lastSeq.rawValue == UInt64(object["head"]?.int ?? 0) {
                    #expect(object["hash"]?.text == header.hashAfter.description)
                }
            }
        }
        #expect(byteCount == answer.body.count)
        #expect(lines.last?["type"] == "end")
        return (lines, messages, sealed, provisional)
    }

    @Test("blocks hold the same messages as lines do, and check out by checksum and hash", arguments: UInt64(1)...2)
    func sameMessages(seed: UInt64) throws {
        let server = try TestServer()
        var generator = SeededGenerator(seed: seed)
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        func write(_ rounds: Int) throws {
            for _ in 0..<rounds {
                let names = ["general", "@bob", "@alice"]
                try server.post(
                    (0..<Int.random(in: 1...12, using: &generator)).map { index in
                        let words = (0..<Int.random(in: 1...400, using: &generator)).map { _ in
                            ["alpha", "beta", "gamma", "delta", "Маша"].randomElement(using: &generator) ?? ""
                        }
                        return NewMessage(
                            conversation: names.randomElement(using: &generator) ?? "general",
                            text: words.joined(separator: " "), key: nil)
                    }, as: Bool.random(using: &generator) ? alice : bob)
            }
        }
        try write(120)
        _ = try waitFor { server.store.settle($0) }
        try write(2)
        var cursor: String?
        for round in 0..<3 {
            let query: KeyValuePairs<String, String> = cursor.map { ["cursor": $0] } ?? [:]
            let blocks = try alice.get("/v1/sync", query, accept: "application/vnd.natter.blocks")
            #expect(blocks.header("Content-Type") == "application/vnd.natter.blocks")
            let plain = try alice.get("/v1/sync", query)
            let opened = try open(blocks)
            let messages = try plain.lines.filter { $0["type"] == "message" }.map { line in
                Line(
                    conversation: line["conversation_id"]?.text ?? "", seq: UInt64(line["seq"]?.int ?? 0),
                    ts: Int64(line["ts"]?.int ?? 0), sender: line["sender"]?.text ?? "", text: line["text"]?.text ?? "")
            }
            #expect(opened.messages == messages)
            #expect(try opened.lines == plain.lines.filter { $0["type"] != "message" })
            #expect(!messages.isEmpty)
            if round == 0 { #expect(opened.sealed > 0) }
            #expect(opened.provisional > 0)
            cursor = blocks.header("Natter-Cursor")
            try write(2)
        }
    }

    @Test("a page in blocks ends after about 1 MiB, and the next one goes on")
    func longPages() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<60 {
            let text = (0..<3_000).map { _ in String(generator.next(), radix: 36) }.joined()
            try server.post([NewMessage(conversation: "general", text: text, key: nil)], as: alice)
        }
        var last = Seq.zero
        for _ in 0..<60 where last < Seq(60) {
            let page = try alice.get(
                "/v1/conversations/general/messages", ["after": "\(last)", "limit": "1000"],
                accept: "application/vnd.natter.blocks")
            #expect(page.body.count < 1_200_000)
            var reader = SyncFrameReader()
            page.body.withUnsafeBytes { reader.feed($0) }
            while let frame = try reader.next() {
                let header = try BlockHeader(decoding: frame.payload)
                #expect(header.firstSeq == last.next)
                last = header.lastSeq
            }
        }
        #expect(last == Seq(60))
    }

    @Test("a block outside the scope of a token is 403, whether its owner sees the conversation or not")
    func blockScope() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        func id(_ name: String, _ client: Client) throws -> String {
            try client.get("/v1/conversations/\(name)").json["id"]?.text ?? ""
        }
        for (name, maker) in [("g", alice), ("other", bob)] {
            #expect(try maker.post("/v1/groups", ["name": .string(name)]).status == 201)
        }
        let token = try alice.post("/v1/tokens", ["label": "x", "scope": "read:g"]).json["token"]?.text
        let robot = Client(server, token: token)
        #expect(try robot.get("/v1/blocks/\(id("general", alice))/1-0").outcome == "403 forbidden")
        #expect(try robot.get("/v1/blocks/\(id("g", alice))/1-0").outcome == "404 not_found")
        let unknown = String(repeating: "7", count: 32)
        for id in [try id("other", bob), unknown] {
            #expect(try robot.get("/v1/blocks/\(id)/1-0").outcome == "403 forbidden")
            #expect(try alice.get("/v1/blocks/\(id)/1-0").outcome == "404 no_such_conversation")
        }
    }

    @Test("with nothing new it costs a few bytes")
    func empty() throws {
        let alice = try TestServer().account("alice")
        _ = try alice.say("one")
        let first = try alice.get("/v1/sync", accept: "application/vnd.natter.blocks")
        let cursor = first.header("Natter-Cursor") ?? ""
        let second = try alice.get("/v1/sync", ["cursor": cursor], accept: "application/vnd.natter.blocks")
        #expect(try open(second).lines == [["type": "end", "cursor": .string(cursor), "more": false]])
        #expect(second.body.count < 300)
    }

    @Test("a flipped bit anywhere is noticed", arguments: UInt64(1)...5)
    func flippedBit(seed: UInt64) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.post(
            (0..<40).map { NewMessage(conversation: "general", text: "text number \($0)", key: nil) }, as: alice)
        let body = try alice.get("/v1/sync", accept: "application/vnd.natter.blocks").body
        var generator = SeededGenerator(seed: seed)
        #expect(isWhole(body))
        for _ in 0..<20 {
            var flipped = body
            flipped[Int.random(in: 0..<body.count, using: &generator)] ^=
                1 << UInt8.random(in: 0..<8, using: &generator)
            #expect(!isWhole(flipped))
        }
    }

    private func isWhole(_ body: [UInt8]) -> Bool {
        var reader = SyncFrameReader()
        body.withUnsafeBytes { reader.feed($0) }
        do {
            var byteCount = 0
            while let frame = try reader.next() { byteCount += SyncFrame.headerBytes + frame.payload.count }
            return byteCount == body.count
        } catch {
            return false
        }
    }
}
