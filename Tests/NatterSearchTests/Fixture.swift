import Glibc
import NatterModel
import NatterSQLite
import TestSupport

@testable import NatterSearch

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
                for text in texts { try rows.append(time: time(Int64(rows.next.rawValue)), text: Array(text.utf8)) }
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

/// Calls that natter itself does not need.
extension SearchIndex {
    /// The highest seq that is indexed of each conversation.
    func heads() throws -> [ConversationID: Seq] { try coverage().mapValues(\.upperBound) }

    /// How many messages are indexed, and how many more rows take room although their conversation was forgotten.
    func messageCounts() throws -> (live: Int, forgotten: Int) {
        let statement = try connection.statement(
            "SELECT (SELECT coalesce(sum(count), 0) FROM range), (SELECT row - 1 FROM next)")
        guard try statement.step() else { throw Failure("the index has no counts") }
        return (statement.int(0), statement.int(1) - statement.int(0))
    }

    /// Joins some parts of the index.
    ///
    /// - Returns: whether there may be more to join.
    func mergeStep(pages: Int) throws -> Bool {
        func changes() throws -> Int {
            let statement = try connection.statement("SELECT total_changes()")
            return try statement.step() ? statement.int(0) : 0
        }
        let before = try changes()
        try connection.run("INSERT INTO posting(posting, rank) VALUES('merge', ?1)", pages)
        return try changes() - before >= 2
    }

    /// Joins all parts of the index.
    func optimize() throws { try connection.execute("INSERT INTO posting(posting) VALUES('optimize')") }

    /// Reads and checks the whole file. Only for an index that is open for writing.
    ///
    /// - Throws: `corrupt`.
    func integrityCheck() throws {
        try SearchIndexError.translate {
            let check = try connection.statement("PRAGMA integrity_check(1)")
            guard try check.step(), check.text(0) == "ok" else {
                throw SQLiteError(reason: .corrupt, message: Phrase(verbatim: check.text(0)), path: path)
            }
            try connection.execute("INSERT INTO posting(posting) VALUES('integrity-check')")
            let ranges = try connection.statement(
                """
                SELECT count(*) FROM conversation WHERE head - first + 1 IS NOT
                    (SELECT sum(count) FROM range WHERE conversation = conversation.id)
                """)
            guard try ranges.step(), ranges.int(0) == 0 else {
                throw SQLiteError(reason: .corrupt, message: "ranges with holes", path: path)
            }
        }
    }
}

extension SearchScan {
    /// The indices of the texts that match, highest first.
    func matches(_ texts: [String]) throws -> [Int] {
        try matches(count: texts.count) { place, body in
            var text = texts[place]
            try text.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
        }
    }
}
