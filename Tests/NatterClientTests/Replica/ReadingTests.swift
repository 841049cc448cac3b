import NatterConversation
@testable import NatterClient
import NatterModel
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

    @Test("walks give the messages of log files and tail, in either direction", arguments: UInt64(1)...4)
    func walks(seed: UInt64) throws {
        // Given a replica
        let (server, home, replica, all) = try made(seed: seed)
        defer { withExtendedLifetime((server, home)) {} }
        let conversations = try replica.conversations()
        for conversation in conversations {
            // When it is walked through, then it gives what the server has
            let expected = all[conversation.name] ?? []
            #expect(try collect { try replica.forward(conversation, MessageFilter(), visit: $0) } == expected)
            #expect(
                try collect { try replica.backward(conversation, MessageFilter(), visit: $0) } == expected.reversed())
            for limit in [0, 1, 7, 300] {
                let newest = MessageFilter(after: try replica.start(ofNewest: limit, conversation, MessageFilter()))
                #expect(
                    try collect { try replica.forward(conversation, newest, visit: $0) }
                        == Array(expected.suffix(limit)))
            }
        }
        // and merged, all conversations
        let merged = try collect { try replica.merged(conversations, MessageFilter(), visit: $0) }
        #expect(merged.count == all.values.reduce(0) { $0 + $1.count })
        for conversation in conversations {
            #expect(merged.filter { $0.conversation == conversation.name } == all[conversation.name] ?? [])
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
