import NatterConversation
import NatterLog
import NatterSystem
import StoreSupport
import TestSupport
import Testing

@testable import NatterStore

/// Servers that write the same log file because one of them stood still meanwhile.
@Suite("servers of one store that write the same log file")
final class PostgresOverlapTests: PostgresSuite {
    /// A part of the tail of `general` that a server has written, and not recorded yet.
    private struct Written {
        let server: TestStore
        let identity: ConversationIdentity
        let mark: ConversationState.FilesMark
        let content: SealedContent
        let blocks: WrittenBlocks

        init(by server: TestStore) throws {
            self.server = server
            let store = server.store
            let parts: [OpenBlock]
            (identity, mark, parts) = try store.state.withLock { state in
                let conversation = try #require(state.conversations[state.general])
                return (conversation.identity, state.filesMark(of: conversation), conversation.tail.blocks)
            }
            content = SealedContent(parts)
            blocks = try store.write(parts, of: identity, effort: .best, with: store.archiveWriter())
        }

        func record() -> StoreError? {
            server.store.record(room: .kept) { [server, identity, mark, blocks, content] _ in
                try server.store.checkFiles(of: identity.number, are: mark)
                var decision = Decision(.tailSealed(Change.SealedTail(blocks, content)))
                decision.blocks = [blocks]
                return decision
            }
        }

        func withdraw() throws { try server.store.archiveWriter().withdraw(blocks, of: identity.id) }
    }

    @Test(
        "a server that wakes records nothing over another one's bytes, and neither takes back the other's",
        arguments: [false, true])
    func wakes(isNewFile: Bool) throws {
        let one = try TestStore(database: uri)
        try one.fill(300)
        if !isNewFile { try one.seal() }
        try one.fill(100)
        // Given a server that stood still after it had written, until it counted as dead and what it wrote was swept
        let slow = try Written(by: one)
        let pool = PostgresPool(try SharedStore(uri).target)
        try eventually("it is swept") {
            try cluster.query("UPDATE node SET seen=now()-interval '2 minutes'", in: uri)
            try pool.use { try PostgresSweeper(connection: $0, node: 7).sweep([slow.identity.id]) }
            return try cluster.query("SELECT 1 FROM log_piece WHERE start>=\(slow.blocks.start)", in: uri) == []
        }
        // When another one writes there, and has other blocks
        let two = try TestStore(database: uri)
        try two.fill(100)
        let fast = try Written(by: two)
        #expect(fast.blocks.start == slow.blocks.start)
        #expect(slow.blocks.segment.name(of: slow.identity.id) == fast.blocks.segment.name(of: fast.identity.id))
        // Then the first one can't take these bytes for its own, nor take them back
        #expect(slow.record() == .busy)
        try slow.withdraw()
        #expect(fast.record() == nil)
        // And what is recorded stays, whoever wrote it
        try slow.withdraw()
        try fast.withdraw()
        for server in [one, two] {
            try server.store.catchUp()
            #expect(try server.all().count == 500)
        }
        for server in [one, two] { try server.post(["after"]) }
        let directory = try TemporaryDirectory()
        var damages: [StoreDamage] = []
        _ = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
        #expect(damages.isEmpty, "\(damages)")
    }

    @Test("a server takes back what is its own, and the file with it")
    func takesBack() throws {
        let server = try TestStore(database: uri)
        func pieces() throws -> [String] {
            try cluster.query("SELECT count(*), (SELECT count(*) FROM log_file) FROM log_piece", in: uri)
        }
        try server.fill(300)
        for _ in 0..<2 {
            let before = try pieces()
            let written = try Written(by: server)
            #expect(try pieces() != before)
            try written.withdraw()
            #expect(try pieces() == before)
            try server.seal()
            try server.fill(100)
        }
        #expect(try server.all().count == 500)
    }
}
