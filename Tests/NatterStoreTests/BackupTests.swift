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

@Suite("backup and restore")
struct BackupTests {
    let disk = PosixDisk()

    private func check(_ directory: String) throws -> [StoreDamage] {
        var damages: [StoreDamage] = []
        _ = try StoreCheck.run(directory) { damages.append($0) }
        return damages
    }

    @Test("a backup during writes has everything acknowledged before, and works after a restore")
    func whileWriting() throws {
        let (directory, target, restored) = (
            try TemporaryDirectory(), try TemporaryDirectory(), try TemporaryDirectory()
        )
        let store = try TestStore(directory.path, journalBytes: 200_000)
        // Given sealed messages and messages that are not, in three kinds of conversations
        try store.seal(after: 3_000)
        _ = try store.user("bob")
        try store.fill(50, in: "@bob")
        try store.fill(70, label: "tail")
        let before = try store.all()
        let personal = try store.all("@bob")
        // When it is backed up while four write
        let users = try (1...4).map { try store.user("writer\($0)") }
        let isOver = Monitor(false)
        let threads = try users.map { user in
            try SystemThread(name: "writer") { [store = store.store] in
                var number = 0
                while !isOver.withLock({ $0 }) {
                    number += 1
                    let text = TestStore.text(number, user.name.text)
                    let message = NewMessage(conversation: "general", text: text, key: nil)
                    let outcomes = try? waitFor {
                        store.post([message], by: user, stopAtRefusal: false, $0)
                    }
                    if outcomes?.first?.message == nil { return }
                }
            }
        }
        var progress = StoreProgress()
        let summary = try store.store.backup(to: target.path, progress: { progress = $0 })
        isOver.signal { $0 = true }
        for thread in threads { thread.join() }
        // Then it is whole, and private
        #expect(summary.damages == 0 && summary.messages >= UInt64(before.count + personal.count))
        #expect(progress.bytes == progress.totalBytes)
        #expect(try check(target.path).isEmpty)
        for path in try Files.contents(target.path).keys {
            #expect(try disk.information(target.path + "/" + path)?.mode == 0o600)
        }
        // and a restore from it has a prefix of the store's messages
        let all = try store.all()
        store.store.close()
        let outcome = try StoreRestore.run(target.path, into: restored.path)
        #expect(outcome.messages == summary.messages && outcome.damages == 0)
        let next = try TestStore(restored.path)
        let found = try next.all()
        #expect(found.count >= before.count && found == Array(all.prefix(found.count)))
        #expect(try next.all("@bob") == personal)
        #expect(try next.post(["goes on"]).first?.message?.seq == found.last?.seq.next)
    }

    @Test("a second backup copies only new data, and the first stays valid until it is done")
    func again() throws {
        let (directory, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 4_000)
        let first = try store.store.backup(to: target.path)
        let former = try Files.contents(target.path)
        // Nothing of how it was made stays
        #expect(former.keys.allSatisfy { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") && !$0.contains(".new") })
        // Given more, sealed and not
        try store.fill(300, label: "more")
        try store.seal()
        try store.fill(20, label: "tail")
        let all = try store.all()
        // When the second is broken off before its end: its logs have grown, and it is not finished
        let log = try #require(former.keys.first { $0.hasSuffix(".log") })
        let grown = try disk.contents(of: directory.path + "/" + log, limit: 1 << 24)
        let half = try TemporaryDirectory()
        try Files.copy(target.path, to: half.path)
        try disk.open(half.path + "/" + log, .readWrite).write(grown, at: 0)
        try disk.open(half.path + "/store.db.new", .create).write([1, 2, 3], at: 0)
        // Then the former can be restored all the same
        let old = try TemporaryDirectory()
        #expect(try StoreRestore.run(half.path, into: old.path).messages == first.messages)
        // and the next try, and the whole second, have all of it
        for path in [half.path, target.path] {
            let second = try store.store.backup(to: path)
            #expect(second.damages == 0 && second.messages == UInt64(all.count))
            #expect(second.copiedBytes < second.bytes)
            let restored = try TemporaryDirectory()
            _ = try StoreRestore.run(path, into: restored.path)
            #expect(try TestStore(restored.path).all() == all)
        }
    }

