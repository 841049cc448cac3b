import Glibc
import NatterSystem
import NatterModel
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("reindex")
struct ReindexTests {
    private let disk = PosixDisk()

    /// `general`, a personal conversation and a group, each with several blocks.
    static func filled(_ directory: String, tail: Bool = false) throws -> TestStore {
        let store = try TestStore(directory)
        _ = try store.user("bob")
        _ = try store.user("carol")
        let alice = try store.user("alice")
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try store.put("carol", in: "team", by: alice)
        for label in ["a", "b"] {
            for conversation in ["general", "@bob", "team"] {
                try store.fill(1_200, in: conversation, label: "\(label) \(conversation)")
                try store.seal(conversation)
            }
        }
        if tail {
            for conversation in ["general", "@bob", "team"] { try store.fill(7, in: conversation, label: "tail") }
        }
        return store
    }

    static func removeDatabase(_ directory: String) throws {
        for name in ["store.db", "store.db-wal", "store.db-shm"]
        where try PosixDisk().information(directory + "/" + name) != nil {
            try PosixDisk().remove(directory + "/" + name)
        }
    }

    @Test("a database that another process has locked is not taken for a damaged one")
    func locked() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.filled(directory.path, tail: true)
        let before = try store.exports()
        store.store.close()
        do {
            let other = try Connection(path: directory.path + "/store.db", role: .writer, disk: disk)
            try other.execute("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE")
            let error = #expect(throws: SQLiteError.self) { _ = try StoreRebuild.run(directory.path, .reindex) }
            #expect(error?.reason == .busy)
            other.rollBack()
        }
        #expect(try disk.information(directory.path + "/quarantine") == nil)
        #expect(try !StoreRebuild.run(directory.path, .reindex).hasUnknownLoss)
        #expect(try TestStore(directory.path).exports() == before)
    }

    @Test("from the logs alone: the same messages, names and users; numbering continues")
    func logsAlone() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.filled(directory.path)
        _ = try waitFor {
            try store.store.changeGroup("team", newName: nil, isOpen: nil, topic: "Plans", by: store.user("alice"), $0)
        }.get()
        try store.seal("team")
        let before = try store.exports()
        let place = try store.store.changes(since: .now, for: store.user("alice"), form: .messages, limitBytes: 1)
            .cursor
        let cursor = store.store.text(of: place)
        store.store.close()
        // Given logs without a database
        try Self.removeDatabase(directory.path)
        // Then they are not served as an empty store
        #expect(throws: StoreOpenError.self) { _ = try TestStore(directory.path) }
        #expect(try disk.information(directory.path + "/store.db") == nil)
        // When the index is made again
        var lines: [String] = []
        let summary = try StoreRebuild.run(directory.path, .reindex) { lines.append("\($0)") }
        // Then all is there
        #expect(summary.lostMessages == 0 && summary.conversations == 3)
        // and that the database may have held more is said
        #expect(summary.hasUnknownLoss && !summary.hadDatabase && lines.contains { $0.contains("may be lost") })
        #expect(try StoreCheck.run(directory.path) { Issue.record("\($0)") }.damages == 0)
        #expect(lines.contains { $0.contains("without passwords") && $0.contains("alice") && $0.contains("bob") })
        let next = try TestStore(directory.path)
        #expect(try next.exports() == before)
        // and clients' cursors still open
        #expect(try next.store.cursor(from: cursor) == place)
        // and names are unique, and members are those in the log
        let name = try UserName("BOB")
        #expect(throws: StoreError.self) {
            try waitFor {
                next.store.register(name, password: .init(stored: "$none"), invite: nil, session: nil, $0)
            }.get()
        }
        #expect(
            try next.store.members(of: "team", for: next.user("alice")).map(\.user.name).sorted() == ["alice", "carol"])
        #expect(try next.store.conversation("team", for: next.user("alice")).topic == "Plans")
        #expect(try next.post(["goes on"], to: "@bob").first?.message?.seq == Seq(2_401))
    }

    @Test(
        "without a database, a secret that can't be read stops it, and nothing is changed",
        arguments: [[DiskFault.Call.open: EIO], [.open: EACCES], [.read: EIO], [:]])
    func unreadableSecret(failures: [DiskFault.Call: Int32]) throws {
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path)
        try store.seal(after: 300)
        let cursor = store.store.text(
            of: try store.store.changes(since: .now, for: store.user("alice"), form: .messages, limitBytes: 1).cursor)
        store.store.close()
        try Self.removeDatabase(directory.path)
        let path = directory.path + "/secret"
        let secret = try disk.contents(of: path, limit: 64)
        // Given a secret that the disk does not return, or a file without one
        if failures.isEmpty { try disk.replaceContents(of: path, with: Array("damaged\n".utf8)) }
        let failing = FaultyDisk()
        failing.set(failures: failures, in: "/secret")
        let before = try disk.list(directory.path)
        // When the index is made again, then the file is named
        let error = #expect(throws: StoreOpenError.self) {
            _ = try StoreRebuild.run(directory.path, .reindex, disk: failing)
        }
        #expect("\(error, default: "")".contains("/secret'"))
        #expect(try disk.list(directory.path) == before)
        // and with the secret back, cursors still open
        if failures.isEmpty { try disk.replaceContents(of: path, with: secret) }
        _ = try StoreRebuild.run(directory.path, .reindex)
        #expect(throws: Never.self) { try TestStore(directory.path).store.cursor(from: cursor) }
    }

    @Test("wrong and missing rows are rebuilt; rows that no log holds stay")
    func rows() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.filled(directory.path, tail: true)
        let before = try store.exports()
        let position = try store.store.changes(
            since: .start, for: store.user("alice"), form: .messages, limitBytes: .max
        ).cursor
        store.store.close()
        do {
            let connection = try Connection(path: directory.path + "/store.db", role: .writer)
            try connection.execute(
                "DELETE FROM block WHERE first_seq>500; UPDATE segment SET size=size-1; DELETE FROM dictionary; DELETE FROM sent"
            )
        }
        #expect(try StoreCheck.run(directory.path) { _ in }.damages > 0)
        let summary = try StoreRebuild.run(directory.path, .reindex)
        #expect(summary.lostMessages == 0 && !summary.hasUnknownLoss && summary.files == 6)
        #expect(try StoreCheck.run(directory.path) { Issue.record("\($0)") }.damages == 0)
        let next = try TestStore(directory.path)
        #expect(try next.exports() == before)
        // A cursor from before is still good: nothing has changed.
        #expect(
            try next.store.changes(
                since: .cursor(position), for: next.user("alice"), form: .messages, limitBytes: .max
            ).isEmpty)
    }

    @Test("a hook waits before messages whose row is missing, because a repair finds them again")
    func hook() throws {
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path)
        try store.seal(after: 300)
        let id = try store.store.hookTarget("general").id
        try store.reopen { path in
            try Connection(path: path + "/store.db", role: .writer).execute("DELETE FROM block")
        }
        #expect(throws: StoreError.self) {
            try store.store.hookMessages(of: id, named: "general", after: Seq(0))
        }
        store.store.close()
        #expect(try StoreRebuild.run(directory.path, .reindex).lostMessages == 0)
        let next = try TestStore(directory.path)
        let page = try #require(try next.store.hookMessages(of: id, named: "general", after: Seq(0)))
        #expect(page.messages.first?.seq == Seq(1) && page.gone == nil)
    }

    @Test("an old index with newer logs: a start finds everything, also conversations new to the index")
    func oldIndex() throws {
        let (directory, old) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 300)
        try store.fill(20, label: "tail")
        let cursor = try store.store.changes(
            since: .start, for: store.user("alice"), form: .messages, limitBytes: .max
        ).cursor
        store.store.close()
        try Files.copy(directory.path, to: old.path)
        // Given the logs of a store that went on, and met bob
        let later = try TestStore(directory.path)
        try later.fill(500, label: "more")
        try later.seal()
        _ = try later.user("bob")
        try later.fill(900, in: "@bob", by: "alice")
        try later.seal("@bob")
        let before = try later.exports()
        let newer = try later.store.changes(
            since: .start, for: later.user("alice"), form: .messages, limitBytes: .max
        ).cursor
        later.store.close()
        try Files.copy(directory.path + "/logs", to: old.path + "/logs")
        // When the old index is opened with them
        let next = try TestStore(old.path)
        // Then all is there
        #expect(try next.exports() == before)
        #expect(next.reports.contains("older than the logs"))
        // and a reader that is ahead is told, another one continues
        let alice = try next.user("alice")
        _ = try next.store.changes(since: .cursor(cursor), for: alice, form: .messages, limitBytes: .max)
        #expect(throws: StoreError.self) {
            _ = try next.store.changes(since: .cursor(newer), for: alice, form: .messages, limitBytes: .max)
        }
        next.store.close()
        #expect(try StoreCheck.run(old.path) { Issue.record("\($0)") }.damages == 0)
    }

    @Test("a database that is older than the logs is named by a start, and by a check until it is repaired")
    func olderDatabase() throws {
        let store = try TestStore()
        try store.fill(10)
        store.store.close()
        let path = store.directory + "/store.db"
        let former = try disk.contents(of: path, limit: 1 << 24)
        try store.reopen()
        try store.fill(10, label: "later")
        store.store.close()
        try disk.replaceContents(of: path, with: former)
        let copy = try TemporaryDirectory()
        try Files.copy(store.directory, to: copy("started"))
        #expect(try TestStore(copy("started")).reports.contains("store.db' is older than the logs"))
        let summary = try StoreRepair.run(store.directory) { _ in }
        #expect(summary.found.damages == 1 && summary.hasUnknownLoss && summary.left.damages == 0)
        // The mark alone says nothing about the database if one of its bits was flipped
        let mark = store.directory + "/logs/epoch"
        var flipped = try disk.contents(of: mark, limit: 64)
        flipped[0] ^= 1
        try disk.replaceContents(of: mark, with: flipped)
        #expect(try StoreCheck.run(store.directory) { _ in }.damages == 0)
    }

    @Test("a new index with older logs: the missing range is stated exactly, and its numbers are not given again")
    func newIndex() throws {
        let (directory, old) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 300)
        store.store.close()
        try Files.copy(directory.path + "/logs", to: old.path)
        try store.reopen()
        try store.fill(500, label: "more")
        try store.seal()
        try store.fill(5, label: "tail")
        let all = try store.all()
        store.store.close()
        Files.remove(directory.path + "/logs")
        try Files.copy(old.path, to: directory.path + "/logs")
        // When it is repaired
        var found: [StoreDamage] = []
        let summary = try StoreRepair.run(directory.path) { found.append($0) }
        #expect(summary.newlyLostMessages == 500 && summary.left.damages == 0)
        #expect(found.contains { $0.range?.upperBound == Seq(800) })
        // Then existing messages are served, the loss is reported, and numbering continues
        try store.reopen()
        #expect(try store.page { ($0.after, $0.limit) = (.zero, 1_000) }.messages == Array(all.prefix(300)))
        #expect(try store.damage(after: Seq(300)) == Seq(301)...Seq(800))
        #expect(try store.page { ($0.after, $0.limit) = (Seq(800), 100) }.messages == Array(all.suffix(5)))
        #expect(try store.post(["next"]).first?.message?.seq == Seq(806))
        // A second look finds nothing new.
        store.store.close()
        let again = try StoreRepair.run(directory.path) { _ in }
        #expect(again.found.damages == 0 && again.found.stated.map(\.range) == [Seq(301)...Seq(800)])
    }

    @Test("a database without tables: no damage in a new directory, but with logs", arguments: [true, false])
    func noTables(isZeroBytes: Bool) throws {
        // Given what a first start leaves that was killed at once
        let new = try TemporaryDirectory()
        func makeEmpty(_ path: String) throws {
            if isZeroBytes { return try disk.replaceContents(of: path, with: []) }
            _ = try Connection(path: path, role: .writer)
        }
        try makeEmpty(new.path + "/store.db")
        #expect(try StoreCheck.run(new.path) { Issue.record("\($0)") }.damages == 0)
        #expect(try TestStore(new.path).post(["first"]).first?.message?.seq == Seq(1))
        // Given the same in the place of a database that had messages
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path)
        try store.seal(after: 10)
        let before = try store.exports()
        store.store.close()
        try Self.removeDatabase(directory.path)
        try makeEmpty(directory.path + "/store.db")
        #expect(try StoreCheck.run(directory.path) { _ in }.damages > 0)
        let summary = try StoreRepair.run(directory.path) { _ in }
        #expect(summary.hasUnknownLoss && summary.left.damages == 0)
        #expect(try TestStore(directory.path).exports() == before)
    }

    @Test("a database that is cut short: what its pages still hold is kept")
    func cutDatabase() throws {
        let directory = try TemporaryDirectory()
        let store = try Self.filled(directory.path, tail: true)
        let (before, members) = (try store.exports(), try store.store.members(of: "team", for: store.user("alice")))
        store.store.close()
        let path = directory.path + "/store.db"
        let size = try #require(try disk.information(path)).size
        try disk.open(path, .readWrite).truncate(to: size - 4_096)
        // When it is repaired
        var lines: [String] = []
        _ = try StoreRepair.run(directory.path, report: { lines.append("\($0)") }) { _ in }
        #expect(try StoreCheck.run(directory.path) { Issue.record("\($0)") }.damages == 0)
        // Then the accounts need not be made again, and all sealed messages are there
        #expect(!lines.contains { $0.contains("recreated") || $0.contains("'account', and no others") }, "\(lines)")
        let next = try TestStore(directory.path)
        let after = try next.store.members(of: "team", for: next.user("alice"))
        #expect(after.map(\.user.name) == members.map(\.user.name))
        let found = try next.exports()
        for (name, messages) in before { #expect(found[name]?.prefix(2_400) == messages.prefix(2_400)) }
    }
}

extension TestStore {
    /// Every conversation as an export has it, with a line for each range that is lost.
    func exports() throws -> [String: [String]] {
        let names = store.state.withLock { state in
            state.conversations.values.filter { $0.head > .zero && !$0.isDeleted }.map {
                CheckedConversation.label(of: $0.identity)
            }
        }
        return Dictionary(uniqueKeysWithValues: try names.map { ($0, try export($0)) })
    }

    func export(_ name: String) throws -> [String] {
        let exporter = try StoreExporter(name, of: store)
        var lines: [String] = []
        while let piece = try exporter.next() {
            switch piece {
            case .damaged(let from, let to, _): lines.append("lost \(from) to \(to)")
            case .folded: break
            case .messages(let messages):
                messages.forEach { seq, time, sender, kind, text in
                    lines.append(
                        "\(seq) \(time.milliseconds) \(String(decoding: sender, as: UTF8.self)) \(kind.name) \(String(decoding: text, as: UTF8.self))"
                    )
                }
            }
        }
        return lines
    }
}
