// Bodies of requests, in the order of the API's routes.

public import NatterModel

/// Registers an account.
public struct RegisterRequest: Codable, Sendable {
    public var name: String
    public var password: String
    public var invite: String?
    /// Whether the session's token is set as a cookie.
    public var cookie: Bool?
    /// Where the session is begun: the client's host and program.
    public var host: String?
    public var program: String?

    public init(name: String, password: String, invite: String? = nil) {
        (self.name, self.password, self.invite) = (name, password, invite)
    }
}

public struct LoginRequest: Codable, Sendable {
    public var name: String
    public var password: String
    public var cookie: Bool?
    /// Where the session is begun: the client's host and program.
    public var host: String?
    public var program: String?

    public init(name: String, password: String) { (self.name, self.password) = (name, password) }
}

public struct LogoutRequest: Codable, Sendable {
    public var all: Bool?
    public init(all: Bool?) { self.all = all }
}

public struct PasswordRequest: Codable, Sendable {
    public var old: String
    public var new: String
    public init(old: String, new: String) { (self.old, self.new) = (old, new) }
}

/// Changes one's own account. An absent field stays as it is, and null takes the display name away.
public struct DisplayRequest: Codable, Sendable {
    @Given public var display: String??

    /// - Parameter display: as in JSON.
    public init(display: String?? = nil) { self.display = display }
}

/// Deletes the account of the session.
public struct AccountDeletion: Codable, Sendable {
    public var password: String
    public init(password: String) { self.password = password }
}

/// A message to send.
public struct SendRequest: Codable, Sendable {
    /// The conversation's name. It may be missing in JSON if the id is there, and is the id's digits then.
    public var conversation: String
    /// The conversation's id. If it is there, it alone decides which conversation is meant, because a group may have
    /// another name by now, and another group its name.
    public var conversationID: ConversationID?
    /// Empty for a deletion, which has none in JSON.
    public var text: String
    public var id: String?
    /// `text` unless given, `edit` or `delete`.
    public var kind: String?
    /// The seq of the message that a reply, an edit or a deletion refers to.
    public var about: UInt64?
    /// When it was written, in Unix milliseconds.
    public var written: Int64?
    /// The uploads of a text, which may be empty or missing then.
    public var files: [String]?

    public init(
        conversation: String, conversationID: ConversationID? = nil, text: String, id: String?, kind: String? = nil,
        about: UInt64? = nil, written: Int64? = nil
    ) {
        (self.conversation, self.conversationID, self.text, self.id) = (conversation, conversationID, text, id)
        (self.kind, self.about, self.written) = (kind, about, written)
    }

    var isDeletion: Bool { kind == "delete" }

    private enum CodingKeys: String, CodingKey {
        case conversation, text, id, kind, about, written, files
        case conversationID = "conversation_id"
    }

    /// The key of the name that a decoder takes if the message has none.
    static let standIn = CodingUserInfoKey(rawValue: "conversation")

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        conversationID = try container.decodeIfPresent(ConversationID.self, forKey: .conversationID)
        let standIn = SendRequest.standIn.flatMap { decoder.userInfo[$0] as? String } ?? conversationID?.description
        conversation =
            try standIn.map { try container.decodeIfPresent(String.self, forKey: .conversation) ?? $0 }
            ?? container.decode(String.self, forKey: .conversation)
        kind = try container.decodeIfPresent(String.self, forKey: .kind)?.asWord
        files = try container.decodeIfPresent([String].self, forKey: .files)
        text =
            kind == "delete" || files?.isEmpty == false
            ? try container.decodeIfPresent(String.self, forKey: .text) ?? ""
            : try container.decode(String.self, forKey: .text)
        id = try container.decodeIfPresent(String.self, forKey: .id)
        about = try container.decodeIfPresent(UInt64.self, forKey: .about)
        written = try container.decodeIfPresent(Int64.self, forKey: .written)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encodeIfPresent(about, forKey: .about)
        try container.encode(conversation, forKey: .conversation)
        try container.encodeIfPresent(conversationID, forKey: .conversationID)
        try container.encodeIfPresent(files, forKey: .files)
        try container.encodeIfPresent(id, forKey: .id)
        try container.encodeIfPresent(kind, forKey: .kind)
        if !isDeletion { try container.encode(text, forKey: .text) }
        try container.encodeIfPresent(written, forKey: .written)
    }
}

