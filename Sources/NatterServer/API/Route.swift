internal import NatterModel
internal import NatterStore
internal import NatterProtocol

/// An ``Endpoint`` with the function that answers its requests.
///
/// It is a class, because each request is compared with many, and a copy counts a reference of each closure and array.
final class Route: Sendable {
    /// The thread that answers the request, unless its body is so large that a slow worker must decode it.
    enum Place: Sendable {
        /// On the listener's thread. Nothing there may block.
        case loop
        /// On a worker thread. It may read from the disk.
        case worker
        /// On a slow worker, one at a time for each account.
        case searcher
    }

    let method: String
    /// The path's segments. One in braces matches any one segment.
    let path: [String]
    let place: Place
    /// True if the route also accepts a stream of messages as NDJSON.
    let takesBulk: Bool
    /// Bytes that a body may have, except one of bulk.
    let bodyLimit: Int
    let bodyType: BodyType
    /// Whether this request needs a token, which is checked before its body is read.
    let needsToken: @Sendable (RequestHead) -> Bool
    /// Answers a request whose head and body have arrived. See ``RequestHandler`` for the order of checks.
    let answer: @Sendable (Call) throws(APIError) -> Void
    typealias MakeSink = @Sendable (RequestHead, [String], ChatServer, Principal) throws(APIError) -> any BodySink
    /// Judges a head, and takes its body; nil if the body is collected, or is bulk.
    let makeSink: MakeSink?

    /// - Parameters:
    ///   - access: decides who may ask.
    ///   - form: reads and checks the query and the body.
    ///   - answer: receives the call, the asker, and the input that `form` read.
    init<Body, Answer, Asker, Input>(
        _ endpoint: Endpoint<Body, Answer>, _ access: Access<Asker, Input>, _ form: Form<Body, Input>,
        on place: Place = .worker,
        _ answer: @escaping @Sendable (TypedCall<Answer>, Asker, Input) throws(APIError) -> Void
    ) {
        method = endpoint.method.rawValue
        path = endpoint.path.split(separator: "/").map(String.init)
        (self.place, takesBulk, bodyLimit, bodyType) = (place, form.takesBulk, form.bodyLimit, form.bodyType)
        needsToken = access.needsToken
        makeSink = nil
        self.answer = { given throws(APIError) in
            var call = given
            try Query.check(call.head)
            let input = try form.read(call)
            let asker = try access.admit(&call, input)
            // A request that waits asks for its token again.
            call.known = nil
            let typed = TypedCall<Answer>(call)
            // Respond here and not in the caller, because the caller's call has no user for the log.
            do throws(APIError) { try answer(typed, asker, input) } catch { call.respond(error) }
        }
    }

    /// A route whose body has any type and length, and which needs a token.
    ///
    /// - Parameter makeSink: runs on the listener's thread, so it must not block.
    init<Answer>(_ endpoint: Endpoint<[UInt8], Answer>, sink makeSink: @escaping MakeSink) {
        method = endpoint.method.rawValue
        path = endpoint.path.split(separator: "/").map(String.init)
        (place, takesBulk, bodyLimit, bodyType) = (.worker, false, .max, .any)
        needsToken = { _ in true }
        self.makeSink = makeSink
        answer = { _ throws(APIError) in throw APIError(.internalError, "the server failed to answer; its log says why")
        }
    }

    /// A route that reads neither query nor body.
    convenience init<Answer, Asker>(
        _ endpoint: Endpoint<Void, Answer>, _ access: Access<Asker, Void>, on place: Place = .worker,
        _ answer: @escaping @Sendable (TypedCall<Answer>, Asker) throws(APIError) -> Void
    ) {
        self.init(endpoint, access, .nothing, on: place) { call, asker, _ throws(APIError) in
            try answer(call, asker)
        }
    }

    /// Whether the route belongs to the web page.
    var isOfPage: Bool { path.first.map { $0 == "page" } ?? true }

    /// Whether the route posts messages. The writer's thread checks everything about them again.
    var isPosting: Bool { method == "POST" && path.last == "messages" }

    /// Whether the answer depends on what other servers of the store have acknowledged. `healthz` and `metrics` must not wait
    /// for the database whose absence they report, but a token may have been revoked.
    func readsStore(_ head: RequestHead) -> Bool {
        !isOfPage && (needsToken(head) || path != ["healthz"] && path != ["metrics"])
    }

