public import NatterModel

/// A request of the API: its method, its path, and the types of its body and its answer. Server and client share it.
///
/// `Body` is `Void` for a request without a body, `String` for plain text, and `[UInt8]` for bytes of any type and length. `Answer` is
/// `Void` for `{}`, ``Lines`` for NDJSON alone, and `[UInt8]` for bytes that are no JSON object.
public struct Endpoint<Body, Answer: Sendable>: Sendable {
    public let method: HTTPMethod
    /// The path, as in `man/natter.openapi.json`. `{…}` stands for any one segment.
    public let path: String

    /// How to find out whether the server has carried out a change whose answer was lost; nil for what changes nothing, and for
    /// messages, which are repeated with their id.
    public let ifLost: Phrase?

    fileprivate init(_ method: HTTPMethod, _ path: String, ifLost: Phrase? = nil) {
        (self.method, self.path, self.ifLost) = (method, path, ifLost)
    }
}

/// An answer with one object in each line.
public enum Lines<Object: Codable & Sendable>: Sendable {}

/// Every request of the API. `Routes` of the server says how each is answered.
public enum API {
    // MARK: Accounts

    public static let register = Endpoint<RegisterRequest, SessionAnswer>(
        .post, "/v1/register", ifLost: "try 'natter login' before you repeat it")
    public static let isNameFree = Endpoint<Void, NameAnswer>(.get, "/v1/register")
    public static let login = Endpoint<LoginRequest, SessionAnswer>(
        .post, "/v1/login", ifLost: "log in again; 'natter session' then shows whether there is a session too many")
    public static let logout = Endpoint<LogoutRequest, RemainingTokens>(
        .post, "/v1/logout", ifLost: "'natter session' shows it after the next login")
    public static let whoami = Endpoint<Void, WhoamiAnswer>(.get, "/v1/whoami")
    public static let changePassword = Endpoint<PasswordRequest, RemainingTokens>(
        .post, "/v1/password", ifLost: "try 'natter login' with the new password before you repeat it")

    public static let changeOwn = Endpoint<DisplayRequest, UserObject>(
        .patch, "/v1/account", ifLost: .isRepeatable)
    public static let deleteAccount = Endpoint<AccountDeletion, EraseAnswer>(
        .delete, "/v1/account", ifLost: "try 'natter login': if it is refused, the account is gone; else repeat it")

    // MARK: Messages

    /// One message, or a stream of them as NDJSON.
    public static let send = Endpoint<SendRequest, MessageObject>(.post, "/v1/messages")
    public static let sendText = Endpoint<String, MessageObject>(.post, "/v1/conversations/{conversation}/messages")
    public static let conversations = Endpoint<Void, ConversationList>(.get, "/v1/conversations")
    public static let conversation = Endpoint<Void, ConversationObject>(.get, "/v1/conversations/{conversation}")
    public static let messages = Endpoint<Void, MessageList>(.get, "/v1/conversations/{conversation}/messages")
    public static let message = Endpoint<Void, MessageObject>(.get, "/v1/conversations/{conversation}/messages/{seq}")
    /// The body is the bytes of a file, which a message may name afterwards.
    public static let uploadFile = Endpoint<[UInt8], UploadAnswer>(
        .post, "/v1/conversations/{conversation}/files", ifLost: .isRepeatable)
    public static let file = Endpoint<Void, [UInt8]>(.get, "/v1/files/{file_id}")
    public static let markRead = Endpoint<ReadRequest, ReadAnswer>(
        .put, "/v1/conversations/{conversation}/read", ifLost: .isRepeatable)
    public static let sync = Endpoint<Void, [UInt8]>(.get, "/v1/sync")
    public static let sealedBlock = Endpoint<Void, [UInt8]>(.get, "/v1/blocks/{conversation_id}/{block}")
    public static let search = Endpoint<Void, SearchList>(.get, "/v1/search")

    // MARK: People