public struct ReadRequest: Codable, Sendable {
    public var seq: UInt64
    /// As in a message to send.
    public var conversationID: ConversationID?

    public init(seq: UInt64, conversationID: ConversationID? = nil) {
        (self.seq, self.conversationID) = (seq, conversationID)
    }

    private enum CodingKeys: String, CodingKey {
        case seq
        case conversationID = "conversation_id"
    }
}

public struct NewGroupRequest: Codable, Sendable {
    public var name: String
    /// Whether anyone may join.
    public var open: Bool?

    public init(name: String, open: Bool?) { (self.name, self.open) = (name, open) }
}

/// Changes a group. Absent fields stay unchanged.
public struct GroupRequest: Codable, Sendable {
    public var name: String?
    public var open: Bool?
    /// How long its messages are kept: `90d` or `forever`.
    public var retain: String?
    /// What it is about. Null takes the topic away.
    @Given public var topic: String??

    public init(name: String? = nil, open: Bool? = nil, retain: String? = nil, topic: String?? = nil) {
        (self.name, self.open, self.retain, self.topic) = (name, open, retain, topic)
    }
}

/// Adds a member to a group, or changes one.
public struct MemberRequest: Codable, Sendable {
    /// If absent, the member's role does not change.
    public var admin: Bool?
    /// Whether to refuse a user who is not yet a member, with `no_such_user`, instead of adding them.
    public var existing: Bool?

    public init(admin: Bool? = nil, existing: Bool? = nil) { (self.admin, self.existing) = (admin, existing) }
}

/// Creates a token for a program.
public struct TokenRequest: Codable, Sendable {
    public var label: String
    /// `all`, `send:CONVERSATION` or `read:CONVERSATION`.
    public var scope: String
    /// RFC 3339. If it is absent or null, the token never expires.
    public var expires: String?

    public init(label: String, scope: String, expires: String?) {
        (self.label, self.scope, self.expires) = (label, scope, expires)
    }
}

/// Creates an account for another user.
public struct AccountRequest: Codable, Sendable {
    public var name: String
    public var password: String
    public var admin: Bool?

    public init(name: String, password: String, admin: Bool? = nil) {
        (self.name, self.password, self.admin) = (name, password, admin)
    }
}

/// Changes an account. Absent fields stay unchanged.
public struct AccountChangeRequest: Codable, Sendable {
    public var disabled: Bool?
    public var admin: Bool?
    public var password: String?

    public init(disabled: Bool? = nil, admin: Bool? = nil, password: String? = nil) {
        (self.disabled, self.admin, self.password) = (disabled, admin, password)
    }
}

/// Creates an invitation.
public struct InviteRequest: Codable, Sendable {
    /// RFC 3339. If it is absent, the invitation expires in seven days.
    public var expires: String?
    public init(expires: String?) { self.expires = expires }
}

/// `POST /v1/admin/erase`
public struct EraseRequest: Codable, Sendable {
    /// `general`, a group, `@bob` for the admin's own messages with bob, or `@alice,@bob`.
    public var conversation: String
    public var seqs: [UInt64]
    /// As in a message to send.
    public var conversationID: ConversationID?

    public init(conversation: String, seqs: [UInt64]) { (self.conversation, self.seqs) = (conversation, seqs) }

    private enum CodingKeys: String, CodingKey {
        case conversation, seqs
        case conversationID = "conversation_id"
    }
}

/// `POST /v1/admin/retain`
public struct RetainRequest: Codable, Sendable {
    /// As in `EraseRequest`.
    public var conversation: String
    /// `90d` or `forever`.
    public var retain: String

    public init(conversation: String, retain: String) { (self.conversation, self.retain) = (conversation, retain) }
}

public struct EraseAnswer: Codable, Sendable {
    /// How many messages were erased that were not before.
    public var erased: Int

    public init(erased: Int) { self.erased = erased }
}
