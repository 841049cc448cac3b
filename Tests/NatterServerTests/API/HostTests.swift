@testable internal import NatterServer
internal import ServerSupport
internal import Testing
internal import TestSupport

@Suite("the host of a request")
struct HostTests {
    @Test(
        "addresses, localhost, given names and those of the certificate are admitted, with any port and in any case",
        arguments: [
            ("127.0.0.1", true), ("127.0.0.1:7117", true), ("[::1]:7117", true), ("[2001:db8::1]", true),
            ("192.0.2.1", true), ("localhost", true), ("LocalHost:1", true), ("localhost.", true),
            ("chat.example.org", true), ("CHAT.example.org.:443", true), ("a.wild.example.org", true),
            ("certified.example.org", true), ("", true),
            ("[::1]evil", false), ("localhost:abc", false), ("[::1]:1:2", false),
            ("example.org", false), ("x.chat.example.org", false), ("wild.example.org", false),
            ("a.b.wild.example.org", false), (".wild.example.org", false), ("localhost.example.org", false),
            ("127.1", false), ("2130706433", false), ("0x7f.0.0.1", false), ("127.0.0.1.example.org", false),
        ])
    func names(header: String, isAdmitted: Bool) throws {
        let names = HostNames(
            given: ["chat.example.org", "*.wild.example.org"].compactMap { SubjectName($0) },
            certified: ["certified.example.org", "192.0.2.9"].compactMap { SubjectName($0) })
        #expect(names.admit(RequestedHost(header)) == isAdmitted)
        #expect(names.admit(RequestedHost(nil)))
    }

    @Test("a foreign name is 421 before anything else, for every request, and changes nothing")
    func misdirected() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let connection = try RawClient(port: server.port)
        func outcome(_ method: String, _ target: String, host: String, _ body: String = "") throws -> String {
            connection.send(
                "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\nAuthorization: Bearer \(alice.token ?? "")\r\n"
                    + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
            return try connection.answer().outcome
        }
        let message = #"{"conversation":"general","text":"hi"}"#
        for (method, target) in [
            ("GET", "/"), ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/nowhere"), ("PATCH", "/v1/whoami"),
            ("GET", "/v1/whoami"), ("POST", "/v1/messages"),
        ] {
            #expect(try outcome(method, target, host: "evil.example", message) == "421 misdirected", "\(target)")
        }
        // The host of an absolute target counts, and not the header.
        let target = "/v1/conversations/general"
        #expect(try outcome("GET", "http://evil.example\(target)", host: "localhost") == "421 misdirected")
        #expect(try outcome("GET", "http://localhost:1\(target)", host: "evil.example") == "200")
        #expect(try outcome("GET", target, host: "localhost:1") == "200")
        #expect(try alice.get("/v1/conversations/general").json["head"] == 0)
        #expect(try outcome("POST", "/v1/messages", host: "[::1]", message) == "201")
    }
}
