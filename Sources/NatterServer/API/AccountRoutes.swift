internal import NatterSystem
internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Accounts and sessions.
enum AccountRoutes {
    static func register(_ call: TypedCall<SessionAnswer>, _: Void, _ request: RegisterRequest) throws(APIError) {
        let origin = try origin(host: request.host, program: request.program, call)
        let name = try userName(request.name)
        try checkLength(request.password)
        let invite = try invitation(request.invite, call)
        try checkSite(of: call, asksForCookie: request.cookie)
        guard try translate(call.store.isNameFree(name.text)) else { throw APIError(StoreError.nameTaken(name.text)) }
        try hash(request.password, call) { hash in
            let token = Token.random()
            call.store.register(
                name, password: hash, invite: invite, session: token, from: origin,
                call.completion { _ in
                    call.log("registered", [("user", name.text), ("address", call.head.remoteAddress)])
                    return sessionReply(token, of: name, call, status: 201, inCookie: request.cookie ?? false)
                })
        }
    }

    /// A valid account name, in normalization form C.
    static func userName(_ text: String) throws(APIError) -> UserName {
        let text = Normalization.formC(text)
        do throws(NameError) { return try UserName(text) } catch { throw APIError(StoreError.badName(text, error)) }
    }

    static func checkLength(_ password: String) throws(APIError) {
        guard Limits.passwordBytes.contains(password.utf8.count) else {
            throw APIError(.weakPassword, Limits.passwordRule)
        }
    }

    /// Reads the invitation that a registration needs. Returns nil if the server needs none.
    ///
    /// A client that has none must not make the server hash a password.
    private static func invitation(_ code: String?, _ call: TypedCall<some Sendable>) throws(APIError) -> Token? {
        switch call.server.registration {
        case .open: return nil
        case .closed: throw APIError(.registrationClosed, "this server takes no new accounts; ask its admin for one")
        case .invite:
            guard let code, !code.isEmpty else {
                throw APIError(
                    .registrationClosed,
                    "registration needs an invitation; ask an admin for a code, and give it with --invite CODE or as "
                        + "'invite'")
            }
            guard let invite = Token(code) else { throw APIError(StoreError.badInvite) }
            try translate(call.store.check(invite))
            return invite
        }
    }

    /// Hashes a password on a hashing thread, then calls `body`. The reply is 503 if too many hashes wait or memory is
    /// short.
    static func hash(
        _ password: String, _ call: TypedCall<some Sendable>, _ body: @escaping @Sendable (PasswordHash) -> Void
    ) throws(APIError) {
        try call.server.hashers.begin(call.exchange, for: call.exchange.network) {
            guard let hash = PasswordHash(of: password) else { return call.respond(APIError(StoreError.busy)) }
            body(hash)
        }
    }

    static func name(_ call: Call) throws(APIError) -> String {
        guard let name = try call.query.name("name") else { throw APIError(.badRequest, "'name' is missing") }
        return name
    }

    /// Only whoever may register may ask. Others would learn who has an account.
    static func isFree(_ call: TypedCall<NameAnswer>, _: Void, _ name: String) throws(APIError) {
        _ = try invitation(call.query.given("invite"), call)
        call.respond(call.reply(NameAnswer(name: name, free: try translate(call.store.isNameFree(name)))))
    }

    // MARK: Passwords

    static func login(_ call: TypedCall<SessionAnswer>, _: Void, _ request: LoginRequest) throws(APIError) {
        let origin = try origin(host: request.host, program: request.program, call)
        try checkSite(of: call, asksForCookie: request.cookie)
        // Cut before the limiter and the store compare it: comparing, too, takes time that grows with the square.
        let name = Normalization.formC(request.name)
        try verify(request.password, of: name, call) { known in
            let inCookie = request.cookie ?? false
            call.store.addSession(
                of: known.account, verified: known.password, expires: nil, from: origin,
                call.completion { sessionReply($0, of: known.name, call, status: 200, inCookie: inCookie) })
        } orElse: {
            call.log(
                "login_failed", level: .warning,
                [("user", LoginLimiter.shortened(name)), ("address", call.head.remoteAddress)])
            call.respond(APIError(.badCredentials, "the name or the password is wrong"))
        }
    }

