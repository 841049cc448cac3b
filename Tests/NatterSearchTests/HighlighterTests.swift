import NatterSearch
import Testing
import TestSupport

@Suite("search: which parts of a text are highlighted")
struct HighlighterTests {
    private func marked(_ query: String, _ text: String) throws -> String {
        let bytes = Array(text.utf8)
        var (marked, end): ([UInt8], Int) = ([], 0)
        for range in try SearchHighlighter(SearchQuery(query)).ranges(in: text) {
            #expect(range.lowerBound >= end && range.upperBound <= bytes.count)
            marked += bytes[end..<range.lowerBound] + [UInt8(ascii: "[")] + bytes[range] + [UInt8(ascii: "]")]
            end = range.upperBound
        }
        return String(decoding: marked + bytes[end...], as: UTF8.self)
    }

    @Test(
        "words, phrases, beginnings",
        arguments: [
            ("fox", "The FOX, the fox.", "The [FOX], the [fox]."), ("fox", "foxes", "foxes"),
            ("fo*", "foxes", "[foxes]"),
            ("the fox -cat", "the fox, a cat", "[the] [fox], a cat"), ("\"a b\" \"b c\"", "a b c", "[a b c]"),
            ("don't", "we don't, you DON’T", "we [don't], you [DON’T]"), ("C++", "in C++ and c", "in [C]++ and [c]"),
            ("école", "E\u{301}COLE ecole", "[E\u{301}COLE] [ecole]"), ("елка", "где ёлка?", "где [ёлка]?"),
            ("мой", "это МОИ\u{306} дом", "это [МОИ\u{306}] дом"), ("αθηνα", "Αθήνα!", "[Αθήνα]!"),
            ("本語", "日本語です", "日[本語]です"), ("です", "日本語です", "日本語[です]"), ("👍", "nice👍!", "nice[👍]!"),
            ("❤", "I ❤️ it", "I [❤]️ it"), ("日", "日日x", "[日][日]x"), ("x", "日x", "日[x]"), ("กิน", "ฉันกินข้าว", "ฉัน[กิน]ข้าว"),
            ("STRASSE", "die Straße!", "die [Straße]!"),
            ("محمد", "هو مُحَمَّدٌ!", "هو [مُحَمَّدٌ]!"), ("שלום", "(שָׁלוֹם)", "([שָׁלוֹם])"), ("file", "a ﬁle.", "a [ﬁle]."),
            ("ガ", "ｶﾞｶ", "[ｶﾞ]ｶ"), ("abc", "xＡＢＣ ＡＢＣ", "xＡＢＣ [ＡＢＣ]"), ("a OR b from:x", "a b x", "[a] [b] x"),
            ("nothing", "", ""), ("a", "a", "[a]"),
        ])
    func marks(query: String, text: String, expected: String) throws {
        // Compared by scalars: strings are equal, too, where only their accents are composed in another way.
        let marked = try marked(query, text)
        #expect(Array(marked.unicodeScalars) == Array(expected.unicodeScalars))
    }

    @Test("any bytes give ranges inside them", arguments: UInt64(1)...200)
    func anyBytes(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let parts: [[UInt8]] = [
            [0xE3], [0x81], [0xCC, 0x86], [0xCC], [0xD0, 0xB8], [0xD1, 0x91], [0xF0, 0x9F, 0x91, 0x8D], [0xF0, 0x9F],
            [0x20],
            [0x61], [0xD9, 0x8E], [0xEF, 0xBE, 0x9E], [0xE3, 0x82, 0xAB], [0xEF, 0xAC, 0x81], [0xE6, 0x97, 0xA5],
            [0xEF, 0xB8, 0x8F], [0x00], [0xCD], [0xC3, 0xA9],
        ]
        let bytes = (0..<Int.random(in: 0...30, using: &generator)).flatMap { _ in
            parts.randomElement(using: &generator) ?? []
        }
        let highlighter = try SearchHighlighter(SearchQuery("a* и* 日 👍 е* é*"))
        var end = 0
        for range in bytes.withUnsafeBytes({ highlighter.ranges(in: $0) }) {
            #expect(range.lowerBound >= end && range.upperBound <= bytes.count && !range.isEmpty)
            end = range.upperBound
        }
    }
}
