internal import NatterCommandLine
internal import NatterModel
internal import NatterProtocol

extension CommandSpec {
    static let retain = CommandSpec(
        "retain", "set how long the messages of a conversation are kept", group: "Administration",
        operands: [
            .conversation,
            .required("TIME", "days, such as '90d', or 'forever'"),
        ],
        description: [
            "Messages that are older go for good, with their place on the disk: at once, and then once an hour while a "
                + "server runs. Whole blocks go, so a message may stay until its neighbours in the log are due, too. The "
                + "numbers of messages do not change.",
            "No conversation is kept longer than 'natterd serve --retain' says; 'forever' means as long as that. "
                + "Messages that clients have synced stay with them unless 'natter config set retention follow' is set there.",
        ],
        examples: [Example("natterd retain general 365d", "keep a year of 'general'")],
        run: RetainCommand.run)
}

/// `retain CONV 90d|forever`.
enum RetainCommand {
    static func run(_ arguments: Arguments, _ console: Console) throws -> ExitCode {
        let retention = try Question.retention(of: arguments.conversation, arguments, console)
        let client = OperatorClient(arguments: arguments, console: console) { reply in
            guard case .retained(let object) = reply else { return }
            try console.report(
                object, arguments,
                object.first > 1
                    ? "'\(object.conversation)' keeps messages: \(object.retain); the first is \(object.first)"
                    : "'\(object.conversation)' keeps messages: \(object.retain)")
        }
        return try client.perform(.retain(conversation: arguments.conversation, retain: retention.description))
    }
}
