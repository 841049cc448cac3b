internal import NatterModel

/// A session or a program's token in the API.
public struct TokenObject: Codable, Sendable, Equatable {
    public var id: String
    /// The owner. Only answers to an admin contain it.
    public var user: String?
    public var label: String?
    public var scope: String
    public var created: String
    @OrNull public var expires: String?
    @OrNull public var lastUsed: String?
    @OrNull public var address: String?
    /// Where a session was begun, as its client said.
    public var host: String?
    public var program: String?
    /// `true` for the session that made the request.
    public var current: Bool?
    /// Only the answer that creates the token contains it.
    public var token: String?

    enum CodingKeys: String, CodingKey {
        case id, user, label, scope, created, expires, address, host, program, current, token
        case lastUsed = "last_used"
    }

    public init(
        id: String, user: String?, label: String?, scope: String, created: String, expires: String?, lastUsed: String?,
        address: String?, host: String? = nil, program: String? = nil, current: Bool?
    ) {
        (self.id, self.user, self.label, self.scope) = (id, user, label, scope)
        (self.created, self.expires, self.lastUsed) = (created, expires, lastUsed)
        (self.address, self.host, self.program, self.current) = (address, host, program, current)
    }
}

/// The answer to a change of the password, and to the end of all sessions: tokens for programs that are still good.
public struct RemainingTokens: Codable, Sendable {
    public var tokens: [TokenObject]?
    public init(tokens: [TokenObject]) { self.tokens = tokens }
}

/// An account in answers to an admin.
public struct AdminUserObject: Codable, Sendable, Equatable {
    public var name: String
    public var admin: Bool
    public var disabled: Bool
    public var online: Bool
    public var created: String
    @OrNull public var lastSeen: String?
    @OrNull public var address: String?
    /// How many bytes its files have. An older server does not say.
    public var fileBytes: UInt64?

    enum CodingKeys: String, CodingKey {
        case name, admin, disabled, online, created, address
        case lastSeen = "last_seen"
        case fileBytes = "file_bytes"
    }

    public init(
        name: String, admin: Bool, disabled: Bool, online: Bool, created: String, lastSeen: String?, address: String?,
        fileBytes: UInt64
    ) {
        (self.name, self.admin, self.disabled, self.online) = (name, admin, disabled, online)
        (self.created, self.lastSeen, self.address) = (created, lastSeen, address)
        self.fileBytes = fileBytes
    }
}

/// How long a conversation's messages are kept.
public struct RetentionObject: Codable, Sendable {
    public var conversation: String
    /// `90d` or `forever`.
    public var retain: String
    /// The lowest number that is kept.
    public var first: UInt64

    public init(conversation: String, retain: String, first: UInt64) {
        (self.conversation, self.retain, self.first) = (conversation, retain, first)
    }
}

/// A server's parameters, counts and sizes.
public struct StatisticsObject: Codable, Sendable, Equatable {
    /// The version of natterd. An older server sends neither this nor the next three.
    public var version: String?
    /// `open`, `closed` or `invite`: who may create an account.
    public var registration: String?
    /// When the certificate ends; null without TLS.
    @OrNull public var certificateExpires: String?
    /// The limits of each account.
    public var limits: [LimitObject]?
    public var accounts: Int
    public var online: Int
    public var sessions: Int
    public var conversations: Int
    public var messages: UInt64
    public var unsealedMessages: UInt64
    public var journalBytes: Int
    /// Files of messages, those that still wait for theirs included. An older server sends neither this nor the next two.
    public var files: UInt64?
    public var fileBytes: UInt64?
    public var waitingFiles: UInt64?
    public var commits: UInt64
    public var runs: UInt64
    public var connections: Int
    public var waiting: Int

    enum CodingKeys: String, CodingKey {
        case version, registration, limits
        case accounts, online, sessions, conversations, messages, files, commits, runs, connections, waiting
        case certificateExpires = "certificate_expires"
        case unsealedMessages = "unsealed_messages"
        case journalBytes = "journal_bytes"
        case fileBytes = "file_bytes"
        case waitingFiles = "waiting_files"
    }

    public init(
        accounts: Int, online: Int, sessions: Int, conversations: Int, messages: UInt64, unsealedMessages: UInt64,
        journalBytes: Int, files: UInt64, fileBytes: UInt64, waitingFiles: UInt64, commits: UInt64, runs: UInt64,
        connections: Int, waiting: Int, registration: String,
        certificateExpires: String?, limits: [LimitObject]
    ) {
        (version, self.registration, self.limits) = (Release.version, registration, limits)
        (self.accounts, self.online, self.sessions) = (accounts, online, sessions)
        (self.conversations, self.messages, self.unsealedMessages) = (conversations, messages, unsealedMessages)
        (self.journalBytes, self.commits, self.runs) = (journalBytes, commits, runs)
        (self.files, self.fileBytes, self.waitingFiles) = (files, fileBytes, waitingFiles)
        (self.connections, self.waiting) = (connections, waiting)
        self.certificateExpires = certificateExpires
    }
}

/// A limit of each account.
public struct LimitObject: Codable, Sendable, Equatable {
    /// `tokens`, `messages_per_minute` …
    public var name: String
    @OrNull public var limit: Int?
    /// How often it refused something since the start; for sessions, how many were ended.
    public var refused: UInt64

    public init(name: String, limit: Int?, refused: UInt64) {
        (self.name, self.refused) = (name, refused)
        self.limit = limit
    }
}

/// An invitation: a code for one registration, and its expiry.
public struct InviteAnswer: Codable, Sendable, Equatable {
    /// The name by which an admin can revoke it. An older server sends none.
    public var id: String?
    public var invite: String
    public var expires: String
    public init(id: String, invite: String, expires: String) {
        (self.id, self.invite, self.expires) = (id, invite, expires)
    }
}

/// An invitation that nobody has used yet, without its code.
public struct InviteObject: Codable, Sendable, Equatable {
    public var id: String
    /// The admin who made it.
    public var maker: String
    public var created: String
    public var expires: String

    public init(id: String, maker: String, created: String, expires: String) {
        (self.id, self.maker, self.created, self.expires) = (id, maker, created, expires)
    }
}

/// An entry of the audit trail.
public struct AuditObject: Codable, Sendable, Equatable {
    public var time: String
    public var actor: String
    /// `user_disabled`, `user_promoted` …
    public var action: String
    /// The user whom the action changed. It may be empty.
    public var subject: String

    public init(time: String, actor: String, action: String, subject: String) {
        (self.time, self.actor, self.action, self.subject) = (time, actor, action, subject)
    }
}

/// An event of the server's log.
public struct LogObject: Codable, Sendable, Equatable {
    /// It increases from event to event, also across restarts. There may be gaps.
    public var number: UInt64
    public var time: String
    /// `debug`, `info`, `warning` or `error`.
    public var level: String
    /// The kind of event, in words joined by underscores.
    public var event: String
    public var fields: [String: String]

    public init(number: UInt64, time: String, level: String, event: String, fields: [String: String]) {
        (self.number, self.time, self.level, self.event, self.fields) = (number, time, level, event, fields)
    }
}
