internal import NatterLog
internal import NatterModel

/// The printed fields of a message except its text.
struct MessageFields {
    var conversation: String
    /// nil for a record of no log.
    var conversationID: ConversationID?
    var seq: Seq
    var time: Timestamp
    /// UTF-8.
    var sender: [UInt8]
    var kind: MessageKind
    var about: Seq?
    /// UTF-8. The label of the token that sent it.
    var via: [UInt8]?
    var written: Timestamp?
    var isEdited = false
    var isDeleted = false
    var isErased = false
    var files: [FileRecord] = []

    init(_ record: Record, in conversation: String, _ id: ConversationID? = nil) {
        (self.conversation, conversationID) = (conversation, id)
        (seq, time, sender) = (record.seq, record.time, record.sender)
        (kind, about, via, written) = (record.kind, record.about, record.via, record.written)
        isErased = record.isErased && (record.kind != .event || record.text.isEmpty)
    }

    init(_ message: Message) {
        (conversation, conversationID) = (message.conversation, message.conversationID)
        (seq, time) = (message.seq, message.time)
        (sender, kind, about) = (Array(message.sender.utf8), message.kind, message.about)
        (via, written) = (message.via.map { Array($0.utf8) }, message.written)
        (isEdited, isDeleted, isErased) = (message.edited != nil, message.isDeleted, message.hasNoText)
        if kind == .text { files = message.files }
    }
}
