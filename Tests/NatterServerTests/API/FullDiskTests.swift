internal import NatterHTTP
@testable internal import NatterServer
internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("a full disk", .enabled(if: !PostgresCluster.servesTests))
struct FullDiskTests {
    private let disk = FaultyDisk()

    /// The user, the request, and whether the kept room is for it. `<…>` stands for what the server has named.
    private static let requests: [(user: String, request: String, isKept: Bool)] = [
        // All writes but those below are refused
        ("bob", #"POST v1/messages {"conversation":"general","text":"more"}"#, false),
        ("bob", "POST v1/conversations/general/messages more", false),
        ("bob", #"PUT v1/conversations/general/read {"seq":1}"#, false),
        ("bob", "POST v1/conversations/general/files?name=f x", false),
        ("", #"POST v1/register {"name":"eve","password":"<password>"}"#, false),
        ("", #"POST v1/login {"name":"bob","password":"<password>"}"#, false),
        ("bob", #"PATCH v1/account {"display":"Bob"}"#, false),
        ("bob", "PUT v1/contacts/carl", false),
        ("bob", "DELETE v1/contacts/dora", false),
        ("bob", "PUT v1/blocks/carl", false),
        ("bob", "DELETE v1/blocks/dora", false),
        ("bob", #"POST v1/groups {"name":"club"}"#, false),
        ("bob", #"PATCH v1/groups/ops {"open":true}"#, false),
        ("bob", "DELETE v1/groups/ops", false),
        ("bob", "PUT v1/groups/ops/members/carl", false),
        ("bob", #"POST v1/tokens {"label":"two","scope":"all"}"#, false),
        ("root", #"POST v1/admin/users {"name":"eve","password":"<password>"}"#, false),
        ("root", #"PATCH v1/admin/users/bob {"admin":true}"#, false),
        ("root", #"PATCH v1/admin/users/fay {"disabled":false,"password":"<password>"}"#, false),
        ("root", "POST v1/admin/invites", false),
        // A request that takes a right away is done
        ("root", #"PATCH v1/admin/users/hal {"admin":false}"#, true),
        ("root", #"PATCH v1/admin/users/hal {"password":"<password>"}"#, true),
        ("root", #"PATCH v1/admin/users/hal {"disabled":true}"#, true),
        ("root", "DELETE v1/admin/sessions/<session of gus>", true),
        ("root", "DELETE v1/admin/invites/<invite>", true),
        ("root", #"POST v1/admin/erase {"conversation":"general","seqs":[1]}"#, true),
        ("root", #"POST v1/admin/retain {"conversation":"general","retain":"90d"}"#, true),
        ("bob", "DELETE v1/groups/ops/members/dora", true),
        ("bob", "DELETE v1/tokens/<token>", true),
        ("bob", "DELETE v1/sessions/<session of bob>", true),
        ("carl", #"POST v1/password {"old":"<password>","new":"another password"}"#, true),
        ("carl", #"DELETE v1/account {"password":"another password"}"#, true),
        ("dora", #"POST v1/logout {"all":true}"#, true),
    ]

    @Test("refuses each change but those that take a right away or erase, which have room that is kept")
    func keptRoom() throws {
        let server = try TestServer(disk: disk)
        var people: [String: Client] = ["": server.stranger()]
        for name in ["root", "bob", "carl", "dora", "fay", "gus", "hal"] { people[name] = try server.account(name) }
        let (root, bob) = (try #require(people["root"]), try #require(people["bob"]))
        for name in ["root", "hal"] { try server.makeAdmin(name) }
        // Given something of each kind
        _ = try bob.say("one")
        _ = try bob.post("/v1/groups", ["name": "ops"])
        for target in ["groups/ops/members/dora", "contacts/dora", "blocks/dora"] {
            #expect(try bob.send(.put, "/v1/" + target).status == 200)
        }
        try Self.expect(root, #"PATCH v1/admin/users/fay {"disabled":true}"#, "200")
        let names = [
            "password": TestServer.password,
            "token": try bob.post("/v1/tokens", ["label": "one", "scope": "all"]).json["id"]?.text,
            "invite": try root.post("/v1/admin/invites", [:]).json["id"]?.text,
            "session of gus": try people["gus"]?.get("/v1/sessions").json["sessions"]?.items.first?["id"]?.text,
            "session of bob": try bob.get("/v1/sessions").json["sessions"]?.items.first?["id"]?.text,
        ]
        // When only the kept room is left
        disk.set(freeBytes: 1 << 20)
        // Then the table says what is done
        for (user, request, isKept) in Self.requests {
            var request = request
            for (name, value) in names { request = request.replacing("<\(name)>", with: try #require(value)) }
            let isFile = PostgresCluster.servesTests && request.contains("/files")
            let expected = isFile ? "501 not_supported" : isKept ? "200" : "507 disk_full"
            try Self.expect(try #require(people[user]), request, expected)
        }
        // and it has each route that changes something
        let told = Self.requests.map { $0.request.split(separator: " ") }
        for route in ChatServer.routes where route.method != "GET" {
            let isThere = told.contains { words in
                let segments = words[1].prefix { $0 != "?" }.split(separator: "/")
                return words[0] == route.method && segments.count == route.path.count
                    && route.parameters(of: segments.map(String.init)) != nil
            }
            #expect(isThere, "\(route.method) \(route.path)")
        }
    }

    private static func expect(_ client: Client, _ request: String, _ outcome: String) throws {
        let words = request.split(separator: " ", maxSplits: 2).map(String.init)
        let body = words.count > 2 ? words[2] : nil
        let type = body?.hasPrefix("{") == true ? "application/json" : "text/plain"
        let answer = try client.send(
            try #require(HTTPMethod(rawValue: words[0])), "/" + words[1], body: body.map { Array($0.utf8) },
            headers: body == nil ? [] : [("Content-Type", type)])
        #expect(answer.outcome.prefix(outcome.utf8.count) == outcome, "\(request): \(answer.outcome)")
    }

    @Test("is told before it is full, and before many messages in one request are refused")
    func low() throws {
        let server = try TestServer(disk: disk)
        let client = try server.account("alice")
        let line = #"{"conversation":"general","text":"one"}"#
        func told() throws -> (health: String?, metric: Bool, bulk: String?) {
            let health = try client.get("/healthz")
            let metrics = try client.get("/metrics").text
            return (
                try health.json["space"]?.text ?? health.code,
                metrics.contains("\nnatter_trouble{kind=\"low_on_space\"} 1\n"),
                try client.bulk([line, line]).lines.compactMap { $0["error"]?["code"]?.text }.first
            )
        }
        disk.set(freeBytes: Store.lowSpaceBytes)
        #expect(try told() == (nil, false, nil))
        disk.set(freeBytes: Store.lowSpaceBytes - 1)
        #expect(try told() == ("low", true, nil))
        // Single messages are taken as long as possible
        disk.set(freeBytes: Store.lowSpaceBytes / 2)
        #expect(try told() == ("low", true, "disk_full"))
        #expect(try client.say("single").status == 201)
        disk.set(freeBytes: 1 << 20)
        #expect(try told() == ("disk_full", false, "disk_full"))
    }
}
