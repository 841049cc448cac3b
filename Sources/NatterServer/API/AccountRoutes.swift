internal import NatterCrypto
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Accounts and sessions.
enum AccountRoutes {
    static let all = [
        Route("POST", "v1/register", on: .loop, register),
        Route("GET", "v1/register", on: .loop, isFree),
        Route("POST", "v1/login", on: .loop, login),
        Route("POST", "v1/logout", on: .loop, isBodyOptional: true, logout),
        Route("GET", "v1/whoami", on: .loop, whoami),
        Route("POST", "v1/password", on: .loop, changePassword),
    ]

    private static func register(_ call: Call) throws(APIError) {
        let request = try call.json(RegisterRequest.self)
        let given = Normalization.formC(request.name)
        let name: UserName
        do throws(NameError) { name = try UserName(given) } catch {
            throw APIError(.badName, "the name '\(given)' \(error)")
        }
        try checkLength(request.password)
        let invite = try invitation(request, call)
        do throws(StoreError) {
            guard try call.store.isNameFree(given) else { throw StoreError.nameTaken(given) }
        } catch {
            throw APIError(error)
        }
        let isQueued = call.server.hashers.submit {
            guard let hash = PasswordHash(of: request.password) else {
                return call.respond(APIError(StoreError.busy).reply())
            }
            let token = Token.random()
            call.store.register(name, password: hash, invite: invite, session: token) { result in
                switch result {
                case .success:
                    call.server.events(
                        Event(.info, "registered", [("user", name.text), ("address", call.head.remoteAddress)]))
                    respond(with: token, of: name, call, status: 201)
                case .failure(let error): call.respond(APIError(error).reply())
                }
            }
        }
        if !isQueued { throw APIError(StoreError.busy) }
    }

    /// What the server asks of whoever wants an account.
    private static func invitation(_ request: RegisterRequest, _ call: Call) throws(APIError) -> Token? {
        switch call.server.registration {
        case .open: return nil
        case .closed: throw APIError(.registrationClosed, "this server takes no new accounts; ask its admin for one")
        case .invite:
            guard let invite = request.invite.flatMap({ Token($0) }) else { throw APIError(StoreError.badInvite) }
            return invite
        }
    }

    private static func isFree(_ call: Call) throws(APIError) {
        guard let given = call.query["name"].map(Normalization.formC) else {
            throw APIError(.badRequest, "'name' is missing")
        }
        let isFree: Bool
        do throws(StoreError) { isFree = try call.store.isNameFree(given) } catch { throw APIError(error) }
        call.respond(.json(NameAnswer(name: given, free: isFree)))
    }

    private static func login(_ call: Call) throws(APIError) {
        let request = try call.json(LoginRequest.self)
        let attempt = try call.server.logins.begin(name: request.name, address: call.head.remoteAddress)
        let isQueued = call.server.hashers.submit {
            let known = call.store.credentials(of: request.name)
            // An unknown name costs what a known one costs, so that the time says nothing.
            let isRight = (known?.password ?? PasswordHash.decoy)?.matches(request.password) ?? false
            guard let known, isRight else {
                call.server.logins.fail(attempt)
                call.server.events(
                    Event(
                        .warning, "login_failed",
                        [
                            ("user", LoginLimiter.shortened(request.name)), ("address", call.head.remoteAddress),
                        ]))
                return call.respond(APIError(.badCredentials, "the name or the password is wrong").reply())
            }
            call.server.logins.takeBack(attempt)
            let inCookie = request.cookie ?? false
            call.store.addSession(of: known.account, verified: known.password, expires: nil) { result in
                switch result {
                case .success(let token): respond(with: token, of: known.name, call, status: 200, inCookie: inCookie)
                case .failure(let error): call.respond(APIError(error).reply())
                }
            }
        }
        if !isQueued {
            call.server.logins.takeBack(attempt)
            throw APIError(StoreError.busy)
        }
    }

    /// Gives somebody the token of the session that they have begun.
    private static func respond(
        with token: Token, of name: UserName, _ call: Call, status: Int, inCookie: Bool = false
    ) {
        call.server.events(Event(.info, "session_begun", [("user", name.text), ("address", call.head.remoteAddress)]))
        var reply = Reply.json(
            SessionAnswer(name: name.text, token: inCookie ? nil : token.text), status: status, note: name.text)
        if inCookie { reply.headers.append(("Set-Cookie", cookie(token.text, seconds: 31_536_000))) }
        call.respond(reply)
    }

    private static func cookie(_ token: String, seconds: Int) -> String {
        "natter=\(token); Path=/; HttpOnly; SameSite=Strict; Max-Age=\(seconds)"
    }

    private static func logout(_ call: Call) throws(APIError) {
        let request = try call.json(LogoutRequest.self)
        let principal = try call.principal(request.all ?? false ? .all : .valid)
        let done: Completion<Void> = { result in
            switch result {
            case .success:
                var reply = Reply.json([String: String](), note: principal.name.text)
                // A page can't take back by itself a cookie that scripts don't see.
                if call.head.header("cookie") != nil { reply.headers.append(("Set-Cookie", cookie("", seconds: 0))) }
                call.respond(reply)
            case .failure(let error): call.respond(APIError(error).reply())
            }
        }
        if request.all ?? false {
            call.store.revokeSessions(of: principal.account, done)
        } else {
            call.store.revoke(principal.token, done)
        }
    }

    /// The old password is asked for again, and counts as a login does: a stolen token alone must not lock its owner out.
    private static func changePassword(_ call: Call) throws(APIError) {
        let request = try call.json(PasswordRequest.self)
        let principal = try call.principal(.all)
        try checkLength(request.new)
        let attempt = try call.server.logins.begin(name: principal.name.text, address: call.head.remoteAddress)
        let isQueued = call.server.hashers.submit {
            guard call.store.credentials(of: principal.name.text)?.password.matches(request.old) ?? false else {
                call.server.logins.fail(attempt)
                return call.respond(
                    APIError(.badCredentials, "the old password is wrong").reply(note: principal.name.text))
            }
            call.server.logins.takeBack(attempt)
            guard let hash = PasswordHash(of: request.new) else {
                return call.respond(APIError(StoreError.busy).reply())
            }
            call.store.setPassword(hash, of: principal.account, keeping: principal.token) { result in
                switch result {
                case .success:
                    call.server.events(Event(.info, "password_changed", [("user", principal.name.text)]))
                    call.respond(.json([String: String](), note: principal.name.text))
                case .failure(let error): call.respond(APIError(error).reply(note: principal.name.text))
                }
            }
        }
        if !isQueued {
            call.server.logins.takeBack(attempt)
            throw APIError(StoreError.busy)
        }
    }

    static func checkLength(_ password: String) throws(APIError) {
        guard Limits.passwordBytes.contains(password.utf8.count) else {
            throw APIError(
                .weakPassword,
                "a password has \(Limits.passwordBytes.lowerBound) to \(Limits.passwordBytes.upperBound) bytes")
        }
    }

    private static func whoami(_ call: Call) throws(APIError) {
        let principal = try call.principal(.valid)
        call.respond(
            .json(
                WhoamiAnswer(
                    name: principal.name.text, admin: principal.isAdmin, scope: principal.scope.description,
                    created: principal.created.rfc3339, expires: principal.expires?.rfc3339),
                note: principal.name.text))
    }

    /// Makes the hash that unknown names are checked against.
    static func prepareDecoy(_ hashers: WorkerPool) {
        _ = hashers.submit { _ = PasswordHash.decoy }
    }
}
