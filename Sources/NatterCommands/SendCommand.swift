internal import Glibc
internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterSystem
internal import NatterWire

/// `send` and `pm`: one message, one request, nothing synced before.
enum SendCommand {
    static let spec = CommandSpec(
        "send", "send a message", group: NatterProgram.Group.writing,
        options: [.option("conversation", short: "c", value: "CONV", "send to CONV, not to 'general'"), idOption],
        operands: [textOperand],
        description: [
            "Sends one message to 'general', or to CONV. The words of TEXT are joined by a space. " + inputParagraph,
            "When it ends with status 0 the message is on the server's disk. It prints nothing in a pipe; with --json, "
                + "the message.",
            repeatParagraph,
        ],
        examples: [
            Example("natter send Hello, everyone", "to 'general'"),
            Example("df -h / | natter send -c @bob", "what a command prints, to bob"),
            Example("natter send --id backup-2026-11-20 'The backup is done'", "once, however often it is run"),
        ],
        run: { arguments, console in
            try send(
                arguments.operands("TEXT"), to: arguments.value("conversation") ?? "general",
                Context(arguments, console))
        })

    static let personalSpec = CommandSpec(
        "pm", "send a personal message", group: NatterProgram.Group.writing, options: [idOption],
        operands: [.required("USER", "whom to write to; 'me' is yourself"), textOperand],
        description: ["The same as 'natter send -c @USER'. " + inputParagraph, repeatParagraph],
        examples: [
            Example("natter pm bob Lunch at noon?", "to bob alone"),
            Example("natter pm me buy milk", "a note to yourself"),
        ],
        run: { arguments, console in
            let user = arguments.operand("USER") ?? ""
            return try send(
                arguments.operands("TEXT"), to: user.hasPrefix("@") ? user : "@\(user)", Context(arguments, console))
        })

    private static let idOption = OptionSpec.option(
        "id", value: "KEY", "the message's id: the same one again sends nothing twice")
    private static let textOperand = OperandSpec.optional(
        "TEXT", isRepeating: true, "the text; '-', or none, is standard input")
    private static let inputParagraph =
        "Without TEXT, or where it is '-', standard input is the message; a final newline is dropped."
    private static let repeatParagraph =
        "A message is sent with an id, and with the same id again where the connection was lost, so that it is there "
        + "once. An id of your own makes the whole command safe to repeat."

    private static func send(_ words: [String], to conversation: String, _ context: Context) throws -> ExitCode {
        if let key = context.arguments.value("id"), IdempotencyKey(key) == nil {
            throw CommandFailure(
                .invalidData, code: "bad_id", "the id '\(key)' is not valid; use 1 to 64 printable ASCII characters")
        }
        // Who can't send at all need not type the message first.
        let api = try context.api()
        let text = try text(words, context)
        do { try TextError.check(text) } catch {
            throw CommandFailure(.invalidData, code: "bad_text", "\(error); nothing was sent")
        }
        let request = SendRequest(
            conversation: conversation, text: text,
            id: context.arguments.value("id") ?? MessageID.make(at: context.now))
        let answer = try Delivery(api: api, timeoutMilliseconds: try context.timeoutMilliseconds()).send(request)
        if context.wantsJSON {
            try context.console.output.writeJSON(line(of: try message(in: answer, api)))
        } else if context.console.output.isTerminal {
            let message = try message(in: answer, api)
            context.confirm("sent to \(message.conversation) as number \(message.seq)")
        }
        return .success
    }

    private static func text(_ words: [String], _ context: Context) throws -> String {
        guard words.isEmpty || words == ["-"] else { return words.joined(separator: " ") }
        if Terminal.isTerminal(STDIN_FILENO) { context.note("type the message and end it with Ctrl-D") }
        return try StandardInput.message()
    }

    private static func message(in answer: [UInt8], _ api: ServerAPI) throws -> MessageObject {
        guard let message: MessageObject = try? WireJSON.decode(from: answer) else {
            throw APIError.foreign("'\(api.address)' does not speak as a natter server does: its answer is no message")
        }
        return message
    }

    private static func line(of message: MessageObject) -> [UInt8] {
        var line: [UInt8] = []
        MessageLine.append(message, to: &line)
        return line
    }
}
