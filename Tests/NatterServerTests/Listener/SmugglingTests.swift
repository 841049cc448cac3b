import Testing
import TestSupport

/// Each request here could be read as two different ones, or is none; behind it comes one that must not be served.
@Suite("ambiguous requests")
struct SmugglingTests {
    private static let second = "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n"

    static let requests: [String] = [
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length\t: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\n Content-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked, chunked\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunKed\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun\u{212A}ed\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked \r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5 \r\n\r\nhello",
        "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue \r\n\r\nhello",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n",
        "POST /upload HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nNo colon\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nBad(name): x\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nBäd: x\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nFolded: x\r\n y\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nFolded: x\r\n\ty: z\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\0\0Y: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\0\0Y\0 b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\u{1}\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\u{7f}\r\n\r\n",
        "GET /x HTTP/1.1\nHost: a\n\n",
        "GET /x HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: b\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n\n",
        "GET /x HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x  HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET /x y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x\ty HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x\0y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a@b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a,b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/x HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET /x http/1.1\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nCookie: a=\"\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=\"\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=\"\0d\"\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nAuthorization: Bearer y\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nAUTHORIZATION: Bearer x\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: a b\r\n\r\n",
    ]

    @Test("is refused with one 400, and the connection ends", arguments: requests, Wire.allCases)
    func refused(request: String, wire: Wire) throws { try expect(400, for: request, wire) }

    @Test(
        "a line around the chunks of a body that ends in a bare line feed is refused, and the connection ends",
        arguments: [
            "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\n\n",
            "5;x\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n1\nx\r\n0\r\n\r\n", "5\r\nhello\n1\r\nx\r\n0\r\n\r\n",
            "5\r\nhello\r\n0;x\n\r\n",
        ], Wire.allCases)
    func bareLineFeeds(chunks: String, wire: Wire) throws {
        for path in ["/echo", "/upload"] {
            try expect(
                400, for: "POST \(path) HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(chunks)", wire)
        }
    }

    @Test(
        "in pieces of any size, chunks with line feeds, carriage returns and extensions in them arrive as they are",
        arguments: 1...40, Wire.allCases)
    func chunksInPieces(size: Int, wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        let chunks = "2\r\n\n\n\r\n3;a=b\r\n\r\n\n\r\n00001\r\n\r\r\n4\r\n\n5\r\n\r\n0;x\r\nTrailer: x\r\n\r\n"
        var rest = Array(chunks.utf8)[...]
        client.send("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        while !rest.isEmpty {
            client.send(Array(rest.prefix(size)))
            rest = rest.dropFirst(size)
        }
        let expected = Array("\n\n\r\n\n\r\n5\r\n".utf8)
        #expect(try client.answer().text == "\(expected.count) \(expected.reduce(0) { $0 + Int($1) })")
    }

    @Test(
        "a length that no number holds is refused as too large, and the connection ends",
        arguments: ["9223372036854775808", "18446744073709551621", "100000000000000000000"], Wire.allCases)
    func length(length: String, wire: Wire) throws {
        try expect(413, for: "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\r\nhello", wire)
    }

    private func expect(_ status: Int, for request: String, _ wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.send(request + Self.second)
        client.finishSending()
        let answer = String(decoding: client.readToEnd(), as: UTF8.self)
        let statusLines = answer.split(separator: "\r\n").filter { $0.hasPrefix("HTTP/1.") }
        #expect(statusLines.count == 1, "\(answer)")
        #expect(statusLines.first?.split(separator: " ").dropFirst().first == "\(status)", "\(answer)")
        #expect(answer.contains("Connection: close"))
        #expect(!answer.contains("smuggled"))
    }

    @Test(
        "an invalid request gets no second answer",
        arguments: ["GET /x\r\n\r\n", "GET\r\n\r\n", " GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "\u{1}\r\n\r\n"],
        Wire.allCases)
    func nonsense(request: String, wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.send(request + Self.second)
        client.finishSending()
        let answer = String(decoding: client.readToEnd(), as: UTF8.self)
        #expect(answer.split(separator: "\r\n").filter { $0.hasPrefix("HTTP/1.") }.count <= 1, "\(answer)")
        #expect(!answer.contains("smuggled"))
    }

    @Test(
        "a head that leaves no room for an answer is refused before it does anything", arguments: Wire.allCases,
        [Filling.header, .cookie, .secondCookie, .cookies, .target, .fields])
    func fullHead(wire: Wire, filling: Filling) throws {
        let server = try ListenerServer(wire)
        // Each size is either answered or refused, none is left without an answer, and the larger ones are refused.
        let statuses = try stride(from: 100, to: 12_200, by: 149).map { bytes in
            let client = try RawClient(server)
            client.send(filling.request(bytes))
            do { return try client.answer().status } catch { throw Failure("\(bytes) bytes: \(error)") }
        }
        #expect(statuses.first == 200 && statuses.last == 431 && Set(statuses) == [200, 431], "\(statuses)")
        #expect(statuses == statuses.sorted())
    }

    /// The part that fills the head of a request.
    enum Filling {
        case header, cookie, secondCookie, cookies, target, fields

        /// - Parameter bytes: how many there are of it.
        func request(_ bytes: Int) -> String {
            let letters = String(repeating: "a", count: bytes)
            let query =
                switch self {
                case .target: "?a=" + letters
                case .fields: "?a" + String(repeating: "&a=1", count: bytes / 4)
                default: ""
                }
            let header =
                switch self {
                case .header: "X: \(letters)\r\n"
                case .cookie: "Cookie: c=\(letters)\r\n"
                case .secondCookie: "Cookie: a=b; c=\(letters)\r\n"
                case .cookies: "Cookie: a=b" + String(repeating: "; a=b", count: bytes / 5) + "\r\n"
                case .target, .fields: ""
                }
            return "POST /echo\(query) HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\(header)\r\nhi"
        }
    }

    @Test("a head larger than the memory of a connection is refused", arguments: [20_000, 64 << 10], Wire.allCases)
    func largeHead(count: Int, wire: Wire) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        let filler = String(repeating: "a", count: count)
        client.send("GET /x HTTP/1.1\r\nHost: a\r\nX: \(filler)\r\n\r\n")
        #expect(try client.answer().status == 431)
        #expect(client.isClosedByPeer())
        #expect(
            try RawClient(server).request("GET", "/x", headers: ["X: " + filler.prefix(6_000)]).status == 200
        )
    }

    @Test(
        "after a body in chunks the connection is closed, whatever followed", arguments: Wire.allCases,
        ["chunked", "Chunked", "CHUNKED"])
    func chunksClose(wire: Wire, coding: String) throws {
        let server = try ListenerServer(wire)
        let client = try RawClient(server)
        client.send(
            "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \(coding)\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                + Self.second)
        let response = try client.answer()
        #expect(response.text == "5 532")
        #expect(response.header("connection") == "close")
        #expect(client.isClosedByPeer())
    }
}
