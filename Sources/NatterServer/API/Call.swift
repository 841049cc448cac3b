internal import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol

/// A request before its route answers it.
typealias Call = TypedCall<Void>

/// A request while its route answers it with an `Answer`, as its endpoint says.
struct TypedCall<Answer: Sendable>: Sendable {
    let head: RequestHead
    /// The segments of the path that match those in braces.
    let parameters: [String]
    var body: [UInt8]
    let exchange: Exchange
    let server: ChatServer
    /// The user's name for the log. It is nil until the request is authorized.
    var user: String?
    /// The account, once the request is authorized.
    var account: AccountID?
    /// The holder of the request's token, if it was looked up just now.
    var known: Principal?
    /// The scope that the request needs of its token, for asking again after a wait.
    var need = ScopeNeed.valid

    var store: Store { server.store }
    var query: Query { Query(head) }

    /// A path segment as a name, in normalization form C.
    func name(_ index: Int) -> String { Normalization.formC(parameters[index]) }

    /// Decodes the body as a JSON object of the given type.
    func json<Value: Decodable>(_: Value.Type) throws(APIError) -> Value {
        do throws(WireJSON.Failure) { return try WireJSON.decode(Value.self, from: body) } catch {
            throw APIError(error)
        }
    }

    // MARK: Authentication

    /// The holder of the request's token or cookie, if the token's scope covers `need`.
    func principal(_ need: ScopeNeed) throws(APIError) -> Principal {
        let principal: Principal
        if let known { principal = known } else { principal = try Authentication(head, store).principal() }
        try translate(store.checkScope(need, of: principal))
        return principal
    }

    func admin() throws(APIError) -> Principal {
        let principal = try principal(.all)
        guard principal.isAdmin else { throw APIError(.forbidden, "only an admin of the server may do this") }
        return principal
    }

    // MARK: Replies

    func respond(_ reply: Reply) {
        guard let user else { return exchange.respond(reply) }
        var reply = reply
        reply.reader = account?.rawValue
        reply.note = reply.note.map { "\(user): \($0)" } ?? user
        exchange.respond(reply)
    }

    func respond(_ error: APIError) { respond(error.reply) }

    /// A completion for the store. It responds with `reply` of the result, or with the error.
    func completion<Value>(_ reply: @escaping @Sendable (Value) -> Reply) -> Completion<Value> {
        { result in
            switch result {
            case .success(let value): respond(reply(value))
            case .failure(let error): respond(APIError(error))
            }
        }
    }

    /// - Parameter isShared: whether all of it is of one conversation, or known to every account. Then it is compressed.
    func respond(_ reply: Reply, isShared: Bool) { respond(isShared ? reply.compressed(for: head) : reply) }

    /// Responds with a list of any length, or with a part of it, which is made piece by piece while it is sent.
    ///
    /// - Parameters:
    ///   - order: the order that the items have.
    ///   - place: an item's value for `next`.
    ///   - objects: the objects of some items.
    func respond<Item: Sendable, Object, Field>(
        _ part: ListPart, of items: [Item], by order: ListPart.Order, _ place: (Item) -> String,
        _ objects: @escaping @Sendable (ArraySlice<Item>) -> [Object]
    ) throws(APIError) where Answer == ListAnswer<Object, Field> {
        let rest = try part.behind(items, order, place)
        let given = rest.prefix(part.limit ?? .max)
        let end = ListEnd(more: given.count < rest.count, next: given.last.map(place) ?? part.after)
        let list = WholeList(Array(given), "\(Field.name)", isLines: wantsLines, end, objects)
        var reply = Reply(status: 200, headers: [("Content-Type", wantsLines ? MediaType.ndjson : MediaType.json)])
        reply.body = PieceProducer(server.workers, exchange, sourceBytes: list.heldBytes) { list.next() }.body()
        respond(reply)
    }

    var wantsLines: Bool { MediaType.accepts(head.header("accept"), "application/x-ndjson") }

    /// Writes an event about this request to the service log.
    func log(_ event: String, level: Event.Level = .info, _ fields: [(key: String, value: String)]) {
        // A command of the operator is in the log already.
        if head.operatorID == nil { server.events(Event(level, event, fields)) }
    }

    /// Adds the messages that were stored or sent to the log entry of this request.
    func addFact(_ key: String, _ tally: MessageTally) {
        if !tally.isEmpty { exchange.addFact(key, tally.text) }
    }

    // MARK: Waiting

