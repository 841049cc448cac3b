internal import NatterSystem
internal import NatterArchive
internal import NatterLog
internal import NatterModel

extension Store {
    public func post(
        _ messages: [NewMessage], by principal: Principal, stopAtRefusal: Bool,
        _ completion: @escaping @Sendable ([PostOutcome]) -> Void
    ) {
        submit(
            StoreWriter.Posting(
                messages: messages, principal: principal, stopAtRefusal: stopAtRefusal, completion: completion))
    }

    /// The message that a repeated key stands for.
    func earlierMessage(_ seq: Seq, of conversation: ConversationIdentity, named name: String) -> PostOutcome {
        do {
            let tail = state.withLock { $0.conversations[conversation.number].map { Tail($0) } }
            guard let tail else { return .refused(.noSuchConversation(name)) }
            let messages = try withReader { reader in
                try MessageReader(reader: reader, conversation: conversation, name: name, tail: tail).page(seq...seq)
            }
            guard let message = messages.first else {
                return .refused(.failed("message \(seq) of '\(name)' is missing"))
            }
            return .repeated(message)
        } catch {
            return .refused(StoreError(error))
        }
    }
}
