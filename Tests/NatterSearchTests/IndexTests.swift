import NatterModel
import NatterSearch
import NatterSQLite
import Testing
import TestSupport

@Suite("search: the index")
struct IndexTests {
    private let directory: TemporaryDirectory
    private let index: SearchIndex

    init() throws {
        directory = try TemporaryDirectory()
        index = try SearchIndex.openForWriting(path: directory.index)
    }

    @Test("added messages are covered, for other connections and after reopening")
    func coverage() throws {
        try index.add(["one", "two"], to: general)
        try index.add(["three"], to: general, from: 3)
        try index.add(["one"], to: random, from: 41)
        #expect(try index.coverage() == [general: Seq(1)...Seq(3), random: Seq(41)...Seq(41)])
        let reader = try #require(SearchIndex.openForReading(path: directory.index))
        #expect(try reader.heads() == [general: Seq(3), random: Seq(41)])
        #expect(try reader.indexedUpTo(general) == Seq(3))
        #expect(try reader.indexedUpTo(ConversationID(high: 9, low: 9)) == .zero)
        #expect(try reader.hits("one") == [Place(conversation: random, seq: 41), Place(conversation: general, seq: 1)])
        #expect(try reader.seqs("one", in: general) == [1])
        #expect(try reader.seqs("one", in: ConversationID(high: 9, low: 9)) == [])
        try index.integrityCheck()
    }

    @Test("a few conversations and many are looked up alike", arguments: [0, 1, 300])
    func entries(others: UInt64) throws {
        try index.add(["one", "two"], to: general)
        try index.add(["three"], to: random)
        let absent = (0..<others).map { ConversationID(high: 77, low: $0) }
        func heads(of conversations: [ConversationID]) throws -> [ConversationID: Seq] {
            let entries = try index.entries(of: conversations)
            #expect(entries.count == conversations.count)
            return Dictionary(
                uniqueKeysWithValues: zip(conversations, entries).compactMap { id, entry in entry.map { (id, $0.head) }
                })
        }
        #expect(try heads(of: absent + [general]) == [general: Seq(2)])
        #expect(try heads(of: absent + [random, general]) == [general: Seq(2), random: Seq(1)])
        // Not those that were read before
        let other = try #require(SearchIndex.openForReading(path: directory.index))
        #expect(try other.entries(of: absent + [random]).last??.head == Seq(1))
        try index.add(["four"], to: random, from: 2)
        #expect(try heads(of: absent + [random, general]) == [general: Seq(2), random: Seq(2)])
        #expect(try other.entries(of: absent + [random]).last??.head == Seq(2))
    }

