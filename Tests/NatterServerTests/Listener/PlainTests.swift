import NatterModel
@testable import NatterServer
import Testing
import TestSupport

@Suite("plain requests")
struct PlainTests {
    @Test("GET, POST and HEAD are answered", arguments: Wire.allCases)
    func plain(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)

        let get = try client.request("GET", "/v1/x")
        #expect(get.status == 200)
        #expect(get.text == "<v1><x>")
        #expect(get.header("x-test") == "yes")
        #expect(get.header("date") != nil)
        #expect(get.header("connection") != "close")

        let post = try client.request("POST", "/echo", body: Array("hello".utf8))
        #expect(post.text == "hello")

        let head = try client.request("HEAD", "/v1/x")
        #expect(head.status == 200)
        #expect(head.header("content-length") == "7")
        #expect(try client.request("GET", "/after").text == "<after>")

        let summary = server.handler.summary(of: "/echo")
        #expect(summary?.method == "POST")
        #expect(summary?.status == 200)
        #expect(summary?.bytesIn == 5)
        #expect(summary?.bytesOut == 5)
        #expect(summary?.remoteAddress == "127.0.0.1")
        #expect(summary?.isComplete == true)
    }

    @Test("requests sent all at once are answered in their order", arguments: Wire.allCases)
    func pipelining(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        for index in 0..<50 {
            client.sendRequest("POST", index % 2 == 0 ? "/echo" : "/later", body: Array("\(index)".utf8))
        }
        for index in 0..<50 { #expect(try client.answer().text == "\(index)") }
    }

    @Test("a head in single bytes is understood", arguments: Wire.allCases)
    func singleBytes(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        for byte in "POST /echo?a=b&c HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nCookie: a=b\r\n\r\nok".utf8 {
            client.send([byte])
        }
        #expect(try client.answer().text == "ok")
    }

    @Test("a client that waits for 100 Continue gets it, or the refusal", arguments: Wire.allCases)
    func expectation(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.answer().status == 100)
        client.send("ok")
        #expect(try client.answer().text == "ok")
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
        #expect(try client.answer().status == 413)
        #expect(client.isClosedByPeer())
    }

    @Test("a client that has nothing more to say is answered, and its connection ends", arguments: Wire.allCases)
    func halfClosed(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.sendRequest("GET", "/x")
        client.finishSending()
        #expect(try client.answer().text == "<x>")
        #expect(client.isClosedByPeer())
    }

    @Test("HTTP/1.0 works, without a Host and without keep-alive", arguments: Wire.allCases)
    func old(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.send("GET /x HTTP/1.0\r\n\r\n")
        #expect(try client.answer().text == "<x>")
        #expect(client.isClosedByPeer())
    }

    @Test(
        "paths are decoded once",
        arguments: [
            ("/", ""), ("/v1/x", "<v1><x>"), ("//", "<><>"), ("/a/", "<a><>"), ("/%41%2e", "<A.>"),
            ("/../a/.", "<..><a><.>"), ("/%2e%2e/x", "<..><x>"), ("/%252F", "<%2F>"), ("/a+b", "<a+b>"),
            ("/%D0%9C%D0%B0%D1%88%D0%B0", "<Маша>"), ("/Маша", "<Маша>"), ("/@bob", "<@bob>"),
            ("/a?b=c&d=%20+e&f&g=h=i", "<a> b=c d=  e f= g=h=i"), ("/a?", "<a>"), ("/?x=%00", " x=\0"),
            ("/%7Ctrey%7C", "<|trey|>"),
            // As clients of a proxy send it.
            ("http://localhost/v1/x?a=b", "<v1><x> a=b"), ("HTTPS://[::1]:7117//", "<><>"), ("http://localhost", ""),
            ("http://localhost?a=b", " a=b"),
        ])
    func decoding(target: String, text: String) throws {
        let server = try ListenerServer()
        let client = try RawClient(port: server.port)
        let response = try client.request("GET", target)
        #expect(response.status == 200)
        #expect(response.text == text)
    }

    @Test(
        "malformed paths and queries are told to the handler as such",
        arguments: [
            "/a%2Fb", "/a%2fb", "/%00", "/%", "/%4", "/%zz", "/%FF", "/%C0%AF", "/%ED%A0%80", "/a?b=%f", "/a?%GG",
        ], Wire.allCases)
    func malformed(target: String, wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        #expect(try client.request("GET", target).status == 400)
        #expect(try client.request("GET", "/x").text == "<x>")
    }

    @Test("a body that is too long is refused before it is read, and the client sees it", arguments: Wire.allCases)
    func tooLarge(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        // Sent to its end before a look at the answer, as many clients do.
        client.sendRequest("POST", "/small", body: [UInt8](repeating: 0x61, count: 4 << 20))
        let response = try client.answer()
        #expect(response.status == 413)
        #expect(response.header("connection") == "close")
        #expect(client.isClosedByPeer())
        #expect(
            try RawClient(server).request("POST", "/small", body: Array("0123456789".utf8)).status == 200)
        #expect(
            try RawClient(server).request("POST", "/small", body: Array("0123456789a".utf8)).status == 413)
    }

    @Test("a refusal by the head ends the connection", arguments: Wire.allCases)
    func refusal(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        let response = try client.request("POST", "/refuse", body: [UInt8](repeating: 0x61, count: 100_000))
        #expect(response.status == 403)
        #expect(client.isClosedByPeer())
    }

    @Test("an address that cannot be listened on is an error that names it")
    func addresses() throws {
        let handler = try TestHandler()
        #expect(throws: ListenerError.notAnAddress("example")) {
            try HTTPListener(address: "example", port: 0, handler: handler)
        }
        let server = try ListenerServer()
        let failure = #expect(throws: ListenerError.self) {
            try HTTPListener(address: "127.0.0.1", port: server.port, handler: handler)
        }
        #expect(failure?.description == "cannot listen on '127.0.0.1' port \(server.port): address already in use")
        #expect(throws: Never.self) { try HTTPListener(address: "::1", port: 0, handler: handler) }
        #expect(throws: Never.self) { try HTTPListener(address: "localhost", port: 0, handler: handler) }
    }
}
