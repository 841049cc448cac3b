import Glibc
import NatterSystem
import ServerSupport
import SystemSupport
import Testing
import TestSupport

@Suite("sessions and what a home stores")
struct SessionTests {
    @Test("login takes the place of the former session, and a wrong password changes nothing")
    func login() throws {
        let server = try TestServer()
        let person = try Person(server: server.url)
        let password = try person.directory.write("pw", "one good password")
        let wrong = try person.directory.write("wrong", "x")
        #expect(person("register", "alice", "--password-file", password).code == 0)
        let first = Files.text("\(person.home)/profiles/default/token")
        #expect(person("login", "alice", "--password-file", wrong).code == 77)
        #expect(Files.text("\(person.home)/profiles/default/token") == first)
        #expect(person("login", "alice", "--password-file", password, "--json").output == "{\"name\":\"alice\"}\n")
        // The former token is of no use any more
        let old = try person.directory.write("old-token", first ?? "")
        #expect(person("whoami", "--token-file", old).code == 77)
        #expect(person("whoami").code == 0)
        // A name counts in any case, and one that nobody has is a wrong password
        let elsewhere = try Person(server: server.url)
        #expect(elsewhere("login", "nobody", "--password-file", password).code == 77)
        #expect(elsewhere("login", "Alice", "--password-file", password).code == 0)
        #expect(elsewhere("whoami").output.hasPrefix("alice  "))
        #expect(person("logout", "--all").code == 0 && elsewhere("whoami").code == 77)
    }

    @Test("logout ends the session on both sides")
    func logout() throws {
        let (server, alice) = try TestServer.withAlice()
        let token = try alice.directory.write("copy", Files.text("\(alice.home)/profiles/default/token") ?? "")
        #expect(alice("logout") == .silent)
        #expect(alice("logout").code == 77)
        let tooLate = alice("logout", "--forget")
        #expect(tooLate.code == 77 && tooLate.errors.contains("'\(alice.home)/replicas'"), "\(tooLate)")
        #expect(alice("whoami", "--token-file", token).code == 77)
        // The server stays known
        #expect(Files.text("\(alice.home)/profiles/default/account") == "server=\(server.url)\n")
    }

    @Test("the replica stays for the next login, unless it is to be forgotten")
    func forget() throws {
        let server = try TestServer()
        let person = try Person(server: server.url)
        let password = try person.directory.write("pw", "one good password")
        #expect(person("register", "alice", "--password-file", password).code == 0)
        _ = (person("send", "x"), person("sync"))
        #expect(person("logout").code == 0)
        #expect(person("login", "alice", "--password-file", password).code == 0)
        #expect(try person.texts("log", "--offline") == ["x"])
        #expect(person("logout", "--forget").code == 0)
        #expect(try PosixDisk().list("\(person.home)/replicas") == [])
        #expect(person("login", "alice", "--password-file", password).code == 0)
        #expect(person("log", "--offline").code == 69)
        #expect(try person.texts("log") == ["x"])
    }

    @Test("without the server, logout forgets the token and says that the session lives on")
    func logoutUnreached() throws {
        let (server, alice) = try TestServer.withAlice()
        server.stop()
        let outcome = alice("logout")
        #expect(outcome.code == 69)
        #expect(outcome.errors.hasPrefix("natter: logged out here, but the session was not ended on the server: "))
        #expect(alice("whoami", "--offline").code == 77)
    }

    @Test("a server that was set up anew at the same address keeps nobody logged in")
    func logoutFromAnother() throws {
        let (server, alice) = try TestServer.withAlice()
        server.stop()
        let port = try #require(UInt16(alice.server.split(separator: ":").last ?? ""))
        let anew = try ScriptedServer(port: port) { peer, _ in
            _ = peer.readRequest()
            peer.answer(
                #"{"error":{"code":"unauthorized","message":"x"}}"#, status: "401 Unauthorized",
                headers: "Connection: close\r\nNatter-Store: 0123456789abcdef0123456789abcdef\r\n")
        }
        let outcome = alice("logout")
        #expect(outcome.code == 77 && outcome.errors.hasPrefix("natter: logged out here, but "), "\(outcome)")
        #expect(outcome.errors.contains("not ended on the server") && outcome.errors.contains("another server"))
        #expect(anew.requests.count == 1 && alice("whoami", "--offline").code == 77)
    }

