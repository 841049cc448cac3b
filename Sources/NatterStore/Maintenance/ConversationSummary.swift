internal import NatterConversation
internal import NatterModel
internal import NatterSystem

/// A conversation as the operator sees it, and as `natterd ls --json` prints it.
public struct ConversationSummary: Codable, Sendable {
    /// `general`, the group's name, or `@alice,@bob`.
    public let name: String
    public let id: String
    public let kind: String
    public let open: Bool
    /// nil for `general`, which has all users.
    public let members: Int?
    public let first: UInt64
    public let head: UInt64
    public let retain: String
}

extension Store {
    /// All conversations but deleted groups: `general`, groups and personal ones, each by name.
    ///
    /// - Parameter user: whose conversations; nil for all.
    /// - Throws: `noSuchUser`.
    public func summaries(of user: String? = nil) throws(StoreError) -> [ConversationSummary] {
        let (account, numbers) = try state.withLock { state throws(StoreError) in
            let account = user.flatMap { state.account(named: $0) }
            if let user, account == nil { throw .noSuchUser(user) }
            return (account?.id, Array(state.conversations.keys))
        }
        return lookUp(numbers) { state, number in
            guard let found = state.conversations[number], !found.isDeleted,
                account.map({ Authority.sees($0, found) }) != false
            else { return nil }
            let identity = found.identity
            let members: [ConversationKind: Int] = [.group: found.members.count, .personal: Set(identity.users).count]
            return ConversationSummary(
                name: identity.kind == .personal ? CheckedConversation.label(of: identity) : found.name,
                id: identity.id.description, kind: identity.kind.name, open: found.isOpen,
                members: members[identity.kind], first: found.first.rawValue, head: found.head.rawValue,
                retain: state.retention(of: found).description)
        }.sorted { ($0.kind, NameRule.caseKey($0.name)) < ($1.kind, NameRule.caseKey($1.name)) }
    }
}
