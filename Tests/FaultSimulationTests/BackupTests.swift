import FaultSimulation
import NatterStore
import NatterSystem
import SystemSupport
import Testing
import TestSupport

@Suite("backups and the power")
struct BackupTests {
    @Test("a finished backup or restore survives a loss of power", arguments: seeds(43...43))
    func done(seed: UInt64) throws {
        // Given a backup of a running store, and one that was added to it
        let run = try StoreRun(seed: seed, hasClient: false)
        try run.run(steps: 25)
        _ = try run.driver.store.backup(to: "/backup")
        try run.run(steps: 25)
        let promises = run.promises.withLock { $0 }
        _ = try run.driver.store.backup(to: "/backup")
        let judge = StoreJudge(promises, seed: seed)
        var states = 0
        // When the power goes after it is done
        try PowerLoss(run.disk).forEachState(seed: seed, from: run.disk.operationCount, randomStates: 4) { state in
            states += 1
            let disk = SimulatedDisk(state.image, clock: run.clock)
            try disk.rename(StoreDriver.directory, to: "/lost")
            _ = try StoreRestore.run("/backup", into: StoreDriver.directory, disk: disk, clock: run.clock)
            // and once more after the restore
            try PowerLoss(disk).forEachState(seed: seed, from: disk.operationCount, randomStates: 4) { inner in
                states += 1
                // Then everything that was promised before is there
                try judge.judge(SimulatedDisk(inner.image, clock: run.clock, records: false), clock: run.clock)
                return true
            }
            return true
        }
        run.driver.close()
        #expect(states >= 2)
        print("power loss after backup and restore: seed \(seed), \(states) states")
    }
}
