internal import NatterCrypto
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterWire

/// A line of a sync in the form of blocks, taken in and checked.
enum SyncLine {
    case conversation(SyncedConversation)
    case gone(ConversationID, name: String, reason: String)
    case read(ConversationID, Seq)
    case damaged(ConversationID, name: String, ClosedRange<Seq>)
    case end(cursor: String, more: Bool)
    /// Of a newer server; to be passed over.
    case unknown

    init(_ bytes: [UInt8]) throws(FormatViolation) {
        let line: Parsed
        do throws(WireJSON.Failure) { line = try WireJSON.decode(from: bytes) } catch {
            throw FormatViolation("a line is not what it should be (\(error))")
        }
        switch line {
        case .conversation(let object): self = .conversation(try SyncedConversation(object))
        case .gone(let gone):
            self = .gone(try SyncLine.id(gone.conversationID), name: gone.conversation, reason: gone.reason)
        case .read(let read): self = .read(try SyncLine.id(read.conversationID), Seq(read.read))
        case .damaged(let damage):
            guard damage.from > 0, damage.from <= damage.to, damage.to < UInt64(Int64.max) else {
                throw FormatViolation("a range of damaged messages is out of range")
            }
            self = .damaged(
                try SyncLine.id(damage.conversationID), name: damage.conversation, Seq(damage.from)...Seq(damage.to))
        case .end(let end): self = .end(cursor: end.cursor, more: end.more)
        case .unknown: self = .unknown
        }
    }

    fileprivate static func id(_ text: String) throws(FormatViolation) -> ConversationID {
        guard let id = ConversationID(hex: text) else { throw FormatViolation("a conversation's id is malformed") }
        return id
    }
}

/// What a server says of a conversation, with every field checked.
struct SyncedConversation {
    let id: ConversationID
    let kind: ConversationKind
    let name: String
    let first: Seq
    let head: Seq
    let hash: Digest
    let read: Seq
    let unread: UInt64

    init(_ object: ConversationObject) throws(FormatViolation) {
        id = try SyncLine.id(object.id)
        guard let kind = ConversationKind(name: object.kind), let hash = Digest(hex: object.hash) else {
            throw FormatViolation("a conversation's kind or hash is malformed")
        }
        // The database keeps numbers of 63 bits.
        let limit = UInt64(Int64.max)
        guard object.first > 0, object.first <= object.head.addingReportingOverflow(1).partialValue || object.head == 0,
            object.head < limit, object.read < limit, object.unread < limit, object.first < limit
        else { throw FormatViolation("a conversation's numbers are out of range") }
        self.kind = kind
        self.hash = hash
        name = object.name
        (first, head, read, unread) = (Seq(object.first), Seq(object.head), Seq(object.read), object.unread)
    }
}

/// One pass of the JSON decoder for a line of any type.
private enum Parsed: Decodable {
    case conversation(ConversationObject)
    case gone(SyncGone)
    case read(SyncRead)
    case damaged(SyncDamage)
    case end(SyncEnd)
    case unknown

    enum CodingKeys: CodingKey { case type }

    init(from decoder: any Decoder) throws {
        let type = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .type)
        switch type {
        case "conversation": self = .conversation(try ConversationObject(from: decoder))
        case "gone": self = .gone(try SyncGone(from: decoder))
        case "read": self = .read(try SyncRead(from: decoder))
        case "damaged": self = .damaged(try SyncDamage(from: decoder))
        case "end": self = .end(try SyncEnd(from: decoder))
        default: self = .unknown
        }
    }
}
