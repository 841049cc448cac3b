import NatterWire
import ServerSupport
import Testing
import TestSupport

@Suite("search")
struct SearchCommandTests {
    @Test("words, phrases, beginnings and negation, newest first, with the conversation")
    func search() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        _ = (alice("send", "the disk is full"), bob("send", "Full disk ЁЛКА"), alice("pm", "me", "full moon"))
        #expect(alice("sync").code == 0)
        func found(_ words: String...) -> [Substring] { alice.run(["search"] + words).lines.map { $0.dropFirst(25) } }
        #expect(
            found("full") == [
                "@alice alice: full moon", "general bob: Full disk ЁЛКА", "general alice: the disk is full",
            ])
        #expect(found("full", "-moon", "-disk") == [])
        #expect(found("full", "-the") == ["@alice alice: full moon", "general bob: Full disk ЁЛКА"])
        #expect(found("\"disk is\"") == ["general alice: the disk is full"])
        #expect(found("елк*") == ["general bob: Full disk ЁЛКА"])
        #expect(found("full", "-c", "@me") == ["@alice alice: full moon"])
        #expect(found("full", "--from", "bob", "-n", "5") == ["general bob: Full disk ЁЛКА"])
        #expect(found("full", "-n", "1") == ["@alice alice: full moon"])
        #expect(found("full", "--until", "-1h") == [])
    }

    @Test("its codes")
    func codes() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("search", "x").code == 69)
        #expect(alice("sync").code == 0)
        #expect(alice("search", "x").code == 1)
        #expect(alice("search", "-x").code == 64)
        #expect(alice("search").code == 64)
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
        let server = try TestServer()
        let alice = try server.user("alice")
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

@Suite("sync")
struct SyncCommandTests {
    @Test("prints nothing, says by its code whether there was news, and knows the names")
    func sync() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        #expect(alice("sync") == .silent)
        #expect(alice("sync", "--exit-code").code == 1)
        _ = bob("pm", "alice", "hello")
        #expect(alice("sync", "--exit-code", "general").code == 1)
        _ = bob("pm", "alice", "again")
        #expect(alice("sync", "--exit-code", "@bob", "general") == .silent)
        #expect(alice("sync", "@nobody").code == 67)
        _ = bob("send", "x")
        #expect(alice("sync", "--json").output.contains(#""head":1"#))
    }

    @Test("--wait waits for news, and no longer than it says")
    func wait() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        #expect(alice("sync").code == 0)
        #expect(alice("sync", "--wait", "0.2", "--exit-code").code == 1)
    }

    @Test("many commands at once on one home lose nothing")
    func manyAtOnce() async throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        await withTaskGroup(of: Int32.self) { group in
            for number in 0..<16 {
                group.addTask { alice("send", "message \(number)").code }
                group.addTask { alice("log", "-n", "3").code }
            }
            for await code in group { #expect(code == 0) }
        }
        #expect(try Set(alice.texts("log")) == Set((0..<16).map { "message \($0)" }))
    }
}
