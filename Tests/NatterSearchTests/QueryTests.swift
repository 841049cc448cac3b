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
}
