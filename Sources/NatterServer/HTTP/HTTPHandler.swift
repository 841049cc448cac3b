public import NatterLanguage

/// The layer above the listener. Everything runs on the listener's thread unless it says otherwise, so it must not block.
public protocol HTTPHandler: Sendable {
    /// Headers that every reply carries, unless the reply has its own header of that name. Read once, at the start.
    var commonHeaders: [(name: String, value: String)] { get }
    /// Decides from the head alone what happens to the body, and what answers the request.
    func plan(_ head: RequestHead) -> BodyPlan
    /// The reply to a request that the listener itself refuses.
    func reply(to violation: HTTPViolation) -> Reply
    /// A request is over. For the log.
    func finished(_ summary: RequestSummary)
    /// A client has connected from this address. For the log.
    func connected(_ address: String)
    /// A connection has ended. For the log.
    func disconnected(_ summary: ConnectionSummary)
    /// The listener is about to stop: answer requests that wait for news now.
    func stopping()
}

extension HTTPHandler {
    public var commonHeaders: [(name: String, value: String)] { [] }
    public func connected(_ address: String) {}
    public func disconnected(_ summary: ConnectionSummary) {}
}

public enum BodyPlan {
    /// Reply at once without reading the body, then close the connection.
    case refuse(Reply)
    /// Collect the whole body in memory, then call the function with it. The function must lead to exactly one
    /// ``Exchange/respond(_:)``, at once or from any thread. A body longer than `limit` bytes gets 413 before any of it is
    /// read.
    case collect(limit: Int, @Sendable ([UInt8], Exchange) -> Void)
    /// Hand a body of any length, chunked or not, to the sink piece by piece.
    case stream(any BodySink)
}

/// Takes a body piece by piece.
///
/// A sink that wants no more may call ``Exchange/respond(_:)`` before the end of the body, with a reply of known bytes. The
/// client gets that reply at once, the listener calls `abandoned` and closes the connection.
public protocol BodySink: AnyObject, Sendable {
    /// Takes the next piece, on the listener's thread. The bytes are valid only during the call.
    ///
    /// - Returns: false to pause reading until ``Exchange/resume()``.
    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool
    /// The body is complete. Must lead to exactly one ``Exchange/respond(_:)``, at once or from any thread.
    func finish(_ exchange: Exchange)
    /// The request ended before its body was complete: with an early reply, or because the client left or was cut off.
    /// No other call follows.
    func abandoned()
}

/// Why the listener itself refuses a request. The client gets this one reply, and the connection is closed.
public enum HTTPViolation: Error, Sendable, Equatable, PhraseConvertible {
    /// 400: the request breaks HTTP, or two readers could take it for different requests.
    case malformed(reason: Phrase)
    /// 413: the announced body is longer than the route takes.
    case bodyTooLarge(limitBytes: Int)
    /// 429: a client behind a proxy has as many open requests as it may have.
    case tooManyRequests(limit: Int)
    /// 503: the bodies being received already use all the memory that bodies may use.
    case tooManyBodies

    public var status: Int {
        switch self {
        case .malformed: 400
        case .bodyTooLarge: 413
        case .tooManyRequests: 429
        case .tooManyBodies: 503
        }
    }

    public var phrase: Phrase {
        switch self {
        case .malformed(let reason): reason
        case .bodyTooLarge(let limit): "the body is larger than \(limit) bytes"
        case .tooManyBodies: "too much is being sent at once; try again in a moment"
        case .tooManyRequests(let limit): "your address already has \(limit) open requests; try again in a moment"
        }
    }
}

/// How one request ended.
public struct RequestSummary: Sendable {
    public let method: String
    public let target: String
    /// 0 if the connection ended before a reply.
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
    /// What ``Exchange/addFact(_:_:)`` recorded.
    public let facts: [(key: String, value: String)]
}

/// How one connection ended.
public struct ConnectionSummary: Sendable {
    /// The other end, which may be a proxy.
    public let address: String
    public let requests: Int
    public let durationMilliseconds: Int64
    /// Why the listener ended it; nil if the client did, or a reply said `Connection: close`.
    public let reason: String?
}
