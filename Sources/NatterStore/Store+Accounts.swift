internal import NatterLanguage
internal import NatterSystem
internal import NatterSQLite
public import NatterCrypto
public import NatterModel

extension Store {
    /// A user without requests for this long is no longer online.
    static let onlineMilliseconds: Int64 = 60_000
    /// How often visits are written to disk.
    static let presenceMilliseconds: Int64 = 60_000

    /// - Parameters:
    ///   - invite: a code that the registration uses up; nil if none is required.
    ///   - session: the token of a first session, created in the same batch as the account; nil for none.
    public func register(
        _ name: UserName, password: PasswordHash, invite: Token? = nil, session: Token? = nil,
        _ completion: @escaping Completion<AccountID>
    ) {
        let made = Box<AccountID>()
        change { state, builder throws(StoreError) in
            var decision = Decision()
            if let invite {
                // Used up in the same batch, so a code creates one account even if several requests use it at once.
                guard let expires = state.invites[invite.digest], expires > builder.now else { throw .badInvite }
                decision.append(.inviteUsed(invite.digest))
            }
            let account = try builder.newAccount(name, password, seen: builder.now, state)
            made.value = account.id
            decision.append(.accountAdded(account))
            if let session { decision.append(builder.newSession(session, of: account.id, expires: nil)) }
            return decision
        } _: { error in
            completion(Store.result(error, made.value))
        }
    }

    /// Whether a name is free. Throws `badName` for an invalid name.
    public func isNameFree(_ name: String) throws(StoreError) -> Bool {
        do throws(NameError) { _ = try UserName(name) } catch { throw .badName(name, error) }
        return state.withLock { $0.account(named: name) == nil }
    }

    /// The data that a password is checked against; nil for an unknown name or a disabled account.
    public func credentials(of name: String) -> Credentials? {
        catchUp()
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
        _ completion: @escaping Completion<Token>
    ) {
        let token = Token.random()
        change { state, builder throws(StoreError) in
            // Checking a password takes time. Meanwhile the account may have been disabled or its password changed.
            guard let current = state.accounts[account], !current.isDisabled,
                verified.map({ $0.text == current.passwordHash }) ?? true
            else { throw .unauthorized }
            return Decision(builder.newSession(token, of: account, expires: expires))
        } _: { error in
            completion(Store.result(error, token))
        }
    }

    public func revoke(_ token: Digest, _ completion: @escaping Completion<Void>) {
        change { _, _ throws(StoreError) in
            Decision(.tokensRemoved([token]))
        } _: { error in
            completion(Store.result(error, ()))
        }
    }

    /// Ends all sessions of an account. Tokens of robots stay.
    public func revokeSessions(of account: AccountID, _ completion: @escaping Completion<Void>) {
        change { _, _ throws(StoreError) in
            Decision(.sessionsEnded(account, keeping: nil, robots: false))
        } _: { error in
            completion(Store.result(error, ()))
        }
    }

    /// Sets a password and ends all sessions except one.
    public func setPassword(
        _ password: PasswordHash, of account: AccountID, keeping session: Digest?,
        _ completion: @escaping Completion<Void>
    ) {
        change { _, _ throws(StoreError) in
            Decision(
                .accountChanged(account, isDisabled: nil, isAdmin: nil, password: password.text),
                .sessionsEnded(account, keeping: session, robots: false))
        } _: { error in
            completion(Store.result(error, ()))
        }
    }

    /// The account of a token; nil if the token is unknown or expired, or the account is disabled. Counts as a visit.
    /// Every request begins with this, so that it sees everything that other servers have acknowledged before.
    public func principal(of token: Token, address: String) -> Principal? {
        catchUp()
        let digest = token.digest
        let now = clock.now()
        var hasExpired = false
        // Runs after the lock is released, because forgetting a token needs the writer.
        defer { if hasExpired { forgetExpired([digest]) } }
        return state.withLock { state in
            guard let known = state.tokens[digest], let account = state.accounts[known.account], !account.isDisabled
            else { return nil }
            if let expires = known.expires, expires <= now {
                hasExpired = true
                state.tokens[digest] = nil
                return nil
            }
            if account.lastSeen != now || account.lastAddress != address {
                state.accounts[known.account]?.lastSeen = now
                state.accounts[known.account]?.lastAddress = address
                state.accounts[known.account]?.isPresenceDirty = true
            }
            if (known.lastUsed ?? .zero).advanced(milliseconds: 1_000) < now || known.lastAddress != address {
                state.tokens[digest]?.lastUsed = now
                state.tokens[digest]?.lastAddress = address
                state.tokens[digest]?.isUseDirty = true
            }
            return Principal(
                account: account.id, name: account.name, isAdmin: account.isAdmin, token: digest, scope: known.scope,
                scopeID: known.scopeID, created: known.created, expires: known.expires)
        }
    }

