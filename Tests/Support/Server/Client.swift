internal import NatterHTTP
package import NatterModel
internal import NatterServer
package import NatterProtocol
package import TestSupport

extension Answer {
    package var json: JSONValue {
        get throws { try WireJSON.decode(JSONValue.self, from: body) }
    }

    /// The code of an error, or nil if the answer is not an error.
    package var code: String? { (try? json)?["error"]?["code"]?.text }

    /// The status and the code, in the form that test tables use: `404 not_found`.
    package var outcome: String { code.map { "\(status) \($0)" } ?? "\(status)" }

    /// The lines of an NDJSON answer. Each must end in a newline.
    package var lines: [JSONValue] {
        get throws {
            guard body.isEmpty || body.last == UInt8(ascii: "\n") else { throw Failure("the last line is cut") }
            return try body.split(separator: UInt8(ascii: "\n")).map { try WireJSON.decode(JSONValue.self, from: $0) }
        }
    }

    package func decode<Value: Decodable>(_: Value.Type = Value.self) throws -> Value {
        try WireJSON.decode(Value.self, from: body)
    }
}

/// A user of the API. Its requests go to the handlers in this process, or over one connection if the server's tests are about
/// those. Only one thread may use it at a time.
package final class Client {
    package let server: TestServer
    package let token: String?
    private let http: HTTPClient?

    package init(_ server: TestServer, token: String?) {
        (self.server, self.token) = (server, token)
        let address = server.usesSockets ? try? ServerAddress(url: server.url) : nil
        http = address.map {
            HTTPClient(address: $0, timeoutMilliseconds: 70_000, caFile: nil, userAgent: Client.name)
        }
    }

    private static let name = "natter-test"

    package var authorization: [(name: String, value: String)] {
        token.map { [("Authorization", "Bearer \($0)")] } ?? []
    }

    package func send(
        _ method: HTTPMethod, _ target: String, body: [UInt8]? = nil, headers: [(name: String, value: String)] = []
    ) throws -> Answer {
        let headers = authorization + headers
        guard let http else {
            let given = (headers + [("User-Agent", Client.name)]).map { ($0.name.lowercased(), $0.value) }
            guard let reply = server.chat.answer(method.rawValue, target, headers: given, body: body ?? []) else {
                throw Failure("the answer was cut")
            }
            return Answer(status: reply.status, headers: reply.headers, body: reply.body)
        }
        let response = try http.perform(HTTPRequest(method, target, headers: headers, body: body))
        return Answer(status: response.status, headers: response.headers, body: response.body)
    }

    package func get(_ path: String, _ query: KeyValuePairs<String, String> = [:], accept: String? = nil) throws
        -> Answer
    {
        try send(
            .get, path + HTTPRequest.encodeQuery(query.map { ($0.key, $0.value) }),
            headers: accept.map { [("Accept", $0)] } ?? [])
    }

    package func json(
        _ method: HTTPMethod, _ path: String, _ body: JSONValue = [:], headers: [(name: String, value: String)] = []
    ) throws -> Answer {
        try send(method, path, body: WireJSON.encode(body), headers: [("Content-Type", "application/json")] + headers)
    }

    package func post(
        _ path: String, _ body: JSONValue, headers: [(name: String, value: String)] = []
    ) throws -> Answer {
        try json(.post, path, body, headers: headers)
    }

    /// Sends a message.
    package func say(_ text: String, to conversation: String = "general", id: String? = nil) throws -> Answer {
        var body: [String: JSONValue] = ["conversation": .string(conversation), "text": .string(text)]
        if let id { body["id"] = .string(id) }
        return try post("/v1/messages", .object(body))
    }

    /// Sends a reply, an edit or a deletion.
    package func change(
        _ kind: String, of seq: UInt64, _ text: String? = nil, in conversation: String = "general", id: String? = nil
    ) throws -> Answer {
        var body: [String: JSONValue] = [
            "conversation": .string(conversation), "kind": .string(kind), "about": .number(Double(seq)),
        ]
        if let text { body["text"] = .string(text) }
        if let id { body["id"] = .string(id) }
        return try post("/v1/messages", .object(body))
    }

    /// Sends lines as NDJSON.
    package func bulk(_ lines: [String], query: String = "") throws -> Answer {
        try send(
            .post, "/v1/messages" + query, body: Array(lines.map { $0 + "\n" }.joined().utf8),
            headers: [("Content-Type", "application/x-ndjson")])
    }

    /// A page of a conversation's messages.
    package func page(
        _ query: KeyValuePairs<String, String> = [:], of conversation: String = "general"
    ) throws -> MessageList {
        let answer = try get("/v1/conversations/\(HTTPRequest.encodeSegment(conversation))/messages", query)
        guard answer.status == 200 else { throw Failure("a page: \(answer.outcome)") }
        return try answer.decode()
    }
}
