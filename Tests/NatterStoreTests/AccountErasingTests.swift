import Glibc
import NatterSystem
import NatterModel
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

@Suite("erasing an account")
struct AccountErasingTests {
    /// A word that stands in no other text.
    private static let secret = "Xylophonkonzert-7731"

    private static func eraseAlice(_ store: TestStore) throws -> Int {
        try waitFor { store.store.eraseAccount("alice", by: "operator", $0) }.get()
    }

    @Test(
        "a full disk that refuses the erasure of an account leaves nothing to be done later, or it says so",
        arguments: 0..<16)
    func refusedByFullDisk(writes: Int) throws {
        let (directory, disk) = (try TemporaryDirectory(), FaultyDisk())
        let store = try Self.storeOfTwo(directory.path, disk: disk)
        disk.set(failures: [.write: ENOSPC], after: writes)
        let result = Result { try Self.eraseAlice(store) }
        disk.set(failures: [:])
        try store.reopen()
        store.store.waitForErasures()
        let isErased = store.store.state.withLock { $0.account(named: "alice")?.isErased }
        switch result {
        case .failure(StoreError.diskFull): #expect(isErased == false)
        case .failure(StoreError.notErased): break
        case .failure(let error): #expect(isErased == false, "\(error)")
        case .success: #expect(isErased == true)
        }
    }

    @Test("what a full disk leaves of an erased text is told once, and without 'nothing was stored'")
    func leftByFullDisk() throws {
        var told: [String] = []
        for writes in 0..<24 {
            let (directory, disk) = (try TemporaryDirectory(), FaultyDisk())
            let store = try Self.storeOfTwo(directory.path, disk: disk)
            disk.set(failures: [.write: ENOSPC], after: writes)
            _ = Result { try Self.eraseAlice(store) }
            disk.set(failures: [:])
            let lines = store.reports.lines.filter { $0.contains("an erased text is not gone") }
            #expect(lines.count <= 1, "\(lines)")
            told += lines
        }
        #expect(!told.isEmpty && told.allSatisfy { $0.hasSuffix(": the disk is full") }, "\(told)")
    }

    /// alice and bob in `general`, in a group of hers and with each other; some of it is sealed.
    private static func storeOfTwo(_ directory: String, disk: any Disk = PosixDisk()) throws -> TestStore {
        let store = try TestStore(directory, disk: disk)
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        for isAdmin in [nil, true] {
            try store.put("bob", in: "team", isAdmin: isAdmin, by: alice)
        }
        try store.put("alice", in: "team", isAdmin: false, by: bob)
        for conversation in ["general", "team"] {
            try store.post([secret, "of alice"], to: conversation)
            try store.post(["of bob"], to: conversation, by: "bob")
            try store.seal(conversation)
        }
        try store.post([secret], to: "@bob")
        try store.post(["for alice"], to: "@alice", by: "bob")
        try store.post([secret], key: "k")
        return store
    }

