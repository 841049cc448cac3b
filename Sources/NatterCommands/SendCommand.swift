internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// `send` and `pm`: one message, one request, nothing synced before; or a message for each line.
enum SendCommand {
    static let spec = spec(reading: STDIN_FILENO)

    /// - Parameter descriptor: what stands for standard input.
    static func spec(reading descriptor: Int32) -> CommandSpec {
        CommandSpec(
            "send", "send a message", group: NatterProgram.Group.writing,
            options: [.option("conversation", short: "c", value: "CONV", "send to CONV, not to 'general'")] + options,
            operands: [textOperand],
            description: [
                "Sends one message to 'general', or to CONV. The words of TEXT are joined by a space. \(inputParagraph)",
                "When it ends with status 0 the message is on the server's disk. It prints nothing in a pipe; with --json, "
                    + "the message.",
                awayParagraph, linesParagraph, queueParagraph, repeatParagraph,
            ],
            examples: [
                Example("natter send Hello, everyone", "to 'general'"),
                Example("df -h / | natter send -c @bob", "what a command prints, to bob"),
                Example("natter send --id backup-2026-11-20 'The backup is done'", "once, however often it is run"),
                Example(
                    "natter send --lines --id import-1 -c @me < notes.txt", "each line, and none twice if repeated"),
                Example("natter send --queue 'Disk nearly full'", "later, if the server is not reached now"),
            ],
            run: { arguments, console in
                try send(
                    arguments.operands("TEXT"), to: arguments.value("conversation") ?? "general",
                    Context(arguments, console), descriptor)
            })
    }

    static let personalSpec = CommandSpec(
        "pm", "send a personal message", group: NatterProgram.Group.writing, options: options,
        operands: [.required("USER", "whom to write to; 'me' is yourself"), textOperand],
        description: [
            "The same as 'natter send -c @USER'. \(inputParagraph)", awayParagraph, linesParagraph, queueParagraph,
            repeatParagraph,
        ],
        examples: [
            Example("natter pm bob Lunch at noon?", "to bob alone"),
            Example("natter pm me buy milk", "a note to yourself"),
        ],
        run: { arguments, console in
            let user = arguments.operand("USER") ?? ""
            return try send(
                arguments.operands("TEXT"), to: user.hasPrefix("@") ? user : "@\(user)", Context(arguments, console),
                STDIN_FILENO)
        })

    private static var options: [OptionSpec] {
        [
            .option("id", value: "KEY", "the message's id: the same one again sends nothing twice"),
            .flag("lines", "send each line of standard input as a message"),
            .flag("ndjson", "send the message of each JSON line of standard input"),
            .flag("queue", "if the server is not reached, keep the message and send it later"),
        ]
    }

    private static let textOperand = OperandSpec.optional(
        "TEXT", isRepeating: true, "the text; '-', or none, is standard input")
    private static let inputParagraph: Phrase =
        "Without TEXT, or where it is '-', standard input is the message; a final newline is dropped."
    private static let repeatParagraph: Phrase =
        "A message is sent with an id, and with the same id again where the connection was lost, so that it is there "
        + "once. An id of your own makes the whole command safe to repeat."

    private static let awayParagraph: Phrase =
        "Where the one to whom a personal message goes is not online, a note on standard error says so, unless --quiet is "
        + "given; the message is delivered all the same, when they sync."

    private static let linesParagraph: Phrase =
        "With --lines each line of standard input is a message, with --ndjson each line is an object with the fields "
        + "'text' and, if wanted, 'conversation' and 'id'. Blank lines are skipped but counted. At the first line that "
        + "is refused it stops with status 65 and names it; the lines before it are sent. With --id KEY line n has the "
        + "id KEY:n, so that the whole can be repeated, also where it broke off."
    private static let queueParagraph: Phrase =
        "With --queue a message that cannot be sent, because the server is not reached or has no room or time for it, "
        + "is kept in the outbox, a note says so, and the status is 0. Every later command that speaks to the server "
        + "sends what waits, in order, each message once; see 'natter help outbox'."

