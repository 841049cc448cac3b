internal import CMicroHTTPD

/// An answer to a request.
public struct Reply: Sendable {
    /// 200...599.
    public var status: Int
    /// Sent as they are. `Date`, `Connection`, `Content-Length` and `Transfer-Encoding` are the listener's.
    public var headers: [(String, String)]
    /// Not sent in answer to HEAD, which gets the length alone.
    public var body: ReplyBody
    /// For the log.
    public var note: String?

    public init(status: Int, headers: [(String, String)] = [], body: ReplyBody = .bytes([]), note: String? = nil) {
        (self.status, self.headers, self.body, self.note) = (status, headers, body, note)
    }
}

public enum ReplyBody: Sendable {
    case bytes([UInt8])
    /// Made while it is sent. Without a length in bytes it goes out in chunks.
    case producer(any BodyProducer, length: Int?)
}

/// Makes a body piece by piece.
public protocol BodyProducer: AnyObject, Sendable {
    /// The next piece. On the loop's thread, so it must be quick and must not block.
    ///
    /// - Parameter maximum: how many bytes can be sent now; the listener keeps what is above.
    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep
    /// Nothing more will be asked. Called exactly once, in the end, whatever happened; from any thread.
    func closed()
}

public enum ProducerStep: Sendable {
    case bytes([UInt8])
    /// Nothing for now: asked again after ``Exchange/resumeWriting()``.
    case wait
    case end
    /// Cuts the connection, so that the reader sees that the body is not complete.
    case abort
}

extension Reply {
    /// The words behind the number of the status line.
    var reason: String { MHD_get_reason_phrase_for(UInt32(clamping: status)).map { String(cString: $0) } ?? "Unknown" }

    /// Lets go of a body that will not be sent.
    func discard() {
        if case .producer(let producer, _) = body { producer.closed() }
    }
}
