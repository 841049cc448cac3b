import FaultSimulation
import NatterClient
import NatterModel
import NatterWire
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
        // Then it has what syncs had brought, and goes on
        #expect(campaign.failure == nil)
        #expect(campaign.states > 500)
        print("power loss, client: seed \(seed), \(campaign.states) states")
    }

    @Test("what was queued waits, once and in order, until it is settled", arguments: seeds(13...13))
    func outbox(seed: UInt64) throws {
        // Given an outbox into which messages are put, and out of which they are taken
        var generator = SeededGenerator(seed: seed)
        let clock = SimulatedClock()
        let disk = SimulatedDisk(clock: clock)
        let location = ClientHome(path: "/home/natter").outbox(store: StoreID(high: 1, low: 2), user: "alice")
        let outbox = Outbox(location, disk: disk)
        var tried: [String] = []
        // How many were put in and taken out, by the operations before which that was certain, or not even begun.
        var certain = [(operations: 0, added: 0, settled: 0)]
        var begun = [(operations: 0, settled: 0)]
        for _ in 0..<18 {
            let requests = (0..<Int.random(in: 1...3, using: &generator)).map {
                SendRequest(conversation: "general", text: "\(tried.count + $0)", id: "id \(tried.count + $0)")
            }
            tried += requests.map(\.text)
            let entries = try outbox.add(requests, at: clock.now())
            certain.append((disk.operationCount, tried.count, certain.last?.settled ?? 0))
            var first: OutboxEntry?
            try outbox.forEach(waitingOnly: true) { entry in
                first = entry
                return false
            }
            guard Bool.random(using: &generator), let first, !entries.isEmpty else { continue }
            begun.append((disk.operationCount, (begun.last?.settled ?? 0) + 1))
            try outbox.withdraw(first)
            certain.append((disk.operationCount, tried.count, (certain.last?.settled ?? 0) + 1))
        }
        var states = 0
        PowerLoss(disk).forEachState(seed: seed) { state in
            states += 1
            let promised = certain.last { $0.operations <= state.operations } ?? (0, 0, 0)
            let mayBeSettled = begun.last { $0.operations <= state.operations }?.settled ?? 0
            var found: [String] = []
            do {
                try Outbox(location, disk: SimulatedDisk(state.image, clock: clock, records: false)).forEach { entry in
                    found.append(entry.request.text)
                    return true
                }
            } catch {
                Issue.record("seed \(seed), after \(state.operations), \(state.story): \(error)")
                return false
            }
            // Then what is there is a stretch of what was put in: from what may be settled on, to what was certain at least.
            let first = found.first.flatMap { Int($0) } ?? promised.added
            let isRight =
                found == Array(tried[min(first, tried.count)...].prefix(found.count))
                && (promised.settled...max(promised.settled, mayBeSettled)).contains(first)
                && first + found.count >= promised.added
            #expect(isRight, "seed \(seed), after \(state.operations), \(state.story): \(found), \(promised)")
            return isRight
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
        var campaign = Campaign()
        campaign.loseServer(of: run)
        #expect(campaign.failure != nil)
    }
}
