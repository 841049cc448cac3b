internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterProtocol

/// `mark [CONV [SEQ]]`: marks messages as read.
enum MarkCommand {
    static let spec = CommandSpec(
        "mark", "mark messages as read", group: NatterProgram.Group.reading,
        options: [.flag("queue", "if the server cannot be reached, keep the mark and tell the server later")],
        operands: [
            .optional("CONV", "the conversation (default: all)"),
            .optional("SEQ", "up to this message (default: the newest in the replica); '-2' is the one before 'last'"),
        ],
        description: [
            "Mark messages as read on the server, for all your machines. The mark only moves forward. Messages that "
                + "were not synced yet stay unread."
        ],
        examples: [
            Example("natter mark", "mark everything in the replica as read"),
            Example(
                "natter mark @bob 17",
                "mark messages "
                    + "with bob up to number 17"),
        ],
        run: run)

    private static let run: CommandBody = inContext { context in
        let name = context.arguments.operand("CONV")
        let seq = try context.arguments.operand("SEQ").map {
            try context.seq($0, in: name ?? NameRule.general, isSynced: true)
        }
        let synced = try SyncedReplica(context)
        if let name {
            guard let known = try synced.replica()?.conversation(named: name) else {
                if let seq, context.arguments.flag("queue") {
                    try mark(name, nil, upTo: seq, synced)
                } else {
                    let api = try synced.api()
                    let found = try api.perform(API.conversation, name)
                    let read = try seq.map { try api.markRead(name, id: nil, upTo: $0) } ?? Seq(found.read)
                    try report(found.name, read, context)
                }
                return .success
            }
            if seq == nil, let replica = try synced.replica(), try tellMissing(of: known, replica, context) {
                return .success
            }
            let id = try known.groupOfNumbers()
            synced.note(read: [known.id: try mark(known.name, id, upTo: seq ?? known.head, synced)])
            return .success
        }
        guard let replica = try synced.replica() else {
            context.note("nothing has been synced yet, so nothing is marked; run 'natter sync'")
            return .success
        }
        var marks: [ConversationID: Seq] = [:]
        defer { synced.note(read: marks) }
        for conversation in try replica.conversations() where conversation.head > conversation.read {
            if try tellMissing(of: conversation, replica, context) { continue }
            do {
                marks[conversation.id] = try mark(
                    conversation.name, conversation.groupID, upTo: conversation.head, synced)
            } catch RequestError.refused(let refusal)
                where refusal.status == 404 || refusal.has(.notAMember)
            {
                // It was left or deleted since the last sync, and the next one says so.
                continue
            }
        }
        return .success
    }

    /// Marks on the server, or with `--queue` in the outbox if the server can't be reached.
    ///
    /// - Returns: the mark.
    @discardableResult
    private static func mark(
        _ name: String, _ id: ConversationID?, upTo seq: Seq, _ synced: SyncedReplica
    ) throws -> Seq {
        let context = synced.context
        let isQueueing = context.arguments.flag("queue")
        var reason: Phrase = "--offline was given"
        if !context.isOffline || !isQueueing {
            do {
                let read = try synced.api().markRead(name, id: id, upTo: seq)
                try report(name, read, context)
                return read
            } catch let error as RequestError where isQueueing && error.allowsQueueing {
                reason = error.reason
            }
        }
        if let entry = try context.outbox(of: context.login()).add(mark: seq, of: name, id, at: context.now) {
            try context.tell(queued: entry, reason)
        }
        return seq
    }

    /// Says so if unread messages are not in the replica, as if it was begun with `sync --since`. A mark behind them would make
    /// them read on all machines, although nobody has seen them.
    ///
    /// - Returns: whether the mark must stay where it is.
    static func tellMissing(
        of conversation: ReplicaConversation, _ replica: Replica, _ context: Context
    ) throws -> Bool {
        let start = max(conversation.read.next, conversation.serverFirst)
        let missing =
            try conversation.unreadBeforeFirst ?? replica.gaps(of: conversation).first { $0.upperBound >= start }
        guard let missing else { return false }
        try context.writeJSON(Mark(conversation: conversation.name, read: conversation.read.rawValue))
        let (from, to, name) = (max(start, missing.lowerBound), missing.upperBound, conversation.name)
        let remedy = "natter mark \(Delivery.quoted(name)) \(conversation.head)"
        context.console.note(
            from == to
                ? "message \(from) of '\(name)' is not in this replica, so '\(name)' is not marked; '\(remedy)' marks it, too"
                : "messages \(from) to \(to) of '\(name)' are not in this replica, so '\(name)' is not marked; '\(remedy)' "
                    + "marks them, too")
        return true
    }

    private struct Mark: Encodable {
        var conversation: String
        var read: UInt64
    }

    private static func report(_ name: String, _ read: Seq, _ context: Context) throws {
        if try context.writeJSON(Mark(conversation: name, read: read.rawValue)) {
            try context.console.output.flush()
        }
        context.confirm("marked '\(name)' as read up to \(read)")
    }
}
