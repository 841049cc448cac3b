internal import NatterModel
internal import NatterSystem

/// What another program knew of the people in a conversation.
public struct ImportedPeople: Codable, Sendable, Equatable {
    public struct Member: Codable, Sendable, Equatable {
        public var name: String
        /// The name that the user chose to be shown.
        public var display: String?

        public init(name: String, display: String?) { (self.name, self.display) = (name, display) }
    }

    /// Of a group, its maker comes first.
    public var members: [Member]
    /// What a group is about.
    public var topic: String?

    public init(members: [Member] = [], topic: String? = nil) { (self.members, self.topic) = (members, topic) }
}

extension Store {
    /// Gives a group that has no members those who have accounts; the first becomes its admin. A group with members keeps them as
    /// they are, because some may have left it. The topic and display names are taken where there are none; a topic has an event
    /// if somebody of the export has an account.
    ///
    /// - Parameter name: as an operator calls the conversation.
    /// - Returns: how many members were added, and how many have no account.
    public func take(
        _ people: ImportedPeople, for name: String, _ completion: @escaping Completion<(added: Int, strangers: Int)>
    ) {
        change(answering: completion) { state, builder throws(StoreError) in
            var decision = Decision()
            var accounts: [AccountState] = []
            var strangers = 0
            for member in people.members {
                guard let account = state.account(named: member.name), !account.isErased else {
                    strangers += 1
                    continue
                }
                if accounts.contains(where: { $0.id == account.id }) { continue }
                if let display = member.display, account.display == nil {
                    decision.append(.displaySet(account.id, display))
                }
                if !account.isDisabled { accounts.append(account) }
            }
            guard let number = state.groups[NameRule.caseKey(name)], let group = state.conversations[number] else {
                return (decision, (0, strangers))
            }
            let maker = accounts.first.map {
                Principal(
                    account: $0.id, name: $0.name, isAdmin: false, token: .zero, scope: .all, created: builder.now,
                    expires: nil)
            }
            let added = group.members.isEmpty ? accounts : []
            for account in added {
                let isMaker = account.id == maker?.account
                decision.append(
                    .memberPut(
                        account.id, in: number,
                        ConversationState.Membership(isAdmin: isMaker, since: builder.commit)))
                decision.append(.noted(account.id, conversation: number, .conversation, data: nil))
                decision.changes += group.arrival(of: account.id, account.name)
                if let maker {
                    decision.append(
                        isMaker ? .created : .added(account.name.text), in: number, by: maker, cost: .nothing)
                }
            }
            if let topic = people.topic, group.topic == nil {
                decision.append(.topicSet(number, topic))
                if let maker { decision.append(.topic(topic), in: number, by: maker, cost: .nothing) }
            }
            return (decision, (added.count, strangers))
        }
    }
}
