internal import NatterSystem
internal import NatterIndex
public import NatterCrypto
public import NatterModel

extension Store {
    /// Seconds without a request after which a user is no longer online.
    static let onlineMilliseconds: Int64 = 60_000
    /// How often what is known of visits is written down.
    static let presenceMilliseconds: Int64 = 60_000

    public func register(_ name: UserName, password: PasswordHash, _ completion: @escaping Completion<AccountID>) {
        let now = clock.now()
        let key = name.caseKey
        let made = Box<AccountID>()
        perform { connection, _ in
            let known = try connection.statement("SELECT 1 FROM account WHERE name_key=?")
            try known.bind(key)
            if try known.step() { throw StoreError.nameTaken(name.text) }
            let statement = try connection.statement(
                "INSERT INTO account (name,name_key,password,created,last_seen) VALUES (?,?,?,?,?)")
            try statement.run(name.text, key, password.text, now.milliseconds, now.milliseconds)
            let id = AccountID(rawValue: connection.lastInsertedRow)
            made.value = id
            return { state in
                state.accounts[id] = AccountState(
                    id: id, name: name, passwordHash: password.text, isAdmin: false, isDisabled: false, created: now,
                    lastSeen: now, lastAddress: nil)
                state.accountKeys[key] = id
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

    public func addSession(of account: AccountID, expires: Timestamp?, _ completion: @escaping Completion<Token>) {
        let token = Token.random()
        let digest = token.digest
        let now = clock.now()
        perform { connection, _ in
            let statement = try connection.statement(
                "INSERT INTO token (digest,account,scope,created,expires) VALUES (?,?,?,?,?)")
            try statement.run(
                digest.bytes, account.rawValue, Scope.all.description, now.milliseconds, expires?.milliseconds)
            let number = connection.lastInsertedRow
            return { state in
                state.tokens[digest] = TokenState(
                    number: number, account: account, scope: .all, label: nil, created: now, expires: expires)
            }
        } _: { error in
            completion(Store.result(error, token))
        }
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
    private func wake(_ account: AccountID?) {
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
        return state.withLock { state in
            guard let known = state.tokens[digest], let account = state.accounts[known.account], !account.isDisabled
            else { return nil }
            if let expires = known.expires, expires <= now { return nil }
            if account.lastSeen != now || account.lastAddress != address {
                state.accounts[known.account]?.lastSeen = now
                state.accounts[known.account]?.lastAddress = address
                state.accounts[known.account]?.isPresenceDirty = true
            }
            return Principal(
                account: account.id, name: account.name, isAdmin: account.isAdmin, token: digest, scope: known.scope,
                created: known.created, expires: known.expires)
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

    /// Writes down who was seen when; called once a minute and at the end.
    public func savePresence() {
        let dirty = state.withLock { state in
            var dirty: [(AccountID, Timestamp, String?)] = []
            for (id, account) in state.accounts where account.isPresenceDirty {
                dirty.append((id, account.lastSeen ?? .zero, account.lastAddress))
                state.accounts[id]?.isPresenceDirty = false
            }
            return dirty
        }
        guard !dirty.isEmpty else { return }
        let failure = perform { connection, _ in
            let statement = try connection.statement("UPDATE account SET last_seen=?, last_address=? WHERE number=?")
            for (id, seen, address) in dirty {
                try statement.run(seen.milliseconds, address, id.rawValue)
            }
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
