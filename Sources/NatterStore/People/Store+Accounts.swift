public import NatterModel
public import NatterSystem

extension Store {
    /// A user without requests for this long is no longer online.
    static let onlineMilliseconds: Int64 = 60_000

    /// - Parameters:
    ///   - invite: a code that the registration uses up; nil if none is required.
    ///   - session: the token of a first session, created in the same batch as the account; nil for none.
    public func register(
        _ name: UserName, password: PasswordHash, invite: Token? = nil, session: Token? = nil,
        from origin: SessionOrigin = SessionOrigin(), _ completion: @escaping Completion<AccountID>
    ) {
        change(turn: .registrations, answering: completion) { state, builder throws(StoreError) in
            var decision = Decision()
            if let invite {
                // Used up in the same batch, so a code creates one account even if several requests use it at once.
                try state.check(invite, at: builder.now)
                decision.append(.inviteRemoved(invite.digest))
            }
            let account = try builder.newAccount(name, password, seen: builder.now, state)
            decision.changes += state.adding(account)
            if let session {
                decision.append(builder.newSession(session, of: account.id, expires: nil, from: origin))
            }
            return (decision, account.id)
        }
    }

    /// Throws `badInvite` unless an invitation can be used now.
    public func check(_ invite: Token) throws(StoreError) {
        let now = clock.now()
        try state.withLock { state throws(StoreError) in try state.check(invite, at: now) }
    }

    /// Whether a name is free. Throws `badName` for an invalid name.
    public func isNameFree(_ name: String) throws(StoreError) -> Bool {
        do throws(NameError) { _ = try UserName(name) } catch { throw .badName(name, error) }
        return state.withLock { $0.account(named: name) == nil }
    }

    /// The data that a password is checked against; nil for an unknown name or a disabled account.
    public func credentials(of name: String) -> Credentials? {
        // Without it, a session could not be begun either, and that says why.
        _ = try? catchUp()
        return state.withLock { state in
            guard let account = state.account(named: name), !account.isDisabled else { return nil }
            return Credentials(
                account: account.id, name: account.name, password: PasswordHash(stored: account.passwordHash))
        }
    }

    /// - Parameter verified: the hash that the password matched. The session is refused if the hash has changed
    ///   since.
    public func addSession(
        of account: AccountID, verified: PasswordHash? = nil, expires: Timestamp?,
        from origin: SessionOrigin = SessionOrigin(), _ completion: @escaping Completion<Token>
    ) {
        let token = Token.random()
        change(turn: .account(account), answering: completion) { state, builder throws(StoreError) in
            // Checking a password takes time. Meanwhile the account may have been disabled or its password changed.
            guard let current = state.accounts[account], !current.isDisabled,
                verified.map({ $0.text == current.passwordHash }) ?? true
            else { throw .unauthorized }
            var decision = Decision(builder.newSession(token, of: account, expires: expires, from: origin))
            let surplus = state.surplusSessions(of: account)
            if !surplus.isEmpty { decision.append(.tokensRemoved(surplus)) }
            self.quotas.noteEnded(sessions: surplus.count)
            return (decision, token)
        }
    }

    public func revoke(_ token: Digest, by principal: Principal? = nil, _ completion: @escaping Completion<Void>) {
        change(by: principal, turn: .logouts, room: .kept, answering: completion) { _, _ throws(StoreError) in
            (Decision(.tokensRemoved([token])), ())
        }
    }

    /// Ends all sessions of an account, and robots' tokens that may do everything. Robots' tokens for one conversation
    /// stay.
    public func revokeSessions(by principal: Principal, _ completion: @escaping Completion<Void>) {
        change(by: principal, room: .kept, answering: completion) { state, _ throws(StoreError) in
            (state.endingSessions(of: principal.account, keeping: nil), ())
        }
    }

    /// Sets a user's own password and ends all sessions except the one that asks, and robots' tokens that may do everything.
    ///
    /// - Parameter verified: the hash that the old password matched. Checking it takes time, in which an admin may have set
    ///   another password or disabled the account.
    /// - Returns: through the completion, false if the old password has changed meanwhile.
    public func setPassword(
        _ password: PasswordHash, verified: PasswordHash, for principal: Principal,
        _ completion: @escaping Completion<Bool>
    ) {
        change(by: principal, room: .kept, answering: completion) { state, builder throws(StoreError) in
            guard state.accounts[principal.account]?.passwordHash == verified.text else { return (.nothing, false) }
            var decision = Decision(
                .accountChanged(principal.account, isDisabled: nil, isAdmin: nil, password: password.text))
            decision.changes += state.endingSessions(of: principal.account, keeping: principal.token).changes
            return (decision, true)
        }
    }

