internal import NatterConversation
public import NatterSystem
internal import NatterSQLite
public import NatterModel

/// An account as an admin sees it.
public struct AccountView: Sendable, Equatable {
    public let name: String
    public let isAdmin: Bool
    public let isDisabled: Bool
    public let created: Timestamp
    public let lastSeen: Timestamp?
    public let lastAddress: String?
    public let isOnline: Bool
    /// How many bytes its files have.
    public let fileBytes: UInt64
}

/// An action of an admin or operator, and the account or thing that it affected.
public struct AuditEntry: Sendable, Equatable {
    public let time: Timestamp
    public let actor: String
    /// `user_disabled`, `user_promoted` …
    public let action: String
    public let subject: String
}

/// An invitation, without its code.
public struct InviteView: Sendable, Equatable {
    /// The beginning of the code's hash, which does not reveal the code.
    public let id: String
    public let maker: String
    public let created: Timestamp
    public let expires: Timestamp

    init(_ digest: Digest, _ invite: Change.Invite) {
        (id, maker, created, expires) = (InviteView.id(of: digest), invite.maker, invite.created, invite.expires)
    }

    fileprivate static func id(of digest: Digest) -> String { String(digest.description.prefix(16)) }
}

/// A change of an account; nil leaves a field unchanged.
public struct AccountChange: Sendable {
    public var isDisabled: Bool?
    public var isAdmin: Bool?
    public var password: PasswordHash?

    public init(isDisabled: Bool? = nil, isAdmin: Bool? = nil, password: PasswordHash? = nil) {
        (self.isDisabled, self.isAdmin, self.password) = (isDisabled, isAdmin, password)
    }
}

extension Store {
    /// Creates an account for somebody else. One batch does all of it, so a new admin is never visible as an ordinary
    /// user.
    ///
    /// - Parameter principal: the admin who asks; nil for the operator.
    public func addAccount(
        _ name: UserName, password: PasswordHash, isAdmin: Bool, by actor: String, asking principal: Principal?,
        _ completion: @escaping Completion<AccountView>
    ) {
        change(answering: viewing(name.text, completion)) { state, builder throws(StoreError) in
            try Authority.checkAdmin(principal, at: builder.now, state)
            let account = try builder.newAccount(name, password, isAdmin: isAdmin, seen: nil, state)
            var decision = Decision(builder.audited(actor, "user_added", name.text))
            decision.changes += state.adding(account)
            return (decision, account.id)
        }
    }

    /// Changes an account. Disabling it or setting its password ends all its sessions at once. Disabling or demoting it
    /// revokes its invitations. Enabling or promoting it restores nothing. The last admin can neither disable nor demote
    /// themselves, because after that only the operator could make another.
    ///
    /// - Parameter principal: the admin who asks; nil for the operator.
    public func change(
        _ name: String, _ change: AccountChange, by actor: String, asking principal: Principal?,
        _ completion: @escaping Completion<AccountView>
    ) {
        let isLockout = change.isDisabled != false && change.isAdmin != true
        self.change(room: isLockout ? .kept : .ordinary, answering: viewing(name, completion)) {
            state, builder throws(StoreError) in
            try Authority.checkAdmin(principal, at: builder.now, state)
            guard let account = state.account(named: name) else { throw .noSuchUser(name) }
            guard !account.isErased else {
                throw .forbidden("the account '\(account.name.text)' was erased for good; nothing brings it back")
            }
            // A value that is set already is neither stored nor audited again.
            var change = change
            if change.isDisabled == account.isDisabled { change.isDisabled = nil }
            if change.isAdmin == account.isAdmin { change.isAdmin = nil }
            if change.isDisabled == nil, change.isAdmin == nil, change.password == nil { return (.nothing, account.id) }
            // An admin who changes somebody else remains one.
            if account.id == principal?.account, change.isDisabled == true || change.isAdmin == false {
                try state.checkOtherAdmin(than: account)
            }
            var decision = Decision(
                .accountChanged(
                    account.id, isDisabled: change.isDisabled, isAdmin: change.isAdmin, password: change.password?.text)
            )
            // Disabling revokes all robots' tokens, a new password only those that may do everything.
            if change.isDisabled == true {
                decision.append(.sessionsEnded(account.id, keeping: nil, robots: true))
            } else if change.password != nil {
                decision.changes += state.endingSessions(of: account.id, keeping: nil).changes
            }
            if change.isDisabled == true || change.isAdmin == false {
                decision.changes += state.endingInvites(of: account.name)
            }
            for word in Store.actions(change) {
                decision.append(builder.audited(actor, word, account.name.text))
            }
            return (decision, account.id)
        }
    }

