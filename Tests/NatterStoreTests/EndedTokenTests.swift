import NatterCrypto
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import Testing

@testable import NatterStore

@Suite("a token that ends between the check of a request and the writer's thread")
struct EndedTokenTests {
    private typealias Outcome = Result<Void, StoreError>
    private typealias Change = @Sendable (Store, Principal, @escaping @Sendable (Outcome) -> Void) -> Void

    /// The changes that a request can ask for.
    private static let changes: [(name: String, ask: Change)] = [
        (
            "post",
            { store, principal, completion in
                let message = NewMessage(conversation: "general", text: "two", key: nil)
                store.post([message], by: principal, stopAtRefusal: false) { outcomes in
                    completion(outcomes.first?.refusal.map { .failure($0) } ?? .success(()))
                }
            }
        ),
        ("createGroup", { $0.createGroup("new", isOpen: true, by: $1, drop($2)) }),
        ("changeGroup", { $0.changeGroup("team", newName: "crew", isOpen: true, by: $1, drop($2)) }),
        ("putMember", { $0.putMember("bob", in: "team", isAdmin: nil, mayAdd: true, by: $1, drop($2)) }),
        ("removeMember", { $0.removeMember("carol", from: "team", by: $1, $2) }),
        ("deleteGroup", { $0.deleteGroup("team", by: $1, $2) }),
        ("setContact", { $0.setContact("bob", true, for: $1, drop($2)) }),
        ("setBlocked", { $0.setBlocked("bob", true, for: $1, drop($2)) }),
        ("markRead", { $0.markRead(Seq(1), in: "general", for: $1, drop($2)) }),
        ("addToken", { $0.addToken(label: "robot", scope: .all, expires: nil, for: $1, drop($2)) }),
        ("revokeToken", { $0.revokeToken(1, robots: false, by: $1, drop($2)) }),
        ("revokeSessions", { $0.revokeSessions(by: $1, $2) }),
        ("setPassword", { $0.setPassword(hash, verified: hash, for: $1, drop($2)) }),
        ("addInvite", { $0.addInvite(by: $1, expires: $1.created, drop($2)) }),
        ("revokeInvite", { $0.revokeInvite("none", by: $1, drop($2)) }),
        ("endSession", { $0.endSession(1, by: $1, drop($2)) }),
        ("change", { $0.change("bob", AccountChange(isAdmin: true), by: "alice", asking: $1, drop($2)) }),
        ("erase", { $0.erase([Seq(1)...Seq(1)], in: "general", by: "alice", asking: $1, drop($2)) }),
    ]

    private static let hash = PasswordHash(stored: "$none")

    private static func drop<Value>(_ completion: @escaping @Sendable (Outcome) -> Void) -> Completion<Value> {
        { completion($0.map { _ in }) }
    }

    @Test("changes nothing any more, and a change by one that is good does", arguments: changes.map(\.name))
    func refused(name: String) throws {
        let ask = try #require(Self.changes.first { $0.name == name }).ask
        let store = try TestStore(users: ["bob", "carol"])
        try store.post(["one"], by: "bob")
        let alice = try store.user("alice")
        let admin = AccountChange(isAdmin: true)
        _ = try waitFor { store.store.change("alice", admin, by: "operator", asking: nil, $0) }.get()
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        _ = try waitFor {
            store.store.putMember("carol", in: "team", isAdmin: nil, mayAdd: true, by: alice, $0)
        }.get()
        // Given another session that a request was admitted with, and that was revoked before its change was made
        let token = try store.token("alice")
        let former = try #require(store.store.principal(of: token, address: "127.0.0.1"))
        try waitFor { store.store.revoke(token.digest, $0) }.get()
        let commit = store.store.state.withLock { $0.commit }
        // When the change is asked for, then it is refused, and nothing is written
        #expect(throws: StoreError.unauthorized) { try waitFor { ask(store.store, former, $0) }.get() }
        #expect(store.store.state.withLock { $0.commit } == commit)
        // And with a good one the same is done
        try waitFor { ask(store.store, alice, $0) }.get()
    }
}
