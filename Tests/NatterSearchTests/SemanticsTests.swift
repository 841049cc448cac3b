import NatterSearch
import Testing
import TestSupport

/// Queries and their matches, by the index and by the scan.
@Suite("search: what a query finds")
struct SemanticsTests {
    private func expect(
        _ query: String, finds: Bool = true, in text: String, _ location: SourceLocation = #_sourceLocation
    ) throws {
        let directory = try TemporaryDirectory()
        let index = try SearchIndex.openForWriting(path: directory.index)
        try index.add(["nothing of interest", text, ""], to: general)
        let indexed = try index.seqs(query)
        let scanned = try SearchScan(SearchQuery(query)).matches(["nothing of interest", text, ""])
        #expect(indexed == (finds ? [2] : []), "index: \(query)", sourceLocation: location)
        #expect(scanned == (finds ? [1] : []), "scan: \(query)", sourceLocation: location)
    }

    @Test(
        "case, accents and letters that count as one",
        arguments: [
            ("hello", "HELLO World"), ("WORLD", "hello world"), ("ecole", "École"), ("École", "ecole"),
            ("e\u{301}cole", "école"), ("école", "e\u{301}cole"), ("naive", "naïve"), ("Ångström", "angstrom"),
            ("viet", "Việt"), ("istanbul", "İSTANBUL"), ("привет", "ПРИВЕТ"), ("ёлка", "елка"), ("елка", "Ёлка"),
            ("ЁЛКА", "ёлка"), ("е\u{308}лка", "елка"), ("ёлка", "Е\u{308}лка"), ("мой", "МОИ\u{306}"),
            ("мои\u{306}", "мой"), ("їжак", "і\u{308}жак"), ("γειά", "ΓΕΙΑ"), ("αθηνα", "Αθήνα"),
            ("Αθη\u{301}να", "αθήνα"),
            ("ΣΟΦΟΣ", "σοφός"), ("ΟΔΟΣ", "οδος"), ("ԱՐԱՐԱՏ", "Արարատ"), ("straße", "STRAßE"), ("ФЫВА", "фыва"),
            ("STRASSE", "Straße"), ("straße", "STRASSE"), ("strasse", "STRAẞE"), ("stra*", "Straße"),
            ("محمد", "هذا مُحَمَّد هنا"), ("مُحَمَّد", "محمد"), ("محمد", "محـــمد"), ("احمد", "أَحْمَد"), ("سلام", "ﺳﻼم"),
            ("שלום", "שָׁלוֹם עולם"), ("שָׁלוֹם", "שלום"), ("שלום", "\u{FB2A}לום"), ("file", "ﬁle"), ("ﬂow", "FLOW"),
            ("abc 12", "ＡＢＣ １２"), ("Ｌｉｎｕｘ*", "linuxes"), ("カタカナ", "ｶﾀｶﾅ"), ("ガパ", "ｶﾞﾊﾟ"), ("ｶﾞ", "か ガ"),
            ("が", "か\u{3099}"), ("ᾳδω", "ΑΔΩ"),
        ])
    func folds(query: String, text: String) throws { try expect(query, in: text) }

    @Test("capitals of every script")
    func capitals() throws {
        var rest = (UInt32(0)...0x10FFFF).compactMap(Unicode.Scalar.init).filter(\.properties.changesWhenLowercased)[
            ...]
        #expect(rest.count > 1_400)
        while !rest.isEmpty {
            let word = rest.prefix(16)
            rest = rest.dropFirst(16)
            let small = word.map(\.properties.lowercaseMapping).joined()
            let large = String(String.UnicodeScalarView(word))
            #expect(try SearchScan(SearchQuery(small)).matches([large]) == [0], "\(large) \(small)")
            #expect(try SearchScan(SearchQuery(large)).matches([small]) == [0], "\(large) \(small)")
        }
    }

    @Test(
        "letters that are two",
        arguments: [
            ("мои", "мой"), ("и", "й"), ("hell", "hello"), ("ello", "hello"), ("1", "12"), ("ψ", "ω"), ("か", "が"),
            ("カ", "ｶﾞ"), ("कु", "के"),
        ])
    func doesNotFold(query: String, text: String) throws { try expect(query, finds: false, in: text) }

