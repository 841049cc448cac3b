internal import NatterCLI
internal import NatterClient
internal import NatterModel
internal import NatterWire

/// `verify [CONV]`: whether the replica is what was synced.
enum VerifyCommand {
    static let spec = CommandSpec(
        "verify", "check every byte of the replica", group: NatterProgram.Group.reading,
        operands: [.optional("CONV", "the conversation; all of them unless named")],
        description: [
            "Reads every message of the replica, checks all checksums, and computes the hash chain anew. Where the "
                + "server is reached and has no more messages than the replica, its hash at the head must be the same; "
                + "otherwise the one that it gave with the last sync. Nothing is synced before.",
            "Each damage is printed with its range, and the status is 74 then. Without damage nothing is printed in a "
                + "pipe; on a terminal and with --verbose, a line for each conversation.",
        ],
        examples: [Example("natter verify", "all of the replica")], run: run)

    private static let run: CommandBody = { arguments, console in
        let context = Context(arguments, console)
        let mirror = try Mirror(context, needsServer: false)
        guard let replica = try mirror.replica() else {
            throw CommandFailure(
                .unavailable, code: "nothing_synced", "nothing was synced yet; use 'natter sync'")
        }
        let chosen: [ReplicaConversation]
        if let name = arguments.operand("CONV") {
            guard let conversation = try replica.conversation(named: name) else {
                throw CommandFailure(
                    .notFound, code: "no_such_conversation", "there is no conversation '\(name)' in the replica")
            }
            chosen = [conversation]
        } else {
            chosen = try replica.conversations(includingGone: true)
        }
        var server = ServerHeads(mirror)
        var isSound = true
        var isDamaged = false
        for conversation in chosen {
            let verification = try replica.verify(conversation)
            let report = VerifyReport(verification, server: try server.head(of: conversation))
            if !report.isSound { isSound = false }
            if !report.damaged.isEmpty { isDamaged = true }
            try write(report, context)
        }
        if isDamaged {
            context.note("what is damaged comes anew after 'natter logout --forget', a login and 'natter sync'")
        }
        for aside in try ReplicaSurplus.all(at: mirror.location)
        where chosen.contains(where: { $0.id == aside.conversation }) {
            context.note("what the server lost of a conversation is kept in '\(aside.directory)'")
        }
        return isSound ? .success : .inputOutput
    }

    private static func write(_ report: VerifyReport, _ context: Context) throws {
        let output = context.console.output
        if context.wantsJSON {
            try output.writeJSON(WireJSON.encode(report))
        } else {
            for problem in report.problems { try output.writeLine(TerminalText.escaped(problem.text)) }
            if report.isSound, output.isTerminal || context.arguments.flag("verbose") {
                try output.writeLine(TerminalText.escaped(report.summary.text))
            }
            for gap in report.missing {
                context.note("messages \(gap.from) to \(gap.to) of '\(report.conversation)' were never received")
            }
        }
        // The next one may take long.
        try output.flush()
    }
}

/// What the server has of conversations, asked for one by one until it can't be reached.
private struct ServerHeads {
    private let mirror: Mirror
    private var isReached = true

    init(_ mirror: Mirror) {
        self.mirror = mirror
        if mirror.context.isOffline { stop("offline") }
    }

    /// nil where the server was not reached, or does not show it.
    mutating func head(of conversation: ReplicaConversation) throws -> ConversationObject? {
        guard isReached, !conversation.isGone else { return nil }
        do {
            let answer = try mirror.api().conversation(conversation.name)
            // A name may have gone to another conversation since.
            return answer.id == conversation.id.description ? answer : nil
        } catch {
            switch error as? APIError {
            case .refused(let refusal)? where refusal.status == 404: return nil
            case let error? where error.isNotReached: stop(error.reason)
            default: throw error
            }
            return nil
        }
    }

    private mutating func stop(_ reason: Phrase) {
        isReached = false
        mirror.context.note("\(reason); the replica is compared with what the server said at the last sync")
    }
}
