internal import NatterSystem
internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Conversations, pages of their messages, and search.
enum ConversationRoutes {
    static func list(_ call: TypedCall<ConversationList>, _ principal: Principal, _ part: ListPart) throws(APIError) {
        let limit = part.limit ?? Limits.defaultPage
        let page = try translate(call.store.conversations(of: principal, after: part.after, limit: limit))
        let objects = page.conversations.map { ConversationObject($0) }
        call.respond(call.reply(list: ConversationList(objects, more: page.more, next: page.next)))
    }

    static func one(_ call: TypedCall<ConversationObject>, _ principal: Principal) throws(APIError) {
        let view = try translate(call.store.conversation(call.name(0), for: principal))
        call.respond(call.reply(ConversationObject(view)))
    }

    static func markRead(_ call: TypedCall<ReadAnswer>, _ principal: Principal, _ request: ReadRequest) {
        call.store.markRead(
            Seq(min(request.seq, UInt64(Int64.max))), in: call.name(0), id: request.conversationID, for: principal,
            call.completion { call.reply(ReadAnswer(read: $0.rawValue)) })
    }

    // MARK: Pages of messages

    /// A page that a client asks for. Its cursors are not checked yet.
    struct Page {
        var page: PageQuery
        let waitSeconds: Int
    }

    static func pageQuery(_ call: Call) throws(APIError) -> Page {
        var page = PageQuery(conversation: call.name(0), limit: try call.query.limit())
        page.since = try call.query.time("since")
        page.until = try call.query.time("until")
        page.sender = try call.query.label("from")
        page.isFolded = try call.query.flag("fold")
        if let around = call.query["around"] {
            guard let seq = Query.number(around), seq > 0 else {
                throw APIError(.badRequest, "'around' must be a message's number")
            }
            page.around = Seq(UInt64(seq))
        }
        return Page(page: page, waitSeconds: try call.query.wait())
    }

    static func messages(_ call: TypedCall<MessageList>, _ principal: Principal, _ query: Page) throws(APIError) {
        var page = query.page
        page.after = try place("after", call, principal, page.conversation)
        page.before = try place("before", call, principal, page.conversation)
        if MediaType.accepts(call.head.header("accept"), SyncFrame.mediaType) {
            var body: [UInt8] = []
            for block in try translate(call.store.blocks(page, for: principal)) {
                SyncFrame(.provisional, block).append(to: &body)
            }
            return call.respond(
                Reply(status: 200, headers: [("Content-Type", SyncFrame.mediaType)], body: .bytes(body)))
        }
        answer(page, call, principal, deadline: MonotonicClock.now() + Int64(query.waitSeconds) * 1_000)
    }

    /// A seq, given as a number or as a cursor.
    private static func place(
        _ field: String, _ call: TypedCall<MessageList>, _ principal: Principal, _ conversation: String
    ) throws(APIError) -> Seq? {
        guard let text = call.query[field] else { return nil }
        if let seq = Query.number(text) { return Seq(UInt64(seq)) }
        return try translate(call.store.position(text, in: conversation, for: principal))
    }

    /// Responds with a page, or waits for one. Only a request for messages after the newest one waits.
    private static func answer(
        _ query: PageQuery, _ call: TypedCall<MessageList>, _ principal: Principal, deadline: Int64
    ) {
        let page: MessagePage
        do throws(StoreError) { page = try call.store.messages(query, for: principal) } catch {
            return call.respond(APIError(error))
        }
        let canWait = query.after != nil && query.before == nil && query.around == nil && !page.more
        guard page.messages.isEmpty, canWait, MonotonicClock.now() < deadline else { return respond(page, call) }
        // It may be renamed meanwhile, and another group get its name.
        var query = query
        query.id = page.group
        call.wait(for: principal, seen: page.commit, deadline: deadline) { [query] principal in
            answer(query, call, principal, deadline: deadline)
        } orElse: {
            respond(page, call)
        }
    }

    private static func respond(_ page: MessagePage, _ call: TypedCall<MessageList>) {
        var sent = MessageTally()
        for message in page.messages { sent.add(message.conversation, message.seq.rawValue, message.seq.rawValue) }
        call.addFact("sent", sent)
        let objects = page.messages.map { MessageObject($0) }
        let list = MessageList(messages: objects, head: page.head.rawValue, more: page.more, next: page.next.rawValue)
        let next = page.more ? "\(page.next)" : nil
        call.respond(call.wantsLines ? .lines(objects, next: next) : call.reply(list), isShared: true)
    }

    // MARK: One message

    struct MessageQuery {
        let conversation: String
        let seq: Seq
        let isFolded: Bool
    }

    static func messageQuery(_ call: Call) throws(APIError) -> MessageQuery {
        guard let seq = Query.number(call.name(1)) else {
            throw APIError(.badRequest, "the path must end with a message's number")
        }
        return MessageQuery(
            conversation: call.name(0), seq: Seq(UInt64(seq)), isFolded: try call.query.flag("fold"))
    }

    static func message(_ call: TypedCall<MessageObject>, _ principal: Principal, _ query: MessageQuery)
        throws(APIError)
    {
        let view = try translate(
            call.store.message(query.seq, in: query.conversation, isFolded: query.isFolded, for: principal))
        var object = MessageObject(view.message)
        object.replies = view.replies.map(\.rawValue)
        object.edits = view.edits.map(\.rawValue)
        object.hash = view.hash?.description
        var sent = MessageTally()
        sent.add(view.message.conversation, view.message.seq.rawValue, view.message.seq.rawValue)
        call.addFact("sent", sent)
        call.respond(call.reply(object))
    }

    // MARK: Search

    static func searchQuery(_ call: Call) throws(APIError) -> SearchRequest {
        guard let query = call.query["q"] else { throw APIError(.badRequest, "'q' is missing: what to search for") }
        var request = SearchRequest(query: query, limit: try call.query.limit())
        request.conversation = try call.query.name("conversation")
        request.sender = try call.query.label("from")
        request.since = try call.query.time("since")
        request.until = try call.query.time("until")
        request.isFolded = try call.query.flag("fold")
        if let before = call.query["before"] {
            guard let place = SearchPlace(before) else {
                throw APIError(.badRequest, "'before' must be the 'next' of an earlier page")
            }
            request.before = place
        }
        return request
    }

    /// Searches for clients that keep no replica.
    static func search(_ call: TypedCall<SearchList>, _ principal: Principal, _ request: SearchRequest) throws(APIError)
    {
        let page = try translate(call.store.search(request, for: principal))
        let objects = page.messages.map { MessageObject($0) }
        let next = page.next?.description
        if call.wantsLines { return call.respond(.lines(objects, next: page.more ? next : nil)) }
        call.respond(call.reply(SearchList(objects, more: page.more, next: next)))
    }
}

extension ConversationObject {
    init(_ view: ConversationView, type: String? = nil) {
        self.init(
            name: view.name, id: view.id.description, kind: view.kind.name, first: view.first.rawValue,
            head: view.head.rawValue, hash: view.hash.description, read: view.read.rawValue, unread: view.unread,
            topic: view.kind == .group ? .some(view.topic) : nil, last: view.last.map { MessageObject($0) }, type: type)
    }
}