    /// A body of GET is ignored, but not of any length.
    var takesBody: Bool { method != "GET" }

    /// The segments that match those in braces; nil if the path does not match. Compares bytes, because comparing a `String`
    /// costs the square of a run of combining marks.
    ///
    /// - Parameter path: has as many segments as this route's.
    func parameters(of path: [String]) -> [String]? {
        var parameters: [String] = []
        for (segment, pattern) in zip(path, self.path) {
            if pattern.utf8.first == UInt8(ascii: "{") {
                guard !segment.isEmpty else { return nil }
                parameters.append(segment)
            } else if !segment.utf8.elementsEqual(pattern.utf8) {
                return nil
            }
        }
        return parameters
    }
}

/// Decides who may ask. `Asker` is what the handler learns about the client: a `Principal`, or nothing.
struct Access<Asker, Input>: Sendable {
    /// Whether this request needs a token. ``RequestHandler`` checks it before the body arrives.
    let needsToken: @Sendable (RequestHead) -> Bool
    /// Asks again if the body arrived after the head, because the token may have ended meanwhile.
    ///
    /// - Throws: 401 without a valid token, 403 if the token's scope or the account does not suffice.
    let admit: @Sendable (inout Call, Input) throws(APIError) -> Asker
}

extension Access where Asker == Void {
    /// With or without a token.
    static var anyone: Access { Access(needsToken: { _ in false }, admit: { _, _ in }) }

    /// An admin of the server, or any process on this machine.
    static var adminOrThisMachine: Access {
        Access(
            needsToken: { !$0.isFromThisMachine },
            admit: { call, _ throws(APIError) in
                if !call.head.isFromThisMachine { _ = try call.admin() }
            })
    }
}

extension Access where Asker == Principal {
    /// A valid token whose scope covers `need`.
    static func token(_ need: ScopeNeed) -> Access { token { _, _ in need } }

    /// A valid token whose scope covers what the request needs.
    static func token(_ need: @escaping @Sendable (Call, Input) -> ScopeNeed) -> Access {
        Access(
            needsToken: { _ in true },
            admit: { call, input throws(APIError) in
                call.need = need(call, input)
                let principal = try call.principal(call.need)
                (call.user, call.account) = (principal.name.text, principal.account)
                return principal
            })
    }

    /// An admin of the server, with a token whose scope is everything.
    static var admin: Access {
        Access(
            needsToken: { _ in true },
            admit: { call, _ throws(APIError) in
                let principal = try call.admin()
                (call.user, call.account) = (principal.name.text, principal.account)
                return principal
            })
    }
}

/// The one who administers accounts: an admin with a token, or the operator of the data directory.
struct Administrator: Sendable {
    /// For the audit trail and the log.
    let name: String
    /// nil for the operator.
    let principal: Principal?
}

extension Access where Asker == Administrator {
    static var administrator: Access {
        Access(
            needsToken: { $0.operatorID == nil },
            admit: { call, input throws(APIError) in
                if let id = call.head.operatorID {
                    return Administrator(name: ChatServer.operatorName(id), principal: nil)
                }
                let principal = try Access<Principal, Input>.admin.admit(&call, input)
                return Administrator(name: principal.name.text, principal: principal)
            })
    }
}

/// The types that a route takes for its body.
enum BodyType: Sendable {
    /// JSON, also without a type. One line of NDJSON is JSON, too.
    case json
    /// Plain text, also without a type. `curl -d` and `wget --post-data` call any text a form, so that is taken as text,
    /// as it is.
    case text
    case any

    /// - Returns: 415 for another type; nil for one that it takes, or none.
    func error(in type: String?) -> APIError? {
        guard let type else { return nil }
        switch self {
        case .any: return nil
        case .json:
            return MediaType.isJSON(type) || MediaType.isNDJSON(type)
                ? nil : APIError(.unsupportedMediaType, "the body must be application/json")
        case .text:
            return MediaType.isText(type) || MediaType.isForm(type)
                ? nil : APIError(.unsupportedMediaType, "the body must be text/plain; JSON goes to /v1/messages")
        }
    }
}

