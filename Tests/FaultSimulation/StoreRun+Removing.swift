internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import StoreSupport
internal import SystemSupport

/// The steps of a run that take messages away.
extension StoreRun {
    /// The ids of sent messages are known for 30 days, and each retention moves the clock.
    private static let (maximumRetentions, day): (Int, Int64) = (8, 86_400_000)

    func remove() throws {
        switch Int.random(in: 0..<12, using: &generator) {
        case 0..<3: try edit()
        case 3..<5: try delete()
        case 5..<11: try erase()
        default: try retain()
        }
    }

    /// An acknowledged text that an account has sent.
    private func someText() -> Message? {
        let texts = promises.withLock { $0.messages.map(\.value).filter { $0.kind == .text && !$0.isImported } }
        return texts.randomElement(using: &generator)
    }

    private func edit() throws {
        guard let original = someText() else { return }
        try send([newSending(by: original.sender, edited: original)])
    }

    private func delete() throws {
        guard let original = someText() else { return }
        begin(.deletion, of: original.conversationID, original.seq...original.seq) { removal in
            let deletion = NewMessage(
                conversation: original.conversation, text: "", key: nil, kind: .delete, about: original.seq)
            guard let outcome = try? driver.post([deletion], by: token(original.sender)).first else { return nil }
            if let refusal = outcome.refusal, !refusal.isAboutTheMessage { refusals.append(refusal) }
            return outcome.message == nil ? nil : removal
        }
    }

    /// Erases a message, and perhaps some before it.
    func erase() throws {
        let messages = promises.withLock { $0.messages.map(\.value) }
        guard let message = messages.randomElement(using: &generator) else { return }
        let before = min(message.seq.rawValue - 1, UInt64.random(in: 0...2, using: &generator))
        let first = Seq(message.seq.rawValue - before)
        try begin(.erasure, of: message.conversationID, first...message.seq) { removal in
            let before = try? rememberedErasures()
            let result: Result<Int, StoreError> = answer {
                driver.store.erase([removal.range], in: operatorsName(of: message), by: "alice", $0)
            }
            if case .failure(.diskFull) = result {
                try demand((try? rememberedErasures()) == before, "the next start erases what was refused")
            }
            return try isDone(result) ? removal : nil
        }
    }

    /// The lines of `erased` that an empty one confirms. The next start erases their messages.
    private func rememberedErasures() throws -> ArraySlice<UInt8> {
        let path = StoreDriver.directory + "/erased"
        guard try disk.information(path) != nil else { return [] }
        let bytes = try disk.contents(of: path, limit: 1 << 20)
        let end = bytes.indices.dropFirst().last { bytes[$0] == 0x0A && bytes[$0 - 1] == 0x0A }
        return end.map { bytes[...$0] } ?? []
    }

    /// Drops what is in a conversation now.
    private func retain() throws {
        guard retentionCount < StoreRun.maximumRetentions, let message = someText() else { return }
        retentionCount += 1
        // The sender may have left the group.
        let principal = try driver.principal(token(message.sender))
        guard let view = try? driver.store.conversation(message.conversation, for: principal) else { return }
        clock.advance(milliseconds: 2 * StoreRun.day)
        try begin(.retention, of: view.id, Seq(1)...view.head) { removal in
            let result: Result<RetentionView, StoreError> = answer {
                driver.store.setRetention(Retention(days: 1), of: operatorsName(of: message), by: "alice", $0)
            }
            guard try isDone(result), let view = try? result.get(), view.first > Seq(1) else { return nil }
            return Removal(
                kind: .retention, conversation: removal.conversation, range: Seq(1)...view.first.previous,
                start: removal.start)
        }
    }

    /// Only a disk that fails may refuse it.
    private func isDone<Value>(_ result: Result<Value, StoreError>) throws -> Bool {
        guard case .failure(let refusal) = result else { return true }
        guard goesOnRefused else { throw refusal }
        // The operator learns the cause, not only that the outcome is unknown.
        if refusal == .busy || !driver.store.isFailed { refusals.append(refusal) }
        return false
    }

    /// `@alice,@bob` for what is `@bob` for alice.
    private func operatorsName(of message: Message) -> String {
        let name = message.conversation
        return name.hasPrefix("@") ? "@\(message.sender),\(name)" : name
    }

    /// - Parameter remove: returns what is acknowledged; nil if nothing is.
    private func begin(
        _ kind: Removal.Kind, of conversation: ConversationID, _ range: ClosedRange<Seq>,
        _ remove: (Removal) throws -> Removal?
    ) rethrows {
        let removal = Removal(kind: kind, conversation: conversation, range: range, start: disk.operationCount)
        promise { $0.begunRemovals.append(.init(operations: $1, value: removal)) }
        guard let done = try remove(removal) else { return }
        promise { $0.removals.append(.init(operations: $1, value: done)) }
    }
}

extension StoreError {
    /// Whether the message was refused because of what it is about, which may be gone, or because its sender has left the group.
    var isAboutTheMessage: Bool {
        switch self {
        case .badAbout, .forbidden, .noSuchMessage, .noSuchConversation, .notAMember: true
        default: false
        }
    }
}
