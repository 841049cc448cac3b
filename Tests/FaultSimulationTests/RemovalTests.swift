import FaultSimulation
import NatterSystem
import NatterModel
import NatterSearch
@testable import NatterStore
import SystemSupport
import Testing
import TestSupport

@Suite("erasing and retention on disks that fail")
struct RemovalTests {
    private static let steps = 8
    /// About how many of the calls of a run are tried.
    private static let trials = 4
    /// One of this many states after a power loss is judged. `make torture` judges them all.
    private static let share = 5

    @Test(
        "whenever the power goes, what is acknowledged as erased stays erased, and nothing else is lost",
        arguments: seeds(51...51))
    func power(seed: UInt64) throws {
        // Given a server that edits, deletes, erases and drops messages, and a client that syncs now and then
        let run = try StoreRun(seed: seed, keepsSearchIndex: seed % 2 == 0, removes: true)
        try run.run(steps: 14)
        try run.sync()
        // When the power goes at any operation of either disk
        var campaign = Campaign(share: Self.share)
        try campaign.loseClient(of: run, randomStates: 1)
        run.driver.close()
        campaign.loseServer(of: run, randomStates: 1)
        #expect(campaign.failure == nil)
        print("power loss, erasing: seed \(seed), \(campaign.states) states")
    }

    @Test("a process that ends while it erases goes on after a restart", arguments: seeds(53...53))
    func restart(seed: UInt64) throws {
        let trial = RestartTrial(seed: seed, steps: Self.steps, removes: true, share: Self.share)
        let count = try trial.callCount()
        var states = 0
        for (index, number) in stride(from: 1, through: count, by: max(1, count / Self.trials)).enumerated() {
            let ends = RestartTrial.End.allCases
            states += try trial.run(ends[index % ends.count], at: number)
        }
        let client = ClientTrial(seed: seed, removes: true, share: Self.share)
        let calls = try client.replicaCalls()
        for number in stride(from: 1, through: calls, by: max(1, calls / 2)) {
            states += try client.replica(.kill, at: number)
        }
        print("started again, erasing: seed \(seed), \(states) states")
    }

    @Test("a full disk or an error refuses an erasure, or it is done; with room it is done", arguments: seeds(54...54))
    func errors(seed: UInt64) throws {
        let trial = DiskTrial(seed: seed, steps: Self.steps, removes: true)
        let writes = try trial.callCount([.write, .create, .makeDirectory])
        for number in stride(from: 1, through: writes, by: max(1, writes / Self.trials)) { try trial.full(at: number) }
        let changes = try trial.callCount(DiskFault.changes)
        for number in stride(from: 1, through: changes, by: max(1, changes / Self.trials)) {
            try trial.failing(at: number, lasts: number % 2 == 0)
        }
    }

    @Test("once the search index is emptied, no loss of power brings a word of it back into any file")
    func emptied() throws {
        let secret = "xylophonkonzert"
        let disk = SimulatedDisk()
        try disk.makeDirectory("/data")
        let index = try SearchIndex.openForWriting(path: "/data/search.db", disk: disk)
        try index.write { writer in
            try writer.add(ConversationID(high: 0, low: 7), from: Seq(1)) { rows in
                try rows.append(time: .zero, text: Array(secret.utf8))
            }
        }
        func paths(_ image: DiskImage) -> [String] {
            image.files().filter { $0.value.firstRange(of: Array(secret.utf8)) != nil }.map(\.key)
        }
        #expect(paths(disk.image) != [])
        try index.empty()
        var states = 0
        PowerLoss(disk).forEachState(seed: 58, from: disk.operationCount) { state in
            states += 1
            #expect(paths(state.image) == [], "\(state.story)")
            return true
        }
        #expect(states > 0)
    }

    @Test("a loss of power while several erasures are noted leaves no line that looks like damage")
    func noted() throws {
        let disk = SimulatedDisk()
        try disk.makeDirectory("/data")
        let remembered = RememberedErasures("/data", disk)
        let entries = (1...40).map { number in
            RememberedErasures.Entry.message(
                .init(
                    conversation: ConversationID(high: 0, low: 7), seq: Seq(UInt64(number)),
                    digest: Digest(of: [UInt8(number)])))
        }
        for part in [entries.prefix(1), entries[1..<15], entries[15...]] { try remembered.add(Array(part)) }
        for seed in UInt64(59)..<90 {
            try PowerLoss(disk).forEachState(seed: seed) { state in
                let image = SimulatedDisk(state.image, records: false)
                guard try image.information("/data") != nil else { return true }
                // Those that are there are the first ones, and the rest can be added
                let found = RememberedErasures("/data", image)
                let isWhole = [0, 1, 15, 40].contains(try found.entries().count)
                #expect(try isWhole && found.damages().isEmpty, "seed \(seed), \(state.operations), \(state.story)")
                try found.add(entries)
                #expect(try found.entries() == entries && found.damages().isEmpty)
                return true
            }
        }
    }

    @Test("a server stops writing if it can't make durable what it is about to erase", arguments: 1...2)
    func failedNote(number: Int) throws {
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock)
        let driver = try StoreDriver(disk, clock: clock)
        defer { driver.close() }
        let token = try driver.register("alice")
        _ = try driver.post([NewMessage(conversation: "general", text: "one", key: nil)], by: token)
        disk.set(
            fault: DiskFault([.sync], in: "/data/erased", number: number, code: DiskTrial.inputOutput, lasts: false))
        let erased: Result<Int, StoreError> = answer {
            driver.store.erase([Seq(1)...Seq(1)], in: "general", by: "alice", $0)
        }
        #expect(throws: StoreError.self) { try erased.get() }
        #expect(driver.store.isFailed)
    }

    @Test("a restore of a backup that is older than erasures does them again", arguments: seeds(55...57))
    func restore(seed: UInt64) throws {
        let run = try StoreRun(seed: seed, hasClient: false, removes: true)
        try run.run(steps: 30)
        _ = try run.driver.store.backup(to: "/backup")
        let former = run.promises.withLock { $0 }
        try run.run(steps: 30)
        run.driver.close()
        let disk = SimulatedDisk(run.disk.image, clock: run.clock, records: false)
        // When the data directory is lost, and only what remembers the erasures is kept
        try disk.rename(StoreDriver.directory, to: "/lost")
        try disk.makeDirectory(StoreDriver.directory)
        if !disk["/lost/erased"].isEmpty {
            try disk.replaceContents(of: StoreDriver.directory + "/erased", with: disk["/lost/erased"])
        }
        _ = try StoreRestore.run("/backup", into: StoreDriver.directory, disk: disk, clock: run.clock)
        let promises = run.promises.withLock { former.restored(with: $0) }
        try StoreJudge(promises, seed: seed).judge(disk, clock: run.clock)
    }
}
