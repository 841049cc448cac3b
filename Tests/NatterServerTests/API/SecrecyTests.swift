internal import NatterHTTP
internal import NatterModel
internal import NatterServer
internal import NatterSystem
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("what the log leaves out")
struct SecrecyTests {
    @Test("no event holds a password, a token or a text")
    func events() throws {
        let server = try TestServer()
        let stranger = server.stranger()
        let secrets = ["sesame-open-1", "sesame-open-2", "sesame-open-3"]
        let registered = try stranger.post("/v1/register", ["name": "alice", "password": .string(secrets[0])])
        _ = try stranger.post("/v1/login", ["name": "alice", "password": .string(secrets[1])])
        _ = try stranger.post("/v1/login", ["name": "nobody", "password": .string(secrets[2])])
        let login = try stranger.post("/v1/login", ["name": "alice", "password": .string(secrets[0])])
        let cookie = try stranger.post(
            "/v1/login", ["name": "alice", "password": .string(secrets[0]), "cookie": true])
        let token = try registered.json["token"]?.text ?? ""
        let second = try login.json["token"]?.text ?? ""
        let third = (cookie.header("Set-Cookie") ?? "").dropFirst("natter-12345678=".count).prefix(43)

        let alice = Client(server, token: token)
        let texts = ["hidden words 1", "hidden words 2", "hidden words 3", "hidden words 4"]
        _ = try alice.say(texts[0], id: "key")
        _ = try alice.say(texts[1], id: "key")
        _ = try alice.say(texts[2], to: "nowhere")
        _ = try alice.bulk([#"{"conversation":"general","text":"\#(texts[3])"}"#, texts[3]])
        _ = try alice.get("/v1/users", ["q": texts[0]])
        _ = try alice.get("/v1/search", ["q": texts[0]])
        _ = try alice.get("/v1/conversations/general/messages", ["after": texts[1]])
        _ = try alice.get("/v1/sync", ["wait": "0"])
        _ = try RawClient(port: server.port).request(
            "GET", "/v1/whoami", headers: ["Cookie: natter-\(server.storeID.description.prefix(8))=\(third)"])
        _ = try RawClient(port: server.port).request(
            "POST", "/v1/login", body: Array("{\"password\":\"\(secrets[1])".utf8))
        _ = try RawClient(port: server.port).request("GET", "/v1/whoami", headers: ["Authorization: Bearer \(second)x"])
        _ = try Client(server, token: second).send(.post, "/v1/logout")
        server.stop()

        let events = server.events.withLock { $0 }
        #expect(events.contains { $0.name == "request" })
        #expect(events.contains { $0.name == "login_failed" })
        for event in events {
            let line = event.name + " " + event.fields.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
            for secret in secrets + texts + [token, second, String(third)] {
                #expect(!line.contains(secret), "\(line)")
                #expect(!line.contains(secret.split(separator: " ").joined(separator: "%20")), "\(line)")
            }
            #expect(!line.contains("\n"))
        }
    }

    @Test("a failed login is told with name and address, and a name of any length is cut")
    func failedLogin() throws {
        let server = try TestServer()
        let stranger = server.stranger()
        _ = try stranger.post("/v1/login", ["name": "alice", "password": "wrong"])
        _ = try stranger.post(
            "/v1/login", ["name": .string(String(repeating: "x", count: 10_000)), "password": "wrong"])
        let failures = server.events.withLock { $0 }.filter { $0.name == "login_failed" }
        #expect(failures.count == 2)
        #expect(failures.first?.fields.contains { $0.key == "user" && $0.value == "alice" } == true)
        #expect(failures.first?.fields.contains { $0.key == "address" && $0.value == "127.0.0.1" } == true)
        #expect(failures.allSatisfy { $0.fields.allSatisfy { $0.value.utf8.count < 500 } })
    }

    @Test("no answer shows a third person a personal message")
    func personal() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let carol = try server.account("carol")
        let secret = "xyzzy between two"
        let cursor = try alice.say(secret, to: "@bob", id: "key").json["cursor"]?.text ?? ""
        _ = try bob.say(secret, to: "@me")
        let id = try alice.get("/v1/conversations/@bob").json["id"]?.text ?? ""
        for answer in try [
            carol.get("/v1/sync"), carol.get("/v1/sync", accept: "application/vnd.natter.blocks"),
            carol.get("/v1/conversations"), carol.get("/v1/conversations/@bob"),
            carol.get("/v1/conversations/@bob/messages"), carol.get("/v1/conversations/@alice/messages"),
            carol.get("/v1/conversations/@bob/messages", ["after": cursor]), carol.get("/v1/conversations/\(id)"),
            carol.get("/v1/conversations/\(id)/messages"), carol.get("/v1/search", ["q": "xyzzy"]),
            carol.get("/v1/blocks/\(id)/1-0"), carol.get("/v1/users"), carol.say("mine", to: "@bob", id: "key"),
        ] {
            #expect(!String(decoding: answer.body, as: UTF8.self).contains("xyzzy"))
            #expect(answer.status < 500)
        }
        #expect(try carol.get("/v1/conversations/@bob/messages", ["after": cursor]).outcome == "400 bad_cursor")
    }
}
