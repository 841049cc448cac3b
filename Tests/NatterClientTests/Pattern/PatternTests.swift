import TestSupport
import Testing

@testable import NatterClient

@Suite("Patterns")
struct PatternTests {
    private func matches(_ pattern: Pattern, _ text: String) throws -> Bool {
        var text = text
        return try text.withUTF8 { try pattern.matches(UnsafeRawBufferPointer($0)) }
    }

    @Test(
        "a regular expression is found without regard to case, line by line",
        arguments: [
            ("disk.*full", "the DISK is full", true), ("disk.*full", "disk\nfull", false), ("^b$", "a\nB\nc", true),
            ("(?-m)^b$", "a\nB\nc", false), ("(?-i)disk", "DISK", false), ("ёлка", "ЁЛКА", true),
            ("straße", "STRASSE", false), ("\\bк\\w+", "и Кот", true), ("^.{2}$", "éл", true), ("σ", "ς", true),
            ("(a)(b)\\2", "abb", true), ("", "x", true), ("\\d{3}(?!\\d)", "x12y", false),
        ])
    func regex(regex: String, text: String, isFound: Bool) throws {
        #expect(try matches(Pattern(regex: regex), text) == isFound)
    }

    @Test(
        "a string is found as it stands, but for case, accents of Latin letters and ё",
        arguments: [
            ("k f", "disk full", true), ("a.c", "abc", false), ("a.c", "xA.Cx", true), ("\\E(*[", "\\e(*[", true),
            ("cafe", "CAFÉ", true), ("Café", "cafe", true), ("cafe\u{301}", "cafés", true),
            ("cafes", "cafe\u{301}s", true),
            ("мёд", "МЕД", true), ("мед", "Мёд", true), ("и", "й", false), ("a\nb", "xa\nb", true),
            ("1\\1", "1\\1", true),
            ("#x y", "#x y", true), ("#xy", "#x y", false), ("日本", "あ日本", true),
            ("İstanbul", "istanbul", true), ("istanbul", "İSTANBUL", true),
        ])
    func substring(needle: String, text: String, isFound: Bool) throws {
        #expect(try matches(Pattern(substring: needle), text) == isFound)
    }

