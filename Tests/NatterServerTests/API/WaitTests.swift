internal import NatterSystem
internal import NatterHTTP
internal import NatterModel
@testable internal import NatterServer
@testable internal import NatterStore
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("waiting for news")
struct WaitTests {
    /// Asks from a thread of its own; `answer` waits for it.
    private final class Asking: Sendable {
        private let result = Monitor<Result<Answer, any Error>?>(nil)
        private let thread: SystemThread

        init(_ server: TestServer, token: String?, _ path: String, _ query: KeyValuePairs<String, String>) throws {
            thread = try SystemThread(name: "test-waiter") { [result] in
                let answer = Result { try Client(server, token: token).get(path, query) }
                result.signal { $0 = answer }
            }
        }

        var isAnswered: Bool { result.withLock { $0 != nil } }

        func answer(within seconds: Int = 40) throws -> Answer {
            guard let given = result.wait(timeoutMilliseconds: seconds * 1_000, until: { $0 }) else {
                throw Failure("no answer in \(seconds) seconds")
            }
            thread.join()
            return try given.get()
        }
    }

    private static let page = "/v1/conversations/general/messages"

    @Test("a request from behind is answered at once, despite its wait")
    func behind() throws {
        let alice = try TestServer().account("alice")
        _ = try alice.say("one")
        let time = try ContinuousClock().measure { () throws in
            #expect(try alice.get(WaitTests.page, ["after": "0", "wait": "60"]).decode(MessageList.self).head == 1)
            #expect(try alice.get("/v1/sync", ["wait": "60"]).lines.count == 3)
            // Only a request for later messages can wait.
            #expect(try alice.get(WaitTests.page, ["wait": "60"]).decode(MessageList.self).messages.count == 1)
            #expect(try alice.get(WaitTests.page, ["wait": "60", "before": "1"]).decode(MessageList.self).head == 1)
            #expect(try alice.get("/v1/sync", ["wait": "60", "cursor": "now"]).lines.count == 1)
        }
        #expect(time < .seconds(40))
    }

    @Test("a wait for news is over when messages are not kept any more", arguments: ["general", "team"])
    func dropped(name: String) throws {
        let clock = TestClock()
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        _ = try server.account("bob")
        _ = try alice.post("/v1/groups", ["name": "team"])
        _ = try alice.say("old", to: name)
        clock.advance(milliseconds: 80 * 86_400_000)
        _ = try alice.say("new", to: name)
        let cursor = try #require(try alice.get("/v1/sync", ["cursor": "now"]).lines.last?["cursor"]?.text)
        let waiting = try Asking(server, token: alice.token, "/v1/sync", ["cursor": cursor, "wait": "60"])
        try server.untilWaiting(1)
        _ = try waitFor { server.store.setRetention(Retention(days: 30), of: name, by: "test", $0) }.get()
        let line = try waiting.answer(within: 30).lines.first
        #expect(line?["name"]?.text == name && line?["first"]?.int == (name == "team" ? 3 : 2), "\(line as Any)")
    }

    @Test(
        "a wait is over in its time, however the clock is set meanwhile", arguments: [-31_536_000_000, 315_360_000_000])
    func clock(jump: Int64) throws {
        let clock = TestClock()
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        _ = try alice.say("one")
        let time = try ContinuousClock().measure { () throws in
            let asking = try Asking(server, token: alice.token, WaitTests.page, ["after": "1", "wait": "2"])
            clock.advance(milliseconds: jump)
            // A session of 90 days does not last ten years.
            #expect(try [200, 401].contains(asking.answer().status))
        }
        #expect(time < .seconds(40))
    }

