internal import NatterHTTP
internal import NatterLanguage
public import NatterModel
public import NatterWire

/// Requests about accounts, groups, contacts, tokens and administration.
extension ServerAPI {
    // MARK: - Accounts

    /// Changes the password and ends all other sessions.
    /// - Returns: the tokens for programs that are still good.
    public func changePassword(old: String, new: String) throws(APIError) -> [TokenObject] {
        let answer: RemainingTokens = try decode(
            try send(.post, "/v1/password", WireJSON.encode(PasswordRequest(old: old, new: new))))
        return answer.tokens ?? []
    }

    // MARK: - Conversations

    /// The current state of a conversation on the server.
    public func conversation(_ name: String) throws(APIError) -> ConversationObject {
        try get(ServerAPI.path(ofConversation: name))
    }

    /// Marks a conversation as read up to a seq.
    /// - Parameter id: decides which conversation is meant, if it is given.
    /// - Returns: the mark after that; it never goes back.
    public func markRead(_ conversation: String, id: ConversationID?, upTo seq: Seq) throws(APIError) -> Seq {
        let path = try ServerAPI.path(ofConversation: conversation) + "/read"
        let body = WireJSON.encode(ReadRequest(seq: seq.rawValue, conversationID: id))
        let answer: ReadAnswer = try decode(try send(.put, path, body))
        guard answer.read <= Limits.seqs.upperBound.rawValue else {
            throw foreign("its answer lacks a valid '\("read")'")
        }
        return Seq(answer.read)
    }

    // MARK: - Any request

    /// A name as a part of a path. A text that can't be one names nothing, so the server is not asked.
    ///
    /// - Parameter missing: the server's answer to a name that it does not know.
    static func segment(_ name: String, _ missing: ErrorCode) throws(APIError) -> String {
        guard name.isEmpty || name.contains("/") else { return HTTPRequest.encodeSegment(name) }
        let phrase: Phrase =
            switch missing {
            case .noSuchUser: "no user is named '\(name)'"
            case .noSuchConversation: "there is no conversation '\(name)'"
            default: "there is no '\(name)'"
            }
        throw .refused(APIError.Refusal(missing, phrase))
    }

    static func path(ofConversation name: String) throws(APIError) -> String {
        try "/v1/conversations/" + segment(name, .noSuchConversation)
    }
}

/// Requests about groups and their members.
extension ServerAPI {
    /// The groups that the user is in, and those that anyone may join, by name.
    public func groups() throws(APIError) -> [GroupObject] {
        try everything("/v1/groups", \.name) { (page: GroupList) in (page.groups, page.more ? .some(page.next) : nil) }
    }

    /// Creates a group. The user is its first member and admin.
    public func createGroup(_ name: String, isOpen: Bool) throws(APIError) -> ConversationObject {
        try decode(try send(.post, "/v1/groups", WireJSON.encode(GroupRequest(name: name, open: isOpen ? true : nil))))
    }

    public func renameGroup(_ name: String, to newName: String) throws(APIError) -> ConversationObject {
        let body = WireJSON.encode(GroupRequest(name: newName, open: nil))
        return try decode(try send(.patch, try ServerAPI.path(ofGroup: name), body))
    }

    /// Sets how long a group's messages are kept.
    public func retainGroup(_ name: String, _ retention: Retention) throws(APIError) -> ConversationObject {
        let body = WireJSON.encode(GroupRequest(retain: retention.description))
        return try decode(try send(.patch, ServerAPI.path(ofGroup: name), body))
    }

    /// Deletes a group for all its members.
    public func deleteGroup(_ name: String) throws(APIError) {
        try delete(ServerAPI.path(ofGroup: name))
    }

    /// The members of a group, by name.
    public func members(ofGroup name: String) throws(APIError) -> [MemberObject] {
        let list: MemberList = try get(ServerAPI.path(ofGroup: name) + "/members")
        return list.users
    }

    /// Adds a user to a group. Users may add themselves to an open group.
    public func addMember(_ user: String, toGroup name: String) throws(APIError) {
        _ = try send(.put, try ServerAPI.path(ofGroup: name, member: user))
    }

    /// Makes a member an admin of a group, or no longer one.
    ///
    /// - Throws: `no_such_user` if the user is not a member.
    public func setAdmin(_ isAdmin: Bool, _ user: String, ofGroup name: String) throws(APIError) {
        let body = WireJSON.encode(MemberRequest(admin: isAdmin, existing: true))
        _ = try send(.put, try ServerAPI.path(ofGroup: name, member: user), body)
    }

    /// Removes a member from a group. Admins may remove others, and all members may remove themselves.
    public func removeMember(_ user: String, fromGroup name: String) throws(APIError) {
        try delete(ServerAPI.path(ofGroup: name, member: user))
    }

    private static func path(ofGroup name: String) throws(APIError) -> String {
        guard NameRule.isGroup(name) else {
            throw .refused(APIError.Refusal(.noSuchConversation, "'\(name)' is not a group"))
        }
        return try "/v1/groups/" + segment(name, .noSuchConversation)
    }

    private static func path(ofGroup name: String, member: String) throws(APIError) -> String {
        try path(ofGroup: name) + "/members/" + segment(member, .noSuchUser)
    }
}

/// Requests about contacts and blocked users.
extension ServerAPI {
    /// The user's contacts, by name.
    public func contacts() throws(APIError) -> [UserObject] {
        let list: UserList = try get("/v1/contacts")
        return list.users
    }

