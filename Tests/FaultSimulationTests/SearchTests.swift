import FaultSimulation
import NatterSystem
import NatterModel
import NatterSearch
import NatterStore
import SystemSupport
import Testing
import TestSupport

@Suite("the server's search index on a full disk")
struct SearchTests {
    /// A store with one sealed message, "one", whose index has said that these calls fail.
    private static func withoutIndex(
        _ calls: Set<DiskFault.Call>, _ code: Int32
    ) throws -> (driver: StoreDriver, disk: SimulatedDisk, token: Token) {
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock, records: false)
        disk.set(fault: DiskFault(calls, in: "search.db", code: code, lasts: true))
        let driver = try StoreDriver(disk, clock: clock, keepsSearchIndex: true)
        let token = try driver.register("alice")
        _ = try driver.post([NewMessage(conversation: "general", text: "one", key: nil)], by: token)
        #expect(try driver.seal("general", as: token) == nil)
        let told: Bool? = driver.reports.wait(timeoutMilliseconds: 60_000) { lines in
            lines.contains { $0.contains("the search index can't be written") } ? true : nil
        }
        #expect(told == true)
        return (driver, disk, token)
    }

    @Test("it is taken up again, and has all, with the next block that is sealed once there is room")
    func resumed() throws {
        // Given a disk that has no room for the index
        let (driver, disk, token) = try Self.withoutIndex([.write, .create], DiskTrial.noSpace)
        defer { driver.close() }
        // When there is room, and one more block is sealed
        disk.set(fault: nil)
        _ = try driver.post([NewMessage(conversation: "general", text: "two", key: nil)], by: token)
        #expect(try driver.seal("general", as: token) == nil)
        // Then the index gets both
        let id = try driver.store.conversation("general", for: driver.principal(token)).id
        func head() -> Seq? {
            let index = SearchIndex.openForReading(path: StoreDriver.directory + "/search.db", disk: disk)
            return try? index?.indexedUpTo(id)
        }
        try eventually("the index has both") { head() == Seq(2) }
        #expect(!driver.store.isFailed)
        #expect(driver.store.troubles() == [])
    }

    @Test("a disk that can't write the index switches it off, and neither messages nor searches")
    func unwritable() throws {
        let (driver, _, token) = try Self.withoutIndex([.write, .sync], DiskTrial.inputOutput)
        defer { driver.close() }
        #expect(!driver.store.isFailed)
        #expect(driver.store.troubles().map(\.name) == ["search_index"])
        _ = try driver.post([NewMessage(conversation: "general", text: "one more", key: nil)], by: token)
        let found = try driver.store.search(SearchRequest(query: "one", limit: 10), for: driver.principal(token))
        #expect(found.messages.map(\.text) == ["one more", "one"])
    }

    @Test("an index of another history finds no wrong message, and is made again")
    func foreign() throws {
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock, records: false)
        let search = StoreDriver.directory + "/search.db"
        // Given a store, and the index of what it would have been
        var driver = try StoreDriver(disk, clock: clock, keepsSearchIndex: true)
        let token = try driver.register("alice")
        func post(_ text: String) throws {
            _ = try driver.post([NewMessage(conversation: "general", text: text, key: nil)], by: token)
            #expect(try driver.seal("general", as: token) == nil)
        }
        func find(_ word: String) throws -> [String] {
            try driver.store.search(SearchRequest(query: word, limit: 10), for: driver.principal(token)).messages.map(
                \.text)
        }
        func untilIndexed(_ seq: Seq) throws {
            let id = try driver.store.conversation("general", for: driver.principal(token)).id
            try eventually("everything is indexed") {
                (try? SearchIndex.openForReading(path: search, disk: disk)?.indexedUpTo(id)) == seq
            }
        }
        try post("apple")
        try untilIndexed(Seq(1))
        driver.close()
        let index = try SearchIndex.openForWriting(path: search, disk: disk)
        let general = try #require(try index.coverage().keys.first)
        try index.write { writer in
            try writer.forget(general)
            try writer.add(general, from: Seq(1)) { try $0.append(time: clock.now(), text: Array("banana".utf8)) }
            try writer.note(SearchIndex.Mark(seq: Seq(1), hashPrefix: 7), of: general)
            try writer.note(Epoch(rawValue: 9))
        }
        // When the store is opened with it
        driver = try StoreDriver(disk, clock: clock, keepsSearchIndex: true)
        defer { driver.close() }
        // Then what is there is found, and nothing else; and the index is right after a while
        #expect(try find("banana") == [])
        #expect(try find("apple") == ["apple"])
        try post("cherry")
        try untilIndexed(Seq(2))
        #expect(driver.reports.withLock { $0.contains { $0.contains("of another history") } })
        #expect(try find("apple") == ["apple"] && find("cherry") == ["cherry"] && find("banana") == [])
    }
}
