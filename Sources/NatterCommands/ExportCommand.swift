internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `export CONV`: a conversation for other programs.
enum ExportCommand {
    static let spec = CommandSpec(
        "export", "print a conversation as JSON objects, one a line", group: NatterProgram.Group.reading,
        operands: [.required("CONV", "the conversation")],
        description: [
            "Prints every message with its seq, ts (Unix milliseconds), sender and text: what 'natterd import' reads. "
                + "Syncs first, unless --offline is given. What is missing is named on standard error, and the status is "
                + "74 then."
        ],
        examples: [Example("natter export general >general.ndjson", "all of it, into a file")], run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let name = arguments.operand("CONV") ?? ""
        let mirror = try Mirror(context)
        let state = try mirror.refresh(.completely)
        guard let replica = try mirror.replica() else { throw mirror.nothingThere(state) }
        guard let conversation = try replica.conversation(named: name) else {
            try mirror.checkExistence(of: name, replica, state)
            return .success
        }
        var isWhole = conversation.first == Seq(1)
        if !isWhole {
            console.note(
                "messages 1 to \(conversation.first.previous) of '\(name)' are not here: the replica begins later")
        }
        try replica.forward(conversation, MessageFilter()) { piece in
            switch piece {
            case .messages(let run):
                for message in run.messages() { try console.output.writeJSON(WireJSON.encode(ExportLine(message))) }
            case .missing(_, let range, _):
                isWhole = false
                console.note("messages \(range.lowerBound) to \(range.upperBound) of '\(name)' are missing")
            }
            return true
        }
        try console.output.flush()
        return isWhole ? .success : .inputOutput
    }
}
