public import NatterCrypto
public import NatterHTTP
internal import NatterLanguage
public import NatterModel
internal import NatterSystem
public import NatterWire

/// The typed requests of the HTTP API. The connection is opened by the first request and kept for the next ones.
public final class ServerAPI {
    /// A record of one request, for diagnosis.
    public struct Trace: Sendable {
        public let method: HTTPMethod
        public let path: String
        /// nil if there was no answer.
        public let status: Int?
        public let milliseconds: Int64
        /// The length of the request's body; `bytesIn` is that of the answer's.
        public let bytesOut: Int
        public let bytesIn: Int
    }

    public let address: ServerAddress
    /// The store that the latest answer came from.
    public private(set) var store: StoreID?
    private let client: HTTPClient
    private let authorization: String?
    private let onTrace: ((Trace) -> Void)?

    /// - Parameter token: of the session; nil for requests that need none.
    public init(
        address: ServerAddress, client: HTTPClient, token: Token?, onTrace: ((Trace) -> Void)? = nil
    ) {
        (self.address, self.client, self.onTrace) = (address, client, onTrace)
        authorization = token.map { "Bearer \($0.text)" }
    }

    /// When the server's certificate expires; nil over plain HTTP and before the first request.
    public var certificateExpires: Timestamp? { client.certificateExpires }

    // MARK: - Accounts

    /// Creates an account and begins a session.
    public func register(name: String, password: String, invite: String?) throws(APIError) -> (String, Token) {
        let body = RegisterRequest(name: name, password: password, invite: invite)
        return try session(from: try post("/v1/register", WireJSON.encode(body)))
    }

    /// Begins a session. The answer has the name as it was registered, which may be spelled differently.
    public func login(name: String, password: String) throws(APIError) -> (String, Token) {
        let body = LoginRequest(name: name, password: password)
        return try session(from: try post("/v1/login", WireJSON.encode(body)))
    }

