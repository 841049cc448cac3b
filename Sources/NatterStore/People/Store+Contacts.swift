internal import NatterModel
internal import NatterSystem

extension Store {
    /// A user's contacts, by name.
    public func contacts(of principal: Principal) -> [UserView] {
        views(of: state.withLock { $0.accounts[principal.account]?.contacts } ?? [])
    }

    /// The users whose personal messages this user refuses, by name.
    public func blocked(by principal: Principal) -> [UserView] {
        views(of: state.withLock { $0.accounts[principal.account]?.blocked } ?? [])
    }

    /// Whether a user is online; nil if the name is unknown.
    public func isOnline(_ user: String) -> Bool? {
        let now = clock.now()
        return state.withLock { $0.account(named: user)?.isOnline(at: now) }
    }

    /// Adds or removes a contact. Repeating it is not an error.
    public func setContact(
        _ user: String, _ isContact: Bool, for principal: Principal, _ completion: @escaping Completion<UserView>
    ) {
        changePeer(user, of: principal, completion) { own, peer in
            own.contacts.contains(peer) == isContact
                ? nil : .contactSet(own.id, peer: peer, isContact: isContact)
        }
    }

    /// Refuses a user's personal messages, or accepts them again.
    public func setBlocked(
        _ user: String, _ isBlocked: Bool, for principal: Principal, _ completion: @escaping Completion<UserView>
    ) {
        changePeer(user, of: principal, completion) { own, peer throws(StoreError) in
            if isBlocked, own.id == peer { throw .forbidden("you cannot block yourself") }
            return own.blocked.contains(peer) == isBlocked
                ? nil : .blockSet(own.id, peer: peer, isBlocked: isBlocked)
        }
    }

    private func changePeer(
        _ user: String, of principal: Principal, _ completion: @escaping Completion<UserView>,
        _ decide: @escaping @Sendable (AccountState, AccountID) throws(StoreError) -> Change?
    ) {
        let now = clock.now()
        let found = state.withLock { state in
            state.account(named: user).flatMap { $0.isErased ? nil : ($0.id, $0.view(at: now)) }
        }
        guard let (peer, view) = found else { return completion(.failure(.noSuchUser(user))) }
        change(by: principal, answering: completion) { state, _ throws(StoreError) in
            guard let own = state.accounts[principal.account], let change = try decide(own, peer) else {
                return (.nothing, view)
            }
            // So the account's other devices hear of it.
            return (Decision(change, .noted(own.id, conversation: 0, .contacts, data: nil)), view)
        }
    }
}
