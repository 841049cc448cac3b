internal import NatterArchive
internal import NatterCrypto
internal import NatterModel

/// One account in memory.
struct AccountState {
    let id: AccountID
    let name: UserName
    var passwordHash: String
    var isAdmin: Bool
    var isDisabled: Bool
    let created: Timestamp
    var lastSeen: Timestamp?
    var lastAddress: String?
    /// Whether `lastSeen` is newer than the database's.
    var isPresenceDirty = false
    /// Requests of theirs that wait for news just now.
    var waiting = 0
    var contacts: Set<AccountID> = []
    /// Whose personal messages they don't want.
    var blocked: Set<AccountID> = []
    /// Up to where they have read, by conversation.
    var reads: [Int64: ReadMark] = [:]
    /// The commit of their newest row in the table of changes.
    var lastChange: Commit = .zero
    /// Conversations other than `general` that they see.
    var conversations: Set<Int64> = []
}

/// Up to where somebody has read.
struct ReadMark: Equatable, Sendable {
    var seq: Seq
    /// How many of the messages up to there are their own, so that counting the unread needs no look at the read.
    var ownBefore: UInt64
}

struct TokenState: Sendable {
    let number: Int64
    let account: AccountID
    let scope: Scope
    /// The conversation that the scope names, by its id: a later one of the same name is another.
    var scopeID: ConversationID?
    let label: String?
    var lastUsed: Timestamp?
    var lastAddress: String?
    var isUseDirty = false
    let created: Timestamp
    let expires: Timestamp?

    /// Made for a program by its owner, not by a login.
    var isRobot: Bool { label != nil }
}

/// Two accounts, lower number first.
struct AccountPair: Hashable, Sendable {
    let first: Int64
    let second: Int64
    init(_ one: AccountID, _ other: AccountID) {
        first = min(one.rawValue, other.rawValue)
        second = max(one.rawValue, other.rawValue)
    }
}

/// All that the server keeps in memory, behind one lock: heads and tails, accounts and tokens. Rebuilt at start from the
/// database; never ahead of what is durable.
struct StoreState {
    var store = StoreID(high: 0, low: 0)
    var commit: Commit = .zero
    /// Which epoch began with which commit, oldest first.
    var epochs: [(epoch: Epoch, firstCommit: Commit)] = []
    var conversations: [Int64: ConversationState] = [:]
    var general: Int64 = 0
    var groups: [String: Int64] = [:]
    var personal: [AccountPair: Int64] = [:]
    var accounts: [AccountID: AccountState] = [:]
    var accountKeys: [String: AccountID] = [:]
    var tokens: [Digest: TokenState] = [:]
    /// Invitations that nobody has used, and when they expire.
    var invites: [Digest: Timestamp] = [:]
    var counters = Counters()
    /// How far the engine's log is a part of this.
    var place = LogPlace.start
    /// Bytes of batches that are not trimmed yet, and the first of them.
    var journalBytes = 0
    /// Set once a write has failed in a way that leaves the disk's content unknown.
    var failure: String?

    /// The highest numbers that rows have. A row's number is a part of the change that adds it, so it is not left to the
    /// database.
    struct Counters {
        var account: Int64 = 0
        var token: Int64 = 0
        var conversation: Int64 = 0
        var audit: Int64 = 0
    }

    var epoch: Epoch { epochs.last?.epoch ?? Epoch(rawValue: 0) }

    /// The epoch that a commit belongs to.
    func epoch(of commit: Commit) -> Epoch? {
        epochs.last { $0.firstCommit <= commit }?.epoch
    }

    func account(named name: String) -> AccountState? {
        accountKeys[NameRule.caseKey(name)].flatMap { accounts[$0] }
    }

