internal import NatterSystem
internal import NatterHTTP
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("accounts and sessions")
struct AccountTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

    @Test("an account is made, used by its token, left and entered again")
    func wholeLife() throws {
        let stranger = server.stranger()

        let registered = try stranger.post("/v1/register", ["name": "alice", "password": "long enough"])
        #expect(registered.outcome == "201")
        #expect(try registered.json.keys == ["name", "token"])
        #expect(try registered.json["name"] == "alice")
        let alice = Client(server, token: try registered.json["token"]?.text)

        let who = try alice.get("/v1/whoami")
        #expect(who.status == 200)
        let account = try who.json
        #expect(account.keys == ["name", "admin", "scope", "created", "expires"])
        #expect(account["name"] == "alice")
        #expect(account["admin"] == false)
        #expect(account["scope"] == "all")
        #expect(account["expires"] == .null)
        #expect(account["created"]?.text?.hasSuffix("Z") == true)

        let login = try stranger.post("/v1/login", ["name": "alice", "password": "long enough"])
        #expect(login.outcome == "200")
        #expect(try login.json.keys == ["name", "token"])
        let second = Client(server, token: try login.json["token"]?.text)
        #expect(second.token != alice.token)
        #expect(try second.get("/v1/whoami").status == 200)

        // Leaving ends the one session and no other.
        let left = try second.send(.post, "/v1/logout")
        #expect(left.status == 200)
        #expect(left.body == Array("{}".utf8))
        #expect(try second.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try alice.get("/v1/whoami").status == 200)
    }

    @Test("logout with 'all' ends every session of the account, and no other")
    func logoutAll() throws {
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let login = try server.stranger().post(
            "/v1/login", ["name": "alice", "password": .string(TestServer.password)])
        let second = Client(server, token: try login.json["token"]?.text)

        #expect(try alice.post("/v1/logout", ["all": true]).outcome == "200")

        #expect(try alice.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try second.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try bob.get("/v1/whoami").status == 200)
    }

    @Test(
        "logout takes a missing body, an empty object, and false; not a wrong type",
        arguments: [
            (nil, "200"), ("{}", "200"), (#"{"all":false,"other":[1]}"#, "200"), (#"{"all":"yes"}"#, "400 bad_request"),
            ("{", "400 bad_json"), ("[]", "400 bad_request"),
        ] as [(String?, String)])
    func logoutBody(body: String?, outcome: String) throws {
        let alice = try server.account("alice")
        #expect(try alice.send(.post, "/v1/logout", body: body.map { Array($0.utf8) }).outcome == outcome)
        #expect(try alice.get("/v1/whoami").status == (outcome == "200" ? 401 : 200))
    }

    @Test(
        "whoami requires a valid token",
        arguments: [
            [], ["Authorization: Bearer"], ["Authorization: Bearer x"], ["Authorization: Basic YTpi"],
            ["Authorization: Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"], ["Cookie: natter=x"],
            ["Cookie: other=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
        ])
    func unauthorized(headers: [String]) throws {
        let answer = try RawClient(port: server.port).request("GET", "/v1/whoami", headers: headers)
        #expect(answer.outcome == "401 unauthorized")
        #expect(answer.header("WWW-Authenticate")?.hasPrefix("Bearer") == true)
        #expect(try answer.json["error"]?.keys == ["code", "message", "phrase"])
    }

    @Test("the word Bearer may be written in any case")
    func bearerCase() throws {
        let alice = try server.account("alice")
        for word in ["bearer", "BEARER", "Bearer"] {
            let answer = try RawClient(port: server.port).request(
                "GET", "/v1/whoami", headers: ["authorization: \(word) \(alice.token ?? "")"])
            #expect(answer.status == 200)
        }
    }

    // MARK: Names

    @Test(
        "a name that breaks a rule is 422 bad_name, in register and in the question whether it is free",
        arguments: [
            "", String(repeating: "a", count: 65), "é" + String(repeating: "a", count: 63), "a b", "a\tb", "a\u{A0}b",
            "a\u{2028}b", "a\u{0}b", "a\u{7F}b", "a\u{85}b", "a\u{200B}b", "a\u{AD}b", "a\u{202E}b", "a/b", "a,b",
            "-a", "@a", "#a", ":a", ".a", "\"a", "'a", "`a", "\\a", "general", "GENERAL", "me", "Me",
        ])
    func badNames(name: String) throws {
        let stranger = server.stranger()
        #expect(
            try stranger.post("/v1/register", ["name": .string(name), "password": "long enough"]).outcome
                == "422 bad_name")
        let question = try stranger.get("/v1/register", ["name": name])
        // A URL has no such name.
        let isNone = name.isEmpty || name == "a/b" || name == "a\u{0}b"
        #expect(question.outcome == (isNone ? "400 bad_request" : "422 bad_name"))
    }

    @Test(
        "names that look odd but break no rule are taken as they are",
        arguments: [
            "a", String(repeating: "a", count: 64), "é" + String(repeating: "a", count: 62), "|trey|", "[gnubie]",
            "Маша", "名前", "a-b@c#d:e.f\"g'h`i\\j", "1", "_", "general1", "men", "%41", "👍",
        ])
    func goodNames(name: String) throws {
        let question = try server.stranger().get("/v1/register", ["name": name])
        #expect(question.outcome == "200")
        #expect(try question.json == ["name": .string(name), "free": true])
        let client = try server.account(name)
        #expect(try client.get("/v1/whoami").json["name"] == .string(name))
        #expect(try server.stranger().get("/v1/register", ["name": name]).json["free"] == false)
    }

    @Test("two spellings of one name that registered at the same moment are one account")
    func spellings() throws {
        // The case fold of U+0390 has three characters, that of the other two, and both are the same text
        let names = ["a\u{390}", "a\u{3AA}\u{301}", "A\u{3CA}\u{301}"]
        let outcomes = try concurrently(names.count) { index in
            try server.stranger().post("/v1/register", ["name": .string(names[index]), "password": "long enough"])
                .outcome
        }
        #expect(outcomes.sorted() == ["201", "409 name_taken", "409 name_taken"])
        for name in names { #expect(try server.stranger().get("/v1/register", ["name": name]).json["free"] == false) }
        server.stop()
        try server.start()
        for name in names { #expect(try server.stranger().get("/v1/register", ["name": name]).json["free"] == false) }
    }

    @Test("a name is made NFC, and found again in either form and any case")
    func normalization() throws {
        let stranger = server.stranger()
        // Given a name registered with a combining accent, of 65 bytes as sent and 64 as kept
        let long = "Rene\u{301}" + String(repeating: "a", count: 59)
        let registered = try stranger.post("/v1/register", ["name": .string(long), "password": "long enough"])
        #expect(registered.outcome == "201")
        let kept = "Ren\u{E9}" + String(repeating: "a", count: 59)
        #expect(try Array((registered.json["name"]?.text ?? "").utf8) == Array(kept.utf8))
        // Then every way to write it is the same account
        for written in [kept, long, kept.uppercased(), "rene\u{301}" + String(repeating: "A", count: 59)] {
            let login = try stranger.post("/v1/login", ["name": .string(written), "password": "long enough"])
            #expect(login.outcome == "200", "\(written)")
            #expect(try Array((login.json["name"]?.text ?? "").utf8) == Array(kept.utf8))
            #expect(
                try stranger.post("/v1/register", ["name": .string(written), "password": "long enough"]).outcome
                    == "409 name_taken")
            let question = try stranger.get("/v1/register", ["name": written])
            #expect(try question.json["free"] == false)
            let name = try question.json["name"]?.text ?? ""
            #expect(!name.unicodeScalars.contains("\u{301}"))
        }
    }

    @Test("one of many who register a name at once gets it, whatever its case")
    func registrationRace() throws {
        let outcomes = try concurrently(6) { index in
            try server.stranger().post(
                "/v1/register", ["name": index % 2 == 0 ? "Straße" : "STRASSE", "password": "long enough"]
            ).outcome
        }
        #expect(outcomes.filter { $0 == "201" }.count == 1)
        #expect(outcomes.filter { $0 == "409 name_taken" }.count == 5)
    }

    // MARK: Passwords

    @Test(
        "register holds a password to its length in bytes",
        arguments: [
            (0, "422 weak_password"), (7, "422 weak_password"), (8, "201"), (1_024, "201"),
            (1_025, "422 weak_password"),
        ])
    func passwordLength(count: Int, outcome: String) throws {
        let password = String(repeating: "p", count: count)
        let answer = try server.stranger().post("/v1/register", ["name": "alice", "password": .string(password)])
        #expect(answer.outcome == outcome)
    }

    @Test("bytes count, not characters: four letters of two bytes are a password")
    func passwordBytes() throws {
        let stranger = server.stranger()
        #expect(try stranger.post("/v1/register", ["name": "маша", "password": "пароль"]).outcome == "201")
        #expect(try stranger.post("/v1/login", ["name": "маша", "password": "пароль"]).outcome == "200")
        #expect(try stranger.post("/v1/login", ["name": "маша", "password": "парол"]).outcome == "401 bad_credentials")
    }

    @Test("an unknown name, a wrong password and an impossible one get one and the same answer")
    func sameRefusal() throws {
        try server.account("alice")
        let bodies: [JSONValue] = [
            ["name": "nobody", "password": "long enough"], ["name": "alice", "password": "long enough"],
            ["name": "alice", "password": ""], ["name": "alice", "password": "short"],
            ["name": "alice", "password": .string(String(repeating: "p", count: 5_000))],
            ["name": "not a name", "password": "long enough"], ["name": "", "password": ""],
        ]
        let answers = try bodies.map { try server.stranger().post("/v1/login", $0) }
        for answer in answers {
            #expect(answer.outcome == "401 bad_credentials")
            #expect(answer.body == answers[0].body)
            #expect(answer.headers.map(\.name).sorted() == answers[0].headers.map(\.name).sorted())
        }
    }

    @Test("where one must be invited, an invitation that nobody gave makes the server hash nothing")
    func uninvited() throws {
        var options = ChatServer.Options()
        options.registration = .invite
        let inviting = try TestServer(options: options)
        // More than may wait for a hash
        let outcomes = try concurrently(100) { index in
            let fields: JSONValue = [
                "name": .string("n\(index)"), "password": "long enough", "invite": .string(Token.random().text),
            ]
            return try inviting.stranger().post("/v1/register", fields).outcome
        }
        #expect(Set(outcomes) == ["403 registration_closed"])
    }

    @Test("only whoever may register is told which names are free")
    func names() throws {
        for registration in ChatServer.Registration.allCases {
            var options = ChatServer.Options()
            options.registration = registration
            let server = try TestServer(options: options)
            let alice = try server.account("alice")
            let stranger = server.stranger()
            for name in ["alice", "bob"] {
                let outcome = try stranger.get("/v1/register?name=\(name)&invite=\(Token.random().text)").outcome
                #expect(outcome == (registration == .open ? "200" : "403 registration_closed"), "\(registration)")
            }
            guard registration == .invite else { continue }
            try server.makeAdmin("alice")
            let code = try alice.post("/v1/admin/invites", [:]).json["invite"]?.text ?? ""
            #expect(try stranger.get("/v1/register?name=alice&invite=\(code)").json["free"] == false)
        }
    }

    /// Sends the same request over several connections. As soon as one is answered, while the passwords of the others are being
    /// hashed, the operator changes accounts.
    private func race(
        _ changes: [(name: String, change: AccountChange)],
        _ request: @escaping @Sendable (Client) throws -> Answer, as client: Client
    ) throws -> Set<String> {
        let answered = Monitor(0)
        let token = client.token
        let outcomes = try concurrently(9) { index in
            guard index == 0 else {
                defer { answered.signal { $0 += 1 } }
                return try request(Client(server, token: token)).outcome
            }
            _ = answered.wait { $0 > 0 ? true : nil }
            for (name, change) in changes {
                _ = try waitFor { server.store.change(name, change, by: "operator", asking: nil, $0) }.get()
            }
            return "200"
        }
        return Set(outcomes)
    }

    @Test("a password that an admin has set stays, although somebody was just setting another one")
    func passwordRace() throws {
        // Given somebody who knows alice's password and has a session of hers
        let alice = try server.account("alice")
        let old = JSONValue.string(TestServer.password)
        // When they set the password again and again, and an admin sets one meanwhile
        let outcomes = try race(
            [("alice", AccountChange(password: PasswordHash(of: "set by an admin")))],
            { try $0.post("/v1/password", ["old": old, "new": old]) }, as: alice)
        // Then only the admin's is good
        #expect(outcomes.isSubset(of: ["200", "401 unauthorized", "401 bad_credentials"]), "\(outcomes)")
        let stranger = server.stranger()
        #expect(try stranger.post("/v1/login", ["name": "alice", "password": old]).outcome == "401 bad_credentials")
        #expect(try stranger.post("/v1/login", ["name": "alice", "password": "set by an admin"]).status == 200)
    }

    @Test(
        "what an admin was just doing is refused once the operator has disabled or demoted that admin",
        arguments: [AccountChange(isDisabled: true), AccountChange(isAdmin: false)])
    func adminRace(change: AccountChange) throws {
        let eve = try server.account("eve")
        try server.makeAdmin("eve")
        try server.account("mallory")
        let body: JSONValue = ["disabled": false, "admin": true, "password": .string(TestServer.password)]
        let outcomes = try race(
            [("eve", change), ("mallory", AccountChange(isDisabled: true, isAdmin: false))],
            { client in
                try client.json(.patch, "/v1/admin/users/mallory", body)
            }, as: eve)
        let refusal = change.isDisabled == true ? "401 unauthorized" : "403 forbidden"
        #expect(outcomes.isSubset(of: ["200", refusal]), "\(outcomes)")
        let mallory = try #require(server.store.accountViews().first { $0.name == "mallory" })
        #expect(mallory.isDisabled && !mallory.isAdmin)
    }

    @Test("a user has a display name, which may be anything of 1 to 64 characters, in every object of a user")
    func displayName() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try bob.json(.put, "/v1/contacts/alice").status == 200)
        #expect(try alice.post("/v1/groups", ["name": "team"]).status == 201)
        func set(_ value: JSONValue) throws -> Answer { try alice.json(.patch, "/v1/account", ["display": value]) }
        func shown(_ name: String, in list: String) throws -> JSONValue? {
            try alice.get("/v1/\(list)").json["users"]?.items.first { $0["name"]?.text == name }?["display"]
        }
        #expect(try shown("alice", in: "users") == .null)
        for text in ["Alice Liddell", "Алиса\n🐇, \"/@#\"", String(repeating: "é", count: 64)] {
            let answer = try set(.string(text))
            #expect(try answer.status == 200 && answer.json["display"]?.text == text, "\(answer.text)")
        }
        for text in ["", String(repeating: "x", count: 65), "a\u{0}b"] {
            #expect(try set(.string(text)).outcome == "422 bad_name", "\(text)")
        }
        #expect(try set(7).outcome.hasPrefix("400"))
        #expect(try set("Алиса").status == 200)
        // What is not given stays
        #expect(try alice.send(.patch, "/v1/account").json["display"] == "Алиса")
        #expect(try shown("alice", in: "users") == "Алиса" && shown("bob", in: "users") == .null)
        #expect(try alice.get("/v1/groups/team/members").text.contains("Алиса"))
        #expect(try bob.get("/v1/contacts").text.contains("Алиса"))
        #expect(try set(.null).json["display"] == .null)
        #expect(try shown("alice", in: "users") == .null)
    }

    @Test("the owner deletes an account by a session and the password, never by a token; the last admin can't")
    func ownDeletion() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try alice.post("/v1/groups", ["name": "team"]).status == 201)
        #expect(try alice.json(.put, "/v1/groups/team/members/bob").status == 200)
        #expect(try alice.json(.patch, "/v1/account", ["display": "Alice Liddell"]).status == 200)
        for name in ["general", "team", "@bob"] { #expect(try alice.say("a secret", to: name).status == 201) }
        try server.account("carol")
        for user in ["alice", "carol"] { _ = try bob.json(.put, "/v1/contacts/\(user)") }
        func delete(_ client: Client, _ password: String = TestServer.password) throws -> String {
            try client.json(.delete, "/v1/account", ["password": .string(password)]).outcome
        }
        let made = try alice.post("/v1/tokens", ["label": "robot", "scope": "all"])
        #expect(try delete(Client(server, token: made.json["token"]?.text)) == "403 forbidden")
        #expect(try delete(alice, "a wrong password") == "401 bad_credentials")
        #expect(try alice.json(.delete, "/v1/account").outcome.hasPrefix("400"))
        try server.makeAdmin("alice")
        #expect(try delete(alice) == "409 last_admin")
        try server.makeAdmin("bob")
        #expect(try bob.get("/v1/users").json["users"]?.items.count == 3)
        // When it is deleted
        let done = try alice.json(.delete, "/v1/account", ["password": .string(TestServer.password)])
        #expect(try done.status == 200 && done.json["erased"] == 5, "\(done.text)")
        // Then it is gone with all that it wrote, and from all lists
        #expect(try alice.get("/v1/whoami").outcome == "401 unauthorized")
        let messages = try bob.get("/v1/conversations/team/messages").json["messages"]?.items ?? []
        #expect(messages.last?["erased"] == true && messages.last?["sender"] == "")
        for list in ["users", "contacts", "groups/team/members", "admin/users"] {
            let answer = try bob.get("/v1/\(list)")
            #expect(
                answer.status == 200 && !answer.text.lowercased().contains("alice")
                    && answer.text.contains("bob") == (list != "contacts"))
        }
        let audit = try bob.get("/v1/admin/audit").text.split(separator: "\n").filter { $0.contains("user_erased") }
        #expect(audit.count == 1 && audit.first?.contains("alice") == false)
        #expect(try server.stranger().get("/v1/register", ["name": "alice"]).json["free"] == false)
    }

    @Test("the last admin of the server can neither disable nor demote themselves, but the operator can")
    func lastServerAdmin() throws {
        let root = try server.account("root")
        try server.account("alice")
        try server.makeAdmin("root")
        try server.makeAdmin("alice")
        func patch(_ name: String, _ body: JSONValue) throws -> Answer {
            try root.json(.patch, "/v1/admin/users/\(name)", body)
        }
        // A disabled admin is not another one
        #expect(try patch("alice", ["disabled": true]).status == 200)
        let refused: [JSONValue] = [
            ["disabled": true], ["admin": false], ["admin": false, "password": "a third long one"],
        ]
        for fields in refused { #expect(try patch("root", fields).outcome == "409 last_admin") }
        #expect(try patch("root", ["admin": true, "disabled": false]).status == 200)
        // With another one she may go
        #expect(try patch("alice", ["disabled": false]).status == 200)
        #expect(try patch("root", ["admin": false]).status == 200)
        #expect(try root.get("/v1/admin/stats").outcome == "403 forbidden")
        let store = server.store
        let change = AccountChange(isAdmin: false)
        #expect(try waitFor { store.change("alice", change, by: "operator", asking: nil, $0) }.get().isAdmin == false)
    }
}
