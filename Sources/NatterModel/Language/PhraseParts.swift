/// A phrase for another process, which may use another language: `{"key","values"}`. A plural also has `"plural"`, the
/// form for all numbers except 1, and `"count"`. A value is a string or a phrase.
///
/// Errors of the API contain it beside their English message. So do replies of a running server to natterd's own
/// commands.
public struct PhraseParts: Codable, Sendable, Equatable, PhraseConvertible {
    /// The maximum length of the path to a value in the decoded JSON. Each nested phrase adds two steps, so this allows
    /// about eight levels. Deeper nesting is refused, so that no sender can exhaust the stack.
    fileprivate static let pathLimit = 20

    fileprivate enum Value: Sendable, Equatable {
        case string(String)
        case phrase(PhraseParts)
    }

    private let key: String
    private let values: [Value]
    private let plural: String?
    private let count: UInt?

    public init(_ phrase: Phrase) {
        key = phrase.template
        values = phrase.values.map { value in
            switch value {
            case .string(let text): .string(text)
            case .phrase(let phrase): .phrase(PhraseParts(phrase))
            }
        }
        (plural, count) = if case .other(let other, let count) = phrase.plural { (other, count) } else { (nil, nil) }
    }

    public var phrase: Phrase {
        let values = values.map { value -> Phrase.Value in
            switch value {
            case .string(let text): .string(text)
            case .phrase(let parts): .phrase(parts.phrase)
            }
        }
        guard let plural, let count else { return Phrase(template: key, values: values) }
        return Phrase(template: key, values: values, plural: .other(template: plural, count: count))
    }
}

extension PhraseParts.Value: Codable {
    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard decoder.codingPath.count <= PhraseParts.pathLimit else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "the phrases nest too deeply")
        }
        if let text = try? container.decode(String.self) {
            self = .string(text)
        } else {
            self = .phrase(try container.decode(PhraseParts.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .string(let text): try container.encode(text)
        case .phrase(let parts): try container.encode(parts)
        }
    }
}

extension Phrase {
    /// The message of another program, translated if possible.
    ///
    /// The parts decide only the language of a message, never its content. They are used only if they make the same
    /// English, and if the catalogue has their key. So a server cannot send different content to readers of different
    /// languages, and the result is no longer than its message.
    ///
    /// - Parameter message: in English.
    public init(_ parts: PhraseParts?, saying message: String) {
        guard let catalogue = Catalogue.current, let phrase = parts?.phrase, phrase.isKnown(to: catalogue),
            phrase.english == message
        else {
            self.init(verbatim: message)
            return
        }
        self = phrase
    }
}
