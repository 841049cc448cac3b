internal import Foundation
internal import Glibc
internal import TestSupport

/// Stands between a client and a real server and spoils answers, as a seed says: lengths, types, order, sizes, repeats,
/// stalls.
///
/// Answers are kept by method and path, so that the server is asked only a few times for each.
final class HostileServer: Sendable {
    /// How many answers of one kind are kept.
    private static let variants = 6

    let port: UInt16
    private let listener: Int32
    private let state: Shared<State>

    private struct State: Sendable {
        var server: UInt16
        var sockets: Set<Int32> = []
        var kept: [String: [[UInt8]]] = [:]
        var generator = SeededGenerator(seed: 0)
        var isHostile = false
        var fixed: [UInt8]?
        var fixedAnswers = 0
        var asked: Set<String> = []
        var answers = 0
        var spoiled: [String] = []
    }

    var answers: Int { locked { $0.answers } }
    var spoiled: [String] { locked { $0.spoiled } }
    var url: String { "http://127.0.0.1:\(port)" }

    /// - Parameter url: of the real server.
    init(for url: String) throws {
        guard let port = UInt16(url.split(separator: ":").last ?? "") else { throw Failure("no port in \(url)") }
        state = Shared(State(server: port))
        (listener, self.port) = try Loopback.listen()
        Thread.detachNewThread { [weak self, listener] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                guard let self else { return _ = close(client) }
                self.locked { _ = $0.sockets.insert(client) }
                Thread.detachNewThread {
                    while self.carry(client) {}
                    self.locked { _ = $0.sockets.remove(client) }
                    close(client)
                }
            }
        }
    }

    /// Ends all connections. The threads end with them.
    func stop() {
        locked { for socket in $0.sockets { shutdown(socket, Int32(SHUT_RDWR)) } }
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    /// Spoils answers from now on, as `seed` says; nil for none.
    func use(seed: UInt64?) {
        locked {
            $0.isHostile = seed != nil
            $0.generator = SeededGenerator(seed: seed ?? 0)
            $0.spoiled = []
        }
    }

    /// Ends all connections, and gives this answer to every request from now on, as a network's login page does; none, and it
    /// closes each connection. nil for the server's answers.
    func answerAll(_ fixed: String?) {
        locked {
            $0.fixed = fixed.map { Array($0.utf8) }
            $0.fixedAnswers = 0
            for socket in $0.sockets { shutdown(socket, Int32(SHUT_RDWR)) }
        }
    }

    /// Whether a request with this method and path has come, such as "POST /v1/logout".
    func wasAsked(_ request: String) -> Bool { locked { $0.asked.contains(request) } }

    /// Whether that answer was given.
    var hasAnswered: Bool { locked { $0.fixedAnswers > 0 } }

    private func locked<Result: Sendable>(_ body: (inout State) -> Result) -> Result { state.withLock(body) }

    /// Carries one request and its answer.
    ///
    /// - Returns: whether the connection stays open.
    private func carry(_ client: Int32) -> Bool {
        guard let request = Loopback.message(from: client) else { return false }
        let line = String(decoding: request.prefix { $0 != 0x0D }, as: UTF8.self)
        locked { _ = $0.asked.insert(line.split(whereSeparator: " ?".contains).prefix(2).joined(separator: " ")) }
        if let fixed = locked({ $0.fixed }) {
            _ = Loopback.send(fixed, to: client)
            locked { $0.fixedAnswers += 1 }
            return false
        }
        guard let answer = answer(to: HostileServer.harmless(request)) else { return false }
        let plan: (steps: [AnswerStep], name: String)? = locked { own in
            own.answers += 1
            guard own.isHostile, !own.generator.once(in: 4) else { return nil }
            var spoiler = Spoiler(generator: own.generator)
            let plan = spoiler.spoil(answer)
            own.generator = spoiler.generator
            own.spoiled.append(plan.name)
            return plan
        }
        guard let plan else { return Loopback.send(answer, to: client) }
        for step in plan.steps {
            switch step {
            case .bytes(let bytes): guard Loopback.send(bytes, to: client) else { return false }
            case .pause: usleep(20_000)
            case .stall:
                // Until the client gives up.
                var byte: UInt8 = 0
                while recv(client, &byte, 1, 0) > 0 {}
                return false
            case .reset:
                Loopback.resetOnClose(client)
                return false
            case .close: return false
            }
        }
        return true
    }

    /// Another request in the place of one that would end the session for all later runs.
    private static func harmless(_ request: [UInt8]) -> [UInt8] {
        let text = String(decoding: request, as: UTF8.self)
        guard text.hasPrefix("POST /v1/logout") || text.hasPrefix("POST /v1/password") else { return request }
        let token = text.components(separatedBy: "\r\n").first { $0.lowercased().hasPrefix("authorization:") }
        return Array("GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\n\(token ?? "X: y")\r\n\r\n".utf8)
    }

    /// The real answer, or one that was given to the same kind of request before.
    private func answer(to request: [UInt8]) -> [UInt8]? {
        let head = String(decoding: request.prefix { $0 != 0x0D }, as: UTF8.self)
        let form = request.count < 100_000 && String(decoding: request, as: UTF8.self).contains("vnd.natter") ? "b" : ""
        let key = String(head.prefix { $0 != "?" }) + form
        let known: [UInt8]? = locked { own in
            guard own.isHostile, let known = own.kept[key], known.count >= HostileServer.variants else { return nil }
            return known.randomElement(using: &own.generator)
        }
        if let known { return known }
        guard let socket = Loopback.connect(to: locked { $0.server }) else { return nil }
        defer { close(socket) }
        guard Loopback.send(request, to: socket), let answer = Loopback.message(from: socket) else { return nil }
        locked { $0.kept[key, default: []].append(answer) }
        return answer
    }
}

