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
    /// How long requests in flight may take after ``HTTPListener/stop()``. The whole server stops in 5 s.
    var stopMilliseconds: Int64 = 4_000

    init() {}
}
