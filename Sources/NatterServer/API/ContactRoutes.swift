internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Whom somebody knows, and whom they don't want to hear from.
enum ContactRoutes {
    static let all = [
        Route("GET", "v1/contacts", on: .loop) { call throws(APIError) in
            _ = try call.query.limit()
            let principal = try call.principal(.all)
            list(call.store.contacts(of: principal), call, principal)
        },
        Route("PUT", "v1/contacts/*", on: .loop, isBodyOptional: true) { call throws(APIError) in
            let principal = try call.principal(.all)
            call.store.setContact(call.name(0), true, for: principal) { call.respondEmpty($0.map { _ in }, principal) }
        },
        Route("DELETE", "v1/contacts/*", on: .loop) { call throws(APIError) in
            let principal = try call.principal(.all)
            call.store.setContact(call.name(0), false, for: principal) { call.respondEmpty($0.map { _ in }, principal) }
        },
        // Whom one blocks; a block of messages has a longer path, v1/blocks/ID/FIRST-REVISION.
        Route("GET", "v1/blocks", on: .loop) { call throws(APIError) in
            _ = try call.query.limit()
            let principal = try call.principal(.all)
            list(call.store.blocked(by: principal), call, principal)
        },
        Route("PUT", "v1/blocks/*", on: .loop, isBodyOptional: true) { call throws(APIError) in
            let principal = try call.principal(.all)
            call.store.setBlocked(call.name(0), true, for: principal) { call.respondEmpty($0.map { _ in }, principal) }
        },
        Route("DELETE", "v1/blocks/*", on: .loop) { call throws(APIError) in
            let principal = try call.principal(.all)
            call.store.setBlocked(call.name(0), false, for: principal) { call.respondEmpty($0.map { _ in }, principal) }
        },
    ]

    private static func list(_ users: [UserView], _ call: Call, _ principal: Principal) {
        let objects = users.map { UserObject(name: $0.name, online: $0.isOnline, lastSeen: $0.lastSeen) }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(UserList(users: objects, more: false, next: objects.last?.name), note: principal.name.text))
    }
}
