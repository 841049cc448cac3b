internal import NatterConversation
public import NatterModel
internal import NatterSystem

/// Reading for a hook of the operator. A hook reads any conversation and has no account.
extension Store {
    public struct HookPage: Sendable {
        public let messages: [Message]
        /// Messages before the first of these that do not exist any more: not kept, or stated as lost by a repair.
        public let gone: ClosedRange<Seq>?
        /// Everything up to here was looked at.
        public let last: Seq
    }

    /// The most messages that a hook reads at once.
    private static let hookPage = 64

    /// - Parameter name: `general`, a group, or `@alice,@bob`.
    /// - Throws: `noSuchConversation`, `noSuchUser`.
    public func hookTarget(_ name: String) throws(StoreError) -> (id: ConversationID, name: String, head: Seq) {
        try state.withLock { state throws(StoreError) in
            guard let found = try StoreExporter.find(name, in: state), !found.isDeleted else {
                throw .noSuchConversation(name)
            }
            let shown = found.identity.kind == .personal ? name : found.name
            return (found.identity.id, shown, found.head)
        }
    }

    /// The name that a group has now; nil if it is gone, and for a personal conversation.
    public func hookName(of id: ConversationID) -> String? {
        hookConversation(id) { $0.identity.kind == .personal ? nil : $0.name } ?? nil
    }

    /// The number of the newest message; nil if the conversation is gone.
    public func hookHead(of id: ConversationID) -> Seq? { hookConversation(id) { $0.head } }

    private func hookConversation<Value: Sendable>(
        _ id: ConversationID, _ value: @Sendable (ConversationState) -> Value
    ) -> Value? {
        state.withLock { state in
            state.conversation(id).flatMap { $0.isDeleted ? nil : value($0) }
        }
    }

    /// The messages after a seq; nil if the conversation is gone.
    ///
    /// - Throws: `damaged` if the next message can't be read.
    public func hookMessages(of id: ConversationID, named name: String, after: Seq) throws(StoreError) -> HookPage? {
        let found = hookConversation(id) { ($0.identity, Tail($0)) }
        guard let (identity, tail) = found else { return nil }
        guard tail.head > after else { return HookPage(messages: [], gone: nil, last: after) }
        return try reading { archive in
            let reader = LogReader(tail.log(of: identity, named: name), archive)
            var messages: [Message] = []
            var gone = after.next < tail.first ? after.next...tail.first.previous : nil
            let last = try reader.forward(MessageFilter(after: after), limit: Store.hookPage) { piece in
                switch piece {
                case .messages(let run): messages += run.messages()
                case .missing(_, let seqs, .notStored) where messages.isEmpty && gone == nil:
                    let losses = try LossRows.all(on: archive.connection)[identity.number] ?? []
                    // Any other may be found again.
                    guard LossRows.covers(losses, seqs) else { throw ArchiveError.missing(seqs, .notStored) }
                    gone = seqs
                case .missing(_, let seqs, let reason):
                    if messages.isEmpty, gone == nil { throw ArchiveError.missing(seqs, reason) }
                    return false
                }
                return true
            }
            try MessageFolder(reader, folds: false, showsFiles: true).apply(to: &messages)
            return HookPage(messages: messages, gone: gone, last: last)
        }
    }
}
