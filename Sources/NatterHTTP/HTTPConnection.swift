internal import CEvent
internal import Glibc
internal import NatterModel
internal import NatterSystem

/// One evhttp connection to a numeric address, with TLS if the scheme needs it.
final class HTTPConnection {
    private let loop: EventLoop
    private let tls: TLSContext?
    private let server: ServerAddress
    /// nil after it was closed.
    private var handle: OpaquePointer?
    private let stream: OpaquePointer
    private var inputWatch: OpaquePointer?
    private var outputWatch: OpaquePointer?
    private var exchange: HTTPExchange?
    /// What is still to be sent of the request's body.
    private var rest: BodyRest?
    private static let pieceBytes = 256 << 10
    private var systemError: Int32 = 0
    /// True if a server without TLS was expected, and one with TLS has answered.
    private var speaksTLS = false
    /// Whether a former request was answered.
    private var wasUsed = false

    /// Sends nothing before the first request.
    init(loop: EventLoop, tls: TLSContext?, server: ServerAddress, address: String) throws(TransportError) {
        let shortage = TransportError.notReached("cannot connect to '\(server)': memory is short")
        var stream: OpaquePointer?
        if let tls {
            // Callbacks are deferred. Otherwise evhttp would reset the connection inside an error's callback, and the
            // read that found the error would continue in freed buffers.
            stream = bufferevent_openssl_socket_new(
                loop.base, -1, try tls.makeSession(host: server.host), BUFFEREVENT_SSL_CONNECTING,
                Int32(BEV_OPT_CLOSE_ON_FREE.rawValue | BEV_OPT_DEFER_CALLBACKS.rawValue))
        } else {
            stream = bufferevent_socket_new(loop.base, -1, 0)
        }
        guard let stream else { throw shortage }
        guard let handle = evhttp_connection_base_bufferevent_new(loop.base, nil, stream, address, server.port) else {
            throw shortage
        }
        (self.loop, self.tls, self.server, self.handle, self.stream) = (loop, tls, server, handle, stream)
        bufferevent_set_max_single_write(stream, HTTPConnection.pieceBytes)

        evhttp_connection_set_max_headers_size(handle, HTTPExchange.headLimit)
        // `HTTPExchange` has its own time limits. evhttp's limits of 45 and 50 seconds would end a long wait too early.
        var never = timeval(tv_sec: Int(Int32.max), tv_usec: 0)
        evhttp_connection_set_timeout_tv(handle, &never)
        watchBuffers()
    }

    deinit { close() }

    /// Closes the connection and ends its exchange.
    func close() {
        guard let handle else { return }
        self.handle = nil
        if let inputWatch { evbuffer_remove_cb_entry(bufferevent_get_input(stream), inputWatch) }
        if let outputWatch { evbuffer_remove_cb_entry(bufferevent_get_output(stream), outputWatch) }
        if let session = bufferevent_openssl_get_ssl(stream), isOpen, SSL_is_init_finished(session) == 1 {
            SSL_shutdown(session)
            ERR_clear_error()
        }
        evhttp_connection_free(handle)
        // libevent closes and frees the rest in its loop.
        loop.runPending()
    }

    /// Whether an idle connection can still be used, as far as this side knows. Bytes behind the last answer would be
    /// taken for the next answer.
    var isAlive: Bool {
        loop.runPending()
        return handle != nil && isOpen && evbuffer_get_length(bufferevent_get_input(stream)) == 0
    }

    private var isOpen: Bool { bufferevent_getfd(stream) >= 0 }

    /// Sends a request and handles events until the exchange ends. Closes the connection unless it can be used again.
    ///
    /// - Throws: `.notReached` with only the reason if the connection was not established.
    func perform(
        _ request: HTTPRequest, headers: [(name: String, value: String)], in exchange: HTTPExchange
    ) throws(TransportError) -> HTTPResponse {
        guard let handle else { throw .notReached("the connection is closed") }
        self.exchange = exchange
        systemError = 0
        rest = request.source.map { BodyRest(source: $0) }
        defer {
            (self.exchange, rest) = (nil, nil)
            if !exchange.isReusable || exchange.failure != nil { close() }
        }
        if isOpen { exchange.didConnect() }
        // With this flag, an early refusal of a large body is read although the rest of the body can't be sent.
        evhttp_connection_set_flags(handle, EVHTTP_CON_READ_ON_WRITE_ERROR)
        evhttp_connection_set_max_body_size(handle, exchange.bodyLimit)
        try start(request, headers: headers, on: handle)
        if !loop.run(until: { exchange.isDone }, limit: { exchange.progressLimit }) {
            exchange.fail(.timedOut(sent: exchange.hasSent))
        }
        if speaksTLS, exchange.failure != nil {
            throw .protocolError("'\(server)' expects TLS", remedy: "its address may begin with 'https://'")
        }
        if let failure = exchange.failure { throw failure }
        wasUsed = true
        return exchange.response
    }

