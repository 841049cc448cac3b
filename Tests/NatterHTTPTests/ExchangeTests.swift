internal import NatterHTTP
internal import NatterModel
internal import SystemSupport
internal import Testing

@Suite("one request and its answer", .timeLimit(.minutes(5)))
struct ExchangeTests {
    @Test("a request is sent as given and its answer returned complete")
    func roundTrip() throws {
        // Given a server behind a path
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.answer("{\"é\":1}", status: "201 Created", headers: "X-One: first\r\nx-one: second\r\n")
        }
        let client = try makeClient(server.url + "/chat/")
        // When a message is posted
        let response = try client.perform(
            HTTPRequest(
                .post, "/v1/messages?a=%20", headers: [("Authorization", "Bearer x")], body: Array("hello".utf8)))
        // Then both sides have received everything
        #expect(response.status == 201)
        #expect(text(response) == "{\"é\":1}")
        #expect(response.header("X-ONE") == "first")
        #expect(response.header("X-Two") == nil)
        #expect(
            server.requests == [
                "POST /chat/v1/messages?a=%20 HTTP/1.1\r\nHost: 127.0.0.1:\(server.port)\r\nUser-Agent: natter-test\r\n"
                    + "Authorization: Bearer x\r\nContent-Length: 5\r\n\r\nhello"
            ])
    }

    @Test("the time of an answer is in its Date, in the one form that servers write today")
    func date() throws {
        let good = "Sun, 06 Nov 1994 08:49:37 GMT"
        let bad = [
            "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 6 Nov 1994 8:49 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
        ]
        for text in [good] + bad {
            let server = try ScriptedServer { peer, _ in
                peer.readRequest()
                peer.answer("{}", headers: "Date: \(text)\r\n")
            }
            let answer = try makeClient(server.url).perform(HTTPRequest(.get, "/"))
            #expect(answer.date == (text == good ? Timestamp(rfc3339: "1994-11-06T08:49:37Z") : nil), "\(text)")
        }
    }

    @Test("every method can carry a body", arguments: [HTTPMethod.get, .post, .put, .patch, .delete])
    func methods(method: HTTPMethod) throws {
        let server = try ScriptedServer { peer, _ in
            while peer.readRequest() != nil { peer.answer("{}") }
        }
        let client = try makeClient(server.url)
        _ = try client.perform(HTTPRequest(method, "/x", body: Array("b".utf8)))
        _ = try client.perform(HTTPRequest(method, "/x"))
        #expect(server.requests.count == 2)
        #expect(server.requests.first?.hasPrefix("\(method.rawValue) /x HTTP/1.1\r\n") == true)
        #expect(server.requests.first?.hasSuffix("Content-Length: 1\r\n\r\nb") == true)
        let hasLength = server.requests.last?.contains("Content-Length: 0") == true
        #expect(hasLength == (method != .get && method != .delete))
    }

    /// Complete answers, and the body that each stands for.
    static let complete: [(wire: String, body: String)] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length:5\r\nConnection: close\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n", ""),
        ("HTTP/1.1 100 Continue\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        (
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                + "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"
        ),
    ]

    /// Answers that end where the connection does.
    static let untilClose: [(wire: String, body: String)] = [
        ("HTTP/1.1 200 OK\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", "hello"),
        ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nhello", "hello"),
        ("HTTP/1.0 200 OK\r\nConnection: close, foo\r\n\r\n", ""),
    ]

    @Test("each framing gives its body, collected or streamed", arguments: complete + untilClose)
    func framing(wire: String, body: String) throws {
        for isStreamed in [false, true] {
            // Given a server that sends the answer byte by byte
            let server = try ScriptedServer { peer, _ in
                peer.readRequest()
                for byte in wire.utf8 { peer.send([byte]) }
            }
            // When it is asked
            var streamed: [UInt8] = []
            let response = try makeClient(server.url).perform(
                HTTPRequest(.get, "/"), onBody: isStreamed ? { streamed.append(contentsOf: $0) } : nil)
            // Then the body is there once. A refusal's body is never streamed, because the caller did not ask for it
            let goesOut = isStreamed && (200...299).contains(response.status)
            #expect(text(response) == (goesOut ? "" : body))
            #expect(String(decoding: streamed, as: UTF8.self) == (goesOut ? body : ""))
            #expect(response.header("X") == nil)
        }
    }

    @Test("an answer that is cut at any byte is an error, never a short success", arguments: complete.map(\.wire))
    func cut(wire: String) throws {
        let bytes = Array(wire.utf8)
        // Each connection gets one byte less than the one before, and its last one none at all.
        let server = try ScriptedServer { peer, number in
            peer.readRequest()
            peer.send(Array(bytes.dropLast(number)))
        }
        for count in 1...bytes.count {
            let failed = refusal(try makeClientUnchecked(server.url).perform(HTTPRequest(.post, "/", body: [])))
            #expect(failed?.kind == .interrupted, "without the last \(count) bytes: \(failed?.text ?? "taken")")
        }
        #expect(server.connections == bytes.count)
    }

    @Test("a reset in the middle of a body is an error")
    func reset() throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send("HTTP/1.1 200 OK\r\n\r\nhalf of")
            peer.abort()
        }
        let failed = refusal(try makeClientUnchecked(server.url).perform(HTTPRequest(.get, "/")))
        #expect(failed?.kind == .interrupted)
    }

    @Test(
        "an answer that is not HTTP, or not clearly framed, is refused",
        arguments: [
            "garbage\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\r\n\r\n", "HTTP/1.1\r\n\r\n",
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 99 Low\r\n\r\n", "HTTP/1.1 600 High\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
            String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 20),
            String(repeating: "HTTP/1.1 103 Early Hints\r\n\r\n", count: 20),
        ])
    func refused(wire: String) throws {
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send(wire)
            peer.waitForClose()
        }
        let failed = refusal(try makeClientUnchecked(server.url).perform(HTTPRequest(.get, "/")))
        #expect(failed?.kind == .protocolError, "\(failed?.text ?? "taken")")
    }

    /// Answers that never end, or end too late, beside a body's limit of 1,000 bytes.
    enum Flood: String, CaseIterable {
        case length, chunk, chunks, untilClose, chunkLine, emptyLines, headerLine, firstLine, headers

        var wire: String {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            func many(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }
            return switch self {
            case .length: "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
            case .chunk: chunked + "3e9\r\n"
            case .chunks: chunked + "3e8\r\n" + many("x", 1_000) + "\r\n1\r\nx\r\n"
            case .untilClose: "HTTP/1.1 200 OK\r\n\r\n" + many("x", 1_001)
            case .chunkLine: chunked + many("0", 300_000)
            case .emptyLines: chunked + many("\r\n", 2_000_000)
            case .headerLine: "HTTP/1.1 200 OK\r\nX: " + many("x", 70_000)
            case .firstLine: many("x", 70_000)
            case .headers: "HTTP/1.1 200 OK\r\n" + many("X: " + many("y", 30) + "\r\n", 3_000)
            }
        }
    }

    @Test("an answer that would fill memory is refused", arguments: Flood.allCases, [true, false])
    func tooLarge(flood: Flood, isStreamed: Bool) throws {
        let wire = Array(flood.wire.utf8)
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send(wire)
            peer.waitForClose()
        }
        let failed = failure { () throws(TransportError) in
            try makeClientUnchecked(server.url).perform(
                HTTPRequest(.get, "/"), bodyLimit: 1_000, onBody: isStreamed ? { _ in } : nil)
        }
        #expect(failed?.kind == .protocolError, "\(failed?.text ?? "taken")")
    }

    @Test("a body of exactly the limit is taken, whatever its framing", arguments: [true, false])
    func atLimit(isChunked: Bool) throws {
        let body = String(repeating: "x", count: 300_000)
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            if isChunked {
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n\(body)\r\n0\r\n\r\n")
            } else {
                peer.answer(body)
            }
        }
        let response = try makeClient(server.url).perform(HTTPRequest(.get, "/"), bodyLimit: 300_000)
        #expect(text(response) == body)
    }

    @Test("an error of the body's reader ends the request")
    func aborted() throws {
        struct Stop: Error {}
        let server = try ScriptedServer { peer, _ in
            peer.readRequest()
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
            peer.waitForClose()
        }
        let client = try makeClient(server.url)
        var calls = 0
        let failed = failure { () throws(TransportError) in
            try client.perform(
                HTTPRequest(.get, "/"),
                onBody: { _ in
                    calls += 1
                    throw Stop()
                })
        }
        #expect(failed?.kind == .aborted)
        #expect(calls == 1)
    }

    @Test("an early refusal of a large body is read, though the rest of the body is not")
    func earlyAnswer() throws {
        // Given a server that reads the head alone, refuses and closes
        let server = try ScriptedServer { peer, _ in
            _ = peer.read(100)
            peer.answer("no", status: "413 Content Too Large", headers: "Connection: close\r\n")
        }
        // When more is posted than the buffers between hold
        let response = try makeClient(server.url).perform(
            HTTPRequest(.post, "/", body: [UInt8](repeating: 0, count: 16 << 20)))
        // Then the refusal is the answer
        #expect(response.status == 413)
        #expect(text(response) == "no")
    }

    @Test(
        "characters that cannot be in a request are refused",
        arguments: [
            HTTPRequest(.get, ""), HTTPRequest(.get, "x"), HTTPRequest(.get, "/a b"), HTTPRequest(.get, "/é"),
            HTTPRequest(.get, "/\r\nX: y"), HTTPRequest(.get, "/#x"), HTTPRequest(.get, "/%4"),
            HTTPRequest(.get, "/", headers: [("X", "a\r\nY: b")]), HTTPRequest(.get, "/", headers: [("X\n", "a")]),
            HTTPRequest(.get, "/", headers: [("", "a")]), HTTPRequest(.get, "/", headers: [("X:", "a")]),
            HTTPRequest(.get, "/", headers: [("X", "a\u{0}b")]),
        ])
    func unsendable(request: HTTPRequest) throws {
        let server = try ScriptedServer { _, _ in }
        let failed = refusal(try makeClientUnchecked(server.url).perform(request))
        #expect(failed?.kind == .notReached)
        #expect(server.connections == 0)
    }
}
