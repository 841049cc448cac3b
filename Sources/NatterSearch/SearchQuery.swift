public import NatterModel
internal import NatterSQLite

/// A query: words, a `"phrase"`, or the beginning of a word (`pre*`, `"a phr"*`). A `-` before any of them excludes the
/// messages that contain it. A message must contain all the others, or one of those that `OR` joins: `a OR b c` is one of a and b,
/// and c. `from:`, `in:`, `before:`, `after:` and `has:` are conditions (`SearchConditions`), and may have a `-`, too.
///
/// Nothing else is syntax: `or`, `AND`, `NEAR`, `^`, `:` and parentheses are words or punctuation as in any text. A word with
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
        /// True if 'OR' stands between it and the term before.
        public fileprivate(set) var isAlternative = false

        /// How many letters and digits the last word has: what stands before the `*` of a prefix.
        public var lastWordLength: Int {
            text.reversed().drop { !Term.isPart($0) }.prefix(while: Term.isPart).count
        }

        private static func isPart(_ character: Character) -> Bool {
            guard let first = character.unicodeScalars.first?.properties else { return false }
            return first.isAlphabetic || first.numericType != nil
        }
    }

    /// The terms that contain a word. At least one of them is not negative, or there are conditions.
    public let terms: [Term]
    public let conditions: SearchConditions
    /// About how many words the query has, including those in phrases and in terms that were ignored.
    public let wordCount: Int
    /// Remarks for the user on terms that were ignored.
    public let notes: [Phrase]
    /// The terms in the language of FTS5.
    private let literals: [String]

    /// Parses a query.
    ///
    /// - Parameters:
    ///   - text: all arguments, joined by spaces. A quote that is not closed ends with the text.
    ///   - time: reads the time of `before:` and `after:`; nil if it is malformed.
    /// - Throws: `SearchQueryError`; an `SQLiteError` only if SQLite has no memory.
    public init(_ text: String, time: (String) -> Timestamp? = SearchConditions.time) throws {
        var parser = Parser(text)
        var tokenizer: WordTokenizer?
        var map = SearchText()
        var conditions = SearchConditions()
        var (terms, literals, notes): ([Term], [String], [Phrase]) = ([], [], [])
        var (words, negativeBlank): (Int, String?) = (0, nil)
        var (last, isAlternative): (Joint?, Bool) = (nil, false)
        /// Notes what 'OR' may join with what follows.
        func join(_ joint: Joint) throws {
            guard !isAlternative || (joint == last && joint != .nothing) else { throw SearchQueryError.misplacedOr }
            last = joint
        }
        while let part = parser.next() {
            var term: Term
            switch part {
            case .or where last != nil && parser.hasMore:
                isAlternative = true
                continue
            case .or: term = Term(text: "OR", isPrefix: false, isNegative: false)
            case .condition(let condition):
                try join(conditions.add(condition, time))
                isAlternative = false
                continue
            case .term(let given): term = given
            }
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
            try join(term.isNegative ? .nothing : .word)
            (term.isAlternative, isAlternative) = (isAlternative, false)
            terms.append(term)
            literals.append(literal)
        }
        guard terms.contains(where: { !$0.isNegative }) || !conditions.isEmpty else {
            if !terms.isEmpty { throw SearchQueryError.onlyNegative }
            throw negativeBlank.map { SearchQueryError.noWord(term: $0) } ?? SearchQueryError.empty
        }
        (self.terms, self.literals, self.notes, wordCount) = (terms, literals, notes, words)
        self.conditions = conditions
    }

    /// A kind of part that 'OR' joins with another one of that kind.
    enum Joint { case word, sender, conversation, nothing }

    private init(_ terms: [(Term, String)], of query: SearchQuery) {
        (self.terms, literals) = (terms.map(\.0), terms.map(\.1))
        (wordCount, notes, conditions) = (query.wordCount, query.notes, query.conditions)
    }

    /// False if the index can't find anything for it: it excludes words, or has conditions alone.
    public var hasWords: Bool { conditions.hasLink == true || terms.contains { !$0.isNegative } }

    /// The query in the language of FTS5.
    var expression: String {
        wantedExpression + (unwantedExpression.map { " NOT \($0)" } ?? "")
    }

    /// The expression without the terms that exclude messages.
    var wantedExpression: String {
        var all = groups.map { $0.map { literals[$0] } }
        if conditions.hasLink == true { all.append(["http", "https"]) }
        return "(" + all.map { $0.count == 1 ? $0[0] : "(" + $0.joined(by: " OR ") + ")" }.joined(by: " AND ") + ")"
    }

    /// The indices of the terms that are not negative, those that 'OR' joins together.
    private var groups: [[Int]] {
        terms.indices.reduce(into: []) { groups, index in
            guard !terms[index].isNegative else { return }
            if terms[index].isAlternative, let last = groups.indices.last {
                groups[last].append(index)
            } else {
                groups.append([index])
            }
        }
    }

    var hasNegative: Bool { terms.contains { $0.isNegative } }

    /// The terms that exclude messages; nil if there are none.
    var unwantedExpression: String? {
        let unwanted = zip(terms, literals).filter(\.0.isNegative).map(\.1)
        return unwanted.isEmpty ? nil : "(" + unwanted.joined(by: " OR ") + ")"
    }

    /// True if SQLite must collect all words with a certain prefix each time the query runs.
    var isCostlyToStart: Bool { terms.contains { $0.isPrefix } }

    /// The query without the shortest of its prefixes, probably that of most words, and without what 'OR' joins with it. It finds
    /// these messages and others; nil if it has no prefix, or nothing else to find.
    public var withoutShortestPrefix: SearchQuery? {
        let parts = groups + terms.indices.filter { terms[$0].isNegative }.map { [$0] }
        let shorter = parts.compactMap { part -> (length: Int, rest: SearchQuery)? in
            guard let length = part.filter({ terms[$0].isPrefix }).map({ terms[$0].text.utf8.count }).min() else {
                return nil
            }
            let kept = terms.indices.filter { !part.contains($0) }
            return (length, SearchQuery(kept.map { (terms[$0], literals[$0]) }, of: self))
        }
        return shorter.filter(\.rest.hasWords).min { $0.length < $1.length }?.rest
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
    case misplacedOr
    case badTime(String)
    case badKind(String)

    public var phrase: Phrase {
        switch self {
        case .empty: "there is nothing to search for; give a word, a \"phrase\" or the beginning of a word with '*'"
        case .noWord(let term):
            "cannot search for '\(term)': there is no letter or digit in it; --substring finds any text"
        case .onlyNegative: "the query only says what to leave out; add a word to search for"
        case .misplacedOr:
            "'OR' stands between words, 'from:' or 'in:' without a '-'"
        case .badTime(let text):
            "cannot read the time '\(text)'; write 2026-11-20 or 2026-11-20T07:24:05Z"
        case .badKind(let kind):
            "'has:\(kind)' is not known; there are 'has:link' and 'has:file'"
        case .tooManyWords: "the query has more than \(SearchQuery.wordLimit) words"
        }
    }
}

