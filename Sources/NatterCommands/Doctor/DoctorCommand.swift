internal import NatterCLI

/// `doctor`: finds problems and says how to fix them.
enum DoctorCommand {
    static let spec = CommandSpec(
        "doctor", "find problems and say how to fix them", group: NatterProgram.Group.account,
        description: [
            "Check the server, the clocks, the certificate, the session, file modes, the settings, the replica, the "
                + "outbox and the search index. It changes nothing and sends no message.",
            "Print a line for each problem and how to fix it. The exit status is 1 if there are problems. With "
                + "--verbose, also report what is fine, on standard error.",
        ],
        examples: [Example("natter doctor", "check everything before you ask for help")], run: run)

    private static let run: CommandBody = inContext { context in
        var check = HealthCheck(context)
        try check.run()
        for finding in check.findings {
            if try context.writeJSON(finding) { continue }
            try context.console.output.writeLine(TerminalText.escaped(finding.line))
        }
        try context.console.output.flush()
        guard check.findings.isEmpty else { return .nothingFound }
        context.confirm("nothing is wrong")
        return .success
    }
}

/// A problem and its remedy.
struct Finding: Encodable, Equatable {
    /// The area that was checked.
    enum Check: String, Encodable {
        case server, clock, certificate, session, files, settings, replica, outbox
    }

    private enum Words: Equatable {
        case said(problem: Phrase, remedy: Phrase)
        /// An error. Our errors name the remedy after the last semicolon, if they name one.
        case error(Phrase, otherwise: Phrase)
    }

    let check: Check
    private let words: Words

    init(_ check: Check, _ problem: Phrase, _ remedy: Phrase) {
        (self.check, words) = (check, .said(problem: problem, remedy: remedy))
    }

    /// Makes a finding of an error that may name its remedy.
    ///
    /// - Parameter remedy: used if the error names none.
    init(_ check: Check, _ error: any Error, else remedy: Phrase) {
        (self.check, words) = (check, .error(ExitCodes.translate(error).message, otherwise: remedy))
    }

    func isSameError(as other: Finding) -> Bool {
        guard case .error(let own, _) = words, case .error(let theirs, _) = other.words else { return false }
        return own == theirs
    }

    /// The translated finding.
    var line: String {
        let (problem, remedy) = parts(\.text)
        return "\(problem): \(remedy)"
    }

    private func parts(_ language: (Phrase) -> String) -> (problem: String, remedy: String) {
        switch words {
        case .said(let problem, let remedy): return (language(problem), language(remedy))
        case .error(let error, let otherwise):
            let message = language(error)
            var separator = message.endIndex
            for index in message.indices where message[index...].hasPrefix("; ") { separator = index }
            guard separator < message.endIndex else { return (message, language(otherwise)) }
            return (String(message[..<separator]), String(message[separator...].dropFirst(2)))
        }
    }

    private enum CodingKeys: String, CodingKey {
        case check, problem, remedy
    }

    func encode(to encoder: any Encoder) throws {
        let (problem, remedy) = parts(\.english)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(check, forKey: .check)
        try container.encode(problem, forKey: .problem)
        try container.encode(remedy, forKey: .remedy)
    }
}