    /// Passes on an account as it is after its change.
    private func viewing(_ name: String, _ completion: @escaping Completion<AccountView>) -> Completion<AccountID> {
        { [self] changed in
            completion(
                changed.flatMap { id in
                    let now = clock.now()
                    let view = state.withLock { $0.accounts[id]?.adminView(at: now, $0.files) }
                    return view.map { .success($0) } ?? .failure(.noSuchUser(name))
                })
        }
    }

    private static func actions(_ change: AccountChange) -> [String] {
        var actions: [String] = []
        if let isDisabled = change.isDisabled { actions.append(isDisabled ? "user_disabled" : "user_enabled") }
        if let isAdmin = change.isAdmin { actions.append(isAdmin ? "user_promoted" : "user_demoted") }
        if change.password != nil { actions.append("password_set") }
        return actions
    }

    /// Records an action that changes no account. A failure is reported and otherwise ignored, so that an operator
    /// can still work on a store that has problems.
    public func recordAudit(by actor: String, _ action: String, _ subject: String) {
        if onlyReads { return }
        let failure = record { Decision($0.audited(actor, action, subject)) }
        if let failure { report("cannot record '\(action)' by \(actor): \(failure)") }
    }

    /// Actions of admins and operators, newest first.
    public func audit(limit: Int) throws(StoreError) -> [AuditEntry] {
        try reading { reader in
            try reader.connection.rows(
                "SELECT time,actor,action,subject FROM audit ORDER BY number DESC LIMIT ?", limit
            ) {
                AuditEntry(
                    time: Timestamp(milliseconds: $0.int64(0)), actor: $0.text(1), action: $0.text(2),
                    subject: $0.text(3))
            }
        }
    }

    // MARK: Invitations

    /// Creates a code that lets one person register. It is shown once; the store keeps only a hash.
    public func addInvite(
        by principal: Principal, expires: Timestamp,
        _ completion: @escaping Completion<(code: Token, view: InviteView)>
    ) {
        let code = Token.random()
        change(answering: completion) { state, builder throws(StoreError) in
            try Authority.checkAdmin(principal, at: builder.now, state)
            let maker = principal.name.text
            let invite = Change.Invite(maker: maker, created: builder.now, expires: expires)
            let decision = Decision(.inviteAdded(code.digest, invite), builder.audited(maker, "invite_made", ""))
            return (decision, (code, InviteView(code.digest, invite)))
        }
    }

    /// Invitations that can still be used, oldest first.
    public func invites() -> [InviteView] {
        let now = clock.now()
        let valid = state.withLock { state in state.invites.filter { $0.value.expires > now } }
        return valid.map { InviteView($0.key, $0.value) }.sorted { ($0.created, $0.id) < ($1.created, $1.id) }
    }

    /// Revokes an invitation.
    ///
    /// - Returns: through the completion, false if no invitation has this id.
    public func revokeInvite(_ id: String, by principal: Principal, _ completion: @escaping Completion<Bool>) {
        change(room: .kept, answering: completion) { state, builder throws(StoreError) in
            try Authority.checkAdmin(principal, at: builder.now, state)
            guard let (digest, invite) = state.invites.first(where: { InviteView.id(of: $0.key) == id }) else {
                return (.nothing, false)
            }
            let admin = principal.name.text
            return (Decision(.inviteRemoved(digest), builder.audited(admin, "invite_revoked", invite.maker)), true)
        }
    }
}

extension StoreState {
    /// Throws if no other account that may log in is an admin of the server.
    func checkOtherAdmin(than account: AccountState) throws(StoreError) {
        let hasOther = accounts.values.contains { $0.isAdmin && !$0.isDisabled && $0.id != account.id }
        if !hasOther { throw .lastServerAdmin(account.name.text) }
    }
}
