internal import NatterArchive
public import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
public import NatterModel
internal import NatterSystem

/// An account as an admin sees it.
public struct AccountView: Sendable, Equatable {
    public let name: String
    public let isAdmin: Bool
    public let isDisabled: Bool
    public let created: Timestamp
    public let lastSeen: Timestamp?
    public let lastAddress: String?
    public let isOnline: Bool
}

/// What an admin or an operator did to whom, or to what.
public struct AuditEntry: Sendable, Equatable {
    public let time: Timestamp
    public let actor: String
    /// `user_disabled`, `user_promoted` …
    public let action: String
    public let subject: String
}

/// A change to an account; nil leaves a thing as it is.
public struct AccountChange: Sendable {
    public var isDisabled: Bool?
    public var isAdmin: Bool?
    public var password: PasswordHash?

    public init(isDisabled: Bool? = nil, isAdmin: Bool? = nil, password: PasswordHash? = nil) {
        (self.isDisabled, self.isAdmin, self.password) = (isDisabled, isAdmin, password)
    }
}

extension Store {
    /// All accounts, those seen last first.
    public func accountViews() -> [AccountView] {
        let now = clock.now()
        return state.withLock { state in
            state.accounts.values.sorted { one, other in
                (one.lastSeen ?? one.created, other.name.text) > (other.lastSeen ?? other.created, one.name.text)
            }.map { view(of: $0, now) }
        }
    }

    private func view(of account: AccountState, _ now: Timestamp) -> AccountView {
        AccountView(
            name: account.name.text, isAdmin: account.isAdmin, isDisabled: account.isDisabled,
            created: account.created, lastSeen: account.lastSeen, lastAddress: account.lastAddress,
            isOnline: !account.isDisabled && account.isOnline(at: now))
    }

    /// Makes an account for somebody else.
    public func addAccount(
        _ name: UserName, password: PasswordHash, isAdmin: Bool, by actor: String,
        _ completion: @escaping Completion<AccountView>
    ) {
        register(name, password: password, seen: nil) { [self] result in
            switch result {
            case .failure(let error): completion(.failure(error))
            case .success:
                change(
                    name.text, AccountChange(isAdmin: isAdmin ? true : nil), by: actor, action: "user_added", completion
                )
            }
        }
    }

    /// Changes an account. Disabling it, or giving it another password, ends all its sessions at once; enabling it does
    /// not bring them back.
    public func change(
        _ name: String, _ change: AccountChange, by actor: String, action: String? = nil,
        _ completion: @escaping Completion<AccountView>
    ) {
        guard let id = state.withLock({ $0.account(named: name)?.id }) else {
            return completion(.failure(.noSuchUser(name)))
        }
        let now = clock.now()
        let endsSessions = change.isDisabled == true || change.password != nil
        performDeciding { [self] connection, _, _ in
            let account = state.withLock { $0.accounts[id] }
            guard let account else { throw StoreError.noSuchUser(name) }
            // Only what is asked for: another change in the same batch may not be in memory yet.
            let update = try connection.statement(
                """
                UPDATE account SET disabled=coalesce(?,disabled), admin=coalesce(?,admin), password=coalesce(?,password)
                WHERE number=?
                """)
            try update.run(change.isDisabled, change.isAdmin, change.password?.text, id.rawValue)
            if endsSessions {
                // A disabled account's robots end too; a new password ends only what was begun with the old one.
                let which = change.isDisabled == true ? "" : " AND label IS NULL"
                let delete = try connection.statement("DELETE FROM token WHERE account=?" + which)
                try delete.run(id.rawValue)
            }
            for word in action.map({ [$0] }) ?? Store.actions(change) {
                try Store.insertAudit(now, actor, word, account.name.text, connection)
            }
            return { state in
                if let isDisabled = change.isDisabled { state.accounts[id]?.isDisabled = isDisabled }
                if let isAdmin = change.isAdmin { state.accounts[id]?.isAdmin = isAdmin }
                if let password = change.password { state.accounts[id]?.passwordHash = password.text }
                guard endsSessions else { return }
                state.tokens = state.tokens.filter {
                    $0.value.account != id || ($0.value.isRobot && change.isDisabled != true)
                }
            }
        } _: { [self] error in
            if let error { return completion(.failure(error)) }
            if endsSessions { wake(id) }
            let found = state.withLock { $0.accounts[id] }
            guard let found else { return completion(.failure(.noSuchUser(name))) }
            completion(.success(view(of: found, clock.now())))
        }
    }

    private static func actions(_ change: AccountChange) -> [String] {
        var actions: [String] = []
        if let isDisabled = change.isDisabled { actions.append(isDisabled ? "user_disabled" : "user_enabled") }
        if let isAdmin = change.isAdmin { actions.append(isAdmin ? "user_promoted" : "user_demoted") }
        if change.password != nil { actions.append("password_set") }
        return actions
    }

    /// Writes down that somebody did something which changes no account. That it can't be written down is reported, and
    /// is no reason to keep an operator from a store that is in need of care.
    public func recordAudit(by actor: String, _ action: String, _ subject: String) {
        let now = clock.now()
        let failure = perform { connection, _ in
            try Store.insertAudit(now, actor, action, subject, connection)
            return { _ in }
        }
        if let failure { report("cannot write down '\(action)' by \(actor): \(failure)") }
    }

    private static func insertAudit(
        _ time: Timestamp, _ actor: String, _ action: String, _ subject: String, _ connection: Connection
    ) throws(SQLiteError) {
        let audit = try connection.statement("INSERT INTO audit (time,actor,action,subject) VALUES (?,?,?,?)")
        try audit.run(time.milliseconds, actor, action, subject)
    }

    /// What admins and operators did, newest first.
    public func audit(limit: Int) throws(StoreError) -> [AuditEntry] {
        do {
            return try withReader { reader in
                let rows = try reader.connection.statement(
                    "SELECT time,actor,action,subject FROM audit ORDER BY number DESC LIMIT ?")
                try rows.bind(limit)
                var entries: [AuditEntry] = []
                while try rows.step() {
                    entries.append(
                        AuditEntry(
                            time: Timestamp(milliseconds: rows.int64(0)), actor: rows.text(1), action: rows.text(2),
                            subject: rows.text(3)))
                }
                return entries
            }
        } catch {
            throw StoreError(error)
        }
    }

    // MARK: Invitations

    /// Makes a code that lets one person register. It is shown once; the store keeps a hash.
    public func addInvite(by maker: String, expires: Timestamp, _ completion: @escaping Completion<Token>) {
        let code = Token.random()
        let digest = code.digest
        let now = clock.now()
        perform { connection, _ in
            let statement = try connection.statement("INSERT INTO invite VALUES (?,?,?,?)")
            try statement.run(digest.bytes, maker, now.milliseconds, expires.milliseconds)
            try Store.insertAudit(now, maker, "invite_made", "", connection)
            return { _ in }
        } _: { error in
            completion(error.map { .failure($0) } ?? .success(code))
        }
    }
}
