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

@Suite("faults of the disk")
struct FaultTests {
    private let disk = FaultyDisk()

    @Test("the room that is kept of a full disk is for erasing and dropping old messages, and what is sealed for that")
    func keptRoom() throws {
        let store = try TestStore(disk: disk)
        try store.fill(300, label: "old")
        disk.set(freeBytes: DiskReserve.keptBytes)
        // When what is there is sealed on a full disk, then it leaves the journal
        try store.seal()
        #expect(store.store.state.withLock { $0.journalBytes } == 0)
        // and a message can be erased
        let erased = try waitFor { store.store.erase([Seq(200)...Seq(200)], in: "general", by: "alice", $0) }
        #expect(try erased.get() == 1)
        // and old messages dropped, while new ones are refused
        store.clock.advance(milliseconds: 80 * 86_400_000)
        let retained = try waitFor { store.store.setRetention(Retention(days: 70), of: "general", by: "alice", $0) }
        #expect(try retained.get().first == Seq(301))
        #expect(try store.post(["more"]).first?.refusal == .diskFull)
        disk.set(freeBytes: nil)
        #expect(try store.post(["more"]).first?.message?.seq == Seq(301))
        #expect(try store.all().map(\.text) == ["more"])
        try store.endsSound()
    }

    @Test("a retention that finds no room to drop old messages says so, each time, until there is room")
    func noRoomToDrop() throws {
        // Given blocks of which only some are due, so that a file has to be written anew
        let store = try TestStore(disk: disk)
        try store.fill(3_000, label: "old")
        store.clock.advance(milliseconds: 80 * 86_400_000)
        try store.fill(3_000, label: "new")
        try store.seal()
        func retain() throws -> RetentionView {
            try waitFor { store.store.setRetention(Retention(days: 70), of: "general", by: "alice", $0) }.get()
        }
        // When there is no room for it
        disk.set(failures: [.write: ENOSPC])
        for _ in 1...2 { #expect(throws: StoreError.notDropped("general")) { try retain() } }
        // Then nothing is lost, and it is done when there is
        disk.set(failures: [:])
        #expect(try store.all().count == 6_000)
        #expect(try retain().first > Seq(1))
        #expect(try store.all().map(\.text).suffix(3_000).allSatisfy { $0.contains("new") })
    }

    @Test("what keeps a store from working is told while it lasts: a full disk, a failing sealer")
    func troubles() throws {
        let store = try TestStore(disk: disk)
        try store.fill(300)
        #expect(store.store.troubles() == [])
        disk.set(freeBytes: DiskReserve.keptBytes)
        #expect(store.store.troubles() == [.diskFull])
        disk.set(freeBytes: Store.lowSpaceBytes - 1)
        #expect(store.store.troubles() == [.lowOnSpace])
        disk.set(freeBytes: nil)
        disk.set(failures: [.write: ENOSPC])
        #expect(throws: StoreError.self) { try store.seal() }
        #expect(store.store.troubles().map(\.name) == ["sealer"])
        #expect(store.store.troubles().first?.stopsMessages == true)
        disk.set(failures: [:])
        try store.seal()
        #expect(store.store.troubles() == [])
    }

    @Test("blocks that can't be recorded are told of once, however often it is tried, and recorded when there is room")
    func unrecorded() throws {
        let engine = SharedEngine(try SimulatedLog(), sealsTails: true)
        let store = try TestStore(engine)
        try store.fill(300)
        engine.setFull(true)
        for _ in 0..<2 { #expect(throws: StoreError.diskFull) { try store.seal() } }
        #expect(store.store.troubles().map(\.name) == ["disk_full", "sealer"])
        #expect(store.reports.lines.filter { $0.hasPrefix("cannot seal") }.count == 1, "\(store.reports.lines)")
        engine.setFull(false)
        try store.seal()
        #expect(store.store.troubles() == [])
        #expect(try store.all().count == 300)
    }

    @Test(
        "a start on a full disk has the room that was kept for it, serves reading, and takes messages when there is room"
    )
    func reserve() throws {
        let directory = try TemporaryDirectory()
        let path = directory("data")
        var options = Store.Options()
        options.keepsReserve = true
        let open = { @Sendable [options] (_: Store.Options) in
            try Store.open(path, disk: disk, clock: TestClock(stepMilliseconds: 1), options: options)
        }
        // Given a store that was closed, and a disk that is full since
        var store = try TestStore(path, disk: disk, open: open)
        try store.post(["a"])
        #expect(try disk.information(path + "/reserve")?.size == 1 << 20)
        store.store.close()
        disk.set(freeBytes: 0)
        // When it is opened again
        store = try TestStore(path, disk: disk, open: open)
        // Then the kept room was given away, what is there can be read, and nothing is taken, even if that room seems free
        #expect(try disk.information(path + "/reserve") == nil)
        #expect(store.store.statistics().messages == 1)
        let exporter = try StoreExporter("general", of: store.store)
        #expect(exporter.name == "general")
        disk.set(freeBytes: DiskReserve.keptBytes + (1 << 20))
        #expect(throws: StoreError.diskFull) { _ = try store.post(["b"]) }
        #expect(store.store.troubles() == [.diskFull])
        disk.set(freeBytes: nil)
        #expect(try store.post(["b"]).first?.message?.seq == Seq(2))
        #expect(try disk.information(path + "/reserve")?.size == 1 << 20)
    }

    @Test("what the journal took goes back to the disk", .aboutFiles)
    func givenBack() throws {
        let store = try TestStore(disk: disk)
        try FaultTests.fillJournal(of: store)
        func size() throws -> UInt64 { try store.store.sizes().database }
        let (before, all) = (try size(), try store.all())
        for _ in 0..<4 { store.store.giveBack() }
        let after = try size()
        #expect(after < before / 4, "\(after) of \(before)")
        #expect(try store.all() == all)
        try store.endsSound()
    }

    @Test("free pages of a database that can't give them back are room for messages", .aboutFiles)
    func freePages() throws {
        // Given a database that was made by an earlier version
        let store = try TestStore(disk: disk)
        store.store.close()
        let database = try Connection(path: store.directory + "/store.db", role: .writer)
        for sql in ["PRAGMA journal_mode=DELETE", "PRAGMA auto_vacuum=NONE", "VACUUM"] { try database.execute(sql) }
        try store.reopen()
        _ = try store.user("alice")
        disk.set(freeBytes: DiskReserve.keptBytes)
        #expect(try store.post(["a"]).first?.refusal == .diskFull)
        // When the journal leaves pages free
        disk.set(freeBytes: nil)
        try FaultTests.fillJournal(of: store)
        // Then they are used
        disk.set(freeBytes: DiskReserve.keptBytes)
        #expect(try store.post(["b"]).first?.message != nil)
        #expect(!store.store.troubles().contains(.diskFull))
    }

    /// Leaves some MiB of free pages in the database.
    private static func fillJournal(of store: TestStore) throws {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<40 {
            var text = ""
            while text.utf8.count < 60_000 { text += String(generator.next(), radix: 36) }
            try store.post([text])
        }
        try store.seal()
    }

    @Test("messages that the disk can't return are told like damaged ones, while all others are served", .aboutFiles)
    func unreadableFile() throws {
        let store = try TestStore(disk: disk, users: ["alice", "bob"])
        try store.fill(6_000)
        try store.post(["one"], to: "@bob")
        try store.seal()
        let (all, logs) = (try store.all(), try store.logs())
        let last = try #require(store.blocks().last { $0.segmentSeq > Seq(1) }).lastSeq
        let first = try #require(store.blocks().first { $0.segmentSeq > Seq(1) }).firstSeq
        #expect(logs.count == 2 && last == Seq(6_000))
        try store.reopen()
        disk.set(failures: [.read: EIO], in: Path.name(of: logs[1]))
        func isRange(_ error: (any Error)?) -> Bool {
            guard case .damaged(let from, let to, _)? = error as? StoreError else { return false }
            return from >= first && to <= last
        }
        // A page ends before them, and one that begins with them names them
        let page = try store.page { ($0.after, $0.limit) = (Seq(first.rawValue - 3), 100) }
        #expect(page.messages.map(\.seq.rawValue) == [first.rawValue - 2, first.rawValue - 1] && page.more)
        #expect(isRange(#expect(throws: (any Error).self) { try store.page { $0.after = first } }))
        // A sync goes on behind them
        var client = SyncModel()
        try client.sync(store, as: "alice", limitBytes: 1 << 20)
        #expect(client.damaged.first?.lowerBound == first && client.damaged.last?.upperBound == last)
        #expect(client.messages.values.contains { $0.map(\.text) == ["one"] })
        disk.set(failures: [:])
        #expect(try store.all() == all)
    }

    @Test(
        "a log file that this process can't open, or may not, is no damage", .aboutFiles,
        arguments: [EMFILE, ENFILE, EACCES])
    func closedFile(code: Int32) throws {
        let store = try TestStore(disk: disk)
        try store.seal(after: 300)
        let log = try #require(store.logs().first)
        store.store.close()
        disk.set(failures: [.open: code], in: Path.name(of: log))
        #expect(throws: DiskError.self) { try StoreCheck.run(store.directory, disk: disk) { _ in } }
        disk.set(failures: [:])
        #expect(try store.damages() == [])
    }

    @Test("a disk that fills while sealing loses no message, and sealing continues later")
    func sealingFails() throws {
        let store = try TestStore(disk: disk)
        try store.seal(after: 300)
        try store.fill(300, label: "second")
        // When the log files can't be written
        disk.set(failures: [.write: ENOSPC])
        #expect(throws: StoreError.self) { try store.seal() }
        #expect(try store.post(["still taken"]).first?.message?.seq == Seq(601))
        let all = try store.all()
        #expect(all.count == 601)
        // Then it works once they can
        disk.set(failures: [:])
        try store.seal()
        #expect(try store.all() == all)
        try store.reopen()
        #expect(try store.all() == all)
        #expect(store.store.state.withLock { $0.journalBytes } == 0)
        // and the unfinished write is gone
        try store.endsSound()
    }

    @Test("a log file that can't be synced costs no message, and ends all writing")
    func sealingUnsynced() throws {
        let store = try TestStore(disk: disk)
        try store.fill(300)
        disk.set(failures: [.sync: EIO])
        #expect(throws: StoreError.self) { try store.seal() }
        let outcome = try store.post(["not taken"]).first
        guard case .refused(.outcomeUnknown)? = outcome else {
            Issue.record("it was not refused as unknown: \(String(describing: outcome))")
            return
        }
        #expect(store.store.isFailed && store.reports.contains("nothing more is written"))
        let all = try store.all()
        disk.set(failures: [:])
        try store.reopen()
        #expect(try store.all() == all && all.count == 300)
        try store.seal()
        try store.endsSound()
    }

    @Test("an unfinished block of a crash is quarantined, and its messages are sealed again")
    func crashWhileSealing() throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path, disk: disk)
        try store.seal(after: 300)
        try store.fill(300, label: "second")
        let all = try store.all()
        // Given half a block in the log, as a crash leaves it
        disk.set(failures: [.write: ENOSPC, .remove: EIO, .truncate: EIO])
        #expect(throws: StoreError.self) { try store.seal() }
        try Files.copy(directory.path, to: crashed.path)
        // When a store is opened on it
        let next = try TestStore(crashed.path)
        // Then nothing is lost, and the half is in quarantine
        #expect(try next.all() == all)
        #expect(next.reports.contains("unfinished write"))
        #expect(try PosixDisk().list(crashed.path + "/quarantine").count == 1)
        try next.seal()
        try next.reopen()
        #expect(try next.all() == all)
    }
}
