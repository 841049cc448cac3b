import Glibc
import NatterSearch
import NatterModel
import NatterSystem

/// A directory of its own for each test, gone with the value.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/natter-search-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw DiskError(operation: "make", path: "/tmp/natter-search-XXXXXX") }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        let disk = PosixDisk()
        for name in (try? disk.list(path)) ?? [] { try? disk.remove(path + "/" + name) }
        rmdir(path)
    }

    var index: String { path + "/search.db" }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

struct Place: Hashable {
    let conversation: ConversationID
    let seq: UInt64
}

let general = ConversationID(high: 1, low: 1)
let random = ConversationID(high: 2, low: 2)

func time(_ milliseconds: Int64) -> Timestamp { Timestamp(milliseconds: milliseconds) }

extension SearchIndex {
    /// Adds texts whose times are their numbers.
    func add(_ texts: [String], to conversation: ConversationID, from first: UInt64 = 1) throws {
        try write { writer in
            try writer.add(conversation, from: Seq(first)) { rows in
                for text in texts { try rows.append(time: time(Int64(rows.next.rawValue)), text: text) }
            }
        }
    }

    /// All hits in the order in which they come.
    func hits(_ query: String, in conversation: ConversationID? = nil) throws -> [Place] {
        var places: [Place] = []
        try search(SearchQuery(query), in: conversation) { hit in
            places.append(Place(conversation: hit.conversation, seq: hit.seq.rawValue))
            return .next
        }
        return places
    }

    func seqs(_ query: String, in conversation: ConversationID? = nil) throws -> [UInt64] {
        try hits(query, in: conversation).map(\.seq)
    }
}
