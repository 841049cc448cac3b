import FaultSimulation
import NatterModel
import NatterSearch
import NatterStore
import NatterSystem
import SystemSupport
import Testing

@Suite("the server's search index on a full disk")
struct SearchTests {
    @Test("it is taken up again, and has all, with the next block that is sealed once there is room")
    func resumed() throws {
        // Given a disk that has no room for the index
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock, records: false)
        disk.set(fault: DiskFault([.write, .create], in: "search.db", code: DiskTrial.noSpace, lasts: true))
        let driver = try StoreDriver(disk, clock: clock, keepsSearchIndex: true)
        defer { driver.close() }
        let token = try driver.register("alice")
        func post(_ text: String) throws {
            _ = try driver.post([NewMessage(conversation: "general", text: text, key: nil)], by: token)
            #expect(try driver.seal("general", as: token) == nil)
        }
        try post("one")
        let told: Bool? = driver.reports.wait(timeoutMilliseconds: 60_000) { lines in
            lines.contains { $0.contains("the search index can't be written") } ? true : nil
        }
        #expect(told == true)
        // When there is room, and one more block is sealed
        disk.set(fault: nil)
        try post("two")
        // Then the index gets both
        let id = try driver.store.conversation("general", for: driver.principal(token)).id
        func head() -> Seq? {
            let index = SearchIndex.openForReading(path: StoreDriver.directory + "/search.db", disk: disk)
            return try? index?.indexedUpTo(id)
        }
        let deadline = MonotonicClock.now() + 60_000
        while head() != Seq(2), MonotonicClock.now() < deadline {
            _ = Monitor(()).wait(timeoutMilliseconds: 5) { _ in nil as Void? }
        }
        #expect(head() == Seq(2))
        #expect(!driver.store.isFailed)
    }
}
