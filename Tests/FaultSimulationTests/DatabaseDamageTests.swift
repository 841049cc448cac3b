import FaultSimulation
import Glibc
import NatterArchive
import NatterClient
import NatterModel
import SystemSupport
import Testing
import TestSupport

@Suite("damage in SQLite's files")
struct DatabaseDamageTests {
    /// One bit of so many bytes of a file is tried: of each page, which has one checksum, 12 or 13. With `NATTER_EVERY_BIT`,
    /// it is 42 or 43.
    private static let stride = getenv("NATTER_EVERY_BIT") == nil ? 320 : 96

    /// A copy of a disk with one bit of a file changed.
    private func flip(_ image: DiskImage, _ path: String, _ offset: Int, bit: Int) -> DiskImage? {
        guard let number = image.number(of: path) else { return nil }
        var damaged = image
        damaged.write([image.nodes[number].bytes[offset] ^ UInt8(1 << bit)][...], to: number, at: offset)
        return damaged
    }

    private func positions(_ image: DiskImage, _ path: String, seed: UInt64) -> [(offset: Int, bit: Int)] {
        guard let number = image.number(of: path) else { return [] }
        var generator = SeededGenerator(seed: seed)
        return Swift.stride(from: 0, to: image.nodes[number].bytes.count, by: DatabaseDamageTests.stride).map { start in
            let end = min(start + DatabaseDamageTests.stride, image.nodes[number].bytes.count)
            return (Int.random(in: start..<end, using: &generator), Int.random(in: 0..<8, using: &generator))
        }
    }

    @Test("the server refuses, or serves nothing wrong", arguments: seeds(31...31), [false, true])
    func server(seed: UInt64, isClosed: Bool) throws {
        // Given a store that ended in order, or one that was killed and has all in its WAL
        let run = try StoreRun(seed: seed, hasClient: false)
        try run.run(steps: 40)
        for number in 1...12 { try run.register("more\(number)") }
        let token = try run.token("alice")
        let truth = try run.driver.export(as: token)
        let killed = run.disk.image
        run.driver.close()
        let image = isClosed ? run.disk.image : killed
        let path = StoreDriver.directory + (isClosed ? "/store.db" : "/store.db-wal")
        // When one bit of it is another
        var (refused, served, cut) = (0, 0, 0)
        let places = positions(image, path, seed: seed)
        for (offset, bit) in places {
            let damaged = try #require(flip(image, path, offset, bit: bit))
            guard
                let driver = try? StoreDriver(
                    SimulatedDisk(damaged, clock: run.clock, records: false), clock: run.clock)
            else {
                refused += 1
                continue
            }
            defer { driver.close() }
            for (name, messages) in truth {
                guard let found = try? driver.messages(name, as: token) else { continue }
                // Then each message is the one that it was. SQLite takes a damaged WAL for one that ends there, as a crash
                // would have it: then the newest are missing, and no others.
                if found == messages {
                    served += 1
                } else if !isClosed, messages.starts(with: found) {
                    cut += 1
                } else {
                    Issue.record(
                        "seed \(seed): '\(name)' is wrong with bit \(bit) of byte \(offset) of '\(path)' flipped")
                    return
                }
            }
        }
        #expect(places.count > 270)
        print(
            "\(path): seed \(seed), \(places.count) places; \(refused) refused to open, \(served) whole, \(cut) cut short"
        )
    }

    @Test("a client shows nothing wrong, and its search index heals", arguments: seeds(32...32))
    func client(seed: UInt64) throws {
        // Given a replica with its index
        let run = try StoreRun(seed: seed)
        try run.run(steps: 50)
        try run.sync()
        #expect(try run.client.index())
        run.driver.close()
        let location = run.client.location
        let truth = try ClientRun.contents(location, disk: run.client.disk)
        let expected = try find(location, run.client.disk)
        #expect(expected.count > 20)
        for path in [
            location.databasePath, location.databasePath + "-wal", location.searchPath, location.searchPath + "-wal",
        ] {
            let places = positions(run.client.disk.image, path, seed: seed)
            let isIndex = path.hasPrefix(location.searchPath)
            for (offset, bit) in places {
                let damaged = try #require(flip(run.client.disk.image, path, offset, bit: bit))
                let disk = SimulatedDisk(damaged, clock: run.clock, records: false)
                let place = "seed \(seed), bit \(bit) of byte \(offset) of '\(path)'"
                if let contents = try? ClientRun.contents(location, disk: disk) {
                    for (name, messages) in contents {
                        let whole = truth[name] ?? []
                        guard isIndex ? messages == whole : whole.starts(with: messages) else {
                            Issue.record("\(place): '\(name)' is wrong")
                            return
                        }
                    }
                }
                guard isIndex else { continue }
                // What is found is right before the index is looked after, and the index whole afterwards.
                #expect(try find(location, disk) == expected, "\(place): found before")
                #expect(try ReplicaIndexing.run(at: location, disk: disk), "\(place): the index does not heal")
                #expect(try find(location, disk) == expected, "\(place): found after")
            }
            print("\(path.split(separator: "/").last ?? ""): seed \(seed), \(places.count) places")
        }
    }

    /// The numbers of all that a search for a common word finds.
    private func find(_ location: ReplicaLocation, _ disk: SimulatedDisk) throws -> [String] {
        guard let replica = try Replica.open(at: location, disk: disk) else { return [] }
        var found: [String] = []
        try ReplicaSearch.run(ReplicaQuery("message"), in: replica) { run in
            found += run.messages().map { "\($0.conversation) \($0.seq)" }
        }
        return found.sorted()
    }
}
