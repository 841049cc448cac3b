internal import NatterCrypto
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Tokens of robots, and sessions of people.
enum TokenRoutes {
    static let all = [
        Route("GET", "v1/tokens", on: .loop) { call throws(APIError) in try list(call, robots: true) },
        Route("POST", "v1/tokens", create),
        Route("DELETE", "v1/tokens/*", on: .loop) { call throws(APIError) in try revoke(call, robots: true) },
        Route("GET", "v1/sessions", on: .loop) { call throws(APIError) in try list(call, robots: false) },
        Route("DELETE", "v1/sessions/*", on: .loop) { call throws(APIError) in try revoke(call, robots: false) },
    ]

    /// Longer than any label that a person reads.
    private static let labelBytes = 1...200

    private static func create(_ call: Call) throws(APIError) {
        let request = try call.json(TokenRequest.self)
        guard let scope = Scope(Normalization.formC(request.scope)) else {
            throw APIError(.badRequest, "'scope' must be 'all', 'send:CONVERSATION' or 'read:CONVERSATION'")
        }
        var expires: Timestamp?
        if let text = request.expires {
            guard let time = Timestamp(rfc3339: text) else {
                throw APIError(.badRequest, "'expires' must be a time of RFC 3339")
            }
            expires = time
        }
        guard labelBytes.contains(request.label.utf8.count) else {
            throw APIError(.badRequest, "'label' has 1 to \(labelBytes.upperBound) bytes")
        }
        let principal = try call.principal(.all)
        call.store.addToken(label: request.label, scope: scope, expires: expires, for: principal) { result in
            switch result {
            case .success(let made):
                call.server.events(
                    Event(.info, "token_made", [("user", principal.name.text), ("scope", scope.description)]))
                var object = TokenObject(made.view)
                object.token = made.token.text
                call.respond(.json(object, status: 201, note: principal.name.text))
            case .failure(let error): call.respond(APIError(error).reply(note: principal.name.text))
            }
        }
    }

    private static func list(_ call: Call, robots: Bool) throws(APIError) {
        _ = try call.query.limit()
        let principal = try call.principal(.all)
        let objects = call.store.tokens(of: principal.account, robots: robots, current: principal.token).map {
            TokenObject($0)
        }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(
                TokenList(
                    tokens: robots ? objects : nil, sessions: robots ? nil : objects, more: false,
                    next: objects.last?.id), note: principal.name.text))
    }

    private static func revoke(_ call: Call, robots: Bool) throws(APIError) {
        let principal = try call.principal(.all)
        guard let id = Int64(call.parameters[0]) else { throw APIError(.notFound, "there is no such token") }
        call.store.revokeToken(id, robots: robots, of: principal.account) { result in
            switch result {
            case .success(true):
                call.server.events(Event(.info, "token_revoked", [("user", principal.name.text)]))
                call.respondEmpty(.success(()), principal)
            case .success(false):
                call.respond(APIError(.notFound, "there is no such token").reply(note: principal.name.text))
            case .failure(let error): call.respond(APIError(error).reply(note: principal.name.text))
            }
        }
    }
}

extension TokenObject {
    init(_ view: TokenView, withUser: Bool = false) {
        self.init(
            id: String(view.id), user: withUser ? view.user : nil, label: view.label, scope: view.scope.description,
            created: view.created.rfc3339, expires: view.expires?.rfc3339, lastUsed: view.lastUsed?.rfc3339,
            address: view.lastAddress, current: view.isCurrent ? true : nil)
    }
}
