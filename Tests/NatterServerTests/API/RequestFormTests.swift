internal import NatterHTTP
internal import NatterModel
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("the form of requests")
struct RequestFormTests {
    private let server: TestServer
    private let alice: Client

    init() throws {
        server = try TestServer()
        alice = try server.account("alice")
    }

    private var authorization: String { "Authorization: Bearer \(alice.token ?? "")" }

    private static let json = "Content-Type: application/json"

    // MARK: Where it goes

    @Test(
        "a path that is not there is 404, in every method",
        arguments: [
            "/v1", "/v1/", "/v2/users", "/v1/Users", "/v1/users/", "//v1/users", "/v1/users/alice",
            "/v1/conversations/",
            "/v1/conversations//messages", "/v1/conversations/general/", "/v1/conversations/general/messages/1/2",
            "/v1/./users", "/v1/x/../users", "/healthz/", "/v1/nowhere",
        ])
    func notFound(path: String) throws {
        let connection = try RawClient(port: server.port)
        for method in ["GET", "POST", "DELETE", "OPTIONS", "BREW"] {
            #expect(try connection.request(method, path, body: method == "GET" ? nil : []).outcome == "404 not_found")
        }
        #expect(try connection.request("HEAD", path).status == 404)
    }

    @Test(
        "a method that a known path lacks is 405, with those that it has",
        arguments: [
            ("/v1/register", ["GET", "HEAD", "POST"]), ("/v1/login", ["POST"]), ("/v1/logout", ["POST"]),
            ("/v1/whoami", ["GET", "HEAD"]), ("/v1/messages", ["POST"]), ("/v1/conversations", ["GET", "HEAD"]),
            ("/v1/conversations/general", ["GET", "HEAD"]),
            ("/v1/conversations/general/messages", ["GET", "HEAD", "POST"]),
            ("/v1/sync", ["GET", "HEAD"]), ("/v1/users", ["GET", "HEAD"]), ("/healthz", ["GET", "HEAD"]),
            ("/v1/conversations/@nobody/messages", ["GET", "HEAD", "POST"]),
        ])
    func wrongMethod(path: String, allowed: [String]) throws {
        let connection = try RawClient(port: server.port)
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "BREW"]
        where !allowed.contains(method) {
            let answer = try connection.request(method, path, body: ["GET", "HEAD"].contains(method) ? nil : [])
            #expect(answer.status == 405)
            if method != "HEAD" { #expect(answer.code == "method_not_allowed") }
            let named = (answer.header("Allow") ?? "").split(separator: ",").map { $0.filter { $0 != " " } }
            #expect(named.sorted() == allowed)
        }
    }

    @Test("HEAD answers as GET does, without the body")
    func head() throws {
        _ = try alice.say("hello")
        let connection = try RawClient(port: server.port)
        for path in [
            "/v1/whoami", "/v1/conversations", "/v1/conversations/general", "/v1/conversations/general/messages",
            "/v1/users", "/v1/sync", "/healthz", "/v1/register?name=bob",
        ] {
            let get = try connection.request("GET", path, headers: [authorization])
            let head = try connection.request("HEAD", path, headers: [authorization])
            #expect(head.status == 200)
            #expect(get.status == 200)
            #expect(head.header("Content-Type") == get.header("Content-Type"))
            #expect(head.header("Content-Length") == get.header("Content-Length"))
            #expect(!get.body.isEmpty)
        }
    }

