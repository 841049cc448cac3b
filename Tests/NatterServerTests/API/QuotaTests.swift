internal import NatterSystem
internal import NatterHTTP
internal import NatterModel
internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("limits of an account")
struct QuotaTests {
    private static let start = Timestamp(milliseconds: 1_795_000_000_000)

    private func limits(_ change: (inout AccountLimits) -> Void) -> AccountLimits {
        var limits = AccountLimits()
        change(&limits)
        return limits
    }

    private func refused(_ kind: LimitReport.Kind, on server: TestServer) -> UInt64? {
        server.store.limits.first { $0.kind == kind }?.refused
    }

    @Test(
        "100 tokens and 100 sessions, 1,000 groups, 2,000 by others and 200 by one; messages, bytes and requests without a limit"
    )
    func defaults() throws {
        let server = try TestServer()
        let limits = Dictionary(uniqueKeysWithValues: server.store.limits.map { ($0.kind, $0.limit) })
        #expect(limits[.tokens] == 100 && limits[.sessions] == 100 && limits[.groups] == 1_000)
        #expect(limits[.groupsByOthers] == 2_000 && limits[.groupsByOne] == 200)
        for kind in [LimitReport.Kind.messagesPerMinute, .bytesPerDay, .requestsPerSecond] {
            #expect(limits[kind] == .some(nil))
        }
    }