    @Test("an invalid one is refused with the reason and the position in characters")
    func invalid() {
        #expect(
            throws: PatternError.invalid(pattern: "ёё(", offset: 3, reason: "missing closing parenthesis")
        ) { try Pattern(regex: "ёё(") }
        #expect(throws: PatternError.self) { try Pattern(regex: "a\\Cb") }
        #expect(throws: PatternError.self) { try Pattern(regex: String(repeating: "(", count: 60_000)) }
        #expect(throws: PatternError.tooLong(beginning: String(repeating: "a", count: 32))) {
            try Pattern(regex: String(repeating: "a", count: 1 << 20))
        }
    }

    @Test(
        "a pattern that runs away ends soon, with an error that names it",
        arguments: [
            "(a+)+$", "(*NO_JIT)(a+)+$", "(*LIMIT_MATCH=4000000000)(a+)+$", "(a|aa)+$", "(?:a?){40}a{40}(?=x)",
        ])
    func runaway(regex: String) throws {
        let pattern = try Pattern(regex: regex)
        let text = String(repeating: "a", count: 5_000) + "!"
        let start = ContinuousClock.now
        #expect(throws: PatternError.runaway(pattern: regex)) { try matches(pattern, text) }
        #expect(ContinuousClock.now - start < .seconds(30))
        #expect(pattern.ranges(in: text) == [])
    }

    @Test("the longest text can be read", arguments: ["(.|\\n)*z", "(*NO_JIT)(?:.|\\n)*z", "^(\\w+ )*z"])
    func longest(regex: String) throws {
        let text = String(repeating: "word ", count: 13_107) + "z"
        #expect(try matches(Pattern(regex: regex), text))
    }

    @Test("invalid UTF-8 is an error, not a match")
    func notUTF8() throws {
        let pattern = try Pattern(regex: ".")
        for bytes: [UInt8] in [[0xFF], [0x61, 0xC3], [0xED, 0xA0, 0x80]] {
            #expect(throws: PatternError.self) { try bytes.withUnsafeBytes { try pattern.matches($0) } }
        }
        #expect(try [UInt8]().withUnsafeBytes { try Pattern(regex: "^$").matches($0) })
    }

    @Test(
        "the text that each match must contain is known where it is certain",
        arguments: [
            ("xorg", "xorg"), ("fgl[a-z]+x.*driver", "driver"), ("^(?:hi|hello) ubuntu$", " ubuntu"),
            ("a{2}abcd?ef", "abc"), ("deskto+p", nil), ("(abc)?defg", "defg"), ("foo\\bbarr", "barr"),
            ("a]bc", "a]bc"),
            ("abc|def", nil), ("(?i)abcd", nil), ("(?x)a b c d", nil), ("(*UTF)abcd", nil), ("\\Qabcd\\E", nil),
            ("[]abc]wxyz", nil), ("[[:alpha:]]wxyz", nil), ("ab", nil), ("abcd{0}", "abc"), ("abcd{0", nil),
            ("ёлка", nil),
            ("kernel", "ernel"), ("ss", nil), ("\\x{61}bcd", nil), ("", nil),
        ] as [(String, String?)])
    func required(regex: String, text: String?) throws {
        let pattern = try Pattern(regex: regex)
        func isPossible(_ text: String) -> Bool {
            var (text, isPossible) = (text, false)
            let isKnown = text.withUTF8 { bytes in
                pattern.possiblePlaces(in: UnsafeRawBufferPointer(bytes)) { _ in
                    isPossible = true
                    return nil
                }
            }
            #expect(isKnown)
            return isPossible
        }
        #expect(RequiredText.find(in: regex) == text)
        guard let text else { return }
        #expect(isPossible("ё" + text.uppercased() + "!"))
        #expect(!isPossible("ё" + text.dropLast() + "!"))
    }

    /// The texts in which a pattern finds a possible place when they are joined; nil if it excludes nothing.
    private func possible(_ pattern: Pattern, _ texts: [String]) -> Set<Int>? {
        let ends = texts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.utf8.count) }
        var found: Set<Int> = []
        var joined = texts.joined()
        let isKnown = joined.withUTF8 { bytes in
            pattern.possiblePlaces(in: UnsafeRawBufferPointer(bytes)) { offset in
                guard let index = ends.firstIndex(where: { $0 > offset }) else { return nil }
                found.insert(index - 1)
                return ends[index]
            }
        }
        return isKnown ? found : nil
    }

    @Test(
        "joined texts are searched at once where what stands between them can't take a match away",
        arguments: [
            ("[0-9]{2}-[0-9]", true), ("a|bc", true), ("(a|x)b", true), ("(?:ё|я)+\\d", true), ("a.*b", true),
            ("a\\.b", true),
            ("^a", false), ("a$", false), ("\\ba", false), ("a(?!b)", false), ("(?<=b)a", false), ("(a)\\1", false),
            ("(?:abc|a)++b", false), ("(?>a)b", false), ("a*", false), ("", false), ("\\Aab", false), ("(?i:a)", false),
            ("[[:digit:]]", false), ("(*UCP)a", false), ("\\Q^\\E", false), ("a\\Kb", false),
        ])
    func joined(regex: String, isKnown: Bool) throws {
        let found = possible(try Pattern(regex: regex), ["x", "ab", "c", "", "12-", "3"])
        #expect((found != nil) == isKnown)
    }

    @Test("among joined texts, none that has a match is left out", arguments: 0..<200)
    func joinedProperty(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let atoms = ["a", "b", "[ab]", "[^a]", ".", "ё", "\\w", "\\s", "(?:ab|a)", "(b|ab)", "(?:a|)", "-"]
        let quantifiers = ["", "", "", "*", "+", "?", "{2}", "{1,2}", "*?", "+?", "++"]
        let regex = (0..<Int.random(in: 1...5, using: &random)).map { _ in
            (atoms.randomElement(using: &random) ?? "") + (quantifiers.randomElement(using: &random) ?? "")
        }.joined()
        let texts = (0..<40).map { _ in
            String(
                (0..<Int.random(in: 0...4, using: &random)).map { _ in "abё -\n".randomElement(using: &random) ?? "a" })
        }
        let pattern = try Pattern(regex: regex)
        var all = texts.joined()
        let isAny = try texts.contains { try matches(pattern, $0) }
        #expect(all.withUTF8 { pattern.mayMatch(in: UnsafeRawBufferPointer($0)) } || !isAny, "seed \(seed): '\(regex)'")
        guard let possible = possible(pattern, texts) else { return }
        for (index, text) in texts.enumerated() where try matches(pattern, text) {
            #expect(possible.contains(index), "seed \(seed): '\(regex)' has a match in '\(text)'")
        }
    }

    @Test("no letter but k and s is one that is not ASCII in another case")
    func letters() throws {
        var others = ""
        for value in UInt32(0x80)..<0x20000 {
            if let scalar = Unicode.Scalar(value) { others.unicodeScalars.append(scalar) }
        }
        for letter in "abcdefghijklmnopqrstuvwxyz" {
            #expect(try matches(Pattern(regex: String(letter)), others) == "ks".contains(letter))
        }
    }

    @Test("the ranges of its matches, in bytes, none empty")
    func ranges() throws {
        #expect(try Pattern(regex: "л+").ranges(in: "Ёлл, Л") == [2..<6, 8..<10])
        #expect(try Pattern(regex: "x*").ranges(in: "éxxéx") == [2..<4, 6..<7])
        #expect(try Pattern(regex: "(?=a)").ranges(in: "aaa") == [])
        #expect(try Pattern(regex: "^.").ranges(in: "ab\ncd") == [0..<1, 3..<4])
        #expect(try Pattern(regex: "a\\Kb").ranges(in: "abab") == [1..<2, 3..<4])
        #expect(try Pattern(substring: "cafe").ranges(in: "un cafe\u{301}, CAFÉ") == [3..<9, 11..<16])
        #expect(try Pattern(regex: "a").ranges(in: String(repeating: "a", count: 65_536)).count == 1_000)
    }
}
