internal import NatterConversation
internal import NatterSystem
internal import NatterModel

/// Everything that the server keeps in memory, behind one lock: heads, tails, accounts and tokens. It is loaded from
/// the database at the start and never contains anything that is not durable.
struct StoreState {
    var store = StoreID(high: 0, low: 0)
    var commit: Commit = .zero
    /// How often the log of a shared store went back to an earlier state. Files that were written before may hold a lost
    /// history.
    var history = 0
    /// The first commit of each epoch, oldest first.
    var epochs: [(epoch: Epoch, firstCommit: Commit)] = []
    private(set) var conversations: [Int64: ConversationState] = [:]
    private var conversationNumbers: [ConversationID: Int64] = [:]
    /// nil until `prepare`.
    private(set) var commitOrder: CommitOrder?
    var general: Int64 = 0
    /// Those that exist, by the keys of their names. Change it by `noteName` and `forgetName` only.
    private(set) var groups: [String: Int64] = [:]
    /// The open ones.
    private(set) var openGroups = ConversationListing([])
    var personal: [AccountPair: Int64] = [:]
    var accounts: [AccountID: AccountState] = [:]
    var accountKeys: [String: AccountID] = [:]
    var names = AccountNames()
    /// Change it by `add` and `removeToken` only: each account knows its own.
    private(set) var tokens: [Digest: TokenState] = [:]
    /// When tokens expired that are forgotten since, so that this server can still say so.
    private(set) var expired: [Digest: Timestamp] = [:]
    private static let mostExpired = 10_000
    /// Those that are good for one group, because a store may have a million others.
    private(set) var groupTokens: [ConversationID: Set<Digest>] = [:]
    /// The accounts that may be online: those seen since the last count, and those that were online then.
    private var active: Set<AccountID> = []
    /// When the oldest edit or deletion was made of which a text may still have to be erased, by conversation; nil if the store
    /// must be looked through.
    var pendingErasures: [Int64: Timestamp]?
    /// Accounts and tokens whose last use is newer than in the database.
    var dirtyAccounts: Set<AccountID> = []
    var dirtyTokens: Set<Digest> = []
    /// Files that messages name, or may.
    var files = FileUsage()
    /// Unused invitations.
    var invites: [Digest: Change.Invite] = [:]
    var counters = Counters()
    var limits = AccountLimits()
    /// How long messages are kept at most.
    var retention = Retention.forever
    /// The place in the engine's log up to which this state is complete.
    var place = LogPlace.start
    /// The bytes of batches that are not trimmed yet.
    var journalBytes = 0
    /// The least bytes of an entry: in a shared log even one without messages is a row, which a start reads.
    var leastEntryBytes = 0
    /// Set after a write failed so that the disk's content is unknown.
    var failure: String?
    /// Whether that is because the store is newer than this program, or the database holds another one.
    var isOutdated = false

    /// The highest row numbers. A change contains the number of the row that it adds, so the database does not assign
    /// it.
    struct Counters {
        var account: Int64 = 0
        var token: Int64 = 0
        var conversation: Int64 = 0
        var audit: Int64 = 0
    }

    var epoch: Epoch { epochs.last?.epoch ?? Epoch(rawValue: 0) }

    func epoch(of commit: Commit) -> Epoch? {
        epochs.last { $0.firstCommit <= commit }?.epoch
    }

    func account(named name: String) -> AccountState? {
        accountKeys[NameRule.caseKey(name)].flatMap { accounts[$0] }
    }

    /// The author of a deleted message by name.
    ///
    /// - Parameter known: as in the table `relation`, which has the number of the account if the message was erased.
    func author(_ known: String) -> String {
        guard known.hasPrefix("#") else { return known }
        return Int64(known.dropFirst()).flatMap { accounts[AccountID(rawValue: $0)]?.name.text } ?? RelationRows.nobody
    }

    mutating func add(_ token: TokenState, _ digest: Digest) {
        tokens[digest] = token
        for grant in token.scope.grants { if let id = grant.id { groupTokens[id, default: []].insert(digest) } }
        accounts[token.account]?.tokens.insert(digest)
        counters.token = max(counters.token, token.number)
    }

    mutating func removeToken(_ digest: Digest) {
        guard let token = tokens.removeValue(forKey: digest) else { return }
        accounts[token.account]?.tokens.remove(digest)
        for grant in token.scope.grants {
            guard let id = grant.id else { continue }
            groupTokens[id]?.remove(digest)
            if groupTokens[id]?.isEmpty == true { groupTokens[id] = nil }
        }
        dirtyTokens.remove(digest)
    }

