import FaultSimulation
import NatterModel
import NatterStore
import NatterSystem
import SystemSupport
import Testing
import TestSupport

@Suite("disks that fail")
struct DiskFaultTests {
    private static let steps = 16

    @Test(
        "after an error at any write or sync nothing is acknowledged, and nothing is lost",
        arguments: seeds(21...21), [false, true])
    func inputOutput(seed: UInt64, lasts: Bool) throws {
        let trial = DiskTrial(seed: seed, steps: DiskFaultTests.steps)
        let count = try trial.callCount(DiskFault.changes)
        #expect(count > 80)
        // A store that has failed tries no more, so that few calls tell a lasting error from a single one.
        for number in stride(from: 1, through: count, by: lasts ? 4 : 1) {
            try trial.failing(at: number, lasts: lasts)
        }
        print("I/O errors: seed \(seed), \(lasts ? "lasting, a fourth" : "each") of \(count) changes")
    }

    @Test(
        "a disk full at any write: writes are refused, reads work, and writes resume with room",
        arguments: seeds(23...23))
    func full(seed: UInt64) throws {
        let trial = DiskTrial(seed: seed, steps: DiskFaultTests.steps)
        let count = try trial.callCount([.write, .create, .makeDirectory])
        for number in stride(from: 1, through: count, by: 2) { try trial.full(at: number) }
        print("no room: seed \(seed), from each second of \(count) writes on")
    }

    @Test("a quota that is used up at any write of the database is a full disk")
    func usedQuota() throws {
        let trial = DiskTrial(seed: 29, steps: DiskFaultTests.steps)
        let count = try trial.callCount([.write, .create, .makeDirectory])
        for number in stride(from: 1, through: count, by: 5) { try trial.full(at: number, code: DiskTrial.usedQuota) }
        print("no room: a quota, from each fifth of \(count) writes on")
    }

    @Test("a sync of the database that fails with the number of a quota stops the server as any other does")
    func syncOverQuota() throws {
        let trial = DiskTrial(seed: 30, steps: DiskFaultTests.steps)
        let count = try trial.callCount([.sync], in: "store.db")
        #expect(count > 5)
        for number in stride(from: 1, through: count, by: 3) {
            try trial.failing(at: number, of: [.sync], in: "store.db", code: DiskTrial.usedQuota, lasts: false)
        }
        print("a quota at each third of \(count) syncs of the database")
    }

    @Test("a failing read, or too many open files, costs an answer at most", arguments: seeds(25...25))
    func looking(seed: UInt64) throws {
        let trial = DiskTrial(seed: seed, steps: DiskFaultTests.steps)
        let reads = try trial.callCount([.read])
        for number in stride(from: 1, through: reads, by: max(1, reads / 60)) {
            try trial.failingToLook(at: number, [.read], code: DiskTrial.inputOutput)
        }
        let opens = try trial.callCount([.open, .create])
        for number in 1...max(1, opens) {
            try trial.failingToLook(at: number, [.open, .create], code: DiskTrial.tooManyFiles)
        }
        print("looking: seed \(seed), \(min(reads, 60)) of \(reads) reads, \(opens) opens")
    }

    @Test(
        "a server that ended anywhere, started again on the same machine, has lost nothing when the power goes then",
        arguments: seeds(27...27), RestartTrial.End.allCases)
    func restarted(seed: UInt64, end: RestartTrial.End) throws {
        let trial = RestartTrial(seed: seed, steps: DiskFaultTests.steps)
        let count = try trial.callCount()
        var states = 0
        for number in stride(from: 1, through: count, by: 30) { states += try trial.run(end, at: number) }
        // Few of these are ends at which something complete is there that was not synced, or something unfinished.
        let sparse = RestartTrial(seed: seed, steps: DiskFaultTests.steps, share: 8)
        let unsynced: [(RestartTrial.End, Set<DiskFault.Call>, String, Int)] = [
            (.kill, [.sync], "/logs/", 1), (.kill, [.write], "store.db-wal", 4), (.errors, [.sync], "store.db-wal", 4),
        ]
        for (ending, calls, part, step) in unsynced where ending == end {
            let last = try sparse.callCount(calls, in: part)
            #expect(last > 0)
            for number in stride(from: 1, through: last, by: step) {
                states += try sparse.run(end, at: number, of: calls, in: part)
            }
        }
        #expect(states > 200)
        print("started again: seed \(seed), \(end) at each thirtieth of \(count) changes and others, \(states) states")
    }

