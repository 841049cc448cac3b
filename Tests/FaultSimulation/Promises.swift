package import NatterCrypto
package import NatterModel
package import NatterStore

/// A message that a user tried to send. Texts are unique.
package struct Sending: Sendable {
    package let sender: String
    package let conversation: String
    package let text: String
    package let key: String

    package init(sender: String, conversation: String, text: String, key: String) {
        (self.sender, self.conversation, self.text, self.key) = (sender, conversation, text, key)
    }

    package var message: NewMessage {
        NewMessage(conversation: conversation, text: text, key: IdempotencyKey(key))
    }
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
        return earlier
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
