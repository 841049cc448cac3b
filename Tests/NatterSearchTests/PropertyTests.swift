import NatterModel
import NatterSearch
import Testing
import TestSupport

/// The simplest search that could be right: words of a small alphabet, compared one by one.
private struct Model {
    /// Written forms, and what they are when folded; those after the bar are words by the character.
    static let words: [(written: String, folded: [String])] = [
        ("a", ["a"]), ("A", ["a"]), ("ab", ["ab"]), ("abc", ["abc"]), ("É", ["e"]), ("e\u{301}b", ["eb"]),
        ("ёж", ["еж"]),
        ("ЕЖ", ["еж"]), ("Ёжик", ["ежик"]), ("日本", ["日", "本"]), ("本", ["本"]), ("a-b", ["a", "b"]), ("b", ["b"]),
        ("x日y", ["x", "日", "y"]), ("👍", ["👍"]), ("a👍", ["a", "👍"]), ("C++", ["c"]), ("bc", ["bc"]), ("12", ["12"]),
        ("1", ["1"]), ("ΆΒ", ["αβ"]), ("αβγ", ["αβγ"]), ("กิ", ["ก", "ิ"]),
    ]

    struct Term {
        let tokens: [String]
        let isPrefix: Bool
        let isNegative: Bool

        func matches(_ text: [String]) -> Bool {
            guard text.count >= tokens.count else { return false }
            return (0...text.count - tokens.count).contains { start in
                zip(text[start...], tokens).enumerated().allSatisfy { place, pair in
                    isPrefix && place == tokens.count - 1
                        ? pair.0.unicodeScalars.starts(with: pair.1.unicodeScalars) : pair.0 == pair.1
                }
            }
        }
    }

    static func text(using generator: inout SeededGenerator) -> (written: String, tokens: [String]) {
        let chosen = (0..<Int.random(in: 0...8, using: &generator)).compactMap { _ in
            words.randomElement(using: &generator)
        }
        let separators = [" ", "  ", ", ", "\n", " - ", " … "]
        let written = chosen.map { $0.written + (separators.randomElement(using: &generator) ?? " ") }.joined()
        return (written, chosen.flatMap(\.folded))
    }

    static func query(using generator: inout SeededGenerator) -> (written: String, terms: [Term]) {
        var (written, terms): ([String], [Term]) = ([], [])
        for place in 0..<Int.random(in: 1...4, using: &generator) {
            let isNegative = place > 0 && Int.random(in: 0..<3, using: &generator) == 0
            let isPrefix = Int.random(in: 0..<3, using: &generator) == 0
            let count = Int.random(in: 0..<3, using: &generator) == 0 ? 2 : 1
            let chosen = (0..<count).compactMap { _ in words.randomElement(using: &generator) }
            var text = chosen.map(\.written).joined(separator: " ")
            if count > 1 { text = "\"\(text)\"" }
            written.append((isNegative ? "-" : "") + text + (isPrefix ? "*" : ""))
            terms.append(Term(tokens: chosen.flatMap(\.folded), isPrefix: isPrefix, isNegative: isNegative))
        }
        return (written.joined(separator: " "), terms)
    }

    static func matches(_ terms: [Term], _ text: [String]) -> Bool {
        terms.allSatisfy { $0.matches(text) != $0.isNegative }
    }
}

@Suite("search: index, scan and the simplest search agree")
struct PropertyTests {
    private struct Message {
        let place: Place
        let time: Timestamp
        let written: String
        let tokens: [String]
    }

