import NatterConversation
import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("recovery")
struct RecoveryTests {
    private let disk = PosixDisk()

    private func append(_ bytes: [UInt8], to path: String) throws {
        let file = try disk.open(path, .readWrite)
        try file.write(bytes, at: file.size())
    }

    @Test("bytes behind the last block that are no block are left, reported, and never appended to")
    func garbage() throws {
        let store = try TestStore()
        try store.seal(after: 200)
        let all = try store.all()
        let log = try #require(try store.logs().last)
        store.store.close()
        // Given a log with foreign bytes
        try append(Array("what is this doing here?".utf8), to: log)
        let size = try disk.information(log)?.size
        // When the store is opened, written to and sealed
        try store.reopen()
        #expect(store.reports.contains("left as they are"))
        try store.post(["after"])
        try store.seal()
        // Then the file is unchanged, and everything is there
        #expect(try disk.information(log)?.size == size)
        #expect(try store.all().map(\.text) == all.map(\.text) + ["after"])
        #expect(try store.logs().count == 2)
        try store.reopen()
        #expect(try store.all().count == 201)
    }

    @Test(
        "a torn end of a log goes to quarantine, byte by byte the same", arguments: [1, 3, 100, 159, 160, 161, 1_000])
    func torn(length: Int) throws {
        let (directory, later) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 100)
        try store.fill(100, label: "second")
        let all = try store.all()
        let log = try #require(try store.logs().last)
        let sealed = try #require(try disk.information(log)).size
        // Given the state before the second block was recorded, with the first bytes of that block in the log
        try Files.copy(directory.path, to: later.path)
        try store.seal()
        let block = try disk.open(log, .read).read(count: length, at: sealed)
        let torn = later.path + log.dropFirst(directory.path.utf8.count)
        try append(block, to: torn)
        // When it is opened
        let next = try TestStore(later.path)
        // Then the torn block is aside, and its messages are in the tail
        #expect(try next.all() == all)
        let aside = try #require(try disk.list(later.path + "/quarantine").first)
        #expect(try disk.contents(of: later.path + "/quarantine/" + aside, limit: 1 << 20) == block)
        #expect(try disk.information(torn)?.size == sealed)
    }

    @Test("whole blocks that the index does not know are adopted")
    func adopted() throws {
        let (directory, earlier) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 300)
        // Given a copy from before, and logs that went on: in the same file and in a new one
        store.store.close()
        try Files.copy(directory.path, to: earlier.path)
        try store.reopen()
        try store.fill(2_000, label: "second")
        try store.seal()
        try store.fill(10, label: "third")
        try store.seal()
        let all = try store.all()
        store.store.close()
        // When the old database is opened with the new logs
        try Files.copy(directory.path + "/logs", to: earlier.path + "/logs")
        let restored = try TestStore(earlier.path)
        // Then all messages of the logs are back, and the store works
        #expect(try restored.all() == all)
        #expect(restored.reports.contains("adopted"))
        #expect(try restored.post(["next"]).first?.message?.seq == Seq(2_311))
        try restored.seal()
        try restored.reopen()
        #expect(try restored.all().count == 2_311)
    }

    @Test(
        "events in blocks that an older database does not know count for memberships, however it learns of the blocks",
        arguments: ["start", "start that must rebuild", "reindex", "repair"])
    func adoptedEvents(way: String) throws {
        let (directory, earlier) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path, users: ["alice", "bob", "carol"])
        let alice = try store.user("alice")
        func put(_ name: String, isAdmin: Bool? = nil) throws {
            try store.put(name, in: "team", isAdmin: isAdmin, by: alice)
        }
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try put("bob")
        try store.post(["secret"], to: "team")
        try store.seal("team")
        // Given a copy of the database from before bob was removed and carol was made an admin
        store.store.close()
        try Files.copy(directory.path, to: earlier.path)
        try store.reopen()
        let again = try store.user("alice")
        _ = try waitFor { store.store.removeMember("bob", from: "team", by: again, $0) }.get()
        try store.put("carol", in: "team", isAdmin: true, by: again)
        try store.post(["after that"], to: "team")
        try store.seal("team")
        if way == "start that must rebuild" {
            try store.post(["in a new conversation"], to: "@carol")
            try store.seal("@carol")
        }
        store.store.close()
        // When it is opened with the logs from after
        try Files.copy(directory.path + "/logs", to: earlier.path + "/logs")
        var lines: [String] = []
        if way == "repair" { _ = try StoreRebuild.run(earlier.path, .repair) { lines.append("\($0)") } }
        if way == "reindex" { _ = try StoreRebuild.run(earlier.path, .reindex) { lines.append("\($0)") } }
        let restored = try TestStore(earlier.path)
        // Then bob can't read what was written since, nor before, also after the next start; and carol is the admin
        for _ in 0..<2 {
            #expect(throws: StoreError.noSuchConversation("team")) { try restored.all("team", as: "bob") }
            let members = try restored.store.members(of: "team", for: restored.user("carol"))
            #expect(members.map(\.user.name) == ["alice", "carol"] && members.allSatisfy(\.isAdmin))
            try restored.reopen()
        }
        #expect(restored.reports.contains("they count again") || lines.contains { $0.contains("they count again") })
    }

    @Test("a sealed but unrecorded block is adopted, and its messages are not there twice")
    func adoptedOverTail() throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.fill(300)
        let all = try store.all()
        try Files.copy(directory.path, to: crashed.path)
        try store.seal()
        store.store.close()
        // Given the database from before the block was recorded, with its journal, and the log from after
        try Files.copy(directory.path + "/logs", to: crashed.path + "/logs")
        let next = try TestStore(crashed.path)
        #expect(try next.all() == all)
        #expect(next.reports.contains("adopted messages 1 to 300"))
        #expect(next.store.state.withLock { $0.conversations[$0.general]?.sealedSeq } == Seq(300))
    }

    @Test("blocks of another history are ignored: acknowledged messages count")
    func otherHistory() throws {
        let (directory, copy) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 100)
        store.store.close()
        try Files.copy(directory.path, to: copy.path)
        // Given two that went on differently from the same point
        let other = try TestStore(copy.path)
        try other.fill(50, label: "other")
        try other.seal()
        other.store.close()
        try store.reopen()
        try store.fill(50, label: "own")
        let all = try store.all()
        // When the one gets the other's logs below its journal
        store.store.close()
        try Files.copy(copy.path + "/logs", to: directory.path + "/logs")
        try store.reopen()
        // Then it keeps to its own, and seals into a new file
        #expect(try store.all() == all)
        #expect(store.reports.contains("other messages"))
        try store.seal()
        try store.reopen()
        #expect(try store.all() == all)
    }

    @Test("a truncated or missing log: the missing range is reported and the rest is served")
    func short() throws {
        let store = try TestStore()
        // Given two files: 600 messages in one, then others
        for label in ["a", "b", "c"] {
            try store.fill(200, label: label)
            try store.seal()
        }
        try store.fill(1_500, label: "d")
        try store.seal()
        try store.fill(300, label: "e")
        try store.seal()
        let all = try store.all()
        let logs = try store.logs()
        #expect(logs.count == 2)
        store.store.close()
        // When the first is cut in the middle of its second block
        let rows = try store.blocks()
        let second = rows[1]
        try disk.open(logs[0], .readWrite).truncate(to: second.offset + 200)
        try store.reopen()
        // Then exactly the blocks from there on are missing
        let file = rows.filter { $0.segmentSeq == Seq(1) }
        #expect(try store.page { ($0.after, $0.limit) = (.zero, 1_000) }.messages == Array(all.prefix(200)))
        #expect(try store.damage(after: Seq(200)) == second.firstSeq...second.lastSeq)
        let last = try #require(file.last)
        #expect(try store.damage(after: last.firstSeq) == last.firstSeq...last.lastSeq)
        #expect(
            try store.page { ($0.after, $0.limit) = (last.lastSeq, 1_000) }.messages.first
                == all[Int(last.lastSeq.rawValue)])
        // and a sync says so and gives the rest
        var model = SyncModel()
        let missing = file.dropFirst().map { $0.firstSeq...$0.lastSeq }
        try model.syncWithDamage(store, as: "alice")
        #expect(model.damaged == missing)
        #expect(model.messages.values.first == all.filter { message in !missing.contains { $0.contains(message.seq) } })
        // and new messages go to a new file
        try store.post(["after"])
        try store.seal()
        #expect(try store.page { $0.limit = 1 }.messages.map(\.text) == ["after"])
        // The whole file gone: the same
        store.store.close()
        try disk.remove(logs[0])
        try store.reopen()
        #expect(try store.damage(after: .zero) == rows[0].firstSeq...rows[0].lastSeq)
        #expect(try store.page { $0.limit = 1 }.messages.map(\.text) == ["after"])
    }

    @Test("a flipped bit anywhere in a log is found, and only its block is lost", arguments: UInt64(1)...30)
    func flippedBit(seed: UInt64) throws {
        let store = try TestStore()
        var generator = SeededGenerator(seed: seed)
        for label in ["a", "b", "c"] {
            try store.fill(60, label: label)
            try store.seal()
        }
        let all = try store.all()
        let rows = try store.blocks()
        let log = try #require(try store.logs().first)
        store.store.close()
        // When one bit of the file is another
        var bytes = try disk.contents(of: log, limit: 1 << 20)
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        try disk.open(log, .readWrite).write([bytes[place]], at: UInt64(place))
        try store.reopen()
        // Then the messages of that block are damaged, and those of all others are as they were
        let hit = rows.first { $0.offset <= UInt64(place) && UInt64(place) < $0.offset + UInt64($0.length) }
        for row in rows {
            let after = row.firstSeq.previous
            if hit == nil || hit == row {
                #expect(try store.damage(after: after) == row.firstSeq...row.lastSeq)
            } else {
                let page = try store.page { ($0.after, $0.before, $0.limit) = (after, row.lastSeq.next, 100) }
                #expect(page.messages == all.filter { $0.seq > after && $0.seq <= row.lastSeq })
            }
        }
        // And fsck names the place
        store.store.close()
        var damages: [StoreDamage] = []
        _ = try StoreCheck.run(store.directory) { damages.append($0) }
        #expect(damages.contains { $0.file == log && ($0.offset ?? .max) <= UInt64(place) })
        #expect(damages.compactMap(\.range).first == (hit.map { $0.firstSeq...$0.lastSeq } ?? Seq(1)...Seq(180)))
    }

    @Test("only a store that was closed in order begins without looking for lost files")
    func cleanMark() throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 100)
        try Files.copy(directory.path, to: crashed.path)
        store.store.close()
        var damages: [StoreDamage] = []
        // Given an unknown file beside a closed store and beside a killed one
        for path in [directory.path, crashed.path] {
            let id = try disk.list(path + "/logs").first { $0 != "epoch" } ?? ""
            let inner = try disk.list(path + "/logs/" + id).first ?? ""
            try disk.open("\(path)/logs/\(id)/\(inner)/stray", .create).write([1, 2, 3], at: 0)
            _ = try StoreCheck.run(path) { damages.append($0) }
        }
        #expect(damages.map(\.problem) == Array(repeating: "the index does not know this file", count: 2))
        // Then the start after a crash reports it, and the other does not look
        #expect(try !TestStore(directory.path).reports.contains("stray"))
        #expect(try TestStore(crashed.path).reports.contains("stray"))
    }
}

