internal import NatterSystem
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
    /// When a request of theirs last began or stopped to wait, at this server since its start.
    var lastWaited: Timestamp?
    var lastAddress: String?
    /// The name that the user chose to be shown.
    var display: String?
    /// How many requests of the account are waiting for news.
    var waiting = 0
    var contacts: Set<AccountID> = []
    /// Users whose personal messages this user refuses.
    var blocked: Set<AccountID> = []
    /// Read marks by conversation.
    var reads: [Int64: ReadMark] = [:]
    /// The commit of the account's newest row in the table of changes.
    var lastChange: Commit = .zero
    /// The commit at which it last joined a group that it is still in, or later.
    private(set) var lastJoin: Commit = .zero
    /// The conversations that the account sees, except `general`.
    var conversations: Set<Int64> = [] { didSet { noteNames() } }
    /// Their order by name; nil if it must be made.
    var listing: ConversationListing?
    /// The groups among them in the order of their keys; nil if it must be made.
    var groupListing: ConversationListing?
    /// Counts the changes of their names.
    private(set) var namesVersion = 0
    /// The account's sessions and robots' tokens.
    var tokens: Set<Digest> = []
    /// How many groups that still exist the account has created.
    var groupsMade = 0

    /// Whether the account was erased. Its name stays taken.
    var isErased: Bool { isDisabled && passwordHash.isEmpty }

    mutating func note(_ membership: ConversationState.Membership, of group: Int64) {
        lastJoin = max(lastJoin, membership.since)
        conversations.insert(group)
    }

    /// Notes that the account has other conversations, or one has another name.
    mutating func noteNames() {
        (listing, groupListing) = (nil, nil)
        namesVersion &+= 1
    }

    /// Keeps an order that was made outside the lock, unless names have changed since.
    mutating func keep(
        _ made: ConversationListing, as order: WritableKeyPath<AccountState, ConversationListing?>, of version: Int
    ) {
        if version == namesVersion { self[keyPath: order] = made }
    }
}

/// The seq up to which a user has read a conversation.
struct ReadMark: Equatable, Sendable {
    var seq: Seq
    /// How many messages up to `seq` do not count for the user. With it, unread messages can be counted without
    /// reading history.
    var ownBefore: UInt64
    /// Whether the server set it when the user came to the conversation, where all that was there counts as read.
    var isStart = false
}

struct TokenState: Sendable {
    let number: Int64
    let account: AccountID
    var scope: Scope
    let label: String?
    var lastUsed: Timestamp?
    var lastAddress: String?
    let created: Timestamp
    let expires: Timestamp?
    /// Where a session was begun.
    var origin = SessionOrigin()

    /// Whether the owner created it for a program, not by a login.
    var isRobot: Bool { label != nil }

    /// When it ends: when its time is up, or when a session was unused for too long. nil for never.
    func end(_ limits: AccountLimits) -> Timestamp? {
        guard !isRobot, let idle = limits.sessionIdleMilliseconds else { return expires }
        let idleEnd = (lastUsed ?? created).advanced(milliseconds: idle)
        return expires.map { min($0, idleEnd) } ?? idleEnd
    }

    func hasEnded(at now: Timestamp, _ limits: AccountLimits) -> Bool { end(limits).map { $0 <= now } ?? false }
}

/// Two accounts, lower number first.
struct AccountPair: Hashable, Sendable {
    let first: AccountID
    let second: AccountID
    init(_ one: AccountID, _ other: AccountID) {
        (first, second) = one.rawValue <= other.rawValue ? (one, other) : (other, one)
    }
}