    @Test(
        "requests without a login are refused",
        arguments: [["whoami"], ["send", "x"], ["pm", "bob", "x"], ["log"], ["users"], ["search", "x"], ["sync"]])
    func notLoggedIn(words: [String]) throws {
        let person = try Person(server: "http://127.0.0.1:9")
        let outcome = person.run(words)
        #expect(outcome.code == 77)
        #expect(outcome.errors.hasPrefix("natter: not logged in; use 'natter login NAME'"))
        #expect(outcome.output == "")
        let json = person.run(words + ["--json"])
        #expect(json.errors.hasPrefix(#"{"error":{"code":"not_logged_in","exit":77,"message":"#))
    }

    @Test("an empty file of a password, and one of certificates that is not PEM, are 65 and named")
    func badFiles() throws {
        let server = try TestServer()
        let person = try Person(server: server.url)
        let empty = try person.directory.write("pw0", "")
        let noPassword = person("register", "alice", "--password-file", empty)
        #expect(noPassword.code == 65 && noPassword.errors == "natter: no password came from '\(empty)'\n")
        let password = try person.directory.write("pw", "one good password")
        let noPEM = person(
            "login", "alice", "--password-file", password, "--ca-file", password, "--server", "https://127.0.0.1:9")
        #expect(noPEM.code == 65 && noPEM.errors.contains("'\(password)'"), "\(noPEM)")
    }

    @Test("login at another server ends the former session at its own; a note says if that is not possible")
    func otherServer() throws {
        let (server, other) = (try TestServer(), try TestServer())
        let alice = try server.user("alice")
        let password = try alice.directory.write("pw", "one good password")
        let token = try alice.directory.write(
            "token", Files.text("\(alice.home)/profiles/default/token") ?? "")
        #expect(alice("whoami", "--token-file", token).code == 0)
        let moved = alice("register", "alice", "--password-file", password, "--server", other.url)
        #expect(moved == .silent, "\(moved)")
        #expect(alice("whoami", "--token-file", token).code == 77)
        #expect(alice("whoami", "--server", other.url).code == 0)
        // Nothing answers at the server of this session.
        let account = Files.text("\(alice.home)/profiles/default/account") ?? ""
        try alice.directory.write(
            "home/profiles/default/account", account.replacing(other.url, with: "http://127.0.0.1:9"))
        let left = alice("login", "alice", "--password-file", password, "--server", other.url)
        #expect(left.code == 0 && left.errors.contains("the former session at 'http://127.0.0.1:9' could not be ended"))
    }

