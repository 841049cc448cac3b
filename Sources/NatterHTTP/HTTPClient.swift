internal import Glibc
public import NatterLanguage
public import NatterModel
internal import NatterSystem

/// Speaks HTTP/1.1 with one server, one request after another, on a connection that is kept between them.
///
/// Each call runs an event loop of its own until it is done; there are no threads. Nothing is looked up, opened or set up
/// before the first request, and OpenSSL not before the first `https` one. It uses no proxy.
public final class HTTPClient {
    /// Bytes that an answer's body may have unless the caller says otherwise.
    public static let defaultBodyLimit = 64 << 20

    private let server: ServerAddress
    private let timeoutMilliseconds: Int
    private let caFile: String?
    private let userAgent: String

    // Let go in this order: the connection needs the two others to close.
    private var connection: HTTPConnection?
    private var tls: TLSContext?
    private var loop: EventLoop?
    /// Where the latest connection stood, to begin there the next time.
    private var knownAddress: String?

    /// From here on SIGPIPE is ignored unless the program handles it: libevent's writes to a closed connection would
    /// end the process. So a write to a closed standard output fails with EPIPE, which is to be met with a silent end,
    /// and programs that are started want SIGPIPE's default back.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: how long there may be no progress: until the connection stands and the first byte of the
    ///     answer has come, and then between any two pieces.
    ///   - caFile: PEM certificates of the only authorities to trust; nil for the system's (`/etc/ssl/certs`, or what
    ///     `SSL_CERT_FILE` and `SSL_CERT_DIR` name).
    public init(address: ServerAddress, timeoutMilliseconds: Int, caFile: String?, userAgent: String) {
        server = address
        self.timeoutMilliseconds = timeoutMilliseconds
        self.caFile = caFile
        self.userAgent = userAgent
        HTTPClient.ignoreBrokenPipes()
    }

    deinit { connection?.close() }

    /// Until when the server's certificate is valid; nil before a handshake.
    public var certificateExpires: Timestamp? { tls?.expires }

    /// Sends one request and returns its complete answer, whatever its status.
    ///
    /// A connection that the server had closed while it was idle is replaced by a new one, if surely nothing of the
    /// request was sent, or for GET if nothing of an answer has come.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: in place of the client's own.
    ///   - deadlineMilliseconds: how long the whole call may take, its body included; nil for no limit. Only the
    ///     system's look-up of a name is not cut short by it.
    ///   - bodyLimit: bytes that the body may have; a larger one is a `.protocolError`.
    ///   - onBody: gets the body of a good answer (2xx) in pieces as it comes; the answer's `body` is then empty. What it
    ///     throws comes back as `.aborted`.
    public func perform(
        _ request: HTTPRequest, timeoutMilliseconds: Int? = nil, deadlineMilliseconds: Int? = nil,
        bodyLimit: Int = defaultBodyLimit, onBody: ((UnsafeRawBufferPointer) throws -> Void)? = nil
    ) throws(TransportError) -> HTTPResponse {
        let headers = try allHeaders(of: request)
        let times = TimeLimits(
            timeoutMilliseconds: timeoutMilliseconds ?? self.timeoutMilliseconds,
            deadlineMilliseconds: deadlineMilliseconds)

        if let kept = connection, kept.isAlive {
            let exchange = Exchange(times: times, connectLimit: nil, bodyLimit: bodyLimit, onBody: onBody)
            do {
                return try kept.perform(request, headers: headers, in: exchange, bodyLimit: bodyLimit)
            } catch {
                let isBroken =
                    switch error {
                    case .notReached, .interrupted: true
                    default: false
                    }
                let isHarmless = !exchange.hasReceived && (request.method == .get || !exchange.hasSent)
                guard isBroken, isHarmless else { throw error }
            }
        }
        connection = nil
        return try performAnew(request, headers: headers, times: times, bodyLimit: bodyLimit, onBody: onBody)
    }