    private func start(
        _ request: HTTPRequest, headers: [(name: String, value: String)], on handle: OpaquePointer
    ) throws(TransportError) {
        let context = Unmanaged.passUnretained(self).toOpaque()
        guard
            let event = evhttp_request_new(
                { request, context in HTTPConnection.at(context)?.didFinish(request) }, context)
        else { throw .notReached("memory is short") }
        evhttp_request_set_header_cb(event) { request, context in
            guard let request, let connection = HTTPConnection.at(context), let exchange = connection.exchange else {
                return -1
            }
            return exchange.didReadHead(request, stream: connection.stream) ? 0 : -1
        }
        evhttp_request_set_chunked_cb(event) { request, context in
            guard let buffer = evhttp_request_get_input_buffer(request) else { return }
            HTTPConnection.at(context)?.exchange?.didReadBody(buffer)
        }
        evhttp_request_set_error_cb(event) { error, context in
            // This error is left from connecting: the server closed the connection and no call failed.
            let code = errno == EINPROGRESS || errno == EAGAIN ? 0 : errno
            HTTPConnection.at(context)?.didFail(error, systemError: code)
        }
        let isWhole = headers.allSatisfy {
            evhttp_add_header(evhttp_request_get_output_headers(event), $0.name, $0.value) == 0
        }
        let output = evhttp_request_get_output_buffer(event)
        guard isWhole, request.body.map({ evbuffer_add(output, $0, $0.count) == 0 }) ?? true else {
            evhttp_request_free(event)
            throw .notReached("memory is short")
        }
        errno = 0
        guard evhttp_make_request(handle, event, request.method.command, server.basePath + request.path) == 0 else {
            throw .notReached("the connection cannot be opened")
        }
    }

    // MARK: - What libevent reports

