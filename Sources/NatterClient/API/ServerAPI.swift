public import NatterSystem
public import NatterHTTP
public import NatterModel
internal import NatterLog
public import NatterProtocol

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
    /// The server's time at its first answer, to the second; nil before that, and if it did not say.
    public private(set) var firstAnswered: Timestamp?
    private let client: HTTPClient
    private let authorization: String?
    /// The name and the version of this program, for the list of sessions.
    public var program: String?
    /// The file that the token is from, for the remedy; nil if it is of a login.
    public var tokenFile: String?
    /// Is called after each change that the server has made.
    public var onChange: (() -> Void)?
    private let onTrace: ((Trace) -> Void)?

    /// The store that the token belongs to; nil if it is unknown.
    private var tokenStore: StoreID?
    /// Is told that store when an answer shows it.
    private let onTokenStore: ((StoreID) -> Void)?
    /// Whether the server must show that it has this store before it gets the token, or anything of a request.
    public private(set) var mustProve: Bool

    /// - Parameters:
    ///   - token: of the session; nil for requests that need none.
    ///   - tokenStore: the store that gave the token.
    ///   - isNewAddress: whether the token came from another address. It is then sent only if this one has the same
    ///     store.
    ///   - onTokenStore: is called once with the store of the first server that has taken the token, if it was unknown.
    public init(
        address: ServerAddress, client: HTTPClient, token: Token?, tokenStore: StoreID? = nil,
        isNewAddress: Bool = false, onTokenStore: ((StoreID) -> Void)? = nil, onTrace: ((Trace) -> Void)? = nil
    ) {
        (self.address, self.client, self.onTokenStore, self.onTrace) = (address, client, onTokenStore, onTrace)
        (self.tokenStore, mustProve) = (tokenStore, isNewAddress && tokenStore != nil && token != nil)
        authorization = token.map { "Bearer \($0.text)" }
    }

    /// When the server's certificate expires; nil over plain HTTP and before the first request.
    public var certificateExpires: Timestamp? { client.certificateExpires }

    // MARK: - Accounts

    /// Creates an account and begins a session.
    public func register(name: String, password: String, invite: String?) throws(RequestError) -> (String, Token) {
        var body = RegisterRequest(name: name, password: password, invite: invite)
        (body.host, body.program) = (Host.name, program)
        return try session(from: try perform(API.register, body: body))
    }

    /// Begins a session. The answer has the name as it was registered, which may be spelled differently.
    public func login(name: String, password: String) throws(RequestError) -> (String, Token) {
        var body = LoginRequest(name: name, password: password)
        (body.host, body.program) = (Host.name, program)
        return try session(from: try perform(API.login, body: body))
    }

    public func whoami() throws(RequestError) -> WhoamiAnswer {
        let answer = try perform(API.whoami)
        try checkLine(answer.name, "name")
        try checkLine(answer.scope, "scope")
        return answer
    }

    /// Refuses a value that would become several lines of an account's file. The others could name another server.
    private func checkLine(_ value: String, _ field: String) throws(RequestError) {
        guard value.utf8.allSatisfy({ $0 >= 0x20 }) else { throw foreign("its answer lacks a valid '\(field)'") }
    }

    private func session(from answer: SessionAnswer) throws(RequestError) -> (String, Token) {
        guard let token = answer.token.flatMap({ Token($0) }) else {
            throw foreign("its answer has no token")
        }
        try checkLine(answer.name, "name")
        return (answer.name, token)
    }

    // MARK: - Messages

    /// Sends one message and returns when it is durable. If the id was used before for the same content, the answer
    /// is the earlier message.
    ///
    /// - Parameter timeoutMilliseconds: the time for the whole request.
    /// - Throws: `RequestError.foreign` for an answer that is no message.
    public func send(_ message: SendRequest, timeoutMilliseconds: Int? = nil) throws(RequestError) -> SentMessage {
        let request = try HTTPRequest(API.send, body: WireJSON.encode(message))
        let answer = try perform(request, deadlineMilliseconds: timeoutMilliseconds)
        // Any other answer with success has stored nothing.
        if !WireJSON.isFlatObject(answer.body, withNumber: "seq") { let _: Stored = try decode(answer) }
        return SentMessage(
            object: answer.body[...], isRecipientAway: answer.header(RecipientHeader.name) == RecipientHeader.offline)
    }

    /// How long a server may take to make a file durable, and more with the user's own timeout.
    private static let fileMilliseconds = 60_000

    /// Uploads a file for a message to a conversation.
    ///
    /// - Parameter onProgress: gets how many bytes were sent.
    func upload(
        _ file: OutgoingFile, for message: SendRequest, timeoutMilliseconds: Int, deadlineMilliseconds: Int?,
        onProgress: @escaping (UInt64) -> Void
    ) throws(RequestError) -> UploadAnswer {
        let id = message.conversationID.map { [("conversation_id", $0.description)] } ?? []
        var request = try HTTPRequest(
            API.uploadFile, [message.conversation], query: [("name", file.name)] + id,
            headers: [("Content-Type", "application/octet-stream")])
        // A request runs on the thread of its caller.
        nonisolated(unsafe) let onProgress = onProgress
        request.source = ReportingSource(file: file) { onProgress($0) }
        return try decode(
            perform(
                request, timeoutMilliseconds: max(timeoutMilliseconds, ServerAPI.fileMilliseconds),
                deadlineMilliseconds: deadlineMilliseconds))
    }

    /// The bytes of a file from an offset on.
    public func file(
        _ id: FileID, from offset: UInt64, size: UInt64, onBody: @escaping (UnsafeRawBufferPointer) throws -> Void
    ) throws(RequestError) -> HTTPResponse {
        let range = offset > 0 ? [("Range", "bytes=\(offset)-")] : []
        return try perform(
            HTTPRequest(API.file, [id.description], headers: range), bodyLimit: Int(clamping: size), onBody: onBody)
    }

    /// Messages as provisional blocks, with everything that their hash chain needs.
    func blocks(
        of conversation: String, after: Seq, before: Seq, deadlineMilliseconds: Int? = nil
    ) throws(RequestError) -> [Block] {
        let query = [("after", "\(after)"), ("before", "\(before)"), ("limit", "\(Limits.pageLimit)")]
        let response = try perform(
            HTTPRequest(API.messages, [conversation], query: query, headers: [("Accept", SyncFrame.mediaType)]),
            deadlineMilliseconds: deadlineMilliseconds)
        var frames = SyncFrameReader()
        response.body.withUnsafeBytes { frames.feed($0) }
        var blocks: [Block] = []
        do {
            while let frame = try frames.next() { blocks.append(try Block(frame)) }
        } catch {
            throw foreign("its blocks are malformed")
        }
        return blocks
    }

    /// Marks a conversation as read up to a seq.
    /// - Parameter id: decides which conversation is meant, if it is given.
    /// - Returns: the mark after that; it never goes back.
    public func markRead(_ conversation: String, id: ConversationID?, upTo seq: Seq) throws(RequestError) -> Seq {
        let answer = try perform(
            API.markRead, conversation, body: ReadRequest(seq: seq.rawValue, conversationID: id))
        guard answer.read <= Limits.seqs.upperBound.rawValue else {
            throw foreign("its answer lacks a valid '\("read")'")
        }
        return Seq(answer.read)
    }

    // MARK: - Lists

    /// The newest events of the service, oldest first, or the events after a number.
    ///
    /// - Parameter waitSeconds: how long to wait if there are no events after that number yet.
    public func serviceLog(
        after number: UInt64?, limit: Int, level: String?, waitSeconds: Int = 0
    ) throws(RequestError) -> [LogObject] {
        var query = [(name: "limit", value: "\(limit)")]
        if let number { query.append(("after", "\(number)")) }
        if let level { query.append(("level", level)) }
        if waitSeconds > 0 { query.append(("wait", "\(waitSeconds)")) }
        return try lines(
            of: API.log, query: query, timeoutMilliseconds: waitSeconds > 0 ? (waitSeconds + 15) * 1_000 : nil)
    }

    /// The objects of an answer with one object in each line.
    public func lines<Value>(
        of endpoint: Endpoint<Void, Lines<Value>>, query: [(name: String, value: String)],
        timeoutMilliseconds: Int? = nil
    ) throws(RequestError) -> [Value] {
        let request = try HTTPRequest(endpoint, query: query)
        let response = try perform(request, timeoutMilliseconds: timeoutMilliseconds)
        var values: [Value] = []
        for line in response.body.split(separator: UInt8(ascii: "\n")) {
            do throws(WireJSON.Failure) {
                values.append(try WireJSON.decode(answer: line))
            } catch {
                throw foreign("a line of its answer is not as it should be")
            }
        }
        return values
    }

    /// How many pages a list may have: a million entries. A list of a server's making may never end.
    private static let pageCount = 1_000
    /// The most bytes of all pages together. A page of a server's making may be as long as any answer.
    private static let listBytes = 64 << 20

    /// All entries of a list that comes in pages.
    ///
    /// - Parameter name: the name of an entry.
    public func everything<Entry, Field>(
        _ endpoint: Endpoint<Void, ListAnswer<Entry, Field>>, _ name: (Entry) -> String
    ) throws(RequestError) -> [Entry] {
        var entries: [Entry] = []
        var after: String?
        var bytes = 0
        for _ in 0..<ServerAPI.pageCount {
            var query = [(name: "limit", value: "\(Limits.pageLimit)")]
            if let after { query.append(("after", after)) }
            let answer = try perform(HTTPRequest(endpoint, query: query))
            bytes += answer.body.count
            guard bytes <= ServerAPI.listBytes else { throw foreign("its list does not end") }
            let page: ListAnswer<Entry, Field> = try decode(answer)
            guard page.items.allSatisfy({ name($0).utf8.count <= NameRule.maximumBytesAsSent }) else {
                throw foreign("its answer lacks a valid '\("name")'")
            }
            entries += page.items
            guard page.more else { return entries }
            guard let next = page.next, next.utf8.count <= NameRule.maximumBytesAsSent, next != after,
                page.items.count <= Limits.pageLimit
            else {
                throw foreign("its list does not go on")
            }
            after = next
        }
        throw foreign("its list does not end")
    }

    // MARK: - Requests

    /// Sends any request of the API with this session's token.
    ///
    /// - Parameters:
    ///   - deadlineMilliseconds: the time for the whole request, including the body of the answer.
    ///   - advice: how to find out whether the server has carried out a change whose answer was lost; nil for a request that
    ///     changes nothing or can be repeated with its id.
    ///   - onBody: gets the body of a successful answer in pieces. Its errors are thrown as `.transport(.aborted)`.
    /// - Throws: also if the answer is a refusal.
    public func perform(
        _ request: HTTPRequest, timeoutMilliseconds: Int? = nil, deadlineMilliseconds: Int? = nil,
        ifLost advice: Phrase? = nil, bodyLimit: Int? = nil, onBody: ((UnsafeRawBufferPointer) throws -> Void)? = nil
    ) throws(RequestError) -> HTTPResponse {
        if mustProve { try prove(timeoutMilliseconds, deadlineMilliseconds) }
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
                    milliseconds: MonotonicClock.now() - start,
                    bytesOut: Int(clamping: request.source?.count ?? UInt64(request.body?.count ?? 0)),
                    bytesIn: streamed + (response?.body.count ?? 0)))
        }
        let response: HTTPResponse
        do {
            response = try client.perform(
                request, timeoutMilliseconds: timeoutMilliseconds, deadlineMilliseconds: deadlineMilliseconds,
                bodyLimit: bodyLimit, onBody: counting)
        } catch {
            trace(nil)
            throw unanswered(.transport(error, server: address), advice)
        }
        trace(response)
        guard (200...299).contains(response.status) else {
            // Another server knows the token as little as any other that somebody made up.
            if response.status == 401, let store = response.header("Natter-Store").flatMap({ StoreID(hex: $0) }) {
                try checkStore(store)
            }
            throw unanswered(failure(of: response), advice)
        }
        guard let store = response.header("Natter-Store").flatMap({ StoreID(hex: $0) }) else {
            throw foreign("its answer names no store")
        }
        self.store = store
        if authorization != nil, tokenStore == nil {
            tokenStore = store
            onTokenStore?(store)
        }
        if firstAnswered == nil { firstAnswered = response.date }
        if request.method != .get { onChange?() }
        return response
    }

    /// Sends a request without a body.
    ///
    /// - Parameter names: one for each `{…}` of the path.
    public func perform<Answer: Decodable>(
        _ endpoint: Endpoint<Void, Answer>, _ names: String..., query: [(name: String, value: String)] = []
    ) throws(RequestError) -> Answer {
        try decode(try perform(HTTPRequest(endpoint, names, query: query)))
    }

    public func perform<Body: Encodable, Answer: Decodable>(
        _ endpoint: Endpoint<Body, Answer>, _ names: String..., body: Body, timeoutMilliseconds: Int? = nil
    ) throws(RequestError) -> Answer {
        try decode(
            try perform(
                HTTPRequest(endpoint, names, body: WireJSON.encode(body)), timeoutMilliseconds: timeoutMilliseconds,
                ifLost: endpoint.ifLost))
    }

    /// Sends a change whose answer says nothing.
    public func perform<Body: Encodable>(
        _ endpoint: Endpoint<Body, Void>, _ names: String..., body: Body
    ) throws(RequestError) {
        _ = try perform(HTTPRequest(endpoint, names, body: WireJSON.encode(body)), ifLost: endpoint.ifLost)
    }

    public func perform(_ endpoint: Endpoint<Void, Void>, _ names: String...) throws(RequestError) {
        let body = endpoint.method == .put ? Array("{}".utf8) : nil
        _ = try perform(HTTPRequest(endpoint, names, body: body), ifLost: endpoint.ifLost)
    }

    func decode<Value: Decodable>(_ response: HTTPResponse) throws(RequestError) -> Value {
        do throws(WireJSON.Failure) {
            return try WireJSON.decode(answer: response.body)
        } catch {
            switch error {
            case .malformed: throw foreign("its answer is not JSON")
            case .field(""): throw foreign("its answer is not a JSON object")
            case .field(let name): throw foreign("its answer lacks a valid '\(name)'")
            }
        }
    }

    /// The seconds of a `Retry-After`, at most a day. The answer may contain any number, and callers calculate with
    /// it.
    private static func pause(_ text: String) -> Int? { Int(text).map { min(max(0, $0), 86_400) } }

    public func foreign(_ reason: Phrase) -> RequestError {
        .foreign("'\(address)' does not speak as a natter server does: \(reason)", remedy: "check --server")
    }

    /// Asks the server for its store without the token, in the time that the request itself may take.
    private func prove(_ timeoutMilliseconds: Int?, _ deadlineMilliseconds: Int?) throws(RequestError) {
        let request = try HTTPRequest(API.health)
        let response: HTTPResponse
        do {
            response = try client.perform(
                request, timeoutMilliseconds: timeoutMilliseconds, deadlineMilliseconds: deadlineMilliseconds)
        } catch {
            throw .transport(error, server: address)
        }
        guard let store = response.header("Natter-Store").flatMap({ StoreID(hex: $0) }) else {
            if response.status >= 500 { throw failure(of: response) }
            throw foreign("its answer names no store")
        }
        try checkStore(store)
        mustProve = false
    }

    private func checkStore(_ store: StoreID) throws(RequestError) {
        guard authorization != nil, let tokenStore, store != tokenStore else { return }
        throw .refused(
            RequestError.Refusal(
                status: 401, code: "other_store",
                phrase:
                    "'\(address)' is another server than the one where you logged in; name that with --server, or log "
                    + "in to this one under another --profile"))
    }

    /// The error of a request to which no answer of the server came.
    private func unanswered(_ error: RequestError, _ advice: Phrase?) -> RequestError {
        guard let advice, error.isOutcomeUnknown, case .transport(let cause, _) = error else { return error }
        return .unanswered(cause, server: address, advice: advice)
    }

    /// The error that an unsuccessful answer stands for. Its body was not streamed if it is an error object.
    private func failure(of response: HTTPResponse) -> RequestError {
        if let body: ErrorBody = try? WireJSON.decode(answer: response.body) {
            var refusal = RequestError.Refusal(
                body, status: response.status,
                retryAfterSeconds: response.header("Retry-After").flatMap(ServerAPI.pause))
            refusal.tokenFile = tokenFile
            return .refused(refusal)
        }
        switch response.status {
        case 429:
            // A proxy limits requests, and the server has not seen this one.
            let seconds = response.header("Retry-After").flatMap(ServerAPI.pause)
            var refusal = RequestError.Refusal(
                .slowDown,
                seconds.map { "a proxy answered 429 for '\(address)'; try again in \($0) s" }
                    ?? "a proxy answered 429 for '\(address)'")
            refusal.retryAfterSeconds = seconds
            return .refused(refusal)
        // Only a name makes an address so long, and none has so many bytes.
        case 414, 431:
            return .refused(
                RequestError.Refusal(
                    .noSuchConversation, "there is no such name: names have at most \(NameRule.maximumBytes) bytes"))
        // A proxy answered for a server that it could not reach, or that it had sent the request to. Some have statuses
        // of their own for that, such as 524. Only 501 is of a server that would not know the method later, either.
        case 500... where response.status != 501:
            return .transport(.interrupted("a proxy answered \(response.status)"), server: address)
        default: return foreign("it answered \(response.status) without an error of ours")
        }
    }
}

/// A file that reports how far it was read.
private struct ReportingSource: BodySource {
    let file: OutgoingFile
    let onRead: @Sendable (UInt64) -> Void

    var count: UInt64 { file.count }

    func read(count: Int, at offset: UInt64) throws -> [UInt8] {
        onRead(offset)
        return try file.read(count: count, at: offset)
    }
}

/// The fields that each stored message has.
private struct Stored: Decodable { let seq: UInt64 }

/// A server's answer to an accepted message.
public struct SentMessage: Sendable {
    /// The message as JSON.
    public let object: ArraySlice<UInt8>
    /// Whether it is a personal message and the recipient is offline.
    public let isRecipientAway: Bool

    init(object: ArraySlice<UInt8>, isRecipientAway: Bool = false) {
        (self.object, self.isRecipientAway) = (object, isRecipientAway)
    }

    /// The object that the server has answered.
    public func message() throws(RequestError) -> MessageObject {
        guard let message: MessageObject = try? WireJSON.decode(answer: object) else {
            throw .foreign("the server does not answer like a natter server: its answer is not a message")
        }
        return message
    }
}
