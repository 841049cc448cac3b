import Glibc
import NatterConversation
import NatterModel
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@testable import NatterStore

/// Damage of the store, and of a backup.
extension BackupTests {
    @Test("damage of the store is named, and the backup has the rest")
    func damaged() throws {
        let (directory, target, restored) = (
            try TemporaryDirectory(), try TemporaryDirectory(), try TemporaryDirectory()
        )
        let store = try TestStore(directory.path)
        for label in ["a", "b", "c"] {
            try store.fill(100, label: label)
            try store.seal()
        }
        let row = try store.blocks()[1]
        let log = try #require(try store.logs().first)
        store.store.close()
        let byte = try disk.open(log, .read).read(count: 1, at: row.offset + 200)
        try disk.open(log, .readWrite).write([byte[0] ^ 4], at: row.offset + 200)
        var damages: [StoreDamage] = []
        let summary = try StoreBackup.run(directory.path, to: target.path, progress: { _ in }) {
            damages.append($0)
        }
        #expect(summary.damages == 1 && damages.first?.range == row.firstSeq...row.lastSeq)
        let outcome = try StoreRestore.run(target.path, into: restored.path)
        #expect(outcome.damages == 1 && outcome.messages == 200)
    }

    @Test("a backup with a log that is missing or cut short is restored with the rest, and what is lost is named")
    func lostLog() throws {
        for isMissing in [true, false] {
            let (directory, target) = (try TemporaryDirectory(), try TemporaryDirectory())
            let store = try TestStore(directory.path)
            try store.seal(after: 300)
            let personal = try store.post(["hello"], to: "@alice")
            #expect(personal.first?.message?.seq == Seq(1))
            try store.seal()
            _ = try store.store.backup(to: target.path)
            let log = try #require(
                Files.below(target.path).filter { $0.hasSuffix(".log") }.max { Files.size($0) < Files.size($1) })
            if isMissing { Files.remove(log) } else { try disk.open(log, .readWrite).truncate(to: 300) }
            let restored = try TemporaryDirectory()
            var damages: [StoreDamage] = []
            let outcome = try StoreRestore.run(target.path, into: restored.path, progress: { _ in }, report: { _ in }) {
                damages.append($0)
            }
            #expect(damages.map(\.range) == [Seq(1)...Seq(300)] && outcome.messages == 1, "\(outcome) \(damages)")
            let copy = try TestStore(restored.path)
            #expect(try copy.post(["next"]).first?.message?.seq == Seq(301))
        }
    }

    @Test(
        "a damaged or missing file of a backup that is neither the database nor a log is named, and the rest is restored",
        arguments: ["natterd.conf", "hooks/1.json", "secret"], [true, false])
    func damagedSettings(file: String, isThere: Bool) throws {
        let (directory, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.fill(10)
        let cursor = try store.all().last?.cursor
        store.store.close()
        try disk.makeDirectory(directory("hooks"))
        for name in ["natterd.conf", "hooks/1.json"] { try disk.replaceContents(of: directory(name), with: [65, 10]) }
        _ = try StoreBackup.run(directory.path, to: target.path)
        if isThere {
            let former = try disk.contents(of: target(file), limit: 1_000)
            try disk.replaceContents(of: target(file), with: [former[0] ^ 1] + former.dropFirst())
        } else {
            try disk.remove(target(file))
        }
        var damages: [StoreDamage] = []
        let restored = try TemporaryDirectory()
        let summary = try StoreRestore.run(target.path, into: restored.path, report: { _ in }) { damages.append($0) }
        #expect(summary.damages == 1 && damages.map(\.file) == [target(file)], "\(damages)")
        let copy = try TestStore(restored.path)
        #expect(try copy.all().count == 10 && copy.all().last?.cursor == cursor)
        #expect(try file == "secret" || (disk.information(restored(file)) != nil) == isThere)
    }

    @Test("a log file that was damaged when it was backed up, and is whole again, is copied anew")
    func mendedSince() throws {
        let (directory, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 300)
        let log = try #require(try store.logs().first)
        let whole = try disk.contents(of: log, limit: 1 << 20)
        store.store.close()
        try disk.open(log, .readWrite).write([whole[500] ^ 4], at: 500)
        #expect(try StoreBackup.run(directory.path, to: target.path).damages == 1)
        #expect(try StoreBackup.run(directory.path, to: target.path).damages == 1)
        try disk.replaceContents(of: log, with: whole)
        #expect(try StoreBackup.run(directory.path, to: target.path).damages == 0)
        #expect(try disk.contents(of: target.path + log.dropFirst(directory.path.count), limit: 1 << 20) == whole)
    }

    @Test("a log file that was damaged since the earlier backup is named with its whole copy, which stays and helps")
    func damagedSince() throws {
        for isCut in [false, true] {
            let (directory, target) = (try TemporaryDirectory(), try TemporaryDirectory())
            let store = try TestStore(directory.path)
            try store.seal(after: 300)
            let all = try store.all()
            #expect(try store.store.backup(to: target.path).damages == 0)
            let log = try #require(try store.logs().first)
            let copy = target.path + log.dropFirst(directory.path.count)
            let whole = try disk.contents(of: log, limit: 1 << 20)
            if isCut {
                try disk.open(log, .readWrite).truncate(to: 300)
            } else {
                try disk.open(log, .readWrite).write([whole[500] ^ 4], at: 500)
            }
            var damages: [StoreDamage] = []
            for count in 1...2 {
                #expect(try store.store.backup(to: target.path, progress: { _ in }) { damages.append($0) }.damages == 1)
                #expect(damages.count == count && damages.allSatisfy { $0.file == log })
                #expect(try disk.contents(of: copy, limit: 1 << 20) == whole)
            }
            #expect(damages.first?.problem.english.contains(copy) == true)
            // With the copy in its place
            store.store.close()
            try disk.replaceContents(of: log, with: whole)
            #expect(try StoreCheck.run(directory.path, { _ in }).damages == 0)
            try store.reopen()
            #expect(try store.all() == all)
            #expect(try store.store.backup(to: target.path).damages == 0)
        }
    }
}
