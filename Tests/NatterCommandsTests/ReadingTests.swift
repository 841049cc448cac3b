import NatterProtocol
import ServerSupport
import SystemSupport
import Testing
import TestSupport

@Suite("search")
struct SearchCommandTests {
    @Test("its codes")
    func codes() throws {
        let (server, alice) = try TestServer.withAlice()
        #expect(alice("search", "x", "--offline").code == 69)
        #expect(alice("search", "x") == Outcome(code: 1, output: "", errors: ""))
        for words in [["-x"], ["-x", "-y"], [], [""], ["  "], ["x", "-n", "y"], ["x", "--since", "soon"]] {
            let outcome = alice.run(["search"] + words)
            #expect(outcome.code == 64 && outcome.bytes.isEmpty, "\(words): \(outcome)")
        }
        #expect(alice("search", "x", "-c", "@nobody").code == 67)
        server.stop()
        #expect(alice("search", "x", "--offline") == Outcome(code: 1, output: "", errors: ""))
    }

    @Test("conditions of a query narrow it as the options do, with times as people write them")
    func conditions() throws {
        let (server, alice) = try TestServer.withAlice()
        let bob = try server.user("bob")
        #expect(alice("group", "create", "ops").code == 0 && alice("group", "add", "ops", "bob").code == 0)
        for text in ["disk one", "see https://disk.example/", "café"] { #expect(alice("send", text).code == 0) }
        #expect(bob("send", "-c", "ops", "disk two").code == 0)
        #expect(bob("pm", "alice", "disk three").code == 0)
        func found(_ words: String...) -> [String] {
            alice.run(["search"] + words).lines.map { String($0.dropFirst(25).prefix { $0 != " " }) }
        }
        #expect(found("disk") == ["@bob", "ops", "general", "general"])
        #expect(found("disk", "from:BOB") == ["@bob", "ops"] && found("disk", "-from:bob").count == 2)
        #expect(found("disk", "from:me", "-has:link") == ["general"] && found("has:link") == ["general"])
        #expect(found("in:ops") == ["ops"] && found("disk", "in:#OPS", "OR", "in:@bob") == ["@bob", "ops"])
        #expect(found("disk", "-in:general", "-c", "ops") == ["ops"] && found("disk", "in:ops", "-c", "@bob") == [])
        #expect(found("two", "OR", "three", "disk") == ["@bob", "ops"] && found("cafe", "OR", "two").count == 2)
        #expect(found("from:bob", "after:yesterday").count == 2 && found("from:bob", "before:yesterday") == [])
        #expect(found("from:bob -disk") == [] && found("\"from:bob\"") == [] && found("disk", "has:file") == [])
        for words in [["x", "OR", "-y"], ["x", "after:someday"], ["has:cheese"]] {
            #expect(alice.run(["search"] + words).code == 64, "\(words)")
        }
    }

    @Test("a name that nobody has, and a time that no message has, are told where nothing is found")
    func explains() throws {
        let (server, alice) = try TestServer.withAlice()
        let bob = try server.user("robert")
        #expect(bob("send", "hello").code == 0)
        for words in [
            ["search", "hello", "from:rober"], ["search", "hello", "--from", "rober"], ["log", "--from", "rober"],
        ] {
            for more in [[], ["-n", "3"], ["--offline"]] {
                let outcome = alice.run(words + more)
                #expect(outcome.code == (words[0] == "log" ? 0 : 1) && outcome.bytes.isEmpty)
                #expect(
                    outcome.errors == "natter: no user is named 'rober'; the most similar is 'robert'\n",
                    "\(words + more)")
            }
        }
        for words in [["search", "in:genral", "hello"], ["search", "-in:genral", "hello"], ["log", "genral"]] {
            let outcome = alice.run(words)
            #expect(outcome.code == 67 && outcome.errors.contains("'general'"), "\(outcome)")
        }
        for words in [["log", "--since", "9999-01-01"], ["search", "hello", "after:9999-01-01"]] {
            #expect(alice.run(words).errors.contains("in the future"), "\(words)")
        }
        let between = alice("log", "--since", "today", "--until", "yesterday")
        #expect(between.code == 0 && between.errors.contains("no message is both from"), "\(between)")
        // What somebody may well ask for is answered without a word.
        for words in [
            ["search", "nowhere", "from:robert"], ["log", "--from", "alice"], ["log", "--until", "2000-01-01"],
        ] {
            #expect(alice.run(words).errors == "", "\(words)")
        }
    }

    @Test("every command that reads syncs first; while the server can't answer, it says how old the replica is")
    func stale() throws {
        let (server, alice) = try TestServer.withAlice()
        let bob = try server.user("bob")
        #expect(bob("send", "penguin").code == 0)
        #expect(alice("search", "penguin").lines.count == 1)
        #expect(alice("users").lines.count == 2)
        server.stop()
        let port = try #require(UInt16(alice.server.split(separator: ":").last ?? ""))
        let reading = [
            ["search", "penguin"], ["log"], ["log", "-n", "1"], ["ls"], ["show", "general", "1"],
            ["export", "general"],
            ["users"], ["verify"],
        ]
        func expectReplica(_ reason: String) {
            for words in reading {
                let outcome = alice.run(words)
                #expect(outcome.code == 0 && outcome.lines.isEmpty == (words == ["verify"]), "\(words) \(outcome)")
                #expect(outcome.errors.hasPrefix("natter: ") && outcome.errors.contains(reason), "\(words) \(outcome)")
            }
        }
        expectReplica("connection refused")
        // Given a server whose database is away
        let away = try ScriptedServer(port: port) { peer, _ in
            _ = peer.readRequest()
            peer.answer(
                #"{"error":{"code":"busy","message":"the store can't be reached"}}"#, status: "503 Busy",
                headers: "Connection: close\r\nNatter-Store: \(server.storeID)\r\n")
        }
        expectReplica("the store can't be reached")
        #expect(away.requests.count >= reading.count)
        // And a change is refused as ever
        #expect(alice("send", "x").code == 75)
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
