internal import Glibc
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `send` and `pm`: one message in one request, without a sync before it, or one message per line.
enum SendCommand {
    static let spec = spec(reading: STDIN_FILENO)

    /// - Parameter descriptor: the standard input. Tests use another one.
    static func spec(reading descriptor: Int32) -> CommandSpec {
        CommandSpec(
            "send", "send a message", group: NatterProgram.Group.writing,
            options: [
                .option(
                    "conversation", short: "c", value: "CONV", isRepeatable: true, "send to CONV instead of 'general'",
                    long:
                        "If you give several, natter first checks that you may write to all of them. If one fails later, it "
                        + "still sends to the others, and exits with the status of the first failure.")
            ] + options,
            operands: [textOperand],
            description: [
                "Send one message to 'general', or to CONV. The words of TEXT are joined by spaces. \(inputParagraph)",
                "Without -c, the first word of TEXT must not be '@' and the name of a user, or the name of a group of "
                    + "yours: natter refuses it with status 64, because you probably meant -c. After '--' it is text.",
                "When natter exits with status 0, the message is on the server's disk. It prints nothing in a pipe; "
                    + "with --json, it prints the message.",
                awayParagraph, filesParagraph, linesParagraph, queueParagraph, repeatParagraph,
            ],
            examples: [
                Example("natter send Hello, everyone", "send to 'general'"),
                Example("df -h / | natter send -c @bob", "send a command's output to bob"),
                Example(
                    "natter send --id backup-2026-11-20 'The backup is done'", "send once, however often you run it"),
                Example(
                    "natter send --lines --id import-1 -c @me < notes.txt",
                    "send each line, and none twice if you "
                        + "repeat the command"),
                Example("make 2>&1 | natter send -c ops --file - --name make.log", "send output as a file"),
                Example(
                    "natter send --queue 'Disk nearly full'",
                    "keep the message and send it later if the server "
                        + "cannot be reached"),
            ],
            run: inContext {
                try send($0.arguments.operands("TEXT"), to: $0.arguments.values("conversation"), $0, descriptor)
            })
    }

    static let personalSpec = CommandSpec(
        "pm", "send a personal message", group: NatterProgram.Group.writing, options: options,
        operands: [.required("USER", "the recipient, or several with commas; 'me' is yourself"), textOperand],
        description: [
            "Do the same as 'natter send -c @USER'. \(inputParagraph)", awayParagraph, filesParagraph,
            linesParagraph, queueParagraph, repeatParagraph,
        ],
        examples: [
            Example("natter pm bob 'Lunch at noon?'", "write to bob alone"),
            Example("natter pm bob,carol 'Lunch at noon?'", "write to each of them"),
            Example("natter pm me buy milk", "write a note to yourself"),
        ],
        run: inContext { context in
            let word = context.arguments.required("USER")
            let users = word.split(separator: ",", omittingEmptySubsequences: false)
            // 'pm bob, carol hello' would send 'carol hello' to bob.
            guard users.count == 1 || !users.contains("") else {
                throw context.arguments.error(
                    "USER takes names with commas and without blanks between them, not '\(word)'")
            }
            return try send(
                context.arguments.operands("TEXT"), to: users.map { $0.hasPrefix("@") ? String($0) : "@\($0)" },
                context,
                STDIN_FILENO)
        })

    private static var options: [OptionSpec] {
        [
            .flag(
                "editor", short: "e", "write the text in $VISUAL or $EDITOR; TEXT is its beginning",
                long:
                    "Without these variables, the editor is vi(1). It needs a terminal. If you leave the editor without "
                    + "saving, or the text is blank, nothing is sent. A text that could not be sent stays in its file."),
            .option(
                "re", value: "SEQ",
                "reply to the message with this number; 'last' is the newest, '-2' the one before it",
                long: "'natter log --numbers' prints the numbers."),
            .option(
                "id", value: "KEY", "the message's id; repeating an id sends nothing twice",
                long:
                    "The server keeps one message for each KEY of a user, 1 to 64 printable ASCII characters, for at least "
                    + "30 days. The same key with other content is refused with status 65. With --lines and --ndjson, KEY has "
                    + "at most 52 characters. If you send to several conversations, the n-th message has the id KEY:n."),
            .flag(
                "lines", "send each line of standard input as a message",
                long:
                    "Lines of spaces and tabs are blank, too. A carriage return before the newline is dropped, and so is a "
                    + "byte order mark at the beginning."),
            .flag("ndjson", "send the message of each JSON line of standard input"),
        ] + ChosenFiles.options + [
            .flag(
                "queue", "if the server cannot be reached, keep the message and send it later",
                long:
                    "natter also keeps it if the certificate is not verified or something else answers in the server's "
                    + "place.")
        ]
    }

