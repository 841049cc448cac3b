import Glibc
@testable import NatterServer
import Testing
import TestSupport

@Suite("a listener that speaks TLS")
struct TLSTests {
    @Test("another certificate serves new connections, and cuts none that is open")
    func reload() throws {
        let server = try ListenerServer(.tls)
        let waiting = try RawClient(server)
        waiting.sendRequest("GET", "/hang")
        let idle = try RawClient(server)
        #expect(try idle.request("GET", "/first").status == 200)
        #expect(server.handler.hasWaiting(1))
        for name in ["second.example", "third.example"] {
            let identity = try Wire.identity(for: name)
            server.listener.use(identity)
            // Each later connection has it: posted work is done before the next connection is accepted.
            let fresh = try RawClient(server)
            #expect(fresh.tls?.fingerprint == identity.fingerprint)
            #expect(try fresh.request("GET", "/fresh").status == 200)
        }
        #expect(try idle.request("GET", "/second").status == 200)
        #expect(idle.tls?.fingerprint == (try Wire.tls.identity?.fingerprint))
        server.handler.answerWaiting("news")
        #expect(try waiting.answer().text == "news")
        #expect(try waiting.request("GET", "/after").status == 200)
    }

    /// The part of a handshake after which a client falls silent.
    enum Silence: CaseIterable {
        case inRecordHeader, inHello, afterHello
    }

    @Test("a stalled handshake is cut off, and delays nobody meanwhile", arguments: Silence.allCases)
    func silentHandshake(silence: Silence) throws {
        let server = try ListenerServer(.tls) { $0.headMilliseconds = 2_000 }
        let honest = try RawClient(server)
        let before = try cpuMilliseconds(honest)
        let clients = try (0..<20).map { _ in try RawClient(port: server.port) }
        let hello = try TLSClient.hello()
        for client in clients {
            switch silence {
            case .inRecordHeader: client.send(Array(hello.prefix(3)))
            case .inHello: client.send(Array(hello.prefix(hello.count / 2)))
            case .afterHello: client.send(hello)
            }
        }
        for client in clients { #expect(ends(client)) }
        // libmicrohttpd alone would have spent all of those two seconds on them.
        let after = try cpuMilliseconds(RawClient(server))
        #expect(after - before < 1_000, "\(after - before) ms")
    }

    @Test("a slow handshake is cut off")
    func slowHandshake() throws {
        let server = try ListenerServer(.tls) { $0.headMilliseconds = 1_000 }
        let client = try RawClient(port: server.port)
        let hello = try TLSClient.hello()
        let sent = hello.prefix { byte in
            guard client.send([byte]) else { return false }
            var place = pollfd(fd: client.descriptor, events: Int16(POLLIN), revents: 0)
            return poll(&place, 1, 10) == 0
        }
        #expect(sent.count < hello.count)
        _ = try server.served()
    }

    @Test("a handshake in single bytes is understood if it is quick enough")
    func patientHandshake() throws {
        let server = try ListenerServer(.tls)
        let client = try RawClient(port: server.port)
        for byte in try TLSClient.hello() { client.send([byte]) }
        // The answer of a handshake in progress: a record of type 22.
        #expect(try client.take(1) == [22])
    }

    @Test("bytes other than TLS end their own connection only")
    func nonsense() throws {
        let server = try ListenerServer(.tls)
        var generator = SeededGenerator(seed: 5)
        let hello = try TLSClient.hello()
        for round in 0..<200 {
            let client = try RawClient(port: server.port)
            var bytes = round == 0 ? Array("GET /x HTTP/1.1\r\nHost: a\r\n\r\n".utf8) : hello
            if round > 0 {
                for _ in 0..<Int.random(in: 1...8, using: &generator) {
                    let place = Int.random(in: 0..<bytes.count, using: &generator)
                    bytes[place] = UInt8.random(in: 0...255, using: &generator)
                }
            }
            client.send(bytes)
            client.finishSending()
            #expect(!String(decoding: client.readToEnd(), as: UTF8.self).contains("HTTP/1"))
        }
        #expect(try RawClient(server).request("GET", "/honest").text == "<honest>")
    }

    @Test("hundreds of readers wait at once, and each is answered")
    func readers() throws {
        let server = try ListenerServer(.tls) { $0.headMilliseconds = 60_000 }
        let clients = try (0..<400).map { number in
            let client = try RawClient(server)
            client.sendRequest("GET", "/hang/\(number)")
            return client
        }
        #expect(server.handler.hasWaiting(400))
        server.handler.answerWaiting("news")
        for client in clients { #expect(try client.answer().text == "news") }
        for client in clients { #expect(try client.request("GET", "/again").text == "<again>") }
    }

    /// The processor time of the loop's thread so far.
    private func cpuMilliseconds(_ client: RawClient) throws -> Int {
        try Int(client.request("GET", "/cpu").text) ?? 0
    }

    /// Whether the other side ends the connection, whatever it has sent before.
    private func ends(_ client: RawClient) -> Bool {
        _ = client.readToEnd()
        return client.isClosedByPeer()
    }
}
