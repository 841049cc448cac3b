internal import NatterCrypto
internal import NatterLanguage
internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterWire

/// Conversations and pages of their messages.
enum ConversationRoutes {
    static let all = [
        Route("GET", "v1/conversations", list),
        Route("GET", "v1/conversations/*", one),
        Route("GET", "v1/conversations/*/messages", messages),
        Route("PUT", "v1/conversations/*/read", markRead),
    ]

    private static func list(_ call: Call) throws(APIError) {
        let limit = try call.query.limit()
        let after = call.query["after"].map(Normalization.formC)
        let principal = try call.principal(.readAny)
        let page: ConversationPage
        do throws(StoreError) {
            page = try call.store.conversations(of: principal, after: after, limit: limit)
        } catch {
            throw APIError(error)
        }
        let objects = page.conversations.map { ConversationObject($0) }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(
                ConversationList(conversations: objects, more: page.more, next: page.next), note: principal.name.text))
    }

    private static func one(_ call: Call) throws(APIError) {
        let principal = try call.principal(.read(conversation: name(call)))
        do throws(StoreError) {
            let view = try call.store.conversation(name(call), for: principal)
            call.respond(.json(ConversationObject(view), note: principal.name.text))
        } catch {
            throw APIError(error)
        }
    }

    private static func markRead(_ call: Call) throws(APIError) {
        let request = try call.json(ReadRequest.self)
        let principal = try call.principal(.all)
        let seq = Seq(min(request.seq, UInt64(Int64.max)))
        call.store.markRead(seq, in: name(call), for: principal) { result in
            switch result {
            case .success(let read): call.respond(.json(ReadAnswer(read: read.rawValue), note: principal.name.text))
            case .failure(let error): call.respond(APIError(error).reply(note: principal.name.text))
            }
        }
    }

    /// The conversation that the path names.
    private static func name(_ call: Call) -> String { call.name(0) }

    private static func messages(_ call: Call) throws(APIError) {
        var query = PageQuery(conversation: name(call), limit: try call.query.limit())
        query.since = try call.query.time("since")
        query.until = try call.query.time("until")
        query.sender = call.query["from"].map(Normalization.formC)
        let wait = try call.query.wait()
        if let around = call.query["around"] {
            guard let seq = Query.number(around), seq > 0 else {
                throw APIError(.badRequest, "'around' must be a message's number")
            }
            query.around = Seq(UInt64(seq))
        }
        let principal = try call.principal(.read(conversation: name(call)))
        query.after = try place("after", call, principal, query.conversation)
        query.before = try place("before", call, principal, query.conversation)
        answer(query, call, principal, deadline: MonotonicClock.now() + Int64(wait) * 1_000, isWaiting: false)
    }

    /// A seq, or the one that a cursor stands for.
    private static func place(
        _ field: String, _ call: Call, _ principal: Principal, _ conversation: String
    ) throws(APIError) -> Seq? {
        guard let text = call.query[field] else { return nil }
        if let seq = Query.number(text) { return Seq(UInt64(seq)) }
        do throws(StoreError) {
            return try call.store.position(text, in: conversation, for: principal)
        } catch {
            throw APIError(error)
        }
    }

    /// Answers with a page, or waits for one: only who asks for what comes after the newest message does.
    private static func answer(
        _ query: PageQuery, _ call: Call, _ principal: Principal, deadline: Int64, isWaiting: Bool
    ) {
        let page: MessagePage
        do throws(StoreError) { page = try call.store.messages(query, for: principal) } catch {
            return call.respond(APIError(error).reply(note: principal.name.text))
        }
        let canWait = query.after != nil && query.before == nil && query.around == nil && !page.more
        guard page.messages.isEmpty, canWait, MonotonicClock.now() < deadline else {
            return respond(page, call, principal)
        }
        call.wait(for: principal, seen: page.commit, deadline: deadline) { principal in
            answer(query, call, principal, deadline: deadline, isWaiting: true)
        } orElse: {
            respond(page, call, principal)
        }
    }

    private static func respond(_ page: MessagePage, _ call: Call, _ principal: Principal) {
        var tally = MessageTally()
        for message in page.messages { tally.add(message.conversation, message.seq.rawValue, message.seq.rawValue) }
        if !tally.isEmpty { call.exchange.tell("sent", tally.text) }
        let objects = page.messages.map { MessageObject($0) }
        if call.wantsLines { return call.respond(lines: objects, note: principal.name.text) }
        call.respond(
            .json(
                MessageList(
                    messages: objects, head: page.head.rawValue, more: page.more, next: page.next.rawValue),
                note: principal.name.text))
    }
}

extension ConversationObject {
    init(_ view: ConversationView, type: String? = nil) {
        self.init(
            name: view.name, id: view.id.description, kind: view.kind.name, first: view.first.rawValue,
            head: view.head.rawValue, hash: view.hash.description, read: view.read.rawValue, unread: view.unread,
            last: view.last.map { MessageObject($0) }, type: type)
    }
}
