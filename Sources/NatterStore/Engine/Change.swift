internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel

/// One change of the store other than a new message, as a value. It knows its effect on memory (`apply`), its rows
/// (`write`), and its bytes in a log that several servers share (`encode`).
///
/// A change says what is true from now on. The writer's thread made all decisions before, such as whether a name is
/// free. So a server that decided nothing can apply it, and the value contains the numbers of its rows.
enum Change: Sendable {
    case accountAdded(NewAccount)
    /// nil leaves a field unchanged.
    case accountChanged(AccountID, isDisabled: Bool?, isAdmin: Bool?, password: String?)
    /// The name that a user chose to be shown; nil for none.
    case displaySet(AccountID, String?)
    /// When accounts and tokens were last used, and from where.
    case visitsNoted(accounts: [Visit], tokens: [Visit])
    case tokenAdded(Digest, TokenState)
    case tokensRemoved([Digest])
    /// Ends all sessions of an account except one, and with `robots` also its robots' tokens.
    case sessionsEnded(AccountID, keeping: Digest?, robots: Bool)
    case inviteAdded(Digest, Invite)
    /// An invitation that was used or revoked, or has expired.
    case inviteRemoved(Digest)
    case conversationAdded(NewConversation)
    case groupChanged(Int64, name: String, isOpen: Bool)
    case groupDeleted(Int64)
    /// What a group is about; nil for nothing.
    case topicSet(Int64, String?)
    case memberPut(AccountID, in: Int64, ConversationState.Membership)
    case memberRemoved(AccountID, from: Int64)
    case contactSet(AccountID, peer: AccountID, isContact: Bool)
    case blockSet(AccountID, peer: AccountID, isBlocked: Bool)
    /// A mark lower than the current one changes nothing.
    case readMarked(AccountID, in: Int64, ReadMark)
    /// A row in the table of changes of one account, at the commit of this entry.
    case noted(AccountID, conversation: Int64, ChangeKind, data: String?)
    case audited(Int64, AuditEntry)
    /// The beginning of a tail is now in blocks.
    case tailSealed(SealedTail)
    /// An import appended messages to a conversation.
    case importSettled(SettledImport)
    /// An import was remembered, so that a later one recognizes its file and its messages.
    case importRemembered(RememberedImport)
    /// Tails up to these seqs were written to the end of the log again.
    case tailsMoved([MovedTail])
    case epochBegun(Epoch, first: Commit)
    /// How long messages of a conversation are kept.
    case retentionSet(Int64, Retention)
    /// Messages of a conversation are not kept any more. Their blocks are gone.
    case messagesDropped(DroppedMessages)
    /// A new message is about another one. Only a deletion has an author; see `RelationRows`.
    case related(Relation, in: Int64, author: String?)
    /// Messages were erased. Their H stays in the log.
    case erased([ErasedMessage], in: Int64)
    /// The next message of a conversation begins a new run of salts.
    case runEnded(Int64)
    /// What a file is now. The blob of one that is gone must go.
    case fileSet(FileRow)

    struct NewAccount: Sendable {
        var id: AccountID
        var name: UserName
        var password: String
        var isAdmin = false
        var created: Timestamp
        /// nil if somebody else creates the account.
        var lastSeen: Timestamp?
    }

    /// The last use of an account or a token, and the address it came from.
    struct Visit: Sendable {
        var number: Int64
        var time: Timestamp
        var address: String?
    }

    struct Invite: Sendable {
        var maker: String
        var created: Timestamp
        var expires: Timestamp
    }

    struct NewConversation: Sendable {
        var number: Int64
        var id: ConversationID
        var kind: ConversationKind
        var name: String
        var isOpen = false
        /// For a personal conversation: the names in byte order, and the accounts.
        var users: [String] = []
        var accounts: AccountPair?
        /// The account that created a group.
        var maker: AccountID?

        /// That of two users who have not written to each other.
        static func personal(_ one: AccountState, _ other: AccountState, in store: StoreID, number: Int64) -> Self {
            let identity = ConversationIdentity.unwritten(one, other, in: store)
            return NewConversation(
                number: number, id: identity.id, kind: .personal, name: "", users: identity.users,
                accounts: AccountPair(one.id, other.id))
        }

        static func general(of store: StoreID, number: Int64) -> NewConversation {
            NewConversation(
                number: number, id: ConversationID.derived(store: store, kind: .general, users: []), kind: .general,
                name: "general")
        }

        /// The conversation before its first message.
        func makeState() -> ConversationState {
            let state = ConversationState(
                identity: ConversationIdentity(number: number, id: id, kind: kind, name: name, users: users),
                isOpen: isOpen, accounts: accounts, sealedSeq: .zero,
                sealedHash: HashChain.start(of: id), sealedCommit: .zero, lastServerTime: .zero)
            state.maker = maker
            return state
        }
    }

    struct SealedTail: Sendable {
        var conversation: Int64
        var lastSeq: Seq
        var hashAfter: Digest
        var lastCommit: Commit
        var content: SealedContent
    }

