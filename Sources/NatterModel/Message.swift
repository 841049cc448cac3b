/// One message as a reader sees it.
public struct Message: Equatable, Sendable {
    /// The conversation's name from the reader's side: `general`, a group's name, or `@bob`.
    public var conversation: String
    public var conversationID: ConversationID
    public var seq: Seq
    public var cursor: MessageCursor
    public var time: Timestamp
    public var sender: String
    public var text: String
    public var kind: MessageKind
    /// The message that an edit or a deletion is about.
    public var about: Seq?
    /// Whether it came by `natterd import`: then the sender is a label, not an account.
    public var isImported: Bool

    public init(
        conversation: String, conversationID: ConversationID, seq: Seq, cursor: MessageCursor, time: Timestamp,
        sender: String, text: String, kind: MessageKind = .text, about: Seq? = nil, isImported: Bool = false
    ) {
        self.conversation = conversation
        self.conversationID = conversationID
        self.seq = seq
        self.cursor = cursor
        self.time = time
        self.sender = sender
        self.text = text
        self.kind = kind
        self.about = about
        self.isImported = isImported
    }
}
