import NatterWire
import Testing

@Suite("a message is there once, whatever the connection does")
struct DeliveryTests {
    private static let message = """
        {"conversation":"general","conversation_id":"0123456789abcdef0123456789abcdef","seq":1,"cursor":"x",\
        "time":"2026-11-20T07:24:05.123Z","ts":1,"sender":"alice","text":"x"}
        """

    private func person(_ server: UnsteadyServer) throws -> Person {
        let person = try Person(server: server.url)
        _ = try person.directory.write(String(repeating: "A", count: 43) + "\n", to: "token")
        return person
    }

    @Test("a lost connection is met with the same id again")
    func lost() throws {
        let server = try UnsteadyServer([.drop, .drop, .answer(status: "200 OK", body: DeliveryTests.message)])
        let person = try person(server)
        let outcome = person("send", "x", "--token-file", "\(person.directory.path)/token")
        #expect(outcome == Person.Outcome(code: 0, output: "", errors: ""))
        let requests: [SendRequest] = try server.requests.map { try WireJSON.decode(from: Array($0.utf8)) }
        #expect(requests.count == 3 && requests[0].id != nil)
        #expect(Set(requests.map(\.id)).count == 1)
    }

    @Test("an outcome that stays unknown is 69 and names the id to repeat with")
    func unknown() throws {
        let server = try UnsteadyServer([.drop])
        let person = try person(server)
        let outcome = person(
            "send", "x", "--id", "it's 7", "--timeout", "0.3", "--token-file", "\(person.directory.path)/token")
        #expect(outcome.code == 69)
        #expect(outcome.errors.contains(#"repeat it with --id 'it'\''s 7'"#))
        #expect(server.requests.count > 1)
    }

    @Test(
        "answers that are none of ours are 76",
        arguments: [("200 OK", "<html>"), ("404 Not Found", "<html>"), ("301 Moved Permanently", "")])
    func foreign(status: String, body: String) throws {
        let server = try UnsteadyServer([.answer(status: status, body: body)])
        let person = try person(server)
        let outcome = person("whoami", "--token-file", "\(person.directory.path)/token")
        #expect(outcome.code == 76)
        #expect(outcome.errors.contains(server.url))
    }

    @Test("a busy server is 75 and says when to try again, without a second attempt")
    func busy() throws {
        let server = try UnsteadyServer([
            .answer(status: "503 Busy", body: #"{"error":{"code":"busy","message":"too much to do"}}"#)
        ])
        let person = try person(server)
        let outcome = person("send", "x", "--token-file", "\(person.directory.path)/token")
        #expect(outcome.code == 75)
        #expect(outcome.errors == "natter: too much to do; try again later\n")
        #expect(server.requests.count == 1)
    }
}
