package import NatterCrypto
package import NatterModel
package import NatterStore

/// A message that somebody has tried to send. No two have the same text.
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

/// What was tried, and what a store has promised, each with the number of operations that its disk had seen by then.
package struct Promises: Sendable {
    package struct Dated<Value: Sendable>: Sendable {
        package let operations: Int
        package let value: Value
    }

    package var sendings: [Dated<Sending>] = []
    /// Where messages stand, by text.
    package var messages: [Dated<Message>] = []
    package var sessions: [Dated<(name: String, token: Token)>] = []
    package var reads: [Dated<(name: String, conversation: String, seq: Seq)>] = []
    /// Who is in a group, or no longer.
    package var memberships: [Dated<(name: String, group: String, isMember: Bool)>] = []

    /// What was begun to be changed of who is in a group.
    package var membershipChanges: [Dated<(name: String, group: String)>] = []

    package init() {}

    /// What had been promised when the disk had seen so many operations; what was tried by then, and whatever followed.
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
