/// What lies above the listener. All of it runs on the loop's thread unless it says otherwise, so it must not block.
public protocol HTTPHandler: Sendable {
    /// Decides, by the head alone, what happens to the body.
    func plan(_ head: RequestHead) -> BodyPlan
    /// A request whose body was collected. Must lead to exactly one ``Exchange/respond(_:)``, at once or from any thread.
    func handle(_ head: RequestHead, body: [UInt8], _ exchange: Exchange)
    /// The answer to what the listener refuses by itself.
    func guardReply(_ violation: HTTPViolation) -> Reply
    /// A request is over; for the log.
    func finished(_ summary: RequestSummary)
    /// A client has connected, from this address; for the log.
    func connected(_ address: String)
    /// A connection has ended; for the log.
    func disconnected(_ summary: ConnectionSummary)
    /// The listener is about to end: requests that wait for news should be answered now.
    func stopping()
}

extension HTTPHandler {
    public func connected(_ address: String) {}
    public func disconnected(_ summary: ConnectionSummary) {}
}

public enum BodyPlan {
    /// Answered at once, the body unread; the connection is closed after it.
    case refuse(Reply)
    /// The whole body in memory. Above the limit, in bytes, it is refused with 413 before anything is read.
    case collect(limit: Int)
    /// Bulk of any length, in chunks or not.
    case stream(any BodySink)
}

/// Takes a body piece by piece.
///
/// Who wants no more of it may call ``Exchange/respond(_:)`` before the end, with a body of bytes: the client gets that
/// answer at once, `abandoned` is called, and the connection is closed.
public protocol BodySink: AnyObject, Sendable {
    /// On the loop's thread. The bytes are valid during the call only.
    ///
    /// - Returns: false to pause reading until ``Exchange/resumeReading()``.
    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool
    /// The body is whole. Must lead to exactly one ``Exchange/respond(_:)``, at once or from any thread.
    func finish(_ exchange: Exchange)
    /// There was an answer, the client went away or was cut, before the body was whole. Nothing follows.
    func abandoned()
}

/// What became of one request.
public struct RequestSummary: Sendable {
    public let method: String
    public let target: String
    /// 0 if no answer was given before the connection ended.
    public let status: Int
    /// Bytes of the request's body that arrived.
    public let bytesIn: Int
    /// Bytes of the reply's body that were sent.
    public let bytesOut: Int
    public let durationMicroseconds: Int
    public let remoteAddress: String
    /// False if the connection broke, or was cut, before the end of the reply.
    public let isComplete: Bool
    /// ``Reply/note``, or why the listener cut the connection.
    public let note: String?
    /// What ``Exchange/tell(_:_:)`` has added.
    public let facts: [(key: String, value: String)]
}

/// What became of one connection.
public struct ConnectionSummary: Sendable {
    /// Of the other end, a proxy perhaps.
    public let address: String
    public let requests: Int
    public let durationMilliseconds: Int64
    /// Why the listener ended it; nil if the client did, or an answer said so.
    public let reason: String?
}
