@testable import NatterClient
import NatterSystem
import NatterLog
import NatterModel
import NatterProtocol
import StoreSupport
import Testing
import TestSupport

@Suite("Syncing a replica")
struct SyncTests {
    @Test("an answer with a missing block is refused, and nothing after it is applied")
    func hole() throws {
        // Given an answer of several blocks
        let server = try TestStore(users: ["alice"])
        try server.mustPost(
            (1...4_000).map { "message \($0) \($0 &* 7_919) with a little text" }, to: "general", by: "alice")
        try server.seal("general", as: "alice")
        let location = server.location(of: "alice")
        var frames = try server.answer(nil, for: "alice")
        let blocks = frames.indices.filter { frames[$0].kind == .block }
        #expect(blocks.count > 2)
        // When one of them is missing
        frames.remove(at: blocks[1])
        let writer = ReplicaWriter(location)
        writer.begin(from: try writer.start())
        #expect(throws: ReplicaError.self) { for frame in frames { try writer.apply(frame) } }
        // Then the next whole answer brings everything
        try server.sync("alice", location)
        #expect(try contents(location) == server.export(for: "alice"))
    }

    @Test("a block that does not continue the replica's chain is not appended")
    func otherChain() throws {
        // Given a replica, and an answer whose next block follows another history, under the right numbers
        let server = try TestStore(users: ["alice"])
        try server.mustPost(["one", "two"], to: "general", by: "alice")
        let location = server.location(of: "alice")
        try server.sync("alice", location)
        try server.mustPost(["three"], to: "general", by: "alice")
        let writer = ReplicaWriter(location)
        let start = try writer.start()
        writer.begin(from: start)
        var frames = try server.answer(start.cursor, for: "alice")
        let place = try #require(frames.firstIndex { $0.kind == .provisional })
        let payload = frames[place].payload
        let header = try BlockHeader(decoding: Array(payload.prefix(BlockHeader.byteCount)))
        let general = try #require(try Replica.open(at: location)?.conversation(named: "general")).id
        let records = try Block(header: header, stored: Array(payload[BlockHeader.byteCount...])).open(with: .none)
        let other = try Block(
            sealing: records, 0..<records.count, of: general, hashBefore: HashChain.start(of: general),
            dictionary: .none, isProvisional: true, effort: .light)
        frames[place] = SyncFrame(.provisional, other.header.encode() + other.stored)
        // and whose line for the conversation names that history's hash.
        frames = frames.map { frame in
            guard frame.kind == .line else { return frame }
            let line = String(decoding: frame.payload, as: UTF8.self)
            let parts = line.split(separator: header.hashAfter.description, omittingEmptySubsequences: false)
            return SyncFrame(.line, Array(parts.joined(separator: other.header.hashAfter.description).utf8))
        }
        // When it is applied
        for frame in frames { try writer.apply(frame) }
        // Then the replica's messages are set aside, and the next syncs fetch the server's history
        #expect(writer.report.diverged.map(\.name) == ["general"])
        try server.sync("alice", location)
        #expect(try contents(location) == server.export(for: "alice"))
    }

    @Test("a first sync brings everything, a second nothing")
    func first() throws {
        // Given a server with sealed and unsealed messages in several conversations
        let server = try TestStore(users: ["alice", "bob"])
        try server.mustPost((1...3_000).map { "message \($0) with some text in it" }, to: "general", by: "alice")
        try server.seal("general", as: "alice")
        try server.mustPost(["after the seal"], to: "general", by: "bob")
        try server.mustPost(["hello bob", "how are you?"], to: "@bob", by: "alice")
        try server.mustPost(["a note"], to: "@me", by: "alice")
        let location = server.location(of: "alice")
        #expect(try Replica.open(at: location) == nil)
        // When it is synced twice
        let first = try server.sync("alice", location)
        let second = try server.sync("alice", location)
        // Then the replica has the server's messages, with the same cursors
        #expect(try contents(location) == server.export(for: "alice"))
        #expect(first.isComplete && first.messageCount == 3_004)
        #expect(second.isComplete && second.messageCount == 0)
        let replica = try #require(try Replica.open(at: location))
        #expect(try replica.conversations().map(\.name) == ["general", "@alice", "@bob"])
        #expect(try replica.conversation(named: "@ME")?.name == "@alice")
        #expect(try replica.conversation(named: "General")?.head == Seq(3_001))
        #expect(replica.lastSync() != nil)
    }

    @Test("small answers give the same replica as one large answer", arguments: UInt64(1)...6)
    func random(seed: UInt64) throws {
        // Given a server whose history grows at random, and two users' replicas
        var random = SeededGenerator(seed: seed)
        let users = ["alice", "bob", "carol"]
        let server = try TestStore(users: users)
        let home = try TemporaryDirectory()
        var counts: [String: Int] = [:]
        // When they sync at random moments, by answers of random size that are cut at random places
        for step in 0..<50 {
            let user = users.randomElement(using: &random) ?? "alice"
            let target = ["general", "general", "@bob", "@carol", "@me"].randomElement(using: &random) ?? "general"
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                let count = [1, 2, 30, 150].randomElement(using: &random) ?? 1
                let size = Int.random(in: 1...300, using: &random)
                let texts = (0..<count).map { "\(step) \($0) " + String(repeating: "xyäß ", count: size / 5) }
                try server.mustPost(texts, to: target, by: user)
            case 5: try? server.seal(target, as: user)
            case 6:
                // An answer that is cut short.
                let location = server.location(home, user)
                let writer = ReplicaWriter(location, portionBytes: Int.random(in: 1...40_000, using: &random))
                let start = try writer.start()
                writer.begin(from: start)
                let frames = try server.answer(
                    start.cursor, for: user, limit: Int.random(in: 1_000...100_000, using: &random))
                for frame in frames.prefix(Int.random(in: 0...frames.count, using: &random)) { try writer.apply(frame) }
                if Bool.random(using: &random) { try writer.flush() }
                counts[user, default: 0] += writer.report.messageCount
            default:
                let report = try server.sync(
                    user, server.location(home, user), limit: Int.random(in: 1_000...200_000, using: &random),
                    portionBytes: Int.random(in: 1...200_000, using: &random))
                counts[user, default: 0] += report.messageCount
                #expect(report.diverged.isEmpty && report.damaged.isEmpty)
                #expect(try contents(server.location(home, user)) == server.export(for: user))
            }
        }
        // Then at the end they have the server's messages, and every message was new once
        for user in users {
            let location = server.location(home, user)
            counts[user, default: 0] += try server.sync(user, location).messageCount
            let expected = try server.export(for: user)
            #expect(try contents(location) == expected)
            #expect(counts[user] == expected.values.reduce(0) { $0 + $1.count })
        }
    }
}
