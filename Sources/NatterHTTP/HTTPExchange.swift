internal import CEvent
internal import Glibc
internal import NatterModel
internal import NatterSystem

/// One request on one connection, and its result. It receives the callbacks of evhttp.
///
/// evhttp 2.1 takes some malformed answers for short ones: a `Connection` header without a length means "no body",
/// and an unknown `Transfer-Encoding` is ignored. So this type checks the framing first.
final class HTTPExchange {
    /// The most bytes of an answer's status line and headers.
    static let headLimit = 64 << 10
    /// The slowest that both ends together may be, in bytes a second, after as many timeouts. A server that sends a byte now
    /// and then would hold a command for days otherwise.
    private static let leastBytesPerSecond: Int64 = 1 << 10
    private static let timeoutsAtAnySpeed: Int64 = 10
    /// The most interim answers, such as `100 Continue`, before the final one.
    private static let interimLimit = 8

    private let times: TimeLimits
    /// The longest body in bytes.
    let bodyLimit: Int
    private let onBody: ((UnsafeRawBufferPointer) throws -> Void)?
    /// Whether a status of 2xx is all that is wanted. An error behind it does not matter then.
    private let statusSuffices: Bool

    /// Whether the connection is established, including TLS.
    private(set) var isConnected = false
    /// Whether a part of the request was handed to the system.
    private(set) var hasSent = false
    /// Whether a part of the answer was received.
    private(set) var hasReceived = false
    /// The time by which the next step must happen.
    private(set) var progressLimit: Int64
    private(set) var failure: TransportError?
    /// Whether the connection can be used for another request.
    private(set) var isReusable = false

    private var isComplete = false
    private var interimCount = 0
    private var receivedBytes = 0
    private var sentBytes = 0
    private var status = 0
    private var headers: [(name: String, value: String)] = []
    private var body: [UInt8] = []

    /// - Parameter connectLimit: the time by which the connection must be established; nil if it already is.
    init(
        times: TimeLimits, connectLimit: Int64?, bodyLimit: Int, statusSuffices: Bool,
        onBody: ((UnsafeRawBufferPointer) throws -> Void)?
    ) {
        self.statusSuffices = statusSuffices
        self.times = times
        progressLimit = min(connectLimit ?? times.start + times.timeout, times.deadline)
        self.bodyLimit = min(max(0, bodyLimit), 1 << 40)
        self.onBody = onBody
    }

    var isDone: Bool { isComplete || failure != nil }
    var response: HTTPResponse { HTTPResponse(status: status, headers: headers, body: body) }

    /// Ends the exchange. Only the first error counts.
    func fail(_ error: TransportError) {
        guard !isDone else { return }
        if statusSuffices, (200...299).contains(status) {
            (isComplete, isReusable) = (true, false)
        } else {
            failure = error
        }
    }

    // MARK: - Progress of the connection

    func didConnect() {
        isConnected = true
        progressLimit = min(times.start + times.timeout, times.deadline)
    }

    /// - Parameter bytesLeft: the bytes that are still to be sent. The timeout starts again only if there are some.
    ///   For a small request, the wait for the answer counts from the start.
    func didSend(bytes: Int, bytesLeft: Int) {
        hasSent = true
        sentBytes += bytes
        if bytesLeft > 0 { progress() }
    }

    /// - Parameter bytesWaiting: the bytes that were received but not parsed yet.
    func didReceive(bytes: Int, bytesWaiting: Int) {
        hasReceived = true
        receivedBytes += bytes
        progress()
        // A chunk is parsed when it is complete, and a line when it ends, so both need a limit. Chunked encoding
        // costs an honest sender at most six bytes for each byte of content.
        if bytesWaiting > bodyLimit + 2 * HTTPExchange.headLimit
            || receivedBytes > 8 * bodyLimit + 16 * HTTPExchange.headLimit
        {
            fail(tooLarge)
        }
    }

    private func progress() {
        let allowance = Int64(clamping: receivedBytes + sentBytes) * 1_000 / HTTPExchange.leastBytesPerSecond
        progressLimit = min(
            MonotonicClock.now() + times.timeout,
            times.start + times.timeout * HTTPExchange.timeoutsAtAnySpeed + allowance, times.deadline)
    }

    // MARK: - Parts of the answer