    @Test("an erased account leaves its number in events and its name to nobody; messages of others stay")
    func account() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.storeOfTwo(directory.path)
        let token = try store.token("alice")
        #expect(try Self.eraseAlice(store) == 10)
        // Then nobody logs in as alice, and nobody else gets the name
        #expect(
            store.store.principal(of: token, address: "127.0.0.1") == nil && store.store.credentials(of: "alice") == nil
        )
        let name = try UserName("ALICE")
        #expect(throws: StoreError.self) {
            _ = try waitFor { store.store.register(name, password: PasswordHash(stored: "$none"), $0) }.get()
        }
        func check() throws {
            #expect(try store.all(as: "bob").map { $0.sender + ":" + $0.text } == [":", ":", "bob:of bob", ":"])
            #expect(try store.all("@alice", as: "bob").map(\.text) == ["", "for alice"])
            #expect(
                try store.all("team", as: "bob").map { $0.sender + ":" + $0.text }
                    == ["#1:created", "#1:added bob", "#1:promoted bob", "bob:demoted #1", ":", ":", "bob:of bob"])
            #expect(try store.store.members(of: "team", for: store.user("bob")).map(\.user.name) == ["bob"])
            #expect(Files.holding(piecesOf: Self.secret, below: directory.path) == [])
            let entries = try store.store.audit(limit: 100).filter { $0.action == "user_erased" }
            #expect(entries.map(\.subject) == [""])
        }
        try check()
        // A second time does nothing, and a restart changes nothing
        #expect(try Self.eraseAlice(store) == 0)
        try store.reopen()
        try check()
        #expect(throws: StoreError.self) {
            _ = try waitFor { store.store.change("alice", AccountChange(isDisabled: false), by: "op", asking: nil, $0) }
                .get()
        }
        try store.endsSound()
        // The logs alone still say who is in the group
        try ReindexTests.removeDatabase(directory.path)
        #expect(try StoreRebuild.run(directory.path, .reindex).lostMessages == 0)
        let rebuilt = try TestStore(directory.path)
        #expect(rebuilt.store.accountViews().map(\.name) == ["bob"])
        #expect(rebuilt.store.credentials(of: "alice") == nil)
        // The remembered erasure takes no words of an event that is erased already
        #expect(
            try rebuilt.all("team", as: "bob").prefix(4).map { $0.sender + ":" + $0.text }
                == ["#1:created", "#1:added bob", "#1:promoted bob", "bob:demoted #1"])
        #expect(throws: StoreError.self) {
            _ = try waitFor {
                rebuilt.store.change("alice", AccountChange(isDisabled: false), by: "operator", asking: nil, $0)
            }.get()
        }
        #expect(try rebuilt.store.members(of: "team", for: rebuilt.user("bob")).map(\.user.name) == ["bob"])
    }

    @Test(
        "an account is erased again, with its events, if an older database is put in place", arguments: [false, true])
    func olderDatabaseOfAccount(isBeforeRegistration: Bool) throws {
        let directory = try TemporaryDirectory()
        let store: TestStore
        let older = try TemporaryDirectory()
        if isBeforeRegistration {
            store = try TestStore(directory.path, users: ["bob"])
            try store.post(["of bob"], by: "bob")
            store.store.close()
            try Files.copy(directory.path, to: older("old"))
            try store.reopen()
            try store.post([Self.secret], by: "alice")
        } else {
            store = try Self.storeOfTwo(directory.path)
            store.store.close()
            try Files.copy(directory.path, to: older("old"))
            try store.reopen()
        }
        _ = try Self.eraseAlice(store)
        store.store.close()
        let remembered = try #require(Files.bytes(directory.path + "/erased"))
        // When everything of before comes back, except what remembers the erasure
        let copy = older("old")
        try Files.write(remembered, to: copy + "/erased")
        let again = try TestStore(copy)
        // Then the account is erased, and its name is taken
        #expect(again.store.state.withLock { $0.account(named: "alice")?.isErased } == true)
        #expect(again.store.accountViews().map(\.name) == ["bob"] && again.store.credentials(of: "alice") == nil)
        #expect(Files.holding(piecesOf: Self.secret, below: copy) == [])
        if !isBeforeRegistration {
            #expect(
                try again.all("team", as: "bob").map { $0.sender + ":" + $0.text }
                    == ["#1:created", "#1:added bob", "#1:promoted bob", "bob:demoted #1", ":", ":", "bob:of bob"])
            #expect(try again.store.members(of: "team", for: again.user("bob")).map(\.user.name) == ["bob"])
        }
        let lines = again.reports.lines
        try again.reopen()
        #expect(again.reports.lines == lines)
        try again.endsSound()
    }

    @Test("an event that names two erased accounts names none")
    func bothAccounts() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.storeOfTwo(directory.path)
        let bob = try store.user("bob")
        _ = try store.user("carol")
        try store.put("carol", in: "team", by: bob)
        _ = try Self.eraseAlice(store)
        _ = try waitFor { store.store.eraseAccount("bob", by: "operator", $0) }.get()
        #expect(try waitFor { store.store.eraseAccount("bob", by: "operator", $0) }.get() == 0)
        #expect(
            try store.all("team", as: "carol").map { $0.sender + ":" + $0.text } == [
                "#1:created", "#1:added #2", "#1:promoted #2", "#2:demoted #1", ":", ":", ":", "#2:added carol",
            ])
        try store.endsSound()
    }

    @Test(
        "a kill at any step of an account's erasure: a start ends what has begun, the same command does nothing else",
        arguments: 0...11)
    func accountCrash(step: Int) throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let disk = FaultyDisk()
        let store = try Self.storeOfTwo(directory.path, disk: disk)
        disk.stop(afterChanges: step * 7)
        _ = try? Self.eraseAlice(store)
        try Files.copy(directory.path, to: crashed.path)
        let next = try TestStore(crashed.path)
        let alice = next.store.state.withLock { $0.account(named: "alice") }
        if alice?.isDisabled == true {
            #expect(alice?.isErased == true && Files.holding(piecesOf: Self.secret, below: crashed.path) == [])
        }
        _ = try Self.eraseAlice(next)
        #expect(try next.all(as: "bob").map { $0.sender + ":" + $0.text } == [":", ":", "bob:of bob", ":"])
        #expect(try next.all("team", as: "bob").map(\.sender) == ["#1", "#1", "#1", "bob", "", "", "bob"])
        #expect(try next.store.audit(limit: 100).filter { $0.action == "user_erased" }.count == 1)
        #expect(Files.holding(piecesOf: Self.secret, below: crashed.path) == [])
        try next.endsSound()
    }

    @Test("an invitation that an erased account has made lets nobody in")
    func invitations() throws {
        let store = try TestStore(users: ["alice"])
        let alice = try store.user("alice")
        _ = try waitFor { store.store.change("alice", AccountChange(isAdmin: true), by: "op", asking: nil, $0) }.get()
        let expires = store.clock.now().advanced(milliseconds: 86_400_000)
        let code = try waitFor { store.store.addInvite(by: alice, expires: expires, $0) }.get().code
        _ = try Self.eraseAlice(store)
        for _ in 1...2 {
            #expect(throws: StoreError.badInvite) { try store.store.check(code) }
            #expect(store.store.invites().map(\.maker) == [])
            try store.reopen()
        }
    }

    @Test("whom an erased account had blocked can delete what they sent to it")
    func blockList() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        try store.post(["for alice"], to: "@alice", by: "bob")
        _ = try waitFor { store.store.setBlocked("bob", true, for: alice, $0) }.get()
        let deletion = NewMessage(conversation: "@alice", text: "", key: nil, kind: .delete, about: Seq(1))
        #expect(store.post([deletion], by: bob).first?.refusal == .blocked("@alice"))
        _ = try Self.eraseAlice(store)
        try store.reopen()
        #expect(store.post([deletion], by: try store.user("bob")).first?.refusal == nil)
        #expect(store.store.state.withLock { $0.account(named: "alice")?.blocked } == [])
    }
}
