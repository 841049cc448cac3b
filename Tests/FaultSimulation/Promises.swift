package import NatterSystem
package import NatterModel
package import NatterStore

/// A message that a user tried to send. Texts are unique.
package struct Sending: Sendable {
    package let sender: String
    package let conversation: String
    package let text: String
    package let key: String
    /// The message that it edits; nil for a new text.
    package let edited: Seq?

    package init(sender: String, conversation: String, text: String, key: String, edited: Seq? = nil) {
        (self.sender, self.conversation, self.text, self.key) = (sender, conversation, text, key)
        self.edited = edited
    }

    package var message: NewMessage {
        NewMessage(
            conversation: conversation, text: text, key: IdempotencyKey(key), kind: edited == nil ? .text : .edit,
            about: edited)
    }
}

/// Messages that lose their text, or go.
package struct Removal: Sendable {
    package enum Kind: Sendable {
        /// The text is given to nobody any more.
        case deletion
        /// Text and sender are gone, also those of edits.
        case erasure
        /// The messages are not kept any more.
        case retention
    }

    package let kind: Kind
    package let conversation: ConversationID
    package let range: ClosedRange<Seq>
    /// How many disk operations there were when it began.
    package let start: Int
}

/// The attempts and the store's promises, each with the number of disk operations so far.
package struct Promises: Sendable {
    package struct Dated<Value: Sendable>: Sendable {
        package let operations: Int
        package let value: Value
    }

    package var sendings: [Dated<Sending>] = []
    /// The acknowledged messages.
    package var messages: [Dated<Message>] = []
    package var sessions: [Dated<(name: String, token: Token)>] = []
    package var reads: [Dated<(name: String, conversation: String, seq: Seq)>] = []
    /// Whether a user is a member of a group.
    package var memberships: [Dated<(name: String, group: String, isMember: Bool)>] = []

    /// Changes of a group's members that began.
    package var membershipChanges: [Dated<(name: String, group: String)>] = []

    /// Removals that began.
    package var begunRemovals: [Dated<Removal>] = []
    /// The acknowledged removals.
    package var removals: [Dated<Removal>] = []

    package init() {}

    /// The attempts and promises up to the time when the disk had done this many operations.
    package func upTo(_ operations: Int) -> Promises {
        var earlier = Promises()
        earlier.sendings = sendings.filter { $0.operations <= operations }
        earlier.messages = messages.filter { $0.operations <= operations }
        earlier.sessions = sessions.filter { $0.operations <= operations }
        earlier.reads = reads.filter { $0.operations <= operations }
        earlier.memberships = memberships.filter { $0.operations <= operations }
        earlier.membershipChanges = membershipChanges.filter { $0.operations <= operations }
        earlier.begunRemovals = begunRemovals.filter { $0.operations <= operations }
        earlier.removals = removals.filter { $0.operations <= operations }
        return earlier
    }

    /// The promises after a restore from a backup: of the later ones, only erasures hold.
    package func restored(with later: Promises) -> Promises {
        var all = self
        all.begunRemovals = later.begunRemovals
        all.removals += later.removals.dropFirst(removals.count).filter { $0.value.kind == .erasure }
        return all
    }

    /// Whether a removal that began may have reached a message.
    package func may(_ kind: Removal.Kind, _ message: Message) -> Bool {
        begunRemovals.contains { $0.value.reaches(message, kind) }
    }

    /// Whether an acknowledged removal has reached an acknowledged message.
    package func must(_ kind: Removal.Kind, _ message: Dated<Message>) -> Bool {
        removals.contains {
            $0.value.reaches(message.value, kind)
                // An edit may be newer than the erasure of its original.
                && ($0.value.range.contains(message.value.seq) || message.operations <= $0.value.start)
        }
    }

    /// The texts that an acknowledged erasure has removed. Each has a word that is in no other text.
    package func erasedTexts() -> [String] {
        messages.filter { !$0.value.text.isEmpty && must(.erasure, $0) }.map(\.value.text)
    }
}

extension Removal {
    fileprivate func reaches(_ message: Message, _ kind: Kind) -> Bool {
        guard self.kind == kind, conversation == message.conversationID else { return false }
        if range.contains(message.seq) { return true }
        guard kind != .retention, message.kind == .edit, let original = message.about else { return false }
        return range.contains(original)
    }
}

/// A broken promise.
package struct Violation: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// Throws if the condition is false.
package func demand(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws {
    if !holds { throw Violation(otherwise()) }
}
