import NatterServer
import Testing

@Suite("requests that chance has changed")
struct FuzzTests {
    private static let models = [
        "GET /v1/x?a=b HTTP/1.1\r\nHost: test\r\nAccept: */*\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello",
        "POST /upload HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        "HEAD /download/10/1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        "POST /later HTTP/1.0\r\nHost: test\r\nContent-Length: 2\r\nCookie: a=b; c=\"d\"\r\n\r\nok",
    ]
    private static let pieces = [
        "\r", "\n", "\r\n", "\0", " ", "\t", ":", ",", ";", "%", "0", "Host: b\r\n", "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n", "HTTP/1.1", "\u{7f}", "ffffffffffffffff", "\r\n\r\n",
    ].map { Array($0.utf8) }

    @Test("neither end the server nor keep it from serving", arguments: UInt64(1)...20, Wire.allCases)
    func survives(seed: UInt64, wire: Wire) throws {
        var generator = SeededGenerator(seed: seed)
        let server = try TestServer(wire) { limits in
            limits.headMilliseconds = 200
            limits.idleMilliseconds = 200
            limits.progressMilliseconds = 200
        }
        for _ in 0..<100 {
            var request: [UInt8] = []
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                request += Array((Self.models.randomElement(using: &generator) ?? "").utf8)
            }
            for _ in 0..<Int.random(in: 1...4, using: &generator) { change(&request, using: &generator) }
            let client = try RawClient(server)
            client.send(request)
            client.finishSending()
            // Whatever it was, it comes to an end, and each answer is one of ours or of the library.
            let answer = client.readToEnd()
            #expect(answer.isEmpty || answer.starts(with: Array("HTTP/1.".utf8)))
        }
        #expect(try RawClient(server).request("GET", "/x").text == "<x>")
    }

    private func change(_ bytes: inout [UInt8], using generator: inout SeededGenerator) {
        let place = Int.random(in: 0..<max(1, bytes.count), using: &generator)
        switch Int.random(in: 0..<5, using: &generator) {
        case 0: bytes[place] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: place)
        case 2: bytes.insert(contentsOf: Self.pieces.randomElement(using: &generator) ?? [], at: place)
        case 3: bytes.removeSubrange(place..<min(bytes.count, place + 8))
        default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        }
        if bytes.isEmpty { bytes = [0] }
    }
}

/// SplitMix64: the same numbers for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
