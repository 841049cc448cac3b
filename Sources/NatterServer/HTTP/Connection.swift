internal import CMicroHTTPD
internal import Glibc
internal import NatterSystem

/// One connection and the request that is on it. The loop's thread only.
///
/// libmicrohttpd calls for a request in this order: `target` when its first line is complete, `access` with the head, with
/// each piece of the body, and with nothing when the body is whole, then `ended`.
final class Connection {
    enum Stage {
        /// Waiting for a request, or reading its head.
        case head
        case collecting
        case streaming(any BodySink)
        /// The request is whole, and the answer not there yet.
        case answering
        case replying
    }

    let handle: OpaquePointer
    let descriptor: Int32
    let address: PeerAddress
    let addressText: String
    private unowned let loop: ListenerLoop
    /// Its place in the loop's list.
    var index = 0

    private(set) var stage = Stage.head
    private(set) var exchange: Exchange?
    private(set) var isSuspended = false
    private(set) var isCut = false
    /// True while a handler is inside `handle` or `finish`, so that an answer can be taken without a suspension.
    private(set) var isDispatching = false
    /// Whether a closing of the connection must wait for what the client still sends.
    private(set) var mustLinger = false
    var reply: Reply?
    var bytesOut = 0

    private var method = ""
    private var target = ""
    /// Where the library has it, and its bytes there.
    private var targetAddress = 0
    private var targetLength = 0
    private var isTargetPlain = false
    private var targetPath: [String]?
    private var targetQuery: [(name: String, value: String)]?
    private var body: [UInt8] = []
    private var bytesIn = 0
    private var status = 0
    private var note: String?
    private var began: Int64 = 0
    /// Milliseconds: when the head must be complete.
    private var headDeadline: Int64
    private var hasLookedForEnd = false
    private var progress = Progress()

    init(handle: OpaquePointer, descriptor: Int32, address: PeerAddress, loop: ListenerLoop) {
        (self.handle, self.descriptor, self.address, self.loop) = (handle, descriptor, address, loop)
        addressText = address.text
        headDeadline = loop.now + loop.limits.headMilliseconds
    }

    // MARK: What libmicrohttpd calls

    /// The request line is complete; the library will take `text` apart in place, so it is read now.
    func begin(target text: UnsafePointer<CChar>) {
        let bytes = UnsafeRawBufferPointer(start: text, count: strlen(text))
        target = String(decoding: bytes, as: UTF8.self)
        targetAddress = Int(bitPattern: text)
        targetPath = RequestTarget.path(of: bytes)
        targetQuery = RequestTarget.query(of: bytes)
        targetLength = bytes.count
        isTargetPlain = bytes.first == UInt8(ascii: "/") && bytes.allSatisfy { $0 > 0x20 && $0 != 0x7F }
        began = MonotonicClock.nanoseconds()
        headDeadline = min(headDeadline, loop.now + loop.limits.headMilliseconds)
    }

    /// - Parameters:
    ///   - data: a piece of the body, if there is one.
    ///   - count: its bytes; to be lowered by what was taken.
    /// - Returns: false to close the connection.
    func access(
        method: UnsafePointer<CChar>, data: UnsafePointer<CChar>?, count: UnsafeMutablePointer<Int>
    ) -> Bool {
        guard !isCut else { return false }
        switch stage {
        case .head: return takeHead(method: method)
        case .collecting:
            guard let data, count.pointee > 0 else {
                stage = .answering
                return dispatch { head, exchange in
                    let whole = body
                    body = []
                    loop.handler.handle(head, body: whole, exchange)
                }
            }
            body.append(contentsOf: UnsafeRawBufferPointer(start: data, count: count.pointee))
            bytesIn += count.pointee
            count.pointee = 0
            return true
        case .streaming(let sink):
            // The library may go on to the next chunk of a connection that has just been suspended.
            if isSuspended { return true }
            guard let data, count.pointee > 0 else {
                stage = .answering
                return dispatch { _, exchange in sink.finish(exchange) }
            }
            guard let exchange else { return false }
            bytesIn += count.pointee
            let goesOn = sink.receive(UnsafeRawBufferPointer(start: data, count: count.pointee), exchange)
            count.pointee = 0
            if !goesOn { suspend() }
            return true
        case .answering: return answer()
        case .replying: return true
        }
    }

