/// A phrase on its way to another process, which may speak another language.
public struct PhraseParts: Codable, Sendable, PhraseConvertible {
    private enum Value: Codable {
        case string(String)
        case phrase(PhraseParts)
    }

    private let template: String
    private let values: [Value]
    /// The form for all numbers but one, and the number.
    private let other: String?
    private let count: UInt?

    public init(_ phrase: Phrase) {
        template = phrase.template
        values = phrase.values.map { value in
            switch value {
            case .string(let text): .string(text)
            case .phrase(let phrase): .phrase(PhraseParts(phrase))
            }
        }
        (other, count) = if case .other(let other, let count) = phrase.plural { (other, count) } else { (nil, nil) }
    }

    public var phrase: Phrase {
        let values = values.map { value -> Phrase.Value in
            switch value {
            case .string(let text): .string(text)
            case .phrase(let parts): .phrase(parts.phrase)
            }
        }
        guard let other, let count else { return Phrase(template: template, values: values) }
        return Phrase(template: template, values: values, plural: .other(template: other, count: count))
    }
}
