internal import Foundation
internal import Testing
internal import TestSupport

@Suite("a large real conversation")
struct CorpusTests {
    private static let corpus = ProcessInfo.processInfo.environment["NATTER_CORPUS"] ?? ""

    @Test(
        "in and out again: import, sync, log and export give the same times, senders and texts, in order",
        .enabled(if: !corpus.isEmpty, "NATTER_CORPUS names no file"))
    func wholeCorpus() throws { try roundTrip(Self.corpus, maximumLogBytes: 30, maximumBytes: 90) }

    @Test("the sample in fixtures/ in and out again")
    func sample() throws {
        try roundTrip(
            Programs.packageRoot + "/fixtures/ubuntu-irc-sample.ndjson", maximumLogBytes: 40, maximumBytes: 1_000)
    }

    private func roundTrip(_ path: String, maximumLogBytes: Int, maximumBytes: Int) throws {
        // Given a conversation, imported
        let world = try World(isServing: false)
        let given = try #require(Files.bytes(path), "cannot read '\(path)'")
        let expected = try Fields.digests(of: given)
        try #require(!expected.isEmpty)
        let imported = try world.natterd("import", "general", path)
        try #require(imported.code == 0, "\(imported.errors)")

        // When it is served, synced and printed
        try world.serve()
        #expect(try world.alice("sync").code == 0)
        let logged = try world.alice("log", "--offline", "--json")
        #expect(logged.code == 0 && logged.errors.isEmpty)
        let whileServing = CorpusTests.bytes(below: world.data)
        world.stopServing()
        let exported = try world.natterd("export", "general")
        #expect(exported.code == 0)

        // Then every message is the same, on both ways
        let wayOfLog = try Fields.digests(of: logged.bytes)
        let wayOfExport = try Fields.digests(of: exported.bytes)
        #expect(wayOfLog.count == expected.count && wayOfExport.count == expected.count)
        #expect(zip(wayOfLog, expected).firstDifference() == nil)
        #expect(zip(wayOfExport, expected).firstDifference() == nil)
        #expect(try world.natterd("fsck").code == 0)

        // and lies on the disk in as many bytes as promised
        let logs = CorpusTests.bytes(below: "\(world.data)/logs")
        let all = max(whileServing, CorpusTests.bytes(below: world.data))
        #expect(logs <= maximumLogBytes * expected.count, "\(logs / expected.count) bytes of log a message")
        #expect(all <= maximumBytes * expected.count, "\(all / expected.count) bytes of data a message")
        print(
            "\(expected.count) messages, bytes a message: \(Double(logs) / Double(expected.count)) of logs, "
                + "\(Double(all) / Double(expected.count)) of all data")
    }
}

extension CorpusTests {
    private static func bytes(below directory: String) -> Int {
        Files.below(directory).reduce(0) { $0 + Files.size($1) }
    }
}

/// The fields of a line of NDJSON that must survive.
private struct Fields: Decodable, Hashable {
    let ts: Int
    let sender: String
    let text: String

    /// The digest of each line; texts themselves would take a gigabyte of objects.
    static func digests(of bytes: [UInt8]) throws -> [Int] {
        let decoder = JSONDecoder()
        return try bytes.split(separator: 0x0A).map { line in
            let fields = try decoder.decode(Fields.self, from: Data(line))
            var hasher = Hasher()
            hasher.combine(fields.ts)
            // As bytes: strings that are only canonically equal are not the same.
            hasher.combine(Array(fields.sender.utf8))
            hasher.combine(Array(fields.text.utf8))
            return hasher.finalize()
        }
    }
}

extension Sequence {
    /// The place of the first pair that is not one of equals.
    fileprivate func firstDifference<Value: Equatable>() -> Int? where Element == (Value, Value) {
        for (index, pair) in enumerated() where pair.0 != pair.1 { return index }
        return nil
    }
}
