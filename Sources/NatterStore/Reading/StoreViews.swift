public import NatterSystem
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
    /// If it is there, it alone decides which conversation is meant.
    public var conversationID: ConversationID?
    public var text: String
    public var key: IdempotencyKey?
    /// A text, an edit or a deletion.
    public var kind: MessageKind
    /// The message that a reply, an edit or a deletion is about.
    public var about: Seq?
    /// When it was written, if that was before it was sent.
    public var written: Timestamp?
    /// The uploads of a text, in this order. Its text may be empty then.
    public var uploads: [String] = []
    /// Those that the store has given to its sender, opened by the thread of the request.
    var files: [NewFile] = []
    /// The message that it is about, if that was in a log file when the request came. The writer's thread does not read files.
    var original: ReadOriginal?
    /// The key in the form used for look-ups, made by the thread of the request.
    var recentKey: RecentKey?

    public init(
        conversation: String, conversationID: ConversationID? = nil, text: String, key: IdempotencyKey?,
        kind: MessageKind = .text, about: Seq? = nil, written: Timestamp? = nil
    ) {
        (self.conversation, self.conversationID, self.text, self.key) = (conversation, conversationID, text, key)
        (self.kind, self.about, self.written) = (kind, about, written)
    }
}

/// The fields of a message that decide who may answer, edit or delete it.
struct OriginalMessage: Sendable, Equatable {
    /// The account's name or, of an imported message, a label.
    var sender: [UInt8]
    var kind: MessageKind
    var isImported: Bool
    var via: [UInt8]?
    /// The author that the table `relation` records with a deletion.
    var author: String
}

/// A message that was read before its batch was made.
struct ReadOriginal: Sendable {
    /// Where it was read. Meanwhile the name in the request may have become that of another conversation.
    let conversation: ConversationID
    let message: Result<OriginalMessage, StoreError>
    /// The newest erasure of the conversation then.
    let erasedCommit: Commit
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
    /// The accounts with news of their own, or in conversations of two.
    public let accounts: Set<AccountID>
    /// The members of each group with news, by the numbers of their accounts. A group may have very many.
    let groups: [[Int64: ConversationState.Membership]]
    /// Whether commits are counted anew from here, because the log went back: there may be fewer than before.
    public let isAnew: Bool

    public init(commit: Commit, isForAll: Bool, accounts: Set<AccountID>, isAnew: Bool = false) {
        self.init(commit: commit, isForAll: isForAll, accounts: accounts, groups: [], isAnew: isAnew)
    }

    init(
        commit: Commit, isForAll: Bool, accounts: Set<AccountID>, groups: [[Int64: ConversationState.Membership]],
        isAnew: Bool = false
    ) {
        (self.commit, self.isForAll, self.accounts) = (commit, isForAll, accounts)
        (self.groups, self.isAnew) = (groups, isAnew)
    }

    /// The values of waiting accounts with news. It takes as many steps as there are values or members, whichever are fewer.
    public func values<Value>(of waiting: [AccountID: Value]) -> [Value] {
        if waiting.isEmpty { return [] }
        if isForAll { return Array(waiting.values) }
        var values = accounts.compactMap { waiting[$0] }
        // Plain loops: a key path of a generic type is made anew each time, which took a twentieth of a post's time.
        for members in groups {
            if waiting.count < members.count {
                for (account, value) in waiting where members[account.rawValue] != nil { values.append(value) }
            } else {
                for case let value? in members.keys.lazy.map({ waiting[AccountID(rawValue: $0)] }) {
                    values.append(value)
                }
            }
        }
        return values
    }
}

public struct UserQuery: Sendable {
    /// A part of the name, in any case.
    public var pattern: String?
    public var onlineOnly: Bool
    public var after: String?
    public var limit: Int

    public init(pattern: String?, onlineOnly: Bool, after: String?, limit: Int) {
        (self.pattern, self.onlineOnly, self.after, self.limit) = (pattern, onlineOnly, after, limit)
    }
}

public struct UserView: Sendable, Equatable {
    public let name: String
    public let isOnline: Bool
    public let lastSeen: Timestamp?
    /// The name that the user chose to be shown.
    public let display: String?
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
    /// What a group is about.
    public var topic: String?
    /// The lowest seq that still exists; 1 in an empty conversation.
    public var first: Seq
    public var head: Seq
    /// The hash chain at the head.
    public var hash: Digest
    public var read: Seq
    public var unread: UInt64
    public var last: Message?

    /// About how many bytes an answer has for a conversation besides its last message.
    static let answerBytes = 480
}

public struct ConversationPage: Sendable {
    public let conversations: [ConversationView]
    public let more: Bool
    public let next: String?
}

/// A request for messages of a conversation.
public struct PageQuery: Sendable {
    public var conversation: String
    /// The conversation that is meant, whatever is called so now.
    public var id: ConversationID?
    public var after: Seq?
    public var before: Seq?
    public var around: Seq?
    public var since: Timestamp?
    public var until: Timestamp?
    public var sender: String?
    /// Whether originals have their newest text, and edits and deletions are left out.
    public var isFolded = false
    public var limit: Int

    public init(conversation: String, limit: Int) { (self.conversation, self.limit) = (conversation, limit) }
}

public struct MessagePage: Sendable {
    /// The group that it is of; nil for any other conversation, whose name never becomes that of another one.
    public var group: ConversationID?
    /// Ascending.
    public var messages: [Message]
    public var head: Seq
    public var more: Bool
    /// The value of `after` for the next request, or of `before` if this one went backwards.
    public var next: Seq
    /// The state that this page shows. A request that waits begins here.
    public var commit: Commit
}

/// One message with what is about it.
public struct MessageView: Sendable {
    public var message: Message
    /// The numbers of its replies and of its edits, lowest first.
    public var replies: [Seq]
    public var edits: [Seq]
    /// The hash chain after the message; nil if damage makes it unknown.
    public var hash: Digest?
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
    /// Files of messages, those that still wait for theirs included.
    public var files: UInt64 = 0
    public var fileBytes: UInt64 = 0
    public var waitingFiles: UInt64 = 0
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