    /// Sets the name that a user chose to be shown, or none.
    ///
    /// - Parameter display: nil to leave it as it is.
    public func setDisplay(
        _ display: String??, for principal: Principal, _ completion: @escaping Completion<UserView>
    ) {
        change(by: principal, answering: completion) { state, builder throws(StoreError) in
            guard var account = state.accounts[principal.account] else { throw .unauthorized }
            guard let display, account.display != display else { return (.nothing, account.view(at: builder.now)) }
            account.display = display
            return (Decision(.displaySet(account.id, display)), account.view(at: builder.now))
        }
    }

    /// The result of looking up a token.
    public enum Authenticated: Sendable {
        case good(Principal)
        /// Nobody has it, or nobody has it any more.
        case unknown
        case expired(Timestamp)
        case disabled(UserName)
    }

    /// The account of a token, as far as this server knows, which it tells at once.
    ///
    /// A token that another server has just made is known after `catchUp`. A token that was just revoked there is
    /// refused by `catchUp` before a read, and by the writer's thread before a change.
    ///
    /// - Parameter isVisit: whether its user is here now. A page that nobody sees asks without its user.
    public func authenticate(_ token: Token, address: String, isVisit: Bool = true) -> Authenticated {
        let digest = token.digest
        let now = clock.now()
        var hasExpired = false
        // Runs after the lock is released, because forgetting a token needs the writer.
        defer { if hasExpired { forgetExpired([digest]) } }
        return state.withLock { state in
            guard let known = state.tokens[digest], let account = state.accounts[known.account] else {
                return state.expired[digest].map { .expired($0) } ?? .unknown
            }
            if account.isDisabled { return .disabled(account.name) }
            if let end = known.end(state.limits), end <= now {
                hasExpired = true
                state.expire(digest, at: end)
                return .expired(end)
            }
            // Some thousand requests a second come from one account, and nobody sees a tenth of a second.
            if isVisit,
                (account.lastSeen ?? .zero).advanced(milliseconds: 100) < now || account.lastAddress != address
            {
                state.noteVisit(of: known.account, at: now, from: address)
            }
            if (known.lastUsed ?? .zero).advanced(milliseconds: 1_000) < now || known.lastAddress != address {
                state.noteUse(of: digest, at: now, from: address)
            }
            return .good(
                Principal(
                    account: account.id, name: account.name, isAdmin: account.isAdmin, token: digest,
                    scope: known.scope, created: known.created, expires: known.expires))
        }
    }

    /// Deletes expired tokens durably. Otherwise they would be valid again after a restart or when the clock is set
    /// back.
    private func forgetExpired(_ tokens: [Digest]) {
        record(room: .kept) { _ in
            Decision(.tokensRemoved(tokens))
        } _: { [self] failure in
            if let failure, failure != .outcomeUnknown { report("cannot forget an expired token: \(failure)") }
        }
    }

    /// How long the token of a request is still good, 0 if it has ended.
    public func millisecondsLeft(of principal: Principal) -> Int64 {
        let now = clock.now()
        return state.withLock { state in
            guard state.isGood(principal, at: now) else { return 0 }
            guard let end = state.tokens[principal.token]?.end(state.limits) else { return .max }
            return end.milliseconds - now.milliseconds
        }
    }

    /// When the token of a request expired; nil if it has not.
    public func expiry(of principal: Principal) -> Timestamp? {
        let now = clock.now()
        return state.withLock { $0.tokens[principal.token]?.end($0.limits) ?? $0.expired[principal.token] }
            .flatMap { $0 <= now ? $0 : nil }
    }

    /// Notes that a request of an account began (+1) or stopped (-1) waiting. A user is online while a request waits.
    public func noteWaiting(_ account: AccountID, _ change: Int) {
        let now = clock.now()
        state.withLock { $0.noteWaiting(of: account, change, at: now) }
    }

    /// Forgets tokens that have expired. Only a server does, because a command does not know for how long sessions last here.
    public func forgetExpiredTokens() {
        let now = clock.now()
        let expired = state.withLock { state in
            let expired = state.tokens.compactMapValues { $0.end(state.limits) }.filter { $0.value <= now }
            for (token, end) in expired { state.expire(token, at: end) }
            return Array(expired.keys)
        }
        if !expired.isEmpty { forgetExpired(expired) }
    }

