internal import NatterArchive
internal import NatterClient
internal import NatterCrypto
internal import NatterModel
internal import NatterWire

extension ConversationObject {
    /// As the replica has it.
    init(_ conversation: ReplicaConversation, in replica: Replica) throws {
        var last: MessageObject?
        try replica.backward(conversation, MessageFilter(), limit: 1) { piece in
            if case .messages(let run) = piece { last = run.messages().first.map { MessageObject($0) } }
            return false
        }
        self.init(
            name: conversation.name, id: conversation.id.description, kind: conversation.kind.name,
            first: conversation.first.rawValue, head: conversation.head.rawValue,
            hash: (conversation.hash ?? .zero).description, read: conversation.read.rawValue,
            unread: conversation.unread, last: last)
    }
}
