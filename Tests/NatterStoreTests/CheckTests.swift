import Glibc
import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("fsck")
struct CheckTests {
    private let disk = PosixDisk()

    /// A closed store with a personal conversation, a group, logs of several blocks and a tail.
    private func sample() throws -> (TemporaryDirectory, TestStore) {
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path)
        _ = try store.user("bob")
        try store.importing(
            (1...5_000).map { PlainMessage(time: Int64($0), sender: "s", text: TestStore.text($0)) }, into: "group")
        for label in ["a", "b"] {
            try store.fill(700, label: label)
            try store.fill(20, in: "@bob", label: label)
            try store.seal()
            try store.seal("@bob")
        }
        try store.fill(5, label: "tail")
        store.store.close()
        return (directory, store)
    }

    @Test("finds nothing in an undamaged store, changes nothing, and holds the lock")
    func whole() throws {
        let (directory, store) = try sample()
        let before = try Files.contents(directory.path)
        var found: [StoreDamage] = []
        let summary = try StoreCheck.run(directory.path) { damage in found.append(damage) }
        #expect(found == [])
        #expect(summary.messages == 5_000 + 1_400 + 40 + 5)
        #expect(summary.conversations == 3)
        #expect(try Files.contents(directory.path) == before)
        try store.reopen()
        #expect(throws: StoreOpenError.self) { try store.damages() }
    }

    @Test("a store that a crash left is no damage")
    func afterCrash() throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 700)
        try store.fill(300, label: "tail")
        try Files.copy(directory.path, to: crashed.path)
        let log = try #require(try store.logs().first).dropFirst(directory.path.utf8.count)
        try store.seal()
        // With a block in the log that was not recorded, whole or torn
        let bytes = try disk.contents(of: directory.path + log, limit: 1 << 20)
        for count in [bytes.count, bytes.count - 100] {
            try disk.remove(crashed.path + log)
            try disk.open(crashed.path + String(log), .create).write(Array(bytes.prefix(count)), at: 0)
            var found: [StoreDamage] = []
            let summary = try StoreCheck.run(crashed.path) { found.append($0) }
            #expect(found == [])
            #expect(summary.messages == 1_000)
        }
    }

    @Test("tells how far it is, and ends where it is told to")
    func progress() throws {
        struct Gone: Error {}
        let (directory, _) = try sample()
        var told: [StoreProgress] = []
        _ = try StoreCheck.run(directory.path, progress: { told.append($0) }) { Issue.record("\($0)") }
        // Once for the database, once for each log file
        let logs = try StoreCheck.logFiles(directory.path, disk).filter { $0.hasSuffix(".log") }
        #expect(told.count == 1 + logs.count)
        #expect(told.last?.bytes == told.last?.totalBytes)
        // After the first of them
        try disk.remove(#require(logs.first))
        #expect(throws: Gone.self) {
            _ = try StoreCheck.run(directory.path, progress: { _ in throw Gone() }) { Issue.record("\($0)") }
        }
    }

    @Test("a new directory is whole")
    func empty() throws {
        let directory = try TemporaryDirectory()
        var found: [StoreDamage] = []
        #expect(try StoreCheck.run(directory.path + "/new") { found.append($0) } == StoreCheck.Summary())
        #expect(found == [])
    }

    @Test("missing, short, long and unknown files are found")
    func files() throws {
        let (directory, store) = try sample()
        let log = try Files.contents(directory.path).filter { $0.key.hasSuffix(".log") }.sorted {
            $0.value.count > $1.value.count
        }[0]
        let path = directory.path + "/" + log.key
        func restore() throws {
            if try disk.information(path) != nil { try disk.remove(path) }
            try disk.open(path, .create).write(log.value, at: 0)
        }
        // Short
        try disk.open(path, .readWrite).truncate(to: 50_000)
        var found = try store.damages()
        #expect(found.map(\.offset) == [50_000])
        #expect(found.first?.range?.upperBound == Seq(5_000))
        // Missing
        try disk.remove(path)
        found = try store.damages()
        #expect(found.map(\.problem) == ["the log file is missing"])
        #expect(found.first?.range == Seq(1)...Seq(5_000))
        // Long
        try restore()
        try disk.open(path, .readWrite).write([0], at: UInt64(log.value.count))
        #expect(try store.damages().map(\.offset) == [UInt64(log.value.count)])
        // Under another name
        try restore()
        try disk.rename(path, to: path + ".old")
        found = try store.damages()
        #expect(found.map(\.file) == [path, path + ".old"])
        #expect(found.map(\.invariant) == [.logsAreWhole, .filesAreKnown])
        try disk.remove(path + ".old")
        // As it was
        try restore()
        #expect(try store.damages() == [])
        // Without the database
        try disk.remove(directory.path + "/store.db")
        found = try store.damages()
        #expect(found.contains { $0.problem == "the database is missing" && $0.invariant == .databaseIsThere })
    }

    @Test("a block of another history is found although each checksum is right")
    func foreignBlock() throws {
        let (directory, other) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.fill(100)
        store.store.close()
        try Files.copy(directory.path, to: other.path)
        // Given two stores with the same id whose messages differ in one character
        let second = try TestStore(other.path)
        try second.post(["a"])
        try second.seal()
        let foreign = try #require(try second.logs().first)
        try store.reopen()
        try store.post(["b"])
        try store.seal()
        let log = try #require(try store.logs().first)
        store.store.close()
        // When the logs of two conversations are swapped
        let bytes = try disk.contents(of: foreign, limit: 1 << 20)
        try disk.remove(log)
        try disk.open(log, .create).write(bytes, at: 0)
        // Then the chain tells
        #expect(try !store.damages().isEmpty)
    }

    @Test("a database of any earlier version is checked", .aboutFiles, arguments: 1...StoreSchema.current.steps.count)
    func earlierVersion(steps: Int) throws {
        let directory = try TemporaryDirectory()
        do {
            let connection = try Connection(path: directory.path + "/store.db", role: .writer)
            try Schema(steps: Array(StoreSchema.current.steps.prefix(steps))).migrate(connection)
        }
        #expect(try StoreCheck.run(directory.path) { Issue.record("\($0)") }.damages == 0)
    }
}
