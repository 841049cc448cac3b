internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `export CONV`: prints a conversation for other programs.
enum ExportCommand {
    static let spec = CommandSpec(
        "export", "print a conversation for other programs: JSON, mail, or one page",
        group: NatterProgram.Group.reading,
        options: [HistoryFormat.option],
        operands: [.required("CONV", "the conversation")],
        description: [
            "Print every message with its seq, ts (Unix milliseconds), sender and text, as 'natterd import' reads it; "
                + "with --format mbox as mail, with --format html as a page. Sync first, unless you give --offline. If "
                + "messages are missing, standard error names them and the exit status is 74."
        ],
        examples: [
            Example("natter export general >general.ndjson", "export a conversation into a file"),
            Example("natter export ops --format mbox >ops && mutt -f ops", "read it as mail"),
        ], run: run)

    private static let run: CommandBody = inContext { context in
        let console = context.console
        let name = context.arguments.required("CONV")
        let format = HistoryFormat(context.arguments)
        if context.wantsJSON, format != .ndjson {
            throw context.arguments.error("--format \(format.rawValue) cannot be combined with --json")
        }
        let synced = try SyncedReplica(context)
        let state = try synced.refresh(.completely)
        let replica = try synced.replica(after: state)
        guard let conversation = try synced.conversation(named: name, in: replica, state) else {
            var writer = format.writer(for: name, nil)
            try put(to: console) { writer?.begin(&$0) }
            try put(to: console) { writer?.end(&$0) }
            return .success
        }
        if let reason = conversation.goneReason { synced.notes.tell(gone: conversation.name, reason: reason) }
        var writer = format.writer(for: conversation.name, conversation.id)
        try put(to: console) { writer?.begin(&$0) }
        var missing: [Phrase] = []
        // Messages that retention has removed are nowhere any more, so an export without them is whole.
        if conversation.first > conversation.serverFirst {
            let (from, to) = (conversation.serverFirst, conversation.first.previous)
            missing.append("messages \(from) to \(to) of '\(name)' are not in the replica, which begins later")
            try put(to: console) { writer?.missing(from: from, to: to, &$0) }
        } else if conversation.first > Seq(1) {
            context.note("older messages are not kept: the first of '\(conversation.name)' is \(conversation.first)")
        }
        var gaps = ExportGaps(before: conversation.first)
        var filter = MessageFilter()
        filter.isFolded = true
        try replica.forward(conversation, filter) { piece in
            switch piece {
            case .messages(let run):
                for message in try replica.changed(run, folds: true) ?? run.messages() {
                    if writer == nil {
                        guard let line = gaps.line(ExportLine(message)) else { continue }
                        try console.output.writeJSON(WireJSON.encode(line))
                    } else {
                        try put(to: console) { writer?.write(HistoryMessage(message), to: &$0) }
                    }
                }
            case .missing(_, let range, .notKept):
                gaps.add(range)
                context.note("messages \(range.lowerBound) to \(range.upperBound) of '\(name)' are not kept any more")
            case .missing(_, let range, _):
                gaps.add(range)
                missing.append("messages \(range.lowerBound) to \(range.upperBound) of '\(name)' are missing")
                try put(to: console) { writer?.missing(from: range.lowerBound, to: range.upperBound, &$0) }
            }
            return true
        }
        // A sync that stopped early knows how far the conversation goes.
        if conversation.serverHead > conversation.head {
            let (from, to) = (conversation.head.next, conversation.serverHead)
            missing.append("messages \(from) to \(to) of '\(name)' are missing")
            try put(to: console) { writer?.missing(from: from, to: to, &$0) }
        }
        try put(to: console) { writer?.end(&$0) }
        try console.output.flush()
        guard !missing.isEmpty else { return .success }
        // An error is one object with --json.
        if context.wantsJSON { throw CommandFailure(.inputOutput, code: "damaged", .list(missing, separator: "; ")) }
        for hole in missing { console.note(hole) }
        return .inputOutput
    }

    private static func put(to console: Console, _ write: (inout [UInt8]) -> Void) throws {
        var bytes: [UInt8] = []
        write(&bytes)
        try console.output.write(bytes)
    }
}