    private static let textOperand = OperandSpec.optional(
        "TEXT", isRepeating: true, "the text; with '-' or no TEXT, it is read from standard input")
    private static let inputParagraph: Phrase =
        "Without TEXT, or if it is '-', natter reads the message from standard input and drops a final newline."
    private static let repeatParagraph: Phrase =
        "If the connection is lost, natter sends the message again with the same id, so that it arrives once. With an "
        + "id of your own the whole command is safe to repeat."

    private static let awayParagraph: Phrase =
        "If the recipient of a personal message is not online, a note on a terminal says so, unless you give "
        + "--quiet. The message is still delivered when they sync."

    private static let filesParagraph: Phrase =
        "With --file the message has files, of which 'natter log' shows name and size, and which 'natter get' fetches. "
        + "Text and files arrive together or not at all."

    private static let linesParagraph: Phrase =
        "With --lines each line of standard input is a message. With --ndjson each line is an object with the field "
        + "'text' and optionally 'conversation' and 'id'. Blank lines are skipped but counted. At the first "
        + "line that is refused natter stops with status 65 and names it; the lines before it are sent. With "
        + "--id KEY line n has the id KEY:n, so that you can safely repeat the whole command."
    private static let queueParagraph: Phrase =
        "With --queue natter keeps a message in the outbox if the server cannot be reached, is busy or is full. A note "
        + "says so, and the exit status is 0. Later commands that use your session, except "
        + "doctor, logout, passwd and whoami, send the outbox in order, each message once; see 'natter help outbox'."

    private static func send(
        _ words: [String], to chosen: [String], _ context: Context, _ input: Int32
    ) throws -> ExitCode {
        let form = try form(words, context.arguments)
        for name in ["re", "file"] where context.arguments.has(name) && form != nil {
            throw context.arguments.error("--\(name) takes one message; leave out --lines and --ndjson")
        }
        let conversations = chosen.isEmpty ? [NameRule.general] : chosen
        try checkSeveral(conversations, form, context.arguments)
        let key = context.arguments.value("id")
        func id(_ index: Int) -> String? { key.map { conversations.count > 1 ? "\($0):\(index + 1)" : $0 } }
        if context.arguments.has("file"), words == ["-"], context.arguments.values("file").contains("-") {
            throw context.arguments.error("standard input is the file or TEXT, not both")
        }
        if let key, form != nil { try SendLines.check(key: key) }
        if form == nil { for index in conversations.indices { try id(index).map(Delivery.check(id:)) } }
        // Report a missing login before the user types the message.
        let login = try context.login()
        let isQueueing = context.arguments.flag("queue")
        let api = isQueueing && context.isOffline ? nil : try context.api(of: login)
        let conversation = conversations[0]
        if chosen.isEmpty, let first = words.first, !context.arguments.isLiteral(at: 0) {
            try Addressee(context, login, api: api, mayBeAway: isQueueing).check(first)
        }
        if conversations.count > 1 { for name in conversations { _ = try context.checkWritable(name, api) } }
        let about = try context.arguments.value("re").map { try context.seq($0, in: conversation) }
        let outbox = try context.outbox(of: login)
        if let form {
            if !isQueueing, let api { try sendWaiting(outbox, api, context) }
            if Terminal.isTerminal(input) { context.note("type the lines, then press Ctrl-D") }
            return try SendLines(
                context, form: form, conversation: conversation, key: key, api: api, outbox: isQueueing ? outbox : nil
            ).run(descriptor: input)
        }
        let files = try ChosenFiles.open(context, reading: input)
        let draft =
            context.arguments.flag("editor") ? try Draft(beginning: words.joined(by: " "), context) : nil
        do {
            let hasText = files.isEmpty || draft != nil || !words.isEmpty
            let text = hasText ? try draft?.text ?? context.text(words, reading: input) : ""
            do { if hasText { try TextError.checkMeant(text) } } catch {
                throw CommandFailure(.invalidData, code: "bad_text", "\(error); nothing was sent")
            }
            let group = about == nil ? nil : try context.groupID(ofNumbersIn: conversation)
            let requests = conversations.enumerated().map { index, name in
                SendRequest(
                    conversation: name, conversationID: group, text: text,
                    id: id(index) ?? MessageID.make(at: context.now), about: about?.rawValue)
            }
            let code = try sendEach(requests, context) {
                try send($0, files, isQueueing: isQueueing, outbox, api, context)
            }
            draft?.remove()
            return code
        } catch {
            draft?.keep(context)
            throw error
        }
    }

