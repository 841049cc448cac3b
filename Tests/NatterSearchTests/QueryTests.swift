import NatterSearch
import NatterModel
import Testing

@Suite("search: reading a query")
struct QueryTests {
    @Test("words, phrases, prefixes and exclusions")
    func terms() throws {
        let query = try SearchQuery("  one -two \"three four\"  fiv* -\"six sev\"* -eig* foo-bar --nine ")
        let described = query.terms.map { term in
            (term.isNegative ? "-" : "") + "[\(term.text)]" + (term.isPrefix ? "*" : "")
        }
        #expect(
            described == [
                "[one]", "-[two]", "[three four]", "[fiv]*", "-[six sev]*", "-[eig]*", "[foo-bar]", "[--nine]",
            ])
        #expect(query.notes.isEmpty)
    }

    @Test("a query that asks for nothing", arguments: ["", " ", "\t\n", "\u{0}"])
    func empty(text: String) {
        #expect(throws: SearchQueryError.empty) { try SearchQuery(text) }
    }

    @Test("exclusions only", arguments: ["-word", "-a -\"b c\"", "-a* -:)", ":) -word"])
    func onlyNegative(text: String) {
        #expect(throws: SearchQueryError.onlyNegative) { try SearchQuery(text) }
    }

    @Test(
        "nothing that could be found",
        arguments: [":)", "-->", "*", "-", "--", "\"\"", "…", "«»", "\"", "-:)", "\u{200D}"])
    func noWord(text: String) {
        let error = #expect(throws: SearchQueryError.self) { try SearchQuery(text) }
        guard case .noWord = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(
        "punctuation beside words is left out, and the user told",
        arguments: ["hello :)", "-:) hello", "hello …", "** hello"])
    func notes(text: String) throws {
        let query = try SearchQuery(text)
        #expect(query.terms.map(\.text) == ["hello"])
        #expect(query.notes.count == 1)
        #expect(query.notes.first?.english.contains("left out") == true)
    }

    @Test("a query has no end of words, but a limit")
    func limit() throws {
        let most = Array(repeating: "word", count: SearchQuery.wordLimit).joined(separator: " ")
        #expect(try SearchScan(SearchQuery(most)).matches(["a word"]) == [0])
        #expect(throws: SearchQueryError.tooManyWords) { try SearchQuery(most + " more") }
        let negative = "word" + String(repeating: " -x", count: SearchQuery.wordLimit - 1)
        #expect(try SearchScan(SearchQuery(negative)).matches(["a word", "x word"]) == [0])
        let phrase = "\"" + most + "\""
        #expect(try SearchScan(SearchQuery(phrase)).matches(["a word", most]) == [1])
    }

    @Test("conditions, in any case and order; in quotes they are text")
    func conditions() throws {
        let query = try SearchQuery(
            "disk From:@bob from:\"old bob\" -from:eve in:#ops -in:@bob after:2026-11-20 before:2026-11-21T07:00:00Z has:link -\"in:x\" "
                + "10:30 note:x from: x")
        #expect(query.terms.map(\.text) == ["disk", "in:x", "10:30", "note:x", "from:", "x"])
        let conditions = query.conditions
        #expect(conditions.senders == ["bob", "old bob"] && conditions.unwantedSenders == ["eve"])
        #expect(conditions.conversations == ["ops"] && conditions.unwantedConversations == ["@bob"])
        #expect(conditions.since == Timestamp(rfc3339: "2026-11-20T00:00:00Z"))
        #expect(conditions.until == Timestamp(rfc3339: "2026-11-21T07:00:00Z"))
        #expect(conditions.hasLink == true && conditions.hasFile == nil && conditions.count == 8)
        // Given twice, the narrower time counts; a '-' turns it round.
        let narrow = try SearchQuery("x after:2026-11-20 -before:2026-11-22 before:2026-12-01 -after:2026-11-30")
        #expect(narrow.conditions.since == Timestamp(rfc3339: "2026-11-22T00:00:00Z"))
        #expect(narrow.conditions.until == Timestamp(rfc3339: "2026-11-30T00:00:00Z"))
    }

    @Test(
        "conditions need no word beside them",
        arguments: ["from:bob", "-in:ops", "has:link", "before:2026-11-20 -word"])
    func wordless(text: String) throws {
        let query = try SearchQuery(text)
        #expect(query.hasWords == (text == "has:link"))
    }

    @Test(
        "what would find other than it says is refused",
        arguments: [
            ("a OR -b", SearchQueryError.misplacedOr), ("-a OR b", .misplacedOr), ("a OR from:bob", .misplacedOr),
            ("from:bob OR in:ops", .misplacedOr), ("from:bob OR -from:eve", .misplacedOr),
            ("x after:soon", .badTime("soon")), ("has:cheese", .badKind("cheese")),
        ])
    func refused(text: String, error: SearchQueryError) {
        #expect(throws: error) { try SearchQuery(text) }
    }

    @Test("'OR' between two of a kind says what they mean anyway", arguments: ["from:a OR from:b", "in:a OR in:b x"])
    func ofAKind(text: String) throws { #expect(try SearchQuery(text).conditions.count == 2) }

    @Test(
        "a prefix that is too frequent goes with all that 'OR' joins with it",
        arguments: [("ab* OR word cd", "cd"), ("ab* cd", "cd"), ("abc* ab*", "abc"), ("word -ab*", "word")])
    func withoutPrefix(text: String, rest: String) throws {
        #expect(try SearchQuery(text).withoutShortestPrefix?.terms.map(\.text) == [rest])
        #expect(try SearchQuery("ab* OR word").withoutShortestPrefix == nil)
    }

    @Test(
        "a link has a scheme and something behind it",
        arguments: [
            ("see https://example.org/x", true), ("HTTP://x", true), ("(http://x)", true), ("https", false),
            ("https://", false), ("http:// x", false), ("ftp://x", false), ("://x", false), ("", false),
        ])
    func links(text: String, isLink: Bool) {
        #expect(Array(text.utf8).withUnsafeBytes(SearchConditions.hasLink) == isLink)
    }
}