enum AnswerStep {
    case bytes([UInt8])
    case pause, stall, reset, close
}

/// Makes another answer of an honest one.
struct Spoiler {
    var generator: SeededGenerator

    mutating func spoil(_ answer: [UInt8]) -> (steps: [AnswerStep], name: String) {
        guard let parted = Spoiler.parted(answer) else { return ([.bytes(answer)], "none") }
        var (head, body) = parted
        switch generator.int(0...19) {
        case 0: return spoilFraming(head, body)
        case 1: return spoilTransport(answer)
        case 2:
            head[0] =
                "HTTP/1.1 \([100, 200, 204, 206, 301, 304, 400, 401, 403, 404, 409, 410, 413, 421, 422, 429, 500, 503, 507, 599, 999].randomElement(using: &generator) ?? 0) X"
            if generator.once(in: 3) { head.append("Retry-After: \(number())") }
            return (whole(head, body), "status")
        case 3:
            for index in head.indices.dropFirst() where generator.once(in: 3) {
                let name = head[index].prefix { $0 != ":" }
                head[index] = "\(name): \(generator.once(in: 2) ? number() : string())"
            }
            return (
                whole(head.filter { !$0.lowercased().hasPrefix("natter-store") || !generator.once(in: 2) }, body),
                "headers"
            )
        case 4:
            body = flipped(body)
            return (whole(head, body), "bytes")
        default: break
        }
        let isFrames = head.contains { $0.lowercased().contains("vnd.natter.blocks") }
        body = isFrames ? spoiledFrames(body) : spoiledJSON(body)
        return (whole(head, body), isFrames ? "frames" : "json")
    }

    // MARK: HTTP

    /// The lines of the head, without those about the length, and the body, without chunks.
    private static func parted(_ answer: [UInt8]) -> (head: [String], body: [UInt8])? {
        let end = Array("\r\n\r\n".utf8)
        guard let start = answer.indices.dropLast(3).first(where: { answer[$0...].starts(with: end) }) else {
            return nil
        }
        var lines = String(decoding: answer[..<start], as: UTF8.self).components(separatedBy: "\r\n")
        var body = Array(answer[(start + 4)...])
        if lines.contains(where: { $0.lowercased().hasPrefix("transfer-encoding") }) {
            var rest = body[...]
            body = []
            while let line = rest.firstIndex(of: 0x0D),
                let length = Int(String(decoding: rest[..<line], as: UTF8.self), radix: 16), length > 0,
                rest.endIndex - line >= length + 4
            {
                body += rest[(line + 2)..<(line + 2 + length)]
                rest = rest[(line + 2 + length + 2)...]
            }
        }
        lines.removeAll { line in
            ["content-length", "transfer-encoding", "connection"].contains { line.lowercased().hasPrefix($0) }
        }
        return (lines, body)
    }

    private func whole(_ head: [String], _ body: [UInt8]) -> [AnswerStep] {
        [.bytes(Array((head + ["Content-Length: \(body.count)", "", ""]).joined(separator: "\r\n").utf8) + body)]
    }

    private mutating func spoilFraming(_ head: [String], _ body: [UInt8]) -> ([AnswerStep], String) {
        let lengths = [
            "Content-Length: \(body.count + 1)", "Content-Length: \(max(0, body.count - 1))", "Content-Length: -1",
            "Content-Length: 18446744073709551616", "Content-Length: 9223372036854775807", "Content-Length: 1e3",
            "Content-Length: 0\r\nContent-Length: 5", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip",
            "Transfer-Encoding: chunked\r\nContent-Length: 4", "Connection: close", "X: y",
            String(repeating: "A: b\r\n", count: 30_000) + "C: d", "L: " + String(repeating: "x", count: 200_000),
        ]
        let line = lengths.randomElement(using: &generator) ?? ""
        return (
            [.bytes(Array((head + [line, "", ""]).joined(separator: "\r\n").utf8) + body), .close],
            "framing " + line.prefix(40)
        )
    }

