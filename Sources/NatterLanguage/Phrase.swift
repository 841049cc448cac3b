/// Something said to a person: in English as it stands in the source, and in other languages by a catalogue.
///
/// A literal is one: `"no user is named '\(name)'"` where a `Phrase` is taken. Its fixed words, with `%s` where values
/// stand, are the key in the catalogues, so a sentence must be one literal, or literals joined by `+`: a translation
/// has the values in another order, and the words in another form. Phrases and errors may be values of others. A
/// number that words depend on takes `plural`.
///
/// Nothing is looked up before `text` is asked for. `english`, and what becomes of a phrase in a `String`, is what
/// stands in the source: for JSON, logs and whatever programs read.
public struct Phrase: Sendable, Equatable, ExpressibleByStringInterpolation, CustomStringConvertible {
    enum Value: Sendable {
        case string(String)
        case phrase(Phrase)
    }

    /// The form for all numbers but one.
    indirect enum Plural: Sendable {
        case none
        case other(template: String, count: UInt)
    }

    /// The fixed words. With values: `%s` for each, and `%%` for a sign. Without: as they are.
    let template: String
    let values: [Value]
    let plural: Plural

    init(template: String, values: [Value], plural: Plural = .none) {
        (self.template, self.values, self.plural) = (template, values, plural)
    }

    public init(stringLiteral value: String) { self.init(template: value, values: []) }

    public init(stringInterpolation words: StringInterpolation) {
        self.init(template: words.template, values: words.values)
    }

    /// Words that are known only when the program runs, such as those of another program, and stand in the catalogues
    /// perhaps.
    public init(key: String) { self.init(template: key, values: []) }

    /// What is the same in every language: a name, an address, what a person wrote.
    public init(verbatim text: String) { self.init(template: "%s", values: [.string(text)]) }

    /// What an error says of itself.
    public init(describing error: any Error) {
        self = (error as? any PhraseConvertible)?.phrase ?? Phrase(verbatim: "\(error)")
    }

    /// What depends on a number: `.plural(count, "\(count) message", "\(count) messages")`, both forms with the same
    /// values in the same order.
    public static func plural(_ count: some BinaryInteger, _ one: Phrase, _ other: Phrase) -> Phrase {
        assert(one.values.count == other.values.count, "both forms need all values: '\(one.template)'")
        return Phrase(
            template: one.template, values: other.values,
            plural: .other(template: other.template, count: UInt(clamping: count.magnitude)))
    }

    /// Whether both say the same, however they are put together.
    public static func == (left: Phrase, right: Phrase) -> Bool { left.english == right.english }

    /// Two pieces of one sentence that is too long for a line of the source.
    public static func + (left: Phrase, right: Phrase) -> Phrase {
        assert(!left.isPlural && !right.isPlural, "a plural is a value of a phrase, not a piece of one")
        guard !left.values.isEmpty || !right.values.isEmpty else {
            return Phrase(template: left.template + right.template, values: [])
        }
        return Phrase(template: left.formatted + right.formatted, values: left.values + right.values)
    }

    /// Several with a separator between, such as names of choices.
    public static func list(_ phrases: [Phrase], separator: String = ", ") -> Phrase {
        var template = ""
        for index in phrases.indices { template += index == 0 ? "%s" : separator + "%s" }
        return Phrase(template: template, values: phrases.map(Value.phrase))
    }

    private var isPlural: Bool { if case .other = plural { true } else { false } }

    /// The template as one that has values: a sign doubled.
    private var formatted: String { values.isEmpty ? Self.doubled(template) : template }

    static func doubled(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
        var result = ""
        for character in text { result += character == "%" ? "%%" : String(character) }
        return result
    }

    /// As it stands in the source.
    public var english: String { written(nil) }
    public var description: String { english }

    /// In the language of who reads it; see `Catalogue.choose`.
    public var text: String { written(Catalogue.current) }

    fileprivate func written(_ catalogue: Catalogue?) -> String {
        let words: String
        switch plural {
        case .none:
            words = hasWords ? catalogue?.translation(of: template) ?? template : template
        case .other(let other, let count):
            words = catalogue?.translation(of: template, other, count: count) ?? (count == 1 ? template : other)
        }
        if values.isEmpty { return words }
        return Filling.fill(words, with: values.map { $0.written(catalogue) })
    }

    /// An empty key is that of a catalogue's header; one of values alone is of no language.
    private var hasWords: Bool { template.utf8.count > 2 || !(template.isEmpty || template == "%s") }
}

/// JSON is English.
extension Phrase: Encodable {
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(english)
    }
}

extension Phrase.Value {
    fileprivate func written(_ catalogue: Catalogue?) -> String {
        switch self {
        case .string(let text): text
        case .phrase(let phrase): phrase.written(catalogue)
        }
    }
}

extension Phrase {
    /// Gathers the words and values of a literal.
    public struct StringInterpolation: StringInterpolationProtocol {
        var template = ""
        var values: [Value] = []
        private let hasValues: Bool

        public init(literalCapacity: Int, interpolationCount: Int) {
            hasValues = interpolationCount > 0
            template.reserveCapacity(literalCapacity + 2 * interpolationCount)
        }

        public mutating func appendLiteral(_ literal: String) {
            template += hasValues ? Phrase.doubled(literal) : literal
        }

        public mutating func appendInterpolation(_ text: String) { append(.string(text)) }
        public mutating func appendInterpolation(_ text: some StringProtocol) { append(.string(String(text))) }
        public mutating func appendInterpolation(_ number: some BinaryInteger) { append(.string("\(number)")) }
        public mutating func appendInterpolation(_ phrase: Phrase) { append(.phrase(phrase)) }
        public mutating func appendInterpolation(_ value: some PhraseConvertible) { append(.phrase(value.phrase)) }
        public mutating func appendInterpolation(_ error: some Error & PhraseConvertible) {
            append(.phrase(error.phrase))
        }
        public mutating func appendInterpolation(_ error: any Error) { append(.phrase(Phrase(describing: error))) }
        /// Names, addresses, numbers.
        public mutating func appendInterpolation(_ value: some CustomStringConvertible) {
            append(.string(value.description))
        }

        private mutating func append(_ value: Value) {
            values.append(value)
            template += "%s"
        }
    }
}

/// What tells itself to people: errors above all. As a `String` it is English.
public protocol PhraseConvertible: CustomStringConvertible {
    var phrase: Phrase { get }
}

extension PhraseConvertible {
    public var description: String { phrase.english }
}
