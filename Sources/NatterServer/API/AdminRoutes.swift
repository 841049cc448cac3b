internal import NatterCrypto
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// What a server's admin can do from afar.
enum AdminRoutes {
    static let all = [
        Route("GET", "v1/admin/users", on: .loop, users),
        Route("POST", "v1/admin/users", on: .loop, add),
        Route("PATCH", "v1/admin/users/*", on: .loop, isBodyOptional: true, change),
        Route("GET", "v1/admin/sessions", on: .loop, sessions),
        Route("GET", "v1/admin/stats", on: .loop, statistics),
        Route("GET", "v1/admin/log", on: .loop, LogRoutes.log),
        Route("GET", "v1/admin/audit", audit),
        Route("POST", "v1/admin/invites", on: .loop, isBodyOptional: true, invite),
    ]

    private static let inviteMilliseconds: Int64 = 7 * 86_400_000

    static func admin(_ call: Call) throws(APIError) -> Principal {
        let principal = try call.principal(.all)
        guard principal.isAdmin else { throw APIError(.forbidden, "only an admin of the server may do this") }
        return principal
    }

    private static func users(_ call: Call) throws(APIError) {
        _ = try call.query.limit()
        let principal = try admin(call)
        let objects = call.store.accountViews().map { AdminUserObject($0) }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(AdminUserList(users: objects, more: false, next: objects.last?.name), note: principal.name.text))
    }

    private static func add(_ call: Call) throws(APIError) {
        let request = try call.json(AccountRequest.self)
        let principal = try admin(call)
        let given = Normalization.formC(request.name)
        let name: UserName
        do throws(NameError) { name = try UserName(given) } catch {
            throw APIError(.badName, "the name '\(given)' \(error)")
        }
        try AccountRoutes.checkLength(request.password)
        try hashed(request.password, call) { hash in
            call.store.addAccount(name, password: hash, isAdmin: request.admin ?? false, by: principal.name.text) {
                respond($0, status: 201, call, principal, "user_added")
            }
        }
    }

    private static func change(_ call: Call) throws(APIError) {
        let request = try call.json(AccountChangeRequest.self)
        let principal = try admin(call)
        let change = AccountChange(isDisabled: request.disabled, isAdmin: request.admin)
        var words: [String] = []
        if let isDisabled = request.disabled { words.append(isDisabled ? "disabled" : "enabled") }
        if let isAdmin = request.admin { words.append(isAdmin ? "promoted" : "demoted") }
        if request.password != nil { words.append("password") }
        let what = words.joined(separator: ",")
        guard let password = request.password else {
            return call.store.change(call.name(0), change, by: principal.name.text, action: nil) {
                respond($0, status: 200, call, principal, "user_changed", what)
            }
        }
        try AccountRoutes.checkLength(password)
        try hashed(password, call) { hash in
            var change = change
            change.password = hash
            call.store.change(call.name(0), change, by: principal.name.text, action: nil) {
                respond($0, status: 200, call, principal, "user_changed", what)
            }
        }
    }

    private static func hashed(
        _ password: String, _ call: Call, _ body: @escaping @Sendable (PasswordHash) -> Void
    ) throws(APIError) {
        let isQueued = call.server.hashers.submit {
            guard let hash = PasswordHash(of: password) else { return call.respond(APIError(StoreError.busy).reply()) }
            body(hash)
        }
        if !isQueued { throw APIError(StoreError.busy) }
    }

    private static func respond(
        _ result: Result<AccountView, StoreError>, status: Int, _ call: Call, _ principal: Principal, _ event: String,
        _ change: String = ""
    ) {
        switch result {
        case .success(let account):
            let fields = [("admin", principal.name.text), ("user", account.name)]
            call.server.events(Event(.info, event, change.isEmpty ? fields : fields + [("change", change)]))
            call.respond(.json(AdminUserObject(account), status: status, note: principal.name.text))
        case .failure(let error): call.respond(APIError(error).reply(note: principal.name.text))
        }
    }

    private static func sessions(_ call: Call) throws(APIError) {
        _ = try call.query.limit()
        let principal = try admin(call)
        let objects = call.store.tokens(of: nil, robots: false, current: principal.token).map {
            TokenObject($0, withUser: true)
        }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(
                TokenList(tokens: nil, sessions: objects, more: false, next: objects.last?.id),
                note: principal.name.text))
    }

    private static func statistics(_ call: Call) throws(APIError) {
        let principal = try admin(call)
        let counts = call.store.statistics()
        call.respond(
            .json(
                StatisticsObject(
                    accounts: counts.accounts, online: counts.online, sessions: counts.sessions,
                    conversations: counts.conversations, messages: counts.messages,
                    unsealedMessages: counts.unsealedMessages, journalBytes: counts.journalBytes,
                    commits: counts.commit, runs: counts.epochRun, connections: call.server.connectionCount,
                    waiting: call.server.waiters.count), note: principal.name.text))
    }

    /// What admins did, newest first.
    private static func audit(_ call: Call) throws(APIError) {
        let limit = try call.query.limit()
        let principal = try admin(call)
        let entries: [AuditEntry]
        do throws(StoreError) { entries = try call.store.audit(limit: limit) } catch { throw APIError(error) }
        call.respond(
            lines: entries.map {
                AuditObject(time: $0.time.rfc3339, actor: $0.actor, action: $0.action, subject: $0.subject)
            }, note: principal.name.text)
    }

    private static func invite(_ call: Call) throws(APIError) {
        let request = try call.json(InviteRequest.self)
        let expires: Timestamp
        if let text = request.expires {
            guard let time = Timestamp(rfc3339: text) else {
                throw APIError(.badRequest, "'expires' must be a time of RFC 3339")
            }
            expires = time
        } else {
            expires = call.store.now.advanced(milliseconds: inviteMilliseconds)
        }
        let principal = try admin(call)
        call.store.addInvite(by: principal.name.text, expires: expires) { result in
            switch result {
            case .success(let code):
                call.server.events(Event(.info, "invite_made", [("admin", principal.name.text)]))
                call.respond(
                    .json(
                        InviteAnswer(invite: code.text, expires: expires.rfc3339), status: 201,
                        note: principal.name.text))
            case .failure(let error): call.respond(APIError(error).reply(note: principal.name.text))
            }
        }
    }
}
