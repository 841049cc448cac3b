internal import NatterSystem
internal import NatterModel
internal import NatterLog
internal import NatterProtocol

/// One item of a sync answer in the form of blocks: a line with every field checked, or a block of a conversation.
enum SyncItem {
    case conversation(SyncedConversation)
    case block(ConversationID, Block)
    case damaged(ConversationID, name: String, ClosedRange<Seq>)
    case gone(ConversationID, reason: String)
    case read(ConversationID, Seq, unread: UInt64?)
    /// Messages that were erased and are not kept any more.
    case erased(ConversationID, [Seq])
    case end(SyncEnd)
    /// A line of a newer server, which this client ignores.
    case unknown

    /// The longest cursor. A server's own have about 100 bytes.
    private static let cursorBytes = 1_024

    init(line bytes: [UInt8]) throws(FormatViolation) {
        let line: DecodedLine
        do throws(WireJSON.Failure) {
            if let end = SyncEnd(plain: bytes) { line = .end(end) } else { line = try WireJSON.decode(answer: bytes) }
        } catch {
            throw FormatViolation("a line is not what it should be (\(error))")
        }
        switch line {
        case .conversation(let object): self = .conversation(try SyncedConversation(object))
        case .gone(let gone):
            guard gone.reason.utf8.count <= Limits.senderBytes else {
                throw FormatViolation("the reason why a conversation is gone is too long")
            }
            self = .gone(try SyncItem.id(gone.conversationID), reason: gone.reason)
        case .read(let read):
            let limit = Limits.seqs.upperBound.rawValue
            guard read.read <= limit, read.unread ?? 0 <= limit else {
                throw FormatViolation("a read mark is out of range")
            }
            self = .read(try SyncItem.id(read.conversationID), Seq(read.read), unread: read.unread)
        case .erased(let erased):
            guard erased.seqs.allSatisfy({ $0 > 0 && $0 < UInt64(Int64.max) }) else {
                throw FormatViolation("a number of an erased message is out of range")
            }
            self = .erased(try SyncItem.id(erased.conversationID), erased.seqs.map { Seq($0) })
        case .damaged(let damage):
            guard damage.from > 0, damage.from <= damage.to, damage.to < UInt64(Int64.max) else {
                throw FormatViolation("a range of damaged messages is out of range")
            }
            try SyncItem.check(name: damage.conversation)
            self = .damaged(
                try SyncItem.id(damage.conversationID), name: damage.conversation, Seq(damage.from)...Seq(damage.to))
        case .end(let end):
            // It becomes a part of the next request's path.
            guard end.cursor.utf8.count <= SyncItem.cursorBytes else { throw FormatViolation("a cursor is too long") }
            self = .end(end)
        case .unknown: self = .unknown
        }
    }

    /// A name as the reader sees it: of a group, or of a user behind `@`.
    fileprivate static func check(name: String) throws(FormatViolation) {
        guard (1...Limits.senderBytes + 1).contains(name.utf8.count) else {
            throw FormatViolation("a conversation's name is empty or too long")
        }
    }

    fileprivate static func id(_ text: String) throws(FormatViolation) -> ConversationID {
        guard let id = ConversationID(hex: text) else { throw FormatViolation("a conversation's id is malformed") }
        return id
    }
}

/// A server's line about a conversation, with every field checked.
struct SyncedConversation {
    let id: ConversationID
    let kind: ConversationKind
    let name: String
    let first: Seq
    let head: Seq
    let hash: Digest
    let read: Seq
    let unread: UInt64
    let topic: String?

    init(_ object: ConversationObject) throws(FormatViolation) {
        id = try SyncItem.id(object.id)
        guard let kind = ConversationKind(name: object.kind), let hash = Digest(hex: object.hash) else {
            throw FormatViolation("a conversation's kind or hash is malformed")
        }
        // The database stores numbers of 63 bits.
        let limit = UInt64(Int64.max)
        guard object.first > 0, object.first <= object.head.addingReportingOverflow(1).partialValue || object.head == 0,
            object.head < limit, object.read < limit, object.unread < limit, object.first < limit
        else { throw FormatViolation("a conversation's numbers are out of range") }
        try SyncItem.check(name: object.name)
        topic = object.topic ?? nil
        guard topic?.unicodeScalars.count ?? 0 <= Limits.topicCharacters.upperBound else {
            throw FormatViolation("a conversation's topic is too long")
        }
        self.kind = kind
        self.hash = hash
        name = object.name
        (first, head, read, unread) = (Seq(object.first), Seq(object.head), Seq(object.read), object.unread)
    }
}

/// A decoded line of JSON. One pass of the decoder finds its type and its fields.
private enum DecodedLine: Decodable {
    case conversation(ConversationObject)
    case gone(SyncGone)
    case read(SyncRead)
    case erased(SyncErased)
    case damaged(SyncDamage)
    case end(SyncEnd)
    case unknown

    enum CodingKeys: CodingKey { case type }

    init(from decoder: any Decoder) throws {
        let type = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .type)
        switch type.asWord {
        case "conversation": self = .conversation(try ConversationObject(from: decoder))
        case "gone": self = .gone(try SyncGone(from: decoder))
        case "read": self = .read(try SyncRead(from: decoder))
        case "erased": self = .erased(try SyncErased(from: decoder))
        case "damaged": self = .damaged(try SyncDamage(from: decoder))
        case "end": self = .end(try SyncEnd(from: decoder))
        default: self = .unknown
        }
    }
}

extension Block {
    /// The block of a frame, with its checksums verified.
    init(_ frame: SyncFrame) throws(FormatViolation) {
        let header = try frame.payload.withUnsafeBytesTyped { bytes throws(FormatViolation) in
            try BlockHeader(decoding: bytes)
        }
        guard header.totalLength == frame.payload.count, header.isProvisional == (frame.kind == .provisional) else {
            throw FormatViolation("a block is not what its frame says")
        }
        self.init(header: header, stored: Array(frame.payload[BlockHeader.byteCount...]))
        try checkStored()
    }
}
