import NatterModel
import NatterLog
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("retention")
struct RetentionTests {
    static let day: Int64 = 86_400_000

    /// `general` with old messages in several segments, then new ones; both are sealed.
    static func store(_ directory: String? = nil, old: Int = 6_000, new: Int = 50) throws -> TestStore {
        let store = try TestStore(directory)
        try store.fill(old, label: "old")
        try store.seal()
        store.clock.advance(milliseconds: 80 * day)
        try store.fill(new, label: "new")
        try store.seal()
        return store
    }

    static func retain(_ days: Int?, _ store: TestStore, _ name: String = "general") throws -> RetentionView {
        try waitFor { store.store.setRetention(Retention(days: days), of: name, by: "test", $0) }.get()
    }

    /// Writes the small tails that need the journal up to a commit to its end again.
    private static func moveTails(upTo commit: Commit, _ store: TestStore) throws {
        _ = try waitFor { done in
            _ = store.store.sealer.submit { writer in
                done(store.store.sealer.clearJournal(upTo: commit, store.store, writer))
            }
        }
    }

    private static func fsck(_ directory: String) throws -> [String] {
        var found: [String] = []
        _ = try StoreCheck.run(directory) { found.append("\($0.file): \($0.problem.english)") }
        return found
    }

    private static func bytes(_ paths: [String]) throws -> UInt64 {
        try paths.reduce(0) { $0 + (try PosixDisk().information($1)?.size ?? 0) }
    }

    /// Runs `body` where erasures and retention run.
    private static func maintain(_ store: TestStore, _ body: @escaping @Sendable (Store) throws -> Void) throws {
        let failure: StoreError? = try waitFor { done in
            _ = store.store.sealer.submit { [store = store.store] _ in
                do {
                    try body(store)
                    done(nil)
                } catch {
                    done(StoreError(error))
                }
            }
        }
        if let failure { throw failure }
    }

    @Test("runs that meet a damaged block leave no files behind", .aboutFiles)
    func damagedBlock() throws {
        // Given old messages, and behind them two blocks that stay, of which the second can't be read
        let store = try Self.store()
        try store.fill(50, label: "newer")
        try store.seal()
        let log = try #require(try store.logs().max())
        try store.reopen { _ in
            let file = try PosixDisk().open(log, .readWrite)
            let offset = try file.size() - 3
            try file.write([try file.read(count: 1, at: offset)[0] ^ 1], at: offset)
        }
        let before = try store.logs()
        // When old messages are to go, again and again
        for days in [30, 29, 28] {
            #expect(throws: StoreError.self) { _ = try Self.retain(days, store) }
            // Then the directory is as it was
            #expect(try store.logs().sorted() == before.sorted())
        }
    }

    @Test(
        "a file that could not be made, and must go, does not take the messages with it that are sealed next",
        .aboutFiles)
    func retiredName() throws {
        let store = try TestStore()
        // Given a full disk, on which a new file was noted but not made
        let id = try store.store.conversation("general", for: try store.user("alice")).id
        let names = [1, 151].map { Segment.name(of: id, firstSeq: Seq($0), generation: 0) }
        try Self.maintain(store) { try $0.noteRetired(names) }
        // When messages are sealed and imported that begin there, and what must go goes
        try store.seal(after: 150)
        try store.importing((0..<50).map { PlainMessage(time: 0, sender: "old", text: "imported \($0)") })
        try Self.maintain(store) { try $0.wipeRetired() }
        // Then nothing is lost
        let all = try store.all()
        #expect(all.count == 200)
        #expect(try Set(store.logs()).isDisjoint(with: names.map { store.directory + "/" + $0 }))
        try store.reopen { directory in
            let damages = try Self.fsck(directory)
            #expect(damages.isEmpty)
        }
        #expect(try store.all() == all)
        // Nor if they had the name all the same
        let paths = try store.logs().map { String($0.dropFirst(store.directory.utf8.count + 1)) }
        try Self.maintain(store) { store in
            try store.noteRetired(paths)
            try store.wipeRetired()
        }
        #expect(try store.all() == all)
        try store.reopen { directory in
            let damages = try Self.fsck(directory)
            #expect(damages.isEmpty)
        }
        #expect(try store.all() == all)
    }