    mutating func add(_ conversation: ConversationState) {
        let number = conversation.identity.number
        conversations[number] = conversation
        counters.conversation = max(counters.conversation, number)
        switch conversation.identity.kind {
        case .general: general = number
        case .group:
            if !conversation.isDeleted { groups[NameRule.caseKey(conversation.name)] = number }
            for member in conversation.members.keys {
                accounts[AccountID(rawValue: member)]?.conversations.insert(number)
            }
        case .personal:
            guard let (first, second) = conversation.accounts else { return }
            let pair = AccountPair(AccountID(rawValue: first), AccountID(rawValue: second))
            personal[pair] = number
            accounts[AccountID(rawValue: first)]?.conversations.insert(number)
            accounts[AccountID(rawValue: second)]?.conversations.insert(number)
        }
    }

    /// What somebody's name for a conversation stands for.
    enum Target {
        case existing(ConversationState)
        /// Between two who have not written to each other.
        case unwritten(AccountState, AccountState)
    }

    /// Finds the conversation that `account` calls `name`; whether they may use it is not asked here.
    func resolve(_ name: String, for account: AccountID) throws(StoreError) -> Target {
        if NameRule.isGeneral(name) {
            guard let general = conversations[general] else { throw .noSuchConversation(name) }
            return .existing(general)
        }
        if name.hasPrefix("@") {
            guard let own = accounts[account] else { throw .noSuchUser(name) }
            let peerName = String(name.dropFirst())
            guard let peer = NameRule.isMe(peerName) ? own : self.account(named: peerName) else {
                throw .noSuchUser(peerName)
            }
            if let number = personal[AccountPair(own.id, peer.id)], let conversation = conversations[number] {
                return .existing(conversation)
            }
            return .unwritten(own, peer)
        }
        guard let number = groups[NameRule.caseKey(name)], let conversation = conversations[number] else {
            throw .noSuchConversation(name)
        }
        return .existing(conversation)
    }

    /// Whether the token that a principal came by is still good.
    func isGood(_ principal: Principal, at now: Timestamp) -> Bool {
        guard let token = tokens[principal.token], accounts[principal.account]?.isDisabled == false else {
            return false
        }
        return token.expires.map { $0 > now } ?? true
    }

    /// What `account` calls a conversation.
    func displayName(of conversation: ConversationState, for account: AccountID) -> String {
        guard conversation.identity.kind == .personal, let (first, second) = conversation.accounts else {
            return conversation.name
        }
        let peer = AccountID(rawValue: first == account.rawValue ? second : first)
        return "@" + (accounts[peer]?.name.text ?? "?")
    }

    /// The id of the conversation that `account` calls `name`; nil if there is none, or none yet.
    func id(named name: String, for account: AccountID) -> ConversationID? {
        switch try? resolve(name, for: account) {
        case .existing(let conversation): conversation.identity.id
        case .unwritten(let own, let peer):
            ConversationID.derived(
                store: store, kind: .personal,
                users: ConversationID.inOrder([own.name.text, peer.name.text]))
        case nil: nil
        }
    }

    /// All conversations that somebody sees, in no order.
    func visible(to principal: Principal) -> [ConversationState] {
        let account = principal.account
        guard let own = accounts[account] else { return [] }
        var list: [ConversationState] = []
        if let general = conversations[general], Authority.sees(principal, general) { list.append(general) }
        for number in own.conversations {
            if let conversation = conversations[number], Authority.sees(principal, conversation) {
                list.append(conversation)
            }
        }
        return list
    }
}

extension ConversationID {
    /// The id of a personal conversation, or of `general`, follows from the store and the names, which never change hands:
    /// so two who have not written to each other have one already, and a rebuilt index finds the same.
    ///
    /// - Parameter users: in byte order.
    static func derived(store: StoreID, kind: ConversationKind, users: [String]) -> ConversationID {
        var bytes = store.bytes + [kind.rawValue]
        for user in users {
            LEB128.append(UInt64(user.utf8.count), to: &bytes)
            bytes += user.utf8
        }
        let digest = Digest(of: bytes).bytes
        return ConversationID(bytes: digest.prefix(16)) ?? ConversationID(high: 0, low: 0)
    }
    /// Names of users in the order that ids are derived from.
    static func inOrder(_ users: [String]) -> [String] { users.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
}