    /// The request is over, well or not.
    func ended(isComplete: Bool) {
        if case .streaming(let sink) = stage { sink.abandoned() }
        // Still here only if it was never handed to the library.
        reply?.discard()
        exchange?.connection = nil
        loop.handler.finished(
            RequestSummary(
                method: method, target: target, status: status, bytesIn: bytesIn, bytesOut: bytesOut,
                durationMicroseconds: Int((MonotonicClock.nanoseconds() - began) / 1_000), remoteAddress: addressText,
                isComplete: isComplete && !isCut, note: note))
        (exchange, reply, note) = (nil, nil, nil)
        (method, target) = ("", "")
        (bytesIn, bytesOut, status) = (0, 0, 0)
        body = []
        stage = .head
        headDeadline = loop.now + loop.limits.idleMilliseconds
        hasLookedForEnd = false
    }

    // MARK: What the loop calls

    func suspend() {
        guard !isSuspended, !isCut else { return }
        isSuspended = true
        MHD_suspend_connection(handle)
    }

    func resume() {
        guard isSuspended else { return }
        isSuspended = false
        progress = Progress()
        MHD_resume_connection(handle)
    }

    /// Goes on with a body, the request's or the reply's, that had to wait.
    func resumeTransfer() {
        if case .answering = stage { return }
        resume()
    }

    /// Ends the connection now; the library notices by itself.
    func cut(_ reason: String) {
        isCut = true
        note = reason
        shutdown(descriptor, Int32(SHUT_RDWR))
        resume()
    }

    /// Cuts the connection if its time is over.
    func checkDeadline() {
        let limits = loop.limits
        switch stage {
        case .head:
            if loop.now > headDeadline { cut("the head of the request took too long") }
            // The library overlooks an end that came together with the request; later ends it notices.
            if !hasLookedForEnd {
                hasLookedForEnd = true
                if SocketStatistics.hasEnded(descriptor) { cut("the client has gone") }
            }
        case .collecting, .streaming:
            if isSuspended { return }
            if !progress.isEnough(total: UInt64(bytesIn), now: loop.now, limits) { cut("the body came too slowly") }
        case .answering: break
        case .replying:
            if isSuspended { return }
            let taken = SocketStatistics.bytesAcknowledged(descriptor)
            if !progress.isEnough(total: taken, now: loop.now, limits) { cut("the answer was read too slowly") }
        }
    }

    /// Nothing is on it, nor on its way.
    var isIdle: Bool {
        if case .head = stage { return exchange == nil && SocketStatistics.unreadBytes(descriptor) == 0 }
        return false
    }

    /// Whether the library has read a head whole that it has not shown us.
    var hasUnseenHead: Bool {
        if case .head = stage { return !isCut && status == 0 && natter_connection_head_size(handle) > 0 }
        return false
    }

    /// Answers past the library, and leaves it a socket that it cannot write to.
    func refuseHead() {
        let reply = loop.handler.guardReply(.malformed(reason: "the Content-Length is not a number"))
        status = reply.status
        note = reply.note
        mustLinger = true
        var bytes = Array("HTTP/1.1 \(reply.status) Bad Request\r\nConnection: close\r\n".utf8)
        for (name, value) in reply.headers { bytes += Array("\(name): \(value)\r\n".utf8) }
        guard case .bytes(let body) = reply.body else { return reply.discard() }
        bytes += Array("Content-Length: \(body.count)\r\n\r\n".utf8) + body
        // All earlier answers are with the kernel already, else the library would not be reading.
        _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        shutdown(descriptor, Int32(SHUT_WR))
    }

