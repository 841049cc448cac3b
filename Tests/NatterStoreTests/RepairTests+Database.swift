import Glibc
import NatterConversation
import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// Damage of the database.
extension RepairTests {
    @Test("a journal that can't be read: that messages may be lost is said", arguments: [true, false])
    func unreadableJournal(isRepair: Bool) throws {
        let store = try TestStore()
        try store.seal(after: 10)
        try store.post(["in no log"])
        let all = try store.all()
        store.store.close()
        try damageFirstPage(of: "batch_a", store.directory)
        // When it is repaired, or its index is made again
        var lines: [String] = []
        if isRepair {
            let summary = try StoreRepair.run(store.directory, report: { lines.append("\($0)") }) { _ in }
            #expect(summary.hasUnknownLoss && summary.left.damages == 0)
        } else {
            let summary = try StoreRebuild.run(store.directory, .reindex) { lines.append("\($0)") }
            #expect(summary.hasUnknownLoss)
        }
        #expect(lines.contains { $0.contains("may be lost") })
        // Then the rest is served
        #expect(try TestStore(store.directory).all() == all.dropLast())
    }

    @Test("the store's id is lost before anything is in a log: the rest is served", arguments: [true, false])
    func unreadableID(isRepair: Bool) throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["one", "two"])
        try store.post(["for bob"], to: "@bob")
        let all = try store.all()
        store.store.close()
        try damageFirstPage(of: "meta", store.directory)
        if isRepair {
            #expect(try StoreRepair.run(store.directory) { _ in }.left.damages == 0)
        } else {
            _ = try StoreRebuild.run(store.directory, .reindex)
        }
        let again = try TestStore(store.directory)
        #expect(try again.all() == all)
        #expect(try again.all("@alice", as: "bob").map(\.text) == ["for bob"])
        try again.post(["three"])
        again.store.close()
        #expect(try StoreCheck.run(store.directory) { Issue.record("\($0)") }.damages == 0)
    }

    @Test(
        "rows of members or accounts are lost: groups have the members of their logs",
        arguments: ["membership", "account"])
    func unreadableMembers(table: String) throws {
        let store = try TestStore(users: ["alice", "bob", "carol"])
        let alice = try store.user("alice")
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        for name in ["bob", "carol"] {
            try store.put(name, in: "team", by: alice)
        }
        try store.post(["one"], to: "team")
        try store.seal("team")
        // One event is in the journal only
        _ = try waitFor { store.store.removeMember("carol", from: "team", by: alice, $0) }.get()
        store.store.close()
        try damageFirstPage(of: table, store.directory)
        var lines: [String] = []
        _ = try StoreRepair.run(store.directory, report: { lines.append("\($0)") }) { _ in }
        let repaired = try TestStore(store.directory)
        let members = try repaired.store.members(of: "team", for: repaired.user("alice"))
        #expect(members.map(\.user.name) == ["alice", "bob"] && members.map(\.isAdmin) == [true, false], "\(lines)")
        #expect(try repaired.all("team", as: "bob").contains { $0.text == "one" })
        #expect(throws: StoreError.noSuchConversation("team")) { try repaired.all("team", as: "carol") }
    }

    @Test("a repair that was stopped: what it left is not used if the store went on, but is if it had begun to replace")
    func stopped() throws {
        let disk = PosixDisk()
        let store = try TestStore()
        try store.seal(after: 10)
        try store.post(["one"])
        let (path, rebuilt) = (store.directory + "/store.db", store.directory + "/store.db.rebuilt")
        func copy(_ path: String, to target: String) throws {
            try disk.replaceContents(of: target, with: disk.contents(of: path, limit: 1 << 24))
        }
        // Given a database that was finished, and a server that went on with the old one
        try store.reopen { _ in try copy(path, to: rebuilt) }
        #expect(try disk.information(rebuilt) == nil)
        try store.post(["two"])
        let all = try store.all()
        store.store.close()
        try copy(path, to: path + ".old")
        try damageFirstPage(of: "read_mark", store.directory)
        try copy(path + ".old", to: rebuilt)
        try Connection(path: rebuilt, role: .writer).execute("DELETE FROM batch_a")
        // Then a repair makes another one
        _ = try StoreRepair.run(store.directory) { _ in }
        #expect(try TestStore(store.directory).all() == all)
        // But where the old one has been moved away, it is the newest, and a start asks for a repair
        try disk.rename(path, to: rebuilt)
        #expect(throws: StoreOpenError.self) { try Store.open(store.directory) }
        var lines: [String] = []
        _ = try StoreRebuild.run(store.directory, .reindex) { lines.append("\($0)") }
        #expect(lines.contains { $0.hasPrefix("put '\(path)' in place") })
        #expect(try TestStore(store.directory).all() == all)
    }

    @Test(
        "accounts are lost before anything is in a log: who sent messages has theirs again, and nobody gets another's")
    func unreadableAccounts() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let tokens = try [store.token("alice"), store.token("bob")]
        try store.post(["one"], key: "k")
        try store.post(["for bob"], to: "@bob", key: "l")
        store.store.close()
        try damageFirstPage(of: "account", store.directory)
        let summary = try StoreRepair.run(store.directory) { _ in }
        #expect(summary.hasLostRows && !summary.hasUnknownLoss && summary.left.damages == 1)
        // Then a session is its holder's or nobody's, and no name or number is given again
        let repaired = try TestStore(store.directory)
        let holders = tokens.map { repaired.store.principal(of: $0, address: "127.0.0.1")?.name.text }
        #expect(holders == ["alice", nil])
        #expect(repaired.store.credentials(of: "alice")?.account == AccountID(rawValue: 1))
        #expect(try repaired.user("mallory").account == AccountID(rawValue: 3))
    }

    @Test(
        "accounts without rows: a number that an id tells goes to no other sender, and one that no account can have to nobody"
    )
    func numbersOfSenders() throws {
        let store = try TestStore(users: ["bob", "alice"])
        try store.post(["of alice"], by: "alice")
        try store.post(["of bob"], by: "bob", key: "k")
        store.store.close()
        try Connection(path: store.directory + "/store.db", role: .writer).execute(
            "DELETE FROM account; UPDATE token SET account=\(Int64.max)")
        _ = try StoreRebuild.run(store.directory, .reindex)
        let again = try TestStore(store.directory).store
        #expect(again.credentials(of: "bob")?.account == AccountID(rawValue: 1))
        // Nothing tells that hers was 2, so she gets one that nobody had.
        #expect(again.credentials(of: "alice")?.account == AccountID(rawValue: 3))
    }

    @Test(
        "a number that any row still names is given to no other account, and to no other conversation",
        arguments: ["token", "read_mark", "membership"])
    func namedNumber(table: String) throws {
        let store = try TestStore(users: ["alice", "bob"])
        let token = try store.token("bob")
        func makeGroup(_ name: String, by user: String) throws -> Int64? {
            let principal = try store.user(user)
            _ = try waitFor { store.store.createGroup(name, isOpen: false, by: principal, $0) }.get()
            return store.store.state.withLock { state in
                state.conversations.values.first { $0.name == name }?.identity.number
            }
        }
        let group = try #require(try makeGroup("secret", by: "bob"))
        try store.reopen { directory in
            let connection = try Connection(path: directory + "/store.db", role: .writer)
            try connection.execute("DELETE FROM account WHERE name='bob'; DELETE FROM conversation WHERE kind=1")
            try connection.execute("DELETE FROM batch_a; DELETE FROM change; DELETE FROM read_mark")
            if table == "read_mark" { try connection.run("INSERT INTO read_mark VALUES (2,?,1,0,0)", group) }
            if table != "token" { try connection.execute("DELETE FROM token") }
            if table != "membership" { try connection.execute("DELETE FROM membership") }
            _ = try StoreRebuild.run(directory, .reindex)
        }
        try store.reopen()
        #expect(try store.user("mallory").account == AccountID(rawValue: 3))
        #expect(store.store.principal(of: token, address: "127.0.0.1") == nil)
        #expect(try table == "token" || #require(try makeGroup("another", by: "alice")) > group)
    }

    @Test(
        "a personal conversation of a lost account is damage, and a repair gives it back once there is that account again"
    )
    func personalOfLostAccount() throws {
        let store = try TestStore(users: ["alice", "bob"])
        #expect(try store.post(["hello"], to: "@bob").first?.message != nil)
        try store.reopen { directory in
            try Connection(path: directory + "/store.db", role: .writer).execute("DELETE FROM account WHERE name='bob'")
            var found: [StoreDamage] = []
            _ = try StoreCheck.run(directory) { found.append($0) }
            #expect(found.contains { $0.problem.english.contains("natterd user add") }, "\(found)")
            #expect(try StoreRepair.run(directory) { _ in }.left.damages == 1)
        }
        _ = try store.user("bob")
        try store.reopen { directory in
            let left = try StoreRepair.run(directory) { _ in }.left
            #expect(left.damages == 0)
        }
        #expect(try store.post(["again"], to: "@bob").first?.message?.seq == Seq(2))
        #expect(try store.all("@alice", as: "bob").map(\.text) == ["hello", "again"])
    }

    @Test(
        "a database that is cut before anything is in a log is repaired, and kept as it was", arguments: [1, 8, 14, 20])
    func cutDatabase(pages: UInt64) throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["one"])
        store.store.close()
        let path = store.directory + "/store.db"
        let cut = Array(try disk.contents(of: path, limit: 1 << 20).prefix(Int(pages) * 4_096))
        try disk.replaceContents(of: path, with: cut)
        let summary = try StoreRepair.run(store.directory) { _ in }
        #expect(summary.hasLostRows && summary.hasUnknownLoss && summary.left.damages == 0)
        #expect(try disk.contents(of: store.directory + "/quarantine/store.db", limit: 1 << 20) == cut)
        let repaired = try TestStore(store.directory)
        try repaired.post(["two"])
        #expect(try repaired.all().last?.text == "two")
    }

    @Test("a store whose database is gone before anything is in a log is not taken for a new one")
    func missingDatabase() throws {
        let store = try TestStore(users: ["alice"])
        try store.post(["one"])
        store.store.close()
        try disk.removeDatabase(store.directory + "/store.db")
        #expect(throws: StoreOpenError.self) { try TestStore(store.directory) }
        var found: [StoreDamage] = []
        #expect(try StoreCheck.run(store.directory) { found.append($0) }.damages == 1)
        #expect(found.first?.problem.english == "the database is missing")
        // An operator who wants to begin anew can, and is told what that means
        var lines: [String] = []
        #expect(try StoreRebuild.run(store.directory, .reindex) { lines.append("\($0)") }.hasUnknownLoss)
        #expect(lines.contains { $0.contains("may be lost") })
        #expect(try TestStore(store.directory).all().isEmpty)
    }

    @Test(
        "a link to a database elsewhere is not replaced by a new one",
        arguments: [StoreRebuild.Purpose.reindex, .repair])
    func linkedDatabase(mode: StoreRebuild.Purpose) throws {
        let store = try TestStore(users: ["alice"])
        try store.post(["one"])
        store.store.close()
        let (path, elsewhere) = (store.directory + "/store.db", store.directory + "/elsewhere.db")
        #expect(rename(path, elsewhere) == 0 && symlink(elsewhere, path) == 0)
        let failure = #expect(throws: StoreOpenError.self) { _ = try StoreRebuild.run(store.directory, mode) }
        guard case .unfit = failure else { throw Failure("\(failure, default: "it was rebuilt")") }
        #expect(unlink(path) == 0 && rename(elsewhere, path) == 0)
        #expect(try TestStore(store.directory).all().map(\.text) == ["one"])
    }

    @Test("messages of a conversation without a row are damage")
    func orphans() throws {
        let store = try TestStore()
        _ = try store.user("bob")
        #expect(try store.post(["hello"], to: "@bob").first?.message != nil)
        store.store.close()
        try Connection(path: store.directory + "/store.db", role: .writer).execute(
            "DELETE FROM conversation WHERE kind=2")
        var found: [StoreDamage] = []
        #expect(try StoreCheck.run(store.directory) { found.append($0) }.damages == 1)
        #expect(found.first?.problem.english.contains("1 message of conversation") == true)
    }

    @Test("the number of an account whose row is lost is not given again")
    func lostAccount() throws {
        let store = try TestStore(users: ["alice", "gina"])
        try store.post(["hello"], to: "@alice", by: "gina")
        let (token, gina) = (try store.token("gina"), try store.user("gina").account)
        store.store.close()
        try Connection(path: store.directory + "/store.db", role: .writer)
            .execute("DELETE FROM account WHERE name='gina'")
        try store.reopen()
        #expect(try store.user("mallory").account.rawValue > gina.rawValue)
        #expect(store.store.principal(of: token, address: "127.0.0.1") == nil)
        store.store.close()
        // A session and a password are gone, although the account is there again.
        #expect(try StoreRepair.run(store.directory) { _ in }.hasLostRows)
    }

    /// Overwrites the first page of a table.
    private func damageFirstPage(of table: String, _ directory: String) throws {
        let path = directory + "/store.db"
        let page = try Connection(path: path, role: .reader)
            .row("SELECT rootpage FROM sqlite_schema WHERE name=?", table) { $0.uint64(0) }
        try disk.open(path, .readWrite)
            .write([UInt8](repeating: 0xA5, count: 4_096), at: (#require(page) - 1) * 4_096)
    }
}
