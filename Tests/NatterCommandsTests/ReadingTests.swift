import NatterProtocol
import ServerSupport
import Testing
import TestSupport

@Suite("search")
struct SearchCommandTests {
    @Test("its codes")
    func codes() throws {
        let (server, alice) = try TestServer.withAlice()
        #expect(alice("search", "x").code == 69)
        #expect(alice("sync").code == 0)
        #expect(alice("search", "x").code == 1)
        for words in [["-x"], ["-x", "-y"], [], [""], ["  "], ["x", "-n", "y"], ["x", "--since", "soon"]] {
            let outcome = alice.run(["search"] + words)
            #expect(outcome.code == 64 && outcome.bytes.isEmpty, "\(words): \(outcome)")
        }
        #expect(alice("search", "x", "-c", "@nobody").code == 67)
        server.stop()
        // It never asks the server
        #expect(alice("search", "x") == Outcome(code: 1, output: "", errors: ""))
    }
}

@Suite("users")
struct UsersCommandTests {
    @Test("names, a part of them, a glob")
    func users() throws {
        let (server, alice) = try TestServer.withAlice()
        _ = (try server.user("Bob"), try server.user("Маша"))
        func names(_ words: String...) -> [String] {
            alice.run(["users"] + words).lines.map { String($0.prefix { $0 != " " }) }
        }
        #expect(names().sorted() == ["Bob", "alice", "Маша"])
        #expect(names("BO") == ["Bob"])
        #expect(names("маш*") == ["Маша"])
        #expect(names("--online").contains("alice"))
        #expect(names("--recent").sorted() == names().sorted())
        #expect(alice("users", "nobody") == Outcome(code: 1, output: "", errors: ""))
        let user: UserObject = try WireJSON.decode(from: Array(alice("users", "bob", "--json").output.utf8))
        #expect(user.name == "Bob")
    }

    @Test("name, whether online, last seen, and the same order from the server and from the saved list")
    func lines() throws {
        let (server, alice) = try TestServer.withAlice()
        for name in ["Zoe", "adam", "Bert", "Ёлка", "яна"] { _ = try server.user(name) }
        let found = alice("users")
        #expect(found.code == 0 && found.errors.isEmpty)
        for line in found.lines {
            #expect(line.wholeMatch(of: /\w+ +(online|offline) +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/) != nil)
        }
        let names = found.lines.map { String($0.prefix { $0 != " " }) }
        #expect(names == ["adam", "alice", "Bert", "Zoe", "яна", "Ёлка"])
        #expect(alice("users", "--offline").lines.map { String($0.prefix { $0 != " " }) } == names)
        let objects = alice("users", "--json").lines
        let users: [UserObject] = try objects.map { try WireJSON.decode(from: Array($0.utf8)) }
        #expect(users.map(\.name) == names && users[1].online)
        #expect(objects.allSatisfy { $0.contains("\"last_seen\":") && $0.contains("\"online\":") })
    }
}

@Suite("users without the server")
struct UsersOfflineTests {
    @Test("as last fetched, with a note of the age; 69 if they never were")
    func offline() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        #expect(alice("users", "--offline").code == 69)
        #expect(alice("users").lines.count == 2)
        #expect(bob("sync").code == 0)
        server.stop()
        for person in [alice, bob] {
            for words in [["users"], ["users", "--offline"]] {
                let outcome = person.run(words)
                #expect(outcome.code == 0 && outcome.lines.count == 2)
                #expect(outcome.errors.contains("as of"))
            }
        }
        let stranger = try Person(server: server.url)
        #expect(stranger("users", "--offline").code == 77)
    }
}
