internal import CMicroHTTPD
internal import Glibc
public import NatterTLS
internal import Synchronization

/// An HTTP/1.1 server on one address: one thread, which waits for thousands of connections at once.
///
/// What stands between the network and a ``HTTPHandler``: a guard against requests that two readers could take for
/// different ones, deadlines for clients that do not go on, and limits of memory and connections.
///
/// Unchecked because of `loop`, which belongs to the thread that calls `run`; its counter may be read from any.
public final class HTTPListener: @unchecked Sendable {
    /// The port that it listens on.
    public let port: UInt16
    private let mailbox: Mailbox
    private let loop: ListenerLoop

    /// Listens; what connects is served from `run` on. SIGPIPE is ignored by the whole process from now on, and its
    /// limit of open files is raised as far as it may.
    ///
    /// - Parameters:
    ///   - address: an IPv4 or IPv6 address in numbers, or `localhost`.
    ///   - port: 0 for any that is free.
    ///   - proxies: whose `X-Forwarded-For` is believed.
    ///   - identity: to speak TLS with; nil for plain HTTP.
    public init(
        address: String, port: UInt16, limits: ListenerLimits = ListenerLimits(), proxies: Set<PeerAddress> = [],
        identity: TLSIdentity? = nil, handler: any HTTPHandler
    ) throws(ListenerError) {
        signal(SIGPIPE, SIG_IGN)
        let files = HTTPListener.raiseFileLimit()
        let connectionLimit = limits.connections ?? max(16, min(files - limits.reservedDescriptors, 65_536))
        let socket = try ListeningSocket(address: address, port: port)
        self.port = socket.port
        mailbox = try Mailbox()
        loop = try ListenerLoop(
            socket: socket, limits: limits, connectionLimit: connectionLimit, proxies: proxies,
            identity: identity, handler: handler, mailbox: mailbox)
    }

    /// Serves on the calling thread until ``stop()``. To be called once.
    public func run() { loop.run() }

    /// Accepts nothing more, has the handler answer what waits, lets requests in flight finish for a while, and ends
    /// `run`. From any thread, but not from a signal handler.
    public func stop() { mailbox.post(.stop) }

    /// Serves connections from now on with another certificate; those that are open go on with theirs. From any thread,
    /// for a listener that speaks TLS.
    public func use(_ identity: TLSIdentity) { mailbox.post(.identity(identity)) }

    /// Connections that are open.
    public var connectionCount: Int { loop.count.load(ordering: .relaxed) }

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
