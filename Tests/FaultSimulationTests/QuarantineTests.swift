import FaultSimulation
import NatterSystem
import SystemSupport
import Testing

@Suite("quarantined bytes")
struct QuarantineTests {
    @Test("the torn end of a log is durable in quarantine before it is cut off")
    func torn() throws {
        // Given a log with something behind its last block, as a crash leaves it
        let run = try StoreRun(seed: 41, hasClient: false)
        try run.run(steps: 30)
        let alice = try run.token("alice")
        _ = try run.driver.seal("general", as: alice)
        run.driver.close()
        let path = try #require(
            run.disk.image.files().keys.filter { $0.hasSuffix(".log") }.max { left, right in
                run.disk.image.files()[left]?.count ?? 0 < run.disk.image.files()[right]?.count ?? 0
            })
        let end: [UInt8] = (0..<100).map { UInt8($0) }
        let disk = SimulatedDisk(run.disk.image, clock: run.clock)
        let file = try disk.open(path, .readWrite)
        try end.withUnsafeBytes { try file.write($0, at: file.size()) }
        try file.sync()
        try disk.syncDirectory(Path.directory(of: path))
        let mark = disk.operationCount
        // When the next start moves it away, and the power goes at any moment
        let next = try StoreDriver(disk, clock: run.clock)
        let reports = next.reports.withLock { $0 }
        next.close()
        #expect(reports.contains { $0.contains("moved 100 bytes") })
        var states = 0
        PowerLoss(disk).forEachState(seed: 41, from: mark) { state in
            states += 1
            let isThere = state.image.files().values.contains { $0.suffix(100).elementsEqual(end) }
            #expect(isThere, "after \(state.operations - mark) operations, \(state.story)")
            return isThere
        }
        // Then it is in the one place or in the other
        #expect(states > 10)
    }
}
