internal import NatterCLI
internal import NatterClient
internal import NatterCrypto
internal import NatterModel
internal import NatterWire

/// What `verify` says of one conversation.
struct VerifyReport: Encodable {
    struct Range: Encodable {
        var from: UInt64
        var to: UInt64
        var reason: Phrase?
    }

    enum Comparison: String, Encodable {
        case same, different
        /// The replica has messages that the server has not.
        case shorter
        /// The server has more than the replica, or was not asked, and said nothing of this head before.
        case unknown
    }

    var conversation: String
    var messages: Int
    var head: UInt64
    var hash: String?
    var server: Comparison
    var damaged: [Range]
    var missing: [Range]

    private enum CodingKeys: String, CodingKey { case conversation, messages, head, hash, server, damaged, missing }

    /// - Parameter server: what the server has now; nil if that is not known.
    init(_ verification: ReplicaVerification, server answer: ConversationObject?) {
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

    private static func compare(_ verification: ReplicaVerification, _ answer: ConversationObject?) -> Comparison {
        if let answer, answer.head < verification.conversation.head.rawValue { return .shorter }
        if let answer, answer.head == verification.conversation.head.rawValue, let hash = verification.hash {
            return answer.hash == hash.description ? .same : .different
        }
        return switch verification.agreesWithServer {
        case true?: .same
        case false?: .different
        case nil: .unknown
        }
    }

    var isSound: Bool { damaged.isEmpty && server != .different && server != .shorter }

    /// One line each.
    var problems: [Phrase] {
        var lines: [Phrase] = damaged.map { range in
            range.from == range.to
                ? "\(conversation): message \(range.from) is damaged: \(range.reason ?? "")"
                : "\(conversation): messages \(range.from) to \(range.to) are damaged: \(range.reason ?? "")"
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

    /// For one that is sound.
    var summary: Phrase {
        server == .same
            ? .plural(
                messages, "\(conversation): \(messages) message, whole, the same as the server's",
                "\(conversation): \(messages) messages, whole, the same as the server's")
            : .plural(
                messages, "\(conversation): \(messages) message, whole",
                "\(conversation): \(messages) messages, whole")
    }
}
