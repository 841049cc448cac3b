internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterWire

/// `outbox ls|retry|drop`: what `send --queue` has kept.
enum OutboxCommand {
    static let spec = CommandSpec(
        "outbox", "list, retry or drop messages that wait", group: NatterProgram.Group.writing,
        subcommands: [list, retry, drop],
        description: [
            "Messages of 'natter send --queue' that could not be sent wait in the outbox. Every command that speaks to "
                + "the server sends them, in order and each once; 'natter sync' takes the time to send all.",
            "A message that the server refuses is parked there with the reason, and those behind it are sent all the "
                + "same.",
            "Own messages that a server has lost, because it was put back from a backup, are parked there too, as 'lost', "
                + "once a sync has found out. 'natter outbox retry' sends them again, each once, from however many "
                + "machines that is done.",
        ],
        examples: [
            Example("natter outbox ls", "what waits, and what was refused and why"),
            Example("natter outbox drop 3", "throw message 3 away"),
        ])

    private static let list = CommandSpec(
        "ls", "list what waits and what was refused",
        description: [
            "Prints a line for each message: its number, when it was queued, 'waiting' or 'refused', the conversation, "
                + "its id, the text, and for a refused one the reason. The server is not asked."
        ],
        run: { arguments, console in try list(Context(arguments, console)) })

    private static let retry = CommandSpec(
        "retry", "send refused messages once more",
        operands: [.optional("ID", isRepeating: true, "the number of a message, or its id; all that were refused")],
        description: [
            "Lets messages that were refused wait again, in their old places, and sends all that waits. If one is "
                + "refused again, it is parked again and the status says why."
        ],
        run: { arguments, console in try retry(arguments.operands("ID"), Context(arguments, console)) })

    private static let drop = CommandSpec(
        "drop", "throw messages away",
        options: [.flag("all", "everything, waiting or refused")],
        operands: [.optional("ID", isRepeating: true, "the number of a message, or its id")],
        description: [
            "Throws messages away. One that was tried before, without an answer, may be on the server all the same."
        ],
        run: { arguments, console in try drop(arguments.operands("ID"), Context(arguments, console)) })

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
                if context.wantsJSON { try output.writeJSON(WireJSON.encode(OutboxObject(entry))) }
            } catch {
                failure = error
            }
            if !context.wantsJSON { table.add(cells(of: entry, now: isTerminal ? now : nil, output)) }
            return failure == nil
        }
        if let failure { throw failure }
        guard !context.wantsJSON else { return .success }
        // Without an entry there is nothing for a header to stand over.
        guard !isEmpty else {
            context.confirm("the outbox is empty")
            return .success
        }
        try table.write(to: output, paint: context.paint)
        return .success
    }

    /// - Parameter now: for an age in the place of the time; nil in a pipe.
    private static func cells(of entry: OutboxEntry, now: Timestamp?, _ output: Output) -> [String] {
        let queued = now.map { Age.text(of: entry.queued, now: $0).text } ?? entry.queued.rfc3339
        let (state, reason): (Phrase, String) =
            switch entry.state {
            case .waiting: ("waiting", "")
            case .refused("lost", let reason): ("lost", reason)
            case .refused(_, let reason): ("refused", reason)
            }
        let request = entry.request
        return [
            "\(entry.number)", queued, output.word(state), request.conversation, request.id ?? "", request.text, reason,
        ]
    }

    private static func retry(_ names: [String], _ context: Context) throws -> ExitCode {
        let login = try context.login()
        let outbox = try context.outbox(of: login)
        let numbers = try outbox.retry(names)
        guard try outbox.hasWaiting() else {
            context.confirm("nothing waits in the outbox")
            return .success
        }
        guard !context.isOffline else { return .success }
        let api = try context.api(at: try context.address(remembered: login.account.server), token: login.token)
        let timeout = try context.timeoutMilliseconds()
        let report = try OutboxDelivery(outbox, api: api).run(timeoutMilliseconds: timeout, lockMilliseconds: timeout)
        context.tell(report)
        if let error = report.interruption { throw error }
        if report.isElsewhere { throw OutboxError.locked(path: outbox.location.directory) }
        if let again = report.refused.first(where: { numbers.contains($0.entry.number) }) {
            throw APIError.refused(again.refusal)
        }
        return .success
    }

    private static func drop(_ names: [String], _ context: Context) throws -> ExitCode {
        let isAll = context.arguments.flag("all")
        guard isAll == names.isEmpty else {
            throw context.arguments.error(
                isAll ? "--all and ID do not go together" : "say which messages to drop, or --all")
        }
        let count = try context.outbox().drop(isAll ? nil : names)
        context.confirm(.plural(count, "\(count) message dropped", "\(count) messages dropped"))
        return .success
    }
}
