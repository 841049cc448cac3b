internal import NatterLanguage
internal import NatterModel
public import NatterStore
internal import NatterSystem
public import NatterTLS
internal import NatterWire

/// The HTTP API over a store. What a request asks for is decided here; files and SQL are the store's, sockets the listener's.
public final class ChatServer: Sendable {
    /// Who may make an account.
    public enum Registration: String, Sendable, CaseIterable {
        case open
        case closed
        /// Whoever has a code from an admin.
        case invite
    }

    public struct Options: Sendable {
        /// Where a bulk answer that outgrows memory is kept while its request is being read.
        public var spoolDirectory = "/tmp"
        public var limits = ListenerLimits()
        /// At the start; ``ChatServer/use(_:)`` changes it.
        public var registration = Registration.open
        /// What admins read from afar of the service's log; whoever gets the events puts them in.
        public var recent = ServiceLog()
        /// Whose `X-Forwarded-For` is believed.
        public var proxies: Set<PeerAddress> = []
        /// What TLS is spoken with, at the start; nil for plain HTTP.
        public var identity: TLSIdentity?
        /// Whether there is a page for browsers.
        public var servesPage = true

        public init() {}
    }

    /// All that the API has; `man/natter.openapi.json` lists the same.
    static let routes =
        AccountRoutes.all + MessageRoutes.all + ConversationRoutes.all + SyncRoutes.all + UserRoutes.all
        + SearchRoutes.all + BlockRoutes.all + GroupRoutes.all + ContactRoutes.all + TokenRoutes.all + AdminRoutes.all
        + ServiceRoutes.all + PageRoutes.all

    let store: any ChatStore
    let events: EventSink
    let options: Options
    /// For what reads the disk or makes much JSON.
    let workers: WorkerPool
    /// Each hash takes 64 MiB, so no more at once than there are processors, and a short queue.
    let hashers: WorkerPool
    let waiters: Waiters
    let logins = LoginLimiter()
    let metrics = Metrics()
    private let router: Router
    private let currentRegistration: Monitor<Registration>
    private let listener = Monitor<HTTPListener?>(nil)

    /// Listens; requests are answered from `run` on.
    ///
    /// - Parameters:
    ///   - address: an IPv4 or IPv6 address in numbers, or `localhost`.
    ///   - port: 0 takes a free one.
    ///   - events: gets what an operator may want to know.
    /// - Throws: `ListenerError`.
    public init(
        store: any ChatStore, address: String, port: UInt16, options: Options = Options(),
        events: @escaping EventSink
    ) throws {
        (self.store, self.events, self.options) = (store, events, options)
        workers = try WorkerPool(name: "natter-worker", threads: 2, limit: 20_000)
        hashers = try WorkerPool(name: "natter-hasher", threads: SystemInformation.processorCount, limit: 32)
        waiters = try Waiters()
        currentRegistration = Monitor(options.registration)
        router = Router(routes: options.servesPage ? ChatServer.routes : ChatServer.routes.filter { !$0.path.isEmpty })
        store.onNews { [waiters] news in waiters.announce(news) }
        recent.onEvent { [waiters] in ChatServer.announceEvents(waiters) }
        let made = try HTTPListener(
            address: address, port: port, limits: options.limits, proxies: options.proxies,
            identity: options.identity, handler: RequestHandler(server: self))
        listener.signal { $0 = made }
        // Made before the first unknown name asks for it, so that it costs that one no more than others.
        AccountRoutes.prepareDecoy(hashers)
    }

    /// The latest events.
    var recent: ServiceLog { options.recent }

    /// Wakes those who wait for events.
    func announceEvents() { ChatServer.announceEvents(waiters) }

    private static func announceEvents(_ waiters: Waiters) {
        waiters.announce(News(commit: .zero, isForAll: false, accounts: [ServiceLog.reader]))
    }

    var connectionCount: Int { listener.withLock { $0?.connectionCount ?? 0 } }

    /// Who may make an account now.
    var registration: Registration { currentRegistration.withLock { $0 } }

    /// Lets others make accounts from now on.
    public func use(_ registration: Registration) { currentRegistration.signal { $0 = registration } }

    /// Connections that are open, and requests that wait for news.
    public var load: (connections: Int, waiting: Int) { (connectionCount, waiters.count) }

    /// Serves connections from now on with another certificate; those that are open go on.
    public func use(_ identity: TLSIdentity) { listener.withLock { $0?.use(identity) } }

    public var port: UInt16 { listener.withLock { $0?.port ?? 0 } }

    /// Serves on the calling thread until `stop`.
    public func run() {
        listener.withLock { $0 }?.run()
        waiters.stop()
        workers.stop()
        hashers.stop()
        // The listener holds its handler and so this; let both go.
        listener.signal { $0 = nil }
    }

    /// Has `run` end once what is in flight is finished. From any thread.
    public func stop() { listener.withLock { $0 }?.stop() }

