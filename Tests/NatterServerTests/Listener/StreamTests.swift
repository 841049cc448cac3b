@testable import NatterServer
import NatterSystem
import Synchronization
import Testing
import TestSupport

@Suite("bodies made and taken piece by piece")
struct StreamTests {
    private static let bulk = [UInt8](unsafeUninitializedCapacity: 10 << 20) { buffer, count in
        for index in 0..<(10 << 20) { buffer[index] = UInt8(truncatingIfNeeded: index &* 31) }
        count = 10 << 20
    }

    private static let bulkText = "\(bulk.count) \(bulk.reduce(0) { $0 + Int($1) })"

    @Test("10 MB arrive whole through a sink that pauses and is resumed by another thread", arguments: Wire.allCases)
    func upload(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        #expect(try client.request("POST", "/upload", body: Self.bulk).text == Self.bulkText)
        #expect(try client.request("GET", "/x").text == "<x>")
    }

    @Test("the same in chunks, of any size", arguments: [1, 7, 4_096, 70_000, 1 << 20], Wire.allCases)
    func chunkedUpload(size: Int, wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        let bulk = size < 100 ? Array(Self.bulk.prefix(20_000)) : Self.bulk
        client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        var start = 0
        var wire: [UInt8] = []
        while start < bulk.count {
            let piece = bulk[start..<min(start + size, bulk.count)]
            wire += Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + [13, 10]
            start += size
        }
        client.send(wire + Array("0\r\n\r\n".utf8))
        #expect(try client.answer().text == "\(bulk.count) \(bulk.reduce(0) { $0 + Int($1) })")
    }

    @Test("a body that breaks off is told to the sink, and nothing is answered", arguments: Wire.allCases)
    func abandoned(wire: Wire) throws {
        let server = try ListenerServer(wire)
        do {
            let client = try RawClient(server)
            client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
            #expect(server.handler.hasBegun(1))
        }
        #expect(server.handler.hasAbandoned(1))
        #expect(server.handler.summary(of: "/upload")?.status == 0)
        #expect(server.handler.summary(of: "/upload")?.isComplete == false)
    }

    @Test("a sink may answer before the body is whole, and the client gets to see it", arguments: Wire.allCases)
    func early(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.sendRequest("POST", "/upload/early", body: Self.bulk)
        let response = try client.answer()
        #expect(response.status == 422)
        #expect(response.text == "enough")
        #expect(client.isClosedByPeer())
        #expect(server.handler.hasAbandoned(1))
        #expect(server.handler.summary(of: "/upload/early")?.status == 422)
    }

    @Test("an answer is made by another thread while it is sent", arguments: ["", "/known"], Wire.allCases)
    func download(known: String, wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        for (count, piece) in [(0, 1), (1, 1), (3_000, 100), (1_000_000, 50_000)] {
            let response = try client.request("GET", "/download/\(count)/\(piece)\(known)")
            #expect(response.body == [UInt8](repeating: UInt8(ascii: "d"), count: count))
            #expect(response.header("transfer-encoding") == (known.isEmpty ? "chunked" : nil))
        }
        #expect(server.handler.hasClosedProducers(4))
        #expect(server.handler.summary(of: "/download/3000/100\(known)")?.bytesOut == 3_000)
    }

    @Test(
        "HEAD gets no body of an answer that would be made while it is sent", arguments: ["", "/known"], Wire.allCases)
    func head(known: String, wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.send("HEAD /download/10/1\(known) HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let answer = String(decoding: client.readToEnd(), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 200"))
        #expect(answer.hasSuffix("\r\n\r\n"))
        #expect(answer.split(separator: "\r\n\r\n", omittingEmptySubsequences: false).count == 2)
        #expect(answer.contains("Content-Length: 10") == !known.isEmpty)
        #expect(server.handler.hasClosedProducers(1))
    }

    @Test("an answer that breaks off is seen to be incomplete", arguments: Wire.allCases)
    func broken(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.sendRequest("GET", "/broken")
        let text = String(decoding: client.readToEnd(), as: UTF8.self)
        #expect(text.contains("half"))
        #expect(!text.contains("\r\n0\r\n"))
        #expect(server.handler.hasClosedProducers(1))
        #expect(server.handler.summary(of: "/broken")?.isComplete == false)
    }

    @Test("a reader that goes away ends the producer", arguments: Wire.allCases)
    func readerGone(wire: Wire) throws {
        let server = try ListenerServer(wire)
        do {
            let client = try RawClient(server)
            client.sendRequest("GET", "/flood")
            _ = try client.take(1_000_000)
        }
        #expect(server.handler.hasClosedProducers(1))
    }
}

