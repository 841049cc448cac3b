internal import NatterHTTP
internal import NatterLanguage
public import NatterModel
public import NatterWire

/// Requests about accounts, groups, contacts, tokens and administration.
extension ServerAPI {
    // MARK: - Accounts

    /// Sets another password and ends all other sessions.
    public func changePassword(old: String, new: String) throws(APIError) {
        _ = try post("/v1/password", WireJSON.encode(PasswordRequest(old: old, new: new)))
    }

    // MARK: - Conversations

    /// A conversation as the server has it now.
    public func conversation(_ name: String) throws(APIError) -> ConversationObject {
        try decode(try get("/v1/conversations/" + HTTPRequest.encodeSegment(name)))
    }

    /// All conversations that the user sees, in the server's order.
    public func conversations() throws(APIError) -> [ConversationObject] {
        var conversations: [ConversationObject] = []
        var after: String?
        while true {
            var query = [(name: "limit", value: "\(Limits.pageLimit)")]
            if let after { query.append(("after", after)) }
            let page: ConversationList = try decode(try get("/v1/conversations" + HTTPRequest.encodeQuery(query)))
            conversations += page.conversations
            guard page.more else { return conversations }
            guard let next = page.next, next != after, !page.conversations.isEmpty else {
                throw foreign("its list of conversations does not go on")
            }
            after = next
        }
    }

    /// Marks as read up to a seq.
    /// - Returns: the mark that stands then; it never falls.
    public func markRead(_ conversation: String, upTo seq: Seq) throws(APIError) -> Seq {
        let path = "/v1/conversations/\(HTTPRequest.encodeSegment(conversation))/read"
        let answer: ReadAnswer = try decode(try send(.put, path, WireJSON.encode(ReadRequest(seq: seq.rawValue))))
        return Seq(answer.read)
    }

    // MARK: - Any

    /// A change: a request with a JSON body.
    func send(_ method: HTTPMethod, _ path: String, _ body: [UInt8] = Array("{}".utf8)) throws(APIError) -> HTTPResponse
    {
        try perform(HTTPRequest(method, path, headers: [(name: "Content-Type", value: "application/json")], body: body))
    }
}

/// Requests about groups and who is in them.
extension ServerAPI {
    /// Makes a group; who makes it is its first admin.
    public func createGroup(_ name: String, isOpen: Bool) throws(APIError) -> ConversationObject {
        try decode(try send(.post, "/v1/groups", WireJSON.encode(GroupRequest(name: name, open: isOpen ? true : nil))))
    }

    /// Gives a group another name.
    public func renameGroup(_ name: String, to newName: String) throws(APIError) -> ConversationObject {
        let body = WireJSON.encode(GroupRequest(name: newName, open: nil))
        return try decode(try send(.patch, ServerAPI.path(ofGroup: name), body))
    }

    /// Takes a group away from all who are in it.
    public func deleteGroup(_ name: String) throws(APIError) {
        _ = try perform(HTTPRequest(.delete, ServerAPI.path(ofGroup: name)))
    }

    /// Who is in a group, by name.
    public func members(ofGroup name: String) throws(APIError) -> [MemberObject] {
        let list: MemberList = try decode(try get(ServerAPI.path(ofGroup: name) + "/members"))
        return list.users
    }

    /// Puts somebody into a group, or oneself into an open one.
    public func addMember(_ user: String, toGroup name: String) throws(APIError) {
        _ = try send(.put, ServerAPI.path(ofGroup: name, member: user))
    }

    /// Makes somebody who is in a group an admin of it, or no longer one.
    ///
    /// - Throws: `no_such_user` for one who is not in it.
    public func setAdmin(_ isAdmin: Bool, _ user: String, ofGroup name: String) throws(APIError) {
        let body = WireJSON.encode(MemberRequest(admin: isAdmin, existing: true))
        _ = try send(.put, ServerAPI.path(ofGroup: name, member: user), body)
    }

    /// Takes somebody out of a group: an admin others, everyone themselves.
    public func removeMember(_ user: String, fromGroup name: String) throws(APIError) {
        _ = try perform(HTTPRequest(.delete, ServerAPI.path(ofGroup: name, member: user)))
    }

    private static func path(ofGroup name: String) -> String { "/v1/groups/" + HTTPRequest.encodeSegment(name) }

    private static func path(ofGroup name: String, member: String) -> String {
        path(ofGroup: name) + "/members/" + HTTPRequest.encodeSegment(member)
    }
}

/// Requests about whom one knows, and whom one does not want to hear from.
extension ServerAPI {
    /// The user's contacts, by name.
    public func contacts() throws(APIError) -> [UserObject] {
        let list: UserList = try decode(try get("/v1/contacts"))
        return list.users
    }

