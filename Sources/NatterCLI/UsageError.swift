/// A command line that makes no sense: exit code 64.
public struct UsageError: Error, Equatable, CustomStringConvertible {
    /// One line, without the program's name; lower case, no full stop.
    public let message: String
    /// Where to read on, such as `see 'natter help log'`.
    public let remedy: String
    /// Whether `--json` was among the words, so that the error is told in that form too.
    public var asksForJSON = false

    public init(_ message: String, remedy: String) { (self.message, self.remedy) = (message, remedy) }

    public var description: String { "\(message); \(remedy)" }
}
