/// What makes a token for a program.
public struct TokenRequest: Codable, Sendable {
    public var label: String
    /// `all`, `send:CONVERSATION` or `read:CONVERSATION`.
    public var scope: String
    /// RFC 3339; absent or null: never.
    public var expires: String?

    public init(label: String, scope: String, expires: String?) {
        (self.label, self.scope, self.expires) = (label, scope, expires)
    }
}

/// What makes an account for somebody else.
public struct AccountRequest: Codable, Sendable {
    public var name: String
    public var password: String
    public var admin: Bool?

    public init(name: String, password: String, admin: Bool? = nil) {
        (self.name, self.password, self.admin) = (name, password, admin)
    }
}

/// A change to an account; what is absent stays as it is.
public struct AccountChangeRequest: Codable, Sendable {
    public var disabled: Bool?
    public var admin: Bool?
    public var password: String?

    public init(disabled: Bool? = nil, admin: Bool? = nil, password: String? = nil) {
        (self.disabled, self.admin, self.password) = (disabled, admin, password)
    }
}

public struct InviteRequest: Codable, Sendable {
    /// RFC 3339; absent: in seven days.
    public var expires: String?
    public init(expires: String?) { self.expires = expires }
}

/// A code with which one person can register, and until when.
public struct InviteAnswer: Codable, Sendable, Equatable {
    public var invite: String
    public var expires: String
    public init(invite: String, expires: String) { (self.invite, self.expires) = (invite, expires) }
}

/// What an admin did to whom.
public struct AuditObject: Codable, Sendable, Equatable {
    public var time: String
    public var actor: String
    /// `user_disabled`, `user_promoted` …
    public var action: String
    /// Empty where there is nobody.
    public var subject: String

    public init(time: String, actor: String, action: String, subject: String) {
        (self.time, self.actor, self.action, self.subject) = (time, actor, action, subject)
    }
}

/// An event of the service log.
public struct LogObject: Codable, Sendable, Equatable {
    /// Rises from event to event, also over a restart of the server; not without gaps.
    public var number: UInt64
    public var time: String
    /// `debug`, `info`, `warning` or `error`.
    public var level: String
    /// What happened, in words with underscores.
    public var event: String
    public var fields: [String: String]

    public init(number: UInt64, time: String, level: String, event: String, fields: [String: String]) {
        (self.number, self.time, self.level, self.event, self.fields) = (number, time, level, event, fields)
    }
}