    @Test(
        "a client that ended anywhere, and others after it on the same machine: a sync and the outbox lose nothing when the power goes then",
        arguments: seeds(28...28), RestartTrial.End.allCases)
    func clientAgain(seed: UInt64, end: RestartTrial.End) throws {
        // This is about unsynced writes; an outbox takes little time.
        let trial = ClientTrial(seed: seed, calls: [.sync])
        let replica = try trial.replicaCalls()
        var states = 0
        for number in stride(from: 1, through: replica, by: 5) { states += try trial.replica(end, at: number) }
        let other = ClientTrial(seed: seed)
        let outbox = try other.outboxCalls()
        for number in stride(from: 1, through: outbox, by: 9) { states += try other.outbox(end, at: number) }
        if end == .errors {
            // The later frames in the log are of a process whose sync failed.
            let log = ClientTrial(seed: seed, calls: [.sync], in: "-wal")
            for number in stride(from: 1, through: try log.outboxCalls(), by: 3) {
                states += try log.outbox(end, at: number)
            }
        }
        #expect(states > 200)
        print(
            "client again: seed \(seed), \(end) at each fifth of \(replica) syncs of a replica and each ninth of \(outbox) "
                + "changes of an outbox, \(states) states")
    }

    @Test("a start that fails at any call harms nothing", arguments: seeds(26...26))
    func starting(seed: UInt64) throws {
        // Given the states after a kill, and after a loss of power during sealing
        let run = try StoreRun(seed: seed, hasClient: false)
        try run.run(steps: 40)
        let image = run.disk.image
        run.driver.close()
        let troubles: [(Set<DiskFault.Call>, Int32, Bool)] = [
            (DiskFault.changes, DiskTrial.inputOutput, false), (DiskFault.changes, DiskTrial.inputOutput, true),
            ([.write, .create, .makeDirectory], DiskTrial.noSpace, true),
            ([.open, .create, .list], DiskTrial.tooManyFiles, false), ([.read], DiskTrial.inputOutput, false),
        ]
        var calls = 0
        for (kinds, code, lasts) in troubles {
            var number = 1
            while try DiskTrial.starting(on: image, of: run, at: number, kinds, code: code, lasts: lasts) {
                number += kinds == [.read] ? 7 : 1
                calls += 1
            }
        }
        #expect(calls > 40)
        print("starts: seed \(seed), \(calls) failing calls")
    }

    @Test(
        "a small disk that was full takes messages again once it has room, and keeps what is for locking out and erasing",
        arguments: [3_000, 60_000])
    func roomAgain(textBytes: Int) throws {
        // Given a disk of 24 MiB with 8 MiB of other files
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock, records: false, capacity: 24 << 20)
        try disk.open("/other", .create).write([UInt8](repeating: 1, count: 8 << 20), at: 0)
        let driver = try StoreDriver(disk, clock: clock, isSmall: false)
        defer { driver.close() }
        let alice = try driver.register("alice")
        var generator = SeededGenerator(seed: 31)
        func fill() throws -> Int {
            for taken in 0..<10_000 {
                var text = ""
                while text.utf8.count < textBytes { text += String(generator.next(), radix: 36) }
                let message = NewMessage(conversation: "general", text: text, key: nil)
                guard case .refused(let refusal)? = try driver.post([message], by: alice).first else { continue }
                #expect(refusal == .diskFull)
                return taken * textBytes
            }
            throw Violation("the disk does not get full")
        }
        // When it was full, the sealer has had its time, and the other files go
        #expect(try fill() > 4 << 20)
        #expect(answer { driver.store.settle($0) } as StoreError? == nil)
        #expect(try disk.freeBytes("/") >= 1 << 20)
        try disk.remove("/other")
        // Then messages are taken
        #expect(try fill() > 2 << 20)
        _ = answer { driver.store.settle($0) } as StoreError?
        #expect(try disk.freeBytes("/") >= 1 << 20)
        #expect(!driver.store.isFailed)
        #expect(try driver.export(as: alice)["general"]?.allSatisfy { $0.text.utf8.count >= textBytes } == true)
    }
}
