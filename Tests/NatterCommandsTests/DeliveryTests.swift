import NatterProtocol
import ServerSupport
import SystemSupport
import Testing
import TestSupport

@Suite("a message is there once, whatever the connection does")
struct DeliveryTests {
    private static let message = """
        {"conversation":"general","conversation_id":"0123456789abcdef0123456789abcdef","seq":1,"cursor":"x",\
        "time":"2026-11-20T07:24:05.123Z","ts":1,"sender":"alice","text":"x"}
        """

    /// A server that reads a request of each connection and gives one of these answers, the last one to all that follow.
    /// An empty one is no answer.
    private func answering(
        _ answers: (status: String, body: String)..., headers more: String = ""
    ) throws -> ScriptedServer {
        try ScriptedServer { peer, number in
            peer.readRequest()
            let (status, body) = answers[min(number, answers.count) - 1]
            let headers = "Connection: close\r\nNatter-Store: 0123456789abcdef0123456789abcdef\r\n" + more
            if !status.isEmpty { peer.answer(body, status: status, headers: headers) }
        }
    }
    private let dropped = (status: "", body: "")

    private func person(_ server: ScriptedServer) throws -> Person {
        let person = try Person(server: server.url)
        try person.directory.write("token", String(repeating: "A", count: 43) + "\n")
        return person
    }

    @Test("a lost connection is met with the same id again")
    func lost() throws {
        let server = try answering(dropped, dropped, ("200 OK", DeliveryTests.message))
        let person = try person(server)
        let outcome = person("send", "a text", "--token-file", "\(person.directory.path)/token")
        #expect(outcome == .silent)
        let requests: [SendRequest] = try server.requests.map { request in
            try WireJSON.decode(from: Array((request.split(separator: "\r\n\r\n").last ?? "").utf8))
        }
        #expect(requests.count == 3 && requests[0].id != nil)
        #expect(Set(requests.map(\.id)).count == 1)
    }

