internal import NatterModel

/// The layer above the listener. All methods run on the listener's thread unless they say otherwise, so they must not
/// block.
protocol HTTPHandler: Sendable {
    /// Headers that every reply carries, unless the reply has its own header of that name. Read once, at the start.
    var commonHeaders: [(name: String, value: String)] { get }
    /// Reads a head. The function that it returns decides, for each request that has this head, how the body is read and which
    /// function answers the request.
    ///
    /// A client that keeps its connection mostly sends the same head again. So what is always the same belongs before the
    /// function, and what may change into it, for example whether the token is still good.
    func prepare(_ head: RequestHead) -> @Sendable () -> BodyPlan
    /// The reply to a request that the listener itself refuses.
    func reply(to violation: HTTPViolation) -> Reply
    /// Called after a request has ended without its whole answer. Drop what is still to be done for it.
    func abandoned(_ exchange: Exchange)
    /// Called after a request has ended, for the log.
    func finished(_ summary: RequestSummary)
    /// Called after a client has connected from this address, for the log.
    func connected(_ address: String)
    /// Called after a connection has ended, for the log.
    func disconnected(_ summary: ConnectionSummary)
    /// Called before the listener stops. Answer requests that wait for news now.
    func stopping()
}

enum BodyPlan {
    /// Reply immediately without reading the body, then close the connection.
    case refuse(Reply)
    /// Do the same as soon as the function has led to a call of ``Exchange/respond(_:)`` with a reply of known bytes, from any
    /// thread. The request must have a body.
    case refuseLater(@Sendable (Exchange) -> Void)
    /// Collect the whole body in memory, then call the function with it. The function must lead to exactly one call of
    /// ``Exchange/respond(_:)``, immediately or later from any thread. A body longer than `limit` bytes gets 413 before
    /// any of it is read.
    case collect(limit: Int, @Sendable ([UInt8], Exchange) -> Void)
    /// Pass a body of any length, chunked or not, to the sink piece by piece.
    case stream(any BodySink)
}

/// Receives a body piece by piece. If the request ends before its body is complete, because the sink replied early or the client
/// disconnected or was cut off, it is released without another call.
///
/// A sink that wants no more may call ``Exchange/respond(_:)`` before the end of the body, with a reply of known bytes.
/// The client gets that reply immediately. Then the listener closes the connection.
protocol BodySink: AnyObject, Sendable {
    /// Takes the next piece, on the listener's thread. The bytes are valid only during the call.
    ///
    /// - Returns: false to pause reading until ``Exchange/resume()``.
    func receive(_ bytes: UnsafeRawBufferPointer, _ exchange: Exchange) -> Bool
    /// About how many received bytes it keeps in memory. They count among those of all bodies.
    var heldBytes: Int { get }
    /// The body is complete. This must lead to exactly one call of ``Exchange/respond(_:)``, immediately or later from
    /// any thread.
    func finish(_ exchange: Exchange)
}

/// Why the listener itself refuses a request. The client gets one reply, and the connection is closed.
enum HTTPViolation: Error, Sendable, Equatable, PhraseConvertible {
    /// 400: the request violates HTTP, or two readers could interpret it differently.
    case malformed(reason: Phrase)
    /// 413: the announced body is longer than the route takes.
    case bodyTooLarge(limitBytes: Int)
    /// 429: a client behind a proxy has the maximum number of open requests.
    case tooManyRequests(limit: Int)
    /// 503: the bodies being received use all memory allowed for bodies.
    case tooManyBodies
    /// 503: the answers being sent use all memory allowed for answers.
    case tooManyAnswers
    /// 429: the answers being sent to one reader use all memory allowed for it.
    case tooManyOwnAnswers

    var phrase: Phrase {
        switch self {
        case .malformed(let reason): reason
        case .bodyTooLarge(let limit): "the body is larger than \(limit) bytes"
        case .tooManyBodies: "too much is being sent at once; try again in a moment"
        case .tooManyAnswers: "too much is being read at once; try again in a moment"
        case .tooManyOwnAnswers: "you have not read your other answers yet; read them, or try again in a moment"
        case .tooManyRequests(let limit): "your address already has \(limit) open requests; try again in a moment"
        }
    }
}

/// The summary of one request, for the log.
struct RequestSummary: Sendable {
    let method: String
    let target: String
    /// The status, or 0 if the connection ended before a reply.
    let status: Int
    /// Bytes of the request's body that arrived.
    let bytesIn: Int
    /// Bytes of the reply's body that were sent.
    let bytesOut: Int
    let durationMicroseconds: Int
    let remoteAddress: String
    /// False if the connection broke or was cut before the end of the reply.
    let isComplete: Bool
    /// ``Reply/note``, or the reason why the listener cut the connection.
    let note: String?
    /// The facts that ``Exchange/addFact(_:_:)`` recorded.
    let facts: [(key: String, value: String)]
}

/// The summary of one connection, for the log.
struct ConnectionSummary: Sendable {
    /// The address of the other end, which may be a proxy.
    let address: String
    let requests: Int
    let durationMilliseconds: Int64
    /// Why the listener ended the connection. It is nil if the client ended it, or if a reply said `Connection: close`.
    let reason: String?
}
