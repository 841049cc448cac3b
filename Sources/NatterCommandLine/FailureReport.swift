internal import FoundationEssentials
// Each command throws failures and returns exit codes.
@_exported public import NatterModel

/// An invalid command line: exit code 64.
public struct UsageError: FailureConvertible, Equatable {
    /// One line without the program's name, in lower case and without a full stop.
    public let message: Phrase
    /// Where to find help, such as `see 'natter help log'`.
    public let remedy: Phrase
    /// True if `--json` was given. Then the error is reported as JSON.
    public var asksForJSON = false

    public init(_ message: Phrase, remedy: Phrase) { (self.message, self.remedy) = (message, remedy) }

    public var failure: CommandFailure { CommandFailure(.usage, code: "usage", message, remedy: remedy) }
}

/// Prints a failure: one line on standard error, or one JSON object.
public enum FailureReport {
    /// - Parameters:
    ///   - json: prints `{"error":{"code","exit","message"}}` instead of `natter: message`.
    ///   - output: standard error. Write errors are ignored, because they can't be reported anywhere.
    public static func write(_ failure: CommandFailure, json: Bool, program: String, to output: Output) {
        if failure.exitCode == .closedPipe { return }
        var line: [UInt8] = []
        if json, let object = object(for: failure) {
            TerminalText.append(escaping: object, .json, to: &line)
        } else {
            TerminalText.append(escaping: program, .line, to: &line)
            line += Array(": ".utf8)
            TerminalText.append(escaping: failure.message.text, .line, to: &line)
        }
        line.append(UInt8(ascii: "\n"))
        try? output.write(line)
        try? output.flush()
    }

    private struct Report: Encodable {
        struct Body: Encodable {
            let code: String
            let message: String
            let exit: Int32
        }
        let error: Body
    }

    private static func object(for failure: CommandFailure) -> [UInt8]? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let body = Report.Body(code: failure.code, message: failure.message.english, exit: failure.exitCode.rawValue)
        return (try? encoder.encode(Report(error: body))).map { Array($0) }
    }
}