    /// Tries one address after another until a connection stands.
    private func performAnew(
        _ request: HTTPRequest, headers: [(name: String, value: String)], times: TimeLimits, bodyLimit: Int,
        onBody: ((UnsafeRawBufferPointer) throws -> Void)?
    ) throws(TransportError) -> HTTPResponse {
        let loop = try makeLoop()
        let tls = try makeTLS()
        var addresses = try Resolver.addresses(of: server.host)
        if let knownAddress, let index = addresses.firstIndex(of: knownAddress) { addresses.swapAt(0, index) }

        let late: Phrase = "no answer in time"
        var reasons: [(address: String, reason: Phrase)] = []
        for (index, address) in addresses.enumerated() {
            let fresh = try HTTPConnection(loop: loop, tls: tls, server: server, address: address)
            let limit = times.connectLimit(addressesLeft: addresses.count - index)
            let exchange = Exchange(times: times, connectLimit: limit, bodyLimit: bodyLimit, onBody: onBody)
            do {
                let response = try fresh.perform(request, headers: headers, in: exchange, bodyLimit: bodyLimit)
                (connection, knownAddress) = (fresh, address)
                return response
            } catch .notReached(let reason) {
                reasons.append((address, reason))
            } catch .timedOut(sent: false) {
                reasons.append((address, late))
            }
        }
        if reasons.allSatisfy({ $0.reason == late }) { throw .timedOut(sent: false) }
        throw .notReached("cannot reach '\(server)': \(summary(reasons))\(proxyNote())")
    }

    private func summary(_ reasons: [(address: String, reason: Phrase)]) -> Phrase {
        guard let first = reasons.first else { return "it has no address" }
        if reasons.allSatisfy({ $0.reason == first.reason }) { return first.reason }
        return .list(reasons.map { "\($0.address): \($0.reason)" }, separator: "; ")
    }

    /// A proxy that is set but not used is the likeliest reason for a host that can't be reached.
    private func proxyNote() -> Phrase {
        guard !server.isLoopback else { return "" }
        for name in ["\(server.scheme.rawValue)_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            if let value = getenv(name), value.pointee != 0 { return "; the proxy in '\(name)' is not supported" }
        }
        return ""
    }

    private func makeLoop() throws(TransportError) -> EventLoop {
        if let loop { return loop }
        let made = try EventLoop()
        loop = made
        return made
    }

    private func makeTLS() throws(TransportError) -> TLSContext? {
        if tls == nil, server.scheme == .https { tls = try TLSContext(caFile: caFile) }
        return tls
    }

    /// - Throws: `.notReached` for what cannot stand in a request: sent as it is, it would become another one.
    private func allHeaders(of request: HTTPRequest) throws(TransportError) -> [(name: String, value: String)] {
        guard request.path.utf8.first == UInt8(ascii: "/"), PercentEncoding.isTarget(request.path.utf8) else {
            throw .notReached("the path '\(request.path)' is not percent-encoded")
        }
        var headers: [(name: String, value: String)] = [("Host", server.hostAndPort), ("User-Agent", userAgent)]
        headers += request.headers
        if let body = request.body {
            headers.append(("Content-Length", "\(body.count)"))
        } else if request.method != .get, request.method != .delete {
            headers.append(("Content-Length", "0"))
        }
        for header in headers {
            let isName = !header.name.isEmpty && header.name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x3A }
            guard isName, header.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
                throw .notReached("the header '\(header.name)' contains characters that cannot be sent")
            }
        }
        return headers
    }

    private static func ignoreBrokenPipes() {
        var action = sigaction()
        guard sigaction(SIGPIPE, nil, &action) == 0, action.__sigaction_handler.sa_handler == nil else { return }
        signal(SIGPIPE, SIG_IGN)
    }
}

/// Why there is no answer.
public enum TransportError: Error, PhraseConvertible {
    /// Nothing of the request can have been acted on: no such name, refused, no way there, no TLS.
    case notReached(Phrase)
    /// The server's certificate was not verified, or there is nothing to verify it with; nothing was sent.
    case certificate(Phrase)
    /// Too long without any progress, or past the deadline; `sent` if a part of the request had gone out.
    case timedOut(sent: Bool)
    /// The connection broke after a part of the request had gone out: whether it was acted on is unknown.
    case interrupted(Phrase)
    /// The other side does not speak HTTP, or sends more than it may.
    case protocolError(Phrase)
    /// The caller's own function for the body threw.
    case aborted(any Error)

    /// Whether the server may have acted on the request without its answer having come.
    public var isOutcomeUnknown: Bool {
        switch self {
        case .notReached, .certificate, .timedOut(sent: false): false
        case .timedOut(sent: true), .interrupted, .protocolError, .aborted: true
        }
    }

    public var phrase: Phrase {
        switch self {
        case .notReached(let what), .certificate(let what), .interrupted(let what), .protocolError(let what): what
        case .timedOut(sent: false): "the server was not reached in time"
        case .timedOut(sent: true): "the server did not answer in time"
        case .aborted(let error): Phrase(describing: error)
        }
    }
}
