import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@testable import NatterStore

/// An admin can use `sqlite3` and `cp` on the files of a store in innocence, and it is harmless.
@Suite("a store whose files another program has used")
struct OtherProgramTests {
    private let disk = PosixDisk()
    private static let name = "store.db"

    enum Act: CaseIterable, Sendable {
        case select, checkpoint, vacuum, copy, noSearchIndex

        /// Does to a database what `sqlite3` does.
        func run(in directory: String) throws {
            let path = directory + "/store.db"
            switch self {
            case .select:
                // The last connection that closes moves the write-ahead log into the database.
                let other = try Connection(path: path, role: .writer)
                _ = try other.row("SELECT count(*) FROM account") { $0.int(0) }
            case .checkpoint: try Connection(path: path, role: .writer).checkpoint(.truncating)
            case .vacuum: try Connection(path: path, role: .writer).execute("VACUUM")
            case .copy:
                let copy = directory + "/copy.db"
                try Connection(path: path, role: .reader).copy(to: copy, disk: PosixDisk())
                try PosixDisk().remove(copy)
            case .noSearchIndex: try PosixDisk().removeDatabase(directory + "/search.db")
            }
        }
    }

    /// A store with sealed messages, an edit, and messages that are in the write-ahead log alone.
    private func filled() throws -> TestStore {
        let store = try TestStore(users: ["alice", "bob"])
        try store.seal(after: 100)
        for number in 1...40 { try store.post(["message \(number)"]) }
        try store.post(["from bob"], by: "bob")
        try store.post(["for bob"], to: "@bob")
        return store
    }

    private func expectWhole(_ directory: String, _ all: [Message]) throws {
        #expect(try StoreCheck.run(directory) { Issue.record("\($0)") }.damages == 0)
        let store = try TestStore(directory)
        #expect(try store.all() == all)
        #expect(try store.all("@alice", as: "bob").map(\.text) == ["for bob"])
        #expect(try store.post(["next"]).first?.message?.seq == all.last?.seq.next)
        store.store.close()
        #expect(try StoreRepair.run(directory) { Issue.record("\($0)") }.found.damages == 0)
    }

    @Test(
        "after a kill or a proper end, it starts with all that it had, and a repair finds nothing",
        arguments: Act.allCases, [true, false])
    func stopped(act: Act, isKilled: Bool) throws {
        let (store, killed) = (try filled(), try TemporaryDirectory())
        let all = try store.all()
        if isKilled { try Files.copy(store.directory, to: killed.path) }
        store.store.close()
        let directory = isKilled ? killed.path : store.directory
        try act.run(in: directory)
        try expectWhole(directory, all)
    }

    @Test(
        "beside a running server, it costs nothing that was acknowledged",
        arguments: [Act.select, .checkpoint, .vacuum, .copy])
    func running(act: Act) throws {
        let (store, killed) = (try filled(), try TemporaryDirectory())
        try act.run(in: store.directory)
        for number in 41...60 { try store.post(["message \(number)"]) }
        try act.run(in: store.directory)
        let all = try store.all()
        try Files.copy(store.directory, to: killed.path)
        try expectWhole(killed.path, all)
    }

    @Test("a copy of a stopped store, and one that was moved, is the store")
    func moved() throws {
        let (store, other) = (try filled(), try TemporaryDirectory())
        let all = try store.all()
        store.store.close()
        try Files.copy(store.directory, to: other("copy"))
        try expectWhole(other("copy"), all)
        try disk.rename(store.directory, to: other("moved"))
        try expectWhole(other("moved"), all)
    }

    @Test(
        "a database that SQLite calls corrupt is refused by name; a rebuild keeps it, and says what it took and what not"
    )
    func corrupt() throws {
        let store = try filled()
        let all = try store.all()
        store.store.close()
        let path = store.directory + "/store.db"
        var bytes = try disk.contents(of: path, limit: 1 << 24)
        let root = try #require(
            try Connection(path: path, role: .reader)
                .row("SELECT rootpage FROM sqlite_schema WHERE name='account'") { $0.int(0) })
        for place in (root - 1) * 4_096..<root * 4_096 { bytes[place] = 0xA5 }
        try disk.replaceContents(of: path, with: bytes)
        let failure = #expect(throws: StoreOpenError.self) { _ = try TestStore(store.directory) }
        #expect(failure.map { "\($0)".contains("natterd reindex") } == true)
        var lines: [String] = []
        let summary = try StoreRebuild.run(store.directory, .reindex) { lines.append("\($0)") }
        #expect(summary.hasLostRows && summary.hasLostAccounts)
        #expect(lines.contains { $0.contains("took 0 rows of the table 'account'") }, "\(lines)")
        #expect(lines.contains { $0.contains("rows of the table 'batch_a'") && !$0.contains("no others") }, "\(lines)")
        #expect(try disk.contents(of: store.directory + "/quarantine/store.db", limit: 1 << 24) == bytes)
        try expectWhole(store.directory, all)
    }

    @Test("a request that meets a corrupt database is answered as damaged, and nothing more is written")
    func corruptWhileRunning() throws {
        let store = try filled()
        try Connection(path: store.directory + "/store.db", role: .writer).checkpoint(.truncating)
        let file = try disk.open(store.directory + "/store.db", .readWrite)
        for page in 1..<(try file.size() / 4_096) {
            try file.write([UInt8](repeating: 0xA5, count: 4_096), at: page * 4_096)
        }
        store.store.dropReaders()
        let failure = #expect(throws: StoreError.self) { _ = try store.all() }
        guard case .damagedDatabase? = failure else { throw Failure("\(failure, default: "nothing was thrown")") }
        #expect(store.store.isFailed)
    }
}