    public static let users = Endpoint<Void, UserList>(.get, "/v1/users")
    public static let contacts = Endpoint<Void, UserList>(.get, "/v1/contacts")
    public static let addContact = Endpoint<Void, Void>(.put, "/v1/contacts/{user}", ifLost: .isRepeatable)
    public static let removeContact = Endpoint<Void, Void>(.delete, "/v1/contacts/{user}", ifLost: .isRepeatable)
    // Blocked users. A block of messages has a longer path.
    public static let blocked = Endpoint<Void, UserList>(.get, "/v1/blocks")
    public static let block = Endpoint<Void, Void>(.put, "/v1/blocks/{user}", ifLost: .isRepeatable)
    public static let unblock = Endpoint<Void, Void>(.delete, "/v1/blocks/{user}", ifLost: .isRepeatable)
    public static let groups = Endpoint<Void, GroupList>(.get, "/v1/groups")
    public static let createGroup = Endpoint<NewGroupRequest, ConversationObject>(
        .post, "/v1/groups", ifLost: .lookAtGroups)
    public static let changeGroup = Endpoint<GroupRequest, ConversationObject>(
        .patch, "/v1/groups/{group}", ifLost: .lookAtGroups)
    public static let deleteGroup = Endpoint<Void, Void>(.delete, "/v1/groups/{group}", ifLost: .lookAtGroups)
    public static let members = Endpoint<Void, MemberList>(.get, "/v1/groups/{group}/members")
    public static let putMember = Endpoint<MemberRequest, Void>(
        .put, "/v1/groups/{group}/members/{user}", ifLost: .lookAtMembers)
    public static let removeMember = Endpoint<Void, Void>(
        .delete, "/v1/groups/{group}/members/{user}", ifLost: .lookAtMembers)

    // MARK: Tokens and sessions

    public static let tokens = Endpoint<Void, TokenList>(.get, "/v1/tokens")
    public static let createToken = Endpoint<TokenRequest, TokenObject>(.post, "/v1/tokens", ifLost: .lookAtTokens)
    public static let revokeToken = Endpoint<Void, Void>(.delete, "/v1/tokens/{id}", ifLost: .lookAtTokens)
    public static let sessions = Endpoint<Void, SessionList>(.get, "/v1/sessions")
    public static let endSession = Endpoint<Void, Void>(
        .delete, "/v1/sessions/{id}", ifLost: "look with 'natter session ls' before you repeat it")

    // MARK: Administration

    public static let accounts = Endpoint<Void, AccountList>(.get, "/v1/admin/users")
    public static let addAccount = Endpoint<AccountRequest, AdminUserObject>(
        .post, "/v1/admin/users", ifLost: .lookAtAudit)
    public static let changeAccount = Endpoint<AccountChangeRequest, AdminUserObject>(
        .patch, "/v1/admin/users/{user}", ifLost: .lookAtAudit)
    public static let allSessions = Endpoint<Void, SessionList>(.get, "/v1/admin/sessions")
    public static let endAnySession = Endpoint<Void, Void>(.delete, "/v1/admin/sessions/{id}", ifLost: .lookAtAudit)
    public static let erase = Endpoint<EraseRequest, EraseAnswer>(.post, "/v1/admin/erase", ifLost: .lookAtAudit)
    public static let retain = Endpoint<RetainRequest, RetentionObject>(
        .post, "/v1/admin/retain", ifLost: .isRepeatable)
    public static let statistics = Endpoint<Void, StatisticsObject>(.get, "/v1/admin/stats")
    public static let log = Endpoint<Void, Lines<LogObject>>(.get, "/v1/admin/log")
    public static let audit = Endpoint<Void, Lines<AuditObject>>(.get, "/v1/admin/audit")
    public static let invites = Endpoint<Void, InviteList>(.get, "/v1/admin/invites")
    public static let createInvite = Endpoint<InviteRequest, InviteAnswer>(
        .post, "/v1/admin/invites", ifLost: .lookAtAudit)
    public static let revokeInvite = Endpoint<Void, Void>(.delete, "/v1/admin/invites/{id}", ifLost: .lookAtAudit)

    // MARK: Service

    public static let health = Endpoint<Void, HealthAnswer>(.get, "/healthz")
    public static let metrics = Endpoint<Void, [UInt8]>(.get, "/metrics")
    public static let page = Endpoint<Void, [UInt8]>(.get, "/")
    public static let pageFile = Endpoint<Void, [UInt8]>(.get, "/page/{release}/{file}")
}

extension Phrase {
    fileprivate static let isRepeatable: Phrase = "you can safely repeat it"
    fileprivate static let lookAtGroups: Phrase = "look with 'natter group ls' before you repeat it"
    fileprivate static let lookAtMembers: Phrase =
        "look with 'natter group ls' and 'natter group members' before you repeat it"
    fileprivate static let lookAtTokens: Phrase = "look with 'natter token ls' before you repeat it"
    fileprivate static let lookAtAudit: Phrase = "look with 'natter admin log --audit' before you repeat it"
}