    /// Asks for the old password and counts a wrong one as a failed login. A stolen token alone must not be enough to
    /// lock its owner out.
    static func changePassword(_ call: TypedCall<RemainingTokens>, _ principal: Principal, _ request: PasswordRequest)
        throws(APIError)
    {
        try checkLength(request.new)
        let wrong = APIError(.badCredentials, "the old password is wrong")
        try verify(request.old, of: principal.name.text, call) { known in
            guard let hash = PasswordHash(of: request.new) else { return call.respond(APIError(StoreError.busy)) }
            call.store.setPassword(
                hash, verified: known.password, for: principal,
                call.completion { isSet in
                    guard isSet else { return wrong.reply }
                    call.log("password_changed", [("user", principal.name.text)])
                    return remainingTokens(of: principal, call)
                })
        } orElse: {
            call.respond(wrong)
        }
    }

    static func display(_ call: Call, _ request: DisplayRequest) throws(APIError) -> String?? {
        try label(request.display, "display", Limits.displayCharacters)
    }

    /// A text that is shown beside a name. nil is to stay as it is.
    static func label(_ given: String??, _ field: String, _ length: ClosedRange<Int>) throws(APIError) -> String?? {
        guard let text = given ?? nil else { return given }
        guard length.contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
            throw APIError(.badName, "'\(field)' has 1 to \(length.upperBound) characters, none of them U+0000")
        }
        return text
    }

    static func setDisplay(_ call: TypedCall<UserObject>, _ principal: Principal, _ display: String??) {
        call.store.setDisplay(display, for: principal, call.completion { call.reply(UserObject($0)) })
    }

    /// What the operator's 'user erase' does, by the owner of the account. The audit trail has its number in place of the name.
    static func delete(_ call: TypedCall<EraseAnswer>, _ principal: Principal, _ request: AccountDeletion)
        throws(APIError)
    {
        try verify(request.password, of: principal.name.text, call) { known in
            call.store.eraseAccount(
                principal.name.text, by: "#\(principal.account.rawValue)", asking: (principal, known.password),
                call.completion { count in
                    call.log("account_deleted", [("user", principal.name.text), ("count", "\(count)")])
                    return call.reply(EraseAnswer(erased: count))
                })
        } orElse: {
            call.respond(APIError(.badCredentials, "the password is wrong"))
        }
    }

    /// Checks a password on a hashing thread, then calls `succeed` or `fail` there.
    ///
    /// - Throws: 429 after too many wrong passwords, or as ``WorkerPool/begin(_:for:orElse:_:)``.
    private static func verify(
        _ password: String, of name: String, _ call: TypedCall<some Sendable>,
        then succeed: @escaping @Sendable (Credentials) -> Void, orElse fail: @escaping @Sendable () -> Void
    ) throws(APIError) {
        let logins = call.server.logins
        let attempt = try logins.begin(name: name, address: call.head.remoteAddress)
        do throws(APIError) {
            try call.server.hashers.begin(call.exchange, for: call.exchange.network) {
                logins.cancel(attempt)
            } _: {
                let known = call.store.credentials(of: name)
                // An unknown name takes as long as a known one, so that the response time does not reveal which names
                // exist.
                let isRight = (known?.password ?? .decoy).matches(password)
                guard let known, isRight else {
                    logins.fail(attempt)
                    return fail()
                }
                logins.cancel(attempt)
                succeed(known)
            }
        } catch {
            logins.cancel(attempt)
            throw error
        }
    }

    // MARK: Sessions

    /// The length of a host or program that a client names: that of the longest host name.
    private static let originBytes = 255

    /// The host and the program that the client names. A client that names no program is known by its `User-Agent`.
    private static func origin(
        host: String?, program: String?, _ call: TypedCall<some Sendable>
    ) throws(APIError) -> SessionOrigin {
        for case (let field, let value?) in [("host", host), ("program", program)] {
            guard value.utf8.count <= originBytes else {
                throw APIError(.badRequest, "'\(field)' has at most \(originBytes) bytes")
            }
            guard !value.hasControlCharacter else {
                throw APIError(.badRequest, "'\(field)' may not contain control characters")
            }
        }
        return SessionOrigin(host: host, program: program ?? call.head.header("user-agent").map(program(ofAgent:)))
    }

    /// As much of the header as a program's name may have.
    private static func program(ofAgent agent: String) -> String {
        var name = String(
            String.UnicodeScalarView(agent.unicodeScalars.filter { $0.properties.generalCategory != .control }))
        while name.utf8.count > originBytes { name.unicodeScalars.removeLast() }
        return name
    }

    /// The reply that gives a new session's token to its user.
    private static func sessionReply(
        _ token: Token, of name: UserName, _ call: TypedCall<SessionAnswer>, status: Int, inCookie: Bool
    ) -> Reply {
        call.log("session_begun", [("user", name.text), ("address", call.head.remoteAddress)])
        // A session begins with a visit, even if its token is never used.
        _ = call.store.authenticate(token, address: call.head.remoteAddress)
        var reply = call.reply(SessionAnswer(name: name.text, token: inCookie ? nil : token.text), status: status)
        reply.note = name.text
        if inCookie { reply.headers.append(("Set-Cookie", cookie(token.text, seconds: 31_536_000, call))) }
        return reply
    }

    /// - Throws: 403 if a page of another site asks for a cookie. It would log its reader in as somebody else.
    private static func checkSite(of call: TypedCall<some Sendable>, asksForCookie: Bool?) throws(APIError) {
        guard asksForCookie == true, let site = call.head.header("sec-fetch-site"),
            site != "same-origin", site != "none"
        else { return }
        throw APIError(.forbidden, "a page of another site cannot begin a session by cookie")
    }

    private static func cookie(_ token: String, seconds: Int, _ call: TypedCall<some Sendable>) -> String {
        let name = Authentication.cookieName(of: call.store.id)
        let secure = isOverTLS(call) ? "; Secure" : ""
        return "\(name)=\(token); Path=/; HttpOnly; SameSite=Strict; Max-Age=\(seconds)\(secure)"
    }

    /// Whether the browser reached the server over TLS, its own or that of a proxy.
    private static func isOverTLS(_ call: TypedCall<some Sendable>) -> Bool {
        if call.server.options.identity != nil { return true }
        return call.head.isProxied && call.head.header("x-forwarded-proto")?.lowercased() != "http"
    }

    static func logout(_ call: TypedCall<RemainingTokens>, _ principal: Principal, _ request: LogoutRequest) {
        let isAll = request.all ?? false
        let completion: Completion<Void> = call.completion {
            var reply = isAll ? remainingTokens(of: principal, call) : Reply.empty
            // Scripts don't see the cookie, so a page can't remove it by itself. Beside another token it may be of another account.
            if call.head.header("authorization") == nil {
                reply.headers.append(("Set-Cookie", cookie("", seconds: 0, call)))
            }
            // For the page, which sends this header: what the browser has cached goes, too.
            if call.head.header("natter-request") != nil { reply.headers.append(("Clear-Site-Data", "\"cache\"")) }
            return reply
        }
        if isAll {
            call.store.revokeSessions(by: principal, completion)
        } else {
            call.store.revoke(principal.token, by: principal, completion)
        }
    }

    /// The other tokens for programs that are still good, so that their owner does not forget them. An empty object if there
    /// is none.
    private static func remainingTokens(of principal: Principal, _ call: TypedCall<RemainingTokens>) -> Reply {
        let tokens = call.store.tokens(of: principal.account, robots: true, current: principal.token)
            .filter { !$0.isCurrent }.map { TokenObject($0) }
        return tokens.isEmpty ? .empty : call.reply(RemainingTokens(tokens: tokens))
    }

    static func whoami(_ call: TypedCall<WhoamiAnswer>, _ principal: Principal) {
        call.respond(
            call.reply(
                WhoamiAnswer(
                    name: principal.name.text, admin: principal.isAdmin, scope: principal.scope.description,
                    created: principal.created.rfc3339, expires: principal.expires?.rfc3339)))
    }
}
