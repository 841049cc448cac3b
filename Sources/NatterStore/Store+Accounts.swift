internal import NatterLanguage
internal import NatterSystem
internal import NatterSQLite
public import NatterCrypto
public import NatterModel

extension Store {
    /// Seconds without a request after which a user is no longer online.
    static let onlineMilliseconds: Int64 = 60_000
    /// How often what is known of visits is written down.
    static let presenceMilliseconds: Int64 = 60_000

    public func register(
        _ name: UserName, password: PasswordHash, invite: Token?, session: Token?,
        _ completion: @escaping Completion<AccountID>
    ) {
        register(name, password: password, invite: invite, session: session, seen: clock.now(), completion)
    }

    /// - Parameter seen: nil where somebody else makes the account.
    func register(
        _ name: UserName, password: PasswordHash, invite: Token? = nil, session: Token? = nil, seen: Timestamp?,
        _ completion: @escaping Completion<AccountID>
    ) {
        let now = clock.now()
        let key = name.caseKey
        let made = Box<AccountID>()
        perform { connection, _ in
            let known = try connection.statement("SELECT 1 FROM account WHERE name_key=?")
            try known.bind(key)
            if try known.step() { throw StoreError.nameTaken(name.text) }
            if let invite {
                // Used up in the same transaction, so a code makes one account whoever comes at once.
                let use = try connection.statement("DELETE FROM invite WHERE digest=? AND expires>?")
                try use.run(invite.digest.bytes, now.milliseconds)
                guard connection.changedRows == 1 else { throw StoreError.badInvite }
            }
            let statement = try connection.statement(
                "INSERT INTO account (name,name_key,password,created,last_seen) VALUES (?,?,?,?,?)")
            try statement.run(name.text, key, password.text, now.milliseconds, seen?.milliseconds)
            let id = AccountID(rawValue: connection.lastInsertedRow)
            made.value = id
            let token = try session.map { try Store.insertSession($0, of: id, from: now, expires: nil, on: connection) }
            return { state in
                state.accounts[id] = AccountState(
                    id: id, name: name, passwordHash: password.text, isAdmin: false, isDisabled: false, created: now,
                    lastSeen: seen, lastAddress: nil)
                state.accountKeys[key] = id
                if let session, let token { state.tokens[session.digest] = token }
            }
        } _: { error in
            completion(Store.result(error, made.value))
        }
    }

    public func isNameFree(_ name: String) throws(StoreError) -> Bool {
        do throws(NameError) { _ = try UserName(name) } catch { throw .badName(name, error) }
        return state.withLock { $0.account(named: name) == nil }
    }

    public func credentials(of name: String) -> Credentials? {
        state.withLock { state in
            guard let account = state.account(named: name), !account.isDisabled else { return nil }
            return Credentials(
                account: account.id, name: account.name, password: PasswordHash(stored: account.passwordHash))
        }
    }

    public func addSession(
        of account: AccountID, verified: PasswordHash?, expires: Timestamp?, _ completion: @escaping Completion<Token>
    ) {
        let token = Token.random()
        let now = clock.now()
        perform { connection, _ in
            // A login takes a while, and the account may have been disabled or got another password meanwhile. Asked of the
            // table, where earlier changes of the same batch are.
            let current = try connection.statement("SELECT disabled,password FROM account WHERE number=?")
            try current.bind(account.rawValue)
            guard try current.step(), !current.bool(0), verified.map({ $0.text == current.text(1) }) ?? true else {
                throw StoreError.unauthorized
            }
            let session = try Store.insertSession(token, of: account, from: now, expires: expires, on: connection)
            return { $0.tokens[token.digest] = session }
        } _: { error in
            completion(Store.result(error, token))
        }
    }

    private static func insertSession(
        _ token: Token, of account: AccountID, from now: Timestamp, expires: Timestamp?, on connection: Connection
    ) throws -> TokenState {
        let statement = try connection.statement(
            "INSERT INTO token (digest,account,scope,created,expires) VALUES (?,?,?,?,?)")
        try statement.run(
            token.digest.bytes, account.rawValue, Scope.all.description, now.milliseconds, expires?.milliseconds)
        return TokenState(
            number: connection.lastInsertedRow, account: account, scope: .all, label: nil, created: now,
            expires: expires)
    }

    public func revoke(_ token: Digest, _ completion: @escaping Completion<Void>) {
        let account = state.withLock { $0.tokens[token]?.account }
        perform { connection, _ in
            let statement = try connection.statement("DELETE FROM token WHERE digest=?")
            try statement.run(token.bytes)
            return { $0.tokens[token] = nil }
        } _: { [self] error in
            wake(account)
            completion(Store.result(error, ()))
        }
    }