    @Test(
        "a name in a path is decoded once; what cannot be one is 400",
        arguments: [
            ("/v1/conversations/a%2Fb", "400 bad_request"), ("/v1/conversations/a%2fb/messages", "400 bad_request"),
            ("/v1/conversations/a%00b", "400 bad_request"), ("/v1/conversations/%00", "400 bad_request"),
            ("/v1/conversations/a%", "400 bad_request"), ("/v1/conversations/a%2", "400 bad_request"),
            ("/v1/conversations/a%zz", "400 bad_request"), ("/v1/conversations/%FF", "400 bad_request"),
            ("/v1/conversations/%C0%AF", "400 bad_request"), ("/v1/conversations/%ED%A0%80", "400 bad_request"),
            ("/v1/conversations/@bob", "200"), ("/v1/conversations/%40bob", "200"), ("/v1/conversations/@%62ob", "200"),
            ("/v1/conversations/@BOB", "200"), ("/v1/conversations/%2540bob", "404 no_such_conversation"),
            ("/v1/conversations/@r%C3%A9n%C3%A9", "200"), ("/v1/conversations/@re%CC%81ne%CC%81", "200"),
            ("/v1/conversations/general", "200"), ("/v1/conversations/g%65neral", "200"),
            ("/v1/conversations/General", "200"), ("/v1/conversations/@me", "200"), ("/v1/conversations/@ME", "200"),
            ("/v1/conversations/@alice", "200"), ("/v1/conversations/@", "404 no_such_user"),
            ("/v1/conversations/@nobody", "404 no_such_user"), ("/v1/conversations/@bob,@r", "404 no_such_user"),
            ("/v1/conversations/nowhere", "404 no_such_conversation"),
            ("/v1/conversations/+", "404 no_such_conversation"),
            ("/v1/conversations/a+b", "404 no_such_conversation"), ("/%2Fv1/users", "400 bad_request"),
        ])
    func names(path: String, outcome: String) throws {
        try server.account("bob")
        try server.account("réné")
        let answer = try RawClient(port: server.port).request("GET", path, headers: [authorization])
        #expect(answer.outcome == outcome)
        if outcome == "400 bad_request" {
            // That holds for every user.
            #expect(try RawClient(port: server.port).request("GET", path).outcome == outcome)
        }
    }

