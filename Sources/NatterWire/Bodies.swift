public import NatterModel

/// Bodies of requests and of answers that are no objects of their own.
public struct RegisterRequest: Codable, Sendable {
    public var name: String
    public var password: String
    public var invite: String?

    public init(name: String, password: String, invite: String? = nil) {
        (self.name, self.password, self.invite) = (name, password, invite)
    }
}

public struct LoginRequest: Codable, Sendable {
    public var name: String
    public var password: String
    public var cookie: Bool?

    public init(name: String, password: String) { (self.name, self.password) = (name, password) }
}

public struct LogoutRequest: Codable, Sendable {
    public var all: Bool?
    public init(all: Bool?) { self.all = all }
}

/// The answer to `register` and `login`; without a token where it went into a cookie.
public struct SessionAnswer: Codable, Sendable {
    public var name: String
    public var token: String?
    public init(name: String, token: String?) { (self.name, self.token) = (name, token) }
}

public struct NameAnswer: Codable, Sendable {
    public var name: String
    public var free: Bool
    public init(name: String, free: Bool) { (self.name, self.free) = (name, free) }
}

public struct WhoamiAnswer: Codable, Sendable, Equatable {
    public var name: String
    public var admin: Bool
    public var scope: String
    public var created: String
    @OrNull public var expires: String?

    public init(name: String, admin: Bool, scope: String, created: String, expires: String?) {
        (self.name, self.admin, self.scope, self.created, self.expires) = (name, admin, scope, created, expires)
    }
}

/// A message to be sent; `conversation` stands for `general` only in a client's own input, never in the API.
public struct SendRequest: Codable, Sendable {
    public var conversation: String
    public var text: String
    public var id: String?

    public init(conversation: String, text: String, id: String?) {
        (self.conversation, self.text, self.id) = (conversation, text, id)
    }
}

/// A line of `export`, and of the file that `import` reads; `seq` is written, and ignored when read.
public struct ExportLine: Codable, Sendable, Equatable {
    public var seq: UInt64?
    public var ts: Int64
    public var sender: String
    public var text: String
    /// Absent for plain text.
    public var kind: String?

    public init(_ message: Message) {
        seq = message.seq.rawValue
        ts = message.time.milliseconds
        sender = message.sender
        text = message.text
        kind = message.kind == .text ? nil : message.kind.name
    }
}

public struct ReadRequest: Codable, Sendable {
    public var seq: UInt64
    public init(seq: UInt64) { self.seq = seq }
}

public struct ReadAnswer: Codable, Sendable {
    public var read: UInt64
    public init(read: UInt64) { self.read = read }
}

public struct PasswordRequest: Codable, Sendable {
    public var old: String
    public var new: String
    public init(old: String, new: String) { (self.old, self.new) = (old, new) }
}

/// The lines of a sync that are neither a conversation nor a message.
public struct SyncEnd: Codable, Sendable, Equatable {
    public var type = "end"
    public var cursor: String
    public var more: Bool
    public init(cursor: String, more: Bool) { (self.cursor, self.more) = (cursor, more) }
}

public struct SyncDamage: Codable, Sendable, Equatable {
    public var type = "damaged"
    public var conversation: String
    public var conversationID: String
    public var from: UInt64
    public var to: UInt64

    enum CodingKeys: String, CodingKey {
        case type, conversation, from, to
        case conversationID = "conversation_id"
    }

    public init(conversation: String, conversationID: String, from: UInt64, to: UInt64) {
        (self.conversation, self.conversationID) = (conversation, conversationID)
        (self.from, self.to) = (from, to)
    }
}

public struct SyncRead: Codable, Sendable, Equatable {
    public var type = "read"
    public var conversation: String
    public var conversationID: String
    public var read: UInt64

    enum CodingKeys: String, CodingKey {
        case type, conversation, read
        case conversationID = "conversation_id"
    }

    public init(conversation: String, conversationID: String, read: UInt64) {
        (self.conversation, self.conversationID, self.read) = (conversation, conversationID, read)
    }
}

public struct SyncGone: Codable, Sendable, Equatable {
    public var type = "gone"
    public var conversation: String
    public var conversationID: String
    /// `removed`, `left` or `deleted`.
    public var reason: String

    enum CodingKeys: String, CodingKey {
        case type, conversation, reason
        case conversationID = "conversation_id"
    }

    public init(conversation: String, conversationID: String, reason: String) {
        (self.conversation, self.conversationID, self.reason) = (conversation, conversationID, reason)
    }
}

/// What every line of a sync has: enough to tell which of the others it is.
public struct SyncLineType: Codable, Sendable {
    public var type: String
}