    @Test("without news an empty answer comes at the timeout")
    func timeout() throws {
        let alice = try TestServer().account("alice")
        _ = try alice.say("one")
        let cursor = try alice.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        let clock = ContinuousClock()
        var answer: Answer?
        var time = try clock.measure { answer = try alice.get(WaitTests.page, ["after": "1", "wait": "1"]) }
        #expect(time > .milliseconds(950) && time < .seconds(40))
        let page = try answer?.decode(MessageList.self)
        #expect(page?.messages.isEmpty == true)
        #expect(page?.next == 1)
        #expect(page?.more == false)
        time = try clock.measure { answer = try alice.get("/v1/sync", ["cursor": cursor, "wait": "1"]) }
        #expect(time > .milliseconds(950) && time < .seconds(40))
        #expect(try answer?.lines == [["type": "end", "cursor": .string(cursor), "more": false]])
        #expect(answer?.header("Natter-Cursor") == cursor)
    }

    @Test("a message wakes waiting requests for pages and sync")
    func news() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let cursor = try bob.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        let onPage = try Asking(server, token: bob.token, WaitTests.page, ["after": "0", "wait": "60"])
        let inSync = try Asking(server, token: bob.token, "/v1/sync", ["cursor": cursor, "wait": "60"])
        let personal = try Asking(
            server, token: bob.token, "/v1/conversations/@alice/messages", ["after": "0", "wait": "60"])
        try server.untilWaiting(3)
        #expect(!onPage.isAnswered && !inSync.isAnswered && !personal.isAnswered)