    @Test(
        "a query that is not percent-encoded UTF-8, or has a field twice, is 400",
        arguments: [
            "?q=%", "?q=%zz", "?q=%ff", "?%C0=1", "?q=a&%=b", "?q=a&q=a", "?q=&limit=1&%71=b", "?limit=1&limit",
        ])
    func badQuery(query: String) throws {
        for path in ["/v1/users", "/v1/sync", "/v1/conversations/general/messages", "/v1/whoami"] {
            #expect(
                try RawClient(port: server.port).request(
                    "GET", path + query, headers: ["Authorization: Bearer \(alice.token ?? "")"]
                ).outcome == "400 bad_request")
        }
    }

    // MARK: The body

    private static func utf16(_ text: String, bigEndian: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        for unit in text.utf16 {
            let pair = [UInt8(unit & 0xFF), UInt8(unit >> 8)]
            bytes += bigEndian ? pair.reversed() : pair
        }
        return bytes
    }

    private static let brokenBodies: [[UInt8]] = [
        Array("".utf8), Array("{".utf8), Array("{}}".utf8), Array("{} {}".utf8), Array("x".utf8),
        Array("{'name':'a'}".utf8), Array("{\"name\":\"a\u{1}b\"}".utf8), Array("{\"name\":\"a\nb\"}".utf8),
        Array("{\"name\":\"a\",}".utf8), Array("{name:1}".utf8), Array("{\"name\":NaN}".utf8),
        Array("{\"name\":01}".utf8), Array("{\"name\":\"\\x41\"}".utf8), Array("// c\n{}".utf8),
        [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D], [0x7B, 0x22, 0xC0, 0xAF, 0x22, 0x3A, 0x31, 0x7D],
        [0x7B, 0x22, 0xED, 0xA0, 0x80, 0x22, 0x3A, 0x31, 0x7D], Array("{\"name\":\"a\u{0}b\"}".utf8),
        utf16("{}"), Array("{\"name\":\"\\ud800\"}".utf8), Array("{\"name\":\"\\udc00\\ud800\"}".utf8),
        Array("{\"name\":\"\\ud83d\\u0041\"}".utf8), Array("{\"name\":\"\\u12g4\"}".utf8),
        [0xFE, 0xFF] + utf16("{}", bigEndian: true),
        Array((String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)).utf8),
        Array((String(repeating: "{\"a\":", count: 5_000) + "1" + String(repeating: "}", count: 5_000)).utf8),
    ]

    @Test("anything but JSON in UTF-8 is 400 bad_json", arguments: RequestFormTests.brokenBodies)
    func notJSON(body: [UInt8]) throws {
        for path in ["/v1/register", "/v1/login", "/v1/messages"] {
            let isTooLarge = path != "/v1/messages" && body.count > 16_384
            let outcome = isTooLarge ? "413 too_large" : "400 bad_json"
            #expect(try alice.send(.post, path, body: body).outcome == outcome, "\(path)")
        }
    }

    @Test("a request that needs no body takes none, or a JSON object, and nothing else")
    func needlessBody() throws {
        _ = try server.account("bob")
        #expect(try alice.post("/v1/groups", ["name": "g"]).status == 201)
        let requests: [(HTTPMethod, String)] = [
            (.put, "/v1/contacts/bob"), (.delete, "/v1/contacts/bob"), (.put, "/v1/blocks/bob"),
            (.delete, "/v1/blocks/bob"), (.delete, "/v1/groups/g/members/bob"), (.delete, "/v1/groups/g"),
        ]
        for (method, path) in requests {
            for body in ["nonsense", "{", "\u{0}", "{} {}"] {
                let answer = try alice.send(method, path, body: Array(body.utf8))
                #expect(answer.outcome == "400 bad_json", "\(method) \(path) \(body)")
            }
            #expect(try alice.send(method, path, body: [0xFF]).outcome == "400 bad_json")
            #expect(try alice.send(method, path, body: Array("[]".utf8)).outcome == "400 bad_request")
        }
        #expect(try alice.get("/v1/contacts").json["users"]?.items.isEmpty == true)
        for (index, (method, path)) in requests.enumerated() where !path.hasSuffix("members/bob") {
            let body = index % 2 == 0 ? [] : Array(#"{"more":1}"#.utf8)
            #expect(try alice.send(method, path, body: body).status == 200, "\(method) \(path)")
        }
    }

    @Test(
        "fields of a wrong type, or none at all, are 400 bad_request",
        arguments: [
            ("/v1/register", "{}"), ("/v1/register", #"{"name":"a"}"#),
            ("/v1/register", #"{"name":1,"password":"long enough"}"#),
            ("/v1/register", #"{"name":null,"password":"long enough"}"#), ("/v1/register", #"["a","b"]"#),
            ("/v1/register", #"{"name":"a","password":["long enough"]}"#), ("/v1/register", "1"),
            ("/v1/register", "null"),
            ("/v1/register", #"{"name":"a","password":"long enough","invite":7}"#), ("/v1/register", #""text""#),
            ("/v1/login", #"{"name":"a"}"#), ("/v1/login", #"{"name":"a","password":true}"#),
            ("/v1/login", #"{"name":"a","password":"long enough","cookie":"yes"}"#),
            ("/v1/login", #"{"name":"a","password":"long enough","cookie":1}"#),
            ("/v1/messages", "{}"), ("/v1/messages", #"{"text":"a"}"#),
            ("/v1/messages", #"{"conversation":"general"}"#),
            ("/v1/messages", #"{"conversation":1,"text":"a"}"#),
            ("/v1/messages", #"{"conversation":"general","text":{}}"#),
            ("/v1/messages", #"{"conversation":"general","text":"a","id":7}"#), ("/v1/messages", "[]"),
            ("/v1/messages", #"{"conversation":"general","text":1e999}"#),
            ("/v1/messages", #"{"Conversation":"general","Text":"a"}"#),
        ])
    func wrongTypes(path: String, body: String) throws {
        let answer = try alice.send(.post, path, body: Array(body.utf8))
        #expect(answer.outcome == "400 bad_request")
        #expect(try answer.json["error"]?["message"]?.text?.isEmpty == false)
    }

    @Test("unknown fields of any type are ignored")
    func unknownFields() throws {
        let nested = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
        let body =
            #"{"conversation":"general","text":"a","seq":"x","colour":{"deep":\#(nested)},"":null,"sender":"bob"}"#
        let answer = try alice.send(.post, "/v1/messages", body: Array(body.utf8))
        #expect(answer.status == 201)
        #expect(try answer.json["sender"] == "alice")
        let escaped = #"{"conversation":"\u0067eneral","text":"\uD83D\udc4d \u00e9\/","x":-0.5E+3,"y":[0,1e2]}"#
        #expect(
            try alice.send(.post, "/v1/messages", body: Array(escaped.utf8)).json["text"] == "\u{1F44D} \u{E9}/")
        #expect(try alice.get("/v1/users", ["colour": "red", "limit": "1", "x": ""]).status == 200)
    }

    @Test(
        "no content type is JSON, JSON is in any case and with parameters, all else is 415",
        arguments: [
            (nil, 201), ("application/json", 201), ("Application/JSON; charset=utf-8", 201),
            ("application/json;charset=\"UTF-8\"", 201), ("application/x-ndjson", 200),
            ("Application/X-NDJSON; charset=utf-8", 200), ("text/plain", 415),
            ("application/x-www-form-urlencoded", 415),
            ("text/json", 415), ("application/jsonx", 415), ("application/problem+json", 415), ("json", 415),
            ("multipart/form-data; boundary=x", 415),
        ] as [(String?, Int)])
    func contentType(type: String?, status: Int) throws {
        let body = Array(#"{"conversation":"general","text":"a"}"#.utf8)
        let answer = try alice.send(
            .post, "/v1/messages", body: body, headers: type.map { [("Content-Type", $0)] } ?? [])
        #expect(answer.status == status)
        if status == 415 { #expect(answer.code == "unsupported_media_type") }
        // A request without a body has no type to be wrong.
        #expect(try alice.send(.get, "/v1/users", headers: type.map { [("Content-Type", $0)] } ?? []).status == 200)
    }

    @Test(
        "a body may have 16 KiB, one of messages 1 MiB, and not a byte more",
        arguments: [
            (HTTPMethod.post, "/v1/messages", 1 << 20), (.post, "/v1/login", 16_384), (.post, "/v1/register", 16_384),
            (.post, "/v1/logout", 16_384), (.delete, "/v1/contacts/alice", 16_384), (.get, "/v1/users", 16_384),
            (.get, "/healthz", 16_384),
        ] as [(HTTPMethod, String, Int)])
    func bodyLimit(method: HTTPMethod, path: String, limit: Int) throws {
        let start = Array(#"{"conversation":"general","text":"a","name":"b","password":"wrong one","x":""#.utf8)
        func body(_ count: Int) -> [UInt8] {
            start + [UInt8](repeating: 0x61, count: count - start.count - 2) + Array("\"}".utf8)
        }
        func outcome(_ count: Int) throws -> String {
            try RawClient(port: server.port).request(
                method.rawValue, path, headers: [authorization], body: body(count)
            ).outcome
        }
        #expect(try outcome(limit + 1) == "413 too_large")
        #expect(try !["400", "413"].contains(outcome(limit).prefix(3)))
    }

    @Test("a body is refused by its announced length, before it is sent")
    func announcedLength() throws {
        let connection = try RawClient(port: server.port)
        let answer = try connection.request("POST", "/v1/login", headers: ["Content-Length: 16385"])
        #expect(answer.outcome == "413 too_large")
        #expect(answer.header("Natter-Store") == server.storeID.description)
    }

    @Test("a body in chunks is for bulk alone", arguments: ["/v1/messages", "/v1/login", "/v1/logout"])
    func chunks(path: String) throws {
        let answer = try RawClient(port: server.port).request(
            "POST", path, headers: ["Authorization: Bearer \(alice.token ?? "")", "Transfer-Encoding: chunked"],
            body: Array("2\r\n{}\r\n0\r\n\r\n".utf8))
        #expect(answer.outcome == "400 bad_request")
    }

    // MARK: The order of checks

    /// Requests with several faults at once, and the one that is told.
    @Test(
        "faults are told in the order of the interface",
        arguments: [
            // Path before everything
            ("DELETE /v1/nowhere", ["Content-Length: 2000000", "Content-Type: text/plain"], nil, "404 not_found"),
            ("POST /v1/nowhere?q=%zz", [], "{", "404 not_found"),
            ("POST /v1/nowhere", ["Transfer-Encoding: chunked"], "2\r\n{}\r\n0\r\n\r\n", "404 not_found"),
            // then the method
            (
                "PUT /v1/messages", ["Content-Length: 2000000", "Content-Type: text/plain"], nil,
                "405 method_not_allowed"
            ),
            ("PUT /v1/messages?q=%zz", ["Content-Type: text/plain"], "{", "405 method_not_allowed"),
            ("PUT /v1/messages", ["ALICE"], "{", "405 method_not_allowed"),
            // then the user, before anything of the body or the query is looked at
            ("POST /v1/messages", ["Content-Length: 2000000", "Content-Type: text/plain"], nil, "401 unauthorized"),
            ("POST /v1/messages", ["Content-Length: 1000000"], nil, "401 unauthorized"),
            ("POST /v1/messages", ["Transfer-Encoding: chunked"], "2\r\n{}\r\n0\r\n\r\n", "401 unauthorized"),
            ("POST /v1/messages?q=%zz", ["Content-Type: text/plain"], "{", "401 unauthorized"),
            ("POST /v1/messages", [], "{", "401 unauthorized"),
            ("POST /v1/messages", [], #"{"conversation":"nowhere","text":"","id":""}"#, "401 unauthorized"),
            ("POST /v1/messages", ["Content-Type: application/x-ndjson"], "{\n{}\n", "401 unauthorized"),
            ("POST /v1/messages", ["Content-Type: application/x-ndjson"], "", "401 unauthorized"),
            ("POST /v1/messages?stop=maybe", ["Content-Type: application/x-ndjson"], "{}\n", "401 unauthorized"),
            // also one who has a token that nobody has
            (
                "POST /v1/messages", ["NOBODY", "Content-Length: 2000000", "Content-Type: text/plain"], nil,
                "401 unauthorized"
            ),
            ("POST /v1/messages", ["NOBODY", "Content-Length: 2000000"], nil, "401 unauthorized"),
            ("POST /v1/logout", ["NOBODY", "Content-Length: 16385"], "{", "401 unauthorized"),
            (
                "POST /v1/messages", ["NOBODY", "Transfer-Encoding: chunked"], "2\r\n{}\r\n0\r\n\r\n",
                "401 unauthorized"
            ),
            (
                "POST /v1/messages", ["NOBODY", "Content-Length: 9999", "Content-Type: text/plain"], nil,
                "401 unauthorized"
            ),
            ("POST /v1/messages", ["NOBODY", "Content-Type: text/plain"], "{", "401 unauthorized"),
            ("POST /v1/messages", ["NOBODY", "Content-Type: text/plain"], "", "401 unauthorized"),
            ("POST /v1/logout", [], "[]", "401 unauthorized"),
            ("POST /v1/admin/users", ["Authorization: Bearer x"], "{", "401 unauthorized"),
            ("GET /v1/conversations/nowhere/messages?after=x&limit=x", [], nil, "401 unauthorized"),
            ("GET /v1/sync?cursor=x&wait=x", [], nil, "401 unauthorized"),
            ("GET /v1/users?limit=0", [], nil, "401 unauthorized"),
            ("GET /v1/conversations/@nobody", [], nil, "401 unauthorized"),
            // then the size
            (
                "POST /v1/messages", ["ALICE", "Content-Length: 2000000", "Content-Type: text/plain"], nil,
                "413 too_large"
            ),
            ("POST /v1/messages?q=%zz", ["ALICE", "Content-Length: 2000000"], nil, "413 too_large"),
            ("POST /v1/login", ["Content-Length: 2000000", "Content-Type: text/plain"], nil, "413 too_large"),
            // then the type
            ("POST /v1/messages", ["ALICE", "Content-Type: text/plain"], "{", "415 unsupported_media_type"),
            ("POST /v1/messages?q=%zz", ["ALICE", "Content-Type: text/plain"], "{}", "415 unsupported_media_type"),
            ("POST /v1/login?q=%zz", ["Content-Type: text/plain"], "{", "415 unsupported_media_type"),
            // then the form of body and query
            ("POST /v1/messages", ["ALICE"], "{", "400 bad_json"),
            ("POST /v1/messages", ["ALICE"], "{}", "400 bad_request"),
            ("POST /v1/messages?q=%zz", ["ALICE"], #"{"conversation":"general","text":"a"}"#, "400 bad_request"),
            ("POST /v1/logout", ["ALICE"], "[]", "400 bad_request"), ("POST /v1/login", [], "[]", "400 bad_request"),
            (
                "POST /v1/messages?stop=maybe", ["ALICE", "Content-Type: application/x-ndjson"], "{}\n",
                "400 bad_request"
            ),
            ("GET /v1/users?limit=0", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/users?limit=", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/contacts?limit=", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/sync?wait=x", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/users?online=maybe", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/conversations?limit=-1", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/conversations/general/messages?limit=x&after=y", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/conversations/general/messages?since=x", ["ALICE"], nil, "400 bad_request"),
            ("GET /v1/conversations/general/messages?around=x", ["ALICE"], nil, "400 bad_request"),
            // then an admin's right
            ("POST /v1/admin/users", ["ALICE"], "{", "400 bad_json"),
            ("POST /v1/admin/users", ["ALICE"], #"{"name":"","password":""}"#, "403 forbidden"),
            // then the cursor
            ("GET /v1/conversations/nowhere/messages?after=x", ["ALICE"], nil, "400 bad_cursor"),
            ("GET /v1/conversations/@nobody/messages?before=x", ["ALICE"], nil, "400 bad_cursor"),
            ("GET /v1/sync?cursor=x", ["ALICE"], nil, "400 bad_cursor"),
            // then the body
            ("POST /v1/messages", ["ALICE"], #"{"conversation":"nowhere","text":""}"#, "422 bad_text"),
            ("POST /v1/messages", ["ALICE"], #"{"conversation":"@nobody","text":"a","id":""}"#, "422 bad_id"),
            // then whether it is there
            ("POST /v1/messages", ["ALICE"], #"{"conversation":"nowhere","text":"a"}"#, "404 no_such_conversation"),
            ("POST /v1/messages", ["ALICE"], #"{"conversation":"@nobody","text":"a"}"#, "404 no_such_user"),
            ("GET /v1/conversations/nowhere/messages?after=1", ["ALICE"], nil, "404 no_such_conversation"),
            // and register, which needs no token
            ("POST /v1/register", [], #"{"name":"","password":"x"}"#, "422 bad_name"),
            ("POST /v1/register", [], #"{"name":"alice","password":"x"}"#, "422 weak_password"),
            ("POST /v1/register", [], #"{"name":"ALICE","password":"long enough"}"#, "409 name_taken"),
        ] as [(String, [String], String?, String)])
    func order(request: String, headers: [String], body: String?, outcome: String) throws {
        let words = request.split(separator: " ").map(String.init)
        let users = ["ALICE": authorization, "NOBODY": "Authorization: Bearer \(String(repeating: "A", count: 43))"]
        let answer = try RawClient(port: server.port).request(
            words[0], words[1], headers: headers.map { users[$0] ?? $0 }, body: body.map { Array($0.utf8) })
        #expect(answer.outcome == outcome)
        #expect(answer.header("Content-Type") == "application/json; charset=utf-8")
    }

    @Test("a small request that was refused leaves the connection as it was")
    func connectionGoesOn() throws {
        let connection = try RawClient(port: server.port)
        for (method, path, body) in [
            ("POST", "/v1/nowhere", "{}"), ("PUT", "/v1/messages", "{}"), ("POST", "/v1/messages", "{"),
            ("POST", "/v1/login", "{"), ("POST", "/v1/login?q=%zz", "{}"), ("GET", "/v1/conversations/%00", ""),
        ] {
            let answer = try connection.request(method, path, body: body.isEmpty ? nil : Array(body.utf8))
            #expect((400..<500).contains(answer.status))
            #expect(answer.header("Connection")?.lowercased() != "close")
        }
        #expect(try connection.request("GET", "/healthz").status == 200)
    }

    @Test("every answer names the store, its type, and forbids caching")
    func commonHeaders() throws {
        let ndjson = "Content-Type: application/x-ndjson"
        for (method, path, headers, body) in [
            ("GET", "/healthz", [], nil), ("GET", "/v1/whoami", [authorization], nil), ("GET", "/v1/whoami", [], nil),
            ("GET", "/v1/sync", [authorization], nil), ("GET", "/nowhere", [], nil), ("PUT", "/v1/sync", [], "{}"),
            ("GET", "/v1/conversations", [authorization, "Accept: application/x-ndjson"], nil),
            ("POST", "/v1/messages", [authorization], #"{"conversation":"general","text":"a"}"#),
            ("POST", "/v1/messages", [authorization, ndjson], #"{"conversation":"general","text":"a"}"#),
            ("POST", "/v1/messages", [ndjson], "{}"), ("POST", "/v1/login", ["Content-Length: 9999999"], nil),
            ("POST", "/v1/login", ["Content-Length: 1", "Content-Length: 2"], "{"),
        ] as [(String, String, [String], String?)] {
            let answer = try RawClient(port: server.port).request(
                method, path, headers: headers, body: body.map { Array($0.utf8) })
            #expect(answer.header("Natter-Store") == server.storeID.description, "\(method) \(path) \(answer.status)")
            #expect(answer.header("Content-Type")?.hasSuffix("; charset=utf-8") == true)
            #expect(answer.header("Cache-Control") == "no-store")
        }
    }

    @Test(
        "a name in a query can't have '/' or U+0000, as in a path",
        arguments: [
            "register?name=", "search?q=x&conversation=",
            "users?after=", "conversations?after=", "groups?after=",
        ])
    func namesInQueries(_ query: String) throws {
        let alice = try TestServer().account("alice")
        for name in ["a%2Fb", "%2F", "a%00", "%00"] {
            #expect(try alice.send(.get, "/v1/" + query + name).outcome == "400 bad_request", "\(name)")
        }
        // The label of an imported sender may have a slash.
        for query in ["search?q=x&from=", "conversations/general/messages?from="] {
            #expect(try alice.send(.get, "/v1/" + query + "a%2Fb").status == 200)
            #expect(try alice.send(.get, "/v1/" + query + "a%00").outcome == "400 bad_request")
        }
        // So may what is no name.
        #expect(try alice.get("/v1/search", ["q": "a/b"]).status == 200)
        #expect(try alice.get("/v1/users", ["q": "a/b"]).status == 200)
    }

    @Test("an element of the wrong type is told by the name of its list")
    func wrongElement() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.makeAdmin("alice")
        let wrong: [JSONValue] = [["x"], [1, "x"], [[1]], [nil]]
        for seqs in wrong {
            let answer = try alice.post("/v1/admin/erase", ["conversation": "general", "seqs": seqs])
            #expect(answer.outcome == "400 bad_request")
            #expect(answer.text.contains("'seqs'"), "\(answer.text)")
        }
    }

    @Test("healthz is there for everybody")
    func health() throws {
        let answer = try server.stranger().get("/healthz")
        #expect(answer.outcome == "200")
        #expect(try answer.json["status"] == "ok")
    }
}
