internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `ls`: the conversations.
enum ListCommand {
    static let spec = CommandSpec(
        "ls", "list the conversations", group: NatterProgram.Group.reading,
        description: [
            "Prints each conversation with the number of messages that are unread and its last message, the one with the "
                + "newest first, after a quick sync as 'log' makes one.",
            "What has been read is kept on the server, for all machines; 'mark' and 'log --mark' say so.",
        ],
        examples: [Example("natter ls", "where something is new")], run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let mirror = try Mirror(context)
        let state = try mirror.refresh(.quickly)
        guard let replica = try mirror.replica() else { throw mirror.nothingThere(state) }
        let conversations = try replica.conversations().sorted {
            ($0.latestTime, $1.name) > ($1.latestTime, $0.name)
        }
        if context.wantsJSON {
            for conversation in conversations {
                try console.output.writeJSON(WireJSON.encode(try ConversationObject(conversation, in: replica)))
            }
        } else {
            try write(conversations, replica, context)
        }
        try console.output.flush()
        return .success
    }

    /// Characters of a last message that are shown.
    private static let excerptLength = 60

    private static func write(
        _ conversations: [ReplicaConversation], _ replica: Replica, _ context: Context
    ) throws {
        let isTerminal = context.console.output.isTerminal
        var table = Table(
            [.left, .right, .left, .text], header: isTerminal ? ["NAME", "UNREAD", "LAST", "MESSAGE"] : nil)
        for conversation in conversations {
            let last = try ConversationObject(conversation, in: replica).last
            let time = last.flatMap { Timestamp(rfc3339: $0.time) }
            let shown = time.map { isTerminal ? Age.text(of: $0, now: context.now).text : $0.rfc3339 } ?? ""
            let line = last.map { ListCommand.line(of: $0, context.console.output) } ?? ""
            let excerpt = isTerminal && line.count > excerptLength ? line.prefix(excerptLength) + "…" : line[...]
            table.add([conversation.name, String(conversation.unread), shown, String(excerpt)])
        }
        try table.write(to: context.console.output, paint: context.paint)
    }

    /// The beginning of a message, as `log` would print it.
    private static func line(of message: MessageObject, _ output: Output) -> String {
        if message.kind == MessageKind.event.name {
            return "* \(message.sender) \(output.word(EventText.phrase(message.text)))"
        }
        return "\(message.sender): \(message.text.prefix { $0 != "\n" && $0 != "\r\n" })"
    }
}
