import Glibc
import NatterSystem
import NatterLog
import NatterModel
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("the list of what was erased")
struct RememberedErasuresTests {
    private let disk = PosixDisk()

    /// Changes bits of a byte, by default two. A single one could be flipped back.
    private func flip(_ path: String, at offset: UInt64, _ mask: UInt8 = 3) throws {
        let file = try disk.open(path, .readWrite)
        try file.write([try file.read(count: 1, at: offset)[0] ^ mask], at: offset)
    }

    private func erase(_ seqs: ClosedRange<Seq>, _ store: TestStore) throws {
        _ = try waitFor { store.store.erase([seqs], in: "general", by: "alice", $0) }.get()
    }

    @Test(
        "a database from before an erasure loses the text from its journal, too, if the log files are those of after it",
        .aboutFiles, arguments: [false, true])
    func olderJournal(isRebuilt: Bool) throws {
        let secret = "k7v2q9xw4rzt1m8p"
        // Given a text in the journal, between those of others that need it
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["before it"], to: "@me", by: "bob")
        try store.post([secret, "kept"])
        try store.post(["after it"], to: "@me", by: "bob")
        let older = try TemporaryDirectory()
        try store.reopen { try Files.copy($0, to: older("old")) }
        try erase(Seq(1)...Seq(1), store)
        // When the database of then is put in place
        try store.reopen { directory in
            try disk.replaceContents(
                of: directory + "/store.db", with: try disk.contents(of: older("old/store.db"), limit: 1 << 24))
            #expect(Files.holding(piecesOf: secret, below: directory) != [])
            if isRebuilt { _ = try StoreRebuild.run(directory, .reindex) }
        }
        // Then its text is gone from there
        #expect(Files.holding(piecesOf: secret, below: store.directory) == [])
        #expect(try store.all().map(\.text) == ["", "kept"] && store.all()[0].isErased)
        #expect(try store.all("@me", as: "bob").map(\.text) == ["before it", "after it"])
    }

    /// Data of before alice's messages were erased, with the list of after that, and the path of `general`'s log there, in whose
    /// block a bit has changed.
    private func older(
        _ secret: String, _ copy: String, _ erase: (TestStore) throws -> Void
    ) throws -> (log: String, offset: UInt64) {
        let store = try TestStore(users: ["alice", "bob"])
        for conversation in ["general", "@bob"] {
            try store.post([secret], to: conversation)
            try store.post(["of bob"], to: conversation == "general" ? conversation : "@alice", by: "bob")
            try store.seal(conversation)
        }
        let log = try #require(try store.logs().first).dropFirst(store.directory.utf8.count)
        try store.reopen { try Files.copy($0, to: copy) }
        try erase(store)
        store.store.close()
        try Files.write(try #require(Files.bytes(store.directory + "/erased")), to: copy + "/erased")
        let damaged = copy + log
        let offset = try disk.open(damaged, .read).size() - 3
        try flip(damaged, at: offset)
        return (damaged, offset)
    }

    @Test(
        "a block that can't be read keeps no other text from being erased again, and its own is erased later",
        .aboutFiles)
    func damagedBlock() throws {
        let (secret, older) = ("k7v2q9xw4rzt1m8p", try TemporaryDirectory())
        let (log, offset) = try self.older(secret, older("old")) { store in
            try erase(Seq(1)...Seq(1), store)
            _ = try waitFor { store.store.erase([Seq(1)...Seq(1)], in: "@alice,@bob", by: "alice", $0) }.get()
        }
        // When that is served
        let store = try TestStore(older("old"))
        // Then the other conversation's text is gone
        #expect(store.reports.contains("could not be erased again"))
        #expect(try store.all("@bob").map(\.text) == ["", "of bob"])
        // And this one's as soon as the block can be read
        try store.reopen { _ in try flip(log, at: offset) }
        #expect(try store.all().map(\.text) == ["", "of bob"])
        #expect(Files.holding(piecesOf: secret, below: store.directory) == [])
    }

    @Test(
        "nobody can use an erased account again, also if a message of it can't be read, which is erased later",
        .aboutFiles)
    func damagedBlockOfAccount() throws {
        let (secret, older) = ("k7v2q9xw4rzt1m8p", try TemporaryDirectory())
        let (log, offset) = try self.older(secret, older("old")) { store in
            _ = try waitFor { store.store.eraseAccount("alice", by: "operator", $0) }.get()
        }
        let store = try TestStore(older("old"))
        #expect(store.reports.contains("could not be erased again"))
        #expect(store.store.accountViews().filter(\.isDisabled).map(\.name) == ["alice"])
        #expect(store.store.credentials(of: "alice") == nil)
        #expect(try store.all("@alice", as: "bob").map(\.text) == ["", "of bob"])
        try store.reopen { _ in try flip(log, at: offset) }
        #expect(store.reports.contains("erased an account again"))
        #expect(try store.all(as: "bob").map(\.text) == ["", "of bob"])
        #expect(Files.holding(piecesOf: secret, below: store.directory) == [])
        let count = store.reports.lines.count
        try store.reopen()
        #expect(store.reports.lines.count == count)
    }

    @Test(
        "an erasure or a retention that a full disk refuses leaves no file, and is not done later by itself",
        arguments: [(false, 0), (false, 1), (false, 2), (true, 0), (true, 1)])
    func refused(isRetention: Bool, writes: Int) throws {
        let directory = try TemporaryDirectory()
        let disk = FaultyDisk()
        let store = try TestStore(directory("data"), disk: disk)
        for label in ["a", "b", "c"] {
            try store.fill(60, label: label)
            try store.seal()
            store.clock.advance(milliseconds: 86_400_000)
        }
        let (before, files) = (try store.all(), try store.logs())
        // In the head of the new file, or in what follows
        disk.set(failures: [.write: ENOSPC], after: writes)
        if isRetention {
            _ = try waitFor { store.store.setRetention(Retention(days: 2), of: "general", by: "alice", $0) }
        } else {
            #expect(throws: StoreError.self) { try erase(Seq(2)...Seq(2), store) }
        }
        disk.set(failures: [:])
        #expect(try self.disk.list(Path.directory(of: files[0])).count == files.count)
        if !isRetention {
            try store.reopen()
            #expect(try store.all() == before)
        }
    }

    @Test("a line that a crash cut short is no damage and goes with the next; a flipped bit of any other is damage")
    func lines() throws {
        let directory = try TemporaryDirectory()
        let (path, remembered) = (directory.path + "/erased", RememberedErasures(directory.path, disk))
        let entries = (1...3).map { number in
            RememberedErasures.Entry.message(
                .init(
                    conversation: ConversationID(high: 0, low: 7), seq: Seq(UInt64(number)),
                    digest: HashChain.start(of: ConversationID(high: 0, low: UInt64(number)))))
        }
        try remembered.add(entries)
        let whole = try disk.contents(of: path, limit: 1 << 20)
        let length = (whole.count - 2) / 3
        // Given what is cut at any byte, so that it lacks at least its confirmation
        for size in stride(from: 1, to: whole.count, by: 7) {
            try disk.replaceContents(of: path, with: Array(whole.prefix(size)))
            #expect(try remembered.damages().isEmpty && remembered.entries() == [])
            try remembered.add(entries)
            #expect(try disk.contents(of: path, limit: 1 << 20) == whole)
        }
        // When a bit flips in the second line, or bytes of it become zero
        for offset in stride(from: 1 + length, to: 1 + 2 * length, by: 5) {
            try disk.replaceContents(of: path, with: whole)
            try flip(path, at: UInt64(offset))
            #expect(try remembered.damages().map(\.offset) == [UInt64(1 + length)], "byte \(offset)")
            #expect(try remembered.entries().first == entries[0])
        }
        var zeroed = whole
        zeroed.replaceSubrange(1 + length..<8 + length, with: [UInt8](repeating: 0, count: 7))
        try disk.replaceContents(of: path, with: zeroed)
        #expect(try remembered.damages().map(\.offset) == [UInt64(1 + length)])
        #expect(try remembered.entries() == [entries[0], entries[2]])
        try remembered.add(entries)
        #expect(try Set(remembered.entries()) == Set(entries) && remembered.damages().count == 1)
        // In a file of an earlier version, nothing is confirmed
        try disk.replaceContents(of: path, with: whole.dropFirst().dropLast(9))
        #expect(try remembered.entries() == Array(entries.prefix(2)) && remembered.damages().isEmpty)
        try remembered.add(entries)
        #expect(try remembered.entries() == entries && remembered.damages().isEmpty)
    }

    @Test("a list of any size is read in pieces, and what is added by the one who added last needs no look at it")
    func pieces() throws {
        let directory = try TemporaryDirectory()
        let faulty = FaultyDisk()
        let remembered = RememberedErasures(directory.path, faulty)
        let entries = (1...10_000).map { number in
            RememberedErasures.Entry.message(
                .init(
                    conversation: ConversationID(high: 0, low: 7), seq: Seq(UInt64(number)),
                    digest: Digest(of: Array("\(number)".utf8))))
        }
        try remembered.append(Array(entries.prefix(9_000)))
        // Given a line far longer than any, after which all is well
        let path = directory.path + "/erased"
        let size = try disk.open(path, .read).size()
        try disk.open(path, .readWrite).write([UInt8](repeating: 0x61, count: 1 << 20) + [0x0A, 0x0A], at: size)
        try remembered.append(Array(entries.prefix(9_001)))
        #expect(try remembered.entries() == Array(entries.prefix(9_001)))
        #expect(try remembered.damages().map(\.offset) == [size])
        // When more is added, then nothing of it is read
        let before = faulty.bytesRead
        try remembered.append(Array(entries[9_001...]))
        #expect(faulty.bytesRead == before)
        #expect(try RememberedErasures(directory.path, disk).entries() == entries)
    }

    @Test("a list that is lost is made again from the database, with the accounts, as after a copy", .aboutFiles)
    func madeAgain() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["of bob"], by: "bob")
        _ = try waitFor { store.store.eraseAccount("bob", by: "alice", $0) }.get()
        let path = store.directory + "/erased"
        let before = Set(try #require(Files.text(path)).split(separator: "\n"))
        #expect(before.count == 2)
        try store.reopen { _ in try disk.remove(path) }
        #expect(Set(try #require(Files.text(path)).split(separator: "\n")) == before)
    }

    @Test("a damaged line is named by a check and each start, and repaired from the database", .aboutFiles)
    func damaged() throws {
        let store = try TestStore()
        for number in 1...4 { try store.post(["message \(number)"]) }
        try store.seal()
        try erase(Seq(2)...Seq(3), store)
        store.store.close()
        let path = store.directory + "/erased"
        let whole = try RememberedErasures(store.directory, disk).entries()
        try flip(path, at: 10)
        var found: [StoreDamage] = []
        #expect(try StoreCheck.run(store.directory) { found.append($0) }.damages == 1)
        #expect(found.map(\.file) == [path] && found.map(\.offset) == [1])
        for _ in 1...2 {
            let next = try TestStore(store.directory)
            #expect(next.reports.contains("line 2 can't be read"))
            next.store.close()
        }
        // When it is repaired
        let summary = try StoreRepair.run(store.directory) { _ in }
        #expect(summary.left.damages == 0 && summary.hasUnknownLoss)
        // Then the next start adds what the database knows
        let next = try TestStore(store.directory)
        #expect(!next.reports.contains("can't be read"))
        #expect(try Set(RememberedErasures(store.directory, disk).entries()) == Set(whole))
    }

    @Test("a log file from before an erasure is put back: after a repair, the next start erases again", .aboutFiles)
    func formerFile() throws {
        let store = try TestStore()
        for number in 1...4 { try store.post(["message \(number)"]) }
        try store.seal()
        let former = try #require(try store.logs().first)
        let bytes = try disk.contents(of: former, limit: 1 << 20)
        try erase(Seq(2)...Seq(3), store)
        store.store.close()
        let path = try #require(try store.logs().first)
        #expect(path != former)
        try disk.remove(path)
        try disk.replaceContents(of: former, with: bytes)
        _ = try StoreRepair.run(store.directory) { _ in }
        let next = try TestStore(store.directory)
        next.store.waitForErasures()
        #expect(try next.all().map(\.text) == ["message 1", "", "", "message 4"])
    }

    @Test(
        "a backup whose list is damaged or cut short is restored with a damage", .aboutFiles, arguments: [true, false])
    func restored(isCut: Bool) throws {
        let (target, restored) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore()
        for number in 1...4 { try store.post(["message \(number)"]) }
        try store.seal()
        try erase(Seq(2)...Seq(3), store)
        _ = try store.store.backup(to: target.path)
        let path = target.path + "/erased"
        if isCut { try disk.open(path, .readWrite).truncate(to: 20) } else { try flip(path, at: 10) }
        var found: [StoreDamage] = []
        let summary = try StoreRestore.run(target.path, into: restored.path, progress: { _ in }, report: { _ in }) {
            found.append($0)
        }
        #expect(summary.damages == 1 && found.map(\.file) == [path])
    }
}
