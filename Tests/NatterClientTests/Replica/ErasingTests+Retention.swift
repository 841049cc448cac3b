import NatterConversation
@testable import NatterClient
import NatterSystem
import NatterLog
import NatterModel
@testable import NatterStore
import StoreSupport
import SystemSupport
import Testing
import TestSupport

extension ReplicaErasingTests {
    @Test("what is below the server's first in a tail goes, too, from the search index as well")
    func retentionInTail() throws {
        // Given a replica that has everything in its tail
        let server = try TestStore(users: ["alice"])
        let home = try TemporaryDirectory()
        let location = server.location(home, "alice")
        try server.mustPost((1...5).map { "\(Self.secret) \($0)" }, to: "general", by: "alice")
        try server.seal()
        server.clock.advance(milliseconds: 80 * 86_400_000)
        try server.mustPost((1...5).map { "new \($0)" }, to: "general", by: "alice")
        try server.seal()
        try server.sync("alice", location)
        try ReplicaIndexing.run(at: location)
        #expect(Self.files(home.path, holding: Self.secret) != [])
        // When the server drops the old ones
        _ = try waitFor { server.store.setRetention(Retention(days: 70), of: "general", by: "test", $0) }.get()
        try server.sync("alice", location)
        try ReplicaWriter(location).dropWhatServerDropped()
        // Then the replica has the others, and goes on
        let kept = (1...5).map { "new \($0)" }
        #expect(try contents(location)["general"]?.map(\.text) == kept)
        #expect(Self.files(home.path, holding: Self.secret) == [])
        try Self.verify(location, server)
        try server.mustPost(["newer"], to: "general", by: "alice")
        try server.sync("alice", location)
        try ReplicaWriter(location).dropWhatServerDropped()
        #expect(try contents(location)["general"]?.map(\.text) == kept + ["newer"])
        try Self.verify(location, server)
    }

    @Test("a replica keeps what the server drops, unless it follows; a device that was away has a stated hole")
    func retention() throws {
        let server = try TestStore(users: ["alice"])
        let home = try TemporaryDirectory()
        let (kept, following, late) = (home("kept"), home("following"), home("late"))
        func location(_ path: String) -> ReplicaLocation {
            ReplicaLocation(home: path, store: server.store.id, user: "alice")
        }
        try server.mustPost(["first"], to: "general", by: "alice")
        try server.sync("alice", location(late))
        try server.fill(3_000, label: "old")
        try server.seal()
        server.clock.advance(milliseconds: 80 * 86_400_000)
        try server.mustPost(["new"], to: "general", by: "alice")
        try server.seal()
        let all = try server.all()
        for path in [kept, following] { try server.sync("alice", location(path)) }
        // When the old ones go and the devices sync
        _ = try waitFor { server.store.setRetention(Retention(days: 70), of: "general", by: "test", $0) }.get()
        for path in [kept, following, late] { try server.sync("alice", location(path)) }
        try ReplicaWriter(location(following)).dropWhatServerDropped()
        #expect(try contents(location(kept))["general"] == all)
        #expect(try contents(location(following))["general"]?.map(\.text) == ["new"])
        try Self.verify(location(following), server)
        try Self.verify(location(kept), server)
        // Then the one that was away has the ends, and knows that what is between is gone
        let replica = try #require(try Replica.open(at: location(late)))
        let general = try #require(try replica.conversation(named: "general"))
        #expect((general.first, general.serverFirst) == (Seq(1), Seq(3_002)))
        var missing: [ClosedRange<Seq>] = []
        try replica.forward(general, MessageFilter()) { piece in
            if case .missing(_, let range, .notKept) = piece { missing.append(range) }
            return true
        }
        #expect(missing == [Seq(2)...Seq(3_001)])
        #expect(try replica.gaps(of: general) == [])
        // The files of the one that follows are small
        #expect(Self.files(following, holding: "old 1:") == [])
        try server.mustPost(["newer"], to: "general", by: "alice")
        try server.sync("alice", location(following))
        #expect(try contents(location(following))["general"]?.map(\.text) == ["new", "newer"])
    }
}
