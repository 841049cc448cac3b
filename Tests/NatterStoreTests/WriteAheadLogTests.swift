import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import Testing
import TestSupport

@testable import NatterStore

/// A write-ahead log that rots while the server is down: SQLite takes the first bad frame for the end.
@Suite("a damaged write-ahead log")
struct WriteAheadLogTests {
    private let disk = PosixDisk()

    /// The files of a store that was killed after these many commits of a message each, copied to a directory for each
    /// trial.
    private final class Killed {
        let directory: TemporaryDirectory
        let database: [UInt8]
        let wal: [UInt8]
        let count: Int

        init(_ count: Int) throws {
            self.count = count
            let live = try TemporaryDirectory()
            let store = try TestStore(live.path)
            for number in 1...count { try store.post(["message \(number)"]) }
            let disk = PosixDisk()
            database = try disk.contents(of: live.path + "/store.db", limit: 1 << 24)
            wal = try disk.contents(of: live.path + "/store.db-wal", limit: 1 << 24)
            directory = try TemporaryDirectory()
        }

        /// The messages of the whole log.
        func all() throws -> [Message] {
            try put(wal, in: directory.path + "/whole")
            return try TestStore(directory.path + "/whole").all()
        }

        func put(_ wal: [UInt8], in path: String) throws {
            let disk = PosixDisk()
            try disk.makeDirectories(path)
            try disk.replaceContents(of: path + "/store.db", with: database)
            try disk.replaceContents(of: path + "/store.db-wal", with: wal)
        }
    }

    @Test("a flipped bit is damage that is named; a start or a repair flips it back, or says that commits are lost")
    func flippedBit() throws {
        let killed = try Killed(40)
        let all = try killed.all()
        // The header but for its count of starts, and some of each frame, the last commit's among them
        let header = (Array(0..<12) + Array(16..<32)).flatMap { byte in (0..<8).map { byte * 8 + $0 } }
        let frames = stride(from: 32, to: killed.wal.count, by: killed.wal.count / 300 | 1)
        var ambiguous = 0
        for (trial, bit) in (header + frames.enumerated().map { $1 * 8 + $0 % 8 }).enumerated() {
            var wal = killed.wal
            wal[bit / 8] ^= 1 << UInt8(bit % 8)
            let path = "\(killed.directory.path)/\(trial)"
            try killed.put(wal, in: path)
            // The higher half of the words of the last frame may be what an unfinished commit has left.
            if bit / 8 >= killed.wal.count - 4_096, bit / 8 % 4 > 1 {
                #expect((try? TestStore(path).all().count) ?? 39 == 39, "bit \(bit)")
                continue
            }
            #expect(try WALScan.damage(of: disk.open(path + "/store.db-wal", .read)) != nil, "bit \(bit)")
            if trial % 2 == 0 {
                if try StoreRebuild.run(path, trial % 4 == 0 ? .repair : .reindex).hasUnknownLoss {
                    ambiguous += 1
                    continue
                }
                #expect(try TestStore(path).all() == all, "bit \(bit)")
            } else {
                do {
                    let store = try TestStore(path)
                    #expect(try store.all() == all && store.reports.contains("flipped a bit"), "bit \(bit)")
                    store.store.close()
                } catch let error as StoreOpenError {
                    #expect("\(error)".contains("store.db-wal' is damaged at byte"), "bit \(bit): \(error)")
                    ambiguous += 1
                    continue
                }
            }
            #expect(try StoreCheck.run(path) { _ in }.damages == 0, "bit \(bit)")
        }
        print("write-ahead log: \(ambiguous) of \(frames.underestimatedCount) bits of frames could be others")
        #expect(ambiguous < 60, "\(ambiguous)")
    }

