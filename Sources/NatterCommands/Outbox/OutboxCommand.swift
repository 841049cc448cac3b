internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `outbox ls|retry|drop`: manages the messages that `send --queue` has kept.
enum OutboxCommand {
    static let spec = CommandSpec(
        "outbox", "list, retry or drop unsent messages", group: NatterProgram.Group.writing, bare: "ls",
        subcommands: [list, retry, drop],
        description: [
            "'natter send --queue' keeps messages that it cannot send in the outbox; edit, delete and mark can do so, too. "
                + "Every command that uses your session, except doctor, logout, passwd and whoami, sends them, in order "
                + "and each once. 'natter sync' takes as long as it needs to send all of them.",
            "If the server refuses a message, it is parked in the outbox with the reason, and the messages behind it "
                + "are still sent.",
            "A message stays with its group. If the group is renamed while the message waits, and another group takes its "
                + "name, the message still goes to the one that the replica knew by that name when you queued it.",
            "If no answer came to a message, the server may have it, and the same id keeps it from arriving twice. After "
                + "30 days the server may have forgotten the id: the message is parked as 'unknown'. Look for it in the "
                + "conversation before you retry or drop it.",
            "If the server was restored from a backup and has lost messages of yours, the next sync parks them in the "
                + "outbox as 'lost'. 'natter outbox retry' sends them again, each once, no matter from how many "
                + "machines you run it.",
        ],
        examples: [
            Example("natter outbox ls", "see what is unsent, and what was refused and why"),
            Example("natter outbox drop 3", "drop message 3"),
        ])

    private static let list = CommandSpec(
        "ls", "list unsent and refused messages",
        description: [
            "Print a line for each message: its number, when it was queued, 'waiting', 'refused', 'unknown' or 'lost', "
                + "the conversation, its id, the text, and the reason if it was parked. 'reply to N', 'edit of N', "
                + "'deletion of N' or 'mark up to N' says what is no new message. It does not contact the server."
        ],
        run: inContext(list))

    private static let retry = CommandSpec(
        "retry", "send refused messages again",
        operands: [
            .optional("ID", isRepeating: true, "the number or id of a message (default: all that were refused)")
        ],
        description: [
            "Put refused messages back into their old places and send everything. If a message is refused, it is "
                + "parked and the exit status says why."
        ],
        run: inContext { try retry($0.arguments.operands("ID"), $0) })

    private static let drop = CommandSpec(
        "drop", aliases: ["rm"], "drop messages",
        options: [.flag("all", "drop everything, waiting or refused")],
        operands: [.optional("ID", isRepeating: true, "the number or id of a message")],
        description: [
            "Drop messages. If a message was tried before and got no answer, the server may have it anyway."
        ],
        run: inContext { try drop($0.arguments.operands("ID"), $0) })

    private static func list(_ context: Context) throws -> ExitCode {
        let output = context.console.output
        var failure: (any Error)?
        let isTerminal = output.isTerminal
        var table = Table(
            [.right, .left, .left, .left, .left, .text, .text],
            header: isTerminal ? ["NUMBER", "QUEUED", "STATE", "TO", "ID", "TEXT", "REASON"] : nil)
        var isEmpty = true
        let now = context.now
        try context.outbox().forEach { entry in
            isEmpty = false
            do {
                try context.writeJSON(OutboxObject(entry))
            } catch {
                failure = error
            }
            if !context.wantsJSON { table.add(cells(of: entry, now: isTerminal ? now : nil, output)) }
            return failure == nil
        }
        if let failure { throw failure }
        defer { context.tellOutboxesOfOtherTokens() }
        guard !context.wantsJSON else { return .success }
        // An empty list has no header.
        guard !isEmpty else {
            context.confirm("the outbox is empty")
            return .success
        }
        try table.write(to: output, paint: context.paint)
        return .success
    }

    /// - Parameter now: prints an age instead of the time. It is nil in a pipe.
    private static func cells(of entry: OutboxEntry, now: Timestamp?, _ output: Output) -> [String] {
        let queued = now.map { Age.text(of: entry.queued, now: $0).text } ?? entry.queued.rfc3339
        let (state, reason): (Phrase, String) =
            switch entry.state {
            case .waiting: ("waiting", "")
            case .refused("lost", let reason): ("lost", reason)
            case .refused(ErrorCode.outcomeUnknown.rawValue, let reason): ("unknown", reason)
            case .refused(_, let reason): ("refused", reason)
            }
        let request = entry.request
        let files = entry.files.map { FileWords.text($0.name, $0.size) }
        var (what, text) = (output.word(state), ([request.text] + files).filter { !$0.isEmpty }.joined(separator: " "))
        if let kind = kind(of: entry).map(output.word) {
            // A narrow terminal has no room for texts. In a pipe, only the text may have blanks.
            if now != nil { what += ", \(kind)" } else { text = text.isEmpty ? "[\(kind)]" : "[\(kind)] \(text)" }
        }
        return ["\(entry.number)", queued, what, request.conversation, request.id ?? "", text, reason]
    }

    /// How an entry refers to another message; nil if it is a new one.
    private static func kind(of entry: OutboxEntry) -> Phrase? {
        let request = entry.request
        guard let about = request.about else { return nil }
        return switch request.kind {
        case MessageKind.edit.name: "edit of \(about)"
        case MessageKind.delete.name: "deletion of \(about)"
        case _ where entry.isMark: "mark up to \(about)"
        default: "reply to \(about)"
        }
    }

    private static func retry(_ names: [String], _ context: Context) throws -> ExitCode {
        let login = try context.login()
        // With --offline this fails before anything changes.
        let api = try context.api(of: login)
        let outbox = try context.outbox(of: login)
        _ = try outbox.retry(names)
        guard try outbox.hasWaiting() else {
            context.confirm("nothing waits in the outbox")
            return .success
        }
        let report = try context.deliver(outbox, to: api)
        if let error = report.interruption { throw error }
        if report.isElsewhere { throw OutboxError.locked(path: outbox.location.directory) }
        if let refused = report.refused.first { throw RequestError.refused(refused.refusal) }
        return .success
    }

    private static func drop(_ names: [String], _ context: Context) throws -> ExitCode {
        let isAll = context.arguments.flag("all")
        guard isAll == names.isEmpty else {
            throw context.arguments.error(
                isAll ? "--all and ID cannot be combined" : "name the messages to drop, or give --all")
        }
        if isAll {
            try Question.confirm("drop all messages of the outbox?", context.arguments, context.console)
        }
        let count = try context.outbox().drop(isAll ? nil : names)
        context.confirm(.plural(count, "\(count) message dropped", "\(count) messages dropped"))
        return .success
    }
}
