import NatterSystem
import NatterModel
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
        ("setDisplay", { $0.setDisplay(.some("Alice"), for: $1, drop($2)) }),
        ("setRetention", { $0.setRetention(Retention(days: 90), of: "team", by: "alice", asking: $1, drop($2)) }),
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
        let alice = try store.user("alice")
        try store.post(["one"], by: "bob")
        let admin = AccountChange(isAdmin: true)
        _ = try waitFor { store.store.change("alice", admin, by: "operator", asking: nil, $0) }.get()
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try store.put("carol", in: "team", by: alice)
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

    @Test("an account is erased by its owner's session and password alone")
    func ownAccount() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["one"])
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        let password = try #require(store.store.credentials(of: "alice")).password
        let token = try store.token("alice")
        let former = try #require(store.store.principal(of: token, address: "127.0.0.1"))
        try waitFor { store.store.revoke(token.digest, $0) }.get()
        func erase(_ principal: Principal, _ password: PasswordHash) throws -> Int {
            try waitFor { store.store.eraseAccount("alice", by: "#1", asking: (principal, password), $0) }.get()
        }
        for (principal, password) in [(former, password), (alice, PasswordHash(stored: "$other")), (bob, password)] {
            #expect(throws: StoreError.unauthorized) { try erase(principal, password) }
        }
        #expect(try store.all(as: "bob").map(\.text) == ["one"])
        #expect(try erase(alice, password) == 1)
        #expect(try store.all(as: "bob").map(\.text) == [""])
    }

    @Test("an erasure by an admin who was demoted while it waited is refused")
    func demoted() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["one"])
        let alice = try store.user("alice")
        _ = try waitFor { store.store.change("alice", AccountChange(isAdmin: true), by: "op", asking: nil, $0) }.get()
        // Given something else that takes the sealer's time
        let (mayGoOn, answer) = (Monitor(false), Monitor<Result<Int, StoreError>?>(nil))
        #expect(store.store.sealer.submit { _ in _ = mayGoOn.wait { $0 ? true : nil } })
        store.store.erase([Seq(1)...Seq(1)], in: "general", by: "alice", asking: alice) { result in
            answer.signal { $0 = result }
        }
        // When the admin is demoted before it begins
        let change = AccountChange(isAdmin: false)
        _ = try waitFor { store.store.change("alice", change, by: "op", asking: nil, $0) }
        mayGoOn.signal { $0 = true }
        // Then nothing is erased
        let result = answer.wait(timeoutMilliseconds: 60_000) { $0 }
        #expect(result == .failure(.forbidden("only an admin of the server may do this")))
        #expect(try store.all().map(\.text) == ["one"])
    }

    @Test("a login whose password was replaced while it was checked is refused")
    func replacedPassword() throws {
        let store = try TestStore(users: ["bob"])
        let former = try #require(store.store.credentials(of: "bob"))
        let change = AccountChange(password: PasswordHash(stored: "$new"))
        _ = try waitFor { store.store.change("bob", change, by: "operator", asking: nil, $0) }.get()
        func login(_ verified: PasswordHash) throws {
            _ = try waitFor {
                store.store.addSession(of: former.account, verified: verified, expires: nil, $0)
            }.get()
        }
        #expect(throws: StoreError.unauthorized) { try login(former.password) }
        try login(PasswordHash(stored: "$new"))
    }

    @Test("a user's own new password does not replace one that an admin has set while the old one was checked")
    func overtakenPassword() throws {
        let store = try TestStore(users: ["bob"])
        let former = try #require(store.store.credentials(of: "bob"))
        let change = AccountChange(password: PasswordHash(stored: "$admin"))
        _ = try waitFor { store.store.change("bob", change, by: "operator", asking: nil, $0) }.get()
        // Given a session with the admin's password, so that only the old one is out of date
        let token = try store.token("bob")
        let bob = try #require(store.store.principal(of: token, address: "127.0.0.1"))
        func set(_ text: String, verified: PasswordHash) throws -> Bool {
            try waitFor {
                store.store.setPassword(PasswordHash(stored: text), verified: verified, for: bob, $0)
            }.get()
        }
        #expect(try set("$own", verified: former.password) == false)
        #expect(store.store.credentials(of: "bob")?.password.text == "$admin")
        #expect(try set("$own", verified: PasswordHash(stored: "$admin")))
        #expect(store.store.credentials(of: "bob")?.password.text == "$own")
    }

    @Test("an invitation lets one user in, also if it was good when the second asked, and ends with its time")
    func usedInvitation() throws {
        let store = try TestStore()
        let code = try Self.invitation(by: "alice", days: 1, store)
        func register(_ name: String, _ code: Token) throws {
            let user = try UserName(name)
            _ = try waitFor {
                store.store.register(user, password: PasswordHash(stored: "$none"), invite: code, $0)
            }.get()
        }
        try register("bob", code)
        #expect(throws: StoreError.badInvite) { try register("carol", code) }
        let other = try Self.invitation(by: "alice", days: 1, store)
        store.clock.advance(milliseconds: 86_400_000)
        #expect(throws: StoreError.badInvite) { try register("carol", other) }
        #expect(store.store.accountViews().map(\.name).sorted() == ["alice", "bob"])
    }

    @Test("only invitations that can still be used are listed")
    func listedInvitations() throws {
        let store = try TestStore()
        for days in [3, 1, 2] as [Int64] { _ = try Self.invitation(by: "alice", days: days, store) }
        #expect(store.store.invites().count == 3)
        store.clock.advance(milliseconds: 2 * 86_400_000)
        let left = store.store.invites()
        #expect(left.count == 1 && left.allSatisfy { $0.expires > store.clock.now() })
    }

    /// The code of an invitation by a user, who becomes an admin.
    private static func invitation(by name: String, days: Int64, _ store: TestStore) throws -> Token {
        let maker = try store.user(name)
        _ = try waitFor { store.store.change(name, AccountChange(isAdmin: true), by: "op", asking: nil, $0) }.get()
        let expires = store.clock.now().advanced(milliseconds: days * 86_400_000)
        return try waitFor { store.store.addInvite(by: maker, expires: expires, $0) }.get().code
    }
}