    @Test("old messages go with their files; numbers, hash and cursors of the others stay", .aboutFiles)
    func drops() throws {
        let store = try Self.store()
        let alice = try store.user("alice")
        let before = try store.store.conversation("general", for: alice)
        let (all, files) = (try store.all(), try store.logs())
        // When 'general' is kept for 90 days
        let view = try Self.retain(70, store)
        // Then only the new messages are there, under their numbers
        #expect(view.first == Seq(6_001))
        #expect(try store.all() == Array(all.suffix(50)))
        #expect(store.store.statistics().messages == 50)
        let after = try store.store.conversation("general", for: alice)
        #expect(after.first == Seq(6_001))
        #expect((after.head, after.hash) == (before.head, before.hash))
        // The place on the disk is free, and no file of before is there
        let left = try store.logs()
        #expect(Set(left).isDisjoint(with: files))
        #expect(try Self.bytes(left) < 8_192)
        // New messages follow, and a restart changes nothing
        try store.post(["more"])
        for _ in 1...2 {
            #expect(try store.all().map(\.seq.rawValue) == Array(6_001...6_051))
            #expect(try store.store.conversation("general", for: try store.user("alice")).first == Seq(6_001))
            try store.reopen()
        }
        #expect(store.reports.lines == [])
        store.store.close()
        #expect(try Self.fsck(store.directory) == [])
    }

    @Test(
        "a file with bytes behind its last recorded block stays as it is, whether all of it is due or a part",
        .aboutFiles,
        arguments: [true, false])
    func unrecordedBytes(isWhollyDue: Bool) throws {
        let store = try Self.store()
        let logs = try store.logs().sorted()
        let path = try #require(isWhollyDue ? logs.first : logs.last)
        // Given bytes that may be messages, which nothing has recorded
        let file = try PosixDisk().open(path, .readWrite)
        try file.write(Array("perhaps a message".utf8), at: try file.size())
        let (before, all) = (try Files.contents(store.directory + "/logs"), try store.all())
        // When older messages are due
        let error = #expect(throws: StoreError.self) { try Self.retain(70, store) }
        // Then nothing goes, and the error and the report name the file
        #expect(error?.phrase.english.contains("the time is set, but") == true)
        #expect(error?.phrase.english.contains(path) == true)
        #expect(try store.store.conversation("general", for: store.user("alice")).first == Seq(1))
        #expect(try Files.contents(store.directory + "/logs") == before)
        #expect(try store.all() == all)
        #expect(store.reports.contains("\(path)"), "\(store.reports.lines)")
    }

    @Test("nothing of what went is left in any file")
    func leavesNothing() throws {
        let store = try TestStore()
        try store.fill(4_000, label: "oldsecret")
        try store.seal()
        store.clock.advance(milliseconds: 80 * Self.day)
        // More than a dictionary's worth of new text, in segments that were made with a dictionary of the old one
        try store.fill(4_000, label: "new")
        try store.seal()
        _ = try Self.retain(70, store)
        store.store.close()
        for path in try StoreCheck.logFiles(store.directory, PosixDisk()) where path.hasSuffix(".log") {
            let segment = try Segment.open(at: path, on: PosixDisk())
            let text = String(decoding: segment.dictionary.bytes, as: UTF8.self)
            #expect(!text.contains("oldsecret"))
            _ = try segment.scan(from: segment.bodyOffset, expectedSeq: segment.header.firstSeq) { place, block in
                let records = try block.verify(with: segment.dictionary)
                #expect(!String(decoding: records.lastText(limit: .max), as: UTF8.self).contains("oldsecret"))
                #expect(place.header.revision == 1)
                return true
            }
        }
        #expect(try Self.fsck(store.directory) == [])
    }

    @Test("the journal keeps nothing of what went, though other tails need it", .aboutFiles, arguments: [false, true])
    func journal(isMovedUp: Bool) throws {
        let store = try TestStore(users: ["alice", "bob"])
        let secret = "k7v2q9xw4rzt1m8p"
        try store.post(["before it"], to: "@me")
        try store.post([secret])
        let first = store.store.state.withLock { $0.commit }
        try store.post(["after it"], to: "@me", by: "bob")
        if isMovedUp { try Self.moveTails(upTo: first, store) }
        store.clock.advance(milliseconds: 80 * Self.day)
        try store.post(["new"])
        #expect(Files.holding(piecesOf: secret, below: store.directory) != [])
        #expect(try Self.retain(70, store).first == Seq(2))
        #expect(Files.holding(piecesOf: secret, below: store.directory) == [])
        // And all others are there
        #expect(try store.all().map(\.text) == ["new"])
        #expect(try store.all("@me").map(\.text) == ["before it"])
        #expect(try store.all("@me", as: "bob").map(\.text) == ["after it"])
    }

