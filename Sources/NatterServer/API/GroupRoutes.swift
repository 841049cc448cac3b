internal import NatterModel
internal import NatterStore
internal import NatterWire

/// Groups and who is in them.
enum GroupRoutes {
    static let all = [
        Route("POST", "v1/groups", on: .loop, create),
        Route("PATCH", "v1/groups/*", on: .loop, isBodyOptional: true, change),
        Route("DELETE", "v1/groups/*", on: .loop, delete),
        Route("GET", "v1/groups/*/members", on: .loop, members),
        Route("PUT", "v1/groups/*/members/*", on: .loop, isBodyOptional: true, put),
        Route("DELETE", "v1/groups/*/members/*", on: .loop, remove),
    ]

    private struct CreateRequest: Decodable {
        var name: String
        var open: Bool?
    }

    private static func create(_ call: Call) throws(APIError) {
        let request = try call.json(CreateRequest.self)
        let principal = try call.principal(.all)
        call.store.createGroup(Normalization.formC(request.name), isOpen: request.open ?? false, by: principal) {
            call.respond($0, status: 201, principal)
        }
    }

    private static func change(_ call: Call) throws(APIError) {
        let request = try call.json(GroupRequest.self)
        let principal = try call.principal(.all)
        call.store.changeGroup(
            call.name(0), newName: request.name.map(Normalization.formC), isOpen: request.open, by: principal
        ) { call.respond($0, status: 200, principal) }
    }

    private static func delete(_ call: Call) throws(APIError) {
        let principal = try call.principal(.all)
        call.store.deleteGroup(call.name(0), by: principal) { call.respondEmpty($0, principal) }
    }

    private static func members(_ call: Call) throws(APIError) {
        _ = try call.query.limit()
        let principal = try call.principal(.all)
        let members: [MemberView]
        do throws(StoreError) { members = try call.store.members(of: call.name(0), for: principal) } catch {
            throw APIError(error)
        }
        let objects = members.map {
            MemberObject(
                name: $0.user.name, admin: $0.isAdmin, online: $0.user.isOnline, lastSeen: $0.user.lastSeen?.rfc3339)
        }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(MemberList(users: objects, more: false, next: objects.last?.name), note: principal.name.text))
    }

    private static func put(_ call: Call) throws(APIError) {
        let request = try call.json(MemberRequest.self)
        let principal = try call.principal(.all)
        call.store.putMember(
            call.name(1), in: call.name(0), isAdmin: request.admin, mayAdd: request.existing != true, by: principal
        ) { call.respondEmpty($0.map { _ in }, principal) }
    }

    private static func remove(_ call: Call) throws(APIError) {
        let principal = try call.principal(.all)
        call.store.removeMember(call.name(1), from: call.name(0), by: principal) { call.respondEmpty($0, principal) }
    }
}
