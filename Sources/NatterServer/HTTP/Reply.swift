internal import CMicroHTTPD

/// The reply to a request.
struct Reply: Sendable {
    /// The status, from 200 to 599.
    var status: Int
    /// The headers, sent as they are. The listener adds `Date`, `Connection`, `Content-Length` and `Transfer-Encoding`.
    var headers: [(name: String, value: String)]
    /// The body. A reply to HEAD, and one with the status 304, sends only its length.
    var body: ReplyBody
    /// A note for the log.
    var note: String?
    /// The account that asked, whose answers are limited; nil for strangers.
    var reader: Int64?

    init(
        status: Int, headers: [(name: String, value: String)] = [], body: ReplyBody = .bytes([]), note: String? = nil
    ) {
        (self.status, self.headers, self.body, self.note) = (status, headers, body, note)
    }

    /// About how many bytes the body takes in memory while it is sent.
    var heldBytes: Int {
        switch body {
        case .bytes(let bytes): bytes.count
        case .producer(let producer, _): producer.heldBytes
        }
    }

    /// The reason phrase of the status line.
    var reason: String { MHD_get_reason_phrase_for(UInt32(clamping: status)).map { String(cString: $0) } ?? "Unknown" }

    /// Whether the reply to a request with this method says only how long the body is.
    func isHeadOnly(for method: String) -> Bool { method == "HEAD" || status == 304 }

    /// The answer to a head that leaves no room for an answer, in the form that libmicrohttpd's own have.
    static let headTooLarge = Reply(
        status: 431, headers: [("Content-Type", "text/plain; charset=utf-8")],
        body: .bytes(Array("the headers or cookies of this request are too long\n".utf8)))
}

enum ReplyBody: Sendable {
    case bytes([UInt8])
    /// A body that is produced while it is sent. Without a length in bytes it is sent in chunks.
    case producer(any BodyProducer, length: Int?)
}

/// Makes a body piece by piece. It is released when no more pieces are wanted, on any thread.
protocol BodyProducer: AnyObject, Sendable {
    /// Returns the next piece. It runs on the listener's thread, so it must be quick and must not block.
    ///
    /// - Parameter maximum: how many bytes can be sent now. The listener keeps the rest.
    func next(maximum: Int, _ exchange: Exchange) -> ProducerStep
    /// About how many bytes it keeps in memory for a reader that does not read.
    var heldBytes: Int { get }
}

extension BodyProducer {
    var heldBytes: Int { 0 }
}

enum ProducerStep: Sendable {
    case bytes([UInt8])
    /// No bytes yet. The listener asks again after ``Exchange/resume()``.
    case wait
    case end
    /// Cut the connection, so that the reader notices that the body is incomplete.
    case abort
}

/// Passes a produced body to libmicrohttpd, which owns the feeder while the response lives.
final class ReplyFeeder {
    private let producer: any BodyProducer
    private let length: Int?
    private let connection: ClientConnection
    private let exchange: Exchange
    private var pending: ArraySlice<UInt8> = []

    private init(_ producer: any BodyProducer, length: Int?, connection: ClientConnection, exchange: Exchange) {
        (self.producer, self.length) = (producer, length)
        (self.connection, self.exchange) = (connection, exchange)
    }

    /// The buffer size for a body of known length. For a chunked body, the connection's memory decides.
    private static let blockBytes = 32 << 10

    /// - Returns: nil if memory is short.
    static func response(
        _ producer: any BodyProducer, length: Int?, connection: ClientConnection, exchange: Exchange
    ) -> OpaquePointer? {
        let feeder = ReplyFeeder(producer, length: length, connection: connection, exchange: exchange)
        let context = Unmanaged.passRetained(feeder)
        let response = MHD_create_response_from_callback(
            length.map { UInt64(clamping: $0) } ?? UInt64.max, blockBytes,
            { context, _, buffer, maximum in
                guard let context, let buffer else { return MHD_CONTENT_READER_END_WITH_ERROR }
                let feeder = Unmanaged<ReplyFeeder>.fromOpaque(context).takeUnretainedValue()
                return feeder.fill(UnsafeMutableRawBufferPointer(start: buffer, count: maximum))
            }, context.toOpaque(),
            { context in
                if let context { Unmanaged<ReplyFeeder>.fromOpaque(context).release() }
            })
        if response == nil { context.release() }
        return response
    }

    private func fill(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        connection.loop.hasWork = true
        while pending.isEmpty {
            guard !connection.isCut, !connection.isReading || exchange.refusal == nil else {
                return MHD_CONTENT_READER_END_WITH_ERROR
            }
            switch producer.next(maximum: buffer.count, exchange) {
            case .bytes(let bytes):
                pending = bytes[...]
                connection.recountAnswer(producer.heldBytes)
            case .wait:
                connection.suspend()
                return 0
            case .end:
                // A body shorter than announced is incomplete, so the connection must not end cleanly.
                return length == nil ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR
            case .abort: return MHD_CONTENT_READER_END_WITH_ERROR
            }
        }
        let count = min(pending.count, buffer.count)
        pending.prefix(count).withUnsafeBytes { buffer.copyMemory(from: $0) }
        pending = pending.dropFirst(count)
        connection.bytesOut += count
        return count
    }
}