    @Test(
        "a frame of an unfinished commit, behind what was written over its first ones, is no damage", arguments: 0..<6)
    func overwritten(word: Int) throws {
        let killed = try Killed(10)
        var wal = killed.wal
        let start = wal.count - 2 * 4_120
        // The frame before the last differs in one bit, and is whole.
        wal[start + 24 + 2_000 + 4 * word + 3] ^= 0x80
        var sums = (UInt32(0), UInt32(0))
        func number(_ place: Int, _ order: [Int]) -> UInt32 { order.reduce(0) { $0 << 8 | UInt32(wal[place + $1]) } }
        sums.0 = number(start - 4_120 + 16, [0, 1, 2, 3])
        sums.1 = number(start - 4_120 + 20, [0, 1, 2, 3])
        let order = wal[3] & 1 == 1 ? [0, 1, 2, 3] : [3, 2, 1, 0]
        for place in [start] + stride(from: start + 24, to: start + 4_120, by: 8) {
            sums.0 &+= number(place, order) &+ sums.1
            sums.1 &+= number(place + 4, order) &+ sums.0
        }
        for (index, sum) in [sums.0, sums.1].enumerated() {
            for byte in 0..<4 {
                wal[start + 16 + 4 * index + byte] = UInt8(truncatingIfNeeded: sum >> UInt32(24 - 8 * byte))
            }
        }
        let path = killed.directory.path + "/store"
        try killed.put(wal, in: path)
        #expect(try WALScan.damage(of: disk.open(path + "/store.db-wal", .read)) == nil)
    }

    @Test("bits of one byte that look like one bit elsewhere: a repair says that commits are lost, or has all of them")
    func neighbours() throws {
        let killed = try Killed(40)
        let all = try killed.all()
        var trial = 0
        for mask in [3, 6, 12, 7, 0xC0] as [UInt8] {
            for offset in stride(from: 32 + Int(mask), to: killed.wal.count, by: killed.wal.count / 60) {
                var wal = killed.wal
                wal[offset] ^= mask
                trial += 1
                let path = "\(killed.directory.path)/n\(trial)"
                try killed.put(wal, in: path)
                if try StoreRebuild.run(path, .repair).hasUnknownLoss { continue }
                let found = try TestStore(path).all()
                // The last commit alone may look like an unfinished one
                #expect(found == all || found == all.dropLast(), "byte \(offset) mask \(mask)")
                #expect(try StoreCheck.run(path) { _ in }.damages == 0, "byte \(offset) mask \(mask)")
            }
        }
    }

    @Test("two flipped bits are damage that is named, or cost nothing but an unfinished last commit")
    func twoBits() throws {
        let killed = try Killed(40)
        let stride = killed.wal.count / 100
        var refused = 0
        for (trial, offset) in Swift.stride(from: 33, to: killed.wal.count, by: stride).enumerated() {
            var wal = killed.wal
            wal[offset] ^= 1 << UInt8(trial % 7) | 0x80
            let path = "\(killed.directory.path)/\(trial)"
            try killed.put(wal, in: path)
            do {
                let found = try TestStore(path).all()
                #expect(found.count >= killed.count - 1, "byte \(offset): \(found.count) of \(killed.count)")
            } catch let error as StoreOpenError {
                #expect("\(error)".contains("store.db-wal' is damaged at byte"), "byte \(offset): \(error)")
                refused += 1
            }
        }
        #expect(refused > 90)
    }