    struct SettledImport: Sendable {
        var conversation: Int64
        var lastSeq: Seq
        var hashAfter: Digest
        /// How many of the messages are no texts.
        var uncounted: Int
    }

    struct RememberedImport: Sendable {
        var conversation: Int64
        /// The hash of the whole input.
        var file: Digest?
        var time: Timestamp
        var keys: [ImportedKey]
    }

    /// The id of an imported message, and the hash of its content.
    struct ImportedKey: Sendable {
        var hash: UInt64
        var seq: Seq
        var content: UInt64
    }

    struct ErasedMessage: Sendable, Equatable {
        var seq: Seq
        /// Zero for a message that was not kept any more.
        var digest: Digest
        /// The number of the account that wrote it, for which the text never counted as unread; nil if it counted for everyone.
        var author: Int64?
    }

    struct DroppedMessages: Sendable {
        var conversation: Int64
        /// The lowest seq that is kept.
        var first: Seq
        /// How many of those that are gone each sender wrote, as in `SealedContent.sent`.
        var sent: [String: Int]
    }

    struct MovedTail: Sendable {
        var conversation: Int64
        var lastSeq: Seq
    }

    /// Whether the change needs its own commit number, so that cursors can tell whether they are before or after it.
    var takesCommit: Bool {
        switch self {
        case .noted, .importSettled, .tailsMoved, .erased, .messagesDropped: true
        default: false
        }
    }

    var beginsEpoch: Bool { if case .epochBegun = self { true } else { false } }

    /// Whether the log may be trimmed after it.
    var shortensTails: Bool {
        switch self {
        case .tailSealed, .importSettled, .tailsMoved: true
        default: false
        }
    }

    /// The conversation whose blocks it replaces; nil for a change that only adds some, or none.
    var rewritten: Int64? {
        switch self {
        case .erased(_, let number): number
        case .messagesDropped(let dropped): dropped.conversation
        default: nil
        }
    }