/// Parses a query byte by byte, because all its syntax is ASCII.
private struct Parser {
    enum Part {
        case term(SearchQuery.Term)
        case or
        case condition(SearchCondition)
    }

    private var rest: ArraySlice<UInt8>

    init(_ text: String) {
        // Japanese is typed with blanks of its own.
        let blanks = text.unicodeScalars.lazy.map { $0 == "\u{3000}" ? " " : $0 }
        rest = Array(String(String.UnicodeScalarView(blanks)).utf8)[...]
    }

    var hasMore: Bool { !rest.allSatisfy(Parser.isSpace) }

    mutating func next() -> Part? {
        rest = rest.drop(while: Parser.isSpace)
        guard let first = rest.first else { return nil }
        var isNegative = false
        let second = rest.dropFirst().first
        if first == UInt8(ascii: "-"), let second, second != UInt8(ascii: "-"), !Parser.isSpace(second) {
            isNegative = true
            rest.removeFirst()
        }
        if let quoted = takeQuoted() {
            let isPrefix = rest.first == UInt8(ascii: "*")
            if isPrefix { rest.removeFirst() }
            return .term(SearchQuery.Term(text: quoted, isPrefix: isPrefix, isNegative: isNegative))
        }
        if let condition = condition(isNegative: isNegative) { return .condition(condition) }
        var word = takeWord()
        if word.elementsEqual("OR".utf8), !isNegative { return .or }
        let isPrefix = word.count > 1 && word.last == UInt8(ascii: "*")
        while isPrefix, word.count > 1, word.last == UInt8(ascii: "*") { word.removeLast() }
        return .term(
            SearchQuery.Term(text: String(decoding: word, as: UTF8.self), isPrefix: isPrefix, isNegative: isNegative))
    }

    /// Takes `from:NAME` and the like; nil for anything else.
    private mutating func condition(isNegative: Bool) -> SearchCondition? {
        guard let colon = rest.prefix(SearchCondition.longestKey + 1).firstIndex(of: UInt8(ascii: ":")),
            let next = rest[colon...].dropFirst().first, !Parser.isSpace(next)
        else { return nil }
        let word = String(decoding: rest[..<colon].map(\.asciiLowercased), as: UTF8.self)
        guard let key = SearchCondition.Key(rawValue: word) else { return nil }
        rest = rest[colon...].dropFirst()
        let value = takeQuoted() ?? String(decoding: takeWord(), as: UTF8.self)
        return SearchCondition(key: key, value: value, isNegative: isNegative)
    }

    /// Takes what is between quotes; nil if no quote comes next.
    private mutating func takeQuoted() -> String? {
        guard rest.first == UInt8(ascii: "\"") else { return nil }
        rest.removeFirst()
        let text = rest.prefix { $0 != UInt8(ascii: "\"") }
        rest = rest.dropFirst(text.count + 1)
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func takeWord() -> ArraySlice<UInt8> {
        let word = rest.prefix { !Parser.isSpace($0) }
        rest.removeFirst(word.count)
        return word
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte <= 0x20 || byte == 0x7F }
}
