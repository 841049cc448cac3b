internal import NatterModel
internal import NatterProtocol
internal import ServerSupport
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("users")
struct UserTests {
    private func names(_ answer: Answer) throws -> [String] { try answer.decode(UserList.self).items.map(\.name) }

    @Test("a user has a name, is online or not, and was seen at a time")
    func object() throws {
        let clock = TestClock(Timestamp(milliseconds: 1_795_159_445_123))
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        let answer = try alice.get("/v1/users")
        #expect(answer.status == 200)
        let list = try answer.json
        #expect(list.keys.isSuperset(of: ["users", "more"]))
        #expect(
            list["users"] == [
                ["name": "alice", "online": true, "last_seen": "2026-11-20T07:24:05.123Z", "display": .null]
            ])
    }

    @Test("a user is online for sixty seconds after a request")
    func online() throws {
        let clock = TestClock()
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        func isOnline(_ name: String) throws -> Bool {
            let users = try alice.get("/v1/users").decode(UserList.self).items
            return users.first { $0.name == name }?.online ?? false
        }
        _ = try bob.get("/v1/whoami")
        clock.advance(milliseconds: 700)
        _ = try bob.get("/v1/whoami")
        #expect(try isOnline("bob"))
        clock.advance(milliseconds: 59_999)
        #expect(try isOnline("bob"))
        clock.advance(milliseconds: 1)
        #expect(try !isOnline("bob"))
        #expect(try isOnline("alice"))
        #expect(try names(alice.get("/v1/users", ["online": "1"])) == ["alice"])
        // Any request of theirs makes them so again
        _ = try bob.say("here")
        #expect(try names(alice.get("/v1/users", ["online": "1"])) == ["alice", "bob"])
        // but not a failed one in their name
        clock.advance(milliseconds: 120_000)
        _ = try server.stranger().post("/v1/login", ["name": "bob", "password": "wrong"])
        #expect(try !isOnline("bob"))
    }

    @Test("a user with a waiting request is online, however old it is")
    func waiting() throws {
        let clock = TestClock()
        let server = try TestServer(clock: clock)
        let alice = try server.account("alice")
        let bob = try server.account("bob")
        let connection = try RawClient(port: server.port)
        connection.sendRequest("GET", "/v1/sync?wait=60", token: bob.token)
        try server.untilWaiting(1)
        clock.advance(milliseconds: 300_000)
        #expect(try names(alice.get("/v1/users", ["online": "1"])) == ["alice", "bob"])
        _ = try alice.say("news")
        #expect(try connection.answer().status == 200)
        #expect(try names(alice.get("/v1/users", ["online": "1"])) == ["alice", "bob"])
        clock.advance(milliseconds: 60_000)
        #expect(try names(alice.get("/v1/users", ["online": "1"])) == ["alice"])
    }

    @Test("nobody sees when exactly someone who waits gets news")
    func moments() throws {
        let clock = TestClock(Timestamp(milliseconds: 1_795_159_445_123))
        let server = try TestServer(clock: clock)
        let (alice, bob) = (try server.account("alice"), try server.account("bob"))
        func seen() throws -> String? {
            try alice.get("/v1/users", ["q": "bob"]).decode(UserList.self).items.first?.lastSeen
        }
        #expect(try seen() == "2026-11-20T07:24:05.123Z")
        let connection = try RawClient(port: server.port)
        connection.sendRequest("GET", "/v1/sync?wait=60", token: bob.token)
        try server.untilWaiting(1)
        clock.advance(milliseconds: 3_000)
        #expect(try seen() == "2026-11-20T07:24:08.123Z")
        clock.advance(milliseconds: 4_000)
        _ = try alice.say("news")
        #expect(try connection.answer().status == 200)
        clock.advance(milliseconds: 59_999)
        #expect(try seen() == "2026-11-20T07:25:12.122Z")
        // Later it shows when that was.
        clock.advance(milliseconds: 1)
        #expect(try seen() == "2026-11-20T07:24:12.123Z")
    }

    @Test("'last seen' survives a restart")
    func lastSeen() throws {
        let clock = TestClock()
        let directory = try TemporaryDirectory()
        let first = try TestServer(directory: directory, clock: clock)
        let alice = try first.account("alice")
        let token = alice.token
        clock.advance(milliseconds: 30_000)
        _ = try alice.get("/v1/whoami")
        let seen = clock.now().rfc3339
        first.stop()
        clock.advance(milliseconds: 3_600_000)
        let second = try TestServer(directory: directory, clock: clock)
        let bob = try second.account("bob")
        let users = try bob.get("/v1/users", ["q": "alice"]).json["users"]
        #expect(users == [["name": "alice", "online": false, "last_seen": .string(seen), "display": .null]])
        #expect(try Client(second, token: token).get("/v1/whoami").status == 200)
    }

    @Test(
        "a pattern is a part of the name, without regard to case or form",
        arguments: [
            ("", ["Alice", "bob", "Ren\u{E9}", "xalicex", "Маша"]), ("alice", ["Alice", "xalicex"]),
            ("ALI", ["Alice", "xalicex"]),
            ("b", ["bob"]), ("маш", ["Маша"]), ("МАША", ["Маша"]), ("ren\u{E9}", ["Ren\u{E9}"]),
            ("RENE\u{301}", ["Ren\u{E9}"]),
            ("nobody", []), ("%", []), ("_", []), ("b*", ["bob"]), ("?OB", ["bob"]),
            ("*e*e", []), ("[ab]*", ["Alice", "bob"]), (" ", []),
        ])
    func pattern(query: String, expected: [String]) throws {
        let server = try TestServer()
        let client = try server.account("bob")
        for name in ["Alice", "xalicex", "Маша", "Ren\u{E9}"] { try server.account(name) }
        #expect(try Set(names(client.get("/v1/users", ["q": query]))) == Set(expected))
    }

    @Test("online is 1 or 0", arguments: [("1", "200"), ("0", "200"), ("true", "200"), ("yes", "400 bad_request")])
    func flag(value: String, outcome: String) throws {
        let server = try TestServer()
        #expect(try server.account("alice").get("/v1/users", ["online": value]).outcome == outcome)
    }
}
