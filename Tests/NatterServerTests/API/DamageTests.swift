internal import Glibc
internal import NatterHTTP
internal import NatterLog
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("damaged blocks", .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no such files"))
struct DamageTests {
    /// A store with long conversations `general` and `@bob`, the second block of `general` damaged.
    private struct Damaged {
        let server: TestServer
        let alice: Client
        let range: ClosedRange<UInt64>
        let head: UInt64

        init() throws {
            let directory = try TemporaryDirectory()
            let (token, id) = try Damaged.fill(directory)
            range = try Damaged.flip(directory, id)
            server = try TestServer(directory: directory, usesSockets: true)
            alice = Client(server, token: token)
            head = try alice.get("/v1/conversations/general").decode(ConversationObject.self).head
        }

        private static func fill(_ directory: TemporaryDirectory) throws -> (token: String?, id: ConversationID) {
            let server = try TestServer(directory: directory)
            let alice = try server.account("alice")
            try server.account("bob")
            for round in 0..<12 {
                for name in ["general", "@bob"] {
                    try server.post(
                        (0..<30).map {
                            NewMessage(
                                conversation: name, text: "\(round) \($0) " + String(repeating: "text ", count: 180),
                                key: nil)
                        }, as: alice)
                }
            }
            let object = try alice.get("/v1/conversations/general").decode(ConversationObject.self)
            let id = try #require(ConversationID(hex: object.id))
            // Sealing happens in the background; the test needs two blocks.
            try eventually("two blocks are sealed") { blocks(directory, id).count >= 2 }
            server.stop()
            return (alice.token, id)
        }

        private static func path(_ directory: TemporaryDirectory, _ id: ConversationID) -> String? {
            directory.files(".log").first { $0.contains(id.description) }
        }

        private static func blocks(_ directory: TemporaryDirectory, _ id: ConversationID) -> [(UInt64, BlockHeader)] {
            guard let path = path(directory, id), let segment = try? Segment.open(at: path, on: PosixDisk()) else {
                return []
            }
            var found: [(UInt64, BlockHeader)] = []
            var offset = segment.bodyOffset
            while let block = try? segment.block(at: offset) {
                found.append((offset, block.header))
                offset += UInt64(block.header.totalLength)
            }
            return found
        }

        /// Flips a bit in the second block.
        private static func flip(_ directory: TemporaryDirectory, _ id: ConversationID) throws -> ClosedRange<UInt64> {
            let found = blocks(directory, id)
            let (offset, header) = try #require(found.count > 1 ? found[1] : nil)
            let file = open(try #require(path(directory, id)), O_RDWR)
            defer { close(file) }
            var byte: UInt8 = 0
            let place = off_t(offset) + off_t(BlockHeader.byteCount + header.storedLength / 2)
            guard pread(file, &byte, 1, place) == 1 else { throw Failure("pread: \(errno)") }
            byte ^= 0x10
            guard pwrite(file, &byte, 1, place) == 1 else { throw Failure("pwrite: \(errno)") }
            return header.firstSeq.rawValue...header.firstSeq.rawValue + UInt64(header.count) - 1
        }

        func messages(_ query: String) throws -> Answer {
            try alice.send(.get, "/v1/conversations/general/messages?" + query)
        }
    }

    @Test("a page that needs it is 500 with the range; messages before and after it are served")
    func pages() throws {
        let damaged = try Damaged()
        let (first, last) = (damaged.range.lowerBound, damaged.range.upperBound)
        #expect(first > 1 && last < damaged.head)

        for query in [
            "after=\(first - 1)", "after=\(last - 1)&limit=1", "before=\(last + 1)", "around=\(first + 1)&limit=1",
        ] {
            let answer = try damaged.messages(query)
            #expect(answer.outcome == "500 damaged", "\(query)")
            let error = try answer.json["error"]
            #expect(error?["from"]?.int == Int(first))
            #expect(error?["to"]?.int == Int(last))
            // The paths of the server's files are not revealed
            #expect(error?["message"]?.text?.contains(damaged.server.directory.path) == false)
        }
        // but the operator's
        damaged.server.events.withLock { events in
            #expect(
                events.contains { event in
                    event.level == .warning
                        && event.fields.contains { $0.value.contains(damaged.server.directory.path) }
                })
        }
        // A page that reaches it ends before it
        let before = try damaged.messages("after=\(first - 3)&limit=1000").decode(MessageList.self)
        #expect(before.messages.map(\.seq) == [first - 2, first - 1])
        #expect(before.more)
        #expect(before.next == first - 1)
        let behind = try damaged.messages("before=\(last + 3)&limit=1000").decode(MessageList.self)
        #expect(behind.messages.map(\.seq) == [last + 1, last + 2])
        #expect(behind.more)
        #expect(behind.next == last + 1)
        let newest = try damaged.messages("limit=1000").decode(MessageList.self)
        #expect(newest.messages.map(\.seq) == Array(last + 1...damaged.head))
        #expect(newest.more)
        #expect(newest.next == last + 1)
        // The rest is there
        #expect(
            try damaged.messages("after=\(last)&limit=1000").decode(MessageList.self).messages.last?.seq == damaged.head
        )
        #expect(try damaged.alice.page(["after": "0", "limit": "1000"], of: "@bob").messages.count == 360)
        #expect(try damaged.alice.say("still here").status == 201)
    }

    @Test("a filter does not skip it: nothing is told to be complete that is not")
    func filtered() throws {
        let damaged = try Damaged()
        var after: UInt64 = 0
        var refusal: Answer?
        for _ in 0..<100 {
            let answer = try damaged.messages("after=\(after)&from=nobody&limit=10")
            guard answer.status == 200 else {
                refusal = answer
                break
            }
            let page = try answer.decode(MessageList.self)
            guard page.more else { break }
            after = page.next
        }
        #expect(refusal?.outcome == "500 damaged")
    }

    @Test("sync states the range and goes on", arguments: [nil, "application/vnd.natter.blocks"])
    func sync(accept: String?) throws {
        let damaged = try Damaged()
        let answer = try damaged.alice.get("/v1/sync", accept: accept)
        #expect(answer.status == 200)
        var lines: [JSONValue] = []
        if accept == nil {
            lines = try answer.lines
        } else {
            var reader = SyncFrameReader()
            answer.body.withUnsafeBytes { reader.feed($0) }
            while let frame = try reader.next() {
                if frame.kind == .line { lines.append(try WireJSON.decode(JSONValue.self, from: frame.payload)) }
            }
        }
        let damage = lines.filter { $0["type"] == "damaged" }
        #expect(damage.count == 1)
        #expect(damage.first?["conversation"] == "general")
        #expect(damage.first?["from"]?.int == Int(damaged.range.lowerBound))
        #expect(damage.first?["to"]?.int == Int(damaged.range.upperBound))
        #expect(lines.last?["type"] == "end")
        #expect(lines.last?["more"] == false)
        guard accept == nil else { return }
        let general = try #require(lines.first { $0["name"] == "general" }?["id"])
        let seqs = lines.filter { $0["conversation_id"] == general && $0["type"] == "message" }.compactMap {
            $0["seq"]?.int
        }
        #expect(seqs == (1...Int(damaged.head)).filter { !damaged.range.contains(UInt64($0)) })
    }

    @Test("a cursor inside it is as good as any")
    func cursor() throws {
        let damaged = try Damaged()
        let answer = try damaged.messages("after=\(damaged.range.upperBound)&limit=1").decode(MessageList.self)
        let next = try #require(answer.messages.first?.cursor)
        #expect(try damaged.messages("after=\(next)&limit=1").decode(MessageList.self).messages.count == 1)
    }
}
