public import NatterModel
internal import NatterSQLite

/// A query: words, a `"phrase"`, or the beginning of a word (`pre*`, `"a phr"*`). A `-` before any of them excludes the
/// messages that contain it. A message must contain all the others.
///
/// Nothing else is syntax: `AND`, `NEAR`, `^`, `:` and parentheses are words or punctuation as in any text. A word with
/// punctuation inside (`don't`, `/etc/fstab`, `foo-bar`) is the phrase of its parts. Two hyphens before a word are
/// punctuation, so `--reinstall` finds "reinstall".
public struct SearchQuery: Sendable, Equatable {
    /// The approximate maximum number of words in a query, including those in phrases.
    public static let wordLimit = 1_000

    public struct Term: Sendable, Equatable {
        /// The user's text without the `-`, the quotes and the `*`.
        public let text: String
        /// True if the last word may be only the beginning of a word.
        public let isPrefix: Bool
        public let isNegative: Bool

        /// How many letters and digits the last word has: what stands before the `*` of a prefix.
        public var lastWordLength: Int {
            text.reversed().drop { !Term.isPart($0) }.prefix(while: Term.isPart).count
        }

        private static func isPart(_ character: Character) -> Bool {
            guard let first = character.unicodeScalars.first?.properties else { return false }
            return first.isAlphabetic || first.numericType != nil
        }
    }

    /// The terms that contain a word. At least one of them is not negative.
    public let terms: [Term]
    /// About how many words the query has, including those in phrases and in terms that were ignored.
    public let wordCount: Int
    /// Remarks for the user on terms that were ignored.
    public let notes: [Phrase]
    /// The terms in the language of FTS5.
    private let literals: [String]

    /// Parses a query.
    ///
    /// - Parameter text: all arguments, joined by spaces. A quote that is not closed ends with the text.
    /// - Throws: `SearchQueryError`; an `SQLiteError` only if SQLite has no memory.
    public init(_ text: String) throws {
        var parser = Parser(text)
        var tokenizer: WordTokenizer?
        var map = SearchText()
        var (terms, literals, notes): ([Term], [String], [Phrase]) = ([], [], [])
        var (words, negativeBlank): (Int, String?) = (0, nil)
        while let term = parser.next() {
            var text = term.text
            let (literal, hasWord) = try text.withUTF8 { bytes in
                try map.withMapped(UnsafeRawBufferPointer(bytes)) { mapped in
                    words += SearchQuery.wordBound(mapped)
                    return (
                        SearchQuery.quote(mapped, isPrefix: term.isPrefix),
                        try SearchQuery.hasWord(mapped, &tokenizer)
                    )
                }
            }
            guard words <= SearchQuery.wordLimit else { throw SearchQueryError.tooManyWords }
            guard hasWord else {
                negativeBlank = negativeBlank ?? term.text
                notes.append("'\(term.text)' is left out: there is no letter or digit in it")
                continue
            }
            terms.append(term)
            literals.append(literal)
        }
        guard terms.contains(where: { !$0.isNegative }) else {
            if !terms.isEmpty { throw SearchQueryError.onlyNegative }
            throw negativeBlank.map { SearchQueryError.noWord(term: $0) } ?? SearchQueryError.empty
        }
        (self.terms, self.literals, self.notes, wordCount) = (terms, literals, notes, words)
    }

    private init(_ terms: [(Term, String)], of query: SearchQuery) {
        (self.terms, literals) = (terms.map(\.0), terms.map(\.1))
        (wordCount, notes) = (query.wordCount, query.notes)
    }

    /// The query in the language of FTS5.
    var expression: String {
        wantedExpression + (unwantedExpression.map { " NOT \($0)" } ?? "")
    }

    /// The expression without the terms that exclude messages.
    var wantedExpression: String {
        "(" + zip(terms, literals).filter { !$0.0.isNegative }.map(\.1).joined(by: " AND ") + ")"
    }

    var hasNegative: Bool { terms.contains { $0.isNegative } }

    /// The terms that exclude messages; nil if there are none.
    var unwantedExpression: String? {
        let unwanted = zip(terms, literals).filter(\.0.isNegative).map(\.1)
        return unwanted.isEmpty ? nil : "(" + unwanted.joined(by: " OR ") + ")"
    }

    /// True if SQLite must collect all words with a certain prefix each time the query runs.
    var isCostlyToStart: Bool { terms.contains { $0.isPrefix } }

