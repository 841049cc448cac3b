internal import CMicroHTTPD
internal import Glibc
internal import NatterSystem

/// One connection and its current request. Only the listener's thread uses it.
///
/// For each request, libmicrohttpd calls in this order:
/// 1. `begin` when the first line is complete.
/// 2. `access` with the head, with each piece of the body, and with nothing after the body is complete.
/// 3. `ended`.
final class ClientConnection {
    enum Stage {
        /// Waiting for a request, or reading its head.
        case head
        /// Collecting the body. The function answers the request.
        case collecting(@Sendable ([UInt8], Exchange) -> Void)
        case streaming(any BodySink)
        /// The request is complete, and the handler has not responded yet.
        case answering
        case replying
    }

    let handle: OpaquePointer
    let descriptor: Int32
    let address: PeerAddress
    let addressText: String
    /// The client that a trusted proxy named for the current request.
    var client: PeerAddress?
    /// It closes its connections before it goes.
    unowned let loop: ListenerLoop
    /// It is released before the library's own session, so it must not be used after the connection is closed.
    private var tls: TLSSession?
    /// Its index in the loop's list.
    var index = 0

    var stage = Stage.head
    var exchange: Exchange?
    private(set) var isSuspended = false
    /// When the library began to ask for the reply in each turn; nil if it does not.
    private var polledSince: Int64?
    private(set) var isCut = false
    /// The client has closed its side.
    private var hasLeft = false
    /// The reply was written without the library. The library only has to close the connection.
    private(set) var isOver = false
    /// True while a handler runs on this thread, so that its reply can be taken without suspending the connection.
    var isDispatching = false
    /// True if closing must wait for data that the client still sends. See ``CloseLinger``.
    var mustLinger = false

    var reply: Reply?
    var status = 0
    var note: String?
    var bytesOut = 0

    var method = ""
    private(set) var target = RequestTarget()
    /// The last request that was read, for the next one if that has the same head.
    var former: KnownHead?
    var body: [UInt8] = []
    /// The lines around the chunks of the body; nil without chunks.
    var chunkLines: ChunkLines?
    /// The bytes of this request's body that are counted among those of all bodies.
    private var reservedBytes = 0
    private var bytesIn = 0
    /// The bytes of the answer being sent, which are counted among those of all answers.
    private var held: (bytes: Int, reader: Int64?) = (0, nil)
    /// The turn of the loop in which the head was read.
    var headTurn: UInt64 = 0
    private var began: Int64 = 0
    private let connected: Int64
    private var requests = 0
    private var cutReason: String?

    var progress = TransferProgress()
    /// When the head must be complete, in milliseconds.
    private var headDeadline: Int64
    /// Whether the first line of a request is complete, or its deadline was moved because bytes of it were unread.
    private var hasBegun = false

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

    /// Gives the library's new session a certificate, and watches its handshake.
    func beginTLS(_ session: OpaquePointer, _ identity: TLSIdentity) {
        tls = TLSSession(session, descriptor: descriptor, identity: identity) { [unowned self] in awaitHandshake() }
    }

    private func awaitHandshake() {
        guard !isSuspended, !isCut, loop.handshakes.add(self) else { return }
        isSuspended = true
        MHD_suspend_connection(handle)
    }

    /// The client has continued its handshake.
    func resumeHandshake() {
        loop.handshakes.remove(self)
        resume()
    }

    // MARK: Called by libmicrohttpd

    /// The request line is complete. The library will split `text` in place, so it must be read now.
    func begin(target text: UnsafePointer<CChar>) {
        target = former?.target.again(text) ?? RequestTarget(text)
        (began, hasBegun) = (MonotonicClock.nanoseconds(), true)
        headDeadline = min(headDeadline, loop.now + loop.limits.headMilliseconds)
        // Without room for the records of a query's fields, the library would close the connection in silence.
        let fields = target.text.utf8.count { $0 == UInt8(ascii: "&") }
        if !hasRoomForAnswer(headBytes: target.count, records: fields) { sendPastLibrary(.headTooLarge) }
    }