    /// Applies the change to memory. Call with the state lock held, after the change is durable.
    func apply(to state: inout StoreState, at commit: Commit) {
        if takesCommit { state.commit = max(state.commit, commit) }
        switch self {
        case .accountAdded(let new):
            state.accounts[new.id] = AccountState(
                id: new.id, name: new.name, passwordHash: new.password, isAdmin: new.isAdmin, isDisabled: false,
                created: new.created, lastSeen: new.lastSeen, lastAddress: nil)
            state.accountKeys[new.name.caseKey] = new.id
            state.noteActive(new.id)
            state.names.add(new.name.caseKey, new.id)
            state.counters.account = max(state.counters.account, new.id.rawValue)
        case .accountChanged(let account, let isDisabled, let isAdmin, let password):
            if let isDisabled { state.accounts[account]?.isDisabled = isDisabled }
            if let isAdmin { state.accounts[account]?.isAdmin = isAdmin }
            if let password { state.accounts[account]?.passwordHash = password }
            // A visit that this server has not saved yet must not come back later.
            if state.accounts[account]?.isErased == true {
                state.accounts[account]?.lastAddress = nil
                state.dirtyAccounts.remove(account)
            }
        case .displaySet(let account, let display): state.accounts[account]?.display = display
        case .visitsNoted(let accounts, let tokens):
            let used = Dictionary(tokens.map { ($0.number, $0) }, uniquingKeysWith: { $1 })
            // This server's memory may be newer. A visit reported by another server only raises the time.
            for visit in accounts {
                let account = AccountID(rawValue: visit.number)
                state.noteUse(of: account, used)
                guard let known = state.accounts[account], !known.isErased, known.lastSeen ?? .zero < visit.time else {
                    continue
                }
                state.accounts[account]?.lastSeen = visit.time
                state.accounts[account]?.lastAddress = visit.address
                state.noteActive(account)
            }
        case .tokenAdded(let digest, let token):
            state.add(token, digest)
        case .tokensRemoved(let digests):
            for digest in digests { state.removeToken(digest) }
        case .sessionsEnded(let account, let kept, let robots):
            for digest in state.accounts[account]?.tokens ?? [] where digest != kept {
                if robots || state.tokens[digest]?.isRobot == false { state.removeToken(digest) }
            }
        case .inviteAdded(let digest, let invite): state.invites[digest] = invite
        case .inviteRemoved(let digest): state.invites[digest] = nil
        case .contactSet(let account, let peer, true): state.accounts[account]?.contacts.insert(peer)
        case .contactSet(let account, let peer, false): state.accounts[account]?.contacts.remove(peer)
        case .blockSet(let account, let peer, true): state.accounts[account]?.blocked.insert(peer)
        case .blockSet(let account, let peer, false): state.accounts[account]?.blocked.remove(peer)
        case .audited(let number, _): state.counters.audit = max(state.counters.audit, number)
        case .readMarked(let account, let conversation, let mark):
            if (state.accounts[account]?.reads[conversation]?.seq ?? .zero) < mark.seq {
                state.accounts[account]?.reads[conversation] = mark
            }
        case .noted(let account, _, _, _):
            state.accounts[account]?.lastChange = commit
        case .epochBegun(let epoch, let first):
            // No cursor names the epoch of a run without a commit, so that epoch can go.
            state.epochs.removeAll { $0.firstCommit >= first }
            state.epochs.append((epoch, first))
        case .importRemembered(let remembered):
            state.conversations[remembered.conversation]?.importedCommit = commit
        case .conversationAdded(let new):
            state.add(new.makeState())
        case .groupChanged(let number, let name, let isOpen):
            guard let group = state.conversations[number] else { return }
            let isRenamed = group.name != name
            state.forgetName(of: group)
            group.name = name
            group.isOpen = isOpen
            state.renameScopes(of: state.groupTokens[group.identity.id] ?? [], in: [group.identity.id: group])
            state.noteName(of: group)
            guard isRenamed else { return }
            for member in group.members.keys { state.accounts[AccountID(rawValue: member)]?.noteNames() }
        case .topicSet(let number, let topic): state.conversations[number]?.topic = topic
        case .groupDeleted(let number):
            guard let group = state.conversations[number] else { return }
            state.forgetName(of: group)
            for member in group.members.keys {
                state.accounts[AccountID(rawValue: member)]?.conversations.remove(number)
            }
            if let maker = group.maker { state.accounts[maker]?.groupsMade -= 1 }
            group.isDeleted = true
            group.members = [:]
        case .memberPut(let account, let number, let membership):
            guard let conversation = state.conversations[number] else { return }
            conversation.members[account.rawValue] = membership
            state.accounts[account]?.note(membership, of: number)
            state.renameScopes(
                of: state.accounts[account]?.tokens ?? [], in: [conversation.identity.id: conversation])
        case .memberRemoved(let account, let number):
            state.conversations[number]?.members[account.rawValue] = nil
            state.accounts[account]?.conversations.remove(number)
        case .tailSealed(let sealed):
            let conversation = state.conversations[sealed.conversation]
            conversation?.drop(upTo: sealed.lastSeq, hash: sealed.hashAfter, commit: sealed.lastCommit)
            conversation?.isBeingSealed = false
        case .importSettled(let settled):
            let conversation = state.conversations[settled.conversation]
            conversation?.sent["", default: 0] += UInt64(max(0, settled.uncounted))
            conversation?.drop(upTo: settled.lastSeq, hash: settled.hashAfter, commit: commit)
            conversation?.isBeingSealed = false
            conversation?.importedCommit = commit
            state.noteCommit(commit, in: settled.conversation)
            // It may have brought edits and deletions of any time.
            state.notePendingErasure(in: settled.conversation, since: .zero)
        case .retentionSet(let number, let retention): state.conversations[number]?.retention = retention
        case .messagesDropped(let dropped):
            state.conversations[dropped.conversation]?.drop(below: dropped.first, counts: dropped.sent, at: commit)
            state.noteCommit(commit, in: dropped.conversation)
        case .related(let relation, let number, let author):
            if relation.kind.isChange { state.notePendingErasure(in: number, since: relation.time) }
            guard relation.kind == .delete else { return }
            state.conversations[number]?.deletions.insert(
                relation.about, author: author.map(state.author) ?? RelationRows.nobody)
        case .erased(_, let number):
            state.conversations[number]?.noteErasure(at: commit)
            state.noteCommit(commit, in: number)
        case .runEnded(let number): state.conversations[number]?.nextSalt = nil
        case .fileSet(let row): state.files.set(row)
        case .tailsMoved(let tails):
            for tail in tails {
                state.conversations[tail.conversation]?.journaledAgain = (upTo: tail.lastSeq, at: commit)
                state.conversations[tail.conversation]?.lastMove = commit
            }
        }
    }

    /// The accounts whose waiting requests must be checked again. Call before the change is applied.
    func affected(_ state: StoreState) -> [AccountID] {
        switch self {
        case .noted(let account, _, _, _), .sessionsEnded(let account, _, _), .accountChanged(let account, _, _, _):
            [account]
        case .tokensRemoved(let digests): digests.compactMap { state.tokens[$0]?.account }
        default: changedForReaders.map(state.readers) ?? []
        }
    }

    /// The conversation that its readers must look at again, although it may have no new message.
    var changedForReaders: Int64? {
        if case .importSettled(let settled) = self { settled.conversation } else { rewritten }
    }
}

extension StoreState {
    /// The members of a group, or the two users of a personal conversation.
    fileprivate func readers(of number: Int64) -> [AccountID] {
        guard let conversation = conversations[number] else { return [] }
        if let pair = conversation.accounts { return [pair.first, pair.second] }
        return conversation.members.keys.map { AccountID(rawValue: $0) }
    }
}

extension Change.SealedTail {
    init(_ blocks: WrittenBlocks, _ content: SealedContent) {
        self.init(
            conversation: blocks.segment.conversation, lastSeq: blocks.lastSeq, hashAfter: blocks.hashAfter,
            lastCommit: blocks.lastCommit, content: content)
    }
}