    @Test("beside a database of 0 bytes, a check and a backup leave the log, and a repair takes all that it has")
    func emptied() throws {
        let killed = try Killed(20)
        let path = killed.directory.path + "/store"
        try killed.put(killed.wal, in: path)
        try disk.replaceContents(of: path + "/store.db", with: [])
        try disk.makeDirectories(path + "/logs")
        try disk.replaceContents(of: path + "/logs/mark", with: [])
        var damages: [StoreDamage] = []
        _ = try StoreCheck.run(path) { damages.append($0) }
        #expect(
            damages.contains { $0.file.hasSuffix("/store.db") && "\($0.problem)" == "the database is empty" },
            "\(damages)")
        #expect(throws: StoreOpenError.self) { try StoreBackup.run(path, to: killed.directory.path + "/backup") }
        #expect(try disk.contents(of: path + "/store.db-wal", limit: 1 << 24) == killed.wal)
        _ = try StoreRebuild.run(path, .repair)
        #expect(try TestStore(path).all().count == killed.count)
    }

    @Test("a damaged page is found beside a log, unless a commit there has written it anew")
    func pagesBesideLog() throws {
        let live = try TemporaryDirectory()
        let first = try TestStore(live.path)
        for number in 1...20 { try first.post(["message \(number)"]) }
        first.store.close()
        let store = try TestStore(live.path)
        try store.post(["in the log"])
        let database = try disk.contents(of: live.path + "/store.db", limit: 1 << 24)
        let wal = try disk.contents(of: live.path + "/store.db-wal", limit: 1 << 24)
        let copy = try TemporaryDirectory()
        var (found, replaced) = (0, 0)
        for offset in stride(from: 0, to: database.count, by: 4_096) {
            var flipped = database
            flipped[offset + 2_000] ^= 1
            try disk.replaceContents(of: copy("store.db"), with: flipped)
            try disk.replaceContents(of: copy("store.db-wal"), with: wal)
            let pages = try Store.damagedPages(copy("store.db"), disk)
            #expect(pages.isEmpty || pages == [UInt64(offset)])
            if pages.isEmpty { replaced += 1 } else { found += 1 }
        }
        #expect(found > 5 && replaced > 0, "\(found) found, \(replaced) replaced")
    }

    @Test("a log that ends in its last commit is what a crash leaves: it is not reported")
    func torn() throws {
        let killed = try Killed(5)
        for cut in 1...20 {
            let path = "\(killed.directory.path)/cut-\(cut)"
            try killed.put(Array(killed.wal.dropLast(cut * 200)), in: path)
            #expect(try TestStore(path).all().count >= killed.count - 1)
        }
    }

    @Test("a repair keeps a copy of the log, reports lost commits, and the store works again")
    func repair() throws {
        let killed = try Killed(80)
        var wal = killed.wal
        // The first half may hold nothing but the schema.
        let place = wal.count * 3 / 4
        wal[place] ^= 6
        let path = killed.directory.path + "/repaired"
        try killed.put(wal, in: path)
        var damages: [StoreDamage] = []
        let check = try StoreCheck.run(path) { damages.append($0) }
        #expect(check.damages > 0 && damages.first?.file.hasSuffix("store.db-wal") == true)
        #expect(damages.first?.offset.map { $0 <= UInt64(place) && $0 > 32 } == true)
        let summary = try StoreRepair.run(path) { _ in }
        #expect(summary.hasUnknownLoss && summary.left.damages == 0)
        let kept = try disk.list(path + "/quarantine").map {
            try disk.contents(of: "\(path)/quarantine/\($0)", limit: 1 << 24)
        }
        #expect(kept.contains(wal))
        // An index that is made again says it, too.
        try killed.put(wal, in: path + "-reindexed")
        #expect(try StoreRebuild.run(path + "-reindexed", .reindex).hasUnknownLoss)
        let store = try TestStore(path)
        let found = try store.all()
        #expect(!found.isEmpty && found.count < killed.count)
        #expect(try store.post(["next"]).first?.message?.seq == Seq(UInt64(found.count)).next)
    }

    /// Reads a database from several threads, so that a transaction is open at every moment: a reader ends its own only
    /// when the next one has begun.
    private final class SteadyReaders {
        private let turn = Monitor((begun: 0, isOver: false))
        private var threads: [SystemThread] = []

        init(_ path: String) throws {
            let count = 3
            for number in 0..<count {
                let connection = try Connection(path: path, role: .reader)
                nonisolated(unsafe) let reader = connection
                threads.append(
                    try SystemThread(name: "reader") { [turn] in
                        var own = number
                        while turn.wait(until: { $0.isOver || $0.begun >= own ? $0.isOver : nil }) == false {
                            try? reader.snapshot {
                                _ = try reader.statement("SELECT count(*) FROM meta").step()
                                turn.signal { $0.begun = max($0.begun, own + 1) }
                                _ = turn.wait(until: { $0.isOver || $0.begun >= own + 2 ? true : nil })
                            }
                            own += count
                        }
                    })
            }
        }

        deinit {
            turn.signal { $0.isOver = true }
            for thread in threads { thread.join() }
        }
    }

    @Test("readers that come and go without a pause don't keep the log from beginning anew")
    func bounded() throws {
        let directory = try TemporaryDirectory()
        let step = 200_000
        let live = try TestStore(
            open: { options in
                var options = options
                options.checkpointBytes = step
                return try Store.open(directory.path, options: options)
            })
        try live.post(["first"])
        let readers = try SteadyReaders(directory.path + "/store.db")
        let text = String(repeating: "long ", count: 12_000)
        for _ in 0..<120 { try live.post([text]) }
        withExtendedLifetime(readers) {}
        let size = try #require(try disk.information(directory.path + "/store.db-wal")).size
        #expect(size < UInt64(10 * step), "the log has \(size) bytes after \(120 * 60_000) of messages")
    }
}