    /// - Parameters:
    ///   - data: a piece of the body, or nil at the head and at the end.
    ///   - count: its length. Lower it by the number of bytes taken.
    /// - Returns: false to close the connection.
    func access(
        method: UnsafePointer<CChar>, data: UnsafePointer<CChar>?, count: UnsafeMutablePointer<Int>
    ) -> Bool {
        guard !isCut, !isOver, areChunksValid(data, count.pointee) else { return false }
        switch stage {
        case .head: return takeHead(method: method)
        case .collecting(let answer):
            guard let data, count.pointee > 0 else { return finishCollecting(answer) }
            guard reserve(body.count + count.pointee) else { return false }
            body.append(contentsOf: UnsafeRawBufferPointer(start: data, count: count.pointee))
            bytesIn += count.pointee
            count.pointee = 0
            // More of it may be there already.
            if body.count != exchange?.head.contentLength { loop.hasWork = true }
            return true
        case .streaming(let sink):
            loop.hasWork = true
            // The library may continue with the next chunk of a connection that was just suspended.
            if isSuspended { return true }
            guard let exchange else { return false }
            guard let data, count.pointee > 0 else { return finishStreaming(sink) }
            bytesIn += count.pointee
            guard reserve(sink.heldBytes + count.pointee) else { return false }
            let wantsMore = sink.receive(UnsafeRawBufferPointer(start: data, count: count.pointee), exchange)
            count.pointee = 0
            if !wantsMore { suspend() }
            return true
        case .answering: return sendReplyOrWait()
        case .replying: return true
        }
    }

    /// A target may have 12 KiB, and the latest events are kept in memory.
    private var targetForLog: String {
        // 'natter send' asks for the first word of a text, which might be meant as the name of a group.
        let isUnknown = status >= 400 && target.path?.prefix(2) == ["v1", "conversations"]
        let text = isUnknown ? "/v1/conversations/…" : target.text
        return text.utf8.count <= 512 ? text : String(decoding: text.utf8.prefix(512), as: UTF8.self) + "…"
    }

    /// The request has ended, complete or not.
    func ended(isComplete: Bool) {
        endPolling()
        if let exchange {
            exchange.end()
            if !isComplete || isCut { loop.handler.abandoned(exchange) }
        }
        loop.handler.finished(
            RequestSummary(
                method: method, target: targetForLog, status: status, bytesIn: bytesIn, bytesOut: bytesOut,
                durationMicroseconds: Int((MonotonicClock.nanoseconds() - began) / 1_000), remoteAddress: clientText,
                isComplete: (isComplete || isOver) && !isCut, note: note, facts: exchange?.facts ?? []))
        requests += 1
        if let client { loop.leave(client) }
        client = nil
        (exchange, reply, note) = (nil, nil, nil)
        (method, target) = ("", RequestTarget())
        (bytesIn, bytesOut, status) = (0, 0, 0)
        releaseBody()
        holdAnswer(0, for: nil)
        body = []
        stage = .head
        headDeadline = loop.now + loop.limits.idleMilliseconds
        (hasBegun, chunkLines) = (false, nil)
    }

    /// A body of so many bytes is never refused, because it takes hardly more than its connection.
    private static let smallBodyBytes = 16 << 10

    /// Makes `bytes` the memory of this request's body. If all bodies together have none left, the request is refused.
    private func reserve(_ bytes: Int) -> Bool {
        let bytes = max(0, bytes - ClientConnection.smallBodyBytes)
        guard loop.reserve(bytes - reservedBytes) else {
            sendPastLibrary(loop.handler.reply(to: .tooManyBodies))
            return false
        }
        reservedBytes = bytes
        return true
    }

    func releaseBody() {
        loop.release(reservedBytes)
        reservedBytes = 0
    }

    func holdAnswer(_ bytes: Int, for reader: Int64?) {
        loop.letGo(held.bytes, for: held.reader)
        held = (bytes, reader)
        loop.hold(bytes, for: reader)
    }

    /// Counts an answer anew of which more is kept than was known when it began.
    func recountAnswer(_ bytes: Int) { if bytes > held.bytes { holdAnswer(bytes, for: held.reader) } }

    var hasArrivedAtOnce: Bool { headTurn == loop.turn }

    /// Whether the request changes nothing, so that its asker need not know what became of it.
    var isReading: Bool { method == "GET" || method == "HEAD" }

    // MARK: Called by the loop

    /// Takes a reply from another thread.
    func accept(_ reply: Reply) {
        switch stage {
        case .answering:
            self.reply = reply
            resume()
        case .streaming:
            // The library accepts no reply before the body is complete.
            stage = .replying
            sendPastLibrary(reply)
            resume()
        case .head, .collecting, .replying: break
        }
    }

    private static let longestPolling: Int64 = 5
    private static let mostPolled = 256

    /// Waits for a reply from another thread. To suspend a connection takes three system calls, a sixth of a post at 128
    /// connections. The library can ask for the reply in each turn of the loop instead, which is cheaper for the moment that a
    /// commit takes, if not too many wait.
    func awaitReply() {
        if hasLeft, isReading { return cut("the client has gone") }
        if let polledSince {
            if loop.now - polledSince < ClientConnection.longestPolling { return }
            endPolling()
        } else if method == "POST", tls == nil, loop.lastEvents >= 4, loop.polledRequests < ClientConnection.mostPolled
        {
            polledSince = loop.now
            loop.polledRequests += 1
            return
        }
        suspend()
    }