/// The form of a request. It reads the query and a body of the endpoint's type before the token is checked.
struct Form<Body, Input>: Sendable {
    var takesBulk = false
    var bodyLimit = Limits.smallBodyBytes
    var bodyType = BodyType.json
    /// - Throws: 400.
    let read: @Sendable (Call) throws(APIError) -> Input
}

extension Form where Body == Void {
    /// A request that says all in its path and its query.
    static func query(_ read: @escaping @Sendable (Call) throws(APIError) -> Input) -> Form { Form(read: read) }
}

extension Form where Body == Void, Input == Void {
    /// A request that says all in its path. The body may be missing, and whatever fields a JSON object has are ignored.
    static var nothing: Form {
        Form { call throws(APIError) in
            if !call.body.isEmpty { _ = try call.json(NoFields.self) }
        }
    }
}

/// A JSON object of which no field is read.
private struct NoFields: Decodable {
    private enum CodingKeys: CodingKey {}

    init(from decoder: any Decoder) throws { _ = try decoder.container(keyedBy: CodingKeys.self) }
}

extension Form where Body == Void, Input == ListPart {
    /// A list, or a part of it.
    static var list: Form { Form { call throws(APIError) in try ListPart.read(call) } }
}

extension Form where Body: Decodable & Sendable {
    /// A JSON object, and what `check` makes of it.
    static func json(_ check: @escaping @Sendable (Call, Body) throws(APIError) -> Input) -> Form {
        Form { call throws(APIError) in try check(call, call.json(Body.self)) }
    }

    /// A JSON object whose fields are all optional. The body may be missing.
    static func optionalJSON(_ check: @escaping @Sendable (Call, Body) throws(APIError) -> Input) -> Form {
        Form { given throws(APIError) in
            var call = given
            if call.body.isEmpty { call.body = Array("{}".utf8) }
            return try check(call, call.json(Body.self))
        }
    }
}

extension Form where Body: Decodable & Sendable, Input == Body {
    static var json: Form { json { _, body in body } }
    static var optionalJSON: Form { optionalJSON { _, body in body } }
}

extension Form where Body == SendRequest, Input == SendRequest {
    /// A message to send, or a stream of them.
    static var message: Form {
        Form(takesBulk: true, bodyLimit: Limits.bodyBytes) { call throws(APIError) in
            // A single message ignores `stop`, but a malformed value is still an error.
            _ = try call.query.flag("stop")
            return try MessageRoutes.request(from: call.body)
        }
    }
}

extension Form where Body == String, Input == SendRequest {
    /// A message whose text is the body. The path names its conversation.
    static var text: Form {
        Form(bodyLimit: Limits.bodyBytes, bodyType: .text) { call throws(APIError) in
            guard let text = String(validating: call.body, as: UTF8.self) else {
                throw APIError(.badJSON, "the body is not UTF-8")
            }
            let query = call.query
            return SendRequest(
                conversation: call.name(0), conversationID: try query.conversationID(), text: text,
                id: query.given("id"))
        }
    }
}

/// Finds the route of a request.
struct Router: Sendable {
    /// Those whose path has no segment, those with one, and so on.
    private let bySegments: [[Route]]

    init(routes: [Route]) {
        let most = routes.map(\.path.count).max() ?? 0
        bySegments = (0...most).map { count in routes.filter { $0.path.count == count } }
    }

    struct Match: Sendable {
        let route: Route
        let parameters: [String]
    }

    /// - Throws: 400 for a path that can't be decoded, 404, or 405 with `Allow`.
    func match(_ head: RequestHead) throws(APIError) -> Match {
        guard let path = head.path else {
            throw APIError(.badRequest, "the path is not percent-encoded UTF-8, or has %2F or %00, which no name has")
        }
        var allowed: [String] = []
        // HEAD is GET without the body. The listener leaves the body out.
        let method = head.method == "HEAD" ? "GET" : head.method
        for route in path.count < bySegments.count ? bySegments[path.count] : [] {
            guard let parameters = route.parameters(of: path) else { continue }
            if route.method == method { return Match(route: route, parameters: parameters) }
            allowed.append(route.method)
            if route.method == "GET" { allowed.append("HEAD") }
        }
        if allowed.isEmpty { throw APIError(.notFound, "there is nothing at this path") }
        throw APIError(
            .methodNotAllowed, "this path takes \(allowed.joined(separator: ", "))",
            allow: allowed.joined(separator: ", "))
    }
}
