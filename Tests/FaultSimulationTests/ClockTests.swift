import FaultSimulation
import NatterModel
import NatterStore
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@Suite("clocks that are set")
struct ClockTests {
    private static let day: Int64 = 86_400_000

    @Test("order, times and ids hold while the clock jumps", arguments: seeds(41...43))
    func order(seed: UInt64) throws {
        // Given a clock that goes back a year, ahead ten years, and jumps by up to an hour at any step
        var generator = SeededGenerator(seed: seed)
        let run = try StoreRun(seed: seed)
        var jumps: [Int64] = [-365 * ClockTests.day, 3_652 * ClockTests.day, -3_652 * ClockTests.day]
        jumps += (0..<40).map { _ in Int64.random(in: -3_600_000...3_600_000, using: &generator) }
        for jump in jumps.shuffled(using: &generator) {
            run.clock.advance(milliseconds: jump)
            try run.run(steps: 1)
        }
        // Then times never fall in a conversation, those of others apart
        for (name, all) in try run.driver.export(as: run.token("alice")) {
            let messages = all.filter { !$0.isImported }
            #expect(zip(messages, messages.dropFirst()).allSatisfy { $0.time <= $1.time }, "seed \(seed): \(name)")
        }
        // and everything else is as ever: numbers, ids, the client, and the next start in yet another year.
        // A few states are enough: what a loss of power leaves does not depend on the clock.
        var campaign = Campaign(share: 10)
        try campaign.loseClient(of: run, randomStates: 0)
        run.driver.close()
        run.clock.advance(milliseconds: -700 * ClockTests.day)
        #expect(campaign.failure == nil)
        try StoreJudge(run.promises.withLock { $0 }, seed: seed).judge(
            SimulatedDisk(run.disk.image, clock: run.clock, records: false), clock: run.clock)
    }

    @Test("a token that has expired stays so", arguments: [false, true], [false, true])
    func expiry(isUsed: Bool, isKilled: Bool) throws {
        // Given a token for an hour, and one for ever
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock, records: false)
        let driver = try StoreDriver(disk, clock: clock)
        let forEver = try driver.register("alice")
        let account = try driver.principal(forEver).account
        let expires = clock.now().advanced(milliseconds: 3_600_000)
        let short = try answer { driver.store.addSession(of: account, expires: expires, $0) }.get()
        #expect(driver.store.principal(of: short, address: "") != nil)
        // When the hour is over, and the token is tried, or not for a minute
        clock.advance(milliseconds: 3_700_000)
        if isUsed {
            #expect(driver.store.principal(of: short, address: "") == nil)
        } else {
            driver.store.forgetExpiredTokens()
        }
        // Then it is over for good, though the clock goes back a year,
        clock.advance(milliseconds: -365 * ClockTests.day)
        #expect(driver.store.principal(of: short, address: "") == nil)
        // also after the next start
        _ = try driver.post([NewMessage(conversation: "general", text: "a", key: nil)], by: forEver)
        let image = disk.image
        driver.close()
        let left = isKilled ? image : disk.image
        let next = try StoreDriver(SimulatedDisk(left, clock: clock, records: false), clock: clock)
        defer { next.close() }
        #expect(next.store.principal(of: short, address: "") == nil)
        #expect(next.store.principal(of: forEver, address: "") != nil)
    }

    @Test("a clock that was years ahead for a moment makes no id forgotten")
    func keys() throws {
        let clock = TestClock(stepMilliseconds: 1)
        let driver = try StoreDriver(SimulatedDisk(clock: clock, records: false), clock: clock)
        defer { driver.close() }
        let token = try driver.register("alice")
        let sent = Sending(sender: "alice", conversation: "general", text: "once", key: "once")
        _ = try driver.post([sent.message], by: token)
        #expect(try driver.seal("general", as: token) == nil)
        for (number, jump) in [3_652, -3_652].enumerated() {
            clock.advance(milliseconds: Int64(jump) * ClockTests.day)
            let other = Sending(sender: "alice", conversation: "general", text: "\(number)", key: "\(number)")
            _ = try driver.post([other.message], by: token)
            #expect(try driver.seal("general", as: token) == nil)
            #expect(try driver.post([sent.message], by: token).first?.isRepeated == true)
        }
    }
}
