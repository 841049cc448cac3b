internal import CMicroHTTPD
internal import Glibc
public import NatterModel
internal import NatterSystem

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
    private let openConnections = Monitor(0)

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
    var connectionCount: Int { openConnections.withLock { $0 } }

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

/// Why a listener could not start.
public enum ListenerError: FailureConvertible, Equatable {
    case notAnAddress(String)
    case cannotListen(address: String, port: UInt16, code: Int32)
    case cannotStart

    public var failure: CommandFailure {
        switch self {
        case .notAnAddress(let text):
            CommandFailure(
                .configuration, code: "bad_address",
                "'\(text)' is not an address; write a numeric IPv4 or IPv6 address, or 'localhost'")
        case .cannotListen(let address, let port, EACCES):
            CommandFailure(
                .refused, code: "cannot_listen",
                "cannot listen on '\(address)' port \(port): permission denied; a port below 1024 needs the capability CAP_NET_BIND_SERVICE"
            )
        // Another program has the port and may release it.
        case .cannotListen(let address, let port, let code):
            CommandFailure(
                .temporary, code: "cannot_listen",
                "cannot listen on '\(address)' port \(port): \(Errno(rawValue: code).phrase)")
        case .cannotStart:
            CommandFailure(
                .temporary, code: "cannot_start",
                "cannot start the HTTP server; the limit of open files or the memory may be too small")
        }
    }
}

extension ChatServer {
    /// The libraries with their versions, for `--version`.
    public static var libraries: [String] {
        ["libmicrohttpd " + String(cString: MHD_get_version()), TLSIdentity.library, Gzip.library]
    }
}
