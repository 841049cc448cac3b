internal import NatterArchive
internal import NatterModel

/// What somebody wants to do with a conversation.
enum Right {
    case read
    case write
    case administer
}

/// The one place that says who may do what. Every request for something private comes here, and a waiting one comes again
/// when it is answered.
enum Authority {
    /// Throws unless `account` has this right.
    ///
    /// A private group does not exist for those who are not in it, so that nobody learns its name by asking.
    static func check(
        _ right: Right, of account: AccountID, in conversation: ConversationState, named name: String,
        _ state: StoreState
    ) throws(StoreError) {
        guard !conversation.isDeleted else { throw .noSuchConversation(name) }
        switch conversation.identity.kind {
        case .general:
            if right == .administer { throw .forbidden("'general' has no admins") }
        case .personal:
            guard isParty(account, to: conversation) else { throw .noSuchConversation(name) }
            if right == .administer { throw .forbidden("a personal conversation has no admins") }
            if right == .write, let peer = peer(of: account, in: conversation),
                state.accounts[peer]?.blocked.contains(account) == true
            {
                throw .blocked(name)
            }
        case .group:
            guard let membership = conversation.members[account.rawValue] else {
                if conversation.isOpen { throw .notAMember(name) }
                throw .noSuchConversation(name)
            }
            if right == .administer, !membership.isAdmin { throw .forbidden("you are not an admin of '\(name)'") }
        }
    }

    /// Whether the conversation is among those that this account syncs and lists.
    static func sees(_ account: AccountID, _ conversation: ConversationState) -> Bool {
        guard !conversation.isDeleted else { return false }
        return switch conversation.identity.kind {
        case .general: true
        case .personal: isParty(account, to: conversation)
        case .group: conversation.members[account.rawValue] != nil
        }
    }

    /// The other one of a personal conversation.
    static func peer(of account: AccountID, in conversation: ConversationState) -> AccountID? {
        guard let (first, second) = conversation.accounts else { return nil }
        return AccountID(rawValue: first == account.rawValue ? second : first)
    }

    private static func isParty(_ account: AccountID, to conversation: ConversationState) -> Bool {
        guard let (first, second) = conversation.accounts else { return false }
        return account.rawValue == first || account.rawValue == second
    }
}
