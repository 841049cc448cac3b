@testable import NatterServer
import NatterModel
import Testing
import NatterHTTP
import ServerSupport
import TestSupport

@Suite("heads that a connection repeats")
struct RepeatedHeadTests {
    @Test("the same head is read once, with whatever body, and another one again", arguments: Wire.allCases)
    func same(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        for index in 10..<30 {
            #expect(try client.request("POST", "/echo", body: Array("\(index)".utf8)).text == "\(index)")
        }
        #expect(server.handler.prepared == 1)
        #expect(try client.request("POST", "/echo", body: Array("100".utf8)).text == "100")
        #expect(try client.request("GET", "/a").text == "<a>")
        #expect(try client.request("GET", "/b").text == "<b>")
        #expect(try client.request("GET", "/b").text == "<b>")
        #expect(server.handler.prepared == 4)
    }

    // libmicrohttpd puts NULs into what it reads, so these look alike afterwards.
    @Test(
        "heads that look alike once they are split are told apart", arguments: Wire.allCases,
        [
            ["/q?a=b", "/q?a&b", "/q?a=b"], ["/q?a=b&c", "/q?a&b=c", "/q?a=b=c"], ["/a%2Bb", "/a+b", "/a%2bb"],
            ["/%41", "/A"],
        ])
    func targets(wire: Wire, targets: [String]) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        for target in targets + targets.reversed() {
            let alone = try RawClient(server).request("GET", target).text
            #expect(try client.request("GET", target).text == alone, "\(target)")
            #expect(try client.request("GET", target).text == alone, "\(target)")
        }
    }

    @Test(
        "a header with NULs in it is refused behind the head that it imitates", arguments: Wire.allCases,
        ["X: a\0\0Y\0 b", "X\0 a\r\nY: b", "X: a\r\nY\0 b"])
    func imitation(wire: Wire, imitation: String) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        for _ in 0..<2 {
            client.send("GET /x HTTP/1.1\r\nHost: a\r\nX: a\r\nY: b\r\n\r\n")
            #expect(try client.answer().text == "<x>")
        }
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\(imitation)\r\n\r\n")
        client.finishSending()
        let answer = String(decoding: client.readToEnd(), as: UTF8.self)
        #expect(!answer.contains(" 200 "), "\(answer)")
    }

    @Test("a body that is too long for its head's place is refused each time, and one that fits is taken")
    func limits() throws {
        let server = try ListenerServer(.plain)
        let client = try RawClient(server)
        for text in ["123456789", "123456789", "987654321"] {
            #expect(try client.request("POST", "/small", body: Array(text.utf8)).text == text)
        }
        #expect(try client.request("POST", "/small", body: Array("12345678901".utf8)).status == 413)
    }

    @Test("a token that is revoked, or a name that is taken away, ends what the same head may do")
    func rights() throws {
        let server = try TestServer()
        let alice = try server.account("alice")
        let names = ["chat.example"].compactMap { SubjectName($0) }
        server.chat.use(hosts: names)
        let connection = try RawClient(port: server.port)
        func outcome() throws -> String {
            connection.send(
                "GET /v1/whoami HTTP/1.1\r\nHost: chat.example\r\nAuthorization: Bearer \(alice.token ?? "")\r\n\r\n")
            return try connection.answer().outcome
        }
        for _ in 0..<3 { #expect(try outcome() == "200") }
        server.chat.use(hosts: [])
        #expect(try outcome() == "421 misdirected")
        server.chat.use(hosts: names)
        #expect(try outcome() == "200")
        #expect(try alice.send(.post, "/v1/logout").status == 200)
        #expect(try outcome() == "401 unauthorized")
    }
}
