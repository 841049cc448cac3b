internal import NatterStore
internal import NatterWire

/// The API. Each row has a method, a path, who may ask, the form of the request, and the function that answers it.
/// `man/natter.openapi.json` lists the same routes.
enum Routes {
    /// The router searches in this order, so the most frequent requests come first.
    static let all = messages + accounts + people + tokens + administration + service

    private static let accounts: [Route] = [
        Route("POST", "v1/register", .anyone, .json(RegisterRequest.self), on: .loop, AccountRoutes.register),
        Route("GET", "v1/register", .anyone, .read(AccountRoutes.name), on: .loop, AccountRoutes.isFree),
        Route("POST", "v1/login", .anyone, .json(LoginRequest.self), on: .loop, AccountRoutes.login),
        Route(
            "POST", "v1/logout", .token { $1.all == true ? .all : .valid }, .optionalJSON(LogoutRequest.self),
            on: .loop,
            AccountRoutes.logout),
        Route("GET", "v1/whoami", .token(.valid), on: .loop, AccountRoutes.whoami),
        Route(
            "POST", "v1/password", .token(.all), .json(PasswordRequest.self), on: .loop, AccountRoutes.changePassword),
    ]

    private static let messages: [Route] = [
        Route(
            "POST", "v1/messages", .token { .send(conversation: $1.conversation, id: $1.conversationID) }, .message,
            on: .loop, MessageRoutes.post),
        Route(
            "GET", "v1/conversations", .token(.readAny), .read(ListQuery.read), ConversationRoutes.list),
        Route(
            "GET", "v1/conversations/*", .token { call, _ in .read(conversation: call.name(0)) }, ConversationRoutes.one
        ),
        Route(
            "GET", "v1/conversations/*/messages", .token { .read(conversation: $1.page.conversation) },
            .read(ConversationRoutes.pageQuery), ConversationRoutes.messages),
        Route(
            "POST", "v1/conversations/*/messages",
            .token { .send(conversation: $1.conversation, id: $1.conversationID) }, .text, on: .loop,
            MessageRoutes.post),
        Route(
            "GET", "v1/conversations/*/messages/*", .token { .read(conversation: $1.conversation) },
            .read(ConversationRoutes.messageQuery), ConversationRoutes.message),
        Route("PUT", "v1/conversations/*/read", .token(.all), .json(ReadRequest.self), ConversationRoutes.markRead),
        Route("GET", "v1/sync", .token(.readAny), .read(SyncRoutes.query), SyncRoutes.sync),
        Route("GET", "v1/blocks/*/*", .token(.readAny), .read(BlockRoutes.address), BlockRoutes.block),
        Route(
            "GET", "v1/search", .token { $1.conversation.map { .read(conversation: $0) } ?? .all },
            .read(ConversationRoutes.searchQuery), on: .searcher, ConversationRoutes.search),
    ]

    private static let people: [Route] = [
        Route("GET", "v1/users", .token(.all), .read(PeopleRoutes.userQuery), PeopleRoutes.users),
        Route("GET", "v1/contacts", .token(.all), .list, PeopleRoutes.contacts),
        Route("PUT", "v1/contacts/*", .token(.all), on: .loop, PeopleRoutes.addContact),
        Route("DELETE", "v1/contacts/*", .token(.all), on: .loop, PeopleRoutes.removeContact),
        // Blocked users. A block of messages has a longer path: v1/blocks/ID/FIRST-REVISION.
        Route("GET", "v1/blocks", .token(.all), .list, PeopleRoutes.blocked),
        Route("PUT", "v1/blocks/*", .token(.all), on: .loop, PeopleRoutes.block),
        Route("DELETE", "v1/blocks/*", .token(.all), on: .loop, PeopleRoutes.unblock),
        Route("GET", "v1/groups", .token(.all), .read(ListQuery.read), PeopleRoutes.groups),
        Route(
            "POST", "v1/groups", .token(.all), .json(PeopleRoutes.NewGroup.self), on: .loop, PeopleRoutes.createGroup),
        Route(
            "PATCH", "v1/groups/*", .token(.all), .optionalJSON(GroupRequest.self), on: .loop, PeopleRoutes.changeGroup),
        Route("DELETE", "v1/groups/*", .token(.all), on: .loop, PeopleRoutes.deleteGroup),
        Route("GET", "v1/groups/*/members", .token(.all), .list, PeopleRoutes.members),
        Route(
            "PUT", "v1/groups/*/members/*", .token(.all), .optionalJSON(MemberRequest.self), on: .loop,
            PeopleRoutes.putMember),
        Route("DELETE", "v1/groups/*/members/*", .token(.all), on: .loop, PeopleRoutes.removeMember),
    ]

    private static let tokens: [Route] = [
        Route("GET", "v1/tokens", .token(.all), .list, TokenRoutes.tokens),
        Route("POST", "v1/tokens", .token(.all), .read(TokenRoutes.newToken), TokenRoutes.create),
        Route("DELETE", "v1/tokens/*", .token(.all), on: .loop, TokenRoutes.revokeToken),
        Route("GET", "v1/sessions", .token(.all), .list, TokenRoutes.sessions),
        Route("DELETE", "v1/sessions/*", .token(.all), on: .loop, TokenRoutes.endSession),
    ]

    private static let administration: [Route] = [
        Route("GET", "v1/admin/users", .admin, .list, AdminRoutes.users),
        Route("POST", "v1/admin/users", .admin, .json(AccountRequest.self), on: .loop, AdminRoutes.add),
        Route(
            "PATCH", "v1/admin/users/*", .admin, .optionalJSON(AccountChangeRequest.self), on: .loop, AdminRoutes.change
        ),
        Route("GET", "v1/admin/sessions", .admin, .list, AdminRoutes.sessions),
        Route("DELETE", "v1/admin/sessions/*", .admin, on: .loop, AdminRoutes.endSession),
        Route("POST", "v1/admin/erase", .admin, .json(EraseRequest.self), on: .loop, AdminRoutes.erase),
        Route("GET", "v1/admin/stats", .admin, AdminRoutes.statistics),
        Route("GET", "v1/admin/log", .admin, .read(LogRoutes.query), on: .loop, LogRoutes.log),
        Route("GET", "v1/admin/audit", .admin, .read(AdminRoutes.limit), AdminRoutes.audit),
        Route("GET", "v1/admin/invites", .admin, .list, on: .loop, AdminRoutes.invites),
        Route("POST", "v1/admin/invites", .admin, .read(AdminRoutes.inviteExpiry), on: .loop, AdminRoutes.invite),
        Route("DELETE", "v1/admin/invites/*", .admin, on: .loop, AdminRoutes.revokeInvite),
    ]

    private static let service: [Route] = [
        Route("GET", "healthz", .anyone, on: .loop, ServiceRoutes.health),
        Route("GET", "metrics", .adminOrThisMachine, on: .loop, ServiceRoutes.metrics),
        Route("GET", "", .anyone, on: .loop, WebPage.show),
        Route("GET", "\(WebPage.directory)/*/*", .anyone, on: .loop, WebPage.showFile),
    ]
}
