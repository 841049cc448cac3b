import FaultSimulation
import NatterSystem
import Testing

@Suite("loss of power")
struct PowerLossTests {
    @Test("the server loses nothing, whatever of the unsynced is there", arguments: seeds(1...3))
    func server(seed: UInt64) throws {
        // Given a run of a server
        let run = try StoreRun(seed: seed)
        try run.run(steps: 40)
        run.driver.close()
        // When the power goes at any operation, with any part of what was not synced
        var campaign = Campaign()
        campaign.loseServer(of: run)
        // Then nothing that was acknowledged is lost, and everything goes on
        #expect(campaign.failure == nil)
        #expect(campaign.states > 1_700)
        print("power loss, server: seed \(seed), \(campaign.states) states")
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
        // Then it has what syncs had brought, and goes on
        #expect(campaign.failure == nil)
        #expect(campaign.states > 500)
        print("power loss, client: seed \(seed), \(campaign.states) states")
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
        var campaign = Campaign()
        campaign.loseServer(of: run)
        #expect(campaign.failure != nil)
    }
}
