public import NatterLanguage

/// Why a pattern can't be looked for.
public enum PatternError: Error, Equatable, PhraseConvertible {
    /// It is no regular expression. The offset counts characters from its beginning, 0 for the first.
    case invalid(pattern: String, offset: Int, reason: String)
    case tooLong(beginning: String)
    /// A text would have taken too many steps, or too much memory.
    case runaway(pattern: String)
    /// There is no memory, or the library failed.
    case failed(pattern: String, reason: String)

    public var phrase: Phrase {
        switch self {
        case .invalid(let pattern, let offset, let reason):
            "'\(pattern)' is not a regular expression: \(reason), at offset \(offset); see pcre2pattern(3)"
        case .tooLong(let beginning): "what begins with '\(beginning)' is too long to be looked for"
        case .runaway(let pattern):
            "'\(pattern)' takes too many steps in one of the messages; repeat less inside of what is repeated itself"
        case .failed(let pattern, let reason): "cannot look for '\(pattern)': \(reason)"
        }
    }
}