    @Test(
        "scripts without spaces are found by any part",
        arguments: [
            ("日本", "私は日本語を話します"), ("本語", "私は日本語を話します"), ("話します", "私は日本語を話します"), ("カタカナ", "これはカタカナです"),
            ("中", "我住在中国"), ("中国", "我住在中国"), ("𠮷野", "𠮷野家"), ("กิน", "ฉันกินข้าว"), ("ข้าว", "ฉันกินข้าว"), ("ភាសា", "ភាសាខ្មែរ"),
            ("မြန်မာ", "မြန်မာစာ"), ("ລາວ", "ພາສາລາວ"), ("linux", "我用linux系统"), ("用linux", "我用linux系统"),
            ("\"日本 語\"", "日本語"),
            ("日本*", "私は日本語を"), ("ｶﾅ", "ﾊﾝｶｸｶﾅ"),
        ])
    func findsParts(query: String, text: String) throws { try expect(query, in: text) }

    @Test(
        "and not by parts in another order",
        arguments: [("語日", "日本語"), ("国中", "我住在中国"), ("日語", "日本語"), ("นิก", "ฉันกินข้าว")])
    func keepsOrder(query: String, text: String) throws { try expect(query, finds: false, in: text) }

    @Test(
        "scripts whose vowels are marks keep their words",
        arguments: [("हिन्दी", "मैं हिन्दी बोलता हूँ"), ("مُحَمَّد", "هذا مُحَمَّد هنا"), ("한국어", "한국어 검색"), ("שָׁלוֹם", "שָׁלוֹם עולם")])
    func marks(query: String, text: String) throws { try expect(query, in: text) }

    @Test("a vowel sign makes another word")
    func marksMatter() throws { try expect("हन्द", finds: false, in: "मैं हिन्दी बोलता हूँ") }

    @Test(
        "emoji are words",
        arguments: [
            ("👍", "nice👍👍 work"), ("👍", "👍🏽"), ("👍🏽", "ok 👍🏽"), ("❤", "I ❤️ it"), ("❤️", "I ❤ it"), ("🥰", "so 🥰!"),
            ("nice", "nice👍"), ("🇩🇪", "from 🇩🇪"), ("👩‍👧", "our 👩‍👧 here"), ("☕", "☕?"), ("🀄", "🀄"), ("⭐", "a⭐"), ("⏰", "⏰!"),
        ])
    func emoji(query: String, text: String) throws { try expect(query, in: text) }

    @Test("one emoji is not another", arguments: [("👎", "👍"), ("👍🏿", "👍🏽"), ("❤", "💙"), ("☕", "😕"), ("⚽", "🚽")])
    func otherEmoji(query: String, text: String) throws { try expect(query, finds: false, in: text) }

    @Test(
        "phrases, beginnings and exclusions",
        arguments: [
            ("\"quick brown\"", "the quick brown fox"), ("\"quick, BROWN!\"", "the quick brown fox"),
            ("fox quick", "the quick brown fox"), ("qui*", "the quick brown fox"),
            ("\"quick bro\"*", "the quick brown fox"),
            ("fox -cat", "the quick brown fox"), ("fox -\"brown quick\"", "the quick brown fox"),
            ("fox -qua*", "the quick brown fox"), ("\"quick brown", "the quick brown fox"), ("QUI*", "quick"),
            ("fo* qu*", "the quick brown fox"), ("fox -", "fox"), ("\"fox\"-cat", "fox"),
            ("--force", "use --force here"),
        ])
    func operators(query: String, text: String) throws { try expect(query, in: text) }

    @Test(
        "phrases, beginnings and exclusions that keep a message away",
        arguments: [
            "\"brown quick\"", "fox cat", "qua*", "fox -quick", "fox -qui*", "fox -\"quick brown\"",
            "\"quick brown\"* -fox",
            "\"quick fox\"", "uick*",
        ])
    func excludes(query: String) throws { try expect(query, finds: false, in: "the quick brown fox") }

    @Test(
        "words with punctuation are the phrase of their parts",
        arguments: [
            ("C++", "I like C++ a lot"), ("don't", "don't do it"), ("don't", "DON’T"), ("/etc/fstab", "see /etc/fstab"),
            ("foo-bar", "a foo-bar b"), ("foo-bar", "foo bar"), ("user@example.org", "mail user@example.org now"),
            ("snake_case", "a snake_case b"), ("3.14", "pi = 3.14"), ("sudo;rm", "sudo; rm"), ("#natter", "in #natter"),
            ("2026-11-20T07:24", "at 2026-11-20T07:24:05"), ("a*b", "a*b"), ("x:y", "x:y"), ("5\"", "a 5\" disk"),
        ])
    func punctuation(query: String, text: String) throws { try expect(query, in: text) }

