internal import NatterSystem
internal import NatterModel
public import NatterStore
public import NatterProtocol

/// The remote administration of the server.
enum AdminRoutes {
    private static let inviteMilliseconds: Int64 = 7 * 86_400_000

    static func users(_ call: TypedCall<AccountList>, _: Administrator, _ part: ListPart) throws(APIError) {
        try call.respond(part, of: call.store.accountViews(), by: .other, \.name) {
            $0.map { AdminUserObject($0) }
        }
    }

    static func add(_ call: TypedCall<AdminUserObject>, _ asker: Administrator, _ request: AccountRequest)
        throws(APIError)
    {
        let name = try AccountRoutes.userName(request.name)
        try AccountRoutes.checkLength(request.password)
        try AccountRoutes.hash(request.password, call) { hash in
            call.store.addAccount(
                name, password: hash, isAdmin: request.admin ?? false, by: asker.name, asking: asker.principal,
                call.completion { account in
                    call.log("user_added", [("admin", asker.name), ("user", account.name)])
                    return call.reply(AdminUserObject(account), status: 201)
                })
        }
    }

    static func change(
        _ call: TypedCall<AdminUserObject>, _ asker: Administrator, _ request: AccountChangeRequest
    ) throws(APIError) {
        guard let password = request.password else { return change(call, asker, request, password: nil) }
        try AccountRoutes.checkLength(password)
        try AccountRoutes.hash(password, call) { change(call, asker, request, password: $0) }
    }

    private static func change(
        _ call: TypedCall<AdminUserObject>, _ asker: Administrator, _ request: AccountChangeRequest,
        password: PasswordHash?
    ) {
        var words: [String] = []
        if let isDisabled = request.disabled { words.append(isDisabled ? "disabled" : "enabled") }
        if let isAdmin = request.admin { words.append(isAdmin ? "promoted" : "demoted") }
        if password != nil { words.append("password") }
        let change = AccountChange(isDisabled: request.disabled, isAdmin: request.admin, password: password)
        call.store.change(
            call.name(0), change, by: asker.name, asking: asker.principal,
            call.completion { [words] account in
                var fields = [(key: "admin", value: asker.name), ("user", account.name)]
                if !words.isEmpty { fields.append(("change", words.joined(separator: ","))) }
                call.log("user_changed", fields)
                return call.reply(AdminUserObject(account))
            })
    }

    static func sessions(_ call: TypedCall<SessionList>, _ principal: Principal, _ part: ListPart) throws(APIError) {
        let sessions = call.store.tokens(of: nil, robots: false, current: principal.token)
        try call.respond(part, of: sessions, by: .numbers, { String($0.id) }) {
            $0.map { TokenObject($0, withUser: true) }
        }
    }

    static func endSession(_ call: Call, _ principal: Principal) throws(APIError) {
        let noSuchSession = APIError(.notFound, "there is no such session")
        guard let id = Int64(digits: call.parameters[0]) else { throw noSuchSession }
        call.store.endSession(
            id, by: principal,
            call.completion { user in
                guard let user else { return noSuchSession.reply }
                call.log("session_ended", [("admin", principal.name.text), ("user", user)])
                return .empty
            })
    }

    static func erase(_ call: TypedCall<EraseAnswer>, _ principal: Principal, _ request: EraseRequest) {
        call.store.erase(
            request.seqs.map { Seq($0)...Seq($0) }, in: operatorName(of: request.conversation, principal),
            id: request.conversationID, by: principal.name.text, asking: principal,
            call.completion { count in
                call.log("messages_erased", [("admin", principal.name.text), ("count", "\(count)")])
                return call.reply(EraseAnswer(erased: count))
            })
    }

    /// The name that an operator has for what the admin calls so: `@bob` is what the two wrote to each other.
    private static func operatorName(of name: String, _ principal: Principal) -> String {
        guard name.hasPrefix("@"), !name.contains(",") else { return name }
        let peer = NameRule.isMe(String(name.dropFirst())) ? "@\(principal.name.text)" : name
        return "@\(principal.name.text),\(peer)"
    }