    private static func send(
        _ words: [String], to conversation: String, _ context: Context, _ input: Int32
    ) throws -> ExitCode {
        let form = try form(words, context.arguments)
        let key = context.arguments.value("id")
        if let key { try check(key, form) }
        // Who can't send at all need not type the message first.
        let login = try context.login()
        let isQueueing = context.arguments.flag("queue")
        let api =
            isQueueing && context.isOffline
            ? nil : try context.api(at: try context.address(remembered: login.account.server), token: login.token)
        let outbox = try context.outbox(of: login)
        if let form {
            if !isQueueing, let api { try sendWaiting(outbox, api, context) }
            if Terminal.isTerminal(input) { context.note("type the lines and end them with Ctrl-D") }
            return try SendLines(
                context, form: form, conversation: conversation, key: key, api: api, outbox: isQueueing ? outbox : nil
            ).run(descriptor: input)
        }
        let text = try text(words, context, input)
        do { try TextError.check(text) } catch {
            throw CommandFailure(.invalidData, code: "bad_text", "\(error); nothing was sent")
        }
        let request = SendRequest(conversation: conversation, text: text, id: key ?? MessageID.make(at: context.now))
        if isQueueing { return try queue(request, QueuedSend(outbox: outbox, api: api, context: context)) }
        guard let api else { return .unavailable }
        try sendWaiting(outbox, api, context)
        let timeout = try context.timeoutMilliseconds()
        let delivery = Delivery(api: api, timeoutMilliseconds: timeout, isTrying: context.tellTrying)
        try tell(delivery.send(request), of: request, context)
        return .success
    }

    private static func form(_ words: [String], _ arguments: Arguments) throws -> LineMessages.Form? {
        let isLines = arguments.flag("lines")
        guard isLines || arguments.flag("ndjson") else { return nil }
        if isLines, arguments.flag("ndjson") { throw arguments.error("--lines and --ndjson do not go together") }
        guard words.isEmpty || words == ["-"] else {
            throw arguments.error("with \(isLines ? "--lines" : "--ndjson") the messages come from standard input")
        }
        return isLines ? .texts : .objects
    }

    private static func check(_ key: String, _ form: LineMessages.Form?) throws {
        if form != nil { return try SendLines.check(key: key) }
        guard IdempotencyKey(key) == nil else { return }
        throw CommandFailure(
            .invalidData, code: "bad_id", "the id '\(key)' is not valid; use 1 to 64 printable ASCII characters")
    }

    /// What waits in the outbox goes first. Where the server is in no state to take it, it is in none to take more.
    private static func sendWaiting(_ outbox: Outbox, _ api: ServerAPI, _ context: Context) throws {
        let timeout = try context.timeoutMilliseconds()
        let report: OutboxDelivery.Report
        do throws(OutboxError) {
            report = try OutboxDelivery(outbox, api: api).run(
                timeoutMilliseconds: timeout, lockMilliseconds: Context.deliveryMilliseconds)
        } catch {
            return context.note("what waits in the outbox was not sent: \(error)")
        }
        context.tell(report)
        if let error = report.interruption { throw error }
    }

    private static func queue(_ request: SendRequest, _ sending: QueuedSend) throws -> ExitCode {
        switch try sending.send(request) {
        case .sent(let answer): try tell(answer, of: request, sending.context)
        case .queued(let entry, let reason):
            let context = sending.context
            if context.wantsJSON { try context.console.output.writeJSON(WireJSON.encode(OutboxObject(entry))) }
            context.note("queued as message \(entry.number) of the outbox: \(reason)")
        }
        return .success
    }

    /// Shows a message that was sent, to whom it may concern.
    private static func tell(_ answer: SentMessage, of request: SendRequest, _ context: Context) throws {
        if context.wantsJSON {
            try context.console.output.writeJSON(WireJSON.encode(try message(in: answer.object)))
        } else if context.console.output.isTerminal {
            let message = try message(in: answer.object)
            context.confirm("sent to \(message.conversation) as number \(message.seq)")
        }
        if answer.isRecipientAway {
            let name = request.conversation.dropFirst()
            context.note("\(name) is not online; delivered when \(name) syncs")
        }
    }

    private static func text(_ words: [String], _ context: Context, _ input: Int32) throws -> String {
        guard words.isEmpty || words == ["-"] else { return words.joined(separator: " ") }
        if Terminal.isTerminal(input) { context.note("type the message and end it with Ctrl-D") }
        return try StandardInput.message(descriptor: input)
    }

    private static func message(in answer: [UInt8]) throws -> MessageObject {
        guard let message: MessageObject = try? WireJSON.decode(from: answer) else {
            throw APIError.foreign("the server does not speak as a natter server does: its answer is no message")
        }
        return message
    }
}