    @Test("an outcome that stays unknown is 69 and names the id to repeat with")
    func unknown() throws {
        let server = try answering(dropped)
        let person = try person(server)
        let outcome = person(
            "send", "a text", "--id", "it's 7", "--timeout", "2", "--token-file", "\(person.directory.path)/token")
        #expect(outcome.code == 69)
        #expect(outcome.errors.contains(#"repeat it with --id 'it'\''s 7'"#))
        #expect(
            outcome.errors.contains(
                "the connection to '\(server.url)' broke: it was closed without an answer; "
                    + "its address may begin with 'https://'; repeat"))
        #expect(server.requests.count > 1)
    }

    @Test(
        "a change whose answer is lost may have been carried out: 69, and what shows it",
        arguments: [
            (["register", "alice"], "try 'natter login' before"), (["login", "alice"], "'natter session' then shows"),
            (["logout"], "may not have ended on the server: "), (["token", "create"], "look with 'natter token ls'"),
            (["session", "end", "1"], "look with 'natter session ls'"),
            (["group", "create", "ops"], "look with 'natter group ls' before"),
            (["group", "delete", "ops", "--yes"], "look with 'natter group ls' before"),
            (["group", "add", "ops", "bob"], "and 'natter group members'"),
            (["contact", "add", "bob"], "you can safely repeat it"),
            (["admin", "user", "disable", "bob"], "look with 'natter admin log --audit'"),
        ], [true, false])
    func lostChange(_ change: (words: [String], remedy: String), isSilent: Bool) throws {
        let server =
            isSilent
            ? try ScriptedServer { peer, _ in
                peer.readRequest()
                peer.waitForClose()
            } : try answering(dropped)
        let person = try person(server)
        let option = ["register", "login"].contains(change.words[0]) ? "--password-file" : "--token-file"
        let outcome = person.run(
            change.words + [option, "\(person.directory.path)/token", "--json", "--timeout", isSilent ? "2" : "30"])
        #expect(outcome.code == 69 && outcome.errors.contains(#""code":"outcome_unknown""#), "\(outcome)")
        #expect(outcome.errors.contains("the request may have been carried out or not; "), "\(outcome)")
        #expect(outcome.errors.contains(change.remedy), "\(outcome)")
        #expect(server.requests.count == 1)
    }

    @Test("a change that was not sent, and a question without an answer, have changed nothing")
    func notSent() throws {
        let server = try answering(dropped)
        let asking = try person(server)
        let refused = asking.with(server: "http://127.0.0.1:1")
        for (person, words) in [(asking, ["group", "ls"]), (refused, ["group", "create", "ops"])] {
            let outcome = person.run(words + ["--token-file", "\(person.directory.path)/token", "--json"])
            #expect(outcome.code == 69 && outcome.errors.contains(#""code":"not_reached""#), "\(outcome)")
        }
    }

    @Test("a server that does not say which store it has was sent no message, and send says nothing else")
    func notAsked() throws {
        let alice = try TestServer().user("alice")
        let other = try answering(dropped)
        let outcome = alice.with(server: other.url)("send", "a text", "--timeout", "2")
        #expect(outcome.code == 69)
        #expect(outcome.errors.hasPrefix("natter: the connection to '\(other.url)' broke: "), "\(outcome)")
        #expect(!other.requests.isEmpty && other.requests.allSatisfy { $0.hasPrefix("GET /healthz ") })
    }

    @Test(
        "answers of something else than natterd are 76",
        arguments: [("200 OK", "<html>"), ("404 Not Found", "<html>"), ("301 Moved Permanently", "")])
    func foreign(status: String, body: String) throws {
        let server = try answering((status, body))
        let person = try person(server)
        let outcome = person("whoami", "--token-file", "\(person.directory.path)/token")
        #expect(outcome.code == 76)
        #expect(outcome.errors.contains(server.url))
    }

    @Test(
        "a success that is no message has sent none", arguments: ["<html>", "{}", #"{"seq":"1"}"#, #"[{"seq":1}]"#])
    func nothing(body: String) throws {
        let server = try answering(("200 OK", body))
        let person = try person(server)
        let outcome = person("send", "a text", "--token-file", "\(person.directory.path)/token")
        #expect(outcome.code == 76)
        #expect(outcome.errors.contains(body.hasPrefix("[") ? "its answer is not a JSON object" : "its answer"))
    }

    @Test("a message with more in it than today's is one")
    func later() throws {
        let server = try answering(("200 OK", #"{"more":{"seq":"x"},"marks":[1],"seq":1}"#))
        let person = try person(server)
        #expect(person("send", "a text", "--token-file", "\(person.directory.path)/token") == .silent)
    }

    @Test(
        "a 429 of a proxy is 75, as natterd's own, and says when to try again",
        arguments: [("", "try again later"), ("Retry-After: 7\r\n", "try again in 7 s")])
    func limited(header: String, remedy: String) throws {
        let server = try answering(("429 Too Many Requests", "<html>slow down</html>"), headers: header)
        let person = try person(server)
        for words in [["send", "a text"], ["whoami"]] {
            let outcome = person.run(words + ["--token-file", "\(person.directory.path)/token"])
            #expect(outcome.code == 75, "\(outcome)")
            #expect(outcome.errors == "natter: a proxy answered 429 for '\(server.url)'; \(remedy)\n")
        }
    }

    @Test("a server that does not know the method is no natter server: 76")
    func notImplemented() throws {
        let server = try answering(("501 Unsupported method ('POST')", "<html>Error</html>"))
        let person = try person(server)
        for words in [["send", "a text"], ["whoami"]] {
            let outcome = person.run(words + ["--token-file", "\(person.directory.path)/token"])
            #expect(outcome.code == 76 && outcome.errors.contains("501"), "\(outcome)")
        }
    }

    @Test("a busy server is 75 and says when to try again, without a second attempt")
    func busy() throws {
        let server = try answering(("503 Busy", #"{"error":{"code":"busy","message":"too much to do"}}"#))
        let person = try person(server)
        let outcome = person("send", "a text", "--token-file", "\(person.directory.path)/token")
        #expect(outcome.code == 75)
        #expect(outcome.errors == "natter: too much to do; try again later\n")
        #expect(server.requests.count == 1)
    }
}