    private static func checkSeveral(
        _ conversations: [String], _ form: LineMessages.Form?, _ arguments: Arguments
    ) throws(UsageError) {
        guard conversations.count > 1 else { return }
        if form != nil { throw arguments.error("--lines and --ndjson take one conversation") }
        if arguments.has("re") { throw arguments.error("--re takes one conversation: a number belongs to one") }
        var keys: Set<String> = []
        for name in conversations where !keys.insert(NameRule.caseKey(name)).inserted {
            throw arguments.error("'\(name)' is named twice")
        }
    }

    /// Sends each of the messages, even if one before it has failed.
    ///
    /// - Throws: the first failure; the others are notes.
    private static func sendEach(
        _ requests: [SendRequest], _ context: Context, _ send: (SendRequest) throws -> ExitCode
    ) throws -> ExitCode {
        var failure: CommandFailure?
        for request in requests {
            do { _ = try send(request) } catch {
                if requests.count == 1 || error as? OutputError == .closedPipe { throw error }
                let own = CommandFailure(error)
                let told = own.saying("to '\(request.conversation)': \(own.message)")
                if failure == nil { failure = told } else { context.console.note(told.message) }
            }
        }
        if let failure { throw failure }
        return .success
    }

    private static func send(
        _ request: SendRequest, _ files: [OutgoingFile], isQueueing: Bool, _ outbox: Outbox, _ api: ServerAPI?,
        _ context: Context
    ) throws -> ExitCode {
        if isQueueing { return try queue(request, files, QueuedSend(outbox: outbox, api: api, context: context)) }
        guard let api else { return .unavailable }
        try sendWaiting(outbox, api, context)
        try tell(Delivery.send(request, files: files, api, context), of: request, context)
        return .success
    }

    private static func form(_ words: [String], _ arguments: Arguments) throws -> LineMessages.Form? {
        let isLines = arguments.flag("lines")
        guard isLines || arguments.flag("ndjson") else { return nil }
        if arguments.flag("editor") { throw arguments.error("-e writes one message; leave out --lines and --ndjson") }
        if isLines, arguments.flag("ndjson") { throw arguments.error("--lines and --ndjson cannot be combined") }
        guard words.isEmpty || words == ["-"] else {
            throw arguments.error("with \(isLines ? "--lines" : "--ndjson"), messages come from standard input")
        }
        return isLines ? .texts : .objects
    }

    /// Sends the outbox first. If the server does not accept it, it will not accept more messages.
    private static func sendWaiting(_ outbox: Outbox, _ api: ServerAPI, _ context: Context) throws {
        let report: OutboxDelivery.Report
        do { report = try context.deliver(outbox, to: api) } catch let error as OutboxError {
            return context.tellUnsent(error)
        }
        // This one would come before those that another command has been sending for so long.
        if report.isElsewhere { throw OutboxError.locked(path: outbox.location.directory) }
        if let error = report.interruption { throw error }
    }

    private static func queue(
        _ request: SendRequest, _ files: [OutgoingFile], _ sending: QueuedSend
    ) throws -> ExitCode {
        let context = sending.context
        switch try context.namingOnEnd(request, { try sending.send(request, files: files) }) {
        case .sent(let answer): try tell(answer, of: request, context)
        case .queued(let entry, let reason):
            try context.tell(queued: entry, reason)
        }
        return .success
    }

    /// Prints a sent message.
    private static func tell(_ answer: SentMessage, of request: SendRequest, _ context: Context) throws {
        // In a pipe the message is not printed, so it is not decoded.
        if context.wantsJSON || context.console.output.isTerminal {
            let message = try answer.message()
            do throws(OutputError) {
                if context.wantsJSON {
                    try context.console.output.writeJSON(WireJSON.encode(message))
                    try context.console.output.flush()
                } else {
                    context.confirm(sent: message)
                }
            } catch {
                if error == .closedPipe { throw error }
                throw CommandFailure(
                    .inputOutput, code: "io_error", "the message was sent, but could not be printed: \(error.phrase)")
            }
        }
        // A script that sends to somebody who is asleep has done nothing wrong.
        if answer.isRecipientAway, context.console.errors.isTerminal {
            let name = request.conversation.dropFirst()
            context.note("\(name) is not online; the message is delivered when \(name) syncs")
        }
    }
}
