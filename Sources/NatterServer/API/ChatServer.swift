internal import NatterLanguage
internal import NatterModel
public import NatterStore
internal import NatterSystem
public import NatterTLS
internal import NatterWire

/// The HTTP API over a store. It decides what a request may do. Files and SQL belong to the store, sockets to the listener.
public final class ChatServer: Sendable {
    /// Who may create an account.
    public enum Registration: String, Sendable, CaseIterable {
        case open
        case closed
        /// Anyone with a code from an admin.
        case invite
    }

    public struct Options: Sendable {
        /// Where bulk answers above 1 MiB are kept while their request is being read.
        public var spoolDirectory = "/tmp"
        public var limits = ListenerLimits()
        /// At the start; ``ChatServer/use(_:)`` changes it.
        public var registration = Registration.open
        /// What remote admins read of the service log. The event sink fills it.
        public var recent = ServiceLog()
        /// Addresses whose `X-Forwarded-For` is trusted.
        public var proxies: Set<PeerAddress> = []
        /// The certificate at the start; nil for plain HTTP.
        public var identity: TLSIdentity?
        /// Whether `/` shows a page to browsers.
        public var servesPage = true

        public init() {}
    }

    static let routes = Routes.all

    let store: Store
    let events: EventSink
    let options: Options
    /// For work that reads the disk or writes much JSON.
    let workers: WorkerPool
    /// For hashing passwords. Each hash takes 64 MiB, so no more run at once than there are processors, and the queue is short.
    let hashers: WorkerPool
    let waiters: Waiters
    let logins = LoginLimiter()
    let metrics = Metrics()
    let router: Router
    private let currentRegistration: Monitor<Registration>
    private let listener = Monitor<HTTPListener?>(nil)

    /// Starts to listen; `run` answers requests.
    ///
    /// - Parameters:
    ///   - address: a numeric IPv4 or IPv6 address, or `localhost`.
    ///   - port: 0 for any free port.
    ///   - events: gets the events of the service log.
    /// - Throws: `ListenerError`.
    public init(
        store: Store, address: String, port: UInt16, options: Options = Options(),
        events: @escaping EventSink
    ) throws {
        (self.store, self.events, self.options) = (store, events, options)
        workers = try WorkerPool(name: "natter-worker", threads: 2, limit: 20_000)
        hashers = try WorkerPool(name: "natter-hasher", threads: Host.processorCount, limit: 32)
        waiters = try Waiters()
        currentRegistration = Monitor(options.registration)
        router = Router(routes: options.servesPage ? ChatServer.routes : ChatServer.routes.filter { !$0.path.isEmpty })
        store.onNews { [waiters] news in waiters.announce(news) }
        recent.onEvent { [waiters] in ChatServer.announceEvents(waiters) }
        let made = try HTTPListener(
            address: address, port: port, limits: options.limits, proxies: options.proxies,
            identity: options.identity, handler: RequestHandler(server: self))
        listener.signal { $0 = made }
        // Made now, so that the first login with an unknown name takes no longer than others.
        AccountRoutes.prepareDecoy(hashers)
    }

    /// The latest events.
    var recent: ServiceLog { options.recent }

    /// Wakes the requests that wait for events.
    func announceEvents() { ChatServer.announceEvents(waiters) }

    private static func announceEvents(_ waiters: Waiters) {
        waiters.announce(News(commit: .zero, isForAll: false, accounts: [ServiceLog.reader]))
    }

    var connectionCount: Int { listener.withLock { $0?.connectionCount ?? 0 } }

    /// Who may create an account now.
    var registration: Registration { currentRegistration.withLock { $0 } }

    /// Changes who may create an account.
    public func use(_ registration: Registration) { currentRegistration.signal { $0 = registration } }

    /// Open connections, and requests that wait for news.
    public var load: (connections: Int, waiting: Int) { (connectionCount, waiters.count) }

    /// Uses another certificate for new connections.
    public func use(_ identity: TLSIdentity) { listener.withLock { $0?.use(identity) } }

    public var port: UInt16 { listener.withLock { $0?.port ?? 0 } }

    /// Serves on the calling thread until `stop`.
    public func run() {
        listener.withLock { $0 }?.run()
        waiters.stop()
        workers.stop()
        hashers.stop()
        // The listener holds its handler, which holds this server: break the cycle.
        listener.signal { $0 = nil }
    }

    /// Makes `run` return once requests in flight are finished. Thread-safe.
    public func stop() { listener.withLock { $0 }?.stop() }
}
