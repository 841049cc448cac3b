import Glibc
import NatterModel
import NatterSearch
import NatterSystem
import TestSupport

extension TemporaryDirectory {
    var index: String { self("search.db") }
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
