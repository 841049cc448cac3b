internal import FoundationEssentials
internal import NatterLanguage

/// How a failure is told: one line on standard error, or one JSON object.
public enum FailureReport {
    /// - Parameters:
    ///   - json: `{"error":{"code","exit","message"}}` in place of `natter: message`.
    ///   - output: standard error. What cannot be written there is lost: there is no place left to tell it.
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
