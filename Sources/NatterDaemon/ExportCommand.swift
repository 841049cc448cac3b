internal import NatterCLI
internal import NatterServer

extension CommandSpec {
    static let export = CommandSpec(
        "export", "print a conversation as JSON objects, one a line", group: "Conversations",
        operands: [.required("CONV", "'general', a group, or '@alice,@bob' for what two users wrote to each other")],
        description: [
            "Prints 'seq', 'sender', 'text' and 'ts' (Unix time in milliseconds) of each message, in order; 'kind' "
                + "where it is no plain text.",
            "If something is damaged, what is whole is printed, the missing ranges are named on standard error, and "
                + "the status is 74.",
        ],
        examples: [Example("natterd export general > general.ndjson", "take a conversation out")],
        run: ExportCommand.run)
}

enum ExportCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let name = Normalization.formC(arguments.operand("CONV") ?? "")
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .damagedRange(let name, let from, let to, let detail) = reply else { return }
            console.note("messages \(from) to \(to) of '\(name)' can't be read: \(detail)")
        }
        return try client.perform(.export(conversation: name))
    }
}
