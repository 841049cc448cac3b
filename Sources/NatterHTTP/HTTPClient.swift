internal import Glibc
public import NatterModel

/// Speaks HTTP/1.1 with one server, one request after the other. The connection is kept between requests.
///
/// Each call runs its own event loop until it is done; there are no threads. Nothing is resolved or opened before the
/// first request, and OpenSSL is not set up before the first `https` one. Proxies are not used.
public final class HTTPClient {
    /// The longest body of an answer that the caller takes in pieces, unless it gives another limit.
    public static let streamedBodyLimit = 64 << 20
    /// The longest body of an answer that is collected in memory, unless the caller gives another limit.
    public static let collectedBodyLimit = 32 << 20

    private let server: ServerAddress
    private let timeoutMilliseconds: Int
    private let caFile: String?
    private let fingerprint: CertificateFingerprint?
    private let ownsOpenSSL: Bool
    private let userAgent: String
    /// Decides about each numeric address before a connection is made to it; nil to allow all.
    private let allows: ((String) -> Bool)?

    // Released in this order, because closing the connection needs the other two.
    private var connection: HTTPConnection?
    private var tls: TLSContext?
    private var loop: EventLoop?
    /// The address of the last connection, which is tried first the next time.
    private var knownAddress: String?

    /// Ignores SIGPIPE from now on unless the program handles it, because libevent's writes to a closed connection
    /// would end the process. As a consequence, a write to a closed standard output fails with EPIPE, and the program
    /// should then end silently. Child processes need SIGPIPE's default again.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: the longest time without progress: until the connection is established and the first
    ///     byte of the answer arrives, then between any two pieces. Beyond ten times as much, an answer must have
    ///     1 KiB for each second.
    ///   - caFile: PEM certificates of the only authorities to trust; nil for the system's (`/etc/ssl/certs`, or the
    ///     places in `SSL_CERT_FILE` and `SSL_CERT_DIR`).
    ///   - fingerprint: the only certificate to trust; then `caFile` does not count.
    ///   - ownsOpenSSL: true if nothing else in this process uses OpenSSL. The library then does much less for the first
    ///     `https` connection, but nobody in this process can do more with it than this client does.
    ///   - allows: is asked about each numeric address after the name was resolved, and before anything is sent there.
    public init(
        address: ServerAddress, timeoutMilliseconds: Int, caFile: String?,
        fingerprint: CertificateFingerprint? = nil, userAgent: String, ownsOpenSSL: Bool = false,
        allows: ((String) -> Bool)? = nil
    ) {
        (server, self.allows) = (address, allows)
        self.timeoutMilliseconds = timeoutMilliseconds
        (self.caFile, self.fingerprint) = (caFile, fingerprint)
        self.ownsOpenSSL = ownsOpenSSL
        self.userAgent = userAgent
        HTTPClient.ignoreBrokenPipes()
    }

    deinit { connection?.close() }

    /// When the server's certificate expires; nil before a handshake.
    public var certificateExpires: Timestamp? { tls?.expires }