    /// Suspends the request until there is news for the user or the deadline passes, then looks the user up again.
    /// Meanwhile the token may have been revoked, the account disabled, or a membership ended.
    ///
    /// - Parameters:
    ///   - seen: the state in which there was nothing new.
    ///   - deadline: milliseconds on the monotonic clock.
    ///   - again: repeats the query on a worker, also at the deadline.
    ///   - orElse: responds that there is nothing new, because the server is about to stop.
    func wait(
        for principal: Principal, seen: Commit, deadline: Int64, _ again: @escaping @Sendable (Principal) -> Void,
        orElse: @escaping @Sendable () -> Void
    ) {
        suspend(principal, seen: seen, deadline: deadline) { wake in
            server.workers.proceed(exchange) {
                do throws(APIError) {
                    let principal = try self.principal(need)
                    if wake == .stopping { orElse() } else { again(principal) }
                } catch {
                    respond(error)
                }
            }
        }
    }

    /// Calls `wake` once, at news for the user, at the deadline, or when the token ends. Until then the user looks online,
    /// unless the request says that nobody is there.
    ///
    /// - Parameter extra: whose news counts as well.
    func suspend(
        _ principal: Principal, and extra: [AccountID] = [], seen: Commit, deadline: Int64,
        _ wake: @escaping @Sendable (Waiters.Wake) -> Void
    ) {
        let isAway = head.isAway
        if !isAway { store.noteWaiting(principal.account, 1) }
        let now = MonotonicClock.now()
        let left = store.millisecondsLeft(of: principal)
        server.waiters.wait(
            exchange, [principal.account] + extra, seen: seen,
            // Both clocks leave out parts of a millisecond, so without one more the token could still be good then.
            deadline: left < deadline - now ? now + left + 1 : deadline
        ) { reason in
            if !isAway { store.noteWaiting(principal.account, -1) }
            wake(reason)
        }
    }
}

extension TypedCall {
    /// The call of a route with this answer.
    init(_ call: Call) {
        (head, parameters, body, exchange, server) = (call.head, call.parameters, call.body, call.exchange, call.server)
        (user, account, known, need) = (call.user, call.account, call.known, call.need)
    }
}

extension TypedCall<Void> {
    /// A completion for a change whose answer is `{}`.
    func done<Value>() -> Completion<Value> { completion { _ in .empty } }
}

extension TypedCall where Answer: Encodable {
    func reply(_ answer: Answer, status: Int = 200) -> Reply { .json(answer, status: status) }

    /// The reply of a list. A client that accepts NDJSON gets one object a line, others get one JSON object.
    func reply<Item, Field>(list: Answer) -> Reply where Answer == ListAnswer<Item, Field> {
        wantsLines ? .lines(list.items) : .json(list)
    }
}

extension TypedCall where Answer: JSONWritable {
    func reply(_ answer: Answer, status: Int = 200) -> Reply { .json(answer, status: status) }

    func reply<Item: JSONWritable, Field>(list: Answer) -> Reply where Answer == ListAnswer<Item, Field> {
        wantsLines ? .lines(list.items) : .json(list)
    }
}

extension TypedCall {
    func reply<Object>(_ lines: [Object]) -> Reply where Answer == Lines<Object> { .lines(lines) }
}

extension Reply {
    /// The JSON object `{}`, for a success that returns nothing.
    static var empty: Reply { json(Array("{}".utf8), 200) }

    static func json(_ value: some Encodable, status: Int = 200) -> Reply { json(WireJSON.encode(value), status) }
    static func json(_ value: some JSONWritable, status: Int = 200) -> Reply { json(WireJSON.encode(value), status) }

    private static func json(_ bytes: [UInt8], _ status: Int) -> Reply {
        Reply(status: status, headers: [("Content-Type", MediaType.json)], body: .bytes(bytes))
    }

    static func lines(_ objects: [some Encodable]) -> Reply {
        lines(objects) { object, bytes in bytes += WireJSON.encode(object) }
    }

    /// - Parameter next: where more follows, which the lines can't tell; nil if none does.
    static func lines(_ objects: [some JSONWritable], next: String? = nil) -> Reply {
        var reply = lines(objects) { object, bytes in object.write(to: &bytes) }
        if let next { reply.headers.append(("Natter-Next", next)) }
        return reply
    }

    private static func lines<Object>(_ objects: [Object], _ write: (Object, inout [UInt8]) -> Void) -> Reply {
        var bytes: [UInt8] = []
        for object in objects {
            write(object, &bytes)
            bytes.append(UInt8(ascii: "\n"))
        }
        return Reply(status: 200, headers: [("Content-Type", MediaType.ndjson)], body: .bytes(bytes))
    }
}