    /// Ends this session, or all sessions of the user.
    public func logout(all: Bool) throws(APIError) {
        _ = try post("/v1/logout", all ? Array(#"{"all":true}"#.utf8) : Array("{}".utf8))
    }

    public func whoami() throws(APIError) -> WhoamiAnswer { try decode(try get("/v1/whoami")) }

    private func session(from response: HTTPResponse) throws(APIError) -> (String, Token) {
        let answer: SessionAnswer = try decode(response)
        guard let token = answer.token.flatMap({ Token($0) }) else {
            throw foreign("its answer has no token")
        }
        return (answer.name, token)
    }

    // MARK: - Messages

    /// Sends one message and returns when it is durable. If the id was used before for the same content, the answer
    /// is the earlier message.
    ///
    /// - Parameter timeoutMilliseconds: the time for the whole request.
    public func send(_ message: SendRequest, timeoutMilliseconds: Int? = nil) throws(APIError) -> SentMessage {
        let answer = try post("/v1/messages", WireJSON.encode(message), deadlineMilliseconds: timeoutMilliseconds)
        return SentMessage(
            object: answer.body, isRecipientAway: answer.header(RecipientHeader.name) == RecipientHeader.offline)
    }

    /// One page of a conversation, oldest first.
    ///
    /// - Parameter query: as in the HTTP API: `after`, `before`, `around`, `since`, `until`, `from`, `limit`.
    public func messages(
        of conversation: String, query: [(name: String, value: String)], timeoutMilliseconds: Int? = nil
    ) throws(APIError) -> MessageList {
        let path = "/v1/conversations/\(HTTPRequest.encodeSegment(conversation))/messages"
        let response = try perform(
            HTTPRequest(.get, path + HTTPRequest.encodeQuery(query)), deadlineMilliseconds: timeoutMilliseconds)
        return try decode(response)
    }

    /// All users, in the server's order.
    public func users() throws(APIError) -> [UserObject] {
        var users: [UserObject] = []
        var after: String?
        while true {
            var query = [(name: "limit", value: "\(Limits.pageLimit)")]
            if let after { query.append(("after", after)) }
            let page: UserList = try decode(try get("/v1/users" + HTTPRequest.encodeQuery(query)))
            users += page.users
            guard page.more else { return users }
            guard let next = page.next, next != after, !page.users.isEmpty else {
                throw foreign("its list of users does not go on")
            }
            after = next
        }
    }

    // MARK: - Requests

    /// Sends any request of the API with this session's token.
    ///
    /// - Parameters:
    ///   - deadlineMilliseconds: the time for the whole request, including the body of the answer.
    ///   - onBody: gets the body of a successful answer in pieces. Its errors are thrown as `.transport(.aborted)`.
    /// - Throws: also if the answer is a refusal.
    public func perform(
        _ request: HTTPRequest, timeoutMilliseconds: Int? = nil, deadlineMilliseconds: Int? = nil,
        onBody: ((UnsafeRawBufferPointer) throws -> Void)? = nil
    ) throws(APIError) -> HTTPResponse {
        var request = request
        if let authorization { request.headers.append(("Authorization", authorization)) }
        let start = MonotonicClock.now()
        var streamed = 0
        var counting = onBody
        if onTrace != nil, let onBody {
            counting = { piece in
                streamed += piece.count
                try onBody(piece)
            }
        }
        func trace(_ response: HTTPResponse?) {
            onTrace?(
                Trace(
                    method: request.method, path: request.path, status: response?.status,
                    milliseconds: MonotonicClock.now() - start, bytesOut: request.body?.count ?? 0,
                    bytesIn: streamed + (response?.body.count ?? 0)))
        }
        let response: HTTPResponse
        do {
            response = try client.perform(
                request, timeoutMilliseconds: timeoutMilliseconds, deadlineMilliseconds: deadlineMilliseconds,
                onBody: counting)
        } catch {
            trace(nil)
            throw .transport(error, server: address)
        }
        trace(response)
        guard (200...299).contains(response.status) else { throw failure(of: response) }
        guard let store = response.header("Natter-Store").flatMap({ StoreID(hex: $0) }) else {
            throw foreign("its answer names no store")
        }
        self.store = store
        return response
    }

    func get(_ path: String) throws(APIError) -> HTTPResponse { try perform(HTTPRequest(.get, path)) }

    func post(_ path: String, _ body: [UInt8], deadlineMilliseconds: Int? = nil) throws(APIError) -> HTTPResponse {
        let headers = [(name: "Content-Type", value: "application/json")]
        return try perform(
            HTTPRequest(.post, path, headers: headers, body: body), deadlineMilliseconds: deadlineMilliseconds)
    }

    func decode<Value: Decodable>(_ response: HTTPResponse) throws(APIError) -> Value {
        do throws(WireJSON.Failure) {
            return try WireJSON.decode(from: response.body)
        } catch {
            switch error {
            case .malformed: throw foreign("its answer is not JSON")
            case .field(let name): throw foreign("its answer lacks a valid '\(name)'")
            }
        }
    }

    /// The seconds of a `Retry-After`, at most a day. The answer may contain any number, and callers calculate with
    /// it.
    private static func pause(_ text: String) -> Int? { Int(text).map { min(max(0, $0), 86_400) } }

    func foreign(_ reason: Phrase) -> APIError {
        .foreign("'\(address)' does not speak as a natter server does: \(reason); check --server")
    }

    /// The error that an unsuccessful answer stands for. Its body was not streamed if it is an error object.
    private func failure(of response: HTTPResponse) -> APIError {
        if let body: ErrorBody = try? WireJSON.decode(from: response.body) {
            return .refused(
                APIError.Refusal(
                    body, status: response.status,
                    retryAfterSeconds: response.header("Retry-After").flatMap(ServerAPI.pause)))
        }
        switch response.status {
        // A proxy answered for a server that it could not reach.
        case 502, 503, 504:
            return .transport(
                .notReached("cannot reach '\(address)': a proxy answered \(response.status)"), server: address)
        default: return foreign("it answered \(response.status) without an error of ours")
        }
    }
}

/// A server's answer to an accepted message.
public struct SentMessage: Sendable {
    /// The message as JSON.
    public let object: [UInt8]
    /// Whether it is a personal message and the recipient is offline.
    public let isRecipientAway: Bool

    public init(object: [UInt8], isRecipientAway: Bool = false) {
        (self.object, self.isRecipientAway) = (object, isRecipientAway)
    }
}