    @Test("a token that others can read, and a link in its place, are refused")
    func unsafe() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let token = "\(alice.home)/profiles/default/token"
        chmod(token, 0o640)
        for words in [["whoami"], ["send", "x"], ["log"], ["sync"], ["users"]] {
            #expect(alice.run(words).code == 77, "\(words)")
        }
        chmod(token, 0o600)
        #expect(alice("send", "x").code == 0)
        rename(token, token + ".real")
        symlink(token + ".real", token)
        let outcome = alice("send", "x")
        #expect(outcome.code == 77)
        #expect(outcome.errors.contains("is a symbolic link"))
    }

    @Test("secrets do not go over plain HTTP to another host")
    func insecure() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        let password = try alice.directory.write("pw", "one good password")
        for words in [
            ["send", "x"], ["login", "alice", "--password-file", password],
            ["register", "x", "--password-file", password],
            ["sync"], ["whoami"], ["users"],
        ] {
            let outcome = alice.run(words + ["--server", "http://192.0.2.1"])
            #expect(outcome.code == 77)
            #expect(outcome.errors.contains("--insecure"))
        }
    }

    @Test("a bad address is usage on the command line and configuration elsewhere")
    func address() throws {
        let server = try TestServer()
        let alice = try server.user("alice")
        for address in ["nonsense", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"] {
            #expect(alice("send", "x", "--server", address).code == 64, "\(address)")
            #expect(alice.run(["send", "x"], environment: ["NATTER_SERVER": address]).code == 78, "\(address)")
        }
    }

    @Test("a token from a file needs no profile, and whose it is is remembered for offline use")
    func tokenFile() throws {
        let (server, alice) = try TestServer.withAlice()
        let robot = try Person(server: server.url)
        let token = try robot.directory.write("token", Files.text("\(alice.home)/profiles/default/token") ?? "")
        #expect(robot("send", "from a robot", "--token-file", token).code == 0)
        #expect(robot("log", "--token-file", token).output.hasSuffix("alice: from a robot\n"))
        #expect(robot("log", "--token-file", token, "--offline").output.hasSuffix("alice: from a robot\n"))
        #expect(robot.run(["whoami"], environment: ["NATTER_TOKEN_FILE": token]).output.hasPrefix("alice "))
        #expect(robot("log").code == 77)
    }

    @Test("a server's lists are refused before they fill the memory", arguments: ["name", "page"])
    func lists(what: String) throws {
        // Given a name of 1 MiB, or pages of 8 MiB without end
        let server = try ScriptedServer { peer, _ in
            var number = 0
            while peer.readRequest() != nil {
                number += 1
                let name = what == "name" ? String(repeating: "x", count: 1 << 20) : "u"
                let space = what == "page" ? String(repeating: " ", count: 8 << 20) : ""
                let user = #"{"name":"\#(name)","online":false,"last_seen":null}"#
                let list = #""users":[\#(user)],\#(space)"more":\#(what == "page"),"next":"\#(number)""#
                // It is an answer to 'whoami', too
                let answer =
                    #""name":"alice","scope":"all","admin":false,"created":"2026-11-20T07:24:05.123Z","expires":null"#
                peer.answer("{\(list),\(answer)}", headers: "Natter-Store: 0123456789abcdef0123456789abcdef\r\n")
            }
        }
        let person = try Person(server: server.url)
        let token = try person.directory.write("token", String(repeating: "A", count: 43) + "\n")
        let outcome = person("users", "--token-file", token)
        #expect(outcome.code == 76 && outcome.errors.contains(what == "page" ? "does not end" : "'name'"), "\(outcome)")
        #expect(server.requests.count < 12)
    }

    @Test("a read mark that cannot be, from a server, is no mark")
    func impossibleMark() throws {
        let server = try TestServer()
        let (alice, bob) = (try server.user("alice"), try server.user("bob"))
        #expect(bob("send", "hello") == .silent)
        #expect(alice("sync").code == 0)
        let strange = try ScriptedServer { [id = server.storeID] peer, _ in
            peer.readRequest()
            peer.answer(#"{"read":18446744073709551615}"#, headers: "Connection: close\r\nNatter-Store: \(id)\r\n")
        }
        let outcome = alice("mark", "general", "1", "--server", strange.url)
        #expect(outcome.code == 76 && outcome.errors.contains("lacks a valid 'read'"), "\(outcome)")
        #expect(alice("log", "--unread", "--offline", "--format", "%m").lines == ["hello"])
    }

    @Test("a server's answer adds no lines to the files of a profile")
    func lines() throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            let token = String(repeating: "A", count: 43)
            let more = "\\nserver=http://127.0.0.1:1"
            peer.answer(
                """
                {"name":"alice\(more)","token":"\(token)","admin":false,"scope":"all\(more)",
                "created":"2026-11-20T07:24:05.123Z","expires":null}
                """, headers: "Connection: close\r\nNatter-Store: 0123456789abcdef0123456789abcdef\r\n")
        }
        let person = try Person(server: server.url)
        let password = try person.directory.write("pw", "one good password")
        #expect(person("login", "alice", "--password-file", password).code == 76)
        #expect(Files.text("\(person.home)/profiles/default/account")?.contains("127.0.0.1:1\n") != true)
        let token = try person.directory.write("token", String(repeating: "A", count: 43) + "\n")
        #expect(person("sync", "--token-file", token).code == 76)
        // Only the store of the answer and the address are kept, without the name and the scope.
        let kept = Files.below("\(person.home)/tokens").compactMap { Files.text($0) }
        #expect(kept == ["server=\(server.url)\nstore=0123456789abcdef0123456789abcdef\n"])
    }
}