    /// - Returns: false to keep evhttp from reading the body.
    func didReadHead(_ request: UnsafeMutablePointer<evhttp_request>, stream: OpaquePointer) -> Bool {
        guard !isDone else { return false }
        let code = Int(request.pointee.response_code)
        // RFC 9110, section 15.2: any of these may precede the answer. 101 would end HTTP.
        if (100...199).contains(code), code != 101 {
            interimCount += 1
            guard interimCount <= HTTPExchange.interimLimit else { return refuse("it sends only interim answers") }
            // The only one that evhttp knows.
            request.pointee.response_code = 100
            evhttp_clear_headers(request.pointee.input_headers)
            // evhttp continues when it is told again that the request was written. With TLS this happens only if more
            // of the request follows, so it is triggered here.
            bufferevent_trigger(stream, Int16(EV_WRITE), Int32(BEV_TRIG_DEFER_CALLBACKS.rawValue))
            return true
        }
        guard request.pointee.major == 1 else { return refuse("its answer has a foreign version of HTTP") }
        guard (200...599).contains(code) else { return refuse("its answer has the status \(code)") }
        status = code
        headers = HTTPExchange.headers(of: request)
        return judgeFraming(request)
    }

    private func judgeFraming(_ request: UnsafeMutablePointer<evhttp_request>) -> Bool {
        let lengths = values("Content-Length")
        let codings = values("Transfer-Encoding")
        let hasBody = status != 204 && status != 304
        if hasBody, !codings.isEmpty {
            guard codings.count == 1, HTTPResponse.isSame(codings[0], "chunked"), lengths.isEmpty else {
                return refuse("its answer has no clear length")
            }
        } else if hasBody, let text = lengths.first {
            guard lengths.allSatisfy({ $0 == text }), let length = Int(digits: text) else {
                return refuse("its answer has no clear length")
            }
            if length > bodyLimit {
                fail(tooLarge)
                return false
            }
        }
        let isDelimited = !hasBody || !codings.isEmpty || !lengths.isEmpty
        let isClosing = values("Connection").contains { value in
            value.split(separator: ",").contains { word in
                HTTPResponse.isSame(word.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" }, "close")
            }
        }
        isReusable = request.pointee.minor > 0 && isDelimited && !isClosing
        // With a `Connection` header and without a length, evhttp would take the body for empty.
        while evhttp_remove_header(request.pointee.input_headers, "Connection") == 0 {}
        return true
    }

    func didReadBody(_ buffer: OpaquePointer) {
        while failure == nil {
            let count = evbuffer_get_contiguous_space(buffer)
            guard count > 0, let start = evbuffer_pullup(buffer, count) else { return }
            let bytes = UnsafeRawBufferPointer(start: start, count: count)
            // `onBody` expects the requested content, so the text of an error is collected instead.
            if let onBody, (200...299).contains(status) {
                do { try onBody(bytes) } catch { return fail(.aborted(error)) }
            } else {
                body.append(contentsOf: bytes)
            }
            evbuffer_drain(buffer, count)
        }
    }

    func didComplete() { isComplete = true }

    // MARK: - Helpers

    private var tooLarge: TransportError {
        .protocolError("the server's answer is larger than the \(bodyLimit) bytes that it may have")
    }

    private func refuse(_ reason: Phrase) -> Bool {
        fail(.protocolError("the server does not speak HTTP as it should: \(reason)"))
        return false
    }

    private func values(_ name: String) -> [String] {
        headers.filter { HTTPResponse.isSame($0.name, name) }.map(\.value)
    }

    private static func headers(of request: UnsafeMutablePointer<evhttp_request>) -> [(name: String, value: String)] {
        var found: [(name: String, value: String)] = []
        var next = request.pointee.input_headers?.pointee.tqh_first
        while let entry = next {
            next = entry.pointee.next.tqe_next
            guard let key = entry.pointee.key, let value = entry.pointee.value else { continue }
            found.append((String(cString: key), String(cString: value)))
        }
        return found
    }
}

/// The time limits of one call, in milliseconds of the monotonic clock.
struct TimeLimits {
    /// The longest timeout, 24 days. Longer ones are shortened to it.
    private static let maximum = Int(Int32.max)

    let start = MonotonicClock.now()
    /// The longest time without progress.
    let timeout: Int64
    /// When the whole exchange must end.
    let deadline: Int64

    init(timeoutMilliseconds: Int, deadlineMilliseconds: Int?) {
        timeout = Int64(min(max(timeoutMilliseconds, 0), TimeLimits.maximum))
        deadline = start + Int64(min(max(deadlineMilliseconds ?? TimeLimits.maximum, 0), TimeLimits.maximum))
    }

    /// When the next connection must be established. The remaining time is divided evenly among `count` addresses,
    /// this one included.
    func connectLimit(addressesLeft count: Int) -> Int64 {
        let now = MonotonicClock.now()
        return now + max(0, min(start + timeout, deadline) - now) / Int64(max(1, count))
    }
}
