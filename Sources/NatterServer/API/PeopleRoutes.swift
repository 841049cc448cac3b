internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Users, contacts and groups.
enum PeopleRoutes {
    // MARK: Users

    static func userQuery(_ call: Call) throws(APIError) -> UserQuery {
        UserQuery(
            pattern: call.query["q"].map(Normalization.formC), onlineOnly: try call.query.flag("online"),
            after: try call.query.name("after"), limit: try call.query.limit())
    }

    static func users(_ call: TypedCall<UserList>, _: Principal, _ query: UserQuery) {
        let page = call.store.users(query)
        let list = UserList(page.users.map { UserObject($0) }, more: page.more, next: page.next)
        call.respond(call.reply(list: list), isShared: true)
    }

    // MARK: Contacts and blocked users

    static func contacts(_ call: TypedCall<UserList>, _ principal: Principal, _ part: ListPart) throws(APIError) {
        try respond(call, part, call.store.contacts(of: principal))
    }

    static func blocked(_ call: TypedCall<UserList>, _ principal: Principal, _ part: ListPart) throws(APIError) {
        try respond(call, part, call.store.blocked(by: principal))
    }

    private static func respond(_ call: TypedCall<UserList>, _ part: ListPart, _ users: [UserView]) throws(APIError) {
        try call.respond(part, of: users, by: .names, \.name) { $0.map { UserObject($0) } }
    }

    static func addContact(_ call: Call, _ principal: Principal) {
        call.store.setContact(call.name(0), true, for: principal, call.done())
    }

    static func removeContact(_ call: Call, _ principal: Principal) {
        call.store.setContact(call.name(0), false, for: principal, call.done())
    }

    static func block(_ call: Call, _ principal: Principal) {
        call.store.setBlocked(call.name(0), true, for: principal, call.done())
    }

    static func unblock(_ call: Call, _ principal: Principal) {
        call.store.setBlocked(call.name(0), false, for: principal, call.done())
    }

    // MARK: Groups

    static func groups(_ call: TypedCall<GroupList>, _ principal: Principal, _ part: ListPart) {
        let page = call.store.groups(of: principal, after: part.after, limit: part.limit ?? Limits.defaultPage)
        let objects = page.groups.map {
            GroupObject(
                name: $0.name, id: $0.id.description, open: $0.isOpen, member: $0.isMember, admin: $0.isAdmin,
                addedBy: $0.addedBy, members: $0.memberCount,
                retain: $0.retention.days == nil ? nil : $0.retention.description)
        }
        call.respond(call.reply(list: GroupList(objects, more: page.more, next: page.next)))
    }

    static func createGroup(_ call: TypedCall<ConversationObject>, _ principal: Principal, _ request: NewGroupRequest) {
        call.store.createGroup(
            Normalization.formC(request.name), isOpen: request.open ?? false, by: principal,
            call.completion { call.reply(ConversationObject($0), status: 201) })
    }

    static func retention(_ text: String) throws(APIError) -> Retention {
        if let retention = Retention(text) { return retention }
        throw APIError(.badRequest, "'retain' takes days from '1d' to '36500d', or 'forever', not '\(text)'")
    }

    static func changeGroup(_ call: TypedCall<ConversationObject>, _ principal: Principal, _ request: GroupRequest)
        throws(APIError)
    {
        let retention = try request.retain.map(retention)
        let topic = try AccountRoutes.label(request.topic, "topic", Limits.topicCharacters)
        call.store.changeGroup(
            call.name(0), id: try call.query.conversationID(), newName: request.name.map(Normalization.formC),
            isOpen: request.open, retention: retention, topic: topic, by: principal,
            call.completion { call.reply(ConversationObject($0)) })
    }

    static func deleteGroup(_ call: Call, _ principal: Principal) throws(APIError) {
        call.store.deleteGroup(call.name(0), id: try call.query.conversationID(), by: principal, call.done())
    }

    static func members(_ call: TypedCall<MemberList>, _ principal: Principal, _ part: ListPart) throws(APIError) {
        let members = try translate(call.store.members(of: call.name(0), for: principal))
        try call.respond(part, of: members, by: .names, \.user.name) { members in
            members.map {
                MemberObject(
                    name: $0.user.name, admin: $0.isAdmin, online: $0.user.isOnline,
                    lastSeen: $0.user.lastSeen?.rfc3339, display: $0.user.display)
            }
        }
    }

    static func putMember(_ call: Call, _ principal: Principal, _ request: MemberRequest) throws(APIError) {
        call.store.putMember(
            call.name(1), in: call.name(0), id: try call.query.conversationID(), isAdmin: request.admin,
            mayAdd: request.existing != true, by: principal, call.done())
    }

    static func removeMember(_ call: Call, _ principal: Principal) throws(APIError) {
        call.store.removeMember(
            call.name(1), from: call.name(0), id: try call.query.conversationID(), by: principal, call.done())
    }
}

extension UserObject {
    init(_ view: UserView) {
        self.init(name: view.name, online: view.isOnline, lastSeen: view.lastSeen, display: view.display)
    }
}
