internal import CMicroHTTPD
internal import Glibc
public import NatterLanguage
internal import NatterPage
internal import NatterSystem
internal import NatterTLS
internal import Synchronization

/// An HTTP/1.1 server on one address. One thread serves thousands of connections.
///
/// It stands between the network and an ``HTTPHandler``. It refuses requests that two readers could interpret
/// differently, sets deadlines for slow clients, and limits memory and connections.
final class HTTPListener: Sendable {
    /// The port it listens on.
    let port: UInt16
    private let mailbox: Mailbox
    /// Belongs to the thread that calls `run`. That thread holds the lock while it serves.
    private let loop: Monitor<ListenerLoop>
    private let openConnections: ConnectionCount

    /// Starts to listen. `run` serves the connections. From now on the whole process ignores SIGPIPE, and its limit of
    /// open files is raised as far as allowed.
    ///
    /// - Parameters:
    ///   - address: a numeric IPv4 or IPv6 address, or `localhost`.
    ///   - port: 0 for any free port.
    ///   - proxies: addresses whose `X-Forwarded-For` is trusted. If there are any, only they and loopback may connect.
    ///   - identity: the certificate for TLS, or nil for plain HTTP.
    init(
        address: String, port: UInt16, limits: ListenerLimits = ListenerLimits(), proxies: Set<PeerAddress> = [],
        identity: TLSIdentity? = nil, handler: any HTTPHandler
    ) throws(ListenerError) {
        signal(SIGPIPE, SIG_IGN)
        let files = HTTPListener.raiseFileLimit()
        let connectionLimit = limits.connections ?? max(16, min(files - limits.reservedDescriptors, 65_536))
        let socket = try ListeningSocket(address: address, port: port)
        self.port = socket.port
        mailbox = try Mailbox()
        openConnections = ConnectionCount()
        loop = Monitor(
            try ListenerLoop(
                socket: socket, limits: limits, connectionLimit: connectionLimit, proxies: proxies,
                identity: identity, handler: handler, mailbox: mailbox, openConnections: openConnections))
    }

    /// Serves on the calling thread until ``stop()``. Call it once.
    func run() { loop.withLock { $0.run() } }

    /// Stops accepting, makes the handler answer waiting requests, gives requests in flight time to finish, and ends
    /// `run`. Thread-safe, but must not be called from a signal handler.
    func stop() { mailbox.post(.stop) }

    /// Uses another certificate for new connections. Open ones keep theirs. Thread-safe. The listener must speak TLS.
    func use(_ identity: TLSIdentity) { mailbox.post(.identity(identity)) }

    /// Calls the function on the listener's thread, if that still takes events. Thread-safe.
    func probe(_ answer: @escaping @Sendable () -> Void) {
        mailbox.post(.probe(LoopEvent.Probe(answer: answer)))
    }

    /// The number of open connections.
    var connectionCount: Int { openConnections.value.load(ordering: .relaxed) }

    /// - Returns: how many files the process may have open.
    private static func raiseFileLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 1_024 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 { limit = raised }
        }
        return Int(clamping: limit.rlim_cur)
    }
}

/// The number of open connections. The listener's thread writes it, any thread reads it.
final class ConnectionCount: Sendable {
    let value = Atomic<Int>(0)
}

/// Why a listener could not start.
public enum ListenerError: Error, Equatable, PhraseConvertible {
    case notAnAddress(String)
    case cannotListen(address: String, port: UInt16, code: Int32)
    case cannotStart

    public var phrase: Phrase {
        switch self {
        case .notAnAddress(let text):
            "'\(text)' is not an address; write a numeric IPv4 or IPv6 address, or 'localhost'"
        case .cannotListen(let address, let port, EACCES):
            "cannot listen on '\(address)' port \(port): permission denied; a port below 1024 needs the capability CAP_NET_BIND_SERVICE"
        case .cannotListen(let address, let port, let code):
            "cannot listen on '\(address)' port \(port): \(Errno(rawValue: code).phrase)"
        case .cannotStart:
            "cannot start the HTTP server; the limit of open files or the memory may be too small"
        }
    }
}

/// Limits for one client, and for all clients together.
struct ListenerLimits: Sendable {
    /// The maximum number of connections. With nil, the process's limit of open files decides.
    var connections: Int?
    /// Open files that are reserved for everything except connections.
    var reservedDescriptors = 768
    /// The maximum number of connections from one address (for IPv6, from one /64 network). Loopback is exempt.
    var connectionsPerAddress = 256
    /// Memory for the head of a request and as a buffer for its body. A larger head is refused. All of it is touched with
    /// each answer, because libmicrohttpd clears it, and 10,000 readers may be answered at once.
    var connectionMemoryBytes = 12 << 10
    /// The maximum size in bytes of all bodies being collected. Above it, clients that send more are refused.
    var collectedBytes = 256 << 20
    /// The maximum size in bytes of all answers being sent, and of those to one reader. Above it, large answers to GET
    /// are refused.
    var answerBytes = 256 << 20
    var answerBytesPerReader = 64 << 20
    /// The time from connecting, or from the request line, to the end of the head.
    var headMilliseconds: Int64 = 10_000
    /// The time from the end of a request to the head of the next. With the reaper's period added, a client that
    /// exceeds it is disconnected within 30 s.
    var idleMilliseconds: Int64 = 28_000
    /// A request or reply body must transfer `progressBytes` in this time, except while the server itself pauses the
    /// transfer.
    var progressMilliseconds: Int64 = 20_000
    var progressBytes = 20 << 10
    /// How often deadlines are checked.
    var reaperMilliseconds: Int64 = 1_000
    /// How long a refused client may continue to send, so that it can read the reply.
    var lingerMilliseconds: Int64 = 3_000
    var lingerConnections = 512
    /// How long requests in flight may take after ``HTTPListener/stop()``.
    var stopMilliseconds: Int64 = 5_000

    init() {}
}

extension ChatServer {
    /// The libraries with their versions, for `--version`.
    public static var libraries: [String] {
        ["libmicrohttpd " + String(cString: MHD_get_version()), TLSIdentity.library, Gzip.library]
    }
}