    @Test("to drop in many conversations moves the tails of the others once", .aboutFiles)
    func movesOnce() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        let groups = (1...12).map { "team-\($0)" }
        for group in groups {
            _ = try waitFor { store.store.createGroup(group, isOpen: true, by: alice, $0) }.get()
            try store.post(["old"], to: group)
        }
        store.clock.advance(milliseconds: 80 * Self.day)
        for group in groups { try store.post(["new"], to: group) }
        let newest = store.store.state.withLock { $0.commit }
        try Self.moveTails(upTo: newest, store)
        let before = store.store.state.withLock { $0.commit.rawValue }
        store.store.use(Retention(days: 70))
        let numbers = store.store.state.withLock { Array($0.conversations.keys) }
        let failure = try waitFor { done in store.store.dropDueMessages(of: numbers) { done($0) } }
        #expect(failure == nil)
        for group in groups { #expect(try store.all(group).map(\.text) == ["new"]) }
        // Each drop is a commit, and the tails are moved in one.
        let after = store.store.state.withLock { $0.commit.rawValue }
        #expect(after - before <= UInt64(groups.count) + 2, "\(after - before) commits")
    }

    @Test("a tail that is due is sealed and goes; an empty conversation keeps its numbers, also for a rebuilt index")
    func emptyLog() throws {
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path)
        try store.post((1...20).map { "old \($0)" })
        let hash = try store.store.conversation("general", for: store.user("alice")).hash
        store.clock.advance(milliseconds: 80 * Self.day)
        #expect(try Self.retain(70, store).first == Seq(21))
        let empty = try store.store.conversation("general", for: store.user("alice"))
        #expect((empty.first, empty.head, empty.hash, empty.unread) == (Seq(21), Seq(20), hash, 0))
        #expect(empty.last == nil)
        #expect(try store.all() == [])
        store.store.close()
        #expect(try Self.fsck(directory.path) == [])
        // When only the logs are left
        try ReindexTests.removeDatabase(directory.path)
        let summary = try StoreRebuild.run(directory.path, .reindex)
        #expect(summary.lostMessages == 0)
        let rebuilt = try TestStore(directory.path)
        #expect(try rebuilt.post(["next"]).first?.message?.seq == Seq(21))
        #expect(try rebuilt.store.conversation("general", for: rebuilt.user("alice")).first == Seq(21))
    }

    @Test("an index that is rebuilt from logs that begin late has no losses and the same first message")
    func reindex() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.store(directory.path)
        _ = try Self.retain(70, store)
        let all = try store.all()
        store.store.close()
        for withDatabase in [true, false] {
            if !withDatabase { try ReindexTests.removeDatabase(directory.path) }
            let summary = try StoreRebuild.run(directory.path, .reindex)
            #expect(summary.lostMessages == 0)
            #expect(try Self.fsck(directory.path) == [])
            let again = try TestStore(directory.path)
            #expect(try again.all() == all)
            #expect(try again.store.conversation("general", for: again.user("alice")).first == Seq(6_001))
            again.store.close()
        }
    }

    @Test("unread messages are counted from the first that is kept")
    func unread() throws {
        let store = try TestStore(users: ["alice", "bob"])
        // Given alice has read one message, and old ones are hers and bob's
        try store.fill(600, by: "alice", label: "old a")
        try store.fill(600, by: "bob", label: "old b")
        let alice = try store.user("alice")
        _ = try waitFor { store.store.markRead(Seq(1), in: "general", for: alice, $0) }.get()
        try store.seal()
        store.clock.advance(milliseconds: 80 * Self.day)
        try store.post(["a"], by: "alice")
        try store.post(["b", "c"], by: "bob")
        try store.seal()
        _ = try Self.retain(70, store)
        for _ in 1...2 {
            #expect(try store.store.conversation("general", for: store.user("alice")).unread == 2)
            #expect(try store.store.conversation("general", for: store.user("bob")).unread == 1)
            #expect(try store.store.conversation("general", for: store.user("alice")).read == Seq(1_200))
            let answer = try store.store.changes(
                since: .start, for: store.user("alice"), form: .messages, limitBytes: 1 << 20)
            var marks: [UInt64] = []
            while let chunks = try answer.next() {
                marks += chunks.compactMap { if case .read(_, _, let seq, _) = $0 { seq.rawValue } else { nil } }
            }
            #expect(marks == [1_200])
            try store.reopen()
        }
        let again = try store.user("alice")
        // A message that is gone counts as read, so a mark among these changes nothing; one behind them counts
        #expect(try waitFor { store.store.markRead(Seq(500), in: "general", for: again, $0) }.get() == Seq(1_200))
        #expect(try store.store.conversation("general", for: again).unread == 2)
        #expect(try waitFor { store.store.markRead(Seq(1_202), in: "general", for: again, $0) }.get() == Seq(1_202))
        #expect(try store.store.conversation("general", for: again).unread == 1)
    }

    @Test("unread messages are counted right after erased ones were dropped, also after a restart")
    func unreadAfterErased() throws {
        let store = try TestStore(users: ["alice", "bob"])
        // Given old texts of both, of which one each is erased
        try store.post(["a", "a"], by: "alice")
        try store.post(["b", "b"], by: "bob")
        let erased = [Seq(2)...Seq(3)]
        _ = try waitFor { store.store.erase(erased, in: "general", by: "test", $0) }.get()
        store.clock.advance(milliseconds: 80 * Self.day)
        try store.post(["new"], by: "alice")
        try store.post(["new", "new"], by: "bob")
        // When they go
        #expect(try Self.retain(70, store).first == Seq(5))
        // Then each has not read what the other has written since
        for _ in 1...2 {
            #expect(try store.store.conversation("general", for: store.user("alice")).unread == 2)
            #expect(try store.store.conversation("general", for: store.user("bob")).unread == 1)
            try store.reopen()
        }
    }

    @Test("a conversation is not kept longer than the store allows")
    func bounded() throws {
        let store = try Self.store()
        store.store.use(Retention(days: 30))
        #expect(throws: StoreError.self) { try Self.retain(60, store) }
        // 'forever' means as long as the store
        let view = try Self.retain(nil, store)
        #expect((view.retention.days, view.first) == (30, Seq(6_001)))
        store.store.dropDueMessages()
        #expect(
            TestStore.settles {
                (try? store.store.conversation("general", for: store.user("alice")).first) == Seq(6_001)
            })
    }

    @Test(
        "a text whose newest edit was erased is what people see again, so it is not due; one that another edit replaced is"
    )
    func erasedEdit() throws {
        let store = try TestStore(users: ["alice"])
        let alice = try store.user("alice")
        try store.post(["kept", "replaced"])
        for (about, text) in [(1, "a password"), (2, "newer"), (2, "another password")] {
            _ = store.post(
                [NewMessage(conversation: "general", text: text, key: nil, kind: .edit, about: Seq(UInt64(about)))],
                by: alice)
        }
        let passwords = [Seq(3)...Seq(3), Seq(5)...Seq(5)]
        _ = try waitFor { store.store.erase(passwords, in: "general", by: "test", $0) }.get()
        store.store.eraseDeleted(after: 0)
        for _ in 1...2 {
            store.erasesDue()
            #expect(
                try store.page { ($0.after, $0.isFolded) = (.zero, true) }.messages.map(\.text) == ["kept", "newer"])
            #expect(try store.all().filter(\.isErased).map(\.seq) == [Seq(2), Seq(3), Seq(5)])
        }
        // Its next edit replaces it.
        _ = store.post(
            [NewMessage(conversation: "general", text: "newest", key: nil, kind: .edit, about: Seq(1))], by: alice)
        store.erasesDue()
        #expect(try store.all().filter(\.isErased).map(\.seq) == [Seq(1), Seq(2), Seq(3), Seq(5)])
        // The sender of a folded message is that of its edit.
        for _ in 0..<2 {
            let hers = try store.page { ($0.after, $0.isFolded, $0.sender) = (.zero, true, "Alice") }.messages
            #expect(hers.map(\.text) == ["newest", "newer"] && hers.allSatisfy { $0.sender == "alice" })
            #expect(try store.page { ($0.isFolded, $0.sender) = (true, "bob") }.messages.isEmpty)
            try store.seal()
        }
    }

    @Test("a backup begun before keeps its files, and one into the same place lets go of what went")
    func backup() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.store(directory("data"))
        _ = try store.store.backup(to: directory("backup"), progress: { _ in }) { _ in }
        var isFirst = true
        let during = try store.store.backup(to: directory("other")) { _ in
            // When messages go while the files are copied
            if isFirst { _ = try? Self.retain(70, store) }
            isFirst = false
        } _: {
            Issue.record("damage: \($0.problem.english)")
        }
        #expect(during.damages == 0)
        // Then they go when the backup ends
        #expect(TestStore.settles { (try? Self.bytes(store.logs())) ?? .max < 8_192 })
        let again = try store.store.backup(to: directory("backup"), progress: { _ in }) { _ in }
        #expect(again.damages == 0)
        #expect(try StoreCheck.logFiles(directory("backup"), PosixDisk()).count == 1)
        let restored = directory("restored")
        _ = try StoreRestore.run(directory("backup"), into: restored)
        let copy = try TestStore(restored)
        #expect(try copy.all() == (try store.all()))
    }
}