    /// Sends one request and returns its complete answer, whatever its status.
    ///
    /// If the server closed the connection while it was idle, a new one replaces it. This happens only if certainly
    /// nothing of the request was sent, or for GET if nothing of the answer was received.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: replaces the client's own timeout.
    ///   - deadlineMilliseconds: the time for the whole call, including the body; nil for no limit. It does not
    ///     shorten the system's look-up of a name.
    ///   - bodyLimit: the longest body; a longer one is a `.protocolError`.
    ///   - statusSuffices: whether a successful answer (2xx) is one even if its body is too long or never ends.
    ///   - onBody: gets the body of a successful answer (2xx) in pieces. The answer's `body` is then empty. Its
    ///     errors are thrown as `.aborted`.
    public func perform(
        _ request: HTTPRequest, timeoutMilliseconds: Int? = nil, deadlineMilliseconds: Int? = nil,
        bodyLimit: Int? = nil, statusSuffices: Bool = false, onBody: ((UnsafeRawBufferPointer) throws -> Void)? = nil
    ) throws(TransportError) -> HTTPResponse {
        let bodyLimit = bodyLimit ?? (onBody == nil ? HTTPClient.collectedBodyLimit : HTTPClient.streamedBodyLimit)
        let headers = try allHeaders(of: request)
        let times = TimeLimits(
            timeoutMilliseconds: timeoutMilliseconds ?? self.timeoutMilliseconds,
            deadlineMilliseconds: deadlineMilliseconds)

        func exchange(_ connectLimit: Int64?) -> HTTPExchange {
            HTTPExchange(
                times: times, connectLimit: connectLimit, bodyLimit: bodyLimit, statusSuffices: statusSuffices,
                onBody: onBody)
        }
        if let kept = connection, kept.isAlive {
            let exchange = exchange(nil)
            do {
                return try kept.perform(request, headers: headers, in: exchange)
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
        return try performAnew(request, headers: headers, times: times, exchange)
    }

    /// Tries the addresses in order until a connection is established.
    private func performAnew(
        _ request: HTTPRequest, headers: [(name: String, value: String)], times: TimeLimits,
        _ makeExchange: (_ connectLimit: Int64) -> HTTPExchange
    ) throws(TransportError) -> HTTPResponse {
        let loop = try makeLoop()
        let tls = try makeTLS()
        var addresses: [String]
        do { addresses = try Resolver.addresses(of: server.host) } catch .notReached(let reason) {
            throw .notReached("\(reason)\(proxyNote())")
        }
        if let allows {
            addresses = addresses.filter(allows)
            if addresses.isEmpty { throw .notReached("'\(server.host)' has no public address") }
        }
        if let knownAddress, let index = addresses.firstIndex(of: knownAddress) { addresses.swapAt(0, index) }

        let late: Phrase = "no answer in time"
        var reasons: [(address: String, reason: Phrase)] = []
        for (index, address) in addresses.enumerated() {
            let fresh = try HTTPConnection(loop: loop, tls: tls, server: server, address: address)
            let limit = times.connectLimit(addressesLeft: addresses.count - index)
            let exchange = makeExchange(limit)
            do {
                let response = try fresh.perform(request, headers: headers, in: exchange)
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

    /// If a proxy is set in the environment, that is the most likely reason why a host can't be reached.
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
        if tls == nil, server.scheme == .https {
            tls = try TLSContext(caFile: caFile, pinned: fingerprint, ownsOpenSSL: ownsOpenSSL)
        }
        return tls
    }

    /// - Throws: `.notReached` for a path or header that is not valid in a request. Sent unchanged, it could become
    ///   another request.
    private func allHeaders(of request: HTTPRequest) throws(TransportError) -> [(name: String, value: String)] {
        guard HTTPRequest.isTarget(request.path) else {
            throw .notReached("the path '\(request.path)' is not percent-encoded")
        }
        var headers: [(name: String, value: String)] = [("Host", server.hostAndPort), ("User-Agent", userAgent)]
        headers += request.headers
        if let source = request.source {
            headers.append(("Content-Length", "\(source.count)"))
        } else if let body = request.body {
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
public enum TransportError: FailureConvertible {
    /// The server can't have acted on the request: an unknown name, a refused connection, no route, no TLS.
    case notReached(Phrase)
    /// The server's certificate could not be verified. Nothing was sent.
    case certificate(Phrase, remedy: Phrase? = nil)
    /// The file of certificates to trust can't be read; nothing was sent.
    case unreadable(Phrase, remedy: Phrase)
    /// The file of certificates to trust does not hold any; nothing was sent.
    case malformedCertificates(Phrase, remedy: Phrase)
    /// This process may not open enough files; nothing was sent.
    case tooFewFiles(Phrase, remedy: Phrase?)
    /// Too long without any progress, or past the deadline; `sent` if a part of the request had gone out.
    case timedOut(sent: Bool)
    /// The connection broke after a part of the request was sent, so it is unknown whether the server acted on it.
    case interrupted(Phrase)
    /// The server does not speak HTTP, or its answer is too large.
    case protocolError(Phrase, remedy: Phrase? = nil)
    /// The caller's `onBody` threw an error.
    case aborted(any Error)

    /// Whether the server may have acted on the request although no answer was received.
    public var isOutcomeUnknown: Bool {
        switch self {
        case .notReached, .certificate, .unreadable, .malformedCertificates, .tooFewFiles, .timedOut(sent: false):
            false
        case .timedOut(sent: true), .interrupted, .protocolError, .aborted: true
        }
    }

    public var failure: CommandFailure {
        func failure(_ exitCode: ExitCode, _ code: String, _ what: Phrase, _ remedy: Phrase? = nil) -> CommandFailure {
            CommandFailure(exitCode, code: code, what, remedy: remedy)
        }
        return switch self {
        case .notReached(let what), .interrupted(let what): failure(.unavailable, "not_reached", what)
        case .timedOut(sent: false): failure(.unavailable, "not_reached", "the server was not reached in time")
        case .timedOut(sent: true): failure(.unavailable, "not_reached", "the server did not answer in time")
        case .certificate(let what, let remedy): failure(.unavailable, "certificate", what, remedy)
        case .unreadable(let what, let remedy): failure(.noInput, "cannot_read", what, remedy)
        case .malformedCertificates(let what, let remedy): failure(.invalidData, "bad_file", what, remedy)
        case .tooFewFiles(let what, let remedy): .inputOutput(what, remedy: remedy)
        case .protocolError(let what, let remedy): failure(.badProtocol, "bad_protocol", what, remedy)
        case .aborted(let error): CommandFailure(error)
        }
    }

    public var phrase: Phrase {
        if case .aborted(let error) = self { Phrase(describing: error) } else { failure.message }
    }
}