    /// Deletes expired tokens durably. Otherwise they would be valid again after a restart or when the clock is set
    /// back.
    private func forgetExpired(_ tokens: [Digest]) {
        record { _ in
            Decision(.tokensRemoved(tokens))
        } _: { [self] failure in
            if let failure, failure != .outcomeUnknown { report("cannot forget an expired token: \(failure)") }
        }
    }

    /// Notes that a request of an account began (+1) or stopped (-1) waiting. A user is online while a request waits.
    public func noteWaiting(_ account: AccountID, _ change: Int) {
        let now = clock.now()
        state.withLock { state in
            state.accounts[account]?.waiting += change
            state.accounts[account]?.lastSeen = now
            state.accounts[account]?.isPresenceDirty = true
        }
    }

    public func users(_ query: UserQuery) -> UserPage {
        let now = clock.now()
        let pattern = query.pattern.map { NameRule.caseKey($0) }
        let after = query.after.map { NameRule.caseKey($0) }
        var found = state.withLock { state in
            state.accounts.values.filter { account in
                guard !account.isDisabled else { return false }
                if let after, !NameRule.caseKey(after).utf8.lexicographicallyPrecedes(account.name.caseKey.utf8) {
                    return false
                }
                if let pattern, !pattern.isEmpty, !account.name.caseKey.contains(pattern) { return false }
                return !query.onlineOnly || account.isOnline(at: now)
            }
        }
        found.sort { $0.name.caseKey.utf8.lexicographicallyPrecedes($1.name.caseKey.utf8) }
        let page = found.prefix(query.limit)
        return UserPage(
            users: page.map { UserView(name: $0.name.text, isOnline: $0.isOnline(at: now), lastSeen: $0.lastSeen) },
            more: found.count > page.count, next: page.last?.name.text ?? query.after)
    }

    /// Records when users were last seen and forgets expired tokens. Called once a minute and at the end.
    public func savePresence() {
        let now = clock.now()
        let expired = state.withLock { state in
            let expired = state.tokens.filter { $0.value.expires.map { $0 <= now } ?? false }.map(\.key)
            for token in expired { state.tokens[token] = nil }
            return expired
        }
        if !expired.isEmpty { forgetExpired(expired) }
        let (seen, used) = state.withLock { state in
            var seen: [Change.Visit] = []
            for (id, account) in state.accounts where account.isPresenceDirty {
                seen.append(
                    Change.Visit(
                        number: id.rawValue, time: account.lastSeen ?? .zero, address: account.lastAddress))
                state.accounts[id]?.isPresenceDirty = false
            }
            var used: [Change.Visit] = []
            for (digest, token) in state.tokens where token.isUseDirty {
                used.append(
                    Change.Visit(number: token.number, time: token.lastUsed ?? .zero, address: token.lastAddress))
                state.tokens[digest]?.isUseDirty = false
            }
            return (seen, used)
        }
        guard !seen.isEmpty || !used.isEmpty else { return }
        let failure = record { _ in Decision(.visitsNoted(accounts: seen, tokens: used)) }
        if let failure, failure != .outcomeUnknown { report("cannot record when users were last seen: \(failure)") }
    }

    private static func result<Value>(_ error: StoreError?, _ value: Value?) -> Result<Value, StoreError> {
        if let error { return .failure(error) }
        guard let value else { return .failure(.failed("the store gave no answer")) }
        return .success(value)
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

    fileprivate func newSession(_ token: Token, of account: AccountID, expires: Timestamp?) -> Change {
        .tokenAdded(
            token.digest,
            TokenState(
                number: newTokenNumber(), account: account, scope: .all, label: nil, created: now, expires: expires))
    }
}

extension AccountState {
    func isOnline(at now: Timestamp) -> Bool {
        guard waiting == 0 else { return true }
        guard let lastSeen else { return false }
        return lastSeen.advanced(milliseconds: Store.onlineMilliseconds) > now
    }
}

/// Carries a value from a decision to its completion. The writer's thread runs one after the other.
final class Box<Value: Sendable>: Sendable {
    private let content = Monitor<Value?>(nil)

    var value: Value? {
        get { content.withLock { $0 } }
        set { content.withLock { $0 = newValue } }
    }
}
