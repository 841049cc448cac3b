internal import NatterCommandLine
internal import NatterClient
internal import NatterSystem
internal import NatterModel
internal import NatterProtocol

/// `verify [CONV]`: checks the replica.
enum VerifyCommand {
    static let spec = CommandSpec(
        "verify", "check every byte of the replica", group: NatterProgram.Group.reading,
        operands: [.optional("CONV", "the conversation (default: all)")],
        description: [
            "Read every message of the replica, check all checksums and recompute the hash chain. The hash at the head "
                + "must equal the server's, if the server is reached and has no newer messages, or else the hash "
                + "of the last sync. It does not sync first.",
            "Print each range that is damaged or missing and exit with status 74. The next 'natter sync' fetches these messages "
                + "again, and makes a damaged database anew. If there is no damage, print nothing in a pipe; on a "
                + "terminal and with --verbose, print a line for each conversation.",
        ],
        examples: [Example("natter verify", "check the whole replica")], run: run)

    private static let run: CommandBody = inContext { context in
        let synced = try SyncedReplica(context, needsServer: false)
        guard let replica = try synced.unsyncedReplica() else {
            throw CommandFailure(
                .unavailable, code: "nothing_synced", "nothing has been synced yet; run 'natter sync'")
        }
        do throws(ReplicaError) { try replica.checkDatabase(setsAside: true) } catch {
            guard error.isDamagedDatabase else { throw error }
            throw CommandFailure(.inputOutput, code: "io_error", "\(error); run 'natter sync' to make it anew")
        }
        let chosen: [ReplicaConversation]
        if let name = context.arguments.operand("CONV") {
            guard let conversation = try replica.conversation(named: name) else {
                throw CommandFailure(
                    .notFound, code: "no_such_conversation", "there is no conversation '\(name)' in the replica")
            }
            chosen = [conversation]
        } else {
            chosen = try replica.conversations(includingGone: true)
        }
        var server = ServerHeads(synced)
        var isSound = true
        var isRequested = false
        for conversation in chosen {
            let verification = try replica.verify(conversation)
            let report = VerifyReport(verification, server: try server.answer(of: conversation))
            if !report.isSound { isSound = false }
            try write(report, context)
            guard !(report.damaged.isEmpty && report.missing.isEmpty) else { continue }
            if try !conversation.isGone && verification.requestAgain(at: synced.location) {
                isRequested = true
            } else {
                tellRemedy(conversation, context)
            }
        }
        if isRequested { context.note("run 'natter sync' to fetch what is damaged or missing") }
        for aside in try DivergedHistory.all(at: synced.location)
        where chosen.contains(where: { $0.id == aside.conversation }) {
            context.note("messages that the server lost are kept in '\(aside.directory)'")
        }
        return isSound ? .success : .inputOutput
    }

    /// Prints what helps if a sync does not.
    private static func tellRemedy(_ conversation: ReplicaConversation, _ context: Context) {
        context.note(
            conversation.isGone
                ? "the server no longer gives you '\(conversation.name)'; only a backup of this replica has what is damaged"
                : "to fetch '\(conversation.name)' again, run 'natter logout --forget', log in and run 'natter sync'; that also "
                    + "deletes conversations that you have left, watches, and messages that were set aside")
    }

    private static func write(_ report: VerifyReport, _ context: Context) throws {
        let output = context.console.output
        if try !context.writeJSON(report) {
            for problem in report.problems { try output.writeLine(TerminalText.escaped(problem.text)) }
            if report.isSound, output.isTerminal || context.arguments.flag("verbose") {
                try output.writeLine(TerminalText.escaped(report.summary.text))
            }
        }
        // The next conversation may take long.
        try output.flush()
    }
}

/// The server's state of conversations, requested one by one until the server cannot be reached.
private struct ServerHeads {
    private let synced: SyncedReplica
    private var isReached = true

    init(_ synced: SyncedReplica) {
        self.synced = synced
        if synced.context.isOffline { stop("offline") }
    }

