internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterModel
internal import NatterProtocol

/// `show CONV SEQ`: one message, with what is about it.
enum ShowCommand {
    static let spec = CommandSpec(
        "show", "print one message with its replies, edits and hash", group: NatterProgram.Group.reading,
        options: [.flag("raw", "print the record as it was sent, not its newest text")],
        operands: [
            .optional("CONV", "the conversation (default 'general')"),
            .required("SEQ", "the number of the message; 'last' is the newest, '-2' the one before it"),
        ],
        description: [
            "Print a message as 'log' does, then lines with the numbers of its replies and edits, and the hash of the whole "
                + "history up to it. With --json it is one object. Sync first as 'log' does."
        ],
        examples: [Example("natter show ops 17", "print message 17 of 'ops'")],
        run: inContext { context in
            let name = context.arguments.required("CONV")
            let seq = try context.seq(context.arguments.required("SEQ"), in: name)
            let synced = try SyncedReplica(context)
            let state = try synced.refresh(.completely)
            let replica = try synced.replica(after: state)
            let known = try synced.conversation(named: name, in: replica, state)
            guard let conversation = known,
                let message = try replica.message(seq, in: conversation, folds: !context.arguments.flag("raw"))
            else {
                throw CommandFailure.noMessage(seq, in: name, known)
            }
            let limit = Limits.pageLimit
            var replies = try replica.seqs(of: .text, about: seq, in: conversation, limit: limit + 1)
            var edits = try replica.seqs(of: .edit, about: seq, in: conversation, limit: limit + 1)
            let isCut = max(replies.count, edits.count) > limit
            (replies, edits) = (Array(replies.prefix(limit)), Array(edits.prefix(limit)))
            let hash = try replica.hash(at: seq, of: conversation)
            let output = context.console.output
            if context.wantsJSON {
                var object = MessageObject(message)
                (object.replies, object.edits) = (replies.map(\.rawValue), edits.map(\.rawValue))
                object.hash = hash?.description
                try output.writeJSON(WireJSON.encode(object))
            } else {
                var printer = MessagePrinter(context, showsConversation: true, hasDayLines: false)
                (printer.reader, printer.replica) = (synced.location.user, replica)
                (printer.showsNumbers, printer.showsChanges) = (true, true)
                try printer.write(message)
                func line(_ word: Phrase, _ value: String) throws {
                    if !value.isEmpty { try output.writeLine("\(output.word(word)): \(value)") }
                }
                try line("replies", replies.map(\.description).joined(separator: " "))
                try line("edits", edits.map(\.description).joined(separator: " "))
                try line("hash", hash?.description ?? "")
            }
            try output.flush()
            if isCut {
                context.note(
                    "only the first \(limit) replies and edits are listed; 'natter log \(Delivery.quoted(name)) --raw --after "
                        + "\(seq)' prints all of them, among the other later messages")
            }
            return .success
        })
}
