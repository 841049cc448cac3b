public import NatterCrypto
public import NatterModel

/// Called on a thread of the store after a change is durable or was refused.
public typealias Completion<Value> = @Sendable (Result<Value, StoreError>) -> Void

public struct Credentials: Sendable {
    public let account: AccountID
    public let name: UserName
    public let password: PasswordHash
}

/// A message that a user wants to send.
public struct NewMessage: Sendable {
    /// The sender's name for it: `general`, a group's name, `@bob`.
    public var conversation: String
    public var text: String
    public var key: IdempotencyKey?

    public init(conversation: String, text: String, key: IdempotencyKey?) {
        (self.conversation, self.text, self.key) = (conversation, text, key)
    }
}

public enum PostOutcome: Sendable {
    case posted(Message)
    /// The key was used before with the same content. This is the earlier message.
    case repeated(Message)
    case refused(StoreError)
}

/// The changes of a commit, for waiting requests.
public struct News: Sendable {
    public let commit: Commit
    /// Whether `general` has news, which all accounts see.
    public let isForAll: Bool
    /// The accounts with news in other conversations.
    public let accounts: Set<AccountID>

    public init(commit: Commit, isForAll: Bool, accounts: Set<AccountID>) {
        (self.commit, self.isForAll, self.accounts) = (commit, isForAll, accounts)
    }
}

public struct UserQuery: Sendable {
    /// A part of the name, in any case.
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
    /// The lowest seq that still exists; 1 in an empty conversation.
    public var first: Seq
    public var head: Seq
    /// The hash chain at the head.
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

/// A request for messages of a conversation.
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
    /// The value of `after` for the next request, or of `before` if this one went backwards.
    public var next: Seq
    /// The state that this page shows. A request that waits begins here.
    public var commit: Commit
}

/// A sealed block with header and stored bytes, and a tag that identifies it.
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
    /// Messages that are not in a log file yet.
    public var unsealedMessages: UInt64 = 0
    public var journalBytes = 0
    public var commit: UInt64 = 0
    public var epochRun: UInt64 = 0
    /// The complete epoch, as in `logs/epoch`.
    public var epoch = ""
}

/// Where a sync begins.
public enum SyncPosition: Sendable {
    case start
    /// Only a cursor for the present, without messages.
    case now
    case cursor(StoreCursor)
}
