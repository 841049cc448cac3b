public import NatterLanguage

/// A command line that makes no sense: exit code 64.
public struct UsageError: Error, Equatable, PhraseConvertible {
    /// One line, without the program's name; lower case, no full stop.
    public let message: Phrase
    /// Where to read on, such as `see 'natter help log'`.
    public let remedy: Phrase
    /// Whether `--json` was among the words, so that the error is told in that form too.
    public var asksForJSON = false

    public init(_ message: Phrase, remedy: Phrase) { (self.message, self.remedy) = (message, remedy) }

    public var phrase: Phrase { "\(message); \(remedy)" }
}