    /// What every answer carries.
    func dressed(_ reply: Reply) -> Reply {
        var reply = reply
        reply.headers.append(("Natter-Store", store.id.description))
        if !reply.headers.contains(where: { $0.0 == "Cache-Control" }) {
            reply.headers.append(("Cache-Control", "no-store"))
        }
        reply.headers.append(("X-Content-Type-Options", "nosniff"))
        return reply
    }

    func match(_ head: RequestHead) throws(APIError) -> Router.Match { try router.match(head) }
}

/// What the listener calls; thin, so that everything behind it can be tested without a socket.
struct RequestHandler: HTTPHandler {
    let server: ChatServer

    func plan(_ head: RequestHead) -> BodyPlan {
        var isBulk = false
        do throws(APIError) {
            let match = try server.match(head)
            guard match.route.takesBody else { return .collect(limit: Limits.bodyBytes) }
            isBulk = BulkPosting.isBulk(head, match.route)
            if !isBulk, let length = head.contentLength, length > Limits.bodyBytes {
                throw APIError(.tooLarge, "the body has \(length) bytes; the limit is \(Limits.bodyBytes)")
            }
            try RequestHandler.checkType(head)
            return isBulk ? .stream(try BulkPosting(head, server)) : .collect(limit: Limits.bodyBytes)
        } catch {
            // Small bodies are read all the same, so that the connection can go on. Not those of bulk, whose lines would be
            // taken for one body and found wanting.
            let isSmall = !isBulk && !head.isChunked && (head.contentLength ?? 0) <= 4_096
            return isSmall ? .collect(limit: Limits.bodyBytes) : .refuse(server.dressed(error.reply()))
        }
    }

    func handle(_ head: RequestHead, body: [UInt8], _ exchange: Exchange) {
        let match: Router.Match
        do throws(APIError) {
            match = try server.match(head)
            if match.route.takesBody { try RequestHandler.checkType(head) }
            try Query.check(head)
        } catch {
            return exchange.respond(server.dressed(error.reply()))
        }
        let given = body.isEmpty && match.route.isBodyOptional ? Array("{}".utf8) : body
        let call = Call(head: head, parameters: match.parameters, body: given, exchange: exchange, server: server)
        let answer: @Sendable () -> Void = {
            do throws(APIError) { try match.route.answer(call) } catch { call.respond(error.reply()) }
        }
        switch match.route.place {
        case .loop: answer()
        case .worker:
            if !server.workers.submit(answer) { call.respond(APIError(StoreError.busy).reply()) }
        }
    }

    /// Without a type a body is JSON; one line of NDJSON is, too.
    private static func checkType(_ head: RequestHead) throws(APIError) {
        guard let type = head.header("content-type"), !MediaType.isJSON(type), !MediaType.isNDJSON(type) else { return }
        throw APIError(.unsupportedMediaType, "the body must be application/json")
    }

    func guardReply(_ violation: HTTPViolation) -> Reply {
        let error =
            switch violation {
            case .malformed: APIError(.badRequest, violation.phrase)
            case .bodyTooLarge: APIError(.tooLarge, violation.phrase)
            case .tooManyRequests: APIError(.slowDown, violation.phrase, retryAfter: 1)
            case .tooManyBodies: APIError(.busy, violation.phrase, retryAfter: 1)
            }
        return server.dressed(error.reply())
    }

    func finished(_ summary: RequestSummary) {
        server.metrics.count(summary)
        var fields = [
            ("method", summary.method), ("target", RequestHandler.withoutQuery(summary.target)),
            ("status", String(summary.status)), ("address", summary.remoteAddress),
            ("ms", "\(summary.durationMicroseconds / 1_000).\((summary.durationMicroseconds % 1_000) / 100)"),
            ("in", String(summary.bytesIn)), ("out", String(summary.bytesOut)),
        ]
        if let note = summary.note { fields.append(("note", note)) }
        for fact in summary.facts { fields.append((fact.key, fact.value)) }
        if !summary.isComplete { fields.append(("complete", "false")) }
        let level: Event.Level = summary.status >= 500 ? .warning : .debug
        server.events(Event(level, "request", fields.map { (key: $0.0, value: $0.1) }))
    }

    func connected(_ address: String) { server.events(Event(.debug, "connected", [("address", address)])) }

    func disconnected(_ summary: ConnectionSummary) {
        var fields = [
            (key: "address", value: summary.address), ("requests", String(summary.requests)),
            ("ms", String(summary.durationMilliseconds)),
        ]
        if let reason = summary.reason { fields.append(("reason", reason)) }
        server.events(Event(.debug, "disconnected", fields))
    }

    func stopping() { server.waiters.wakeAll() }

    /// A query may hold what somebody searched for.
    private static func withoutQuery(_ target: String) -> String {
        target.utf8.firstIndex(of: UInt8(ascii: "?")).map { String(target[..<$0]) } ?? target
    }
}
