public import NatterModel
public import NatterStore
internal import NatterSystem

/// The API over a store. It decides what a request may do. The store handles files and SQL, the listener handles
/// sockets. Without a listener, ``answer(_:_:headers:body:operatorID:)`` passes it requests of this process.
public final class ChatServer: Sendable {
    /// Decides who may create an account.
    public enum Registration: String, Sendable, CaseIterable {
        case open
        case closed
        /// Anyone with a code from an admin.
        case invite
    }

    public struct Options: Sendable {
        public var spools = SpoolLimits()
        /// The setting at the start. ``ChatServer/use(_:)`` changes it.
        public var registration = Registration.open
        /// The events that admins can read remotely. The event sink fills it.
        public var recent = ServiceLog()
        /// Addresses whose `X-Forwarded-For` is trusted. If there are any, only they and loopback may connect.
        public var proxies: Set<PeerAddress> = []
        /// Names by which clients may call the server, besides those of its certificate, `localhost` and IP addresses.
        public var hosts: [SubjectName] = []
        /// The certificate at the start, or nil for plain HTTP.
        public var identity: TLSIdentity?
        /// True if `/` shows a page to browsers.
        public var servesPage = true
        /// Is called after each commit that readers wait for, on the writer's thread.
        public var onNews: @Sendable () -> Void = {}

        public init() {}
    }

    static let routes = Routes.all

    let store: Store
    let events: EventSink
    let options: Options
    /// Threads for work that reads the disk or writes much JSON.
    let workers: WorkerPool
    /// Threads for jobs that take many milliseconds: searches, batches of bulk and large bodies. They are few, so that
    /// pages and posts find a free processor, and no account waits for all the searches of another.
    let slowWorkers: WorkerPool
    /// Threads that hash passwords. Each hash takes 64 MiB, so there are at most as many threads as processors, and the
    /// queue is short. Networks share them: who sends right passwords without pause, which nothing limits, keeps nobody else
    /// from logging in. They have the same priority as all other threads: filling these 64 MiB holds the kernel's lock of
    /// the address space, and with less of the processors it would be held for longer.
    let hashers: WorkerPool
    let waiters: Waiters
    let latestAnswers = LatestAnswers()
    let spools: SpoolRoom
    let logins: LoginLimiter
    let metrics = Metrics()
    let router: Router
    private let currentRegistration: Monitor<Registration>
    private let currentHosts: Monitor<HostNames>
    private let currentIdentity: Monitor<TLSIdentity?>
    private let listener = Monitor<HTTPListener?>(nil)
    /// The requests that came over no connection. They end with the server.
    let localAnswers = Monitor<[ObjectIdentifier: LocalAnswer]>([:])

    /// - Parameter events: receives the events of the service log.
    public init(store: Store, options: Options = Options(), events: @escaping EventSink) throws {
        (self.store, self.events, self.options) = (store, events, options)
        logins = LoginLimiter(guesses: store.guesses)
        workers = try WorkerPool(name: "natter-worker", threads: 2, limit: 20_000, limitPerOwner: 256)
        // Bodies of up to 1 MiB wait here.
        slowWorkers = try WorkerPool(
            name: "natter-slow", threads: max(1, Host.processorCount / 2), limit: 256, limitPerOwner: 8, width: 1)
        hashers = try WorkerPool(name: "natter-hasher", threads: Host.processorCount, limit: 256, limitPerOwner: 32)
        waiters = try Waiters()
        spools = SpoolRoom(options.spools, store.disk)
        currentRegistration = Monitor(options.registration)
        currentHosts = Monitor(HostNames(given: options.hosts, certified: options.identity?.names ?? []))
        currentIdentity = Monitor(options.identity)
        router = Router(routes: options.servesPage ? ChatServer.routes : ChatServer.routes.filter { !$0.isOfPage })
        if options.servesPage { WebPage.prepare() }
        store.onNews { [waiters, onNews = options.onNews] news in
            waiters.announce(news)
            onNews()
        }
        recent.onEvent { [waiters] in ChatServer.announceEvents(waiters) }
    }

    /// Starts to listen. Requests are answered after `run` is called.
    ///
    /// - Parameters:
    ///   - address: a numeric IPv4 or IPv6 address, or `localhost`.
    ///   - port: 0 for any free port.
    /// - Throws: `ListenerError`.
    public func listen(on address: String, port: UInt16) throws {
        let made = try HTTPListener(
            address: address, port: port, proxies: options.proxies, identity: options.identity,
            handler: RequestHandler(server: self))
        listener.signal { $0 = made }
    }

    /// The latest events.
    var recent: ServiceLog { options.recent }

    /// Wakes the requests that wait for events.
    func announceEvents() { ChatServer.announceEvents(waiters) }

    private static func announceEvents(_ waiters: Waiters) {
        waiters.announce(News(commit: .zero, isForAll: false, accounts: [ServiceLog.reader]))
    }

    var connectionCount: Int { listener.withLock { $0?.connectionCount ?? 0 } }

    /// The current setting of who may create an account.
    public var registration: Registration { currentRegistration.withLock { $0 } }

    /// When the certificate for new connections ends; nil for plain HTTP.
    public var certificateExpires: Timestamp? { currentIdentity.withLock { $0?.expires } }

    /// Changes who may create an account.
    public func use(_ registration: Registration) { currentRegistration.signal { $0 = registration } }

    /// The names that the server answers for now.
    var hosts: HostNames { currentHosts.withLock { $0 } }

    /// Changes the names by which clients may call the server.
    public func use(hosts: [SubjectName]) { currentHosts.withLock { $0.given = hosts } }

    /// The number of open connections, and the number of requests that wait for news.
    public var load: (connections: Int, waiting: Int) { (connectionCount, waiters.count) }

    /// Uses another certificate for new connections.
    public func use(_ identity: TLSIdentity) {
        currentIdentity.withLock { $0 = identity }
        currentHosts.withLock { $0.certified = identity.names }
        listener.withLock { $0?.use(identity) }
    }

    /// Calls the function on the listener's thread as soon as that handles events.
    public func probe(_ answer: @escaping @Sendable () -> Void) { listener.withLock { $0 }?.probe(answer) }

    public var port: UInt16 { listener.withLock { $0?.port ?? 0 } }

    /// Serves on the calling thread until `stop`.
    public func run() {
        listener.withLock { $0 }?.run()
        end()
    }

    /// Ends the threads of a server. One that listens does it at the end of `run`.
    public func end() {
        waiters.stop()
        for pool in [slowWorkers, workers, hashers] { pool.stop() }
        for answer in localAnswers.exchange([:]).values { answer.cut() }
        // The listener holds its handler, and the handler holds this server. Break the cycle.
        listener.signal { $0 = nil }
    }

    /// Makes `run` return after requests in flight have finished. Thread-safe.
    public func stop() { listener.withLock { $0 }?.stop() }
}
