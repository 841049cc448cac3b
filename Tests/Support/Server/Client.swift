internal import NatterHTTP
package import NatterModel
package import NatterWire
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

/// A user of the HTTP API, over one connection. Only one thread may use it at a time.
package final class Client {
    package let server: TestServer
    package let token: String?
    private let http: HTTPClient?

    package init(_ server: TestServer, token: String?) {
        (self.server, self.token) = (server, token)
        http = (try? ServerAddress(url: "http://127.0.0.1:\(server.port)")).map {
            HTTPClient(address: $0, timeoutMilliseconds: 70_000, caFile: nil, userAgent: "natter-test")
        }
    }

    package var authorization: [(name: String, value: String)] {
        token.map { [("Authorization", "Bearer \($0)")] } ?? []
    }

    package func send(
        _ method: HTTPMethod, _ target: String, body: [UInt8]? = nil, headers: [(name: String, value: String)] = []
    ) throws -> Answer {
        guard let http else { throw Failure("the server has no address") }
        let response = try http.perform(
            HTTPRequest(method, target, headers: authorization + headers, body: body))
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
