import FoundationEssentials
import Glibc
import NatterModel
import NatterSearch
import NatterSystem
import Testing
import TestSupport

/// Measures with a real conversation: `NATTER_CORPUS=FILE swift test -c release --filter CorpusTests`, where FILE has one
/// message a line as `{"ts":MILLISECONDS,"sender":NAME,"text":TEXT}`, perhaps packed with xz.
@Suite(
    "search: a corpus, measured", .enabled(if: getenv("NATTER_CORPUS").map { $0.pointee != 0 } ?? false), .serialized)
struct CorpusTests {
    private struct Line: Decodable {
        let ts: Int64
        let text: String
    }

    private static let queries = [
        "ubuntu", "the", "the kernel", "xorg", "reinstall", "xyzzy", "\"apt get\"", "\"sudo apt-get install\"",
        "\"the the\"",
        "ubunt*", "reinst*", "th*", "a*", "ubuntu -the", "ubuntu -a*", "zsh",
    ]

    private static func read() throws -> [Line] {
        let path = try #require(getenv("NATTER_CORPUS").map { String(cString: $0) })
        let pipe = try #require(popen("xz -dcf '\(path)'", "r"))
        defer { pclose(pipe) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = fread(&buffer, 1, buffer.count, pipe)
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        let decoder = JSONDecoder()
        return try bytes.split(separator: UInt8(ascii: "\n")).map { try decoder.decode(Line.self, from: Data($0)) }
    }

    private func milliseconds(_ body: () throws -> Void) rethrows -> Double {
        let start = MonotonicClock.nanoseconds()
        try body()
        return Double(MonotonicClock.nanoseconds() - start) / 1e6
    }

    /// The shortest of some runs.
    private func best(_ body: () throws -> Void) rethrows -> Double {
        var least = Double.infinity
        for _ in 0..<7 { least = try min(least, milliseconds(body)) }
        return least
    }

    private func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }

    /// - Parameters:
    ///   - conversations: how many the lines are dealt out to.
    ///   - turn: how many lines of one are added before those of the next.
    @Test("size and speed", arguments: [(1, 1 << 30), (200, 64), (5_000, 1 << 30)])
    func measure(conversations: Int, turn: Int) throws {
        let lines = try CorpusTests.read()
        let directory = try TemporaryDirectory()
        let index = try SearchIndex.openForWriting(path: directory.index)
        var dealt = [[Int]](repeating: [], count: conversations)
        for place in lines.indices { dealt[place % conversations].append(place) }
        var turns: [(Int, ArraySlice<Int>)] = []
        var start = 0
        while start < dealt[0].count {
            for conversation in dealt.indices {
                let places = dealt[conversation].dropFirst(start).prefix(turn)
                var rest = places
                while !rest.isEmpty {
                    turns.append((conversation, rest.prefix(4_096)))
                    rest = rest.dropFirst(4_096)
                }
            }
            start += min(turn, dealt[0].count)
        }
        let texts = lines.map { Array($0.text.utf8) }
        var (longest, next) = (0.0, 0)
        let all = try milliseconds {
            while next < turns.count {
                longest = try max(
                    longest,
                    milliseconds {
                        try index.write { writer in
                            var count = 0
                            while count < 4_096, next < turns.count {
                                let (conversation, places) = turns[next]
                                let id = ConversationID(high: 1, low: UInt64(conversation))
                                try writer.add(id, from: try index.indexedUpTo(id).next) { rows in
                                    for place in places {
                                        try rows.append(time: time(lines[place].ts), text: texts[place])
                                    }
                                }
                                count += places.count
                                next += 1
                            }
                        }
                    })
            }
        }
        try index.checkpoint()
        let size = try #require(try PosixDisk().information(directory.index)?.size)
        let perMessage = Double(size) / Double(lines.count)
        print(
            "\(conversations) conversations, turns of \(turn): \(rounded(perMessage)) bytes a message,",
            "\(Int(Double(lines.count) / all)) messages/ms, longest transaction \(rounded(longest)) ms")
        if conversations == 1 { #expect(perMessage <= 47) }
        print("  opening \(rounded(best { _ = SearchIndex.openForReading(path: directory.index) })) ms")
        let reader = try #require(SearchIndex.openForReading(path: directory.index))
        for text in CorpusTests.queries {
            var count = 0
            let parse = try best { _ = try SearchQuery(text) }
            let query = try SearchQuery(text)
            let first = try best {
                count = 0
                try reader.search(query) { _ in
                    count += 1
                    return count == 20 ? .enough : .next
                }
            }
            let whole = try best {
                count = 0
                try reader.search(query) { _ in
                    count += 1
                    return .next
                }
            }
            print(
                "  \(text): \(count) hits; parse \(rounded(parse)) ms, 20 newest \(rounded(first)) ms, all \(rounded(whole)) ms"
            )
        }
        let id = ConversationID(high: 1, low: UInt64(conversations - 1))
        for text in ["the", "xorg", "xyzzy"] {
            let query = try SearchQuery(text)
            let first = try best {
                var count = 0
                try reader.search(query, in: id) { _ in
                    count += 1
                    return count == 20 ? .enough : .next
                }
            }
            print("  \(text) in one conversation: \(rounded(first)) ms")
        }
        if conversations == 1 {
            let batch = texts.suffix(4_096)
            let scan = try best {
                let scan = try SearchScan(SearchQuery("xorg"))
                _ = try scan.matches(count: batch.count) { place, body in
                    try batch[batch.startIndex + place].withUnsafeBytes(body)
                }
            }
            print("  scan of \(batch.count) messages: \(rounded(scan)) ms")
            print("  scan of one: \(rounded(try best { _ = try SearchScan(SearchQuery("xorg")).matches(["x"]) })) ms")
        }
        print(
            "  integrity check \(rounded(try milliseconds { try index.integrityCheck() })) ms,",
            "optimize \(rounded(try milliseconds { try index.optimize() })) ms")
    }
}
