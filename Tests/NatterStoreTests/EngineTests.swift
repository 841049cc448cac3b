import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

/// The engines that a store must behave the same over.
enum TestEngine: String, CustomTestStringConvertible, CaseIterable {
    /// Files and SQLite in a directory.
    case files
    /// Like `files`, on a disk in memory.
    case memory
    /// A log that others could share, with proposals and answers that get lost.
    case sharedLog
    /// PostgreSQL.
    case postgres

    static let all = TestEngine.allCases

    var testDescription: String { rawValue }

    func open(journalBytes: Int? = nil) throws -> TestStore {
        switch self {
        case .files:
            return try TestStore(journalBytes: journalBytes)
        case .memory:
            let clock = TestClock(stepMilliseconds: 1)
            return try TestStore(
                "/store", disk: SimulatedDisk(clock: clock, records: false), clock: clock, journalBytes: journalBytes)
        case .sharedLog:
            let log = try SimulatedLog(seed: 11, troubles: .all)
            return try TestStore(SharedEngine(log, sealsTails: true), journalBytes: journalBytes)
        case .postgres:
            return try TestStore(database: PostgresCluster.makeSchema(), journalBytes: journalBytes)
        }
    }
}

extension Trait where Self == ConditionTrait {
    /// For a test that looks into files, which a store in PostgreSQL does not have.
    static var aboutFiles: Self {
        .enabled(if: !PostgresCluster.servesTests, "a store in PostgreSQL has no such files")
    }
}

@Suite("every engine")
struct EngineTests {
    @Test("numbers are dense, and what was acknowledged is there after the next start", arguments: TestEngine.all)
    func denseAndDurable(engine: TestEngine) throws {
        let store = try engine.open()
        let first = try store.post(["one", "two"]).compactMap(\.message)
        let second = try store.post(["three"], by: "bob").compactMap(\.message)
        #expect((first + second).map(\.seq) == [Seq(1), Seq(2), Seq(3)])
        try store.reopen()
        #expect(try store.all() == first + second)
        #expect(try store.post(["four"]).first?.message?.seq == Seq(4))
    }

    @Test(
        "a repeated id is the message that it was, whether in the log, sealed or after a start",
        arguments: TestEngine.all)
    func repeatedIDs(engine: TestEngine) throws {
        let store = try engine.open()
        let first = try #require(try store.post(["one"], key: "k").first?.message)
        func again() throws -> PostOutcome { try #require(try store.post(["one"], key: "k").first) }
        #expect(try again().isRepeated && again().message == first)
        try store.seal()
        #expect(try again().isRepeated && again().message == first)
        try store.reopen()
        #expect(try again().isRepeated && again().message == first)
        #expect(try store.post(["other"], key: "k").first?.refusal == .idReused("k"))
        #expect(try store.all().count == 1)
    }

    @Test("sealing changes nothing that a reader sees", arguments: TestEngine.all)
    func sealing(engine: TestEngine) throws {
        let store = try engine.open()
        _ = try store.user("bob")
        try store.fill(400)
        try store.fill(50, in: "@bob")
        let before = (try store.all(), try store.all("@bob"))
        try store.seal()
        try store.seal("@bob")
        #expect(try store.all() == before.0 && store.all("@bob") == before.1)
        try store.fill(10, label: "later")
        try store.reopen()
        #expect(try store.all().count == 410 && store.all("@bob") == before.1)
        for form in [SyncAnswer.Form.messages, .blocks] {
            var reader = SyncModel()
            try reader.sync(store, as: "alice", form: form, limitBytes: 4_000)
            #expect(reader.messages.values.map(\.count).sorted() == [50, 410] && reader.damaged.isEmpty)
        }
    }

    @Test("a group's history, members and feed are the same over every engine", arguments: TestEngine.all)
    func groups(engine: TestEngine) throws {
        let store = try engine.open()
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        #expect(throws: StoreError.noSuchConversation("team")) { try store.store.conversation("team", for: bob) }
        try store.put("bob", in: "team", by: alice)
        try store.post(["hello"], to: "team", by: "bob")
        #expect(throws: StoreError.lastAdmin("team")) {
            try waitFor { store.store.removeMember("alice", from: "team", by: alice, $0) }.get()
        }
        try waitFor { store.store.removeMember("bob", from: "team", by: alice, $0) }.get()
        _ = try waitFor {
            store.store.changeGroup("team", newName: nil, isOpen: nil, topic: "what it is", by: alice, $0)
        }.get()
        try store.reopen()
        #expect(try store.store.conversation("team", for: alice).topic == "what it is")
        #expect(
            try store.all("team").map(\.text) == ["created", "added bob", "hello", "removed bob", "topic what it is"])
        try waitFor { store.store.deleteGroup("team", by: alice, $0) }.get()
        try store.reopen()
        let other = try store.user("alice")
        _ = try waitFor { store.store.createGroup("team", isOpen: true, by: other, $0) }.get()
        #expect(try store.all("team").map(\.text) == ["created"])
    }

    @Test("small tails do not pin the journal", arguments: TestEngine.all)
    func smallTails(engine: TestEngine) throws {
        let store = try engine.open(journalBytes: 64 << 10)
        _ = try store.user("bob")
        try store.post(["early"], to: "@bob")
        try store.seal(after: 2_000)
        #expect(TestStore.settles { store.store.state.withLock { $0.journalBytes } <= 64 << 10 })
        try store.reopen()
        #expect(try store.all("@bob").map(\.text) == ["early"] && store.all().count == 2_000)
    }
}

extension TestStore {
    /// A server of a store in PostgreSQL.
    convenience init(
        database uri: String, clock: TestClock = TestClock(stepMilliseconds: 1), journalBytes: Int? = nil,
        patienceMilliseconds: Int64? = nil
    ) throws {
        let cache = try TemporaryDirectory()
        let shared = try SharedStore(uri)
        try self.init(cache.path, clock: clock, journalBytes: journalBytes) { options in
            var options = options
            if let patienceMilliseconds { options.databasePatienceMilliseconds = patienceMilliseconds }
            return try Store.open(shared, cache: cache.path, clock: clock, options: options)
        }
    }

    /// A store over an engine that outlives it.
    convenience init(
        _ engine: any StoreEngine, clock: TestClock = TestClock(stepMilliseconds: 1), journalBytes: Int? = nil
    ) throws {
        try self.init(engine.directory, disk: engine.disk, clock: clock, journalBytes: journalBytes) {
            try Store.open(engine, clock: clock, options: $0)
        }
    }
}
