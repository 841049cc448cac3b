import NatterArchive
@testable import NatterClient
import NatterModel
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@Suite("Reading a replica")
struct ReadingTests {
    /// A replica with messages of several conversations in log files and in tails.
    private func made(seed: UInt64) throws -> (TestStore, TemporaryDirectory, Replica, [String: [Message]]) {
        var random = SeededGenerator(seed: seed)
        let server = try TestStore(users: ["alice", "bob"])
        let home = try TemporaryDirectory()
        for step in 0..<25 {
            let target = ["general", "@bob", "@me"].randomElement(using: &random) ?? "general"
            let user = target == "@me" ? "alice" : ["alice", "bob"].randomElement(using: &random) ?? "alice"
            let count = [1, 3, 60].randomElement(using: &random) ?? 1
            let filling = String(repeating: "word ", count: Int.random(in: 0...200, using: &random))
            try server.mustPost(
                (0..<count).map { "\(step).\($0) \(filling)" },
                to: user == "bob" && target == "@bob" ? "@alice" : target,
                by: user)
            if Bool.random(using: &random) { try server.seal("general", as: "alice") }
            if Bool.random(using: &random) { try server.sync("alice", server.location(home, "alice")) }
        }
        try server.sync("alice", server.location(home, "alice"))
        let replica = try #require(try Replica.open(at: server.location(home, "alice")))
        return (server, home, replica, try server.export(for: "alice"))
    }

    private func collect(_ walk: ((LogPiece) throws -> Bool) throws -> Void) throws -> [Message] {
        var messages: [Message] = []
        try walk { piece in
            guard case .messages(let run) = piece else { throw Failure("a hole") }
            messages += run.messages()
            return true
        }
        return messages
    }

    @Test("reads return what a plain filter of all messages returns", arguments: UInt64(1)...4)
    func walks(seed: UInt64) throws {
        // Given a replica
        let (server, home, replica, all) = try made(seed: seed)
        defer { withExtendedLifetime((server, home)) {} }
        var random = SeededGenerator(seed: seed &+ 1_000)
        for conversation in try replica.conversations() {
            let messages = all[conversation.name] ?? []
            for _ in 0..<6 {
                // When it is walked through with some filter
                var filter = MessageFilter()
                if Bool.random(using: &random) { filter.after = Seq(UInt64.random(in: 0...conversation.head.rawValue)) }
                if Bool.random(using: &random) {
                    filter.before = Seq(UInt64.random(in: 1...conversation.head.rawValue + 5, using: &random))
                }
                if Bool.random(using: &random) { filter.since = messages.randomElement(using: &random)?.time }
                if Bool.random(using: &random) { filter.until = messages.randomElement(using: &random)?.time }
                if Bool.random(using: &random) { filter.sender = "bob" }
                if Bool.random(using: &random) { filter.excludedSender = "alice" }
                let limit = [0, 1, 7, 300, .max].randomElement(using: &random) ?? .max
                let expected = messages.filter { message in
                    message.seq > filter.after && message.seq < filter.before ?? Seq(.max)
                        && message.time >= filter.since ?? message.time
                        && (filter.until.map { message.time < $0 } ?? true)
                        && (filter.sender.map { message.sender == $0 } ?? true)
                        && message.sender != filter.excludedSender
                }
                // Then it returns the expected messages, either way
                #expect(
                    try collect { try replica.forward(conversation, filter, limit: limit, visit: $0) }
                        == Array(expected.prefix(limit)))
                #expect(
                    try collect { try replica.backward(conversation, filter, limit: limit, visit: $0) }
                        == Array(expected.reversed().prefix(limit)))
                let start = try replica.start(ofNewest: limit, conversation, filter)
                var newest = filter
                newest.after = start
                #expect(
                    try collect { try replica.forward(conversation, newest, visit: $0) }
                        == Array(expected.suffix(limit)))
            }
        }
    }

    @Test("a merge gives all conversations by time, either way", arguments: UInt64(1)...4)
    func merge(seed: UInt64) throws {
        // Given a replica
        let (server, home, replica, all) = try made(seed: seed)
        defer { withExtendedLifetime((server, home)) {} }
        let conversations = try replica.conversations()
        // When all of it is merged
        var keyed: [(key: Timestamp, message: Message)] = []
        for messages in all.values {
            var high = Timestamp(milliseconds: .min)
            for message in messages {
                high = max(high, message.time)
                keyed.append((high, message))
            }
        }
        keyed.sort {
            ($0.key, $0.message.conversationID, $0.message.seq) < ($1.key, $1.message.conversationID, $1.message.seq)
        }
        let expected = keyed.map(\.message)
        let filter = MessageFilter()
        // Then the order is that of a sort
        #expect(try collect { try replica.merged(conversations, filter, visit: $0) } == expected)
        #expect(
            try collect { try replica.merged(conversations, filter, isNewestFirst: true, visit: $0) }
                == expected.reversed())
        for limit in [0, 1, 20, 333] {
            #expect(
                try collect { try replica.merged(conversations, filter, isNewestFirst: true, limit: limit, visit: $0) }
                    == Array(expected.reversed().prefix(limit)))
            let starts = try replica.starts(ofNewest: limit, conversations, filter)
            #expect(
                try collect { try replica.merged(conversations, filter, after: starts, visit: $0) }
                    == Array(expected.suffix(limit)))
        }
    }

    @Test("hashes and cursors are those of the server")
    func hashes() throws {
        // Given a replica
        let (server, home, replica, all) = try made(seed: 3)
        defer { withExtendedLifetime((server, home)) {} }
        for conversation in try replica.conversations() {
            let messages = all[conversation.name] ?? []
            // When cursors are made and judged, then they are the server's
            for message in messages.prefix(50) + messages.suffix(50) {
                #expect(try replica.cursor(at: message.seq, of: conversation) == message.cursor)
                #expect(try replica.standing(of: message.cursor, in: conversation) == .good(message.seq))
            }
            let head = conversation.head
            let foreign = MessageCursor(conversation: conversation.id, seq: head, hashPrefix: 1)
            #expect(try replica.standing(of: foreign, in: conversation) == .diverged(head))
            let ahead = MessageCursor(conversation: conversation.id, seq: head.next, hashPrefix: 1)
            #expect(try replica.standing(of: ahead, in: conversation) == .ahead(head.next))
            let other = MessageCursor(
                conversation: ConversationID(high: 1, low: 2), seq: head, hashPrefix: 1)
            #expect(try replica.standing(of: other, in: conversation) == .foreign)
        }
    }
}