    // MARK: Steps of a request

    private func takeHead(method text: UnsafePointer<CChar>) -> Bool {
        let raw: RawHead
        method = String(cString: text)
        do throws(HTTPViolation) {
            raw = try readHead(method: text)
        } catch {
            return refuse(loop.handler.guardReply(error))
        }
        let head = RequestHead(
            method: method, target: target, path: targetPath, query: targetQuery,
            headers: raw.headers, remoteAddress: addressText, contentLength: raw.contentLength,
            isChunked: raw.isChunked)
        let exchange = Exchange(head: head, mailbox: loop.mailbox, connection: self)
        self.exchange = exchange
        progress = Progress()
        switch loop.handler.plan(head) {
        case .refuse(let reply): return refuse(reply)
        case .collect(let limit):
            if raw.isChunked {
                return refuse(
                    loop.handler.guardReply(
                        .malformed(reason: "a body in chunks is taken only where bulk is; send a Content-Length")))
            }
            let length = raw.contentLength ?? 0
            if length > limit { return refuse(loop.handler.guardReply(.bodyTooLarge(limitBytes: limit))) }
            // What is announced costs memory only as it arrives.
            body.reserveCapacity(min(length, 16 << 10))
            stage = .collecting
        case .stream(let sink):
            stage = .streaming(sink)
        }
        return true
    }

    private func readHead(method: UnsafePointer<CChar>) throws(HTTPViolation) -> RawHead {
        let size = natter_connection_head_size(handle)
        let start = targetAddress - Int(bitPattern: method)
        guard size > 0, start > 0, start <= size, targetLength <= size - start else {
            throw .malformed(reason: "the request line is malformed")
        }
        guard isTargetPlain else {
            throw .malformed(reason: "the target of a request begins with '/' and has no spaces")
        }
        return try RawHead(
            UnsafeRawBufferPointer(start: method, count: size), targetRange: start..<(start + targetLength),
            headerCount: Int(MHD_get_connection_values(handle, .HEADER_KIND, nil, nil)))
    }

    /// Lets a handler run, and takes its answer if it is there already.
    private func dispatch(_ body: (RequestHead, Exchange) -> Void) -> Bool {
        guard let exchange else { return false }
        isDispatching = true
        body(exchange.head, exchange)
        isDispatching = false
        return answer()
    }

    private func answer() -> Bool {
        guard let reply else {
            suspend()
            return true
        }
        // After a body in chunks the connection is not used again: the library is too lax about where one ends.
        return send(reply, closing: loop.isStopping || exchange?.head.isChunked == true)
    }

    private func refuse(_ reply: Reply) -> Bool {
        mustLinger = true
        return send(reply, closing: true)
    }

    private func send(_ reply: Reply, closing: Bool) -> Bool {
        self.reply = nil
        status = reply.status
        note = reply.note
        stage = .replying
        progress = Progress()
        guard let response = makeResponse(reply) else { return false }
        defer { MHD_destroy_response(response) }
        for (name, value) in reply.headers {
            // Refused by the library if it holds a line break, which would make two headers of one.
            MHD_add_response_header(response, name, value)
        }
        if closing { MHD_add_response_header(response, "Connection", "close") }
        return MHD_queue_response(handle, UInt32(clamping: reply.status), response) == .YES
    }

    private func makeResponse(_ reply: Reply) -> OpaquePointer? {
        switch reply.body {
        case .bytes(let bytes):
            bytesOut = method == "HEAD" ? 0 : bytes.count
            return bytes.withUnsafeBytes {
                MHD_create_response_from_buffer(
                    $0.count, UnsafeMutableRawPointer(mutating: $0.baseAddress), .RESPMEM_MUST_COPY)
            }
        case .producer(let producer, let length):
            guard let exchange else {
                producer.closed()
                return nil
            }
            return ReplyWriter.response(producer, length: length, connection: self, exchange: exchange)
        }
    }
}