    static func retention(_: Call, _ request: RetainRequest) throws(APIError) -> (conversation: String, Retention) {
        (Normalization.formC(request.conversation), try PeopleRoutes.retention(request.retain))
    }

    static func retain(
        _ call: TypedCall<RetentionObject>, _ principal: Principal, _ wanted: (conversation: String, Retention)
    ) {
        call.store.setRetention(
            wanted.1, of: operatorName(of: wanted.conversation, principal), by: principal.name.text, asking: principal,
            call.completion { view in
                call.log("retention_set", [("admin", principal.name.text), ("retain", view.retention.description)])
                return call.reply(RetentionObject(view))
            })
    }

    static func statistics(_ call: TypedCall<StatisticsObject>, _: Principal) {
        let counts = call.store.statistics()
        call.respond(
            call.reply(
                StatisticsObject(
                    accounts: counts.accounts, online: counts.online, sessions: counts.sessions,
                    conversations: counts.conversations, messages: counts.messages,
                    unsealedMessages: counts.unsealedMessages, journalBytes: counts.journalBytes,
                    files: counts.files, fileBytes: counts.fileBytes, waitingFiles: counts.waitingFiles,
                    commits: counts.commit, runs: counts.epochRun, connections: call.server.connectionCount,
                    waiting: call.server.waiters.count, registration: call.server.registration.rawValue,
                    certificateExpires: call.server.certificateExpires?.rfc3339,
                    limits: call.store.limits.map { LimitObject($0) })))
    }

    static func limit(_ call: Call) throws(APIError) -> Int { try call.query.limit() }

    /// The audit trail: actions of admins, newest first.
    static func audit(_ call: TypedCall<Lines<AuditObject>>, _: Principal, _ limit: Int) throws(APIError) {
        let entries = try translate(call.store.audit(limit: limit))
        call.respond(
            call.reply(
                entries.map {
                    AuditObject(time: $0.time.rfc3339, actor: $0.actor, action: $0.action, subject: $0.subject)
                }))
    }

    // MARK: Invitations

    static func inviteExpiry(_ call: Call, _ request: InviteRequest) throws(APIError) -> Timestamp {
        // A time that has passed is taken: whoever runs a server tries so what a late code does.
        return try request.expires.map(TokenRoutes.expiry) ?? call.store.now.advanced(milliseconds: inviteMilliseconds)
    }

    static func invite(_ call: TypedCall<InviteAnswer>, _ principal: Principal, _ expires: Timestamp) {
        call.store.addInvite(
            by: principal, expires: expires,
            call.completion { made in
                call.log("invite_made", [("admin", principal.name.text)])
                return call.reply(
                    InviteAnswer(id: made.view.id, invite: made.code.text, expires: expires.rfc3339), status: 201)
            })
    }

    static func invites(_ call: TypedCall<InviteList>, _: Principal, _ part: ListPart) throws(APIError) {
        try call.respond(part, of: call.store.invites(), by: .other, \.id) { invites in
            invites.map {
                InviteObject(id: $0.id, maker: $0.maker, created: $0.created.rfc3339, expires: $0.expires.rfc3339)
            }
        }
    }

    static func revokeInvite(_ call: Call, _ principal: Principal) {
        call.store.revokeInvite(
            call.parameters[0], by: principal,
            call.completion { wasThere in
                guard wasThere else { return APIError(.notFound, "there is no such invitation").reply }
                call.log("invite_revoked", [("admin", principal.name.text)])
                return .empty
            })
    }
}

extension RetentionObject {
    public init(_ view: RetentionView) {
        self.init(
            conversation: view.conversation, retain: view.retention.description, first: view.first.rawValue)
    }
}

extension LimitObject {
    public init(_ report: LimitReport) {
        self.init(name: report.kind.rawValue, limit: report.limit, refused: report.refused)
    }
}

extension AdminUserObject {
    public init(_ view: AccountView) {
        self.init(
            name: view.name, admin: view.isAdmin, disabled: view.isDisabled, online: view.isOnline,
            created: view.created.rfc3339, lastSeen: view.lastSeen?.rfc3339, address: view.lastAddress,
            fileBytes: view.fileBytes)
    }
}
