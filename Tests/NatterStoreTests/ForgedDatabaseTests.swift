import Glibc
import NatterModel
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// A database may come from a stranger: in a backup, or on a disk. Its pages are whole, but its numbers may be anything.
@Suite("a database with any numbers", .aboutFiles)
struct ForgedDatabaseTests {
    /// A store with rows in as many tables as possible.
    private static func fill(_ path: String) throws {
        let store = try TestStore(path, users: ["alice", "bob"])
        try store.fill(30, by: "bob")
        _ = store.post(
            [NewMessage(conversation: "general", text: "edited", key: nil, kind: .edit, about: Seq(2))],
            by: try store.user("bob"))
        try store.post(["hello"], to: "@alice", by: "bob")
        _ = try waitFor { done in
            let user = try? store.user("alice")
            if let user { store.store.createGroup("team", isOpen: false, by: user) { done($0) } }
        }.get()
        try store.post(["in the team"], to: "team", by: "alice")
        let alice = try store.user("alice")
        _ = try waitFor { store.store.markRead(Seq(3), in: "general", for: alice, $0) }.get()
        try store.seal()
        try store.seal("team")
        _ = try waitFor { store.store.erase([Seq(4)...Seq(4)], in: "general", by: "alice", $0) }.get()
        try store.post(["in the tail"], to: "general", by: "bob")
        store.store.close()
    }

    private static func use(_ path: String) throws {
        let store = try TestStore(path)
        defer { store.store.close() }
        for name in ["alice", "bob"] {
            guard let user = try? store.user(name) else { continue }
            let list = try? store.store.conversations(of: user, after: nil, limit: 100)
            for view in list?.conversations ?? [] {
                _ = try? store.all(view.name, as: name)
                var query = PageQuery(conversation: view.name, limit: 10)
                query.before = Seq(UInt64(Int64.max))
                _ = try? store.store.messages(query, for: user)
                _ =
                    try waitFor { store.store.markRead(Seq(20), in: view.name, for: user, $0) }
                    as Result<Seq, StoreError>
                _ = store.post([NewMessage(conversation: view.name, text: "new", key: nil)], by: user)
                try? store.seal(view.name, as: name)
                _ =
                    try waitFor { store.store.erase([Seq(1)...Seq(2)], in: view.name, by: name, $0) }
                    as Result<Int, StoreError>
            }
            let answer = try? store.store.changes(since: .start, for: user, form: .messages, limitBytes: 1 << 20)
            while (try? answer?.next()) != nil {}
            _ = try? store.store.search(SearchRequest(query: "message", limit: 5), for: user)
        }
        _ =
            try waitFor { store.store.setRetention(Retention(days: 1), of: "general", by: "test", $0) }
            as Result<RetentionView, StoreError>
    }

    private static func columns(_ path: String) throws -> [(table: String, column: String)] {
        let connection = try Connection(path: Store.databasePath(path), role: .writer)
        let rows = try connection.statement(
            """
            SELECT t.name,c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
            WHERE t.type='table' AND t.name NOT LIKE 'sqlite%' AND c.type LIKE 'INT%'
            """)
        var columns: [(table: String, column: String)] = []
        while try rows.step() { columns.append((rows.text(0), rows.text(1))) }
        return columns
    }

    /// - Returns: false if there is no such number.
    private static func forge(_ path: String, _ table: String, _ column: String, _ value: Int64) throws -> Bool {
        let connection = try Connection(path: Store.databasePath(path), role: .writer)
        // One row, because some numbers are unique. A table whose rows have no number of their own is small.
        let last = "WHERE _rowid_=(SELECT max(_rowid_) FROM \(table))"
        do { try connection.statement("UPDATE \(table) SET \(column)=? \(last)").run(value) } catch {
            try connection.statement("UPDATE OR IGNORE \(table) SET \(column)=?").run(value)
        }
        return connection.changedRows > 0
    }

    @Test("a database of which one number is another one is refused or read, and no command crashes")
    func numbers() throws {
        let home = try TemporaryDirectory()
        let (whole, copy) = (home("whole"), home("copy"))
        try Self.fill(whole)
        var count = 0
        for (table, column) in try Self.columns(whole) {
            for value in [-1, Int64.max] {
                Files.remove(copy)
                try Files.copy(whole, to: copy)
                guard try Self.forge(copy, table, column, value) else { continue }
                // The last one before a crash is its cause.
                print("forged: \(table).\(column) = \(value)")
                fflush(nil)
                count += 1
                _ = try? StoreCheck.run(copy) { _ in }
                Files.remove(home("backup"))
                _ = try? StoreBackup.run(copy, to: home("backup"))
                try? Self.use(copy)
                for purpose in [StoreRebuild.Purpose.repair, .reindex] { _ = try? StoreRebuild.run(copy, purpose) }
                try? Self.use(copy)
            }
        }
        #expect(count > 100)
    }
}