    /// Records when users were last seen. Called from time to time and at the end.
    public func savePresence() {
        let now = clock.now()
        let (accounts, tokens) = state.withLock { state in
            if isShared {
                // Other servers know nothing of a request that waits here. Often enough that they see no gap, but not each time.
                let limit = now.advanced(milliseconds: -Store.onlineMilliseconds / 2)
                for id in state.waiting(seenBefore: limit) {
                    state.accounts[id]?.lastSeen = now
                    state.dirtyAccounts.insert(id)
                }
            }
            defer { (state.dirtyAccounts, state.dirtyTokens) = ([], []) }
            return (state.dirtyAccounts, state.dirtyTokens)
        }
        guard !accounts.isEmpty || !tokens.isEmpty else { return }
        let failure = record { [self] _ in
            // Only now: an account may have been erased meanwhile, maybe by another server.
            let (seen, used) = state.withLock { state in
                // Another server finds a token by its account.
                let owners = isShared ? tokens.compactMap { state.tokens[$0]?.account } : []
                let seen = accounts.union(owners).compactMap { id -> Change.Visit? in
                    guard let account = state.accounts[id], !account.isErased, let time = account.lastSeen else {
                        return nil
                    }
                    return Change.Visit(number: id.rawValue, time: time, address: account.lastAddress)
                }
                let used = tokens.compactMap { state.tokens[$0] }.map {
                    Change.Visit(number: $0.number, time: $0.lastUsed ?? .zero, address: $0.lastAddress)
                }
                return (seen, used)
            }
            return seen.isEmpty && used.isEmpty ? .nothing : Decision(.visitsNoted(accounts: seen, tokens: used))
        }
        if let failure, failure != .outcomeUnknown { report("cannot record when users were last seen: \(failure)") }
    }
}

extension BatchBuilder {
    /// A new account with a free name.
    ///
    /// - Parameter seen: nil if somebody else creates the account.
    func newAccount(
        _ name: UserName, _ password: PasswordHash, isAdmin: Bool = false, seen: Timestamp?, _ state: StoreState
    ) throws(StoreError) -> Change.NewAccount {
        guard state.accountKeys[name.caseKey] == nil else { throw .nameTaken(name.text) }
        return Change.NewAccount(
            id: newAccountNumber(), name: name, password: password.text, isAdmin: isAdmin, created: now, lastSeen: seen)
    }

    fileprivate func newSession(
        _ token: Token, of account: AccountID, expires: Timestamp?, from origin: SessionOrigin
    ) -> Change {
        .tokenAdded(
            token.digest,
            TokenState(
                number: newTokenNumber(), account: account, scope: .all, label: nil, created: now, expires: expires,
                origin: origin))
    }
}

extension StoreState {
    /// What creates an account, for which all that is in 'general' counts as read.
    func adding(_ account: Change.NewAccount) -> [Change] {
        [.accountAdded(account)] + (conversations[general]?.arrival(of: account.id, account.name) ?? [])
    }

    fileprivate func check(_ invite: Token, at now: Timestamp) throws(StoreError) {
        guard let known = invites[invite.digest], known.expires > now else { throw .badInvite }
    }

    /// The changes that revoke the invitations that an account has made.
    func endingInvites(of maker: UserName) -> [Change] {
        invites.filter { $0.value.maker == maker.text }.map { .inviteRemoved($0.key) }
    }

    /// How many tokens for programs an account has.
    func robotCount(of account: AccountID) -> Int {
        accounts[account]?.tokens.count { tokens[$0]?.isRobot == true } ?? 0
    }

    /// Ends everything that can act as its owner: sessions, and robots' tokens whose scope is everything.
    func endingSessions(of account: AccountID, keeping kept: Digest?) -> Decision {
        let robots = (accounts[account]?.tokens ?? []).filter { digest in
            digest != kept && tokens[digest].map { $0.isRobot && $0.scope == .all } ?? false
        }
        var decision = Decision(.sessionsEnded(account, keeping: kept, robots: false))
        if !robots.isEmpty { decision.append(.tokensRemoved(Array(robots))) }
        return decision
    }

    /// The sessions that must end so that one more fits into the limit: those that were unused for longest.
    func surplusSessions(of account: AccountID) -> [Digest] {
        guard let limit = limits.sessions, let own = accounts[account]?.tokens, own.count >= limit else { return [] }
        let sessions = own.compactMap { digest -> (digest: Digest, used: Timestamp, number: Int64)? in
            guard let token = tokens[digest], !token.isRobot else { return nil }
            return (digest, token.lastUsed ?? token.created, token.number)
        }
        let surplus = sessions.count - max(1, limit) + 1
        guard surplus > 0 else { return [] }
        return sessions.sorted { ($0.used, $0.number) < ($1.used, $1.number) }.prefix(surplus).map(\.digest)
    }
}

extension AccountState {
    func isOnline(at now: Timestamp) -> Bool {
        if isDisabled { return false }
        guard waiting == 0 else { return true }
        guard let lastSeen else { return false }
        return lastSeen.advanced(milliseconds: Store.onlineMilliseconds) > now
    }
}
