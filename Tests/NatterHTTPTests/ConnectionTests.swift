internal import Glibc
internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import SystemSupport
internal import Testing
internal import TestSupport

@Suite("connections and time", .timeLimit(.minutes(5)))
struct ConnectionTests {
    @Test("requests share a connection")
    func kept() throws {
        let server = try ScriptedServer { peer, _ in
            while peer.readRequest() != nil { peer.answer("{}") }
        }
        let client = try makeClient(server.url)
        for number in 1...5 { _ = try client.perform(HTTPRequest(.post, "/\(number)", body: [])) }
        #expect(server.connections == 1)
        #expect(server.requests.count == 5)
    }

    @Test(
        "a connection is not used again after an answer that ends it",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo , Close\r\n\r\n",
            "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
        ])
    func notKept(wire: String) throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send(wire)
        }
        let client = try makeClient(server.url)
        for _ in 1...3 { #expect(try client.perform(HTTPRequest(.post, "/", body: [])).status == 200) }
        #expect(server.connections == 3)
    }

    @Test("bytes behind an answer are not taken for the next one")
    func surplus() throws {
        let server = try ScriptedServer { peer, number in
            peer.readRequest()
            peer.send(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\(number)HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX")
            peer.waitForClose()
        }
        let client = try makeClient(server.url)
        #expect(text(try client.perform(HTTPRequest(.post, "/", body: []))) == "1")
        #expect(text(try client.perform(HTTPRequest(.post, "/", body: []))) == "2")
    }

    @Test("a connection that was closed while idle is replaced, for POST too", arguments: [HTTPMethod.get, .post])
    func closedWhileIdle(method: HTTPMethod) throws {
        // Given a server that closes after each answer without saying so
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.answer("{}")
        }
        let client = try makeClient(server.url)
        _ = try client.perform(HTTPRequest(method, "/1"))
        server.waitForClosed(1)
        // When the next request is made
        _ = try client.perform(HTTPRequest(method, "/2"))
        // Then each was sent once
        #expect(server.requests.count == 2)
    }

    @Test(
        "a kept connection that breaks under the next request: GET is repeated, POST is not", arguments: [true, false])
    func brokenWhenReused(isReset: Bool) throws {
        for method in [HTTPMethod.get, .post, .put, .patch, .delete] {
            let server = try ScriptedServer { peer, number in
                peer.readRequest()
                peer.answer("{}")
                if number == 1 {
                    peer.readRequest()
                    if isReset { peer.abort() }
                } else {
                    while peer.readRequest() != nil { peer.answer("{}") }
                }
            }
            let client = try makeClient(server.url)
            _ = try client.perform(HTTPRequest(method, "/1"))
            let failed = refusal(try client.perform(HTTPRequest(method, "/2")))
            #expect(failed?.kind == (method == .get ? nil : .interrupted))
            #expect(server.requests.count == (method == .get ? 3 : 2))
            // And the client works on
            _ = try client.perform(HTTPRequest(method, "/3"))
        }
    }

    @Test("a GET is not repeated once a part of its answer has come")
    func noRepeatAfterAnswer() throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.answer("{}")
            peer.readRequest()
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")
        }
        let client = try makeClient(server.url)
        _ = try client.perform(HTTPRequest(.get, "/1"))
        let failed = refusal(try client.perform(HTTPRequest(.get, "/2")))
        #expect(failed?.kind == .interrupted)
        #expect(server.requests.count == 2)
    }

    @Test("a refused port is not reached, and says so")
    func refused() throws {
        let port = try Loopback.closedPort()
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let failed = refusal(
                try makeClientUnchecked("http://\(host):\(port)").perform(HTTPRequest(.post, "/", body: [])))
            #expect(failed?.kind == .notReached)
            #expect(failed?.text == "cannot reach 'http://\(host):\(port)': connection refused")
        }
    }

    @Test("a name that is not known is not reached")
    func unknownName() {
        let failed = refusal(try makeClientUnchecked("http://no-such-host.invalid:1").perform(HTTPRequest(.get, "/")))
        #expect(failed?.kind == .notReached)
        #expect(failed?.text.hasPrefix("cannot find 'no-such-host.invalid'") == true)
    }

    @Test("localhost answers on whichever of its addresses is served", arguments: ["127.0.0.1", "::1"])
    func localhost(host: String) throws {
        let server = try ScriptedServer(host: host) { peer, _ in
            while peer.readRequest() != nil { peer.answer("{}", headers: "Connection: close\r\n") }
        }
        let client = try makeClient("http://localhost:\(server.port)")
        for _ in 1...2 { #expect(try client.perform(HTTPRequest(.get, "/")).status == 200) }
        let shown = host == "::1" ? "[::1]" : host
        let direct = try makeClient("http://\(shown):\(server.port)")
        #expect(try direct.perform(HTTPRequest(.get, "/")).status == 200)
    }

    @Test("a server that is silent runs into the time-out, and the request counts as sent")
    func silent() throws {
        let server = try ScriptedServer { peer, _ in peer.waitForClose() }
        let failed = refusal(
            try makeClientUnchecked(server.url, timeoutMilliseconds: 3_000).perform(HTTPRequest(.post, "/", body: [])))
        #expect(failed?.kind == .timedOut(sent: true))
    }

    @Test("a server that cannot accept runs into the time-out, and nothing counts as sent")
    func fullBacklog() throws {
        // Given a listener whose queue is full
        let (listener, port) = try Loopback.listen(backlog: 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        let fillers = (1...4).map { _ in socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0) }
        defer { for filler in fillers { close(filler) } }
        for filler in fillers {
            withUnsafePointer(to: &address) {
                _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(filler, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        // When a request is made
        let failed = refusal(
            try makeClientUnchecked("http://127.0.0.1:\(port)", timeoutMilliseconds: 80).perform(HTTPRequest(.get, "/"))
        )
        // Then it never left
        #expect(failed?.kind == .timedOut(sent: false))
    }

    @Test("a server that sends a byte now and then does not hold a request", arguments: [true, false])
    func drip(inHead: Bool) throws {
        // Given a server that never pauses for as long as the timeout, and never ends
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            if !inHead { peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n") }
            for byte in Array("HTTP/1.1 200 OK\r\nX: ".utf8) + [UInt8](repeating: 0x78, count: 2_000) {
                guard peer.send([byte]) else { return }
                peer.pause(milliseconds: 20)
            }
        }
        let failed = refusal(
            try makeClientUnchecked(server.url, timeoutMilliseconds: 3_000).perform(HTTPRequest(.get, "/")))
        #expect(failed?.kind == .timedOut(sent: true))
    }

    @Test("the timeout restarts with each piece of a body, also within one chunk", arguments: [true, false])
    func slowBody(isOneChunk: Bool) throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            if isOneChunk { peer.send("a\r\n") }
            for _ in 1...10 {
                peer.pause(milliseconds: 400)
                peer.send(isOneChunk ? "x" : "1\r\nx\r\n")
            }
            peer.send((isOneChunk ? "\r\n" : "") + "0\r\n\r\n")
        }
        let response = try makeClient(server.url, timeoutMilliseconds: 3_500).perform(HTTPRequest(.get, "/"))
        #expect(text(response) == "xxxxxxxxxx")
    }

    @Test("the deadline holds however much is coming")
    func deadline() throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send("HTTP/1.1 200 OK\r\n\r\n")
            for _ in 1...2_000 where peer.send("x") { peer.pause(milliseconds: 20) }
        }
        let client = try makeClient(server.url)
        let start = MonotonicClock.now()
        let failed = refusal(try client.perform(HTTPRequest(.get, "/"), deadlineMilliseconds: 3_000))
        #expect(failed?.kind == .timedOut(sent: true))
        #expect((2_990..<30_000).contains(MonotonicClock.now() - start))
        // And one that is over already lets nothing be sent
        let late = refusal(try client.perform(HTTPRequest(.get, "/"), deadlineMilliseconds: 0))
        #expect(late?.kind == .timedOut(sent: false))
    }

    @Test(
        "no descriptor is left behind",
        arguments: ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "garbage\r\n\r\n", ""])
    func descriptors(wire: String) throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send(wire)
        }
        // Other suites open some of their own at the same time, though not always.
        try eventually("none is left") {
            let before = openDescriptors()
            for _ in 1...50 {
                _ = refusal(try makeClientUnchecked(server.url).perform(HTTPRequest(.post, "/", body: [])))
            }
            return openDescriptors() < before + 40
        }
    }

    private func openDescriptors() -> Int { (0..<1_024).count { fcntl(Int32($0), F_GETFD) >= 0 } }
}
