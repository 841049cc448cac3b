internal import Glibc
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `edit` and `delete`: changes of messages that were sent.
enum EditCommand {
    static let spec = CommandSpec(
        "edit", "replace the text of a message", group: NatterProgram.Group.writing, options: options,
        operands: [
            conversation, .required("SEQ", "the number of the message"),
            .optional("TEXT", isRepeating: true, "the new text; with '-' or no TEXT, it is read from standard input"),
        ],
        description: [
            "Replace the text of a message that you sent. Everybody sees the new text from their next sync on, with "
                + "'(edited)'. The log keeps the former text until it is erased.",
            "The number is the one that 'natter log --numbers' prints. You can edit a message again, but not a deleted "
                + "one. A token with the scope send: edits only what was sent with its label.",
        ],
        examples: [Example("natter edit ops 17 The disk is full", "correct message 17 of 'ops'")],
        run: inContext { context in
            let seq = try context.arguments.seq(context.arguments.required("SEQ"))
            let words = context.arguments.operands("TEXT")
            let sender = try Sender(context)
            let isRead = words.isEmpty || words == ["-"]
            let text = isRead ? try context.readMessage() : words.joined(separator: " ")
            do { try TextError.check(text) } catch {
                throw CommandFailure(.invalidData, code: "bad_text", "\(error); nothing was changed")
            }
            try sender.send(.edit, of: seq, text: text, id: context.arguments.value("id"))
            context.confirm("edited message \(seq) of '\(sender.conversation)'")
            return .success
        })

    static let deleteSpec = CommandSpec(
        "delete", aliases: ["rm"], "delete messages", group: NatterProgram.Group.writing, options: options,
        operands: [conversation, .required("SEQ", isRepeating: true, "the numbers of the messages")],
        description: [
            "Delete messages that you sent, or, as an admin of the group or of the server, any message. From the next sync "
                + "on, nobody sees the text or finds it; the line says '(deleted)'. The log keeps the text until it is "
                + "erased.",
            "The numbers are those that 'natter log --numbers' prints. At the first number that is refused natter stops; "
                + "the messages before it are deleted.",
        ],
        examples: [Example("natter delete ops 17 18", "delete two messages of 'ops'")],
        run: inContext { context in
            let seqs = try context.arguments.operands("SEQ").map { try context.arguments.seq($0) }
            let key = context.arguments.value("id")
            if key != nil, seqs.count > 1 { throw context.arguments.error("--id names one message; give one SEQ") }
            let sender = try Sender(context)
            for (index, seq) in seqs.enumerated() {
                do {
                    try sender.send(.delete, of: seq, text: "", id: key)
                } catch let error as OutputError {
                    let failure = CommandFailure(error)
                    throw failure.saying("\(failure.message); the messages up to \(seq) are deleted")
                } catch  where index > 0 {
                    let failure = CommandFailure(error)
                    throw failure.saying("\(failure.message); the messages before \(seq) are deleted")
                }
                context.confirm("deleted message \(seq) of '\(sender.conversation)'")
            }
            return .success
        })

    private static var options: [OptionSpec] {
        [.option("id", value: "KEY", "the id of the change; repeating an id changes nothing twice")]
    }

    private static let conversation = OperandSpec.optional("CONV", "the conversation (default 'general')")

    private struct Sender {
        let context: Context
        let conversation: String
        private let conversationID: ConversationID?
        private let api: ServerAPI

        init(_ context: Context) throws {
            self.context = context
            conversation = context.arguments.required("CONV")
            if let key = context.arguments.value("id") { try Delivery.check(id: key) }
            conversationID = try context.groupID(ofNumbersIn: conversation)
            api = try context.api()
        }

        func send(_ kind: MessageKind, of seq: Seq, text: String, id: String?) throws {
            let request = SendRequest(
                conversation: conversation, conversationID: conversationID, text: text,
                id: id ?? MessageID.make(at: context.now), kind: kind.name, about: seq.rawValue)
            let answer = try Delivery.send(request, api, context)
            guard context.wantsJSON else { return }
            try context.console.output.writeJSON(WireJSON.encode(answer.message()))
            try context.console.output.flush()
        }
    }
}