    @Test("a hole or an overlap is refused, and nothing changed", arguments: [UInt64(1), 2, 4, 100, .max, 0])
    func contiguous(first: UInt64) throws {
        try index.add(["one", "two"], to: general)
        #expect(throws: SearchIndexError.notContiguous(conversation: general, expected: Seq(3), given: Seq(first))) {
            try index.add(["three"], to: general, from: first)
        }
        #expect(try index.heads() == [general: Seq(2)])
        #expect(try index.seqs("three") == [])
        try index.add(["three"], to: general, from: 3)
        #expect(try index.seqs("three") == [3])
    }

    @Test("numbers start at 1", arguments: [UInt64(0), .max, UInt64(Int64.max)])
    func firstNumber(first: UInt64) throws {
        #expect(throws: SearchIndexError.self) { try index.add(["one"], to: general, from: first) }
        #expect(try index.coverage().isEmpty)
    }

    private struct Interruption: Error {}

    @Test("an addition that fails takes its whole transaction with it, even if the error is kept quiet")
    func failedAddition() throws {
        try index.add(["one"], to: general)
        #expect(throws: Interruption.self) {
            try index.write { writer in
                try writer.add(random, from: Seq(1)) { try $0.append(time: .zero, text: Array("one".utf8)) }
                try? writer.add(general, from: Seq(2)) { rows in
                    try rows.append(time: .zero, text: Array("one".utf8))
                    throw Interruption()
                }
            }
        }
        #expect(try index.hits("one") == [Place(conversation: general, seq: 1)])
        try index.add(["two"], to: general, from: 2)
        #expect(try index.seqs("two") == [2])
        try index.integrityCheck()
    }

    @Test("errors of other databases pass through as they are")
    func foreignErrors() throws {
        try index.add(["one"], to: general)
        let other = SQLiteError(reason: .corrupt, message: "damaged", path: "other.db")
        #expect(throws: other) { try index.search(SearchQuery("one")) { _ in throw other } }
        #expect(throws: other) { try index.snapshot { throw other } }
        #expect(throws: other) { try index.write { _ in throw other } }
        #expect(throws: other) {
            try index.write { writer in try writer.add(general, from: Seq(2)) { _ in throw other } }
        }
        #expect(throws: other) {
            try index.write { writer in try? writer.add(general, from: Seq(2)) { _ in throw other } }
        }
        #expect(try index.seqs("one") == [1])
    }

    @Test("adding nothing changes nothing")
    func nothing() throws {
        try index.add([], to: general, from: 7)
        #expect(try index.coverage().isEmpty)
        try index.add(["one"], to: general)
        try index.add([], to: general, from: 2)
        try index.write { _ in }
        #expect(try index.heads() == [general: Seq(1)])
        try index.integrityCheck()
    }

    @Test("messages without words are counted")
    func wordless() throws {
        try index.add(["", "!", "one", ""], to: general)
        #expect(try index.heads() == [general: Seq(4)])
        #expect(try index.seqs("one") == [3])
    }

    @Test("a conversation that is forgotten is not found, and can be added from any number")
    func forget() throws {
        try index.add(["one", "two"], to: general)
        try index.add(["one", "two"], to: random)
        try index.write { writer in
            try writer.forget(random)
            try writer.forget(ConversationID(high: 9, low: 9))
        }
        #expect(try index.hits("one") == [Place(conversation: general, seq: 1)])
        #expect(try index.seqs("one", in: random) == [])
        #expect(try index.heads() == [general: Seq(2)])
        #expect(try index.messageCounts() == (live: 2, forgotten: 2))
        try index.add(["three", "one"], to: random, from: 5)
        #expect(try index.seqs("one", in: random) == [6])
        #expect(try index.seqs("two", in: random) == [])
        try index.integrityCheck()
    }

    @Test("hits of one conversation come in descending order over many ranges")
    func oneConversation() throws {
        // Given two conversations that were indexed in turns, so that their ranges lie between each other
        for turn in UInt64(0)..<100 {
            for conversation in [general, random] {
                let texts = (0..<7).map { "common word\(($0 + Int(turn)) % 7) \(turn % 40 == 3 ? "rare" : "")" }
                try index.add(texts, to: conversation, from: turn * 7 + 1)
            }
        }
        // Then all are found in order, be they many or few
        #expect(try index.seqs("common", in: general) == (1...700).reversed())
        #expect(try index.seqs("comm*", in: general) == (1...700).reversed())
        let rareTurns: [UInt64] = [83, 43, 3]
        let rare = rareTurns.flatMap { turn in (turn * 7 + 1...turn * 7 + 7).reversed() }
        #expect(try index.seqs("rare", in: random) == rare)
        #expect(try index.seqs("word3", in: random).count == 100)
        #expect(try index.hits("common").count == 1_400)
        #expect(try Set(index.hits("common")).count == 1_400)
        try index.integrityCheck()
    }

    @Test("a full range ends, and the next continues it")
    func ranges() throws {
        let texts = (1...10_000).map { "common \($0 % 2_500 == 0 ? "rare" : "x")" }
        try index.add(Array(texts[..<100]), to: general)
        try index.add(Array(texts[100...]), to: general, from: 101)
        #expect(try index.seqs("rare") == [10_000, 7_500, 5_000, 2_500])
        #expect(try index.seqs("common") == (1...10_000).reversed())
        var bounds: Set<Timestamp> = []
        try index.search(SearchQuery("common")) { hit in
            bounds.insert(hit.noNewerThan)
            #expect(hit.timesFall)
            return .next
        }
        #expect(bounds == [time(10_000), time(8_192), time(4_096)])
    }

    @Test("the reader of a search decides how it continues")
    func steps() throws {
        try index.add((1...5_000).map { _ in "common" }, to: general)
        try index.add((1...10).map { _ in "common" }, to: random)
        var seen: [Place] = []
        try index.search(SearchQuery("common")) { hit in
            seen.append(Place(conversation: hit.conversation, seq: hit.seq.rawValue))
            return hit.conversation == general ? .nextRange : hit.seq == Seq(9) ? .enough : .next
        }
        let expected =
            [5_000, 4_096].map { Place(conversation: general, seq: $0) }
            + [10, 9].map { Place(conversation: random, seq: $0) }
        #expect(seen == expected)
    }

    @Test("since and until leave out messages outside")
    func times() throws {
        try index.add((1...20_000).map { _ in "common" }, to: general)
        var hits: Set<UInt64> = []
        try index.search(SearchQuery("common"), since: time(9_000), until: time(9_500)) { hit in
            hits.insert(hit.seq.rawValue)
            return .next
        }
        #expect(hits.isSuperset(of: 9_000...9_500))
        #expect(hits.count <= 4_096)
        for (since, until): (Int64, Int64) in [(20_001, .max), (.min, 0), (5, 4)] {
            try index.search(SearchQuery("common"), in: general, since: time(since), until: time(until)) { hit in
                Issue.record("\(hit)")
                return .enough
            }
        }
    }

    @Test("a snapshot shows a reader one state, whatever is written")
    func snapshot() throws {
        try index.add(["one"], to: general)
        let reader = try #require(SearchIndex.openForReading(path: directory.index))
        try reader.snapshot {
            #expect(try reader.heads() == [general: Seq(1)])
            try index.add(["one"], to: general, from: 2)
            #expect(try reader.seqs("one") == [1])
        }
        #expect(try reader.seqs("one") == [2, 1])
    }

    @Test("a search may ask the index while it runs")
    func nested() throws {
        try index.add((1...200).map { _ in "common" }, to: general)
        var count = 0
        try index.search(SearchQuery("common")) { _ in
            count += try index.seqs("common").count
            return count < 1_000 ? .next : .enough
        }
        #expect(count == 1_000)
    }

    @Test("a reader cannot write")
    func readerWrites() throws {
        let reader = try #require(SearchIndex.openForReading(path: directory.index))
        #expect(throws: SearchIndexError.self) { try reader.add(["one"], to: general) }
        #expect(try index.coverage().isEmpty)
    }

    @Test("merging changes no answer")
    func merging() throws {
        for turn in UInt64(0)..<60 {
            try index.add(
                (0..<50).map { "common word\($0) number\(turn * 50 + UInt64($0))" }, to: general, from: turn * 50 + 1)
        }
        let before = try ["common", "word7", "number2*", "\"word7 number107\""].map { try index.hits($0) }
        var steps = 0
        while try index.mergeStep(pages: 4), steps < 1_000 { steps += 1 }
        #expect(steps < 1_000)
        #expect(try ["common", "word7", "number2*", "\"word7 number107\""].map { try index.hits($0) } == before)
        try index.optimize()
        try index.checkpoint()
        #expect(try ["common", "word7", "number2*", "\"word7 number107\""].map { try index.hits($0) } == before)
        try index.integrityCheck()
    }

    @Test("a hit in another conversation does not change how one's own are searched")
    func foreignHits() throws {
        let directory = try TemporaryDirectory()
        let index = try SearchIndex.openForWriting(path: directory.index)
        try index.add((0..<63).map { "a merger \($0)" } + (0..<6_000).map { "filler \($0)" }, to: general)
        func search(_ query: String) throws -> (seqs: [UInt64], groups: Int) {
            var (seqs, groups): ([UInt64], Int) = ([], 0)
            let own = try index.entries(of: [general]).compactMap(\.self)
            let budget = WorkBudget(steps: 1_000_000, pages: 100_000)
            try index.search(SearchQuery(query), among: own, budget: budget, reached: { _ in groups += 1 }) { hit in
                seqs.append(hit.seq.rawValue)
                return .next
            }
            return (seqs, groups)
        }
        let queries = ["merger", "merger -filler", "merger -7", "filler -merger"]
        let before = try queries.map(search)
        #expect(before[0].seqs.count == 63 && before[1].seqs.count == 63 && before[2].seqs.count == 62)
        // Few hits are collected at once, and many group by group.
        #expect(before.map { $0.groups > 0 } == [false, false, false, true])
        try index.add(["their merger", "their filler"], to: random)
        for (query, former) in zip(queries, before) {
            let found = try search(query)
            #expect(found.seqs == former.seqs && found.groups == former.groups, "\(query)")
        }
    }
}
