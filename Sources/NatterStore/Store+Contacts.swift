internal import NatterSQLite
internal import NatterLanguage
internal import NatterModel
internal import NatterSystem

extension Store {
    /// Who is in somebody's contacts, by name.
    public func contacts(of principal: Principal) -> [UserView] {
        peers { $0.accounts[principal.account]?.contacts }
    }

    /// Whose personal messages somebody does not take, by name.
    public func blocked(by principal: Principal) -> [UserView] {
        peers { $0.accounts[principal.account]?.blocked }
    }

    /// Whether a user is there; nil where nobody has this name.
    public func isOnline(_ user: String) -> Bool? {
        let now = clock.now()
        return state.withLock { $0.account(named: user)?.isOnline(at: now) }
    }

    private func peers(_ which: (StoreState) -> Set<AccountID>?) -> [UserView] {
        let now = clock.now()
        return state.withLock { state in
            let found = (which(state) ?? []).compactMap { state.accounts[$0] }
            return found.sorted { $0.name.caseKey.utf8.lexicographicallyPrecedes($1.name.caseKey.utf8) }
                .map { UserView(name: $0.name.text, isOnline: $0.isOnline(at: now), lastSeen: $0.lastSeen) }
        }
    }

    /// Adds a contact, or takes it away. Done already is done.
    public func setContact(
        _ user: String, _ isContact: Bool, for principal: Principal, _ completion: @escaping Completion<UserView>
    ) {
        changePeer(user, principal, completion) { connection, own, peer in
            let statement = try connection.statement(
                isContact
                    ? "INSERT OR IGNORE INTO contact VALUES (?,?)" : "DELETE FROM contact WHERE account=? AND peer=?")
            try statement.run(own.rawValue, peer.rawValue)
            return { state in
                if isContact {
                    state.accounts[own]?.contacts.insert(peer)
                } else {
                    state.accounts[own]?.contacts.remove(peer)
                }
            }
        }
    }

    /// Refuses somebody's personal messages, or takes them again.
    public func setBlocked(
        _ user: String, _ isBlocked: Bool, for principal: Principal, _ completion: @escaping Completion<UserView>
    ) {
        changePeer(user, principal, completion) { connection, own, peer in
            if isBlocked, own == peer { throw StoreError.forbidden("you cannot block yourself") }
            let statement = try connection.statement(
                isBlocked
                    ? "INSERT OR IGNORE INTO block_list VALUES (?,?)"
                    : "DELETE FROM block_list WHERE account=? AND peer=?")
            try statement.run(own.rawValue, peer.rawValue)
            return { state in
                if isBlocked {
                    state.accounts[own]?.blocked.insert(peer)
                } else {
                    state.accounts[own]?.blocked.remove(peer)
                }
            }
        }
    }

    private func changePeer(
        _ user: String, _ principal: Principal, _ completion: @escaping Completion<UserView>,
        _ body:
            @escaping @Sendable (Connection, AccountID, AccountID) throws -> @Sendable (inout StoreState) -> Void
    ) {
        let now = clock.now()
        let found = state.withLock { state in
            state.account(named: user).map {
                ($0.id, UserView(name: $0.name.text, isOnline: $0.isOnline(at: now), lastSeen: $0.lastSeen))
            }
        }
        guard let (peer, view) = found else { return completion(.failure(.noSuchUser(user))) }
        performDeciding { connection, _, _ in
            try body(connection, principal.account, peer)
        } _: { error in
            completion(error.map { .failure($0) } ?? .success(view))
        }
    }
}
