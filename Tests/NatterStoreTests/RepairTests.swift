import Glibc
import NatterConversation
import NatterSystem
import NatterLog
import NatterModel
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("fsck --repair")
struct RepairTests {
    let disk = PosixDisk()

    /// Three blocks in one file of `general`, and their messages.
    private func small(_ directory: String, count: Int = 60) throws -> (
        all: [Message], rows: [BlockRow], log: String, store: TestStore
    ) {
        let store = try TestStore(directory)
        for label in ["a", "b", "c"] {
            try store.fill(count, label: label)
            try store.seal()
        }
        let found = (try store.all(), try store.blocks(), try #require(try store.logs().first), store)
        store.store.close()
        return found
    }

    private func repair(_ directory: String, _ found: inout [StoreDamage]) throws -> StoreRepair.Summary {
        var damages: [StoreDamage] = []
        let summary = try StoreRepair.run(directory) { damages.append($0) }
        found = damages
        #expect(summary.left.damages == 0)
        return summary
    }

    /// Expects that the store serves everything but `lost` after a repair, and says that this is lost.
    func expectServed(
        _ all: [Message], but lost: [ClosedRange<Seq>], _ directory: String,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let store = try TestStore(directory)
        var model = SyncModel()
        try model.syncWithDamage(store, as: "alice")
        #expect(model.damaged == lost, sourceLocation: location)
        let rest = all.filter { message in !lost.contains { $0.contains(message.seq) } }
        let served = try model.messages[#require(all.first?.conversationID)] ?? []
        #expect(served == rest, sourceLocation: location)
        #expect(try store.post(["next"]).first?.message?.seq == all.last?.seq.next, sourceLocation: location)
        store.store.close()
        #expect(try StoreCheck.run(directory) { Issue.record("\($0)", sourceLocation: location) }.damages == 0)
    }

    private func quarantined(_ directory: String) throws -> [[UInt8]] {
        let path = directory + "/quarantine"
        guard try disk.information(path) != nil else { return [] }
        return try disk.list(path).map { try disk.contents(of: path + "/" + $0, limit: 1 << 24) }
    }

    /// Whether to try every bit and every byte: `NATTER_EVERY_BIT`.
    private static let isThorough = getenv("NATTER_EVERY_BIT") != nil

    @Test(
        "two flipped bits in a byte of a log: only its block is lost, and none of a header or dictionary loses anything"
    )
    func damagedByte() throws {
        let whole = try TemporaryDirectory()
        let (all, rows, log, _) = try small(whole.path, count: 12)
        let original = try disk.contents(of: log, limit: 1 << 20)
        let name = String(log.dropFirst(whole.path.utf8.count))
        // Some bytes of the headers, fewer of the stored bytes; or every bit.
        var bits = Array(0..<Int(rows[0].offset)).filter { $0 % 5 == 0 }.map { $0 * 8 + $0 % 8 }
        for row in rows {
            bits += stride(from: Int(row.offset), to: Int(row.offset) + row.length, by: 13).map { $0 * 8 + $0 % 8 }
        }
        if RepairTests.isThorough { bits = Array(0..<original.count * 8) }
        for bit in bits {
            let place = bit / 8
            let directory = try TemporaryDirectory()
            try Files.copy(whole.path, to: directory.path)
            var bytes = original
            bytes[place] ^= 1 << UInt8(bit % 8) | 1 << UInt8((bit + 3) % 8)
            try disk.open(directory.path + name, .readWrite).write([bytes[place]], at: UInt64(place))
            var found: [StoreDamage] = []
            let summary = try repair(directory.path, &found)
            let hit = rows.first { $0.offset <= UInt64(place) && UInt64(place) < $0.offset + UInt64($0.length) }
            let lost = hit.map { [$0.firstSeq...$0.lastSeq] } ?? []
            #expect(!found.isEmpty && summary.newlyLostMessages == UInt64(hit?.count ?? 0), "byte \(place)")
            try expectServed(all, but: lost, directory.path)
            // The file is quarantined as it was found, or only its end if the rest stays.
            let end = rows.last.map { Array(bytes[Int($0.offset)...]) }
            let aside = try quarantined(directory.path)
            #expect(aside.contains(bytes) || hit == rows.last && aside == [end], "byte \(place)")
        }
    }

    @Test("the newest block cut at any byte is lost alone, and stated")
    func cut() throws {
        let whole = try TemporaryDirectory()
        let (all, rows, log, _) = try small(whole.path, count: 12)
        let name = String(log.dropFirst(whole.path.utf8.count))
        let last = try #require(rows.last)
        let step = RepairTests.isThorough ? 1 : 29
        for size in stride(from: last.offset, to: last.offset + UInt64(last.length), by: step) {
            let directory = try TemporaryDirectory()
            try Files.copy(whole.path, to: directory.path)
            try disk.open(directory.path + name, .readWrite).truncate(to: size)
            var found: [StoreDamage] = []
            _ = try repair(directory.path, &found)
            #expect(found.compactMap(\.range) == [last.firstSeq...last.lastSeq])
            try expectServed(all, but: [last.firstSeq...last.lastSeq], directory.path)
        }
    }

    @Test(
        "blocks swapped or doubled, zeros or other bytes appended: all messages are whole, and so they are all served",
        arguments: ["swapped", "doubled", "zeros", "garbage"])
    func disorder(kind: String) throws {
        let directory = try TemporaryDirectory()
        let (all, rows, log, _) = try small(directory.path)
        let bytes = try disk.contents(of: log, limit: 1 << 20)
        func block(_ row: BlockRow) -> ArraySlice<UInt8> { bytes[Int(row.offset)..<Int(row.offset) + row.length] }
        let head = bytes[..<Int(rows[0].offset)]
        let changed: [UInt8] =
            switch kind {
            case "swapped": Array(head + block(rows[1]) + block(rows[0]) + block(rows[2]))
            case "doubled": Array(head + block(rows[0]) + block(rows[1]) + block(rows[1]) + block(rows[2]))
            case "zeros": bytes + [UInt8](repeating: 0, count: 5_000)
            default: bytes + Array("what is this doing here?".utf8)
            }
        try disk.replaceContents(of: log, with: changed)
        var found: [StoreDamage] = []
        let summary = try repair(directory.path, &found)
        #expect(!found.isEmpty && summary.newlyLostMessages == 0)
        try expectServed(all, but: [], directory.path)
        let aside = try quarantined(directory.path)
        #expect(aside.contains(changed) || aside.contains(Array(changed.dropFirst(bytes.count))))
    }

    @Test(
        "blocks and files that lie in another conversation's place go back to their own", arguments: ["block", "file"])
    func moved(kind: String) throws {
        let directory = try TemporaryDirectory()
        let store = try TestStore(directory.path)
        _ = try store.user("bob")
        for label in ["a", "b"] {
            for conversation in ["general", "@bob"] {
                try store.fill(50, in: conversation, label: label)
                try store.seal(conversation)
            }
        }
        let before = try store.exports()
        let (general, personal) = (try #require(try store.logs().first), try #require(try store.logs("@bob").first))
        let last = try #require(try store.blocks().last)
        store.store.close()
        if kind == "file" {
            try disk.rename(general, to: Path.directory(of: personal) + "/" + "0000000000000001-0001.log")
        } else {
            let file = try disk.open(general, .readWrite)
            let block = try file.read(count: last.length, at: last.offset)
            try file.truncate(to: last.offset)
            let other = try disk.open(personal, .readWrite)
            try other.write(block, at: other.size())
        }
        var found: [StoreDamage] = []
        let summary = try repair(directory.path, &found)
        #expect(found.contains { $0.range?.upperBound == Seq(100) } && summary.newlyLostMessages == 0)
        #expect(try TestStore(directory.path).exports() == before)
    }

    @Test("a message stays deleted when its deletion is lost", arguments: [false, true])
    func lostDeletion(isReindexed: Bool) throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post(["kept", "a secret"])
        try store.seal()
        let deletion = NewMessage(conversation: "general", text: "", key: nil, kind: .delete, about: Seq(2))
        #expect(store.post([deletion], by: alice).first?.message?.seq == Seq(3))
        try store.seal()
        let row = try #require(try store.blocks().last)
        let log = try #require(try store.logs().first)
        store.store.close()
        try disk.open(log, .readWrite).write([0xFF], at: row.offset + 2)
        var found: [StoreDamage] = []
        _ = try repair(store.directory, &found)
        if isReindexed { _ = try StoreRebuild.run(store.directory, .reindex) }
        let served = try TestStore(store.directory)
        #expect(try served.page { ($0.after, $0.limit) = (.zero, 2) }.messages.map(\.text) == ["kept", ""])
        #expect(
            try served.page { ($0.after, $0.limit, $0.isFolded) = (.zero, 2, true) }.messages.last?.isDeleted == true)
        served.store.close()
        #expect(try StoreCheck.run(store.directory) { Issue.record("\($0)") }.damages == 0)
    }

    @Test("a missing file is reported, and adopted when it reappears")
    func gone() throws {
        let store = try TestStore()
        for (label, count) in [("a", 200), ("b", 200), ("c", 200), ("d", 1_500), ("e", 300)] {
            try store.fill(count, label: label)
            try store.seal()
        }
        let all = try store.all()
        let first = try store.blocks().filter { $0.segmentSeq == Seq(1) }
        let lost = Seq(1)...(try #require(first.last)).lastSeq
        let logs = try store.logs()
        #expect(logs.count == 2)
        store.store.close()
        let bytes = try disk.contents(of: logs[0], limit: 1 << 24)
        try disk.remove(logs[0])
        var found: [StoreDamage] = []
        #expect(try repair(store.directory, &found).newlyLostMessages == lost.upperBound.rawValue)
        try expectServed(all, but: [lost], store.directory)
        try disk.open(logs[0], .create).write(bytes, at: 0)
        _ = try repair(store.directory, &found)
        let next = try TestStore(store.directory)
        #expect(try next.all().dropLast() == all[...])
    }

    @Test("a damaged batch of the journal: its numbers are reported as lost, its bytes kept, and the rest works")
    func batch() throws {
        let store = try TestStore()
        _ = try store.user("bob")
        try store.seal(after: 10)
        let texts = (1...12).map { "message \($0) of the tail" }
        for text in texts { try store.post([text]) }
        try store.post(["to bob"], to: "@bob")
        try store.post(["the last to bob"], to: "@bob")
        let all = try store.all()
        let personal = try store.all("@bob")
        store.store.close()
        // Given a bit that fell in the batch of message 15, and in the last one of all
        var blobs: [[UInt8]] = []
        do {
            let connection = try Connection(path: store.directory + "/store.db", role: .writer)
            var rows: [(Int64, [UInt8])] = []
            let select = try connection.statement("SELECT number,data FROM batch ORDER BY number")
            while try select.step() { rows.append((select.int64(0), select.blob(1))) }
            select.reset()
            for (number, bytes) in rows
            where bytes.contains(text: "message 5 of") || bytes.contains(text: "the last to") {
                var bytes = bytes
                let place = bytes.count - 30
                bytes[place] ^= 1
                blobs.append(bytes)
                try connection.run("UPDATE batch_a SET data=? WHERE number=?", bytes, number)
            }
        }
        #expect(blobs.count == 2)
        // Then the store does not open, because it would reuse seqs
        #expect(throws: StoreOpenError.self) { _ = try TestStore(store.directory) }
        // When it is repaired
        var found: [StoreDamage] = []
        let summary = try repair(store.directory, &found)
        #expect(summary.newlyLostMessages == 2)
        let aside = try quarantined(store.directory)
        #expect(blobs.allSatisfy { aside.contains($0) })
        // Then exactly these are lost
        let next = try TestStore(store.directory)
        #expect(try next.damage(after: Seq(14)) == Seq(15)...Seq(15))
        #expect(
            try next.page { ($0.after, $0.before) = (.zero, Seq(15)) }.messages.map(\.text)
                == all.prefix(14).map(\.text))
        #expect(try next.page { $0.after = Seq(15) }.messages.map(\.text) == all.suffix(7).map(\.text))
        #expect(try next.page("@bob") { ($0.after, $0.before) = (.zero, Seq(2)) }.messages == [personal[0]])
        #expect(try next.post(["next"], to: "@bob").first?.message?.seq == Seq(3))
        #expect(try next.post(["next"]).first?.message?.seq == Seq(23))
        next.store.close()
        #expect(try StoreCheck.run(store.directory) { Issue.record("\($0)") }.damages == 0)
    }

    @Test("a damaged batch of many messages, the last of all: none of its numbers is given again")
    func compressedBatch() throws {
        let store = try TestStore()
        try store.post(["before"])
        try store.post((1...60).map { "message \($0) of a conversation that goes on for a while" })
        store.store.close()
        do {
            let connection = try Connection(path: store.directory + "/store.db", role: .writer)
            let select = try connection.statement("SELECT number,data FROM batch ORDER BY number DESC LIMIT 1")
            #expect(try select.step())
            let (number, sealed) = (select.int64(0), select.blob(1))
            select.reset()
            var bytes = sealed
            // The first of the texts is there as it was written.
            let place = try #require(bytes.indices.first { bytes[$0...].starts(with: "message 1 of".utf8) })
            bytes[place] ^= 1
            try connection.run("UPDATE batch_a SET data=? WHERE number=?", bytes, number)
        }
        var found: [StoreDamage] = []
        #expect(try repair(store.directory, &found).newlyLostMessages == 60)
        let next = try TestStore(store.directory)
        #expect(try next.damage(after: Seq(1)) == Seq(2)...Seq(61))
        #expect(try next.post(["next"]).first?.message?.seq == Seq(62))
    }

    @Test("sealed messages behind lost ones, which the journal still has: one repair is enough")
    func sealedInJournal() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.seal(after: 10)
        // Given a tail that keeps the journal from forgetting what comes after it
        try store.post(["pins the journal"], to: "@bob")
        try store.fill(5, label: "after")
        try store.seal()
        let all = try store.all()
        let (log, block) = (try #require(try store.logs().first), try #require(try store.blocks().first))
        store.store.close()
        // and a log that ends in its first block
        try disk.open(log, .readWrite).truncate(to: block.offset + 10)
        var found: [StoreDamage] = []
        let summary = try repair(store.directory, &found)
        #expect(summary.newlyLostMessages == 10)
        func hash() throws -> Digest {
            let next = try TestStore(store.directory)
            defer { next.store.close() }
            #expect(try next.damage(after: .zero) == Seq(1)...Seq(10))
            #expect(try next.page { $0.after = Seq(10) }.messages.map(\.text) == all.suffix(5).map(\.text))
            return try next.store.conversation("general", for: next.user("alice")).hash
        }
        let first = try hash()
        let again = try StoreRepair.run(store.directory) { _ in }
        #expect(again.found.damages == 0 && again.newlyLostMessages == 0)
        #expect(try hash() == first)
    }

    @Test(
        "of lost messages the journal has the last, before a block that is whole: that stays, however often it is repaired"
    )
    func journalBeforeBlock() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.seal(after: 10)
        try store.post(["pins the journal"], to: "@bob")
        for label in ["after", "behind"] {
            try store.fill(5, label: label)
            try store.seal()
        }
        let (all, blocks, log) = (try store.all(), try store.blocks(), try #require(try store.logs().first))
        store.store.close()
        for block in blocks.prefix(2) { try Files.flipByte(log, at: Int(block.offset) + block.length / 2) }
        // Beside a loss nobody knows the chain, so the last message before the next block is lost, too
        var found: [StoreDamage] = []
        #expect(try repair(store.directory, &found).newlyLostMessages == 11)
        let lost = [Seq(1)...Seq(10), Seq(15)...Seq(15)]
        for _ in 0..<2 {
            let next = try TestStore(store.directory)
            var model = SyncModel()
            try model.syncWithDamage(next, as: "alice")
            let served = try model.messages[#require(all.first?.conversationID)] ?? []
            let rest = all.filter { message in !lost.contains { $0.contains(message.seq) } }
            #expect(model.damaged == lost && served.map(\.text) == rest.map(\.text))
            #expect(served.suffix(5) == rest.suffix(5))
            next.store.close()
            let again = try StoreRepair.run(store.directory) { _ in }
            #expect(again.found.damages == 0 && again.newlyLostMessages == 0)
        }
    }

    @Test("a hole in the journal: the missing numbers are stated")
    func hole() throws {
        let store = try TestStore()
        for number in 1...9 { try store.post(["message \(number)"]) }
        store.store.close()
        do {
            let connection = try Connection(path: store.directory + "/store.db", role: .writer)
            try connection.execute(
                "DELETE FROM batch_a WHERE number IN (SELECT number FROM batch_a ORDER BY number LIMIT 2 OFFSET 3)")
        }
        #expect(throws: StoreOpenError.self) { _ = try TestStore(store.directory) }
        var found: [StoreDamage] = []
        #expect(try repair(store.directory, &found).newlyLostMessages == 2)
        let next = try TestStore(store.directory)
        #expect(try next.export("general").count == 8)
        #expect(try next.damage(after: Seq(3)) == Seq(4)...Seq(5))
        #expect(try next.post(["next"]).first?.message?.seq == Seq(10))
    }

    @Test("a repair that is killed anywhere is finished by the next")
    func killed() throws {
        let whole = try TemporaryDirectory()
        let (all, rows, log, _) = try small(whole.path)
        let name = String(log.dropFirst(whole.path.utf8.count))
        let file = try disk.open(log, .readWrite)
        let place = rows[1].offset + 170
        try file.write([try file.read(count: 1, at: place)[0] ^ 3], at: place)
        let damagedLog = try disk.contents(of: log, limit: 1 << 20)
        try disk.open(whole.path + "/logs/stray", .create).write([1, 2, 3], at: 0)
        var number = 0
        while true {
            let directory = try TemporaryDirectory()
            try Files.copy(whole.path, to: directory.path)
            var isDone = true
            do {
                _ = try StoreRepair.run(directory.path, disk: FaultyDisk(stoppingAfter: number)) { _ in }
            } catch {
                isDone = false
            }
            _ = try StoreRepair.run(directory.path) { _ in }
            // A single bit was flipped back
            let lost = [rows[1].firstSeq...rows[1].lastSeq]
            try expectServed(all, but: lost, directory.path)
            #expect(try quarantined(directory.path).contains(damagedLog) != lost.isEmpty, "\(name) after \(number)")
            if isDone { break }
            number += 1
        }
        #expect(number > 5)
    }
}

extension [UInt8] {
    fileprivate func contains(text: String) -> Bool {
        let wanted = Array(text.utf8)
        return indices.contains { self[$0...].starts(with: wanted) }
    }
}