    mutating func expire(_ digest: Digest, at end: Timestamp) {
        removeToken(digest)
        if expired.count >= StoreState.mostExpired { expired.removeAll() }
        expired[digest] = end
    }

    /// Shows tokens that are good for one group under its name, if their owners may know it. The id decides what they may do.
    mutating func renameScopes(of tokens: some Sequence<Digest>, in groups: [ConversationID: ConversationState]) {
        for digest in tokens {
            guard let token = self.tokens[digest] else { continue }
            var grants = token.scope.grants
            for index in grants.indices {
                guard let group = grants[index].id.flatMap({ groups[$0] }),
                    group.isOpen || group.members[token.account.rawValue] != nil
                else { continue }
                grants[index].name = group.name
            }
            if !grants.isEmpty { self.tokens[digest]?.scope = .limited(grants) }
        }
    }

    /// Notes that an account made a request.
    mutating func noteVisit(of account: AccountID, at now: Timestamp, from address: String) {
        accounts[account]?.lastSeen = now
        accounts[account]?.lastAddress = address
        dirtyAccounts.insert(account)
        active.insert(account)
    }

    /// Notes that a request of an account began (+1) or stopped (-1) waiting.
    mutating func noteWaiting(of account: AccountID, _ change: Int, at now: Timestamp) {
        accounts[account]?.waiting += change
        accounts[account]?.lastSeen = now
        accounts[account]?.lastWaited = now
        dirtyAccounts.insert(account)
        active.insert(account)
    }

    /// Notes that another server saw an account, or that it is new.
    mutating func noteActive(_ account: AccountID) { active.insert(account) }

    /// How many accounts are online. The cost does not depend on how many there are.
    mutating func onlineCount(at now: Timestamp) -> Int {
        active = active.filter { accounts[$0]?.isOnline(at: now) == true }
        return active.count
    }

    /// The accounts whose requests wait, and that were seen before a time for the last time.
    func waiting(seenBefore time: Timestamp) -> Set<AccountID> {
        active.filter { id in accounts[id].map { $0.waiting > 0 && ($0.lastSeen ?? .zero) < time } ?? false }
    }

    /// Notes a change from which an erasure may follow.
    mutating func notePendingErasure(in conversation: Int64, since time: Timestamp) {
        guard let known = pendingErasures else { return }
        pendingErasures?[conversation] = known[conversation].map { min($0, time) } ?? time
    }

    /// Notes that a token was used.
    mutating func noteUse(of token: Digest, at now: Timestamp, from address: String) {
        tokens[token]?.lastUsed = now
        tokens[token]?.lastAddress = address
        dirtyTokens.insert(token)
    }

    /// Call it once after loading.
    mutating func prepare() {
        commitOrder = CommitOrder(conversations.values)
        openGroups = ConversationListing(
            groups.values.compactMap { conversations[$0] }.filter(\.isOpen).map(\.groupEntry))
        let newest = accounts.values.lazy.compactMap(\.lastSeen).max() ?? .zero
        // A user who was seen long before the last visitor of the former run is not online.
        for account in accounts.values where account.isOnline(at: newest) { active.insert(account.id) }
    }

    /// Notes that a conversation has a new commit.
    mutating func noteCommit(_ commit: Commit, in conversation: Int64) {
        commitOrder?.note(conversation, at: commit)
    }

    /// Takes over when tokens of an account were last used, by their numbers.
    mutating func noteUse(of account: AccountID, _ used: [Int64: Change.Visit]) {
        for digest in accounts[account]?.tokens ?? [] {
            guard let known = tokens[digest], let visit = used[known.number], (known.lastUsed ?? .zero) < visit.time
            else { continue }
            tokens[digest]?.lastUsed = visit.time
            tokens[digest]?.lastAddress = visit.address
        }
    }

    mutating func add(_ conversation: ConversationState) {
        let number = conversation.identity.number
        conversations[number] = conversation
        conversationNumbers[conversation.identity.id] = number
        counters.conversation = max(counters.conversation, number)
        switch conversation.identity.kind {
        case .general: general = number
        case .group:
            if !conversation.isDeleted {
                noteName(of: conversation)
                if let maker = conversation.maker { accounts[maker]?.groupsMade += 1 }
            }
            for (member, membership) in conversation.members {
                accounts[AccountID(rawValue: member)]?.note(membership, of: number)
            }
        case .personal:
            guard let pair = conversation.accounts else { return }
            personal[pair] = number
            accounts[pair.first]?.conversations.insert(number)
            accounts[pair.second]?.conversations.insert(number)
        }
    }