    public func revokeSessions(of account: AccountID, _ completion: @escaping Completion<Void>) {
        perform { connection, _ in
            let statement = try connection.statement("DELETE FROM token WHERE account=? AND label IS NULL")
            try statement.run(account.rawValue)
            return { state in state.tokens = state.tokens.filter { $0.value.account != account || $0.value.isRobot } }
        } _: { [self] error in
            wake(account)
            completion(Store.result(error, ()))
        }
    }

    /// Has those who wait look again whether they still may.
    func wake(_ account: AccountID?) {
        guard let account else { return }
        announce(News(commit: state.withLock { $0.commit }, isForAll: false, accounts: [account]))
    }

    public func setPassword(
        _ password: PasswordHash, of account: AccountID, keeping session: Digest?,
        _ completion: @escaping Completion<Void>
    ) {
        perform { connection, _ in
            let update = try connection.statement("UPDATE account SET password=? WHERE number=?")
            try update.run(password.text, account.rawValue)
            let delete = try connection.statement(
                "DELETE FROM token WHERE account=? AND label IS NULL AND digest IS NOT ?")
            try delete.run(account.rawValue, session?.bytes)
            return { state in
                state.accounts[account]?.passwordHash = password.text
                state.tokens = state.tokens.filter {
                    $0.value.account != account || $0.value.isRobot || $0.key == session
                }
            }
        } _: { [self] error in
            wake(account)
            completion(Store.result(error, ()))
        }
    }

    public func principal(of token: Token, address: String) -> Principal? {
        let digest = token.digest
        let now = clock.now()
        var hasExpired = false
        // After the lock: to be forgotten takes the writer.
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

    /// Takes expired tokens off the disk, so that they stay expired wherever the clock is set to, and whenever it starts.
    private func forgetExpired(_ tokens: [Digest]) {
        perform { connection, _ in
            let statement = try connection.statement("DELETE FROM token WHERE digest=?")
            for token in tokens { try statement.run(token.bytes) }
            return { _ in }
        } _: { [self] failure in
            if let failure, failure != .outcomeUnknown { report("cannot forget an expired token: \(failure)") }
        }
    }

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

    /// Writes down who was seen when, and forgets what has expired; called once a minute and at the end.
    public func savePresence() {
        let now = clock.now()
        let expired = state.withLock { state in
            let expired = state.tokens.filter { $0.value.expires.map { $0 <= now } ?? false }.map(\.key)
            for token in expired { state.tokens[token] = nil }
            return expired
        }
        if !expired.isEmpty { forgetExpired(expired) }
        let (seen, used) = state.withLock { state in
            var seen: [(AccountID, Timestamp, String?)] = []
            for (id, account) in state.accounts where account.isPresenceDirty {
                seen.append((id, account.lastSeen ?? .zero, account.lastAddress))
                state.accounts[id]?.isPresenceDirty = false
            }
            var used: [(Int64, Timestamp, String?)] = []
            for (digest, token) in state.tokens where token.isUseDirty {
                used.append((token.number, token.lastUsed ?? .zero, token.lastAddress))
                state.tokens[digest]?.isUseDirty = false
            }
            return (seen, used)
        }
        guard !seen.isEmpty || !used.isEmpty else { return }
        let failure = perform { connection, _ in
            let account = try connection.statement("UPDATE account SET last_seen=?, last_address=? WHERE number=?")
            for (id, time, address) in seen { try account.run(time.milliseconds, address, id.rawValue) }
            let token = try connection.statement("UPDATE token SET last_used=?, last_address=? WHERE number=?")
            for (number, time, address) in used { try token.run(time.milliseconds, address, number) }
            return { _ in }
        }
        if let failure, failure != .outcomeUnknown { report("cannot write down who was seen: \(failure)") }
    }

    private static func result<Value>(_ error: StoreError?, _ value: Value?) -> Result<Value, StoreError> {
        if let error { return .failure(error) }
        guard let value else { return .failure(.failed("the store gave no answer")) }
        return .success(value)
    }
}

extension AccountState {
    func isOnline(at now: Timestamp) -> Bool {
        guard waiting == 0 else { return true }
        guard let lastSeen else { return false }
        return lastSeen.advanced(milliseconds: Store.onlineMilliseconds) > now
    }
}

/// Carries one value out of a change's body to its completion, which the writer's thread runs one after the other.
final class Box<Value: Sendable>: Sendable {
    private let content = Monitor<Value?>(nil)

    var value: Value? {
        get { content.withLock { $0 } }
        set { content.withLock { $0 = newValue } }
    }
}
