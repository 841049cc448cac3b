import FaultSimulation
import NatterStore
import NatterSystem
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
