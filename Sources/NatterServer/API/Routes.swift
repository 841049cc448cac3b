internal import NatterStore
internal import NatterProtocol

/// The API: for each request who may ask, the form of its query and body, and the function that answers it.
enum Routes {
    /// The router searches in this order, so the most frequent requests come first.
    static let all = messages + accounts + people + tokens + administration + service

    private static let accounts: [Route] = [
        Route(API.register, .anyone, .json, on: .loop, AccountRoutes.register),
        Route(API.isNameFree, .anyone, .query(AccountRoutes.name), on: .loop, AccountRoutes.isFree),
        Route(API.login, .anyone, .json, on: .loop, AccountRoutes.login),
        Route(
            API.logout, .token { $1.all == true ? .all : .valid }, .optionalJSON, on: .loop, AccountRoutes.logout),
        Route(API.whoami, .token(.valid), on: .loop, AccountRoutes.whoami),
        Route(API.changePassword, .token(.all), .json, on: .loop, AccountRoutes.changePassword),
        Route(API.changeOwn, .token(.all), .optionalJSON(AccountRoutes.display), on: .loop, AccountRoutes.setDisplay),
        Route(API.deleteAccount, .token(.session), .json, on: .loop, AccountRoutes.delete),
    ]

    private static let messages: [Route] = [
        Route(
            API.send, .token { .send(conversation: $1.conversation, id: $1.conversationID) }, .message, on: .loop,
            MessageRoutes.post),
        Route(API.conversations, .token(.readAny), .list, ConversationRoutes.list),
        Route(API.conversation, .token { call, _ in .read(conversation: call.name(0)) }, ConversationRoutes.one),
        Route(
            API.messages, .token { .read(conversation: $1.page.conversation) }, .query(ConversationRoutes.pageQuery),
            ConversationRoutes.messages),
        Route(
            API.sendText, .token { .send(conversation: $1.conversation, id: $1.conversationID) }, .text, on: .loop,
            MessageRoutes.post),
        Route(
            API.message, .token { .read(conversation: $1.conversation) }, .query(ConversationRoutes.messageQuery),
            ConversationRoutes.message),
        Route(API.uploadFile, sink: FileRoutes.sink),
        Route(API.file, .token(.readAny), .query(FileRoutes.id), FileRoutes.file),
        Route(API.markRead, .token(.all), .json, ConversationRoutes.markRead),
        Route(API.sync, .token(.readAny), .query(SyncRoutes.query), SyncRoutes.sync),
        Route(API.sealedBlock, .token(.readAny), .query(BlockRoutes.address), BlockRoutes.block),
        Route(
            API.search, .token { $1.conversation.map { .read(conversation: $0) } ?? .all },
            .query(ConversationRoutes.searchQuery), on: .searcher, ConversationRoutes.search),
    ]

    private static let people: [Route] = [
        Route(API.users, .token(.all), .query(PeopleRoutes.userQuery), PeopleRoutes.users),
        Route(API.contacts, .token(.all), .list, PeopleRoutes.contacts),
        Route(API.addContact, .token(.all), on: .loop, PeopleRoutes.addContact),
        Route(API.removeContact, .token(.all), on: .loop, PeopleRoutes.removeContact),
        Route(API.blocked, .token(.all), .list, PeopleRoutes.blocked),
        Route(API.block, .token(.all), on: .loop, PeopleRoutes.block),
        Route(API.unblock, .token(.all), on: .loop, PeopleRoutes.unblock),
        Route(API.groups, .token(.all), .list, PeopleRoutes.groups),
        Route(API.createGroup, .token(.all), .json, on: .loop, PeopleRoutes.createGroup),
        Route(API.changeGroup, .token(.all), .optionalJSON, on: .loop, PeopleRoutes.changeGroup),
        Route(API.deleteGroup, .token(.all), on: .loop, PeopleRoutes.deleteGroup),
        Route(API.members, .token(.all), .list, PeopleRoutes.members),
        Route(API.putMember, .token(.all), .optionalJSON, on: .loop, PeopleRoutes.putMember),
        Route(API.removeMember, .token(.all), on: .loop, PeopleRoutes.removeMember),
    ]

    private static let tokens: [Route] = [
        Route(API.tokens, .token(.all), .list, TokenRoutes.tokens),
        Route(API.createToken, .token(.all), .json(TokenRoutes.newToken), TokenRoutes.create),
        Route(API.revokeToken, .token(.all), on: .loop, TokenRoutes.revokeToken),
        Route(API.sessions, .token(.all), .list, TokenRoutes.sessions),
        Route(API.endSession, .token(.all), on: .loop, TokenRoutes.endSession),
    ]

    private static let administration: [Route] = [
        Route(API.accounts, .administrator, .list, AdminRoutes.users),
        Route(API.addAccount, .administrator, .json, on: .loop, AdminRoutes.add),
        Route(API.changeAccount, .administrator, .optionalJSON, on: .loop, AdminRoutes.change),
        Route(API.allSessions, .admin, .list, AdminRoutes.sessions),
        Route(API.endAnySession, .admin, on: .loop, AdminRoutes.endSession),
        Route(API.erase, .admin, .json, on: .loop, AdminRoutes.erase),
        Route(API.retain, .admin, .json(AdminRoutes.retention), on: .loop, AdminRoutes.retain),
        Route(API.statistics, .admin, AdminRoutes.statistics),
        Route(API.log, .admin, .query(LogRoutes.query), on: .loop, LogRoutes.log),
        Route(API.audit, .admin, .query(AdminRoutes.limit), AdminRoutes.audit),
        Route(API.invites, .admin, .list, on: .loop, AdminRoutes.invites),
        Route(API.createInvite, .admin, .optionalJSON(AdminRoutes.inviteExpiry), on: .loop, AdminRoutes.invite),
        Route(API.revokeInvite, .admin, on: .loop, AdminRoutes.revokeInvite),
    ]

    private static let service: [Route] = [
        Route(API.health, .anyone, on: .loop, ServiceRoutes.health),
        Route(API.metrics, .adminOrThisMachine, on: .loop, ServiceRoutes.metrics),
        Route(API.page, .anyone, on: .loop, WebPage.show),
        Route(API.pageFile, .anyone, on: .loop, WebPage.showFile),
    ]
}
