internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Who there is, and who is online.
enum UserRoutes {
    static let all = [Route("GET", "v1/users", users)]

    private static func users(_ call: Call) throws(APIError) {
        var query = UserQuery(limit: try call.query.limit())
        query.pattern = call.query["q"].map(Normalization.formC)
        query.onlineOnly = try call.query.flag("online")
        query.after = call.query["after"].map(Normalization.formC)
        let principal = try call.principal(.all)
        let page = call.store.users(query)
        let objects = page.users.map { UserObject(name: $0.name, online: $0.isOnline, lastSeen: $0.lastSeen) }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(.json(UserList(users: objects, more: page.more, next: page.next), note: principal.name.text))
    }
}
