internal import NatterConversation
public import NatterSystem
public import NatterModel

/// A session or a robot's token, as its owner or an admin sees it, without the token itself.
public struct TokenView: Sendable, Equatable {
    public let id: Int64
    public let user: String
    /// nil for a session.
    public let label: String?
    public let scope: Scope
    public let created: Timestamp
    public let expires: Timestamp?
    public let lastUsed: Timestamp?
    public let lastAddress: String?
    /// Where a session was begun.
    public let origin: SessionOrigin
    /// Whether the current request uses this token.
    public let isCurrent: Bool
}

/// Where a session was begun, as the client says. It helps users to tell their sessions apart and proves nothing.
public struct SessionOrigin: Sendable, Hashable {
    public var host: String?
    public var program: String?

    public init(host: String? = nil, program: String? = nil) { (self.host, self.program) = (host, program) }
}

extension Store {
    /// Creates a token for a program. A scope that names a conversation stays with it, even if it is renamed.
    public func addToken(
        label: String, scope given: Scope, expires: Timestamp?, for principal: Principal,
        _ completion: @escaping Completion<(token: Token, view: TokenView)>
    ) {
        var scope = given
        do throws(StoreError) {
            var grants: [Scope.Grant] = []
            for grant in given.grants {
                // Under the name that the conversation has, however it was written.
                let found = try snapshot(Normalization.formC(grant.name), for: principal)
                let known = Scope.Grant(right: grant.right, name: found.name, id: found.identity.id)
                if !grants.contains(known) { grants.append(known) }
            }
            if case .limited = given { scope = .limited(grants) }
        } catch {
            return completion(.failure(error))
        }
        let token = Token.random()
        change(by: principal, answering: completion) { [scope] state, builder throws(StoreError) in
            try self.quotas.checkTokens(state.robotCount(of: principal.account))
            let new = TokenState(
                number: builder.newTokenNumber(), account: principal.account, scope: scope, label: label,
                created: builder.now, expires: expires)
            let view = TokenView(
                id: new.number, user: principal.name.text, label: label, scope: scope, created: new.created,
                expires: expires, lastUsed: nil, lastAddress: nil, origin: SessionOrigin(), isCurrent: false)
            return (Decision(.tokenAdded(token.digest, new)), (token, view))
        }
    }

    /// Sessions or robots' tokens, oldest first.
    ///
    /// - Parameter account: the owner; nil for all accounts, which only admins may see.
    public func tokens(of account: AccountID?, robots: Bool, current: Digest?) -> [TokenView] {
        let names = state.withLock { $0.names }
        let owners = account.map { [$0] } ?? names.ids
        return lookUp(owners) { state, owner -> [TokenView]? in
            guard let account = state.accounts[owner], !account.tokens.isEmpty else { return nil }
            return account.tokens.compactMap { digest -> TokenView? in
                guard let token = state.tokens[digest], token.isRobot == robots else { return nil }
                return TokenView(
                    id: token.number, user: account.name.text, label: token.label, scope: token.scope,
                    created: token.created, expires: token.expires, lastUsed: token.lastUsed,
                    lastAddress: token.lastAddress, origin: token.origin, isCurrent: digest == current)
            }
        }.joined().sorted { $0.id < $1.id }
    }

    /// Throws unless the token of a request covers this.
    public func checkScope(_ need: ScopeNeed, of principal: Principal) throws(StoreError) {
        if principal.scope == .all, need != .session { return }
        try state.withLock { state throws(StoreError) in try Authority.check(need, of: principal, state) }
    }

    /// Ends one session or revokes one token of an account.
    ///
    /// - Returns: through the completion, false if the number is unknown.
    public func revokeToken(
        _ id: Int64, robots: Bool, by principal: Principal, _ completion: @escaping Completion<Bool>
    ) {
        change(by: principal, room: .kept, answering: completion) { state, _ throws(StoreError) in
            let found = state.accounts[principal.account]?.tokens.first { digest in
                state.tokens[digest].map { $0.number == id && $0.isRobot == robots } ?? false
            }
            return (found.map { Decision(.tokensRemoved([$0])) } ?? .nothing, found != nil)
        }
    }

    /// Ends a session of any user, for an admin.
    ///
    /// - Returns: through the completion, the user's name; nil if no session has this number.
    public func endSession(_ id: Int64, by principal: Principal, _ completion: @escaping Completion<String?>) {
        change(room: .kept, answering: completion) { state, builder throws(StoreError) in
            try Authority.checkAdmin(principal, at: builder.now, state)
            guard let (digest, token) = state.tokens.first(where: { $0.value.number == id && !$0.value.isRobot }),
                let name = state.accounts[token.account]?.name.text
            else { return (.nothing, nil) }
            let admin = principal.name.text
            return (Decision(.tokensRemoved([digest]), builder.audited(admin, "session_ended", name)), name)
        }
    }
}