    /// The query without the shortest of its prefixes, probably that of most words, which finds these messages and others; nil if
    /// it has none, or nothing else to find.
    public var withoutShortestPrefix: SearchQuery? {
        let all = Array(zip(terms, literals))
        let shorter = all.indices.filter { all[$0].0.isPrefix }.map { dropped in
            (length: all[dropped].0.text.utf8.count, rest: all.indices.filter { $0 != dropped }.map { all[$0] })
        }
        return shorter.filter { $0.rest.contains { !$0.0.isNegative } }.min { $0.length < $1.length }
            .map { SearchQuery($0.rest, of: self) }
    }

    /// Quotes a string for FTS5. Only doubled quotes have a meaning inside, and a NUL would end the string.
    private static func quote(_ bytes: UnsafeRawBufferPointer, isPrefix: Bool) -> String {
        var literal: [UInt8] = [UInt8(ascii: "\"")]
        literal.reserveCapacity(bytes.count + 4)
        for byte in bytes {
            if byte == UInt8(ascii: "\"") { literal.append(byte) }
            literal.append(byte == 0 ? UInt8(ascii: " ") : byte)
        }
        literal += isPrefix ? "\" *".utf8 : "\"".utf8
        return String(decoding: literal, as: UTF8.self)
    }

    private static func hasWord(_ bytes: UnsafeRawBufferPointer, _ tokenizer: inout WordTokenizer?) throws -> Bool {
        if bytes.contains(where: { $0.isASCIILetter || $0.isASCIIDigit }) { return true }
        guard bytes.contains(where: { $0 >= 0x80 }) else { return false }
        let made = try tokenizer ?? WordTokenizer()
        tokenizer = made
        return made.findsWord(in: bytes)
    }

    /// An upper bound of the number of words, counting only ASCII separators.
    private static func wordBound(_ bytes: UnsafeRawBufferPointer) -> Int {
        var (count, isInside) = (0, false)
        for byte in bytes {
            let isPart = byte >= 0x80 || byte.isASCIILetter || byte.isASCIIDigit
            if isPart && !isInside { count += 1 }
            isInside = isPart
        }
        return count
    }
}

/// A query that can't be answered, which is a usage error.
public enum SearchQueryError: Error, Equatable, PhraseConvertible {
    case empty
    case noWord(term: String)
    case onlyNegative
    case tooManyWords

    public var phrase: Phrase {
        switch self {
        case .empty: "there is nothing to search for; give a word, a \"phrase\" or the beginning of a word with '*'"
        case .noWord(let term):
            "cannot search for '\(term)': there is no letter or digit in it; --substring finds any text"
        case .onlyNegative: "the query only says what to leave out; add a word to search for"
        case .tooManyWords: "the query has more than \(SearchQuery.wordLimit) words"
        }
    }
}

/// Parses a query byte by byte, because all its syntax is ASCII.
private struct Parser {
    private var rest: ArraySlice<UInt8>

    init(_ text: String) {
        // Japanese is typed with blanks of its own.
        let blanks = text.unicodeScalars.lazy.map { $0 == "\u{3000}" ? " " : $0 }
        rest = Array(String(String.UnicodeScalarView(blanks)).utf8)[...]
    }

    mutating func next() -> SearchQuery.Term? {
        rest = rest.drop(while: Parser.isSpace)
        guard let first = rest.first else { return nil }
        var isNegative = false
        let second = rest.dropFirst().first
        if first == UInt8(ascii: "-"), let second, second != UInt8(ascii: "-"), !Parser.isSpace(second) {
            isNegative = true
            rest.removeFirst()
        }
        if rest.first == UInt8(ascii: "\"") { return phrase(isNegative: isNegative) }
        var word = rest.prefix { !Parser.isSpace($0) }
        rest.removeFirst(word.count)
        let isPrefix = word.count > 1 && word.last == UInt8(ascii: "*")
        while isPrefix, word.count > 1, word.last == UInt8(ascii: "*") { word.removeLast() }
        return SearchQuery.Term(
            text: String(decoding: word, as: UTF8.self), isPrefix: isPrefix, isNegative: isNegative)
    }

    private mutating func phrase(isNegative: Bool) -> SearchQuery.Term {
        rest.removeFirst()
        let phrase = rest.prefix { $0 != UInt8(ascii: "\"") }
        rest = rest.dropFirst(phrase.count + 1)
        let isPrefix = rest.first == UInt8(ascii: "*")
        if isPrefix { rest.removeFirst() }
        return SearchQuery.Term(
            text: String(decoding: phrase, as: UTF8.self), isPrefix: isPrefix, isNegative: isNegative)
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte <= 0x20 || byte == 0x7F }
}
