internal import NatterSystem
internal import NatterHTTP
internal import NatterModel
internal import NatterServer
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import TestSupport
internal import Testing

/// Groups, blocks, tokens and administration: permissions, and their corner cases.
@Suite("users and their permissions")
struct PeopleTests {
    private let server: TestServer

    init() throws { server = try TestServer() }

    @Test("admins set what a group is about; it is in the conversation and in its history, and null takes it away")
    func topic() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try alice.post("/v1/groups", ["name": "team"]).status == 201)
        #expect(try alice.json(.put, "/v1/groups/team/members/bob").status == 200)
        func set(_ topic: JSONValue, by user: Client) throws -> Answer {
            try user.json(.patch, "/v1/groups/team", ["topic": topic])
        }
        func last() throws -> String? { try bob.get("/v1/conversations/team").json["last"]?["text"]?.text }
        #expect(try bob.get("/v1/conversations/team").json["topic"] == .null)
        #expect(try set("Disks, and\nwhat fills them", by: alice).json["topic"] == "Disks, and\nwhat fills them")
        #expect(try last() == "topic Disks, and\nwhat fills them")
        #expect(try bob.get("/v1/sync").text.contains(#""topic":"Disks, and\nwhat fills them""#))
        // What is as it was is no event, and what is not given stays
        #expect(try set("Disks, and\nwhat fills them", by: alice).json["head"] == 3)
        #expect(
            try alice.json(.patch, "/v1/groups/team", ["open": true]).json["topic"]?.text?.hasPrefix("Disks") == true)
        #expect(try set("x", by: bob).outcome == "403 forbidden")
        for text in ["", String(repeating: "x", count: 257), "a\u{0}b"] {
            #expect(try set(.string(text), by: alice).outcome == "422 bad_name", "\(text)")
        }
        #expect(try set(.string(String(repeating: "é", count: 256)), by: alice).status == 200)
        #expect(try set(.null, by: alice).json["topic"] == .null)
        #expect(try last() == "topic")
    }

    @Test("a first personal message that is refused leaves nothing that breaks the next")
    func refusedFirstMessage() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try bob.json(.put, "/v1/blocks/alice").status == 200)
        // Given two refusals with nothing else between them
        #expect(try alice.say("one", to: "@bob").outcome == "403 blocked")
        #expect(try alice.say("two", to: "@bob").outcome == "403 blocked")
        #expect(try bob.json(.delete, "/v1/blocks/alice").status == 200)
        // Then messages go through, both ways
        #expect(try alice.say("three", to: "@bob").status == 201)
        #expect(try bob.say("four", to: "@alice").json["seq"] == 2)
    }

    @Test("a message stored before a block is answered again, and no other gets past the block with its id")
    func repeatedAfterBlock() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        let first = try alice.say("one", to: "@bob", id: "k")
        #expect(try bob.json(.put, "/v1/blocks/alice").status == 200)
        let again = try alice.say("one", to: "@bob", id: "k")
        #expect(try first.status == 201 && again.status == 200 && again.json == first.json)
        #expect(try alice.say("two", to: "@bob", id: "k").outcome == "409 id_reused")
        #expect(try alice.say("one", to: "@bob", id: "l").outcome == "403 blocked")
        #expect(try alice.say("two", to: "@bob").outcome == "403 blocked")
    }

    @Test("an admin lists and revokes invitations, and ends a session of anyone")
    func invitesAndSessions() throws {
        let (root, alice) = (try server.account("root"), try server.account("alice"))
        try server.makeAdmin("root")
        let made = try root.post("/v1/admin/invites", [:]).json
        let id = try #require(made["id"]?.text)
        let listed = try root.get("/v1/admin/invites").json["invites"]?.items
        #expect(listed?.first?.keys == ["id", "maker", "created", "expires"])
        #expect(listed?.map { $0["id"]?.text } == [id])
        #expect(listed?.first?["maker"] == "root")
        // The list survives a restart and never shows the code
        server.stop()
        try server.start()
        let again = try root.get("/v1/admin/invites")
        #expect(try again.json["invites"]?.items.map { $0["id"]?.text } == [id])
        #expect(!again.text.contains(made["invite"]?.text ?? "?"))
        #expect(try root.send(.delete, "/v1/admin/invites/\(id)").status == 200)
        #expect(try root.send(.delete, "/v1/admin/invites/\(id)").outcome == "404 not_found")
        #expect(try root.get("/v1/admin/invites").json["invites"]?.items.isEmpty == true)
        let sessions = try root.get("/v1/admin/sessions").json["sessions"]?.items ?? []
        let session = try #require(sessions.first { $0["user"] == "alice" }?["id"]?.text)
        #expect(try root.send(.delete, "/v1/admin/sessions/+\(session)").outcome == "404 not_found")
        let token = try alice.post("/v1/tokens", ["label": "x", "scope": "all"]).json["id"]?.text ?? ""
        #expect(try root.send(.delete, "/v1/admin/sessions/\(token)").outcome == "404 not_found")
        #expect(try alice.send(.delete, "/v1/tokens/+\(token)").outcome == "404 not_found")
        #expect(try alice.send(.delete, "/v1/tokens/\(token)").status == 200)
        #expect(try root.send(.delete, "/v1/admin/sessions/\(session)").status == 200)
        #expect(try alice.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try root.send(.delete, "/v1/admin/sessions/\(session)").outcome == "404 not_found")
        let audit = try root.get("/v1/admin/audit").lines.map { $0["action"]?.text ?? "" }
        #expect(audit.contains("session_ended") && audit.contains("invite_revoked"))
    }

    @Test(
        "the invitations of an admin who is disabled or demoted are revoked, and those of others stay",
        arguments: [["disabled": true], ["admin": false]] as [JSONValue])
    func revokedInvites(fields: JSONValue) throws {
        var options = ChatServer.Options()
        options.registration = .invite
        let inviting = try TestServer(options: options)
        let (root, alice) = (try inviting.account("root"), try inviting.account("alice"))
        for name in ["root", "alice"] { try inviting.makeAdmin(name) }
        let codes = try [root, alice].map { try $0.post("/v1/admin/invites", [:]).json["invite"]?.text ?? "" }
        func change(_ fields: JSONValue) throws {
            #expect(try root.json(.patch, "/v1/admin/users/alice", fields).status == 200)
        }
        try change(fields)
        func makers() throws -> [String?]? {
            try root.get("/v1/admin/invites").json["invites"]?.items.map { $0["maker"]?.text }
        }
        #expect(try makers() == ["root"])
        try change(["disabled": false, "admin": true])
        #expect(try makers() == ["root"])
        func register(_ code: String) throws -> Int {
            let fields: JSONValue = ["name": "eve", "password": "long enough", "invite": .string(code)]
            return try inviting.stranger().post("/v1/register", fields).status
        }
        #expect(try register(codes[1]) == 403)
        #expect(try register(codes[0]) == 201)
    }

    @Test("a token whose time has passed already is refused, and one whose time is to come is made")
    func expiry() throws {
        let alice = try server.account("alice")
        func made(_ milliseconds: Int64) throws -> String {
            let expires = server.clock.now().advanced(milliseconds: milliseconds)
            let body: JSONValue = ["label": "x", "scope": "all", "expires": .string(expires.rfc3339)]
            return try alice.post("/v1/tokens", body).outcome
        }
        let past: [Int64] = [0, -1_000, -31_536_000_000]
        for past in past { #expect(try made(past) == "400 bad_request") }
        #expect(try alice.get("/v1/tokens").json["tokens"] == .array([]))
        #expect(try made(60_000) == "201")
    }

    @Test("a scope goes by the conversation, not by its name: neither does a swap of names widen it")
    func swappedNames() throws {
        let alice = try server.account("alice")
        for name in ["ops", "board"] { #expect(try alice.post("/v1/groups", ["name": .string(name)]).status == 201) }
        #expect(try alice.say("a secret", to: "board").status == 201)
        func principal(_ scope: String) throws -> Principal {
            let made = try alice.post("/v1/tokens", ["label": "robot", "scope": .string(scope)]).json
            return try server.principal(of: made["token"]?.text ?? "")
        }
        // Given requests whose scope was checked while 'ops' was the right name
        let (reader, writer) = (try principal("read:ops"), try principal("send:ops"))
        let query = PageQuery(conversation: "ops", limit: 10)
        #expect(try server.store.messages(query, for: reader).messages.count == 1)
        // When the names are swapped meanwhile
        for (old, new) in [("ops", "x"), ("board", "ops"), ("x", "board")] {
            #expect(try alice.json(.patch, "/v1/groups/\(old)", ["name": .string(new)]).status == 200)
        }
        // Then they reach nothing
        #expect {
            try server.store.messages(query, for: reader)
        } throws: { error in
            if case .forbidden? = error as? StoreError { true } else { false }
        }
        let outcomes = try waitFor {
            server.store.post(
                [
                    NewMessage(conversation: "ops", text: "hi", key: nil),
                    NewMessage(conversation: "board", text: "hi", key: nil),
                ],
                by: writer, stopAtRefusal: false, $0)
        }
        guard case .refused(.forbidden) = outcomes[0], case .posted = outcomes[1] else {
            throw Failure("\(outcomes)")
        }
    }

    @Test("a password change and logout everywhere end tokens with the scope 'all', and list the others")
    func robotsEnd() throws {
        let (alice, root) = (try server.account("alice"), try server.account("root"))
        try server.makeAdmin("root")
        func robot(_ scope: String) throws -> Client {
            let made = try alice.post("/v1/tokens", ["label": "robot", "scope": .string(scope)])
            return Client(server, token: try made.json["token"]?.text)
        }
        let (everything, one) = (try robot("all"), try robot("read:general"))
        let changed = try alice.post(
            "/v1/password", ["old": .string(TestServer.password), "new": "another long one"])
        #expect(changed.status == 200)
        #expect(try changed.json["tokens"]?.items.map { $0["scope"]?.text } == ["read:general"])
        #expect(try everything.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try one.get("/v1/whoami").status == 200)
        #expect(try alice.get("/v1/whoami").status == 200)
        // An admin who sets the password ends them, too
        let second = try robot("all")
        #expect(try root.json(.patch, "/v1/admin/users/alice", ["password": "a third long one"]).status == 200)
        #expect(try second.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try one.get("/v1/whoami").status == 200)
        let account = try #require(server.store.credentials(of: "alice")?.account)
        let again = Client(
            server, token: try waitFor { server.store.addSession(of: account, expires: nil, $0) }.get().text)
        let third = Client(
            server, token: try again.post("/v1/tokens", ["label": "x", "scope": "all"]).json["token"]?.text)
        let left = try again.post("/v1/logout", ["all": true])
        #expect(try left.json["tokens"]?.items.count == 1)
        #expect(try third.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try one.get("/v1/whoami").status == 200)
    }

    @Test("a token for one conversation learns nothing about others from any request")
    func readScope() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        _ = try alice.say("for all")
        let made = try alice.post("/v1/tokens", ["label": "robot", "scope": "read:general"])
        #expect(made.status == 201)
        let robot = Client(server, token: try made.json["token"]?.text)
        // Given changes that concern its owner elsewhere
        #expect(try bob.post("/v1/groups", ["name": "board"]).status == 201)
        #expect(try bob.json(.put, "/v1/groups/board/members/alice").status == 200)
        _ = try bob.say("a secret", to: "board")
        _ = try bob.say("another", to: "@alice")
        #expect(try alice.json(.put, "/v1/conversations/@bob/read", ["seq": 1]).status == 200)
        // Then sync says nothing of them
        let sync = try robot.get("/v1/sync")
        #expect(sync.status == 200)
        let text = String(decoding: sync.body, as: UTF8.self)
        #expect(text.contains("for all"))
        #expect(!text.contains("board") && !text.contains("secret"))
        #expect(!text.contains(#""bob""#) && !text.contains("@bob"))
        // And everything except reading that conversation is refused
        #expect(try robot.say("hello").outcome == "403 forbidden")
        #expect(try robot.get("/v1/users").outcome == "403 forbidden")
        #expect(try robot.get("/v1/search", ["q": "secret"]).outcome == "403 forbidden")
        #expect(try robot.get("/v1/conversations/board").outcome == "403 forbidden")
        #expect(try robot.get("/v1/conversations/general/messages").status == 200)
        #expect(try robot.get("/v1/whoami").json["scope"] == "read:general")
    }

    @Test("a token to send to one conversation sends there and does nothing else")
    func sendScope() throws {
        let alice = try server.account("alice")
        let token = try alice.post("/v1/tokens", ["label": "cron", "scope": "send:general"]).json["token"]?.text
        let robot = Client(server, token: token)
        #expect(try robot.say("done").status == 201)
        #expect(try robot.say("note", to: "@me").outcome == "403 forbidden")
        #expect(try robot.get("/v1/conversations/general/messages").outcome == "403 forbidden")
        #expect(try robot.get("/v1/sync").outcome == "403 forbidden")
        let lines = try robot.bulk([
            #"{"conversation":"general","text":"x"}"#, #"{"conversation":"@me","text":"y"}"#,
        ]).lines
        #expect(lines.first?["seq"] == 2)
        #expect(lines.last?["error"]?["code"] == "forbidden")
        // And it ends when it is revoked
        let id = try alice.get("/v1/tokens").json["tokens"]?.items.first?["id"]?.text ?? ""
        #expect(try alice.json(.delete, "/v1/tokens/\(id)").status == 200)
        #expect(try robot.say("more").outcome == "401 unauthorized")
    }

    @Test("an admin sets how long any conversation is kept; nobody else does")
    func retention() throws {
        let (root, alice) = (try server.account("root"), try server.account("alice"))
        try server.makeAdmin("root")
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        #expect(try alice.say("hi", to: "@root").status == 201)
        func retain(_ client: Client, _ name: String, _ time: String = "90d") throws -> Answer {
            try client.post("/v1/admin/retain", ["conversation": .string(name), "retain": .string(time)])
        }
        for name in ["general", "ops", "@alice", "@alice,@root"] {
            let answer = try retain(root, name)
            #expect(try answer.json["retain"] == "90d" && answer.json["first"] == 1, "\(answer.text)")
        }
        #expect(try alice.get("/v1/groups").json["groups"]?.items.first?["retain"] == "90d")
        #expect(try retain(root, "ops", "forever").json["retain"] == "forever")
        #expect(try retain(root, "ops", "soon").outcome == "400 bad_request")
        #expect(try retain(root, "nosuch").outcome == "404 no_such_conversation")
        #expect(try retain(alice, "ops").outcome == "403 forbidden")
        let audit = try root.get("/v1/admin/audit").text
        #expect(audit.contains("retention_set") && audit.contains("@root,@alice 90d"))
    }

    @Test("a token with several scopes does what each of them allows, and nothing else")
    func severalScopes() throws {
        let alice = try server.account("alice")
        for name in ["ops", "board"] { #expect(try alice.post("/v1/groups", ["name": .string(name)]).status == 201) }
        #expect(try alice.say("a secret", to: "board").status == 201)
        func made(_ scope: String) throws -> Answer {
            try alice.post("/v1/tokens", ["label": "bot", "scope": .string(scope)])
        }
        let answer = try made("send:ops,read:ops,read:general,send:OPS")
        #expect(try answer.json["scope"] == "send:ops,read:ops,read:general")
        let bot = Client(server, token: try answer.json["token"]?.text)
        func check(_ name: String) throws {
            #expect(try bot.say("done", to: name).status == 201)
            #expect(try bot.get("/v1/conversations/\(name)/messages").status == 200)
            #expect(try bot.get("/v1/conversations/general/messages").status == 200)
            #expect(try bot.say("done").outcome == "403 forbidden")
            #expect(try bot.get("/v1/conversations/board/messages").outcome == "403 forbidden")
            #expect(try bot.say("done", to: "board").outcome == "403 forbidden")
            #expect(try bot.get("/v1/users").outcome == "403 forbidden")
            let sync = String(decoding: try bot.get("/v1/sync").body, as: UTF8.self)
            #expect(sync.contains("\"\(name)\"") && !sync.contains("board") && !sync.contains("secret"))
        }
        try check("ops")
        #expect(try alice.json(.patch, "/v1/groups/ops", ["name": "crew"]).status == 200)
        try check("crew")
        #expect(try bot.get("/v1/whoami").json["scope"] == "send:crew,read:crew,read:general")
        let many = (1...33).map { _ in "read:general" }.joined(separator: ",")
        for scope in ["all,read:crew", "read:crew,", ",read:crew", "read:crew,,send:crew", "read:a,x", many] {
            #expect(try made(scope).outcome == "400 bad_request", "\(scope)")
        }
    }

    @Test("lists refuse a limit that is none, a body of optional fields may be missing")
    func forms() throws {
        let alice = try server.account("alice")
        try server.makeAdmin("alice")
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        for list in [
            "/v1/contacts", "/v1/blocks", "/v1/tokens", "/v1/sessions", "/v1/groups/ops/members", "/v1/admin/users",
            "/v1/admin/sessions",
        ] {
            for limit in ["0", "-1", "x"] {
                #expect(try alice.get(list, ["limit": limit]).outcome == "400 bad_request", "\(list) \(limit)")
            }
            #expect(try alice.get(list, ["limit": "5000"]).status == 200)
        }
        #expect(try alice.send(.patch, "/v1/groups/ops").status == 200)
        #expect(try alice.send(.patch, "/v1/admin/users/alice").status == 200)
    }

    @Test("a group's life: who sees it, who changes it, and what remains")
    func groups() throws {
        let (alice, bob, carol) = (try server.account("alice"), try server.account("bob"), try server.account("carol"))
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        #expect(try alice.post("/v1/groups", ["name": "OPS"]).outcome == "409 name_taken")
        // A stranger does not learn that it is there
        #expect(try bob.get("/v1/conversations/ops").outcome == "404 no_such_conversation")
        #expect(try bob.say("hi", to: "ops").outcome == "404 no_such_conversation")
        #expect(try bob.json(.put, "/v1/groups/ops/members/bob").outcome == "404 no_such_conversation")
        // A member reads all of its history, and changes nothing
        _ = try alice.say("before bob", to: "ops")
        #expect(try alice.json(.put, "/v1/groups/ops/members/bob").status == 200)
        let texts = try bob.page(of: "ops").messages.map(\.text)
        #expect(texts == ["created", "before bob", "added bob"])
        #expect(try bob.json(.put, "/v1/groups/ops/members/carol").outcome == "403 forbidden")
        #expect(try bob.json(.delete, "/v1/groups/ops/members/alice").outcome == "403 forbidden")
        // The last admin stays
        #expect(try alice.json(.delete, "/v1/groups/ops/members/alice").outcome == "409 last_admin")
        #expect(
            try alice.json(.put, "/v1/groups/ops/members/alice", ["admin": false]).outcome == "409 last_admin")
        // Renamed, it is the same conversation
        let id = try bob.get("/v1/conversations/ops").json["id"]
        #expect(try alice.json(.patch, "/v1/groups/ops", ["name": "crew"]).status == 200)
        #expect(try bob.get("/v1/conversations/crew").json["id"] == id)
        #expect(try bob.get("/v1/conversations/ops").status == 404)
        // A removed member is told once, and reads nothing more
        let cursor = try bob.get("/v1/sync", ["cursor": "now"]).lines.last?["cursor"]?.text ?? ""
        #expect(try alice.json(.delete, "/v1/groups/crew/members/bob").status == 200)
        _ = try alice.say("without bob", to: "crew")
        let lines = try bob.get("/v1/sync", ["cursor": cursor]).lines
        #expect(lines.compactMap { $0["type"]?.text } == ["gone", "end"])
        #expect(lines.first?["reason"] == "removed")
        #expect(try bob.get("/v1/conversations/crew/messages").outcome == "404 no_such_conversation")
        // An open one is joined by oneself
        #expect(try alice.json(.patch, "/v1/groups/crew", ["open": true]).status == 200)
        #expect(try carol.get("/v1/conversations/crew").outcome == "403 not_a_member")
        #expect(try carol.json(.put, "/v1/groups/crew/members/carol").status == 200)
        #expect(try carol.say("here I am", to: "crew").status == 201)
        // Deleted, its name is free, and a new one of that name is another
        #expect(try alice.json(.delete, "/v1/groups/crew").status == 200)
        #expect(try carol.get("/v1/conversations/crew").status == 404)
        #expect(try carol.post("/v1/groups", ["name": "crew"]).json["head"] == 1)
        #expect(try carol.get("/v1/conversations/crew").json["id"] != id)
    }

    @Test("disabling an account ends its sessions at once, and enabling does not bring them back")
    func disabling() throws {
        let (root, alice) = (try server.account("root"), try server.account("alice"))
        #expect(try root.json(.patch, "/v1/admin/users/alice", ["disabled": true]).outcome == "403 forbidden")
        try server.makeAdmin("root")
        let made = try alice.post("/v1/tokens", ["label": "robot", "scope": "send:general"]).json
        let robot = Client(server, token: try #require(made["token"]?.text))
        #expect(try root.json(.patch, "/v1/admin/users/alice", ["disabled": true]).status == 200)
        #expect(try alice.say("still here").outcome == "401 unauthorized")
        #expect(try root.json(.patch, "/v1/admin/users/alice", ["disabled": false]).status == 200)
        for client in [alice, robot] { #expect(try client.say("again").outcome == "401 unauthorized") }
        let stranger = Client(server, token: nil)
        let login = try stranger.post(
            "/v1/login", ["name": "alice", "password": .string(TestServer.password)])
        #expect(login.status == 200)
        #expect(try root.get("/v1/admin/audit").lines.first?["action"] == "user_enabled")
    }

    @Test("what an admin of the server does to a group without an active admin is in the audit log, and only that")
    func orphan() throws {
        let (root, alice, bob) = (try server.account("root"), try server.account("alice"), try server.account("bob"))
        try server.makeAdmin("root")
        _ = try alice.post("/v1/groups", ["name": "crew"])
        #expect(try alice.json(.put, "/v1/groups/crew/members/bob").status == 200)
        #expect(try root.json(.put, "/v1/groups/crew/members/root").status == 404)
        #expect(try root.json(.patch, "/v1/admin/users/alice", ["disabled": true]).status == 200)
        _ = try bob.say("a secret", to: "crew")
        let opened = try root.json(.patch, "/v1/groups/crew", ["open": true])
        #expect(opened.status == 200 && !opened.text.contains("secret"))
        // Anybody may do so
        #expect(try root.json(.put, "/v1/groups/crew/members/root").status == 200)
        #expect(
            try root.json(.patch, "/v1/groups/crew", ["open": false, "name": "club", "retain": "9d"]).status == 200
        )
        #expect(try root.json(.delete, "/v1/groups/club/members/bob").status == 200)
        #expect(try root.json(.delete, "/v1/groups/club/members/root").status == 200)
        #expect(try root.json(.put, "/v1/groups/club/members/root").status == 200)
        #expect(try root.json(.put, "/v1/groups/club/members/bob", ["admin": true]).status == 200)
        // It has an admin again
        #expect(try bob.json(.delete, "/v1/groups/club").status == 200)
        let entries = try root.get("/v1/admin/audit").lines.prefix { $0["action"] != "user_disabled" }
        #expect(entries.allSatisfy { $0["actor"] == "root" })
        #expect(
            entries.reversed().map { "\($0["action"]?.text ?? "") \($0["subject"]?.text ?? "")" } == [
                "group_opened crew", "group_renamed crew club", "group_closed crew", "retention_set crew 9d",
                "member_removed bob club", "member_added root club", "member_added bob club",
                "member_promoted bob club",
            ])
    }

    @Test("the scope of a token does not tell a removed member how a private group is called later")
    func scopeOfRemovedMember() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        #expect(try alice.json(.put, "/v1/groups/ops/members/bob", [:]).status == 200)
        func token(_ scope: JSONValue) throws -> Client {
            let made = try bob.post("/v1/tokens", ["label": "robot", "scope": scope]).json
            return Client(server, token: try #require(made["token"]?.text))
        }
        let (robot, sender) = (try token("read:ops"), try token("send:ops"))
        #expect(try alice.json(.delete, "/v1/groups/ops/members/bob").status == 200)
        #expect(try alice.json(.patch, "/v1/groups/ops", ["name": "layoffs"]).status == 200)
        func scopes() throws -> [String?] {
            try [
                robot.get("/v1/whoami").json["scope"]?.text,
                bob.get("/v1/tokens").json["tokens"]?.items.first?["scope"]?.text,
            ]
        }
        /// The answers to reading and to sending there.
        func statuses(_ name: String) throws -> [Int] {
            try [
                robot.get("/v1/conversations/\(name)/messages").status,
                sender.post("/v1/messages", ["conversation": .string(name), "text": "x"]).status,
            ]
        }
        for _ in 0..<2 {
            #expect(try scopes() == ["read:ops", "read:ops"])
            // The name that it had leads nowhere, and that of today is like any other.
            #expect(try statuses("ops") == [404, 404] && statuses("layoffs") == [403, 403])
            #expect(try statuses("holidays") == [403, 403])
            // Nor does it tell that others have made a group of that name.
            let isNew = try alice.post("/v1/groups", ["name": "ops"]).status == 201
            #expect(try statuses("ops") == [404, 404], "\(isNew)")
            server.stop()
            try server.start()
        }
        // A user who is a member again may know it.
        #expect(try alice.json(.put, "/v1/groups/layoffs/members/bob", [:]).status == 200)
        #expect(try scopes() == ["read:layoffs", "read:layoffs"])
        #expect(try statuses("layoffs") == [200, 201] && statuses("ops") == [403, 403])
    }

    @Test("an admin whose account is disabled does not let the last other one leave")
    func disabledAdmin() throws {
        let alice = try server.account("alice")
        try server.account("bob")
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        #expect(try alice.json(.put, "/v1/groups/ops/members/bob", ["admin": true]).status == 200)
        let store = server.store
        _ = try waitFor { store.change("bob", AccountChange(isDisabled: true), by: "test", asking: nil, $0) }.get()
        #expect(try alice.json(.delete, "/v1/groups/ops/members/alice").outcome == "409 last_admin")
        _ = try waitFor { store.change("bob", AccountChange(isDisabled: false), by: "test", asking: nil, $0) }.get()
        #expect(try alice.json(.delete, "/v1/groups/ops/members/alice").status == 200)
    }

    @Test("an erased account is no contact and not online, and nobody begins to write to it")
    func erasedAccount() throws {
        let (alice, bob, eve) = (try server.account("alice"), try server.account("bob"), try server.account("eve"))
        #expect(try eve.say("hi", to: "@alice").status == 201)
        #expect(try alice.get("/v1/contacts").json["users"]?.items.map { $0["online"] } == [true])
        let store = server.store
        _ = try waitFor { store.eraseAccount("eve", by: "test", $0) }.get()
        #expect(try alice.get("/v1/contacts").json["users"]?.items == [])
        #expect(try bob.json(.put, "/v1/contacts/eve").outcome == "404 no_such_user")
        #expect(try bob.say("hello?", to: "@eve").outcome == "404 no_such_user")
        // Earlier messages stay
        #expect(try alice.get("/v1/conversations/@eve").json["head"] == 1)
    }

    @Test("an admin erases in the notebook by its short name")
    func erasedNote() throws {
        let alice = try server.account("alice")
        try server.makeAdmin("alice")
        #expect(try alice.say("a note", to: "@me").status == 201)
        let erased = try alice.post("/v1/admin/erase", ["conversation": "@me", "seqs": [1]])
        #expect(try erased.json["erased"] == 1)
    }

    @Test("search on the server finds what its reader sees, newest first, page by page")
    func search() throws {
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        for number in 1...7 { _ = try alice.say("apple \(number)") }
        _ = try alice.say("apple in private", to: "@me")
        var found: [String] = []
        var before: String?
        repeat {
            var query = [(name: "q", value: "apple"), ("limit", "3")]
            if let before { query.append(("before", before)) }
            let page = try bob.send(.get, "/v1/search" + HTTPRequest.encodeQuery(query)).json
            found += page["messages"]?.items.compactMap { $0["text"]?.text } ?? []
            before = page["more"] == true ? page["next"]?.text : nil
        } while before != nil
        #expect(found == (1...7).reversed().map { "apple \($0)" })
        #expect(try alice.get("/v1/search", ["q": "private"]).json["messages"]?.items.count == 1)
        #expect(try bob.get("/v1/search", ["q": "private"]).json["messages"]?.items.count == 0)
        #expect(try bob.get("/v1/search", ["q": "-apple"]).outcome == "400 bad_request")
    }
}