extension TestStore {
    /// The first page of a table or an index of `store.db`, and where it is. The store must be closed.
    func firstPage(of name: String) throws -> (bytes: [UInt8], offset: UInt64) {
        let path = Store.databasePath(directory)
        let number = try Connection(path: path, role: .reader)
            .row("SELECT rootpage FROM sqlite_schema WHERE name=?", name) { $0.uint64(0) }
        let offset = try (#require(number) - 1) * 4_096
        return (try disk.open(path, .read).read(count: 4_096, at: offset), offset)
    }

    /// Puts a former page in its place, as if the disk had not written it since.
    func put(_ page: (bytes: [UInt8], offset: UInt64)) throws {
        try disk.open(Store.databasePath(directory), .readWrite).write(page.bytes, at: page.offset)
    }

    /// The index rows of `general`.
    func blocks() throws -> [BlockRow] {
        let connection = try Connection(path: Store.databasePath(directory), role: .reader)
        return try ArchiveRows.allBlocks(of: 1, on: connection)
    }

    /// The range that reading after a seq says is damaged.
    func damage(after seq: Seq) throws -> ClosedRange<Seq>? {
        do {
            _ = try page { ($0.after, $0.limit) = (seq, 10) }
            return nil
        } catch StoreError.damaged(let from, let to, _) {
            return from...to
        }
    }
}

extension SyncModel {
    /// Like `sync`, where holes that were stated are allowed.
    mutating func syncWithDamage(_ store: TestStore, as name: String) throws {
        let user = try store.user(name)
        while true {
            let answer = try store.store.changes(
                since: cursor.map { .cursor($0) } ?? .start, for: user, form: .messages, limitBytes: 50_000)
            while let chunks = try answer.next() {
                for chunk in chunks {
                    if case .messages(let list) = chunk {
                        for message in list { messages[message.conversationID, default: []].append(message) }
                    }
                    if case .damaged(_, _, let from, let to) = chunk { damaged.append(from...to) }
                }
            }
            cursor = answer.cursor
            if !answer.more { return }
        }
    }
}
