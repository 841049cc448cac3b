internal import NatterConversation
public import NatterModel

/// A right that an operation on a conversation requires.
enum Right {
    case read
    case write
    case administer
}

/// The scope that a request requires of its token.
public enum ScopeNeed: Sendable, Equatable {
    /// The token of a login, which may do everything that the account may.
    case all
    /// A login itself, not a token for a program.
    case session
    /// Any valid token.
    case valid
    /// The id, if there is one, decides which conversation is meant.
    case send(conversation: String, id: ConversationID? = nil)
    case read(conversation: String)
    /// Any token that may read something.
    case readAny
    /// Any token that may send something.
    case sendAny
}

/// The only place that decides who may do what. Every request for private data is checked here, and a waiting request
/// is checked again when it is answered.
enum Authority {
    /// Throws unless `account` has this right.
    ///
    /// For users outside it, a private group looks as if it did not exist. So nobody can find out its name by asking.
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
            if right == .administer, isOrphan(conversation, state), state.accounts[account]?.isAdmin == true { return }
            guard let membership = conversation.members[account.rawValue] else {
                if conversation.isOpen { throw .notAMember(name) }
                throw .noSuchConversation(name)
            }
            if right == .administer, !membership.isAdmin {
                throw .forbidden("you are not an admin of '\(name)'; ask one of them")
            }
        }
    }

    /// The id of the conversation that a principal may send a text to. It may not be written yet.
    static func writable(
        _ name: String, id: ConversationID?, for principal: Principal, _ state: StoreState
    ) throws(StoreError) -> ConversationID {
        let account = principal.account
        switch try state.resolve(name, id: id, for: account) {
        case .existing(let conversation):
            try check(.write, of: account, in: conversation, named: name, state)
            try checkScope(.write, of: principal, on: conversation.identity.id)
            return conversation.identity.id
        case .unwritten(let own, let peer):
            let unwritten = ConversationIdentity.unwritten(own, peer, in: state.store).id
            try checkScope(.write, of: principal, on: unwritten)
            if peer.blocked.contains(own.id) { throw .blocked(name) }
            return unwritten
        }
    }

    /// Throws if nobody will ever read a new text, because the account of the other user was erased. Messages that were sent
    /// to it can still be edited and deleted.
    static func checkRecipient(
        of message: NewMessage, by account: AccountID, in conversation: ConversationState, _ state: StoreState
    ) throws(StoreError) {
        guard message.kind == .text, conversation.identity.kind == .personal,
            let peer = peer(of: account, in: conversation).flatMap({ state.accounts[$0] }), peer.isErased
        else { return }
        throw .noSuchUser(peer.name.text)
    }

    /// Whether a group has no active admin: an import created it, or all its admins are disabled. Then admins of the
    /// server administer it until it has an admin of its own.
    static func isOrphan(_ group: ConversationState, without account: AccountID? = nil, _ state: StoreState) -> Bool {
        !group.members.contains { number, membership in
            membership.isAdmin && number != account?.rawValue
                && state.accounts[AccountID(rawValue: number)]?.isDisabled == false
        }
    }

    /// Throws unless a message may be about this one, and `principal` may send it.
    ///
    /// Nobody can tell from the error whether a text was deleted before they could see it: who may write may also read.
    static func check(
        _ message: NewMessage, about original: OriginalMessage, isDeleted: Bool, by principal: Principal,
        in conversation: ConversationState, named name: String, _ state: StoreState
    ) throws(StoreError) {
        let seq = message.about ?? .zero
        if original.kind.isChange {
            throw .badAbout("message \(seq) is itself an edit or a deletion; name the original message")
        }
        if original.kind == .file {
            throw .badAbout("message \(seq) is a file; name the message that it came with")
        }
        if isDeleted { throw .badAbout("message \(seq) is deleted") }
        if message.kind == .text {
            guard original.kind == .text else { throw .badAbout("message \(seq) is no text; only texts have replies") }
            return
        }
        if case .limited = principal.scope {
            guard isOwn(original, principal), let label = state.tokens[principal.token]?.label,
                original.via == Array(label.utf8)
            else { throw .forbidden("this token may change only what was sent with it") }
            return
        }
        if isOwn(original, principal) { return }
        guard message.kind == .delete else {
            throw .forbidden(
                "only the sender of message \(seq) may edit it; events, imported and erased messages stay as they are")
        }
        let isAdmin =
            state.accounts[principal.account]?.isAdmin == true
            || conversation.members[principal.account.rawValue]?.isAdmin == true
        guard isAdmin else {
            throw .forbidden("only its sender or an admin may delete message \(seq) of '\(name)'")
        }
    }

    /// Whether the account wrote this text itself, or a program of it.
    private static func isOwn(_ original: OriginalMessage, _ principal: Principal) -> Bool {
        original.kind == .text && !original.isImported && original.sender == Array(principal.name.text.utf8)
    }

    /// Throws unless the asker may still administer the server. Hashing a password takes time, in which the operator may have
    /// disabled or demoted them.
    ///
    /// - Parameter principal: nil for the operator.
    static func checkAdmin(_ principal: Principal?, at now: Timestamp, _ state: StoreState) throws(StoreError) {
        guard let principal else { return }
        guard state.isGood(principal, at: now) else { throw .unauthorized }
        guard state.accounts[principal.account]?.isAdmin == true else {
            throw .forbidden("only an admin of the server may do this")
        }
    }

    /// Throws unless the scope of a token covers a request. The rights of the account are checked separately.
    static func check(_ need: ScopeNeed, of principal: Principal, _ state: StoreState) throws(StoreError) {
        guard case .limited(let grants) = principal.scope else {
            guard need != .session || state.tokens[principal.token]?.isRobot == false else {
                throw .forbidden("only a login may do this, not a token for a program")
            }
            return
        }
        let isCovered =
            switch need {
            case .all, .session: false
            case .valid: true
            case .send(_, let id?): principal.scope.covers(.write, in: id)
            case .send(let name, nil): covers(.write, name, of: principal, state)
            case .read(let name): covers(.read, name, of: principal, state)
            case .readAny: grants.contains { $0.right == .read }
            case .sendAny: grants.contains { $0.right == .write }
            }
        if !isCovered { throw .forbidden("this token is valid only for '\(principal.scope)'") }
    }

    /// Whether the token allows this in a conversation that its owner calls so. The name of one that the owner may not know any
    /// more is the last known one: it leads nowhere, as for the owner, whatever that group is called now.
    private static func covers(_ right: Right, _ name: String, of principal: Principal, _ state: StoreState) -> Bool {
        let (id, key) = (state.id(named: name, for: principal.account), NameRule.caseKey(name))
        return principal.scope.grants.contains { grant in
            guard grant.right == right else { return false }
            guard let hidden = grant.id.flatMap(state.conversation), !mayKnow(principal.account, hidden) else {
                return grant.id == id
            }
            return NameRule.caseKey(grant.name) == key
        }
    }

    /// Throws unless the scope of a token covers this conversation. Groups can be renamed, so what a name meant when the
    /// request began proves nothing. This is checked where the conversation itself is known.
    static func checkScope(
        _ right: Right, of principal: Principal, on conversation: ConversationID
    ) throws(StoreError) {
        guard principal.scope.covers(right, in: conversation) else {
            throw .forbidden("this token is valid only for '\(principal.scope)'")
        }
    }

    /// Whether the account syncs and lists this conversation.
    static func sees(_ principal: Principal, _ conversation: ConversationState) -> Bool {
        principal.scope.covers(.read, in: conversation.identity.id) && sees(principal.account, conversation)
    }

    static func sees(_ account: AccountID, _ conversation: ConversationState) -> Bool {
        guard !conversation.isDeleted else { return false }
        return switch conversation.identity.kind {
        case .general: true
        case .personal: isParty(account, to: conversation)
        case .group: conversation.members[account.rawValue] != nil
        }
    }

    /// Whether the account may know that this conversation exists, and what it is called.
    static func mayKnow(_ account: AccountID, _ conversation: ConversationState) -> Bool {
        conversation.identity.kind == .group ? lists(account, conversation) : sees(account, conversation)
    }

    /// Whether the account may know that this group exists.
    static func lists(_ account: AccountID, _ group: ConversationState) -> Bool {
        !group.isDeleted && (group.isOpen || group.members[account.rawValue] != nil)
    }

    /// The other user of a personal conversation.
    static func peer(of account: AccountID, in conversation: ConversationState) -> AccountID? {
        conversation.accounts.map { $0.first == account ? $0.second : $0.first }
    }

    private static func isParty(_ account: AccountID, to conversation: ConversationState) -> Bool {
        conversation.accounts.map { $0.first == account || $0.second == account } ?? false
    }
}