    /// The request has a reply, has ended, or waits suspended.
    func endPolling() {
        if polledSince == nil { return }
        polledSince = nil
        loop.polledRequests -= 1
    }

    func suspend() {
        guard !isSuspended, !isCut else { return }
        isSuspended = true
        MHD_suspend_connection(handle)
        clientMayHaveLeft()
    }

    private func resume() {
        guard isSuspended else { return }
        isSuspended = false
        loop.hasWork = true
        progress = TransferProgress()
        MHD_resume_connection(handle)
    }

    /// Continues a request body or a reply body that was paused.
    func resumeTransfer() {
        if case .answering = stage { return }
        resume()
    }

    /// The client has closed its side. One that only reads waits for no answer then. A change is made all the same, so its
    /// answer is sent.
    func clientHasLeft() {
        hasLeft = true
        clientMayHaveLeft()
    }

    private func clientMayHaveLeft() {
        guard hasLeft, !isCut else { return }
        switch stage {
        case .answering where isReading: cut("the client has gone")
        case .collecting, .streaming:
            if isForsaken, let length = exchange?.head.contentLength, bytesIn < length { cut("the client has gone") }
        case .head, .answering, .replying: break
        }
    }

    /// Whether the client has closed its side, and everything before that has been read.
    private var isForsaken: Bool { hasLeft && SocketStatistics.unreadBytes(descriptor) == 0 }

    /// Ends an answer whose reader's session or token has ended.
    func cutForRefusal() { if !isCut { cut("the session has ended") } }

    /// Ends the connection now. The library notices it on its own.
    func cut(_ reason: String) {
        isCut = true
        loop.hasWork = true
        (note, cutReason) = (reason, reason)
        shutdown(descriptor, Int32(SHUT_RDWR))
        resume()
    }

    /// Cuts the connection if its deadline has passed.
    func checkDeadline() {
        let (now, limits) = (loop.now, loop.limits)
        switch stage {
        case .head:
            if now > headDeadline {
                // A request that has just arrived is read in the next turn. Sending it byte by byte gains this time once.
                if !hasBegun, !isShakingHands, SocketStatistics.unreadBytes(descriptor) > 0 {
                    (headDeadline, hasBegun) = (now + limits.headMilliseconds, true)
                    return
                }
                return cut(isShakingHands ? "the TLS handshake took too long" : "the head of the request took too long")
            }
            // The library misses an end of the stream that arrived together with the request.
            if isForsaken { cut("the client has gone") }
        case .collecting, .streaming:
            if isSuspended { return }
            // Nor does it notice that the rest of a body will never arrive.
            if isForsaken { return cut("the client has gone") }
            if !progress.isEnough(total: UInt64(bytesIn), now: now, limits) { cut("the body came too slowly") }
        case .answering: break
        case .replying:
            // A reader that takes nothing now must not keep the answer.
            if isReading, exchange?.refusal != nil { return cutForRefusal() }
            if isSuspended { return }
            let taken = SocketStatistics.bytesAcknowledged(descriptor)
            if !progress.isEnough(total: taken, now: now, limits) { cut("the reply was read too slowly") }
        }
    }

    /// The address of the client that a proxy named, or else of the other end of the connection.
    var clientText: String { client?.text ?? addressText }

    /// True if the connection has no request and no unread bytes of one.
    var isIdle: Bool {
        if case .head = stage {
            return exchange == nil && SocketStatistics.unreadBytes(descriptor) == 0 && tls?.pendingBytes ?? 0 == 0
        }
        return false
    }

    private var isShakingHands: Bool { tls.map { !$0.isEstablished } ?? false }

    /// True if the library has read a complete head that it has not passed to us.
    var hasUnseenHead: Bool {
        if case .head = stage { return !isCut && !isOver && headSize > 0 }
        return false
    }

    /// The size of the request's head in bytes; 0 before its end has arrived.
    var headSize: Int { natter_connection_head_size(handle) }

    /// How many headers, cookies and fields of the query the library has found so far.
    var recordCount: Int { Int(natter_connection_record_count(handle)) }

    /// Writes a reply directly to the socket, if the library accepts none or would garble it. After that, the library
    /// can no longer write to the socket. The kernel has all earlier replies by then, because otherwise the library
    /// would not be reading.
    func sendPastLibrary(_ reply: Reply) {
        isOver = true
        mustLinger = true
        (status, note) = (reply.status, reply.note)
        guard case .bytes(let body) = reply.body else { return }
        bytesOut = body.count
        var bytes = Array("HTTP/1.1 \(reply.status) \(reply.reason)\r\nConnection: close\r\n".utf8)
        forEachHeader(of: reply) { name, value in bytes += Array("\(name): \(value)\r\n".utf8) }
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