    /// A store that was restored from an older backup than the one in `newer`, and went on.
    private func restoredFromOlder(newer: String) throws -> (directory: TemporaryDirectory, all: [Message]) {
        let (directory, older) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 300)
        try store.fill(5, label: "tail")
        _ = try store.store.backup(to: older.path)
        try store.fill(400, label: "more")
        try store.seal()
        _ = try store.store.backup(to: newer)
        store.store.close()
        let restored = try TemporaryDirectory()
        _ = try StoreRestore.run(older.path, into: restored.path)
        let next = try TestStore(restored.path)
        try next.fill(900, label: "other")
        try next.seal()
        try next.fill(3, label: "end")
        let all = try next.all()
        next.store.close()
        return (restored, all)
    }

    @Test("a backup into one of another history of the same store is whole, and nothing of both is mixed")
    func otherHistory() throws {
        let target = try TemporaryDirectory()
        let (directory, all) = try restoredFromOlder(newer: target.path)
        let summary = try StoreBackup.run(directory.path, to: target.path)
        #expect(summary.damages == 0 && summary.copiedBytes >= summary.bytes)
        let restored = try TemporaryDirectory()
        #expect(try StoreRestore.run(target.path, into: restored.path).damages == 0)
        #expect(try TestStore(restored.path).all() == all)
        // The next one copies only what is new again.
        let store = try TestStore(directory.path)
        try store.fill(10, label: "more")
        let again = try store.store.backup(to: target.path)
        #expect(again.damages == 0 && again.copiedBytes < again.bytes)
    }

    @Test("a backup that is killed while it replaces one of another history is either of both, or refused")
    func killedOtherHistory() throws {
        let newer = try TemporaryDirectory()
        let (directory, all) = try restoredFromOlder(newer: newer.path)
        for number in stride(from: 0, to: 2_000, by: 7) {
            let (target, restored) = (try TemporaryDirectory(), try TemporaryDirectory())
            try Files.copy(newer.path, to: target.path)
            let isDone =
                (try? StoreBackup.run(
                    directory.path, to: target.path, disk: FaultyDisk(stoppingAfter: number))) != nil
            do {
                #expect(try StoreRestore.run(target.path, into: restored.path).damages == 0, "after \(number)")
            } catch let error as BackupError {
                #expect(error == .notABackup(target.path), "after \(number)")
            }
            #expect(try StoreBackup.run(directory.path, to: target.path).damages == 0)
            if isDone {
                let last = try TemporaryDirectory()
                _ = try StoreRestore.run(target.path, into: last.path)
                #expect(try TestStore(last.path).all() == all)
                break
            }
        }
    }

    @Test("a backup into a former one that ends early leaves either of both, whatever was erased, changed or removed")
    func endedEarly() throws {
        let secret = "something that nobody may read any more"
        let (directory, base) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.post([secret])
        try store.seal(after: 300)
        try store.fill(5, label: "tail")
        func write(_ text: String, _ path: String) throws {
            try disk.replaceContents(of: directory.path + "/" + path, with: Array(text.utf8))
        }
        try disk.makeDirectories(directory.path + "/hooks")
        for path in ["hooks/changed.json", "hooks/removed.json", "natterd.conf", "key.pem"] {
            try write("before", path)
        }
        _ = try store.store.backup(to: base.path)
        // Given what ends files of the former backup
        _ = try waitFor { store.store.erase([Seq(1)...Seq(1)], in: "general", by: "alice", $0) }.get()
        store.store.close()
        for path in ["hooks/changed.json", "natterd.conf"] { try write("after it", path) }
        for path in ["hooks/removed.json", "key.pem"] { try disk.remove(directory.path + "/" + path) }
        for number in stride(from: 0, to: 3_000, by: 3) {
            let (target, restored) = (try TemporaryDirectory(), try TemporaryDirectory())
            try Files.copy(base.path, to: target.path)
            // When the next ends at any place
            let isDone =
                (try? StoreBackup.run(
                    directory.path, to: target.path, disk: FaultyDisk(stoppingAfter: number))) != nil
            // Then one of both can be restored, and not a part of each
            #expect(try StoreRestore.run(target.path, into: restored.path).damages == 0, "after \(number)")
            let files = try Files.contents(restored.path)
            let isFormer = files["hooks/removed.json"] != nil
            for path in ["hooks/changed.json", "natterd.conf"] {
                #expect(files[path] == Array((isFormer ? "before" : "after it").utf8), "after \(number)")
            }
            #expect(!isDone || !isFormer)
            // and the next is whole, with nothing of the former
            #expect(try StoreBackup.run(directory.path, to: target.path).damages == 0)
            for (path, bytes) in try Files.contents(target.path) {
                #expect(!path.hasSuffix(".new") && bytes.firstRange(of: Array(secret.utf8)) == nil, "after \(number)")
            }
            if isDone {
                #expect(Files.text(target.path + "/key.pem") == nil)
                return
            }
        }
        Issue.record("no backup was done")
    }

    @Test("an unfinished backup is refused as a source, and a directory that is not empty as a target")
    func refused() throws {
        let (directory, target, restored) = (
            try TemporaryDirectory(), try TemporaryDirectory(), try TemporaryDirectory()
        )
        let store = try TestStore(directory.path)
        try store.fill(100)
        // A directory of something else
        try disk.open(target.path + "/letter.txt", .create).write([1], at: 0)
        #expect(throws: BackupError.occupied(target.path)) { _ = try store.store.backup(to: target.path) }
        try disk.remove(target.path + "/letter.txt")
        // One that another backup still writes to
        do {
            let lock = try Store.takeLock(target.path, disk: disk)
            #expect(throws: BackupError.inUse(target.path)) { _ = try store.store.backup(to: target.path) }
            withExtendedLifetime(lock) {}
        }
        // The store's own
        #expect(throws: BackupError.nested(directory.path + "/backup")) {
            _ = try store.store.backup(to: directory.path + "/backup")
        }
        _ = try store.store.backup(to: target.path)
        // Another store's
        let (otherDirectory, third) = (try TemporaryDirectory(), try TemporaryDirectory())
        let other = try TestStore(otherDirectory.path)
        #expect(throws: BackupError.otherStore(target.path)) { _ = try other.store.backup(to: target.path) }
        // A data directory in use
        #expect(throws: BackupError.notEmpty(otherDirectory.path)) {
            _ = try StoreRestore.run(target.path, into: otherDirectory.path)
        }
        // No backup, and one without its last file
        #expect(throws: BackupError.notABackup(otherDirectory.path)) {
            _ = try StoreRestore.run(otherDirectory.path, into: restored.path)
        }
        try Files.copy(target.path, to: third.path)
        try disk.remove(third.path + "/backup.manifest")
        #expect(throws: BackupError.notABackup(third.path)) {
            _ = try StoreRestore.run(third.path, into: restored.path)
        }
        #expect(try disk.list(restored.path).isEmpty)
    }

    @Test("a backup is not used as a store: it can be checked and restored, and nothing in it changes")
    func notAStore() throws {
        let (directory, target, restored) = (
            try TemporaryDirectory(), try TemporaryDirectory(), try TemporaryDirectory()
        )
        let store = try TestStore(directory.path)
        try store.seal(after: 100)
        try store.fill(5, label: "tail")
        let all = try store.all()
        _ = try store.store.backup(to: target.path)
        store.store.close()
        let before = try Files.contents(target.path)
        #expect(throws: StoreOpenError.self) { _ = try TestStore(target.path) }
        #expect(throws: StoreOpenError.self) { _ = try StoreRebuild.run(target.path, .reindex) }
        #expect(throws: StoreOpenError.self) { _ = try StoreRepair.run(target.path) { _ in } }
        #expect(try check(target.path).isEmpty)
        #expect(try Files.contents(target.path) == before)
        _ = try StoreRestore.run(target.path, into: restored.path)
        #expect(try TestStore(restored.path).all() == all)
        // Without its manifest it is a store like any other.
        try disk.remove(target.path + "/backup.manifest")
        #expect(try TestStore(target.path).all() == all)
    }

    @Test("a file of the service that is a link is in the backup as what it leads to")
    func links() throws {
        let (directory, elsewhere, target) = (
            try TemporaryDirectory(), try TemporaryDirectory(), try TemporaryDirectory()
        )
        let store = try TestStore(directory.path)
        try elsewhere.write("renewed.pem", "certificate")
        #expect(symlink(elsewhere("renewed.pem"), directory("cert.pem")) == 0)
        #expect(symlink(elsewhere("gone.pem"), directory("former.pem")) == 0)
        #expect(try store.store.backup(to: target.path).damages == 0)
        #expect(try disk.information(target("cert.pem"))?.isRegular == true)
        #expect(try disk.contents(of: target("cert.pem"), limit: 100) == Array("certificate".utf8))
        #expect(try disk.information(target("former.pem")) == nil)
    }

    @Test("a backup into its own store is refused also through a link and a relative path, and so is a restore")
    func nested() throws {
        let (directory, target, links) = (
            try TemporaryDirectory(), try TemporaryDirectory(), try TemporaryDirectory()
        )
        let store = try TestStore(directory.path)
        try store.fill(10)
        let (link, other) = (links("store"), links("backup"))
        #expect(symlink(directory.path, link) == 0 && symlink(target.path, other) == 0)
        for path in [link, link + "/logs/new/backup", links("missing/../store/backup")] {
            #expect(throws: BackupError.nested(path)) { _ = try store.store.backup(to: path) }
        }
        _ = try store.store.backup(to: target.path)
        store.store.close()
        let relative =
            String(repeating: "../", count: Path.absolute("").split(separator: "/").count) + directory.path.dropFirst()
        for path in [directory.path + "/backup", relative + "/backup"] {
            #expect(throws: BackupError.nested(path)) { _ = try StoreBackup.run(relative, to: path) }
        }
        #expect(throws: BackupError.nested(target.path)) {
            _ = try StoreRestore.run(target.path, into: other + "/restored")
        }
        #expect(try disk.list(directory.path).allSatisfy { $0 != "backup" })
    }

    @Test("a killed restore is not served, and continues when it is repeated")
    func killed() throws {
        let (directory, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 2_000)
        try store.fill(10, label: "tail")
        let token = try store.token("alice")
        _ = try store.store.backup(to: target.path)
        let all = try store.all()
        var number = 0
        while true {
            // Given a disk that stops at its n-th call
            let restored = try TemporaryDirectory()
            do {
                _ = try StoreRestore.run(
                    target.path, into: restored.path, disk: FaultyDisk(stoppingAfter: number), endsSessions: true)
                #expect(try TestStore(restored.path).all() == all)
                break
            } catch {
                number += 1
            }
            // Then a start either finds all or says why it finds nothing, and the second try succeeds
            if (try? disk.information(restored.path + "/restore.unfinished")) != nil {
                #expect(throws: StoreOpenError.self) { _ = try TestStore(restored.path) }
                #expect(throws: StoreOpenError.self) { _ = try StoreCheck.run(restored.path) { _ in } }
                #expect(throws: StoreOpenError.self) { _ = try StoreRepair.run(restored.path) { _ in } }
                #expect(throws: StoreOpenError.self) { _ = try StoreRebuild.run(restored.path, .reindex) }
                _ = try StoreRestore.run(target.path, into: restored.path, endsSessions: true)
            }
            if try disk.information(restored.path + "/store.db") != nil {
                let copy = try TestStore(restored.path)
                // No session is good that was to end
                #expect(copy.store.principal(of: token, address: "127.0.0.1") == nil)
                #expect(try copy.all() == all)
            }
        }
        #expect(number > 10)
    }

    @Test("an altered file of a backup is refused, except logs that verify themselves")
    func altered() throws {
        let (directory, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.seal(after: 100)
        _ = try store.store.backup(to: target.path)
        let database = try disk.open(target.path + "/store.db", .readWrite)
        let byte = try database.read(count: 1, at: 5_000)
        try database.write([byte[0] ^ 1], at: 5_000)
        let restored = try TemporaryDirectory()
        #expect(throws: BackupError.self) { _ = try StoreRestore.run(target.path, into: restored.path) }
        #expect(throws: StoreOpenError.self) { _ = try TestStore(restored.path) }
    }

    @Test("a restore into a link removes what a killed one has left behind it")
    func linked() throws {
        // Given a backup, and the rest of a restore of another store in a directory to which a link leads
        let (place, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        for name in ["store", "other"] {
            let store = try TestStore(place.path + "/" + name)
            try store.post(["of \(name)"])
            _ = try store.store.backup(to: target.path + "/" + name)
        }
        let link = place.path + "/link"
        symlink(place.path + "/other", link)
        for name in [StoreRestore.unfinishedName, "left"] { try disk.replaceContents(of: link + "/" + name, with: []) }
        // When it is restored there
        _ = try StoreRestore.run(target.path + "/store", into: link)
        // Then there is nothing of the other
        #expect(Files.text(link + "/left") == nil)
        #expect(try TestStore(link).all().map(\.text) == ["of store"])
        #expect(try StoreCheck.run(link) { Issue.record("\($0)") }.damages == 0)
    }

    @Test("a backup that somebody has made up leads nowhere outside the new directory")
    func hostile() throws {
        // Given a file beside the directories, and a backup whose database calls it an old log
        let (place, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        let precious = place.path + "/precious"
        try disk.replaceContents(of: precious, with: Array("mine".utf8))
        let store = try TestStore(place.path + "/store")
        try store.fill(3)
        store.store.close()
        do {
            let connection = try Connection(path: Store.databasePath(place.path + "/store"), role: .writer)
            for path in ["../precious", "logs/../../precious"] { try RetiredFiles.insert(path, on: connection) }
        }
        _ = try StoreBackup.run(place.path + "/store", to: target.path)
        // When it is restored and opened
        _ = try StoreRestore.run(target.path, into: place.path + "/restored")
        let restored = try TestStore(place.path + "/restored")
        #expect(try restored.all().count == 3)
        // and the same with a link in the data directory
        restored.store.close()
        do {
            symlink(place.path, place.path + "/restored/logs/ab")
            let connection = try Connection(path: Store.databasePath(place.path + "/restored"), role: .writer)
            try RetiredFiles.insert("logs/ab/precious", on: connection)
        }
        _ = try TestStore(place.path + "/restored")
        // Then the file is as it was
        #expect(try disk.contents(of: precious, limit: 100) == Array("mine".utf8))
        // and a path is judged as the system reads it
        #expect(Path.staysBelow("logs/ab/1.log") && Path.staysBelow("..."))
        for path in ["", "..", "/etc", "a//b", "a/./b", "../a", "../\u{301}a", "a/..\u{301}/.."] {
            #expect(!Path.staysBelow(path), "\(path)")
        }
    }

    @Test("a backup into a former one that somebody has changed touches nothing behind its links")
    func planted() throws {
        // Given a backup in which a link leads elsewhere, and a manifest that names a file there
        let (place, target) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(place.path + "/store")
        try store.seal(after: 3)
        _ = try store.store.backup(to: target.path)
        let precious = place.path + "/other/precious"
        try disk.makeDirectories(place.path + "/other")
        try disk.replaceContents(of: precious, with: Array("mine".utf8))
        symlink(place.path + "/other", target.path + "/hooks")
        var manifest = try #require(try BackupManifest.read(in: target.path, disk: disk))
        manifest.files.append(BackupManifest.File(path: "hooks/precious", size: 4, checksum: 0))
        try disk.replaceContents(of: target.path + "/" + BackupManifest.name, with: manifest.encode())
        // When it is brought up to date
        _ = try store.store.backup(to: target.path)
        // Then the file is as it was
        #expect(try disk.contents(of: precious, limit: 100) == Array("mine".utf8))
        // and what belongs behind a link is not written
        try disk.makeDirectories(place.path + "/store/hooks")
        try disk.replaceContents(of: place.path + "/store/hooks/1.json", with: [1])
        #expect(throws: BackupError.self) { _ = try store.store.backup(to: target.path) }
        #expect(try disk.list(place.path + "/other") == ["precious"])
        #expect(unlink(target.path + "/hooks") == 0)
        rename(target.path + "/logs", place.path + "/other/logs")
        symlink(place.path + "/other/logs", target.path + "/logs")
        #expect(throws: BackupError.self) { _ = try store.store.backup(to: target.path) }
    }
}