    /// Adds a contact. Repeating it is not an error.
    public func addContact(_ user: String) throws(APIError) { _ = try send(.put, try path("contacts", user)) }

    /// Removes a contact. It is not an error if there is no such contact.
    public func removeContact(_ user: String) throws(APIError) {
        try delete(path("contacts", user))
    }

    /// The users whose personal messages this user refuses, by name.
    public func blocked() throws(APIError) -> [UserObject] {
        let list: UserList = try get("/v1/blocks")
        return list.users
    }

    /// Refuses a user's personal messages.
    public func block(_ user: String) throws(APIError) { _ = try send(.put, try path("blocks", user)) }

    /// Accepts a user's personal messages again.
    public func unblock(_ user: String) throws(APIError) {
        try delete(path("blocks", user))
    }

    private func path(_ list: String, _ user: String) throws(APIError) -> String {
        try "/v1/\(list)/\(ServerAPI.segment(user, .noSuchUser))"
    }
}

/// Requests about sessions and the tokens of programs.
extension ServerAPI {
    /// Creates a token for a program. Only this answer contains the token itself.
    public func createToken(_ request: TokenRequest) throws(APIError) -> TokenObject {
        let made: TokenObject = try decode(try send(.post, "/v1/tokens", WireJSON.encode(request)))
        guard made.token != nil else { throw foreign("its answer has no token") }
        return made
    }

    /// The user's tokens for programs, oldest first, or the sessions instead.
    public func tokens(sessions: Bool) throws(APIError) -> [TokenObject] {
        let list: TokenList = try get(sessions ? "/v1/sessions" : "/v1/tokens")
        guard let found = sessions ? list.sessions : list.tokens else { throw foreign("its answer has no list") }
        return found
    }

    /// Revokes a token or ends a session at once.
    ///
    /// - Throws: `not_found` if the id is unknown.
    public func revokeToken(_ id: String, session: Bool) throws(APIError) {
        let path = try (session ? "/v1/sessions/" : "/v1/tokens/") + ServerAPI.segment(id, .notFound)
        try delete(path)
    }
}

/// Requests that only an admin of the server may make.
extension ServerAPI {
    /// All accounts, the last seen first.
    public func accounts() throws(APIError) -> [AdminUserObject] {
        let list: AdminUserList = try get("/v1/admin/users")
        return list.users
    }

    public func addAccount(_ request: AccountRequest) throws(APIError) -> AdminUserObject {
        try decode(try send(.post, "/v1/admin/users", WireJSON.encode(request)))
    }

    /// Changes an account. Fields that are nil stay unchanged.
    public func changeAccount(_ name: String, _ change: AccountChangeRequest) throws(APIError) -> AdminUserObject {
        try decode(
            try send(.patch, try "/v1/admin/users/" + ServerAPI.segment(name, .noSuchUser), WireJSON.encode(change)))
    }

    /// The sessions of all users, oldest first.
    public func allSessions() throws(APIError) -> [TokenObject] {
        let list: TokenList = try get("/v1/admin/sessions")
        guard let sessions = list.sessions else { throw foreign("its answer has no list") }
        return sessions
    }

    /// Ends the session of any user.
    public func endSession(_ id: String) throws(APIError) {
        try delete("/v1/admin/sessions/" + ServerAPI.segment(id, .notFound))
    }

    /// Removes texts and senders of messages for good.
    public func erase(_ request: EraseRequest) throws(APIError) -> EraseAnswer {
        try decode(try send(.post, "/v1/admin/erase", WireJSON.encode(request)))
    }

    public func statistics() throws(APIError) -> StatisticsObject { try get("/v1/admin/stats") }

    /// Creates a code that lets one person register.
    ///
    /// - Parameter expires: RFC 3339; nil for the server's default.
    public func createInvite(expires: String?) throws(APIError) -> InviteAnswer {
        try decode(try send(.post, "/v1/admin/invites", WireJSON.encode(InviteRequest(expires: expires))))
    }

    /// Actions of admins, newest first.
    public func audit(limit: Int) throws(APIError) -> [AuditObject] {
        try lines(of: "/v1/admin/audit" + HTTPRequest.encodeQuery([("limit", "\(limit)")]))
    }

    /// The newest events of the service, oldest first, or the events after a number.
    ///
    /// - Parameter waitSeconds: how long to wait if there are no events after that number yet.
    public func serviceLog(
        after number: UInt64?, limit: Int, level: String?, waitSeconds: Int = 0
    ) throws(APIError) -> [LogObject] {
        var query = [(name: "limit", value: "\(limit)")]
        if let number { query.append(("after", "\(number)")) }
        if let level { query.append(("level", level)) }
        if waitSeconds > 0 { query.append(("wait", "\(waitSeconds)")) }
        return try lines(
            of: "/v1/admin/log" + HTTPRequest.encodeQuery(query),
            timeoutMilliseconds: waitSeconds > 0 ? (waitSeconds + 15) * 1_000 : nil)
    }

    /// The objects of an answer with one object in each line.
    private func lines<Value: Decodable>(of path: String, timeoutMilliseconds: Int? = nil) throws(APIError) -> [Value] {
        let response = try perform(HTTPRequest(.get, path), timeoutMilliseconds: timeoutMilliseconds)
        var values: [Value] = []
        for line in response.body.split(separator: UInt8(ascii: "\n")) {
            do throws(WireJSON.Failure) {
                values.append(try WireJSON.decode(answer: line))
            } catch {
                throw foreign("a line of its answer is not as it should be")
            }
        }
        return values
    }
}
