import Glibc
@testable import NatterServer
import NatterSystem
import Testing
import TestSupport

/// The deadline in question is made short; beside each offender an honest client is served.
@Suite("clients that stall")
struct DeadlineTests {
    private func expectService(_ server: ListenerServer) throws { try withExtendedLifetime(server.served()) {} }

    @Test("a silent connection is closed", arguments: Wire.allCases)
    func silent(wire: Wire) throws {
        let server = try ListenerServer(wire) { $0.headMilliseconds = 2_000 }
        let clients = try (0..<50).map { _ in try RawClient(server) }
        try expectService(server)
        for client in clients { #expect(client.isClosedByPeer()) }
    }

    @Test(
        "a slow head is cut off, on a new connection and on a used one", arguments: [false, true],
        Wire.allCases)
    func slowloris(isUsed: Bool, wire: Wire) throws {
        let server = try ListenerServer(wire) { $0.headMilliseconds = 2_000 }
        let client = try isUsed ? server.served() : RawClient(server)
        client.send("GET /slow HTTP/1.1\r\nHost: a\r\n")
        let rounds = 500
        let survived = (0..<rounds).prefix { _ in
            client.send("X") && !hasEnded(client, within: 20)
        }
        #expect(survived.count < rounds)
        #expect(server.handler.summary(of: "/slow")?.note == "the head of the request took too long")
        try expectService(server)
    }

    @Test("a request that arrives as the time of an idle connection ends is served", arguments: Wire.allCases)
    func lastMoment(wire: Wire) throws {
        let server = try ListenerServer(wire) { $0.idleMilliseconds = 2_500 }
        let first = try server.served()
        // For the loop's thread, too.
        let (second, idle) = (Monitor(try server.served()), Monitor(try server.served()))
        let isSent = Monitor(false)
        // Given a loop that is busy until that time is over, and in whose next turn the request arrives behind those it reads
        server.handler.called.withLock { called in
            called = { step in
                if step == "first" {
                    _ = poll(nil, 0, 2_600)
                    second.withLock { $0.sendRequest("GET", "/call/second") }
                } else {
                    idle.withLock { $0.sendRequest("GET", "/late") }
                    isSent.signal { $0 = true }
                }
            }
        }
        first.sendRequest("GET", "/call/first")
        _ = isSent.wait(timeoutMilliseconds: 60_000) { $0 ? true : nil }
        #expect(try idle.withLock { try $0.answer().text } == "<late>")
        server.handler.called.withLock { $0 = nil }
    }

    @Test("a slow body is cut off", arguments: ["/echo", "/upload"], Wire.allCases)
    func slowBody(target: String, wire: Wire) throws {
        let server = try ListenerServer(wire) { ($0.progressMilliseconds, $0.progressBytes) = (800, 1_000) }
        let client = try RawClient(server)
        client.send("POST \(target) HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n")
        let rounds = 200
        let survived = (0..<rounds).prefix { _ in
            client.send("X") && !hasEnded(client, within: 20)
        }
        #expect(survived.count < rounds)
        #expect(server.handler.summary(of: target)?.note == "the body came too slowly")
        try expectService(server)
    }

    @Test("a client that ends before its body does is let go at once", arguments: ["/echo", "/upload"])
    func brokenBody(target: String) throws {
        let server = try ListenerServer { limits in limits.progressMilliseconds = 60_000 }
        let client = try RawClient(server)
        client.send("POST \(target) HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\nhello")
        #expect(server.handler.hasBegun(1))
        client.finishSending()
        #expect(client.isClosedByPeer())
        #expect(server.handler.summary(of: target)?.isComplete == false)
        try expectService(server)
    }

    @Test(
        "a reader that leaves before it is answered is let go at once, and a change is answered",
        arguments: Wire.allCases)
    func gone(wire: Wire) throws {
        let server = try ListenerServer(wire) { $0.reaperMilliseconds = 60_000 }
        let (reader, writer) = (try RawClient(server), try RawClient(server))
        reader.sendRequest("GET", "/hang/read")
        writer.sendRequest("POST", "/hang/change")
        #expect(server.handler.hasWaiting(2))
        for client in [reader, writer] { client.finishSending() }
        #expect(server.handler.hasEnded("/hang/read"))
        #expect(server.handler.summary(of: "/hang/read")?.note == "the client has gone")
        server.handler.answerWaiting("done")
        #expect(try writer.answer().text == "done")
        try expectService(server)
    }

    @Test("a reader that does not read is cut", arguments: Wire.allCases)
    func deafReader(wire: Wire) throws {
        let server = try ListenerServer(wire) { ($0.progressMilliseconds, $0.progressBytes) = (800, 1_000) }
        let client = try RawClient(server, receiveBuffer: 4_096)
        client.sendRequest("GET", "/flood")
        #expect(server.handler.hasClosedProducers(1))
        #expect(server.handler.summary(of: "/flood")?.note == "the reply was read too slowly")
        try expectService(server)
    }

    @Test("a reader that is slow but reads is served", arguments: Wire.allCases)
    func slowReader(wire: Wire) throws {
        let server = try ListenerServer(wire) { limits in limits.progressMilliseconds = 5_000 }
        let client = try RawClient(server, receiveBuffer: 4_096)
        client.sendRequest("GET", "/flood")
        let end = MonotonicClock.now() + 8_000
        while MonotonicClock.now() < end {
            #expect(try client.take(4_000).count == 4_000)
            _ = poll(nil, 0, 20)
        }
        #expect(server.handler.producersClosed == 0)
    }

    @Test("requests that wait for the server are left alone", arguments: Wire.allCases)
    func waiting(wire: Wire) throws {
        let server = try ListenerServer(wire) { $0.idleMilliseconds = 900 }
        let waiting = try RawClient(server)
        waiting.sendRequest("GET", "/hang")
        #expect(server.handler.hasBegun(1))
        // Those that come later are closed first, which also resets the deadline of the waiting one.
        for _ in 0..<3 { #expect(try server.served().isClosedByPeer()) }
        server.listener.stop()
        #expect(try waiting.answer().text == "stopping")
    }

    @Test(
        "bodies in transit share a memory limit; a finished one makes room", arguments: Wire.allCases)
    func bodies(wire: Wire) throws {
        let server = try ListenerServer(wire) { limits in limits.collectedBytes = 65_000 }
        let half = [UInt8](repeating: 0x78, count: 40_000)
        let start = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 80000\r\n\r\n"
        let clients = try (0..<2).map { _ in try RawClient(server) }
        for client in clients { client.send(Array(start.utf8) + half) }
        #expect(server.handler.hasBegun(2))
        // A request behind them on the same thread, so that both halves have been read.
        try expectService(server)
        let third = try RawClient(server)
        third.send(Array(start.utf8) + half)
        #expect(try third.answer().status == 503)
        #expect(third.isClosedByPeer())
        clients[0].finishSending()
        #expect(clients[0].isClosedByPeer())
        clients[1].send(half)
        #expect(try clients[1].answer().body.count == 80_000)
        for _ in 0..<3 { #expect(try RawClient(server).request("POST", "/echo", body: half + half).status == 200) }
    }

    @Test(
        "the bytes of a body are counted until its request is answered; a small body needs none",
        arguments: Wire.allCases)
    func waitingBodies(wire: Wire) throws {
        let server = try ListenerServer(wire) { limits in limits.collectedBytes = 65_000 }
        let body = [UInt8](repeating: 0x78, count: 80_000)
        let start = "POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 80000\r\n\r\n"
        let first = try RawClient(server)
        first.send(Array(start.utf8) + body)
        #expect(server.handler.hasWaiting(1))
        #expect(try RawClient(server).request("POST", "/echo", body: body).status == 503)
        #expect(try RawClient(server).request("POST", "/echo", body: Array(body.prefix(8_000))).status == 200)
        server.handler.answerWaiting("done")
        #expect(try first.answer().status == 200)
        #expect(try RawClient(server).request("POST", "/echo", body: body).status == 200)
    }

    @Test("answers that nobody reads are counted: a reader has a limit, and all together", arguments: Wire.allCases)
    func unread(wire: Wire) throws {
        let server = try ListenerServer(wire) { limits in
            (limits.answerBytes, limits.answerBytesPerReader) = (40 << 20, 20 << 20)
        }
        func ask(_ path: String) throws -> RawClient {
            let client = try RawClient(server)
            client.send(Array("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
            return client
        }
        func status(_ path: String) throws -> Int { try ask(path).answer().status }
        let first = try ask("/big")
        #expect(server.handler.hasBegun(1))
        #expect(try status("/big") == 429)
        let second = try ask("/big/2")
        #expect(server.handler.hasBegun(3))
        #expect(try status("/big/3") == 503)
        // A small answer is sent, and a request that changes something is answered
        #expect(try RawClient(server).request("POST", "/echo", body: [0x78]).status == 200)
        #expect(try first.answer().body.count == 16 << 20)
        #expect(try second.answer().body.count == 16 << 20)
        #expect(try status("/big") == 200)
    }

    @Test("5,000 silent connections delay nobody else", .timeLimit(.minutes(5)))
    func crowd() throws {
        let server = try ListenerServer { limits in limits.headMilliseconds = 4_000 }
        let clients = try (0..<5_000).map { _ in try RawClient(port: server.port) }
        try expectService(server)
        for client in clients { #expect(client.isClosedByPeer()) }
    }

    @Test("above the limit of connections, the next is served when one has gone", arguments: Wire.allCases)
    func limit(wire: Wire) throws {
        let server = try ListenerServer(wire) { limits in
            limits.connections = 4
            limits.headMilliseconds = 2_000
        }
        let silent = try (0..<4).map { _ in try RawClient(server) }
        try expectService(server)
        for client in silent { #expect(client.isClosedByPeer()) }
    }

    /// Waits a little, and tells whether the connection has ended meanwhile.
    private func hasEnded(_ client: RawClient, within milliseconds: Int32) -> Bool {
        var place = pollfd(fd: client.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&place, 1, milliseconds) > 0
    }
}

@Suite("the end of the listener")
struct StopTests {
    @Test(
        "a waiting request is answered, and later ones are refused", .timeLimit(.minutes(15)),
        arguments: Wire.allCases)
    func graceful(wire: Wire) throws {
        let server = try ListenerServer(wire) { $0.stopMilliseconds = 3_600_000 }
        let waiting = try RawClient(server)
        waiting.sendRequest("GET", "/hang")
        let idle = try RawClient(server)
        #expect(try idle.request("GET", "/x").status == 200)
        #expect(server.handler.hasBegun(2))
        server.stop()
        let response = try waiting.answer()
        #expect(response.text == "stopping")
        #expect(response.header("connection") == "close")
        #expect(idle.isClosedByPeer())
        #expect(throws: Failure.self) { try RawClient(server) }
        #expect(server.listener.connectionCount == 0)
    }

    @Test("unfinished requests are cut off at the deadline", arguments: Wire.allCases)
    func stubborn(wire: Wire) throws {
        let server = try ListenerServer(wire) { $0.stopMilliseconds = 300 }
        let deaf = try RawClient(server, receiveBuffer: 4_096)
        deaf.sendRequest("GET", "/flood")
        let slow = try RawClient(server)
        slow.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        let unfinished = try RawClient(server)
        unfinished.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Le")
        #expect(server.handler.hasBegun(2))
        server.stop()
        #expect(server.handler.hasAbandoned(1))
        #expect(server.handler.hasClosedProducers(1))
        #expect(unfinished.isClosedByPeer())
    }

    @Test("an answer that comes after the end is dropped")
    func late() throws {
        let handler = try TestHandler()
        let listener = try HTTPListener(address: "127.0.0.1", port: 0, handler: handler)
        listener.stop()
        listener.run()
        listener.stop()
        #expect(listener.connectionCount == 0)
    }

    @Test("a listener that never ran releases its port")
    func neverRun() throws {
        let handler = try TestHandler()
        var listener: HTTPListener? = try HTTPListener(address: "127.0.0.1", port: 0, handler: handler)
        let port = try #require(listener?.port)
        listener = nil
        #expect(throws: Failure.self) { try RawClient(port: port) }
    }
}