        _ = try alice.say("hello")
        #expect(try onPage.answer().decode(MessageList.self).messages.map(\.text) == ["hello"])
        #expect(try inSync.answer().lines.map { $0["type"] } == ["conversation", "message", "end"])
        // Messages of other conversations do not end a wait.
        try server.untilWaiting(1)
        #expect(!personal.isAnswered)
        _ = try alice.say("psst", to: "@bob")
        #expect(try personal.answer().decode(MessageList.self).messages.map(\.text) == ["psst"])
    }

    @Test(
        "a wait for a group's messages goes on with the group when that is renamed, not with the next one of its name")
    func renamed() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        for name in ["team", "other"] { _ = try alice.post("/v1/groups", ["name": .string(name)]) }
        for number in 1...3 { _ = try alice.say("\(number)", to: "other") }
        let waiting = try Asking(
            server, token: alice.token, "/v1/conversations/team/messages", ["after": "1", "wait": "60"])
        try server.untilWaiting(1)
        for (name, new) in [("team", "former"), ("other", "team")] {
            #expect(try alice.json(.patch, "/v1/groups/\(name)", ["name": .string(new)]).status == 200)
        }
        let answer = try waiting.answer().decode(MessageList.self).messages
        #expect(answer.map(\.conversation) == ["former"] && answer.map(\.kind) == ["event"], "\(answer)")
    }

    @Test("sync tells the user, and nobody else, that contacts or blocked users changed")
    func contacts() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        _ = try alice.say("one")
        let created = try alice.post("/v1/tokens", ["label": "reader", "scope": "read:general"]).json
        let scoped = Client(server, token: created["token"]?.text)
        for (method, path) in [
            (HTTPMethod.put, "/v1/contacts/bob"), (.delete, "/v1/contacts/bob"), (.put, "/v1/blocks/bob"),
            (.delete, "/v1/blocks/bob"),
        ] {
            let cursor = try alice.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
            let waiting = try Asking(server, token: alice.token, "/v1/sync", ["cursor": cursor, "wait": "60"])
            try server.untilWaiting(1)
            #expect(try alice.send(method, path).status == 200)
            #expect(try waiting.answer().lines.map { $0["type"] } == ["contacts", "end"])
            for other in [bob, scoped] {
                #expect(try other.get("/v1/sync", ["cursor": cursor]).lines.map { $0["type"] } == ["end"])
            }
        }
    }

    @Test("personal messages of others wake nobody; their own news does")
    func othersNews() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let carol = try server.account("carol")
        let cursor = try carol.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        let waiting = try Asking(server, token: carol.token, "/v1/sync", ["cursor": cursor, "wait": "60"])
        try server.untilWaiting(1)
        for index in 0..<20 {
            _ = try (index % 2 == 0 ? alice : bob).say("psst", to: index % 2 == 0 ? "@bob" : "@alice")
        }
        #expect(!waiting.isAnswered)
        // A reader that comes after them, with a cursor from before them, waits as well.
        let late = try Asking(server, token: carol.token, "/v1/sync", ["cursor": cursor, "wait": "60"])
        try server.untilWaiting(2)
        #expect(!late.isAnswered)
        _ = try alice.say("to all")
        for lines in try [waiting.answer().lines, late.answer().lines] {
            #expect(lines.compactMap { $0["text"]?.text } == ["to all"])
        }
    }

    @Test(
        "a message to a group wakes its members, whether more wait or more are in it, and nobody else",
        arguments: [1, 5])
    func groupNews(others: Int) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let members = try ["bob", "carol"].map { try server.account($0) }
        _ = try alice.post("/v1/groups", ["name": "team"])
        for name in ["bob", "carol"] {
            #expect(try alice.send(.put, "/v1/groups/team/members/\(name)").status == 200)
        }
        // One of the group's three waits, and others.
        func wait(_ client: Client) throws -> Asking {
            let cursor = try client.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
            return try Asking(server, token: client.token, "/v1/sync", ["cursor": cursor, "wait": "60"])
        }
        let outside = try (0..<others).map { try wait(server.account("other\($0)")) }
        let waiting = try wait(members[0])
        try server.untilWaiting(others + 1)
        _ = try alice.say("to the team", to: "team")
        #expect(try waiting.answer().lines.compactMap { $0["text"]?.text } == ["to the team"])
        #expect(outside.allSatisfy { !$0.isAnswered })
        _ = try alice.say("to all")
        for one in outside { #expect(try one.answer().lines.compactMap { $0["text"]?.text } == ["to all"]) }
    }

    @Test("a wait continues if the news does not pass its filter")
    func filter() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let waiting = try Asking(
            server, token: bob.token, WaitTests.page, ["after": "0", "from": "bob", "wait": "60"])
        try server.untilWaiting(1)
        _ = try alice.say("one")
        _ = try alice.say("two")
        try server.untilWaiting(1)
        _ = try bob.say("three")
        let page = try waiting.answer().decode(MessageList.self)
        #expect(page.messages.map(\.text) == ["three"])
        #expect(page.next == 3)
    }

    @Test("a session that ends while it waits is told so", arguments: ["/v1/sync", page])
    func revoked(path: String) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        _ = try alice.say("one")
        let cursor = try alice.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        let waiting = try Asking(
            server, token: alice.token, path, ["cursor": cursor, "after": "1", "wait": "60"])
        let other = try Asking(server, token: bob.token, path, ["cursor": cursor, "after": "1", "wait": "10"])
        try server.untilWaiting(2)
        _ = try Client(server, token: alice.token).send(.post, "/v1/logout")
        #expect(try waiting.answer().outcome == "401 unauthorized")
        #expect(try other.answer().outcome == "200")
    }

    @Test("news of after the end of a session is not for it, although it woke its wait", arguments: ["/v1/sync", page])
    func endedBeforeNews(path: String) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        _ = try alice.say("one")
        let cursor = try alice.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        let waiting = try Asking(server, token: alice.token, path, ["cursor": cursor, "after": "1", "wait": "60"])
        try server.untilWaiting(1)
        // Given that no worker is free when the session ends and a message comes
        let door = try Door(server.chat.workers, threads: 2)
        defer { door.open() }
        let (store, token) = (server.store, try #require(alice.token.flatMap { Token($0) }))
        try waitFor { store.revoke(token.digest, $0) }.get()
        try server.post([NewMessage(conversation: "general", text: "after that", key: nil)], as: bob)
        door.open()
        // Then
        let answer = try waiting.answer()
        #expect(answer.outcome == "401 unauthorized")
        #expect(!answer.text.contains("after that"))
    }

    @Test("a token that expires while it waits is told so then", arguments: ["/v1/sync", page, "/v1/admin/log"])
    func expired(path: String) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.makeAdmin("alice")
        _ = try alice.say("one")
        let cursor = try alice.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        let end = SystemClock().now().advanced(milliseconds: 1_000).rfc3339
        let token = try alice.post("/v1/tokens", ["label": "x", "scope": "all", "expires": .string(end)]).json["token"]
        let after = path == "/v1/admin/log" ? "\(Int64.max)" : "1"
        let waiting = try Asking(
            server, token: token?.text, path, ["cursor": cursor, "after": "\(after)", "wait": "60"])
        #expect(try waiting.answer().outcome == "401 token_expired")
    }

    @Test("a reader who is away does not look online, whatever it waits for", arguments: ["/v1/sync", "/v1/admin/log"])
    func away(path: String) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.makeAdmin("alice")
        let cursor = try alice.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        let query = path == "/v1/sync" ? "cursor=\(cursor)&wait=60" : "after=\(Int64.max)&wait=60"
        let client = try RawClient(port: server.port)
        client.sendRequest("GET", "\(path)?\(query)", headers: ["Natter-Presence: away"], token: alice.token)
        try server.untilWaiting(1)
        let store = server.store
        #expect(store.state.withLock { $0.accounts.values.allSatisfy { $0.waiting == 0 } })
    }

    @Test(
        "an admin who follows the log is told when they are one no more",
        arguments: [AccountChange(isDisabled: true), AccountChange(isAdmin: false)])
    func demoted(change: AccountChange) throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        try server.makeAdmin("alice")
        let waiting = try Asking(
            server, token: alice.token, "/v1/admin/log", ["after": "\(Int64.max)", "wait": "60"])
        try server.untilWaiting(1)
        let store = server.store
        _ = try waitFor { store.change("alice", change, by: "operator", asking: nil, $0) }.get()
        #expect(
            try waiting.answer().outcome == (change.isDisabled == true ? "401 unauthorized" : "403 forbidden"))
    }

    @Test("devices that wait at the same place get the same answer, and other accounts their own")
    func samePlace() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let cursor = try bob.get("/v1/sync", ["cursor": "now"]).header("Natter-Cursor") ?? ""
        func ask(_ client: Client) throws -> Asking {
            try Asking(server, token: client.token, "/v1/sync", ["cursor": cursor, "wait": "60"])
        }
        let (first, second, own) = (try ask(bob), try ask(bob), try ask(alice))
        try server.untilWaiting(3)
        _ = try alice.say("hello")
        let lines = try first.answer().lines
        #expect(lines.map { $0["type"] } == ["conversation", "message", "end"])
        #expect(lines.first?["unread"] == 1)
        #expect(try second.answer().lines == lines)
        #expect(try own.answer().lines.first?["unread"] == 0)
        // An answer is not kept for longer than it is true.
        _ = try bob.send(.put, "/v1/conversations/general/read", body: Array("{\"seq\":1}".utf8))
        let later = try ask(bob).answer().lines
        #expect(later.map { $0["type"] } == ["read", "conversation", "message", "end"])
        #expect(later.dropFirst().first?["unread"] == 0)
    }

    @Test(
        "the time to wait is a number of seconds from 0; above 60 it counts as 60",
        arguments: [
            ("0", "200"), ("", "200"), ("-1", "400 bad_request"), ("x", "400 bad_request"), ("1.5", "400 bad_request"),
            ("1s", "400 bad_request"), ("61", "200"), ("99999999999999999999", "200"),
        ])
    func form(wait: String, outcome: String) throws {
        let alice = try TestServer().account("alice")
        _ = try alice.say("one")
        #expect(try alice.get("/v1/sync", ["wait": wait]).outcome == outcome)
        #expect(try alice.get(WaitTests.page, ["wait": wait, "after": "0"]).outcome == outcome)
    }

    @Test("a stopping server answers waiting requests")
    func stopping() throws {
        let server = try TestServer(usesSockets: true)
        let alice = try server.account("alice")
        let waiting = try Asking(server, token: alice.token, WaitTests.page, ["after": "0", "wait": "60"])
        try server.untilWaiting(1)
        server.stop()
        #expect(try waiting.answer().decode(MessageList.self).messages.isEmpty)
    }
}