    func conversation(_ id: ConversationID) -> ConversationState? {
        conversationNumbers[id].flatMap { conversations[$0] }
    }

    /// Notes what a group is called now, and whether it is open.
    mutating func noteName(of group: ConversationState) {
        groups[group.nameKey] = group.identity.number
        // Before `prepare`, one sort of all is cheaper.
        if group.isOpen, commitOrder != nil { openGroups.insert(group.groupEntry) }
    }

    /// Call it before a group gets another name, opens, closes or is deleted.
    mutating func forgetName(of group: ConversationState) {
        groups[group.nameKey] = nil
        openGroups.remove(group.nameKey)
    }

    /// The meaning of an account's name for a conversation.
    enum Target {
        case existing(ConversationState)
        /// Two users who have not written to each other.
        case unwritten(AccountState, AccountState)
    }

    /// Finds the conversation that `account` calls `name`. Does not check whether the account may use it.
    func resolve(_ name: String, for account: AccountID) throws(StoreError) -> Target {
        if name.hasPrefix("@") {
            guard let own = accounts[account] else { throw .noSuchUser(name) }
            let peerName = String(name.dropFirst())
            guard let peer = NameRule.isMe(peerName) ? own : self.account(named: peerName) else {
                throw .noSuchUser(peerName)
            }
            if let number = personal[AccountPair(own.id, peer.id)], let conversation = conversations[number] {
                return .existing(conversation)
            }
            if peer.isErased { throw .noSuchUser(peerName) }
            return .unwritten(own, peer)
        }
        guard let conversation = shared(named: name) else { throw .noSuchConversation(name) }
        return .existing(conversation)
    }

    /// `general`, or the group that has this name now.
    func shared(named name: String) -> ConversationState? {
        let number = NameRule.isGeneral(name) ? general : groups[NameRule.caseKey(name)]
        return number.flatMap { conversations[$0] }
    }

    /// Finds the conversation with this id, whatever it is called now; without an id, the one that `account` calls `name`.
    func resolve(_ name: String, id: ConversationID?, for account: AccountID) throws(StoreError) -> Target {
        guard let id else { return try resolve(name, for: account) }
        guard let conversation = conversation(id) else { throw .noSuchConversation(name) }
        return .existing(conversation)
    }

    /// Whether a principal's token is still valid.
    func isGood(_ principal: Principal, at now: Timestamp) -> Bool {
        guard let token = tokens[principal.token], accounts[principal.account]?.isDisabled == false else {
            return false
        }
        return !token.hasEnded(at: now, limits)
    }

    /// The account's name for a conversation.
    func displayName(of conversation: ConversationState, for account: AccountID) -> String {
        guard let peer = Authority.peer(of: account, in: conversation) else { return conversation.name }
        return "@" + (accounts[peer]?.name.text ?? "?")
    }

    /// The id of the conversation that `account` calls `name`; nil if there is none that the account may know.
    func id(named name: String, for account: AccountID) -> ConversationID? {
        switch try? resolve(name, for: account) {
        case .existing(let conversation): Authority.mayKnow(account, conversation) ? conversation.identity.id : nil
        case .unwritten(let own, let peer): ConversationIdentity.unwritten(own, peer, in: store).id
        case nil: nil
        }
    }

    /// A conversation if the principal sees it.
    func visible(_ number: Int64, to principal: Principal) -> ConversationState? {
        conversations[number].flatMap { Authority.sees(principal, $0) ? $0 : nil }
    }

    /// All conversations that a principal sees, in no particular order. After a commit, those of them that may have
    /// messages after it, or that the principal may have joined since.
    func visible(to principal: Principal, after commit: Commit = .zero) -> [ConversationState] {
        let account = principal.account
        guard let own = accounts[account] else { return [] }
        // It may have joined an old conversation.
        if commit > .zero, own.lastJoin <= commit,
            let changed = commitOrder?.changed(after: commit, most: own.conversations.count)
        {
            return changed.compactMap { visible($0, to: principal) }
        }
        return mayBeVisible(to: account).compactMap { visible($0, to: principal) }
    }

    /// The conversations among which are all that an account sees.
    func mayBeVisible(to account: AccountID) -> [Int64] {
        accounts[account].map { [general] + $0.conversations } ?? []
    }

    func filesMark(of conversation: ConversationState) -> ConversationState.FilesMark {
        ConversationState.FilesMark(
            sealedSeq: conversation.sealedSeq, erasedCommit: conversation.erasedCommit,
            firstCommit: conversation.firstCommit, history: history)
    }
}
