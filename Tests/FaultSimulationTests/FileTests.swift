import FaultSimulation
import NatterModel
import NatterStore
import NatterSystem
import SystemSupport
import TestSupport
import Testing

@Suite("files of messages, and power")
struct FileTests {
    private static let content = (0..<9_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }

    private func post(_ text: String, _ uploads: [String], _ driver: StoreDriver, by token: Token) throws -> Message? {
        var message = NewMessage(conversation: "general", text: text, key: nil)
        message.uploads = uploads
        let principal = try driver.principal(token)
        guard
            case .posted(let message)? = try waitFor({
                driver.store.post([message], by: principal, stopAtRefusal: false, $0)
            }).first
        else { return nil }
        return message
    }

    private func files(_ driver: StoreDriver, by token: Token) throws -> [FileRecord] {
        var query = PageQuery(conversation: "general", limit: 100)
        (query.after, query.isFolded) = (.zero, true)
        return try driver.store.messages(query, for: driver.principal(token)).messages.flatMap { message in
            #expect(message.files.count == 1, "a text without its file")
            return message.files
        }
    }

    @Test("what was answered is there, and what was not leaves nothing for longer than a day")
    func powerLoss() throws {
        // Given a store
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock)
        let driver = try StoreDriver(disk, clock: clock)
        let alice = try driver.register("alice")
        let start = disk.operationCount
        // When a file goes up, a message names it, and the power is lost at any moment
        let upload = try driver.store.beginUpload(of: "a.bin", to: "general", length: nil, for: driver.principal(alice))
        for start in stride(from: 0, to: 9_000, by: 4_000) {
            try upload.append(Array(Self.content[start...].prefix(4_000)))
        }
        let uploaded = try upload.finish()
        let answered = disk.operationCount
        let message = try post("text", [uploaded.upload], driver, by: alice)
        #expect(message != nil)
        let posted = disk.operationCount
        driver.close()
        var states = 0
        try PowerLoss(disk).forEachState(seed: 3, from: start, share: 3) { state in
            states += 1
            let story = "after \(state.operations - start) operations, \(state.story)"
            let next = SimulatedDisk(state.image, clock: clock, records: false)
            let driver = try StoreDriver(next, clock: clock)
            defer { driver.close() }
            var named = try files(driver, by: alice)
            if state.operations >= posted { #expect(named.count == 1, "\(story)") }
            if state.operations >= answered, named.isEmpty {
                #expect(try post("again", [uploaded.upload], driver, by: alice) != nil, "\(story)")
                named = try files(driver, by: alice)
            }
            for file in named {
                let blob = try driver.store.file(file.id, for: driver.principal(alice))
                #expect(try blob.read(count: 9_000, at: 0) == Self.content, "\(story)")
            }
            clock.advance(milliseconds: 90_000_000)
            driver.store.dropUnusedFiles()
            _ = try waitFor { driver.store.settle($0) }
            let left = next.image.files().keys.filter { $0.hasPrefix("/data/files/") }
            #expect(left.map { Path.name(of: $0) } == named.map { "\($0.id)" }, "\(story)")
            return left.count == named.count
        }
        #expect(states > 30)
        print("power loss, files: \(states) states")
    }

    @Test("an import brings texts and files together or not at all")
    func imported() throws {
        // Given a store, and a file of an export
        let clock = TestClock(stepMilliseconds: 1)
        let disk = SimulatedDisk(clock: clock)
        let driver = try StoreDriver(disk, clock: clock)
        let alice = try driver.register("alice")
        let key = [UInt8](repeating: 7, count: FileRecord.keyBytes)
        let digest = StreamingDigest()
        digest.add(key + Self.content)
        let id = try #require(FileID(bytes: digest.finish()))
        try disk.makeDirectories("/export")
        try disk.open("/export/\(id)", .create).write(Self.content, at: 0)
        let file = try #require(
            ExportedFile(in: "/export", id: id, key: key, size: UInt64(Self.content.count), name: "a.bin"))
        let start = disk.operationCount
        // When it is imported, and the power is lost at any moment
        let importer = try StoreImporter(into: "general", of: driver.store)
        for number in 0..<3 {
            let time = Timestamp(milliseconds: 1_600_000_000_000)
            let place = try importer.append(time: time, sender: [120], text: Array("text \(number)".utf8))
            guard case .new(let text) = place else { throw Failure("\(place)") }
            #expect(try importer.append(file, to: text, time: time, sender: [120]) != nil)
        }
        #expect(try importer.finish().count == 6)
        let answered = disk.operationCount
        driver.close()
        var states = 0
        try PowerLoss(disk).forEachState(seed: 5, from: start, share: 3) { state in
            states += 1
            let story = "after \(state.operations - start) operations, \(state.story)"
            let next = SimulatedDisk(state.image, clock: clock, records: false)
            let driver = try StoreDriver(next, clock: clock)
            defer { driver.close() }
            let named = try files(driver, by: alice)
            #expect(named.count == 3 || named.isEmpty && state.operations < answered, "\(story)")
            for file in named {
                let blob = try driver.store.file(file.id, for: driver.principal(alice))
                #expect(try blob.read(count: 9_000, at: 0) == Self.content, "\(story)")
            }
            let left = next.image.files().keys.filter { $0.hasPrefix("/data/files/") || $0.hasPrefix("/data/import/") }
            #expect(left.count == named.count, "\(story): \(left)")
            return left.count == named.count
        }
        #expect(states > 30)
        print("power loss, imported files: \(states) states")
    }
}
