/// One message as a reader sees it.
public struct Message: Equatable, Sendable {
    /// The conversation's name as the reader sees it: `general`, a group's name, or `@bob`.
    public var conversation: String
    public var conversationID: ConversationID
    public var seq: Seq
    public var cursor: MessageCursor
    public var time: Timestamp
    public var sender: String
    public var text: String
    public var kind: MessageKind
    /// The message that a reply, an edit or a deletion refers to.
    public var about: Seq?
    /// True if `natterd import` added the message. Then the sender is a label, not an account.
    public var isImported: Bool
    /// The label of the token that sent it; nil if a login sent it.
    public var via: String?
    /// When it was written, if that was long before it was sent.
    public var written: Timestamp?
    /// Whether text and sender were removed from the log.
    public var isErased: Bool
    /// When its text was last replaced.
    public var edited: Timestamp?
    /// Whether it was deleted. Then the text is empty.
    public var isDeleted = false
    /// The files of a text, if it is folded; of a record of kind `file` the one that it names.
    public var files: [FileRecord] = []

    public init(
        conversation: String, conversationID: ConversationID, seq: Seq, cursor: MessageCursor, time: Timestamp,
        sender: String, text: String, kind: MessageKind = .text, about: Seq? = nil, isImported: Bool = false,
        via: String? = nil, written: Timestamp? = nil, isErased: Bool = false
    ) {
        (self.conversation, self.conversationID) = (conversation, conversationID)
        (self.seq, self.cursor, self.time) = (seq, cursor, time)
        (self.sender, self.text, self.kind) = (sender, text, kind)
        (self.about, self.isImported) = (about, isImported)
        (self.via, self.written, self.isErased) = (via, written, isErased)
    }

    /// Whether nothing is left of an erased message. An event that named an erased account keeps its other words.
    public var hasNoText: Bool { isErased && (kind != .event || sender.isEmpty) }
}

/// The kind of a conversation. Log files and the database store the numbers.
public enum ConversationKind: UInt8, Sendable, CaseIterable {
    /// Open to everyone. A store has exactly one.
    case general = 0
    case group = 1
    /// Between two users, or one user's notebook.
    case personal = 2

    public var name: String {
        switch self {
        case .general: "general"
        case .group: "group"
        case .personal: "personal"
        }
    }

    public init?(name: String) {
        let name = name.asWord
        guard let kind = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = kind
    }
}

/// The kind of a message. Later versions may add kinds, so a reader counts and skips numbers that it does not know.
public struct MessageKind: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let text = MessageKind(rawValue: 0)
    /// A change of the conversation itself. Its text is `VERB` or `VERB NAME`, for example `added bob`.
    public static let event = MessageKind(rawValue: 1)
    /// Replaces the text of the message that it refers to.
    public static let edit = MessageKind(rawValue: 2)
    /// Deletes the message that it refers to.
    public static let delete = MessageKind(rawValue: 3)
    /// Names a file that came with the text that it refers to. Its own text is the line of a ``FileRecord``.
    public static let file = MessageKind(rawValue: 4)

    /// Whether it changes another message.
    public var isChange: Bool { self == .edit || self == .delete }
    /// Whether it belongs to another message. Where people read, it has no line of its own.
    public var isPart: Bool { isChange || self == .file }

    public var name: String {
        switch self {
        case .text: "text"
        case .event: "event"
        case .edit: "edit"
        case .delete: "delete"
        case .file: "file"
        default: "kind-\(rawValue)"
        }
    }

    public init?(name: String) {
        let name = name.asWord
        let known: [MessageKind] = [.text, .event, .edit, .delete, .file]
        if let kind = known.first(where: { $0.name == name }) {
            self = kind
        } else if name.hasPrefix("kind-"), let number = UInt8(digits: name.dropFirst(5)) {
            self.init(rawValue: number)
        } else {
            return nil
        }
    }
}