    /// Messages of some conversations, added in turns of random length; times mostly rise, and sometimes fall back.
    private func fill(_ index: SearchIndex, using generator: inout SeededGenerator) throws -> [Message] {
        let conversations = (0..<Int.random(in: 1...5, using: &generator)).map { _ in ConversationID(using: &generator)
        }
        var heads: [ConversationID: UInt64] = [:]
        var messages: [Message] = []
        var clock: Int64 = 1_000
        for _ in 0..<Int.random(in: 1...30, using: &generator) {
            guard let conversation = conversations.randomElement(using: &generator) else { continue }
            let first = (heads[conversation] ?? 0) + 1
            if first > 1, Int.random(in: 0..<20, using: &generator) == 0 {
                try index.write { try $0.forget(conversation) }
                messages.removeAll { $0.place.conversation == conversation }
                heads[conversation] = nil
                continue
            }
            let turn = (0..<UInt64.random(in: 1...40, using: &generator)).map { offset in
                clock += Int64.random(in: 0...3, using: &generator)
                let fallsBack = Int.random(in: 0..<50, using: &generator) == 0
                let (written, tokens) = Model.text(using: &generator)
                return Message(
                    place: Place(conversation: conversation, seq: first + offset),
                    time: time(fallsBack ? clock / 2 : clock), written: written, tokens: tokens)
            }
            try index.write { writer in
                try writer.add(conversation, from: Seq(first)) { rows in
                    for message in turn { try rows.append(time: message.time, text: Array(message.written.utf8)) }
                }
            }
            messages += turn
            heads[conversation] = first + UInt64(turn.count) - 1
            if Int.random(in: 0..<10, using: &generator) == 0 { _ = try index.mergeStep(pages: 16) }
        }
        return messages
    }

    @Test("all find the same", arguments: UInt64(1)...40)
    func agree(seed: UInt64) throws {
        // Given messages in an index
        var generator = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let index = try SearchIndex.openForWriting(path: directory.index)
        let messages = try fill(index, using: &generator)
        try index.integrityCheck()
        for _ in 0..<25 {
            // When the same is asked of each
            let (written, terms) = Model.query(using: &generator)
            let query = try SearchQuery(written)
            let expected = messages.filter { Model.matches(terms, $0.tokens) }
            let indexed = try index.hits(written)
            let scanned = try SearchScan(query).matches(messages.map(\.written))
            // Then the answers are the same
            #expect(Set(indexed) == Set(expected.map(\.place)), "\(written)")
            #expect(indexed.count == expected.count, "\(written)")
            #expect(scanned.reversed().map { messages[$0].place } == expected.map(\.place), "\(written)")
            // And of one conversation they come by number
            if let conversation = messages.randomElement(using: &generator)?.place.conversation {
                let own = expected.map(\.place).filter { $0.conversation == conversation }
                #expect(try index.hits(written, in: conversation) == own.reversed(), "\(written)")
            }
        }
    }

    @Test("the newest come in exact order, as many as are wanted", arguments: UInt64(1)...40)
    func newest(seed: UInt64) throws {
        // Given messages in an index, whose times are elsewhere
        var generator = SeededGenerator(seed: seed)
        let directory = try TemporaryDirectory()
        let index = try SearchIndex.openForWriting(path: directory.index)
        let messages = try fill(index, using: &generator)
        let times = Dictionary(uniqueKeysWithValues: messages.map { ($0.place, $0.time) })
        for limit in [1, 2, 5, 20, 100, Int.max] {
            let (written, terms) = Model.query(using: &generator)
            let expected = messages.filter { Model.matches(terms, $0.tokens) }.sorted {
                if $0.time != $1.time { return $0.time > $1.time }
                if $0.place.conversation != $1.place.conversation {
                    return $0.place.conversation < $1.place.conversation
                }
                return $0.place.seq > $1.place.seq
            }.map(\.place).prefix(limit)
            // When the newest are asked for, and printed as soon as may be
            var printed: [SearchNewest.Found] = []
            var newest = SearchNewest(limit: limit)
            try index.search(SearchQuery(written)) { hit in
                let time = try #require(times[Place(conversation: hit.conversation, seq: hit.seq.rawValue)])
                #expect(time <= hit.noNewerThan)
                printed += newest.drain(newerThan: hit.noNewerThan)
                let found = SearchNewest.Found(conversation: hit.conversation, seq: hit.seq, time: time)
                return newest.offer(found, hit: hit)
            }
            printed += newest.finish()
            // Then they are those, in that order
            let places = printed.map { Place(conversation: $0.conversation, seq: $0.seq.rawValue) }
            #expect(places == Array(expected), "\(written), \(limit)")
        }
    }
}