    private mutating func spoilTransport(_ answer: [UInt8]) -> ([AnswerStep], String) {
        let cut = generator.int(0...answer.count)
        switch generator.int(0...6) {
        case 0: return ([.bytes(Array(answer[..<cut])), .close], "cut")
        case 1: return ([.bytes(Array(answer[..<cut])), .reset], "reset")
        case 2: return ([.bytes(Array(answer[..<cut])), .stall], "stall")
        case 3:
            // Faster than the timeout, slower than the least speed.
            let drip = (0..<400).flatMap { index in
                [AnswerStep.bytes(Array(answer[min(index, answer.count)..<min(index + 1, answer.count)])), .pause]
            }
            return (drip + [.stall], "drip")
        case 4: return ([.bytes(answer + answer)], "twice")
        case 5:
            return (
                [.bytes(Array(String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 50).utf8) + answer)], "continue"
            )
        default: return ([.bytes(generator.bytes(cut % 4_096)), .close], "noise")
        }
    }

    private mutating func flipped(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<generator.int(1...8) where !bytes.isEmpty {
            bytes[generator.int(0...bytes.count - 1)] = UInt8(truncatingIfNeeded: generator.next())
        }
        return bytes
    }

    // MARK: JSON

    private mutating func number() -> String {
        let numbers = [
            "-1", "0", "1", "2147483648", "9223372036854775806", "9223372036854775807", "9223372036854775808",
            "18446744073709551614", "18446744073709551615", "18446744073709551616", "-9223372036854775808", "1e308",
            "1e999", "0.5", "253402300799999", "253402300800000", "65536", "4294967296",
        ]
        return generator.once(in: 3) ? "\(generator.number())" : numbers.randomElement(using: &generator) ?? "0"
    }

    private mutating func string() -> String {
        switch generator.int(0...9) {
        case 0: ""
        case 1: String(repeating: "x", count: generator.int(1...70_000))
        case 2: String(repeating: "y", count: 2 << 20)
        case 3: String(repeating: "\u{301}\u{316}", count: generator.int(1...100_000))
        case 4: #"\u0000\u001b[31m\n\t\u202e"#
        case 5: #"\ud800"#
        case 6: "../../etc/passwd"
        case 7: "@" + String(repeating: "ß", count: generator.int(0...40))
        case 8: "9999-12-31T23:59:60.999999Z"
        default: Data(generator.bytes(generator.int(0...64))).base64EncodedString()
        }
    }

    private mutating func value() -> String {
        switch generator.int(0...9) {
        case 0...3: number()
        case 4...6: "\"" + string() + "\""
        case 7: ["null", "true", "[]", "{}", "[[]]", "{\"a\":1}"].randomElement(using: &generator) ?? "null"
        case 8: String(repeating: "[", count: generator.int(1...100_000))
        default: String(repeating: "{\"a\":", count: 600) + "1" + String(repeating: "}", count: 600)
        }
    }

    /// Changes values, keys, elements and lines of JSON.
    mutating func spoiledJSON(_ body: [UInt8]) -> [UInt8] {
        var text = body
        for _ in 0..<generator.int(1...3) {
            let tokens = JSONTokens(text)
            switch generator.int(0...11) {
            case 0...5:
                guard let range = tokens.values.randomElement(using: &generator) else { break }
                text.replaceSubrange(range, with: value().utf8)
            case 6:
                guard let range = tokens.keys.randomElement(using: &generator) else { break }
                text.replaceSubrange(range, with: "\"x\"".utf8)
            case 7:
                // One element many times.
                guard let range = tokens.values.randomElement(using: &generator) else { break }
                let element = Array(text[range]) + [0x2C]
                let count = min(generator.int(1...20_000), max(1, (4 << 20) / element.count))
                text.insert(contentsOf: Array(repeatElement(element, count: count).joined()), at: range.lowerBound)
            case 8:
                var lines = text.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
                switch generator.int(0...2) {
                case 0: lines.shuffle(using: &generator)
                case 1: lines = lines.filter { _ in !generator.once(in: 3) }
                default: lines = lines.flatMap { [$0, $0] }
                }
                text = Array(lines.joined(separator: [0x0A]))
            case 9: text = Array(text.prefix(generator.int(0...text.count)))
            case 10:
                // Values of two fields change places.
                guard let one = tokens.values.randomElement(using: &generator),
                    let other = tokens.values.randomElement(using: &generator), one.upperBound <= other.lowerBound
                else { break }
                let (first, second) = (Array(text[one]), Array(text[other]))
                text.replaceSubrange(other, with: first)
                text.replaceSubrange(one, with: second)
            default: text = flipped(text)
            }
        }
        return text
    }

    // MARK: Frames

    /// Changes frames of a sync answer, and makes their checksums right again, as a server could.
    private mutating func spoiledFrames(_ body: [UInt8]) -> [UInt8] {
        var frames: [(kind: UInt8, payload: [UInt8])] = []
        var rest = body[...]
        while rest.count >= 16 {
            let start = rest.startIndex
            let length = (0..<4).reduce(0) { $0 | Int(rest[start + 4 + $1]) << (8 * $1) }
            guard rest.count - 16 >= length else { break }
            frames.append((rest[start], Array(rest[(start + 16)..<(start + 16 + length)])))
            rest = rest[(start + 16 + length)...]
        }
        for _ in 0..<generator.int(1...3) where !frames.isEmpty {
            let place = generator.int(0...frames.count - 1)
            switch generator.int(0...7) {
            case 0: frames.remove(at: place)
            case 1: frames.insert(frames[place], at: generator.int(0...frames.count))
            case 2: frames.swapAt(place, generator.int(0...frames.count - 1))
            case 3:
                frames[place].payload = Array(
                    frames[place].payload.prefix(generator.int(0...frames[place].payload.count)))
            case 4:
                let line =
                    #"{"type":"damaged","conversation":"general","conversation_id":"\#(Spoiler.general(frames))","from":\#(generator.int(1...8)),"to":\#(generator.once(in: 2) ? number() : "9")}"#
                frames.insert((0x4A, Array(line.utf8)), at: place)
            default:
                if frames[place].kind == 0x4A {
                    frames[place].payload = Array(spoiledJSON(frames[place].payload).prefix(1 << 20))
                } else {
                    frames[place].payload = spoiledBlock(frames[place].payload)
                }
            }
        }
        return frames.flatMap { frame in
            var header: [UInt8] = [frame.kind, 0, 0, 0]
            Spoiler.append(UInt32(frame.payload.count), to: &header)
            Spoiler.append(Spoiler.crc32c(frame.payload[...]), to: &header)
            Spoiler.append(Spoiler.crc32c(header[...]), to: &header)
            return header + frame.payload
        }
    }

    private static func general(_ frames: [(kind: UInt8, payload: [UInt8])]) -> String {
        for frame in frames where frame.kind == 0x4A {
            guard let line = try? JSON(parsing: String(decoding: frame.payload, as: UTF8.self)),
                line[string: "name"] == "general"
            else { continue }
            return line[string: "id"] ?? ""
        }
        return ""
    }

    /// Changes a block's header or its stored bytes, with right checksums.
    private mutating func spoiledBlock(_ block: [UInt8]) -> [UInt8] {
        var block = block
        guard block.count > 160 else { return flipped(block) }
        for _ in 0..<generator.int(1...3) {
            if generator.once(in: 2) {
                let place = generator.int(4...151)
                block[place] = generator.once(in: 3) ? 0xFF : UInt8(truncatingIfNeeded: generator.next())
            } else {
                let place = generator.int(160...block.count - 1)
                block[place] = generator.once(in: 3) ? 0xFF : block[place] ^ (1 << UInt8(generator.int(0...7)))
            }
        }
        var checksum: [UInt8] = []
        Spoiler.append(Spoiler.crc32c(block[160...]), to: &checksum)
        block.replaceSubrange(28..<32, with: checksum)
        checksum = []
        Spoiler.append(Spoiler.crc32c(block[..<156]), to: &checksum)
        block.replaceSubrange(156..<160, with: checksum)
        return block
    }

    private static func append(_ number: UInt32, to bytes: inout [UInt8]) {
        for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
    }

    private static func crc32c(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        ~bytes.reduce(~0) { $0 >> 8 ^ table[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] }
    }
}

/// The places of keys and values in a text of JSON or lines of it.
private struct JSONTokens {
    private(set) var values: [Range<Int>] = []
    private(set) var keys: [Range<Int>] = []

    init(_ text: [UInt8]) {
        var starts: [Int] = []
        var index = 0
        while index < text.count {
            let start = index
            switch text[index] {
            case UInt8(ascii: "\""):
                index += 1
                while index < text.count, text[index] != UInt8(ascii: "\"") { index += text[index] == 0x5C ? 2 : 1 }
                index = min(index + 1, text.count)
                if index < text.count, text[index] == UInt8(ascii: ":") {
                    keys.append(start..<index)
                } else {
                    values.append(start..<index)
                }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                starts.append(index)
                index += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                index += 1
                if let start = starts.popLast() { values.append(start..<index) }
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x0A, 0x20: index += 1
            default:
                while index < text.count, !",:]}\n \"".utf8.contains(text[index]) { index += 1 }
                values.append(start..<max(index, start + 1))
                index = max(index, start + 1)
            }
            // A text of many megabytes needs no more places.
            if values.count > 5_000 { return }
        }
    }
}