    @Test("a token beyond the limit is 429, until one is revoked; others are not concerned")
    func tokens() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        server.store.use(limits { $0.tokens = 2 })
        func make(_ client: Client) throws -> Answer {
            try client.post("/v1/tokens", ["label": "x", "scope": "all"])
        }
        let first = try make(alice)
        #expect(first.status == 201)
        #expect(try make(alice).status == 201)
        let third = try make(alice)
        #expect(third.outcome == "429 slow_down")
        #expect((third.header("Retry-After").flatMap { Int($0) } ?? 0) > 0)
        #expect(refused(.tokens, on: server) == 1)
        #expect(try make(bob).status == 201)
        #expect(try alice.send(.delete, "/v1/tokens/\(first.json["id"]?.text ?? "")").status == 200)
        #expect(try make(alice).status == 201)
    }

    @Test("a request beyond the limit is 429, one of many messages as well")
    func bulkRequests() throws {
        let server = try TestServer(clock: TestClock(QuotaTests.start))
        let alice = try server.account("alice")
        server.store.use(limits { $0.requestsPerSecond = 1 })
        #expect(try alice.bulk([#"{"conversation":"general","text":"one"}"#]).status == 200)
        #expect(try alice.bulk([#"{"conversation":"general","text":"two"}"#]).outcome == "429 slow_down")
    }

    @Test("a session beyond the limit ends the one that was unused for longest, and no robot's token")
    func sessions() throws {
        let clock = TestClock(QuotaTests.start)
        let server = try TestServer(clock: clock)
        let first = try server.account("alice")
        server.store.use(limits { $0.sessions = 2 })
        let robot = Client(
            server,
            token: try first.post("/v1/tokens", ["label": "x", "scope": "all"]).json["token"]?.text)
        func login() throws -> Client {
            clock.set(clock.now().advanced(milliseconds: 60_000))
            let account = try #require(server.store.credentials(of: "alice")?.account)
            return Client(
                server, token: try waitFor { server.store.addSession(of: account, expires: nil, $0) }.get().text)
        }
        let second = try login()
        // The first is older, but was used later
        clock.set(clock.now().advanced(milliseconds: 60_000))
        #expect(try first.get("/v1/whoami").status == 200)
        let third = try login()
        #expect(try second.get("/v1/whoami").outcome == "401 unauthorized")
        #expect(try first.get("/v1/whoami").status == 200)
        #expect(try third.get("/v1/whoami").status == 200)
        #expect(try robot.get("/v1/whoami").status == 200)
        #expect(refused(.sessions, on: server) == 1)
    }

    @Test("a session that is unused for 90 days ends for good; one in use and a robot's token stay")
    func idle() throws {
        let clock = TestClock(QuotaTests.start)
        let server = try TestServer(clock: clock)
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        let robot = Client(
            server, token: try alice.post("/v1/tokens", ["label": "x", "scope": "all"]).json["token"]?.text)
        let day: Int64 = 86_400_000
        clock.set(QuotaTests.start.advanced(milliseconds: 89 * day))
        #expect(try bob.get("/v1/whoami").status == 200)
        clock.set(QuotaTests.start.advanced(milliseconds: 91 * day))
        // Not only the first time
        for _ in 0..<2 { #expect(try alice.get("/v1/whoami").outcome == "401 token_expired") }
        #expect(try bob.get("/v1/whoami").status == 200)
        #expect(try robot.get("/v1/whoami").status == 200)
        // It stays ended when the clock goes back and the server starts again
        server.store.forgetExpiredTokens()
        server.stop()
        clock.set(QuotaTests.start)
        try server.start()
        #expect(try alice.get("/v1/whoami").outcome == "401 unauthorized")
        // Without the limit nothing ends
        server.store.use(limits { $0.sessionIdleDays = nil })
        clock.set(QuotaTests.start.advanced(milliseconds: 900 * day))
        #expect(try bob.get("/v1/whoami").status == 200)
    }

    @Test(
        "only a server that serves ends idle sessions: who opens the store to look does not know for how long they last"
    )
    func idleOffline() throws {
        let clock = TestClock(QuotaTests.start)
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        server.stop()
        clock.set(QuotaTests.start.advanced(milliseconds: 100 * 86_400_000))
        for _ in 0..<2 {
            try server.start()
            server.stop()
        }
        try server.start()
        server.store.use(limits { $0.sessionIdleDays = nil })
        #expect(try alice.get("/v1/whoami").status == 200)
    }

    @Test("a group beyond the limit is 429; a restart forgets none of them, and a deleted one does not count")
    func groups() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        server.store.use(limits { $0.groups = 2 })
        for name in ["one", "two"] { #expect(try alice.post("/v1/groups", ["name": .string(name)]).status == 201) }
        #expect(try alice.post("/v1/groups", ["name": "three"]).outcome == "429 slow_down")
        server.stop()
        try server.start()
        server.store.use(limits { $0.groups = 2 })
        #expect(try alice.post("/v1/groups", ["name": "three"]).outcome == "429 slow_down")
        #expect(try alice.send(.delete, "/v1/groups/one").status == 200)
        #expect(try alice.post("/v1/groups", ["name": "three"]).status == 201)
    }

    @Test(
        "others add a user to so many groups, each of them to fewer; a group that the user has used, left or joined does not count"
    )
    func groupsByOthers() throws {
        let server = try TestServer()
        let (alice, bob, carol) = (try server.account("alice"), try server.account("bob"), try server.account("carol"))
        func use() { server.store.use(limits { ($0.groupsByOthers, $0.groupsByOne) = (3, 2) }) }
        use()
        func add(to group: String, by adder: Client) throws -> String {
            #expect(try adder.post("/v1/groups", ["name": .string(group)]).status == 201)
            return try adder.send(.put, "/v1/groups/\(group)/members/bob").outcome
        }
        for group in ["a1", "a2"] { #expect(try add(to: group, by: alice) == "200") }
        #expect(try add(to: "a3", by: alice) == "403 quota")
        #expect(try add(to: "c1", by: carol) == "200")
        #expect(try add(to: "c2", by: carol) == "403 quota")
        #expect(refused(.groupsByOne, on: server) == 1 && refused(.groupsByOthers, on: server) == 1)
        // A restart forgets nobody who added, and to make somebody admin changes nothing
        #expect(try alice.json(.put, "/v1/groups/a1/members/bob", ["admin": true]).status == 200)
        server.stop()
        try server.start()
        use()
        let groups = try bob.get("/v1/groups").json["groups"]?.items ?? []
        #expect(groups.map { $0["added_by"]?.text } == ["alice", "alice", "carol"])
        #expect(try alice.get("/v1/groups").json["groups"]?.items.first?["added_by"] == nil)
        #expect(try alice.send(.put, "/v1/groups/a3/members/bob").outcome == "403 quota")
        // Written, read, left: alice may add bob to as many others
        #expect(try bob.say("hi", to: "a1").status == 201)
        #expect(try bob.json(.put, "/v1/conversations/a2/read", ["seq": 2]).status == 200)
        for group in ["a4", "a5"] { #expect(try add(to: group, by: alice) == "200") }
        #expect(try add(to: "a6", by: alice) == "403 quota")
        #expect(try bob.send(.delete, "/v1/groups/a4/members/bob").status == 200)
        #expect(try alice.send(.put, "/v1/groups/a6/members/bob").status == 200)
        // Bob's own doing has no limit
        #expect(try alice.post("/v1/groups", ["name": "open", "open": true]).status == 201)
        #expect(try bob.send(.put, "/v1/groups/open/members/bob").status == 200)
    }

    @Test("members that an account adds in a day are counted")
    func members() throws {
        let clock = TestClock(QuotaTests.start)
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        for name in ["bob", "carol"] { try server.account(name) }
        // The group itself is one of them, or to create and delete some without end would be free
        server.store.use(limits { $0.membersPerDay = 2 })
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        #expect(try alice.send(.put, "/v1/groups/ops/members/bob").status == 200)
        // To change a member costs nothing
        #expect(try alice.send(.put, "/v1/groups/ops/members/bob").status == 200)
        let refused = try alice.send(.put, "/v1/groups/ops/members/carol")
        #expect(refused.outcome == "429 slow_down")
        #expect(refused.header("Retry-After") == "86400")
        #expect(try alice.send(.delete, "/v1/groups/ops/members/bob").status == 200)
        #expect(try alice.post("/v1/groups", ["name": "dev"]).outcome == "429 slow_down")
        clock.set(QuotaTests.start.advanced(milliseconds: 86_400_000))
        #expect(try alice.send(.put, "/v1/groups/ops/members/carol").status == 200)
    }

    @Test("what happens in a group counts as a message of the one who does it, but to leave is always free")
    func events() throws {
        let clock = TestClock(QuotaTests.start)
        let server = try TestServer(clock: clock)
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try alice.post("/v1/groups", ["name": "ops"]).status == 201)
        server.store.use(limits { $0.messagesPerMinute = 2 })
        func open(_ isOpen: Bool) throws -> Answer { try alice.json(.patch, "/v1/groups/ops", ["open": .bool(isOpen)]) }
        #expect(try open(true).status == 200)
        // Nothing changes, so nothing counts
        #expect(try open(true).status == 200)
        #expect(try alice.say("one").status == 201)
        #expect(try open(false).outcome == "429 slow_down")
        #expect(try alice.get("/v1/groups").json["groups"]?.items.first?["open"] == .bool(true))
        #expect(try bob.send(.put, "/v1/groups/ops/members/bob").status == 200)
        #expect(try alice.json(.put, "/v1/groups/ops/members/bob", ["admin": true]).outcome == "429 slow_down")
        for text in ["one", "two"] { #expect(try bob.say(text).status == 201) }
        #expect(try bob.send(.delete, "/v1/groups/ops/members/bob").status == 200)
        clock.set(QuotaTests.start.advanced(milliseconds: 60_000))
        #expect(try open(false).status == 200)
    }

    @Test("messages a minute and bytes a day; a repeated id costs nothing, and what is refused does not count")
    func messages() throws {
        let clock = TestClock(QuotaTests.start)
        let server = try TestServer(clock: clock)
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        server.store.use(limits { $0.messagesPerMinute = 2 })
        #expect(try alice.say("one", id: "a").status == 201)
        #expect(try alice.say("one", id: "a").status == 200)
        #expect(try alice.say("two", to: "nowhere").outcome == "404 no_such_conversation")
        #expect(try alice.say("two", id: "b").status == 201)
        clock.set(QuotaTests.start.advanced(milliseconds: 20_000))
        let third = try alice.say("three")
        #expect(third.outcome == "429 slow_down")
        #expect(third.header("Retry-After") == "40")
        #expect(try alice.say("two", id: "b").status == 200)
        #expect(try bob.say("three").status == 201)
        let lines = try alice.bulk([#"{"conversation":"general","text":"x"}"#]).lines
        #expect(lines.first?["error"]?["code"] == "slow_down")
        clock.set(QuotaTests.start.advanced(milliseconds: 60_000))
        #expect(try alice.say("three").status == 201)
        #expect(refused(.messagesPerMinute, on: server) == 2)

        server.store.use(limits { $0.bytesPerDay = 10 })
        #expect(try bob.say("123456").status == 201)
        #expect(try bob.say("12345").outcome == "429 slow_down")
        #expect(try bob.say("1234").status == 201)
        clock.set(QuotaTests.start.advanced(milliseconds: 60_000 + 86_400_000))
        #expect(try bob.say("1234567890").status == 201)
    }

    @Test("requests a second are counted before the body is read, for each account by itself")
    func requests() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        server.store.use(limits { $0.requestsPerSecond = 1 })
        // However slow this machine is, of so many some come within a second of another
        let answers = try (0..<50).map { _ in try alice.say("hi") }
        let late = try #require(answers.first { $0.status == 429 })
        #expect(late.outcome == "429 slow_down" && late.header("Retry-After") == "1")
        #expect(answers.first?.status == 201)
        #expect(UInt64(answers.count { $0.status == 429 }) == refused(.requestsPerSecond, on: server))
        #expect(try bob.get("/v1/whoami").status == 200)
        // A client without a token has no account to count
        #expect(try server.stranger().get("/healthz").status == 200)
    }

    @Test("a user whom you have blocked can't add you to a group")
    func blocked() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        #expect(try bob.send(.put, "/v1/blocks/alice").status == 200)
        #expect(try alice.post("/v1/groups", ["name": "ops", "open": true]).status == 201)
        #expect(try alice.send(.put, "/v1/groups/ops/members/bob").outcome == "403 blocked")
        #expect(try alice.get("/v1/groups").json["groups"]?.items.first?["members"]?.int == 1)
        // Bob may still join an open group, and is then changed like anybody
        #expect(try bob.send(.put, "/v1/groups/ops/members/bob").status == 200)
        #expect(try alice.send(.put, "/v1/groups/ops/members/bob").status == 200)
    }
}
