internal import NatterCommandLine
internal import NatterModel

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
struct Finding: Encodable {
    /// The area that was checked.
    enum Check: String, Encodable {
        case server, clock, certificate, session, files, settings, replica, outbox
    }

    let check: Check
    let problem: Phrase
    let remedy: Phrase

    init(_ check: Check, _ problem: Phrase, _ remedy: Phrase) {
        (self.check, self.problem, self.remedy) = (check, problem, remedy)
    }

    /// Makes a finding of an error that may name its remedy.
    ///
    /// - Parameter remedy: used if the error names none.
    init(_ check: Check, _ error: any Error, else remedy: Phrase) {
        let failure = CommandFailure(error)
        self.init(check, failure.problem, failure.remedy ?? remedy)
    }

    /// The translated finding.
    var line: String { "\(problem.text): \(remedy.text)" }
}
