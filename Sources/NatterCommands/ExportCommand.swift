internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `export CONV|--all`: prints conversations for other programs.
enum ExportCommand {
    static let spec = CommandSpec(
        "export", "print a conversation for other programs: JSON, mail, or one page",
        group: NatterProgram.Group.reading,
        options: [
            HistoryFormat.option, .flag("all", "export all conversations, also those that you have left"),
            .option(
                "to", value: "DIR", "with --all, write a file for each conversation into DIR",
                long:
                    "natter makes DIR if it is not there, and overwrites no file: the exit status is then 73. Without it, the "
                    + "conversations follow one another, and each JSON object has its 'conversation'."),
        ],
        operands: [.optional("CONV", "the conversation")],
        description: [
            "Print every message with its seq, ts (Unix milliseconds), sender and text, as 'natterd import' reads it; "
                + "with --format mbox as mail, with --format html as a page. Sync first, unless you give --offline. If "
                + "messages are missing, standard error names them and the exit status is 74."
        ],
        examples: [
            Example("natter export general >general.ndjson", "export a conversation into a file"),
            Example("natter export --all --to mine", "take all that you can read, a file for each conversation"),
            Example("natter export ops --format mbox >ops && mutt -f ops", "read it as mail"),
        ], run: run)

    private static let run: CommandBody = inContext { context in
        let arguments = context.arguments
        let (name, directory, isAll) = (arguments.operand("CONV"), arguments.value("to"), arguments.flag("all"))
        guard (name == nil) == isAll else { throw arguments.error("'export' takes either a conversation or --all") }
        guard isAll || directory == nil else { throw arguments.error("--to goes with --all") }
        let format = HistoryFormat(arguments)
        if context.wantsJSON, format != .ndjson {
            throw arguments.error("--format \(format.rawValue) cannot be combined with --json")
        }
        guard let name else { return try all(context, format, to: directory) }
        var export = try HistoryExport(context, format)
        guard let conversation = try export.conversation(named: name) else {
            var writer = format.writer(for: name, nil)
            try put(to: context.console.output) { writer?.begin(&$0) }
            try put(to: context.console.output) { writer?.end(&$0) }
            return .success
        }
        try export.write(conversation, to: context.console.output)
        return try export.finish()
    }

    /// Exports all conversations of the replica, also those that the user has left.
    ///
    /// - Parameter path: a directory that gets a file for each; nil to write them to standard output, one after another.
    static func all(_ context: Context, _ format: HistoryFormat, to path: String?) throws -> ExitCode {
        guard path != nil || format != .html else {
            throw context.arguments.error("--format html gives a page for each conversation; give --to DIR")
        }
        let directory = try path.map { try ExportDirectory($0) }
        var export = try HistoryExport(context, format)
        for conversation in try export.replica.conversations(includingGone: true) {
            guard let directory else {
                try export.write(conversation, to: context.console.output, namesConversation: true)
                continue
            }
            let file = try directory.file(conversation.name, conversation.id.description, format.rawValue)
            try export.write(conversation, to: file.output)
            try file.finish()
        }
        return try export.finish()
    }

    fileprivate static func put(to output: Output, _ write: (inout [UInt8]) -> Void) throws {
        var bytes: [UInt8] = []
        write(&bytes)
        try output.write(bytes)
    }
}

/// Writes conversations of the replica after a sync.
private struct HistoryExport {
    let replica: Replica
    private let context: Context
    private let format: HistoryFormat
    private let synced: SyncedReplica
    private let state: SyncedReplica.State
    private var missing: [Phrase] = []

    init(_ context: Context, _ format: HistoryFormat) throws {
        (self.context, self.format) = (context, format)
        synced = try SyncedReplica(context)
        state = try synced.refresh(.completely)
        replica = try synced.replica(after: state)
    }

    func conversation(named name: String) throws -> ReplicaConversation? {
        try synced.conversation(named: name, in: replica, state)
    }

    /// - Parameter namesConversation: whether each line of JSON has the conversation.
    mutating func write(
        _ conversation: ReplicaConversation, to output: Output, namesConversation: Bool = false
    ) throws {
        let name = conversation.name
        if let reason = conversation.goneReason { synced.notes.tell(gone: name, reason: reason) }
        var writer = format.writer(for: name, conversation.id)
        try ExportCommand.put(to: output) { writer?.begin(&$0) }
        // Messages that retention has removed are nowhere any more, so an export without them is whole.
        if conversation.first > conversation.serverFirst {
            let (from, to) = (conversation.serverFirst, conversation.first.previous)
            missing.append("messages \(from) to \(to) of '\(name)' are not in the replica, which begins later")
            try ExportCommand.put(to: output) { writer?.missing(from: from, to: to, &$0) }
        } else if conversation.first > Seq(1) {
            context.note("older messages are not kept: the first of '\(name)' is \(conversation.first)")
        }
        var gaps = ExportGaps(before: conversation.first)
        var filter = MessageFilter()
        filter.isFolded = true
        try replica.forward(conversation, filter) { piece in
            switch piece {
            case .messages(let run):
                for message in try replica.changed(run, folds: true) ?? run.messages() {
                    if writer == nil {
                        guard var line = gaps.line(ExportLine(message)) else { continue }
                        if namesConversation { line.conversation = name }
                        try output.writeJSON(WireJSON.encode(line))
                    } else {
                        try ExportCommand.put(to: output) { writer?.write(HistoryMessage(message), to: &$0) }
                    }
                }
            case .missing(_, let range, .notKept):
                gaps.add(range)
                context.note("messages \(range.lowerBound) to \(range.upperBound) of '\(name)' are not kept any more")
            case .missing(_, let range, _):
                gaps.add(range)
                missing.append("messages \(range.lowerBound) to \(range.upperBound) of '\(name)' are missing")
                try ExportCommand.put(to: output) {
                    writer?.missing(from: range.lowerBound, to: range.upperBound, &$0)
                }
            }
            return true
        }
        // A sync that stopped early knows how far the conversation goes.
        if conversation.serverHead > conversation.head {
            let (from, to) = (conversation.head.next, conversation.serverHead)
            missing.append("messages \(from) to \(to) of '\(name)' are missing")
            try ExportCommand.put(to: output) { writer?.missing(from: from, to: to, &$0) }
        }
        try ExportCommand.put(to: output) { writer?.end(&$0) }
    }

    /// Says which messages are missing.
    func finish() throws -> ExitCode {
        try context.console.output.flush()
        guard !missing.isEmpty else { return .success }
        // An error is one object with --json.
        if context.wantsJSON { throw CommandFailure(.inputOutput, code: "damaged", .list(missing, separator: "; ")) }
        for hole in missing { context.console.note(hole) }
        return .inputOutput
    }
}
