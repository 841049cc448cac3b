public import NatterCrypto
public import NatterModel

/// What a server asks of its store: numbers for messages, ranges of them, what changed since a cursor, accounts and tokens.
/// Never files, never SQL, so that another store (a database cluster shared by several servers) can stand in its place.
///
/// Writes answer through a completion, on a thread of the store's, once they are durable. Reads answer at once and may
/// block for a disk.
public protocol ChatStore: AnyObject, Sendable {
    var id: StoreID { get }
    /// The store's clock.
    var now: Timestamp { get }

    // Accounts and tokens
    /// - Parameters:
    ///   - invite: a code that is used up by this; nil where none is needed.
    ///   - session: the token of a first session, which begins with the account or not at all; nil for none.
    func register(
        _ name: UserName, password: PasswordHash, invite: Token?, session: Token?,
        _ completion: @escaping Completion<AccountID>)
    /// Whether the name is free; throws `badName` for one that nobody can have.
    func isNameFree(_ name: String) throws(StoreError) -> Bool
    /// What a password is checked against; nil for an unknown name or a disabled account.
    func credentials(of name: String) -> Credentials?
    /// - Parameter verified: the hash that the password was found right by; the session is refused if it is another by now.
    func addSession(
        of account: AccountID, verified: PasswordHash?, expires: Timestamp?, _ completion: @escaping Completion<Token>)
    func revoke(_ token: Digest, _ completion: @escaping Completion<Void>)
    /// Ends every session of an account; tokens of robots stay.
    func revokeSessions(of account: AccountID, _ completion: @escaping Completion<Void>)
    /// Sets a password and ends all sessions but one.
    func setPassword(
        _ password: PasswordHash, of account: AccountID, keeping session: Digest?,
        _ completion: @escaping Completion<Void>)
    /// Who holds this token; nil if nobody does, it has expired, or the account is disabled. Counts as a visit.
    func principal(of token: Token, address: String) -> Principal?
    func users(_ query: UserQuery) -> UserPage
    /// Throws unless the token of who asks may be used for this.
    func checkScope(_ need: ScopeNeed, of principal: Principal) throws(StoreError)

    // Robots and sessions
    func addToken(
        label: String, scope: Scope, expires: Timestamp?, for principal: Principal,
        _ completion: @escaping Completion<(token: Token, view: TokenView)>)
    func tokens(of account: AccountID?, robots: Bool, current: Digest?) -> [TokenView]
    func revokeToken(_ id: Int64, robots: Bool, of account: AccountID, _ completion: @escaping Completion<Bool>)

    // Groups and contacts
    func createGroup(
        _ name: String, isOpen: Bool, by principal: Principal, _ completion: @escaping Completion<ConversationView>)
    func changeGroup(
        _ name: String, newName: String?, isOpen: Bool?, by principal: Principal,
        _ completion: @escaping Completion<ConversationView>)
    func deleteGroup(_ name: String, by principal: Principal, _ completion: @escaping Completion<Void>)
    func putMember(
        _ user: String, in name: String, isAdmin: Bool?, mayAdd: Bool, by principal: Principal,
        _ completion: @escaping Completion<ConversationView>)
    func removeMember(
        _ user: String, from name: String, by principal: Principal, _ completion: @escaping Completion<Void>)
    func members(of name: String, for principal: Principal) throws(StoreError) -> [MemberView]
    func contacts(of principal: Principal) -> [UserView]
    /// Whose personal messages somebody does not take.
    func blocked(by principal: Principal) -> [UserView]
    /// Whether a user is online; nil where nobody has this name.
    func isOnline(_ user: String) -> Bool?
    func setContact(
        _ user: String, _ isContact: Bool, for principal: Principal, _ completion: @escaping Completion<UserView>)
    func setBlocked(
        _ user: String, _ isBlocked: Bool, for principal: Principal, _ completion: @escaping Completion<UserView>)

    // Administration
    func accountViews() -> [AccountView]
    func addAccount(
        _ name: UserName, password: PasswordHash, isAdmin: Bool, by actor: String,
        _ completion: @escaping Completion<AccountView>)
    func change(
        _ name: String, _ change: AccountChange, by actor: String, action: String?,
        _ completion: @escaping Completion<AccountView>)
    func addInvite(by maker: String, expires: Timestamp, _ completion: @escaping Completion<Token>)
    func audit(limit: Int) throws(StoreError) -> [AuditEntry]

    // Messages
    /// Numbers the messages in order and makes them durable, each with an outcome of its own.
    func post(
        _ messages: [NewMessage], by principal: Principal, stopAtRefusal: Bool,
        _ completion: @escaping @Sendable ([PostOutcome]) -> Void)
    /// Marks as read up to a seq; answers with the mark that stands then, which never falls.
    func markRead(
        _ seq: Seq, in conversation: String, for principal: Principal, _ completion: @escaping Completion<Seq>)
    func conversations(of principal: Principal, after: String?, limit: Int) throws(StoreError) -> ConversationPage
    func conversation(_ name: String, for principal: Principal) throws(StoreError) -> ConversationView
    func messages(_ query: PageQuery, for principal: Principal) throws(StoreError) -> MessagePage
    /// Finds messages, newest first, in what the reader sees.
    func search(_ request: SearchRequest, for principal: Principal) throws(StoreError) -> SearchPage
    /// One sealed block as stored; nil where this conversation has none that begins there with this revision.
    func block(
        of conversation: ConversationID, firstSeq: Seq, revision: UInt32, for principal: Principal
    ) throws(StoreError) -> StoredBlock?
    /// Counts and sizes, for whoever watches the server.
    func statistics() -> StoreStatistics
    /// What has changed since a cursor. Nothing is unpacked or rendered yet: see `SyncAnswer`.
    ///
    /// - Parameter earliest: of a conversation that the cursor has nothing of, leave out what is older; it may begin up to
    ///   a block before. To be the same in all answers of one catching up.
    func changes(
        since position: SyncPosition, earliest: Timestamp?, for principal: Principal, form: SyncAnswer.Form,
        limitBytes: Int
    ) throws(StoreError) -> SyncAnswer
    /// The message cursor that a string stands for, checked to be of this conversation and of this history.
    func position(_ cursor: String, in conversation: String, for principal: Principal) throws(StoreError) -> Seq