    private static func at(_ context: UnsafeMutableRawPointer?) -> HTTPConnection? {
        context.map { Unmanaged<HTTPConnection>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The buffers show exactly how far the exchange is. evhttp does not.
    private func watchBuffers() {
        let context = Unmanaged.passUnretained(self).toOpaque()
        inputWatch = evbuffer_add_cb(
            bufferevent_get_input(stream),
            { buffer, change, context in
                guard let change, change.pointee.n_added > 0 else { return }
                guard let connection = HTTPConnection.at(context) else { return }
                connection.lookForTLS(in: buffer)
                connection.exchange?.didReceive(
                    bytes: change.pointee.n_added, bytesWaiting: evbuffer_get_length(buffer))
            }, context)
        outputWatch = evbuffer_add_cb(
            bufferevent_get_output(stream),
            { buffer, change, context in
                guard let change, let connection = HTTPConnection.at(context) else { return }
                if change.pointee.n_added > 0 { connection.didStartSending() }
                if change.pointee.n_deleted > 0 {
                    connection.didSend(bytes: change.pointee.n_deleted, bytesLeft: evbuffer_get_length(buffer))
                }
            }, context)
    }

    /// A server that expects TLS answers a plain request with an alert: type 21, version 3.
    private func lookForTLS(in buffer: OpaquePointer?) {
        guard tls == nil, let buffer, let exchange, !exchange.hasReceived else { return }
        var start: [UInt8] = [0, 0]
        guard evbuffer_copyout(buffer, &start, start.count) == start.count else { return }
        speaksTLS = start == [21, 3]
    }

    /// evhttp fills the output buffer once the connection is established.
    private func didStartSending() {
        guard let exchange, !exchange.isConnected else { return }
        exchange.didConnect()
        let socket = bufferevent_getfd(stream)
        var on: Int32 = 1
        // Headers and body may be sent in two packets. The second must not wait until the first is acknowledged.
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
    }

    private func didSend(bytes: Int, bytesLeft: Int) {
        // A reset also empties the buffer, after it has closed the socket.
        guard isOpen else { return }
        // Before evhttp sees an empty buffer, which it takes for the end of the request.
        if bytesLeft < HTTPConnection.pieceBytes { sendMore() }
        let bytesLeft = evbuffer_get_length(bufferevent_get_output(stream))
        exchange?.didSend(bytes: bytes, bytesLeft: bytesLeft)
        // From now on, the flag would make evhttp wait forever for the rest of an answer that was cut short.
        if bytesLeft == 0, let handle { evhttp_connection_set_flags(handle, 0) }
    }

    /// Puts the next piece of the body into the buffer.
    private func sendMore() {
        guard let rest, rest.offset < rest.source.count, exchange?.isDone == false else { return }
        do {
            let left = Int(clamping: rest.source.count - rest.offset)
            let piece = try rest.source.read(count: min(left, HTTPConnection.pieceBytes), at: rest.offset)
            guard !piece.isEmpty, piece.count <= left else {
                throw TransportError.interrupted("the body has ended early")
            }
            self.rest?.offset += UInt64(piece.count)
            if evbuffer_add(bufferevent_get_output(stream), piece, piece.count) != 0 {
                exchange?.fail(.interrupted("memory is short"))
            }
        } catch {
            exchange?.fail(.aborted(error))
        }
    }

    private func didFinish(_ request: UnsafeMutablePointer<evhttp_request>?) {
        guard let exchange, !exchange.isDone else { return }
        if let request, request.pointee.response_code != 0 {
            exchange.didComplete()
        } else if exchange.isConnected {
            exchange.fail(broken)
        } else {
            // evhttp reports a refused connection without an error, and it does so for nothing else.
            exchange.fail(handshakeFailure ?? .notReached(Errno.connectionRefused.phrase))
        }
    }

    private func didFail(_ error: evhttp_request_error, systemError: Int32) {
        guard let exchange else { return }
        self.systemError = systemError
        guard exchange.isConnected else {
            let reason =
                bufferevent_socket_get_dns_error(stream) != 0
                ? "the address cannot be used"
                : systemError == 0 ? "the connection was closed" : Errno(rawValue: systemError).phrase
            return exchange.fail(handshakeFailure ?? .notReached(reason))
        }
        switch error {
        case EVREQ_HTTP_INVALID_HEADER:
            exchange.fail(.protocolError("'\(server)' does not answer in HTTP"))
        case EVREQ_HTTP_DATA_TOO_LONG:
            exchange.fail(.protocolError("the answer of '\(server)' has a broken or oversized chunk"))
        case EVREQ_HTTP_TIMEOUT:
            exchange.fail(.timedOut(sent: exchange.hasSent))
        default:
            exchange.fail(broken)
        }
    }

    private var broken: TransportError {
        let isClosed = systemError == 0
        guard let exchange, exchange.hasSent else {
            return .notReached(isClosed ? "it was closed" : Errno(rawValue: systemError).phrase)
        }
        // Some servers that expect TLS close the connection without an alert. An idle connection may close at any time.
        if isClosed, tls == nil, !wasUsed, !exchange.hasReceived {
            return .interrupted("it was closed without an answer; its address may begin with 'https://'")
        }
        return .interrupted(
            isClosed ? "it was closed before the answer was complete" : Errno(rawValue: systemError).phrase)
    }

    private var handshakeFailure: TransportError? {
        guard let tls else { return nil }
        if let error = tls.certificateError(host: server.host) { return error }
        var unnamed: UInt?
        while true {
            let code = bufferevent_get_openssl_error(stream)
            if code == 0 {
                // For 'openssl errstr'.
                return unnamed.map { .notReached("no TLS connection: \("OpenSSL error \(String($0, radix: 16))")") }
            }
            guard let reason = TLSContext.reason(code) else {
                // libevent adds its own, without a library, for a connection that was refused or closed.
                if ERR_GET_LIB(code) != 0 { unnamed = unnamed ?? code }
                continue
            }
            // OpenSSL says one of these about the first bytes of an HTTP server, depending on its version.
            if ["wrong version number", "http request", "packet length too long"].contains(reason) {
                return .notReached("it does not speak TLS on this port; its address may begin with 'http://'")
            }
            // An HTTP server may also close without a word when random bytes of the first message look like a line.
            if reason == "unexpected eof while reading", hasNoTLSAnswer {
                return .notReached("it was closed without an answer; its address may begin with 'http://'")
            }
            return .notReached("no TLS connection: \(reason)")
        }
    }

    private var hasNoTLSAnswer: Bool {
        guard let session = bufferevent_openssl_get_ssl(stream) else { return false }
        return BIO_number_read(SSL_get_rbio(session)) == 0
    }
}

/// A body that is sent piece by piece.
private struct BodyRest {
    let source: any BodySource
    var offset: UInt64 = 0
}

extension HTTPMethod {
    fileprivate var command: evhttp_cmd_type {
        switch self {
        case .get: EVHTTP_REQ_GET
        case .post: EVHTTP_REQ_POST
        case .put: EVHTTP_REQ_PUT
        case .patch: EVHTTP_REQ_PATCH
        case .delete: EVHTTP_REQ_DELETE
        }
    }
}
