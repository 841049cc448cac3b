internal import CMicroHTTPD
internal import Glibc
internal import NatterSystem
internal import NatterTLS

/// One connection and the request that is on it. The loop's thread only.
///
/// libmicrohttpd calls for a request in this order: `begin` when its first line is complete, `access` with the head, with
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
    /// Who the request is from, where a proxy has said it.
    var client: PeerAddress?
    unowned let loop: ListenerLoop
    /// Gone before the library's session is, so not to be used once the connection is closed.
    private var tls: TLSSession?
    /// Its place in the loop's list.
    var index = 0

    var stage = Stage.head
    var exchange: Exchange?
    private(set) var isSuspended = false
    private(set) var isCut = false
    /// Answered past the library, which is only to close it now.
    private(set) var isOver = false
    /// True while a handler is inside `handle` or `finish`, so that an answer can be taken without a suspension.
    var isDispatching = false
    /// Whether a closing of the connection must wait for what the client still sends.
    var mustLinger = false

    var reply: Reply?
    var status = 0
    var note: String?
    var bytesOut = 0

    var method = ""
    private(set) var target = RawTarget()
    var body: [UInt8] = []
    private var bytesIn = 0
    private var began: Int64 = 0
    private let connected: Int64
    private var requests = 0
    private var cutReason: String?

    var progress = Progress()
    /// Milliseconds: when the head must be complete.
    private var headDeadline: Int64
    private var hasLookedForEnd = false

    init(handle: OpaquePointer, descriptor: Int32, address: PeerAddress, loop: ListenerLoop) {
        (self.handle, self.descriptor, self.address, self.loop) = (handle, descriptor, address, loop)
        addressText = address.text
        connected = loop.now
        headDeadline = loop.now + loop.limits.headMilliseconds
    }

    var summary: ConnectionSummary {
        let reason = cutReason ?? (isShakingHands ? "no TLS handshake" : nil)
        return ConnectionSummary(
            address: addressText, requests: requests, durationMilliseconds: max(0, loop.now - connected),
            reason: reason)
    }

    /// Gives the library's new session a certificate, and keeps an eye on its handshake.
    func beginTLS(_ session: OpaquePointer, _ identity: TLSIdentity) {
        tls = TLSSession(session, descriptor: descriptor, identity: identity) { [unowned self] in awaitHandshake() }
    }

    private func awaitHandshake() {
        guard !isSuspended, !isCut, loop.handshakes.add(self) else { return }
        isSuspended = true
        MHD_suspend_connection(handle)
    }

    /// The client has gone on with its handshake.
    func resumeHandshake() {
        loop.handshakes.remove(self)
        resume()
    }

    // MARK: What libmicrohttpd calls

    /// The request line is complete; the library will take `text` apart in place, so it is read now.
    func begin(target text: UnsafePointer<CChar>) {
        target = RawTarget(text)
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
        guard !isCut, !isOver else { return false }
        switch stage {
        case .head: return takeHead(method: method)
        case .collecting:
            guard let data, count.pointee > 0 else { return handOver() }
            guard loop.reserve(count.pointee) else {
                answerPastLibrary(loop.handler.guardReply(.tooManyBodies))
                return false
            }
            body.append(contentsOf: UnsafeRawBufferPointer(start: data, count: count.pointee))
            bytesIn += count.pointee
            count.pointee = 0
            return true
        case .streaming(let sink):
            // The library may go on to the next chunk of a connection that has just been suspended.
            if isSuspended { return true }
            guard let exchange else { return false }
            guard let data, count.pointee > 0 else { return finish(sink) }
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
                method: method, target: target.text, status: status, bytesIn: bytesIn, bytesOut: bytesOut,
                durationMicroseconds: Int((MonotonicClock.nanoseconds() - began) / 1_000), remoteAddress: clientText,
                isComplete: (isComplete || isOver) && !isCut, note: note, facts: exchange?.facts ?? []))
        requests += 1
        if let client { loop.leave(client) }
        client = nil
        (exchange, reply, note) = (nil, nil, nil)
        (method, target) = ("", RawTarget())
        (bytesIn, bytesOut, status) = (0, 0, 0)
        loop.release(body.count)
        body = []
        stage = .head
        headDeadline = loop.now + loop.limits.idleMilliseconds
        hasLookedForEnd = false
    }

    // MARK: What the loop calls

    /// An answer has come from another thread.
    func take(_ reply: Reply) {
        switch stage {
        case .answering:
            self.reply = reply
            resume()
        case .streaming(let sink):
            // Before the body is whole the library takes no answer.
            stage = .replying
            sink.abandoned()
            answerPastLibrary(reply)
            resume()
        case .head, .collecting, .replying: reply.discard()
        }
    }

    func suspend() {
        guard !isSuspended, !isCut else { return }
        isSuspended = true
        MHD_suspend_connection(handle)
    }

    private func resume() {
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
        (note, cutReason) = (reason, reason)
        shutdown(descriptor, Int32(SHUT_RDWR))
        resume()
    }

    /// Cuts the connection if its time is over.
    func checkDeadline() {
        let (now, limits) = (loop.now, loop.limits)
        switch stage {
        case .head:
            if now > headDeadline {
                return cut(isShakingHands ? "the TLS handshake took too long" : "the head of the request took too long")
            }
            // The library overlooks an end that came together with the request; later ends it notices.
            if hasLookedForEnd { return }
            hasLookedForEnd = true
            if SocketStatistics.hasEnded(descriptor) { cut("the client has gone") }
        case .collecting, .streaming:
            if isSuspended { return }
            // Nor does it see that no more of a body will come.
            if SocketStatistics.hasEnded(descriptor), SocketStatistics.unreadBytes(descriptor) == 0 {
                return cut("the client has gone")
            }
            if !progress.isEnough(total: UInt64(bytesIn), now: now, limits) { cut("the body came too slowly") }
        case .answering: break
        case .replying:
            if isSuspended { return }
            let taken = SocketStatistics.bytesAcknowledged(descriptor)
            if !progress.isEnough(total: taken, now: now, limits) { cut("the answer was read too slowly") }
        }
    }

    /// Who a request is from, as far as it is known.
    var clientText: String { client?.text ?? addressText }

    /// Nothing is on it, nor on its way.
    var isIdle: Bool {
        if case .head = stage {
            return exchange == nil && SocketStatistics.unreadBytes(descriptor) == 0 && tls?.pendingBytes ?? 0 == 0
        }
        return false
    }

    private var isShakingHands: Bool { tls.map { !$0.isEstablished } ?? false }

    /// Whether the library has read a head whole that it has not shown us.
    var hasUnseenHead: Bool {
        if case .head = stage { return !isCut && !isOver && natter_connection_head_size(handle) > 0 }
        return false
    }

    /// Writes an answer to the socket where the library does not take one, or would garble it, and leaves the library a
    /// socket that it cannot write to. All earlier answers are with the kernel by then, else it would not be reading.
    func answerPastLibrary(_ reply: Reply) {
        isOver = true
        mustLinger = true
        (status, note) = (reply.status, reply.note)
        guard case .bytes(let body) = reply.body else { return reply.discard() }
        bytesOut = body.count
        var bytes = Array("HTTP/1.1 \(reply.status) \(reply.reason)\r\nConnection: close\r\n".utf8)
        for (name, value) in reply.headers { bytes += Array("\(name): \(value)\r\n".utf8) }
        bytes += Array("Content-Length: \(body.count)\r\n\r\n".utf8) + body
        if let tls {
            tls.send(bytes)
            tls.finishSending()
        } else {
            _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        }
        shutdown(descriptor, Int32(SHUT_WR))
    }
}
