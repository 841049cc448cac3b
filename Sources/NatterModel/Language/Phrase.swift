/// A sentence for people. It is English in the source, and a catalogue translates it.
///
/// Write a literal, such as `"no user is named '\(name)'"`, where a `Phrase` is expected. Its fixed words, with `%s` in
/// place of each value, are the key in the catalogues. So write a sentence as one literal, or as literals joined by
/// `+`, because a translation may need another word order. Phrases and errors may be values of phrases. If the words
/// depend on a number, use `plural`.
///
/// `text` looks up the translation. Until then, a phrase costs no more than its values. `english` is the sentence as in
/// the source, for JSON, logs and programs. A phrase inserted into a `String` is English, too.
public struct Phrase: Sendable, Equatable, ExpressibleByStringInterpolation, CustomStringConvertible {
    enum Value: Sendable {
        case string(String)
        case phrase(Phrase)
    }

    /// The form for every number but 1.
    indirect enum Plural: Sendable {
        case none
        case other(template: String, count: UInt)
    }

    /// The fixed words. If there are values, `%s` stands for each value and `%%` for a percent sign.
    let template: String
    let values: [Value]
    let plural: Plural

    init(template: String, values: [Value], plural: Plural = .none) {
        (self.template, self.values, self.plural) = (template, values, plural)
    }

    #if EXTRACTS_PHRASES
        @available(*, deprecated, message: "phrase")
    #endif
    public init(stringLiteral value: String) { self.init(template: value, values: []) }

    #if EXTRACTS_PHRASES
        @available(*, deprecated, message: "phrase")
    #endif
    public init(stringInterpolation words: StringInterpolation) {
        self.init(template: words.template, values: words.values)
    }

    /// A sentence of another program that is known only at run time. The catalogues may contain it.
    public init(key: String) { self.init(template: key, values: []) }

    /// Text that is the same in every language: a name, an address, text written by a user.
    public init(verbatim text: String) { self.init(template: "%s", values: [.string(text)]) }

    /// The error's own description.
    public init(describing error: any Error) {
        self = (error as? any PhraseConvertible)?.phrase ?? Phrase(verbatim: "\(error)")
    }

    /// Words that depend on a number: `.plural(count, "\(count) message", "\(count) messages")`. Both forms need the same
    /// values in the same order.
    public static func plural(_ count: some BinaryInteger, _ one: Phrase, _ other: Phrase) -> Phrase {
        assert(one.values.count == other.values.count, "both forms need all values: '\(one.template)'")
        return Phrase(
            template: one.template, values: other.values,
            plural: .other(template: other.template, count: UInt(clamping: count.magnitude)))
    }

    /// True if both are the same in English.
    public static func == (left: Phrase, right: Phrase) -> Bool { left.english == right.english }

    /// Joins two parts of a sentence that is too long for one line of source.
    public static func + (left: Phrase, right: Phrase) -> Phrase {
        assert(!left.isPlural && !right.isPlural, "a plural is a value of a phrase, not a piece of one")
        guard !left.values.isEmpty || !right.values.isEmpty else {
            return Phrase(template: left.template + right.template, values: [])
        }
        return Phrase(template: left.formatted + right.formatted, values: left.values + right.values)
    }

    /// Joins phrases with a separator, such as the names of choices.
    public static func list(_ phrases: [Phrase], separator: String = ", ") -> Phrase {
        var template = ""
        for index in phrases.indices { template += index == 0 ? "%s" : separator + "%s" }
        return Phrase(template: template, values: phrases.map(Value.phrase))
    }

    private var isPlural: Bool { if case .other = plural { true } else { false } }

    /// The template in the form for phrases with values, with `%%` for a percent sign.
    private var formatted: String { values.isEmpty ? Self.doubled(template) : template }

    static func doubled(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
        var result = ""
        for character in text { result += character == "%" ? "%%" : String(character) }
        return result
    }

    /// The sentence as in the source.
    public var english: String { written(nil) }
    public var description: String { english }

    /// The sentence in the reader's language. See `Catalogue.choose`.
    public var text: String { written(Catalogue.current) }

    fileprivate func written(_ catalogue: Catalogue?) -> String {
        let words: String
        if let translation = catalogue.flatMap(translation) {
            words = translation
        } else if case .other(let other, let count) = plural, count != 1 {
            words = other
        } else {
            words = template
        }
        if values.isEmpty { return words }
        return Phrase.substitute(values.map { $0.written(catalogue) }, in: words)
    }

    func isKnown(to catalogue: Catalogue) -> Bool { translation(catalogue) != nil }

    private func translation(_ catalogue: Catalogue) -> String? {
        switch plural {
        // The empty key is the catalogue's header. A single value has nothing to translate.
        case .none: template.isEmpty || template == "%s" ? nil : catalogue.translation(of: template)
        case .other(let other, let count): catalogue.translation(of: template, other, count: count)
        }
    }
}

// MARK: - Values

extension Phrase {
    /// Inserts values into a template. `%s` takes the next value, `%2$s` the second, and `%%` is a percent sign.
    ///
    /// A translator's mistake must not crash a program. So a placeholder without a value becomes empty, and any other
    /// `%` is kept. `make lint` reports both.
    private static func substitute(_ values: [String], in template: String) -> String {
        var result: [UInt8] = []
        var next = 0
        var rest = Array(template.utf8)[...]
        while let byte = rest.popFirst() {
            var index: Int?
            if byte == UInt8(ascii: "%") {
                if rest.first == UInt8(ascii: "%") {
                    rest.removeFirst()
                } else if rest.first == UInt8(ascii: "s") {
                    rest.removeFirst()
                    index = next
                    next += 1
                } else if let (number, length) = place(rest) {
                    rest.removeFirst(length)
                    index = number - 1
                }
            }
            if let index {
                if values.indices.contains(index) { result += Array(values[index].utf8) }
            } else {
                result.append(byte)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The number in `2$s`, and the length of the placeholder in bytes.
    private static func place(_ bytes: ArraySlice<UInt8>) -> (number: Int, length: Int)? {
        let digits = bytes.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard (1...2).contains(digits.count), bytes.dropFirst(digits.count).starts(with: "$s".utf8) else { return nil }
        return (digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }, digits.count + 2)
    }
}

/// JSON contains the English sentence.
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
    /// Collects the words and values of a literal.
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

/// A type that has a description for people, such as an error. Its `description` is English.
public protocol PhraseConvertible: CustomStringConvertible {
    var phrase: Phrase { get }
}

extension PhraseConvertible {
    public var description: String { phrase.english }
}