@Suite("suspension by one thread and resumption by another")
struct SuspensionTests {
    @Test("of 128 connections' 25,600 requests none is forgotten", .timeLimit(.minutes(2)), arguments: Wire.allCases)
    func stress(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let answered = Atomic<Int>(0)
        let threads = try (0..<8).map { thread in
            try StressThread(server, connections: 16, rounds: 200, number: thread)
        }
        for thread in threads { answered.wrappingAdd(thread.join(), ordering: .relaxed) }
        #expect(answered.load(ordering: .relaxed) == 25_600)
    }

    @Test("of 3,000 readers that wait, each is woken, at whatever moment that falls", .timeLimit(.minutes(5)))
    func readers() throws {
        let server = try ListenerServer { limits in
            limits.headMilliseconds = 240_000
            limits.idleMilliseconds = 240_000
        }
        let isOver = Monitor(false)
        let waker = try SystemThread(name: "waker") {
            while isOver.wait(timeoutMilliseconds: 1, until: { $0 ? true : nil }) == nil {
                server.handler.answerWaiting("woken")
            }
        }
        let clients = try (0..<3_000).map { _ in try RawClient(server) }
        var woken = 0
        for _ in 0..<4 {
            for client in clients { client.sendRequest("GET", "/hang") }
            for client in clients where try client.answer().text == "woken" { woken += 1 }
        }
        isOver.signal { $0 = true }
        waker.join()
        #expect(woken == 12_000)
    }

    /// After a commit with several posts, the library asks for the replies to the next ones in each turn, for some
    /// milliseconds, instead of suspending them.
    @Test("posts that wait together are answered, soon or late, and others meanwhile", arguments: Wire.allCases)
    func together(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let handler = server.handler
        // All together, because the loop does not look for replies meanwhile.
        handler.called.withLock { $0 = { handler.answerWaiting($0) } }
        let other = try RawClient(server)
        var clients = try (0..<8).map { _ in try RawClient(server) }
        let body = [UInt8](repeating: 0x62, count: 1_000_000)
        func round(_ text: String, while waiting: () throws -> Void) throws {
            for client in clients {
                client.sendRequest("POST", "/hang", body: Array("one".utf8))
                client.sendRequest("POST", "/echo", body: Array("two".utf8))
            }
            #expect(handler.hasWaiting(clients.count))
            try waiting()
            #expect(try other.request("GET", "/call/\(text)").status == 200)
            for client in clients {
                #expect(try client.answer().text == text)
                #expect(try client.answer().text == "two")
            }
        }
        for number in 0..<20 { try round("soon-\(number)") {} }
        try round("body") {
            let echoed = try other.request("POST", "/echo", body: body)
            #expect(echoed.body == body)
        }
        try round("streamed") {
            let counted = try other.request("POST", "/upload", body: body)
            #expect(counted.text == "1000000 \(0x62 * 1_000_000)")
        }
        let start = ContinuousClock.now
        try round("late") {
            while ContinuousClock.now - start < .milliseconds(50) {
                let answer = try other.request("GET", "/meanwhile")
                #expect(answer.text == "<meanwhile>")
            }
        }
        try round("again") {}
        for client in clients { client.sendRequest("POST", "/hang/gone", body: []) }
        #expect(handler.hasWaiting(clients.count))
        clients = []
        #expect(try other.request("GET", "/call/nobody").status == 200)
        #expect(handler.summary(of: "/hang/gone") != nil)
        #expect(try other.request("GET", "/after").text == "<after>")
    }

    @Test("one connection, one request after the other", arguments: Wire.allCases)
    func serial(wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        for index in 0..<2_000 {
            let text = Array("\(index)".utf8)
            #expect(try client.request("POST", "/later", body: text).body == text)
        }
    }
}

/// Sends on all of its connections, then reads all answers, again and again.
private final class StressThread: Sendable {
    private let count: Monitor<Int>
    private let thread: SystemThread

    init(_ server: ListenerServer, connections: Int, rounds: Int, number: Int) throws {
        let count = Monitor(0)
        self.count = count
        thread = try SystemThread(name: "stress") {
            guard let clients = try? (0..<connections).map({ _ in try RawClient(server) }) else { return }
            for round in 0..<rounds {
                let text = "\(number) \(round)"
                for client in clients { client.sendRequest("POST", "/later", body: Array(text.utf8)) }
                for client in clients {
                    guard (try? client.answer().text) == text else { return }
                    count.withLock { $0 += 1 }
                }
            }
        }
    }

    /// - Returns: how many answers were right.
    func join() -> Int {
        thread.join()
        return count.withLock { $0 }
    }
}