    // Waiting
    /// Calls `body` after each commit, on a thread of the store's. To be set once, before requests come.
    func onNews(_ body: @escaping @Sendable (News) -> Void)
    /// Says that a request of theirs has begun (+1) or ended (-1) to wait: who waits is online.
    func noteWaiting(_ account: AccountID, _ change: Int)
    var isFailed: Bool { get }
}

public typealias Completion<Value> = @Sendable (Result<Value, StoreError>) -> Void

public struct Credentials: Sendable {
    public let account: AccountID
    public let name: UserName
    public let password: PasswordHash
}

/// A message that somebody wants to send.
public struct NewMessage: Sendable {
    /// As the sender calls it: `general`, a group's name, `@bob`.
    public var conversation: String
    public var text: String
    public var key: IdempotencyKey?

    public init(conversation: String, text: String, key: IdempotencyKey?) {
        (self.conversation, self.text, self.key) = (conversation, text, key)
    }
}

public enum PostOutcome: Sendable {
    case posted(Message)
    /// The same key with the same content was there already; this is the earlier message.
    case repeated(Message)
    case refused(StoreError)
}

/// What a commit changed, for those who wait.
public struct News: Sendable {
    public let commit: Commit
    /// `general` has something new, so everybody has.
    public let isForAll: Bool
    /// Whose other conversations have something new.
    public let accounts: Set<AccountID>

    public init(commit: Commit, isForAll: Bool, accounts: Set<AccountID>) {
        (self.commit, self.isForAll, self.accounts) = (commit, isForAll, accounts)
    }
}

public struct UserQuery: Sendable {
    /// A part of the name, case not regarded.
    public var pattern: String?
    public var onlineOnly: Bool
    public var after: String?
    public var limit: Int

    public init(pattern: String? = nil, onlineOnly: Bool = false, after: String? = nil, limit: Int) {
        (self.pattern, self.onlineOnly, self.after, self.limit) = (pattern, onlineOnly, after, limit)
    }
}

public struct UserView: Sendable, Equatable {
    public let name: String
    public let isOnline: Bool
    public let lastSeen: Timestamp?
}

public struct UserPage: Sendable {
    public let users: [UserView]
    public let more: Bool
    public let next: String?
}

/// A conversation as one of its readers sees it.
public struct ConversationView: Sendable {
    public var name: String
    public var id: ConversationID
    public var kind: ConversationKind
    /// The lowest seq that is still kept; 1 in an empty conversation.
    public var first: Seq
    public var head: Seq
    /// The chain at the head.
    public var hash: Digest
    public var read: Seq
    public var unread: UInt64
    public var last: Message?
}

public struct ConversationPage: Sendable {
    public let conversations: [ConversationView]
    public let more: Bool
    public let next: String?
}

/// Which messages of a conversation somebody asks for.
public struct PageQuery: Sendable {
    public var conversation: String
    public var after: Seq?
    public var before: Seq?
    public var around: Seq?
    public var since: Timestamp?
    public var until: Timestamp?
    public var sender: String?
    public var limit: Int

    public init(conversation: String, limit: Int) { (self.conversation, self.limit) = (conversation, limit) }
}

public struct MessagePage: Sendable {
    /// Ascending.
    public var messages: [Message]
    public var head: Seq
    public var more: Bool
    /// Goes into the `after` of the next request, or the `before` if this one went backwards.
    public var next: Seq
    /// The state that this page shows; a request that waits goes on from here.
    public var commit: Commit
}

/// A sealed block, header and stored bytes, and what tells it from every other.
public struct StoredBlock: Sendable {
    public let bytes: [UInt8]
    public let tag: String
}

public struct StoreStatistics: Sendable, Equatable {
    public var conversations = 0
    public var accounts = 0
    public var sessions = 0
    public var online = 0
    /// Messages of all conversations.
    public var messages: UInt64 = 0
    /// Those that are not in a log file yet.
    public var unsealedMessages: UInt64 = 0
    public var journalBytes = 0
    public var commit: UInt64 = 0
    public var epochRun: UInt64 = 0
    /// The epoch in full, as `logs/epoch` has it.
    public var epoch = ""
}

/// Where a sync goes on from.
public enum SyncPosition: Sendable {
    case start
    /// Only a cursor for now, no messages.
    case now
    case cursor(StoreCursor)
}

extension ChatStore {
    /// Begins a session of an account that was just made.
    public func addSession(of account: AccountID, expires: Timestamp?, _ completion: @escaping Completion<Token>) {
        addSession(of: account, verified: nil, expires: expires, completion)
    }

    /// Makes an account where no invitation is needed, and nobody logs in yet.
    public func register(_ name: UserName, password: PasswordHash, _ completion: @escaping Completion<AccountID>) {
        register(name, password: password, invite: nil, session: nil, completion)
    }
}
