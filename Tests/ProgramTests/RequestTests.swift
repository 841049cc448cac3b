internal import Testing
internal import TestSupport

@Suite("bad requests to a running server")
struct RequestTests {
    struct Bad: Sendable, CustomTestStringConvertible {
        let method: String
        let target: String
        let status: Int
        let code: String
        var body: [UInt8] = []
        var headers: [String] = []
        var hasToken = true

        init(
            _ method: String, _ target: String, _ status: Int, _ code: String, body: String = "",
            headers: [String] = [], hasToken: Bool = true
        ) {
            (self.method, self.target, self.status, self.code) = (method, target, status, code)
            (self.body, self.headers, self.hasToken) = (Array(body.utf8), headers, hasToken)
        }

        var testDescription: String { "\(method) \(target) → \(status) \(code)" }
    }

    static let bad: [Bad] = [
        Bad("GET", "/nix", 404, "not_found"), Bad("GET", "/v1/nix", 404, "not_found"),
        Bad("GET", "/v1/messages", 405, "method_not_allowed"), Bad("DELETE", "/v1/users", 405, "method_not_allowed"),
        Bad("POST", "/v1/messages", 415, "unsupported_media_type", body: "x", headers: ["Content-Type: text/plain"]),
        Bad("POST", "/v1/messages", 400, "bad_json", body: "nonsense"),
        Bad("POST", "/v1/messages", 400, "bad_json", body: "{} {}"),
        Bad("POST", "/v1/messages", 400, "bad_request", body: "{}"),
        Bad("POST", "/v1/messages", 400, "bad_request", body: #"{"conversation":"general","text":7}"#),
        Bad("POST", "/v1/messages", 422, "bad_text", body: #"{"conversation":"general","text":""}"#),
        Bad("POST", "/v1/messages", 422, "bad_text", body: #"{"conversation":"general","text":"a\u0000b"}"#),
        Bad("POST", "/v1/messages", 422, "bad_id", body: #"{"conversation":"general","text":"x","id":"é"}"#),
        Bad("POST", "/v1/messages", 404, "no_such_conversation", body: #"{"conversation":"nix","text":"x"}"#),
        Bad("POST", "/v1/messages", 404, "no_such_user", body: #"{"conversation":"@nix","text":"x"}"#),
        Bad(
            "POST", "/v1/messages", 401, "unauthorized", body: #"{"conversation":"general","text":"x"}"#,
            hasToken: false),
        Bad(
            "POST", "/v1/messages", 413, "too_large",
            body: #"{"conversation":"general","text":""# + String(repeating: "x", count: 1_100_000) + "\"}"),
        Bad("GET", "/v1/conversations/nix", 404, "no_such_conversation"),
        Bad("GET", "/v1/conversations/a%2Fb", 400, "bad_request"),
        Bad("GET", "/v1/conversations/a%00b/messages", 400, "bad_request"),
        Bad("GET", "/v1/conversations/general/messages?limit=0", 400, "bad_request"),
        Bad("GET", "/v1/conversations/general/messages?limit=x", 400, "bad_request"),
        Bad("GET", "/v1/conversations/general/messages?wait=x", 400, "bad_request"),
        Bad("GET", "/v1/conversations/general/messages?after=nonsense", 400, "bad_cursor"),
        Bad("GET", "/v1/conversations/general/messages", 401, "unauthorized", hasToken: false),
        Bad("GET", "/v1/sync?cursor=nonsense", 400, "bad_cursor"),
        Bad("GET", "/v1/sync", 401, "unauthorized", hasToken: false),
        Bad("GET", "/v1/users?limit=-1", 400, "bad_request"),
        Bad("GET", "/v1/users", 401, "unauthorized", hasToken: false),
        Bad("GET", "/v1/whoami", 401, "unauthorized", hasToken: false),
        Bad("GET", "/v1/whoami", 401, "unauthorized", headers: ["Authorization: Bearer nonsense"], hasToken: false),
        Bad("POST", "/v1/register", 400, "bad_json", body: "[", hasToken: false),
        Bad(
            "POST", "/v1/register", 409, "name_taken", body: #"{"name":"ALICE","password":"long enough"}"#,
            hasToken: false),
        Bad(
            "POST", "/v1/register", 422, "bad_name", body: #"{"name":"a b","password":"long enough"}"#, hasToken: false),
        Bad("POST", "/v1/register", 422, "weak_password", body: #"{"name":"eve","password":"short"}"#, hasToken: false),
        Bad(
            "POST", "/v1/login", 401, "bad_credentials", body: #"{"name":"alice","password":"wrong"}"#, hasToken: false),
        Bad("POST", "/v1/login", 401, "bad_credentials", body: #"{"name":"nobody","password":"x"}"#, hasToken: false),
        Bad("POST", "/v1/logout", 401, "unauthorized", hasToken: false),
        Bad("GET", "/v1/whoami", 400, "bad_request", headers: ["Host: twice"]),
        Bad("POST", "/v1/messages", 400, "bad_request", headers: ["Content-Length : 5"]),
        Bad(
            "POST", "/v1/login", 400, "bad_request", body: "{}", headers: ["Transfer-Encoding: chunked"],
            hasToken: false),
    ]

    @Test("the documented status and code, a one-line reason, nothing changed", arguments: bad)
    func refused(request: Bad) throws {
        let world = try RequestTests.shared.get()
        let token = try #require(Files.text("\(world.alice.natterSettings)/profiles/default/token"))
        let answer = try RawRequest.send(
            request.method, request.target, to: world.url, token: request.hasToken ? String(token.dropLast()) : nil,
            headers: request.headers, body: request.body)
        #expect(answer.status == request.status)
        #expect(answer.code == request.code, "\(answer.text)")
        let message = try JSON(parsing: answer.text)[object: "error"]?[string: "message"] ?? ""
        #expect(!message.isEmpty && !message.contains("\n"))
        #expect((answer.status == 405) == answer.head.lowercased().contains("\r\nallow: "))
        // And nothing changed
        #expect(try world.bob.texts("log") == ["only this"])
        #expect(try world.bob("users").lines.count == 3)
    }

    @Test("'curl -d' posts its text, as to ntfy, and a repeated id posts nothing twice")
    func curl() throws {
        let world = try World()
        let token = try world.alice.token()
        for (data, id) in [("disk full", ""), ("disk full", "?id=disk-1"), ("disk full", "?id=disk-1")] {
            let curl = try ChildProcess(
                "/usr/bin/curl",
                [
                    "-fsS", "-d", data, "-H", "Authorization: Bearer \(token)",
                    "\(world.url)/v1/conversations/general/messages\(id)",
                ], environment: [:]
            ).finish()
            #expect(curl.code == 0, "\(curl.errors)")
            #expect(try JSON(parsing: curl.output)[string: "text"] == data)
        }
        #expect(try world.bob.texts("log") == ["disk full", "disk full"])
    }

    private static let shared = Result { () throws -> World in
        let world = try World()
        try world.alice.sends("only this")
        return world
    }
}
