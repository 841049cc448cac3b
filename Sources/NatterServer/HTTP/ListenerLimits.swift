/// What one client, and all of them together, may cost.
public struct ListenerLimits: Sendable {
    /// Connections at once; nil: what the process's limit of open files leaves.
    public var connections: Int?
    /// Open files that are kept back for everything but connections.
    public var reservedDescriptors = 768
    /// Connections at once of one address (of an IPv6 network of 64 bits); loopback is exempt.
    public var connectionsPerAddress = 256
    /// Memory for the head of a request and as a buffer for its body; a larger head is refused.
    public var connectionMemoryBytes = 16 << 10
    /// Bytes of bodies that are being collected, all connections together; beyond it, who sends more is refused.
    public var collectedBytes = 256 << 20
    /// From connecting, or from the request line, to the end of the head.
    public var headMilliseconds: Int64 = 10_000
    /// From the end of a request to the head of the next. With the reaper's period, an offender is gone within 30 s.
    public var idleMilliseconds: Int64 = 28_000
    /// A body that comes in, or an answer that goes out, must make `progressBytes` in this time, unless it is the
    /// server that waits.
    public var progressMilliseconds: Int64 = 20_000
    public var progressBytes = 20 << 10
    /// How often deadlines are looked at.
    public var reaperMilliseconds: Int64 = 1_000
    /// How long a refused client may go on sending, so that it comes to read the answer.
    public var lingerMilliseconds: Int64 = 3_000
    public var lingerConnections = 512
    /// How long requests in flight may take after ``HTTPListener/stop()``.
    public var stopMilliseconds: Int64 = 5_000

    public init() {}
}
