internal import NatterCLI
internal import NatterClient
internal import NatterWire

/// `doctor`: what is not as it should be, and what to do about it.
enum DoctorCommand {
    static let spec = CommandSpec(
        "doctor", "look for what is wrong, and say what to do", group: NatterProgram.Group.account,
        description: [
            "Looks at the server, the clocks, the certificate, the session, the modes of files, the settings, the replica, "
                + "the outbox and the search index. It changes nothing and sends no message.",
            "Prints a line for each finding: what is wrong, and what to do. The status is 1 with a finding, 0 without. "
                + "With --verbose, what is well is told on standard error.",
        ],
        examples: [Example("natter doctor", "before asking somebody")], run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        var examination = Examination(context)
        try examination.run()
        for finding in examination.findings {
            if context.wantsJSON {
                try console.output.writeJSON(WireJSON.encode(finding))
            } else {
                try console.output.writeLine(TerminalText.escaped(finding.line))
            }
        }
        try console.output.flush()
        guard examination.findings.isEmpty else { return .nothingFound }
        context.confirm("nothing is wrong")
        return .success
    }
}