    @Test(
        "their parts must be together",
        arguments: [("foo-bar", "bar foo"), ("/etc/fstab", "fstab in /etc"), ("x:y", "y:x")])
    func punctuationOrder(query: String, text: String) throws { try expect(query, finds: false, in: text) }

    @Test(
        "FTS5's operators are words here",
        arguments: [
            ("AND", "this and that"), ("NOT", "not so"), ("OR", "or so"), ("a OR", "b or a"), ("\"OR\"", "or"),
            ("NEAR", "a near b"),
            ("NEAR(a b)", "near a b"),
            ("a or b", "b or a"), ("text:hello", "text hello"), ("^hello", "say hello"), ("{text}:x", "text x"),
            ("(hello)", "hello"), ("hello)", "hello"), ("he\"llo", "he llo"), ("\"\"\"hello", "hello"),
            ("a + b", "b a"),
            ("a NOT b", "b not a"), ("hello;--", "hello"), ("'; DROP TABLE posting", "drop; table; posting"),
            ("posting MATCH x", "x match posting"), ("rank", "rank"), ("optimize", "optimize"),
            ("delete-all", "delete all"),
        ])
    func operatorsAreWords(query: String, text: String) throws { try expect(query, in: text) }

    @Test("they exclude nothing", arguments: ["a or c", "a AND c", "text: c", "NEAR(a c)"])
    func operatorsDoNothing(query: String) throws { try expect(query, finds: false, in: "a b text near or and") }

    @Test(
        "'OR' joins the words beside it, and the rest must be there, too",
        arguments: [
            ("a OR b c", "a c"), ("a OR b c", "b c"), ("c a OR b OR d", "d c"), ("\"x y\" OR pre*", "prefix"),
            ("a OR b -d", "b"), ("b OR OR a", "a"),
        ])
    func alternatives(query: String, text: String) throws { try expect(query, in: text) }

    @Test(arguments: [("a OR b c", "a b"), ("a OR b c", "c"), ("a OR b -d", "b d"), ("\"a OR b\"", "a b")])
    func noAlternative(query: String, text: String) throws { try expect(query, finds: false, in: text) }

    @Test("control characters and the like separate words")
    func controls() throws {
        try expect("one two three", in: "one\ttwo\u{1}\u{1B}[31m\u{7F}three\r\n")
        try expect("\"one two\"", in: "one\u{A0}two")
        try expect("one\ttwo", in: "two\none")
        try expect("one\u{0}two", in: "one two")
        try expect("\u{200B}one", in: "one")
        try expect("one", in: "\u{FEFF}one\u{2028}")
    }

    @Test("words of up to a whole message")
    func longWords() throws {
        let word = String(repeating: "a", count: 65_535)
        try expect(word, in: word)
        try expect(String(repeating: "a", count: 100) + "*", in: word)
        try expect("b" + word, finds: false, in: word)
        try expect(String(repeating: "日", count: 900), in: String(repeating: "日", count: 21_845))
        try expect(String(repeating: "ё", count: 16_384), in: String(repeating: "Е", count: 16_384))
        try expect("x", in: String(repeating: "x ", count: 32_768))
    }

    @Test("bytes that are no UTF-8 do no harm")
    func brokenText() throws {
        let scan = try SearchScan(SearchQuery("hello"))
        for broken: [UInt8] in [
            [0xFF], [0xE3], [0xE3, 0x81], [0xF0, 0x9F], [0xF0, 0x9F, 0x98], [0xD0], [0xCC], [0xC0, 0x80],
            [0xED, 0xA0, 0x80],
            [0xCC, 0x88], [0x80], [0xF8, 0x88, 0x80, 0x80, 0x80],
        ] {
            let text = broken + [0x20] + Array("hello".utf8) + [0x20] + broken
            let found = try scan.matches(count: 1) { _, body in try text.withUnsafeBytes { try body($0) } }
            #expect(found == [0], "\(broken)")
        }
    }
}
