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

    @Test(
        "PATTERN is a case-insensitive substring or a glob; 1 if nobody matches",
        arguments: [
            ("a", "alice carol"), ("LIC", "alice"), ("a*", "alice"), ("?ob", "bob"), ("*o*", "bob carol"),
            ("[bc]*", "bob carol"), ("x", ""), ("a?", ""), ("*", "alice bob carol"),
        ])
    func pattern(pattern: String, expected: String) throws {
        let world = try UsersTests.shared.get()
        for words in [["users", pattern], ["users", "--offline", pattern]] {
            let outcome = try world.alice.run(words)
            #expect(names(outcome).joined(separator: " ") == expected)
            #expect(outcome.code == (expected.isEmpty ? 1 : 0))
        }
    }

    private static let shared = Result { () throws -> World in
        let world = try World()
        _ = try world.alice("users")
        return world
    }

    @Test("the saved list has the order of the server's")
    func order() throws {
        let world = try World()
        for name in ["Zoe", "adam", "Bert", "Ёлка", "яна"] {
            let outcome = try world.person(name).run(
                ["register", name, "--password-stdin"], input: .bytes(Array("\(World.password)\n".utf8)))
            #expect(outcome.code == 0, "\(outcome)")
        }
        let online = names(try world.alice("users"))
        #expect(online == ["adam", "alice", "Bert", "bob", "carol", "Zoe", "яна", "Ёлка"])
        #expect(names(try world.alice("users", "--offline")) == online)
    }

    @Test(
        "--offline or an unreachable server: the last fetched list, with a note of its age",
        arguments: ["users", "sync"])
    func offline(fetched command: String) throws {
        let world = try World()
        #expect(try world.alice(command).code == 0)
        world.stopServing()
        for words in [["users"], ["users", "--offline"]] {
            let outcome = try world.alice.run(words)
            #expect(outcome.code == 0)
            #expect(names(outcome) == ["alice", "bob", "carol"])
            #expect(isOneLine(outcome.errors) && outcome.errors.contains("as of"))
        }
        let never = try world.bob("users", "--offline")
        #expect(never.code == 69 && isOneLine(never.errors))
    }
}
