internal import Testing
internal import TestSupport

@Suite("users")
struct UsersTests {
    private func names(_ outcome: Outcome) -> [String] {
        outcome.lines.map { String($0.prefix { $0 != " " }) }
    }

    @Test("name, whether online, last seen; by name")
    func plain() throws {
        let world = try World()
        let outcome = try world.alice("users")
        #expect(outcome.code == 0 && outcome.errors.isEmpty)
        #expect(names(outcome) == ["alice", "bob", "carol"])
        for line in outcome.lines {
            #expect(line.wholeMatch(of: /\w+ +(online|offline) +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
        }
        let users = try world.alice("users", "--json").objects()
        #expect(users.map { $0[string: "name"] } == ["alice", "bob", "carol"])
        #expect(users.allSatisfy { $0.names == ["last_seen", "name", "online"] })
        #expect(users.first?[bool: "online"] == true)
    }

    @Test("a user is online while a request of theirs waits; --online leaves the others out")
    func online() throws {
        let world = try World()
        let waiting = try world.bob.start(["log", "-f"])
        try world.alice.sends("x")
        _ = try waiting.line()
        // Carol has registered a minute ago, or less, and then she is still online.
        #expect(names(try world.alice("users", "--online")).filter { $0 != "carol" } == ["alice", "bob"])
        #expect(names(try world.alice("users", "--recent")).count == 3)
        #expect(names(try world.alice("users", "--recent")).last == "carol")
    }

    @Test("the saved list has the order of the server's")
    func order() throws {
        let world = try World()
        for name in ["Zoe", "adam", "Bert", "Ёлка", "яна"] {
            try expect(world.person(name).enter("register", name))
        }
        let online = names(try world.alice("users"))
        #expect(online == ["adam", "alice", "Bert", "bob", "carol", "Zoe", "яна", "Ёлка"])
        #expect(names(try world.alice("users", "--offline")) == online)
    }
}
