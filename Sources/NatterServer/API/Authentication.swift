internal import NatterSystem
internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// Authenticates requests by the token or the cookie in their head.
struct Authentication: Sendable {
    private let head: RequestHead
    private let store: Store
    private let token: Result<Token, APIError>
    private let isByCookie: Bool
    private let isVisit: Bool

    init(_ head: RequestHead, _ store: Store) {
        (self.head, self.store, isVisit) = (head, store, !head.isAway)
        if let header = head.header("authorization") {
            (token, isByCookie) = (Authentication.token(in: header), false)
        } else if let given = Authentication.cookieToken(head, store.id) {
            (token, isByCookie) = (.success(given), true)
        } else {
            token = .failure(APIError(.unauthorized, "a token is needed: 'Authorization: Bearer TOKEN'"))
            isByCookie = false
        }
    }

    private static func token(in header: String) -> Result<Token, APIError> {
        let scheme = "bearer "
        let rest = header.utf8.dropFirst(scheme.utf8.count).drop { $0 == UInt8(ascii: " ") }
        guard header.utf8.starts(with: scheme.utf8, by: { $0.asciiLowercased == $1 }),
            let given = Token(String(Substring(rest)))
        else {
            return .failure(APIError(.unauthorized, "the token is not valid; log in again"))
        }
        return .success(given)
    }

    /// The holder of the token. Waits for what other servers have acknowledged if this one does not know it.
    ///
    /// - Throws: 401 without a valid token; 403 for a change by cookie that another site's page could have sent; 503 if the
    ///   database that might know the token can't be asked.
    func principal() throws(APIError) -> Principal {
        if let known = try knownPrincipal() { return known }
        try translate(store.catchUp())
        if let known = try knownPrincipal() { return known }
        throw Authentication.unknownToken
    }

    private static let unknownToken = APIError(.unauthorized, "the session has ended, or the token was revoked")

    /// The holder of the token, without waiting.
    ///
    /// - Returns: nil if only another server can know the token.
    func knownPrincipal() throws(APIError) -> Principal? {
        let principal: Principal
        switch store.authenticate(try token.get(), address: head.remoteAddress, isVisit: isVisit) {
        case .good(let found): principal = found
        case .unknown where store.isShared: return nil
        case .unknown: throw Authentication.unknownToken
        case .expired(let time): throw APIError(expired: time)
        case .disabled(let name): throw APIError(.unauthorized, "the account '\(name.text)' is disabled")
        }
        // Another tab of a browser may have got a cookie for somebody else.
        if isByCookie, let user = head.header("natter-user"),
            RequestTarget.decoded(user)?.utf8.elementsEqual(principal.name.text.utf8) != true
        {
            throw APIError(.unauthorized, "the cookie is not of the user whom 'Natter-User' names")
        }
        // Another site's page can make a browser send the cookie, but not this header.
        guard
            !isByCookie || head.method == "GET" || head.method == "HEAD"
                || head.header("natter-request")?.utf8.elementsEqual("1".utf8) == true
        else {
            throw APIError(.forbidden, "a request by cookie that changes something must carry 'Natter-Request: 1'")
        }
        return principal
    }

    /// The name of the cookie of a session. It differs from store to store, because a browser sends the same cookies to
    /// all ports of a host.
    static func cookieName(of store: StoreID) -> String { "natter-\(store.description.prefix(8))" }

    private static func cookieToken(_ head: RequestHead, _ store: StoreID) -> Token? {
        let name = cookieName(of: store)
        for header in head.headers where header.name == "cookie" {
            // By bytes, as in `Query`.
            for pair in header.value.utf8.split(separator: UInt8(ascii: ";")) {
                let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1)
                guard parts.count == 2,
                    parts[0].drop(while: { $0 == UInt8(ascii: " ") }).elementsEqual(name.utf8)
                else { continue }
                return Token(String(decoding: parts[1].filter { $0 != UInt8(ascii: " ") }, as: UTF8.self))
            }
        }
        return nil
    }
}

extension APIError {
    fileprivate init(expired time: Timestamp) {
        self.init(.tokenExpired, "the token has expired on \(time.rfc3339)")
    }
}

extension Exchange {
    /// Notes who asks, so that the request ends with their session or token.
    func note(_ principal: Principal, _ store: Store) {
        note(
            Asker(owner: .account(principal.account)) {
                guard store.millisecondsLeft(of: principal) == 0 else { return nil }
                let ended = store.expiry(of: principal).map(APIError.init(expired:))
                return (ended ?? APIError(StoreError.unauthorized)).reply
            })
    }
}

extension RequestHead {
    /// Whether the request says that its user is not looking, so that it does not make them look online.
    var isAway: Bool { header("natter-presence")?.utf8.elementsEqual("away".utf8) == true }

    /// Whether the request comes over loopback, and not through a proxy.
    var isFromThisMachine: Bool {
        guard !isProxied, header("x-forwarded-for") == nil, header("forwarded") == nil else { return false }
        return remoteAddress.hasPrefix("127.") || remoteAddress == "::1"
    }
}
