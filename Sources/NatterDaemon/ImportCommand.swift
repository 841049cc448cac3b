internal import NatterCLI
internal import NatterServer
internal import NatterWire

extension CommandSpec {
    static let importing = CommandSpec(
        "import", "append messages of elsewhere to a conversation", group: "Conversations",
        options: [.flag("json", "print what was done as one JSON object")],
        operands: [
            .required("CONV", "'general', a group, or the name of a new private group"),
            .required("FILE", "JSON objects, one a line; '-' is standard input"),
        ],
        description: [
            "Each line has a 'ts' (Unix time in milliseconds), a 'sender' (a label of 1 to 64 bytes) and a 'text' (at "
                + "most 65536 bytes, it may be empty). Other fields are ignored, blank lines are skipped.",
            "All of FILE is read and checked before the first number is given: at a bad line, which is named by its "
                + "number, the status is 65 and nothing is kept. When the command ends, all is sealed.",
        ],
        examples: [
            Example("natterd import general old.ndjson", "bring a history along"),
            Example("natterd export general | natterd --data /srv/copy import general -", "copy a conversation"),
        ],
        run: ImportCommand.run)
}

enum ImportCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let name = Normalization.formC(arguments.operand("CONV") ?? "")
        let file = try InputFile(arguments.operand("FILE") ?? "-")
        let client = OperatorClient(arguments: arguments, console: console, input: file) { reply in
            guard case .imported(let report) = reply else { return }
            try tell(report, arguments, console)
        }
        return try client.perform(.importing(conversation: name, file: file.label))
    }

    private static func tell(_ report: ImportReport, _ arguments: Arguments, _ console: Console) throws {
        if arguments.flag("json") {
            try console.output.write(WireJSON.encode(report) + [0x0A])
        } else if report.count == 0 {
            console.note("nothing to import into '\(report.conversation)'")
        } else {
            console.note(
                .plural(
                    report.count,
                    "imported \(report.count) message into '\(report.conversation)', \(report.first) to \(report.last)",
                    "imported \(report.count) messages into '\(report.conversation)', \(report.first) to "
                        + "\(report.last)"))
        }
    }
}
