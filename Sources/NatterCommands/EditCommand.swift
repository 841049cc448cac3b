internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `edit` and `delete`: changes of messages that were sent.
enum EditCommand {
    static let spec = CommandSpec(
        "edit", "replace the text of a message", group: NatterProgram.Group.writing,
        options: [
            .flag(
                "editor", short: "e", "edit the text in $VISUAL or $EDITOR; TEXT replaces it there",
                long: "If you leave the editor without saving, nothing is changed.")
        ] + options,
        operands: [
            conversation, .required("SEQ", "the number of the message; 'last' is your newest, '-2' the one before it"),
            .optional("TEXT", isRepeating: true, "the new text; with '-' or no TEXT, it is read from standard input"),
        ],
        description: [
            "Replace the text of a message that you sent. Everybody sees the new text from their next sync on, with "
                + "'(edited)'. The log keeps the former text until it is erased.",
            "The number is the one that 'natter log --numbers' prints. You can edit a message again, but not a deleted "
                + "one. A token with the scope send: edits only what was sent with its label.",
        ],
        examples: [
            Example("natter edit ops 17 The disk is full", "correct message 17 of 'ops'"),
            Example("natter edit -e last", "correct your newest message of 'general' in your editor"),
        ],
        run: inContext { context in
            let words = context.arguments.operands("TEXT")
            let sender = try Sender(context)
            let seq = try sender.seq(context.arguments.required("SEQ"))
            let draft =
                try context.arguments.flag("editor")
                ? Draft(beginning: words.isEmpty ? sender.text(of: seq) : words.joined(by: " "), context) : nil
            do {
                let text = try draft?.text ?? context.text(words)
                do { try TextError.checkMeant(text) } catch {
                    throw CommandFailure(.invalidData, code: "bad_text", "\(error); nothing was changed")
                }
                if try sender.send(.edit, of: seq, text: text, id: context.arguments.value("id")) {
                    context.confirm("edited message \(seq) of '\(sender.conversation)'")
                }
                draft?.remove()
                return .success
            } catch {
                draft?.keep(context)
                throw error
            }
        })

    static let deleteSpec = CommandSpec(
        "delete", aliases: ["rm"], "delete messages", group: NatterProgram.Group.writing, options: options,
        operands: [
            conversation,
            .required(
                "SEQ", isRepeating: true, "the numbers of the messages; 'last' is your newest, '-2' the one before it"),
        ],
        description: [
            "Delete messages that you sent, or, as an admin of the group or of the server, any message. From the next sync "
                + "on, nobody sees the text or finds it; the line says '(deleted)'. The log keeps the text until it is "
                + "erased.",
            "The numbers are those that 'natter log --numbers' prints. At the first number that is refused natter stops; "
                + "the messages before it are deleted.",
        ],
        examples: [Example("natter delete ops 17 18", "delete two messages of 'ops'")],
        run: inContext { context in
            let words = context.arguments.operands("SEQ")
            let key = context.arguments.value("id")
            if key != nil, words.count > 1 { throw context.arguments.error("--id names one message; give one SEQ") }
            let sender = try Sender(context)
            // Before the first is deleted, because each deletion makes another message the last.
            let seqs = try words.map(sender.seq)
            for (index, seq) in seqs.enumerated() {
                do {
                    guard try sender.send(.delete, of: seq, text: "", id: key) else { continue }
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
        [
            .option("id", value: "KEY", "the id of the change; repeating an id changes nothing twice"),
            .flag("queue", "if the server cannot be reached, keep the change and make it later"),
        ]
    }

    private static let conversation = OperandSpec.optional("CONV", "the conversation (default 'general')")

    private struct Sender {
        let context: Context
        let conversation: String
        private let conversationID: ConversationID?
        private let api: ServerAPI?
        /// nil without `--queue`.
        private let queue: QueuedSend?

        init(_ context: Context) throws {
            self.context = context
            conversation = context.arguments.required("CONV")
            if let key = context.arguments.value("id") { try Delivery.check(id: key) }
            conversationID = try context.groupID(ofNumbersIn: conversation)
            let login = try context.login()
            let isQueueing = context.arguments.flag("queue")
            api = isQueueing && context.isOffline ? nil : try context.api(of: login)
            queue = isQueueing ? QueuedSend(outbox: try context.outbox(of: login), api: api, context: context) : nil
            if let api, !isQueueing { context.deliverOutbox(of: login, to: api) }
        }

        func seq(_ word: String) throws -> Seq {
            try context.seq(word, in: conversation, isOwn: true)
        }

        /// The newest text of a message, from the server or, with `--offline`, the replica.
        func text(of seq: Seq) throws -> String {
            var message: Message?
            if let api {
                let page = ServerPage(api: api, conversation: conversation, filter: MessageFilter(before: seq.next))
                message = try page.newest(1).last
            } else if let replica = try SyncedReplica(context).replica(),
                let known = try replica.conversation(named: conversation)
            {
                message = try replica.message(seq, in: known, folds: true)
            }
            guard let message, message.seq == seq else { throw CommandFailure.noMessage(seq, in: conversation, nil) }
            return message.text
        }

        /// - Returns: false if the change waits in the outbox.
        func send(_ kind: MessageKind, of seq: Seq, text: String, id: String?) throws -> Bool {
            let request = SendRequest(
                conversation: conversation, conversationID: conversationID, text: text,
                id: id ?? MessageID.make(at: context.now), kind: kind.name, about: seq.rawValue)
            let outcome: QueuedSend.Outcome
            if let queue {
                outcome = try context.namingOnEnd(request) { try queue.send(request) }
            } else {
                guard let api else { return false }
                outcome = .sent(try Delivery.send(request, api, context))
            }
            switch outcome {
            case .sent(let answer):
                guard context.wantsJSON else { return true }
                try context.console.output.writeJSON(WireJSON.encode(answer.message()))
                try context.console.output.flush()
                return true
            case .queued(let entry, let reason):
                try context.tell(queued: entry, reason)
                return false
            }
        }
    }
}