    /// Adds a contact. One that is there already stays.
    public func addContact(_ user: String) throws(APIError) { _ = try send(.put, path("contacts", user)) }

    /// Takes a contact away. One that is not there is no error.
    public func removeContact(_ user: String) throws(APIError) {
        _ = try perform(HTTPRequest(.delete, path("contacts", user)))
    }

    /// Whose personal messages the user does not take, by name.
    public func blocked() throws(APIError) -> [UserObject] {
        let list: UserList = try decode(try get("/v1/blocks"))
        return list.users
    }

    /// Takes no more personal messages from somebody.
    public func block(_ user: String) throws(APIError) { _ = try send(.put, path("blocks", user)) }

    /// Takes somebody's personal messages again.
    public func unblock(_ user: String) throws(APIError) { _ = try perform(HTTPRequest(.delete, path("blocks", user))) }

    private func path(_ list: String, _ user: String) -> String { "/v1/\(list)/\(HTTPRequest.encodeSegment(user))" }
}

/// Requests about tokens of programs, and about sessions.
extension ServerAPI {
    /// Makes a token for a program. The answer, and only that, has the token itself.
    public func createToken(_ request: TokenRequest) throws(APIError) -> TokenObject {
        let made: TokenObject = try decode(try send(.post, "/v1/tokens", WireJSON.encode(request)))
        guard made.token != nil else { throw foreign("its answer has no token") }
        return made
    }

    /// The user's tokens for programs, oldest first; or the sessions in their place.
    public func tokens(sessions: Bool) throws(APIError) -> [TokenObject] {
        let list: TokenList = try decode(try get(sessions ? "/v1/sessions" : "/v1/tokens"))
        guard let found = sessions ? list.sessions : list.tokens else { throw foreign("its answer has no list") }
        return found
    }

    /// Takes a token back, or ends a session, at once.
    ///
    /// - Throws: `not_found` where there is none of this id.
    public func revokeToken(_ id: String, session: Bool) throws(APIError) {
        let path = (session ? "/v1/sessions/" : "/v1/tokens/") + HTTPRequest.encodeSegment(id)
        _ = try perform(HTTPRequest(.delete, path))
    }
}

/// What only an admin of the server may ask for.
extension ServerAPI {
    /// All accounts, the one seen last first.
    public func accounts() throws(APIError) -> [AdminUserObject] {
        let list: AdminUserList = try decode(try get("/v1/admin/users"))
        return list.users
    }

    public func addAccount(_ request: AccountRequest) throws(APIError) -> AdminUserObject {
        try decode(try send(.post, "/v1/admin/users", WireJSON.encode(request)))
    }

    /// Changes an account; fields that are nil stay as they are.
    public func changeAccount(_ name: String, _ change: AccountChangeRequest) throws(APIError) -> AdminUserObject {
        try decode(
            try send(.patch, "/v1/admin/users/" + HTTPRequest.encodeSegment(name), WireJSON.encode(change)))
    }

    /// Everybody's sessions, oldest first.
    public func allSessions() throws(APIError) -> [TokenObject] {
        let list: TokenList = try decode(try get("/v1/admin/sessions"))
        guard let sessions = list.sessions else { throw foreign("its answer has no list") }
        return sessions
    }

    public func statistics() throws(APIError) -> StatisticsObject { try decode(try get("/v1/admin/stats")) }

    /// Makes a code with which one person can register.
    ///
    /// - Parameter expires: RFC 3339; nil for the server's choice.
    public func createInvite(expires: String?) throws(APIError) -> InviteAnswer {
        try decode(try send(.post, "/v1/admin/invites", WireJSON.encode(InviteRequest(expires: expires))))
    }

    /// What admins did, newest first.
    public func audit(limit: Int) throws(APIError) -> [AuditObject] {
        try lines(of: "/v1/admin/audit" + HTTPRequest.encodeQuery([("limit", "\(limit)")]))
    }

    /// The newest events of the service, oldest first; or those after a number.
    ///
    /// - Parameter waitSeconds: how long to wait where there are none after that number yet.
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

    /// The objects of an answer that has one a line.
    private func lines<Value: Decodable>(of path: String, timeoutMilliseconds: Int? = nil) throws(APIError) -> [Value] {
        let response = try perform(HTTPRequest(.get, path), timeoutMilliseconds: timeoutMilliseconds)
        var values: [Value] = []
        for line in response.body.split(separator: UInt8(ascii: "\n")) {
            do throws(WireJSON.Failure) {
                values.append(try WireJSON.decode(from: line))
            } catch {
                throw foreign("a line of its answer is not as it should be")
            }
        }
        return values
    }
}
