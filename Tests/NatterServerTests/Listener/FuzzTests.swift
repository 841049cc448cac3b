import Foundation
import Testing
import TestSupport

/// Requests in a row on one connection, most of them changed by chance. `NATTER_FUZZ_REQUESTS` says how many there are in
/// all, `NATTER_FUZZ_SEED` which.
@Suite("requests that chance has changed")
struct FuzzTests {
    private static let streams: UInt64 = 8
    private static let requests = number(inEnvironment: "NATTER_FUZZ_REQUESTS") ?? 100_000
    private static let firstSeed: UInt64 = number(inEnvironment: "NATTER_FUZZ_SEED") ?? 1

    private static let models = [
        "GET /v1/x?a=b HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
        "POST /later HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nCookie: a=b; c=\"d\"\r\n\r\nok",
        "GET /%41/b HTTP/1.1\r\nhost: test:80\r\nX-Y:  z \r\n\r\n",
        "POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        "HEAD /download/10/1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "POST /echo HTTP/1.0\r\nHost: test\r\nContent-Length: 2\r\n\r\nok",
        "GET http://test:80/v1/x?a=b HTTP/1.1\r\nHost: test\r\n\r\n",
    ].map { Array($0.utf8) }
    private static let pieces = [
        "\r", "\n", "\r\n", "\0", " ", "\t", ":", ",", ";", "%", "0", "Host: b\r\n", "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n", "HTTP/1.1", "\u{7f}", "ffffffffffffffff", "\r\n\r\n", " \r\n", "\n ",
        "Content-Length : 4\r\n", "Content-Length: 0x4\r\n", "Transfer-Encoding: x\r\n", "GET /x HTTP/1.1\r\n",
        "\u{85}",
    ].map { Array($0.utf8) }

    @Test(
        "none is answered that a strict reader would not understand, and nothing after it",
        .timeLimit(.minutes(60)), arguments: firstSeed..<firstSeed + streams, Wire.allCases)
    func understood(seed: UInt64, wire: Wire) throws {
        var generator = SeededGenerator(seed: seed)
        let server = try ListenerServer(wire)
        var sent = 0
        // A handshake costs as much as many requests, and the same reader is behind it.
        while sent < Self.requests / Int(Self.streams) / (wire == .tls ? 50 : 1) {
            var bytes: [UInt8] = []
            let count = Int.random(in: 1...6, using: &generator)
            for _ in 0..<count { bytes += request(using: &generator) }
            sent += count
            try check(bytes, on: server, seed: seed)
        }
        #expect(try RawClient(server).request("GET", "/x").text == "<x>")
    }

    /// One of the models; two in three of them changed, most of these at one place.
    private func request(using generator: inout SeededGenerator) -> [UInt8] {
        // The last ones end a connection, so they come less often.
        let last = Int.random(in: 0..<4, using: &generator) == 0 ? Self.models.count : 4
        var bytes = Self.models[Int.random(in: 0..<last, using: &generator)]
        guard Int.random(in: 0..<3, using: &generator) > 0 else { return bytes }
        for _ in 0..<(Int.random(in: 0..<4, using: &generator) == 0 ? 3 : 1) { change(&bytes, using: &generator) }
        return bytes
    }

    private func check(_ bytes: [UInt8], on server: ListenerServer, seed: UInt64) throws {
        let reading = StrictReading(bytes)
        let client = try RawClient(server)
        client.send(bytes)
        client.finishSending()
        let text = { "seed \(seed): \(String(decoding: bytes, as: UTF8.self).debugDescription)" }
        var answers = Answers(client.readToEnd())
        // Each understood request may be answered, in order. A refusal may follow, and ends the connection.
        for request in reading.requests {
            let before = answers
            guard var answer = answers.next(toHead: request.method == "HEAD") else { break }
            // A request that the listener did not understand was no HEAD to it, and the refusal has a body.
            if answer.status >= 400, answer.isLast, !answers.isAtEnd {
                answers = before
                answer = answers.next() ?? answer
            }
            if let body = expected(request), answer.status == 200 {
                #expect(answer.body == body, "\(answer) for \(text())")
            } else {
                #expect(answer.status == 200 || (400..<500).contains(answer.status), "\(answer) for \(text())")
            }
            if request.isLast || answer.isLast {
                #expect(answers.isAtEnd, "something follows the last answer for \(text())")
                return
            }
        }
        // Bytes that are no request may still begin with HEAD, and then their refusal has no body.
        if let refusal = answers.next() ?? answers.next(toHead: true) {
            #expect((400...505).contains(refusal.status), "\(refusal) is one answer too many for \(text())")
            #expect(refusal.isLast, "the connection is not closed for \(text())")
        }
        #expect(answers.isAtEnd, "something follows the last answer for \(text())")
    }

    /// The test handler's answer to a request that is like a model, as far as that is plain.
    private func expected(_ request: StrictReading.Request) -> [UInt8]? {
        if request.method == "HEAD" { return [] }
        switch request.target {
        case "/echo", "/later": return request.body
        case "/v1/x?a=b": return Array("<v1><x> a=b".utf8)
        case "/%41/b": return Array("<A><b>".utf8)
        default: return nil
        }
    }

    private func change(_ bytes: inout [UInt8], using generator: inout SeededGenerator) {
        let place = Int.random(in: 0..<max(1, bytes.count), using: &generator)
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: place)
        case 2, 3: bytes.insert(contentsOf: Self.pieces.randomElement(using: &generator) ?? [], at: place)
        case 4: bytes.removeSubrange(place..<min(bytes.count, place + 8))
        default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        }
        if bytes.isEmpty { bytes = [0] }
    }
}

/// Takes answers off the bytes of a connection, one after the other.
private struct Answers {
    struct Answer {
        let status: Int
        let body: [UInt8]
        let isLast: Bool
    }

    private let bytes: [UInt8]
    private var place = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isAtEnd: Bool { place == bytes.count }

    /// nil where there is no whole one.
    mutating func next(toHead: Bool = false) -> Answer? {
        var cursor = place
        var lines: [String] = []
        while true {
            guard let end = bytes[cursor...].firstIndex(of: 0x0A) else { return nil }
            let line = String(decoding: bytes[cursor..<end].filter { $0 != 0x0D }, as: UTF8.self)
            cursor = end + 1
            if line.isEmpty { break }
            lines.append(line)
        }
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else { return nil }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " }) }
        }
        var body: [UInt8] = []
        if !toHead {
            guard let taken = take(&cursor, headers) else { return nil }
            body = taken
        }
        place = cursor
        return Answer(status: status, body: body, isLast: headers["connection"] == "close")
    }

    private func take(_ cursor: inout Int, _ headers: [String: String]) -> [UInt8]? {
        guard headers["transfer-encoding"] == "chunked" else {
            let end = cursor + (headers["content-length"].flatMap { Int($0) } ?? 0)
            guard end <= bytes.count else { return nil }
            defer { cursor = end }
            return Array(bytes[cursor..<end])
        }
        var body: [UInt8] = []
        while true {
            guard let end = bytes[cursor...].firstIndex(of: 0x0A), end > cursor,
                let count = Int(String(decoding: bytes[cursor..<end - 1], as: UTF8.self), radix: 16),
                end + 1 + count + 2 <= bytes.count
            else { return nil }
            body += bytes[(end + 1)..<(end + 1 + count)]
            cursor = end + 1 + count + 2
            if count == 0 { return body }
        }
    }
}