    /// The server's answer about a conversation.
    mutating func answer(of conversation: ReplicaConversation) throws -> VerifyReport.Answer {
        guard !conversation.isGone else { return .hidden }
        guard isReached else { return .none }
        do {
            let answer = try synced.api().perform(API.conversation, conversation.name)
            // The name may now belong to another conversation.
            return answer.id == conversation.id.description ? .state(answer) : .hidden
        } catch {
            switch error as? RequestError {
            // The user may have left the group since the last sync. An open one is still there for everyone.
            case .refused(let refusal)? where refusal.status == 404 || refusal.has(.notAMember):
                return .hidden
            case let error? where error.isAway: stop(error.reason)
            default: throw error
            }
            return .none
        }
    }

    private mutating func stop(_ reason: Phrase) {
        isReached = false
        synced.context.note("\(reason); comparing the replica with the hashes of the last sync")
    }
}

/// The result of `verify` for one conversation.
struct VerifyReport: Encodable {
    struct Range: Encodable {
        var from: UInt64
        var to: UInt64
        var reason: Phrase?
    }

    enum Comparison: String, Encodable {
        case same, different
        /// The server lacks messages that the replica has.
        case shorter
        /// The server does not show the conversation, or it has newer messages or was not asked, and never gave a hash for this
        /// head.
        case unknown
    }

    /// The server's answer about a conversation.
    enum Answer {
        case state(ConversationObject)
        /// It does not show it to this user.
        case hidden
        /// It was not reached.
        case none
    }

    var conversation: String
    var messages: Int
    var head: UInt64
    var hash: String?
    var server: Comparison
    var damaged: [Range]
    var missing: [Range]

    private enum CodingKeys: String, CodingKey { case conversation, messages, head, hash, server, damaged, missing }

    init(_ verification: ReplicaVerification, server answer: Answer) {
        let replica = verification.conversation
        conversation = replica.name
        messages = verification.messageCount
        head = replica.head.rawValue
        hash = verification.hash?.description
        damaged = verification.damaged.map {
            Range(from: $0.range.lowerBound.rawValue, to: $0.range.upperBound.rawValue, reason: $0.reason)
        }
        missing = verification.missing.map { Range(from: $0.lowerBound.rawValue, to: $0.upperBound.rawValue) }
        server = VerifyReport.compare(verification, answer)
    }

    private static func compare(_ verification: ReplicaVerification, _ answer: Answer) -> Comparison {
        let head = verification.conversation.head.rawValue
        switch answer {
        // That the last sync differed counts all the same.
        case .hidden: return verification.agreesWithServer == false ? .different : .unknown
        case .state(let now) where now.head < head: return .shorter
        case .state(let now) where now.head == head:
            if let hash = verification.hash { return now.hash == hash.description ? .same : .different }
        case .state, .none: break
        }
        return switch verification.agreesWithServer {
        case true?: .same
        case false?: .different
        case nil: .unknown
        }
    }

    var isSound: Bool { damaged.isEmpty && missing.isEmpty && server != .different && server != .shorter }

    /// The problems, one line for each.
    var problems: [Phrase] {
        var lines: [Phrase] = damaged.map { range in
            range.from == range.to
                ? "\(conversation): message \(range.from) is damaged: \(range.reason ?? "")"
                : "\(conversation): messages \(range.from) to \(range.to) are damaged: \(range.reason ?? "")"
        }
        lines += missing.map { range in
            range.from == range.to
                ? "\(conversation): message \(range.from) is missing"
                : "\(conversation): messages \(range.from) to \(range.to) are missing"
        }
        switch server {
        case .different:
            lines.append(
                "\(conversation): the hash chain at message \(head) is not the server's; 'natter sync' puts the replica's aside"
            )
        case .shorter:
            lines.append("\(conversation): the server ends before message \(head); 'natter sync' puts the rest aside")
        case .same, .unknown: break
        }
        return lines
    }

    /// The line for an intact conversation.
    var summary: Phrase {
        server == .same
            ? .plural(
                messages, "\(conversation): \(messages) message, intact, same as the server's",
                "\(conversation): \(messages) messages, intact, same as the server's")
            : .plural(
                messages, "\(conversation): \(messages) message, intact",
                "\(conversation): \(messages) messages, intact")
    }
}
