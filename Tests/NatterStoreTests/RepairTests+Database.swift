import Glibc
import NatterArchive
import NatterLanguage
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
        try store.fill(10)
        try store.seal()
        try store.post(["in no log"])
        let all = try store.all()
        store.store.close()
        #expect(try damageFirstPage(of: "batch", store.directory) == RepairTests.leafPage)
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

    @Test("a journal whose inner page can't be read: all of its messages are found")
    func unreadableInnerPage() throws {
        let store = try TestStore()
        try store.fill(10)
        try store.seal()
        for number in 1...600 { try store.post(["in no log \(number)"]) }
        let all = try store.all()
        store.store.close()
        #expect(try damageFirstPage(of: "batch", store.directory) == RepairTests.innerPage)
        let summary = try StoreRepair.run(store.directory) { _ in }
        // No page tells how many there were.
        #expect(summary.hasUnknownLoss && summary.left.damages == 0)
        try expectServed(all, but: [], store.directory)
    }

    @Test(
        "the rows of conversations are lost: the journal's messages are in them again, or in groups that only members see"
    )
    func unreadableConversations() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        _ = try store.user("bob")
        for name in ["team", "crew"] {
            _ = try waitFor { store.store.createGroup(name, isOpen: false, by: alice, $0) }.get()
        }
        // A batch that stays in the journal because of one message, and of another that is in a log, too
        let both = ["general", "team"].map { NewMessage(conversation: $0, text: "to \($0)", key: nil) }
        #expect(store.post(both, by: alice).allSatisfy { $0.message != nil })
        try store.seal("team")
        for name in ["team", "crew", "@bob"] { try store.post(["only in the journal, to \(name)"], to: name) }
        let (general, team, crew) = (try store.all(), try store.all("team"), try store.all("crew"))
        store.store.close()
        #expect(try damageFirstPage(of: "conversation", store.directory) == RepairTests.leafPage)
        var lines: [String] = []
        let summary = try StoreRepair.run(store.directory, report: { lines.append("\($0)") }) { _ in }
        #expect(summary.hasUnknownLoss && summary.left.damages == 0)
        let names = lines.compactMap { $0.firstMatch(of: /the group '(recovered-[0-9a-f]+)'/).map { String($0.1) } }
        let repaired = try TestStore(store.directory)
        #expect(try repaired.all() == general)
        #expect(try repaired.all("team") == team)
        #expect(try repaired.post(["next"], to: "team").first?.message?.seq == team.last?.seq.next)
        // Only the members of a group see it, and nobody a message that was personal
        #expect(names.count == 2)
        let seen = names.filter { (try? repaired.all($0)) != nil }
        #expect(try seen.map { try repaired.all($0).map(\.text) } == [crew.map(\.text)])
        #expect(names.allSatisfy { (try? repaired.all($0, as: "bob")) == nil })
        let hidden = try #require(names.first { !seen.contains($0) })
        #expect(try repaired.export(hidden).count == 1)
        repaired.store.close()
        #expect(try StoreCheck.run(store.directory) { Issue.record("\($0)") }.damages == 0)
    }

    @Test("the store's id is lost before anything is in a log: the rest is served", arguments: [true, false])
    func unreadableID(isRepair: Bool) throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["one", "two"])
        try store.post(["for bob"], to: "@bob")
        let all = try store.all()
        store.store.close()
        _ = try damageFirstPage(of: "meta", store.directory)
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
            _ = try waitFor { store.store.putMember(name, in: "team", isAdmin: nil, mayAdd: true, by: alice, $0) }.get()
        }
        try store.post(["one"], to: "team")
        try store.seal("team")
        // One event is in the journal only
        _ = try waitFor { store.store.removeMember("carol", from: "team", by: alice, $0) }.get()
        store.store.close()
        _ = try damageFirstPage(of: table, store.directory)
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
        try store.fill(10)
        try store.seal()
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
        _ = try damageFirstPage(of: "read_mark", store.directory)
        try copy(path + ".old", to: rebuilt)
        try Connection(path: rebuilt, role: .writer).execute("DELETE FROM batch")
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
        #expect(try damageFirstPage(of: "account", store.directory) == RepairTests.leafPage)
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
            try connection.execute("DELETE FROM batch; DELETE FROM change; DELETE FROM read_mark")
            if table == "read_mark" { try connection.run("INSERT INTO read_mark VALUES (2,?,1,0)", group) }
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
        // Who wants to begin anew can, and is told what that means
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

    @Test(
        "a database whose first page can't be read: all that was in it is found; without the list of tables, the messages",
        arguments: [16, 30, 99, 105, 2_000], [true, false])
    func unreadableFirstPage(place: UInt64, hasList: Bool) throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        _ = try store.user("bob")
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try store.fill(10)
        try store.seal()
        for number in 1...200 { try store.post(["in no log \(number)"], key: "key \(number)") }
        try store.post(["hello"], to: "@bob")
        let all = try store.all()
        store.store.close()
        let before = try rows(store.directory)
        let file = try disk.open(store.directory + "/store.db", .readWrite)
        try damage(file, at: place)
        if !hasList {
            for page in 1..<(try file.size() / 4_096) {
                let text = String(decoding: try file.read(count: 4_096, at: page * 4_096), as: UTF8.self)
                if text.contains("CREATE TABLE") { try damage(file, at: page * 4_096 + place) }
            }
        }
        var found: [StoreDamage] = []
        let summary = try StoreRepair.run(store.directory) { found.append($0) }
        #expect(found.first?.offset == 0 && (found.count == 1 || !hasList))
        #expect(summary.hasUnknownLoss == !hasList && summary.left.damages == 0)
        if hasList {
            let after = try rows(store.directory)
            for (table, rows) in before { #expect(after[table] == rows, "\(table)") }
        }
        try expectServed(all, but: [], store.directory)
    }

    @Test("a flipped bit in any page of the database is flipped back")
    func flippedPages() throws {
        let whole = try TemporaryDirectory()
        let store = try TestStore(whole("store"), users: ["alice", "bob"])
        let alice = try store.user("alice")
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try store.fill(10)
        try store.seal()
        for number in 1...200 { try store.post(["in no log \(number)"], key: "key \(number)") }
        let all = try store.all()
        store.store.close()
        let before = try rows(whole("store"))
        // The first page, too, without which no other can be found
        for page in 0..<Files.size(whole("store/store.db")) / 4_096 {
            let copy = whole("copy-\(page)")
            try Files.clone(whole("store"), into: copy)
            let file = try disk.open(copy + "/store.db", .readWrite)
            let place = UInt64(page * 4_096 + page * 331 % 4_096)
            for place in [place, 3] {
                try file.write([try file.read(count: 1, at: place)[0] ^ 1 << UInt8(page % 8)], at: place)
                if page == 0 { break }
            }
            let summary = try StoreRepair.run(copy) { _ in }
            #expect(summary.found.damages > 0 && !summary.hasLostRows && !summary.hasUnknownLoss, "byte \(place)")
            let after = try rows(copy)
            for (table, rows) in before { #expect(after[table] == rows, "byte \(place): \(table)") }
            try expectServed(all, but: [], copy)
        }
    }

    @Test(
        "a page that is as before the last account came: a repair says that rows are lost if it is one of the table",
        arguments: ["account", "sqlite_autoindex_account_1"])
    func formerPage(name: String) throws {
        let store = try TestStore(users: ["alice", "bob"])
        store.store.close()
        let former = try store.firstPage(of: name)
        try store.reopen()
        _ = try store.user("carol")
        store.store.close()
        try store.put(former)
        let summary = try StoreRepair.run(store.directory) { _ in }
        #expect(summary.found.damages > 0 && summary.hasLostRows == (name == "account"))
    }

    @Test("the root of the journal as it was before: a repair finds the messages to which it does not lead")
    func formerRoot() throws {
        let store = try TestStore()
        for number in 1...100 { try store.post([TestStore.text(number)]) }
        store.store.close()
        let former = try store.firstPage(of: "batch")
        try store.reopen()
        for number in 101...300 { try store.post([TestStore.text(number)]) }
        let all = try store.all()
        store.store.close()
        try store.put(former)
        #expect(throws: StoreOpenError.self) { try store.reopen() }
        let summary = try StoreRepair.run(store.directory) { _ in }
        #expect(summary.found.damages > 0 && summary.hasLostRows && summary.left.damages == 0)
        try store.reopen()
        #expect(try store.all() == all)
    }

    @Test(
        "a journal that has lost its end since the server ended in order is damage, and its numbers are not given in silence"
    )
    func lostJournalEnd() throws {
        let store = try TestStore()
        for text in ["one", "two", "three"] { try store.post([text]) }
        store.store.close()
        // What a lost write of its last page leaves
        try Connection(path: store.directory + "/store.db", role: .writer)
            .execute("DELETE FROM batch WHERE number = (SELECT max(number) FROM batch)")
        #expect(try StoreCheck.run(store.directory) { _ in }.damages == 1)
        #expect(throws: StoreOpenError.self) { try store.reopen() }
        let summary = try StoreRepair.run(store.directory) { _ in }
        #expect(summary.hasUnknownLoss && summary.left.damages == 0)
        try store.reopen()
        #expect(try store.all().map(\.text) == ["one", "two"])
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

    @Test("a page in the place of another is not taken for one with a flipped bit")
    func misplacedPage() throws {
        let store = try TestStore()
        try store.fill(10)
        store.store.close()
        let path = store.directory + "/store.db"
        let file = try disk.open(path, .readWrite)
        for page in 1..<UInt64(Files.size(path) / 4_096 - 1) {
            let (own, other) = (
                try file.read(count: 4_096, at: page * 4_096), try file.read(count: 4_096, at: page * 4_096 + 4_096)
            )
            try file.write(own, at: page * 4_096 + 4_096)
            #expect(try PageScan.mendBits(of: path, on: disk).isEmpty, "page \(page)")
            try file.write(other, at: page * 4_096 + 4_096)
        }
    }

    /// What a store's tables have, but for what each repair notes.
    private func rows(_ directory: String) throws -> [String: [String]] {
        let connection = try Connection(path: directory + "/store.db", role: .reader)
        let tables = try connection.rows("SELECT name FROM sqlite_schema WHERE type='table' AND name<>'meta'") {
            $0.text(0)
        }
        var found: [String: [String]] = [:]
        for table in tables {
            let columns = try connection.rows(
                "SELECT name FROM pragma_table_info('\(table)') WHERE name<>'sealed_time'"
            ) { $0.text(0) }
            found[table] = try connection.rows("SELECT \(columns.joined(separator: ",")) FROM \(table)") { row in
                (0..<columns.count).map { "\(row.value($0))" }.joined(separator: "|")
            }.sorted()
        }
        return found
    }

    /// Changes two bits. A single one could be flipped back.
    private func damage(_ file: any DiskFile, at place: UInt64) throws {
        try file.write([try file.read(count: 1, at: place)[0] ^ 3], at: place)
    }

    /// The first bytes of a table's pages.
    private static let (innerPage, leafPage): (UInt8, UInt8) = (5, 13)

    /// Damages the first page of a table, and returns what kind of page that is.
    private func damageFirstPage(of table: String, _ directory: String) throws -> UInt8 {
        let path = directory + "/store.db"
        let page = try Connection(path: path, role: .reader)
            .row("SELECT rootpage FROM sqlite_schema WHERE name=?", table) { $0.uint64(0) }
        let end = try #require(page) * 4_096
        let file = try disk.open(path, .readWrite)
        try damage(file, at: end - 100)
        return try file.read(count: 1, at: end - 4_096)[0]
    }
}
