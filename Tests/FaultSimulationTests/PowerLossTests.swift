import FaultSimulation
import SystemSupport
import Testing
import TestSupport

@Suite("loss of power")
struct PowerLossTests {
    /// One of this many states of a server is judged, which is enough to find out any sync that does nothing. `make torture`
    /// judges them all.
    private static let share = 2

    @Test("the server loses nothing, whatever of the unsynced is there", arguments: seeds(1...1))
    func server(seed: UInt64) throws {
        // Given a run of a server
        let run = try StoreRun(seed: seed)
        try run.run(steps: 40)
        run.driver.close()
        // When the power is lost at any operation, with any part of the unsynced data
        var campaign = Campaign(share: PowerLossTests.share)
        campaign.loseServer(of: run)
        // Then nothing acknowledged is lost, and the store works
        #expect(campaign.failure == nil)
        #expect(campaign.states > 850)
        print("power loss, server: seed \(seed), \(campaign.states) states")
    }

    @Test("an import is there whole once it was said to be", arguments: seeds(4...4))
    func importing(seed: UInt64) throws {
        // Given imports between other things
        let run = try StoreRun(seed: seed, hasClient: false)
        for _ in 0..<3 {
            try run.run(steps: 4)
            try run.importSome()
        }
        run.driver.close()
        var campaign = Campaign()
        campaign.loseServer(of: run)
        #expect(campaign.failure == nil)
        #expect(campaign.states > 200)
        print("power loss, imports: seed \(seed), \(campaign.states) states")
    }

    @Test("a client loses and repeats nothing, whatever of the unsynced is there", arguments: seeds(11...11))
    func client(seed: UInt64) throws {
        // Given a client that syncs now and then
        let run = try StoreRun(seed: seed)
        for _ in 0..<4 {
            try run.run(steps: 6)
            try run.sync()
            _ = try run.client.index()
        }
        // When the power goes at any operation of its disk
        var campaign = Campaign()
        try campaign.loseClient(of: run)
        run.driver.close()
        // Then it has the synced messages, and continues
        #expect(campaign.failure == nil)
        #expect(campaign.states > 500)
        print("power loss, client: seed \(seed), \(campaign.states) states")
    }

    @Test("queued messages wait, once and in order, until they are settled", arguments: seeds(13...13))
    func outbox(seed: UInt64) throws {
        // Given an outbox into which messages are put, and out of which they are taken
        let run = OutboxRun(seed: seed)
        try run.run(steps: 18)
        // When the power is lost at any operation, then the outbox has the queued messages that were not removed
        var states = 0
        PowerLoss(run.disk).forEachState(seed: seed) { state in
            states += 1
            do { try run.judge(state) } catch {
                Issue.record("seed \(seed), after \(state.operations), \(state.story): \(error)")
                return false
            }
            return true
        }
        #expect(states > 200)
        print("power loss, outbox: seed \(seed), \(states) states")
    }

    @Test(
        "a sync that does nothing is found out",
        arguments: ["store.db-wal", "/store.db", ".log", "/data/", "/logs/"])
    func sensitivity(part: String) throws {
        // Given a disk that lies
        let run = try StoreRun(seed: 5)
        run.disk.set(unsyncedPart: part)
        try run.run(steps: 60)
        run.driver.close()
        var campaign = Campaign(share: PowerLossTests.share)
        campaign.loseServer(of: run)
        #expect(campaign.failure != nil)
    }
}
