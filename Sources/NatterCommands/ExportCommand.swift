internal import NatterArchive
internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `export CONV`: prints a conversation for other programs.
enum ExportCommand {
    static let spec = CommandSpec(
        "export", "print a conversation as JSON, one object per line", group: NatterProgram.Group.reading,
        operands: [.required("CONV", "the conversation")],
        description: [
            "Print every message with its seq, ts (Unix milliseconds), sender and text, as 'natterd import' reads it. "
                + "Syncs first, unless you give --offline. If messages are missing, standard error names them and "
                + "the exit status is 74."
        ],
        examples: [Example("natter export general >general.ndjson", "export a conversation into a file")], run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let name = arguments.operand("CONV") ?? ""
        let synced = try SyncedReplica(context)
        let state = try synced.refresh(.completely)
        guard let replica = try synced.replica() else { throw synced.nothingThere(state) }
        guard let conversation = try replica.conversation(named: name) else {
            try synced.checkExistence(of: name, replica, state)
            return .success
        }
        var isWhole = conversation.first == Seq(1)
        if !isWhole {
            console.note(
                "messages 1 to \(conversation.first.previous) of '\(name)' are not in the replica, which begins later")
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
