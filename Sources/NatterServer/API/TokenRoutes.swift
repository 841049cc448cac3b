internal import NatterSystem
internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Tokens for programs, and sessions of users.
enum TokenRoutes {
    struct NewToken {
        let label: String
        let scope: Scope
        let expires: Timestamp?
    }

    static func newToken(_ call: Call, _ request: TokenRequest) throws(APIError) -> NewToken {
        guard let scope = Scope(request.scope) else {
            throw APIError(
                .badRequest,
                "'scope' must be 'all', or up to \(Scope.grantLimit) of 'send:CONVERSATION' and 'read:CONVERSATION', separated by commas"
            )
        }
        let expires = try request.expires.map(expiry)
        if let expires, expires <= call.store.now {
            throw APIError(.badRequest, "'expires' must be a time to come")
        }
        guard Limits.labelBytes.contains(request.label.utf8.count) else {
            throw APIError(.badRequest, "'label' has 1 to \(Limits.labelBytes.upperBound) bytes")
        }
        guard !request.label.hasControlCharacter else {
            throw APIError(.badRequest, "'label' may not contain control characters")
        }
        return NewToken(label: request.label, scope: scope, expires: expires)
    }

    static func expiry(_ text: String) throws(APIError) -> Timestamp {
        guard let time = Timestamp(rfc3339: text) else {
            throw APIError(.badRequest, "'expires' must be a time of RFC 3339")
        }
        return time
    }

    static func create(_ call: TypedCall<TokenObject>, _ principal: Principal, _ request: NewToken) {
        call.store.addToken(
            label: request.label, scope: request.scope, expires: request.expires, for: principal,
            call.completion { made in
                call.log("token_made", [("user", principal.name.text), ("scope", request.scope.description)])
                var object = TokenObject(made.view)
                object.token = made.token.text
                return call.reply(object, status: 201)
            })
    }

    static func tokens(_ call: TypedCall<TokenList>, _ principal: Principal, _ part: ListPart) throws(APIError) {
        try respond(call, principal, part, robots: true)
    }

    static func sessions(_ call: TypedCall<SessionList>, _ principal: Principal, _ part: ListPart) throws(APIError) {
        try respond(call, principal, part, robots: false)
    }

    private static func respond<Field>(
        _ call: TypedCall<ListAnswer<TokenObject, Field>>, _ principal: Principal, _ part: ListPart, robots: Bool
    ) throws(APIError) {
        let tokens = call.store.tokens(of: principal.account, robots: robots, current: principal.token)
        try call.respond(part, of: tokens, by: .numbers, { String($0.id) }) { $0.map { TokenObject($0) } }
    }

    static func revokeToken(_ call: Call, _ principal: Principal) throws(APIError) {
        try revoke(call, principal, robots: true)
    }

    static func endSession(_ call: Call, _ principal: Principal) throws(APIError) {
        try revoke(call, principal, robots: false)
    }

    private static func revoke(_ call: Call, _ principal: Principal, robots: Bool) throws(APIError) {
        let notThere = APIError(.notFound, robots ? "there is no such token" : "there is no such session")
        guard let id = Int64(digits: call.parameters[0]) else { throw notThere }
        call.store.revokeToken(
            id, robots: robots, by: principal,
            call.completion { wasThere in
                guard wasThere else { return notThere.reply }
                call.log("token_revoked", [("user", principal.name.text)])
                return .empty
            })
    }
}

extension TokenObject {
    init(_ view: TokenView, withUser: Bool = false) {
        self.init(
            id: String(view.id), user: withUser ? view.user : nil, label: view.label, scope: view.scope.description,
            created: view.created.rfc3339, expires: view.expires?.rfc3339, lastUsed: view.lastUsed?.rfc3339,
            address: view.lastAddress, host: view.origin.host, program: view.origin.program,
            current: view.isCurrent ? true : nil)
    }
}
