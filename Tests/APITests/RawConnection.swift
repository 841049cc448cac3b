internal import Glibc

/// A connection over which a test sends what no well-behaved client would. Nothing takes longer than ten seconds.
final class RawConnection {
    private let descriptor: Int32
    private var buffer: [UInt8] = []

    init(_ server: TestServer) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var time = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = server.port.bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        let code = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { throw Failure(what: "connect: \(errno)") }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            done += count
        }
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// One request and its answer. The body's length is announced unless a header of `headers` says otherwise.
    func request(
        _ method: String, _ target: String, headers: [String] = [], body: [UInt8]? = nil
    ) throws -> Answer {
        var head = "\(method) \(target) HTTP/1.1\r\nHost: test\r\n"
        for header in headers { head += header + "\r\n" }
        let saysLength = headers.contains { $0.hasPrefix("Content-Length") || $0.hasPrefix("Transfer-Encoding") }
        if let body, !saysLength { head += "Content-Length: \(body.count)\r\n" }
        send(Array((head + "\r\n").utf8) + (body ?? []))
        return try answer(toHead: method == "HEAD")
    }

    func answer(toHead: Bool = false) throws -> Answer {
        let (status, headers) = try head()
        func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name }?.value }
        var body: [UInt8] = []
        if toHead {
            return Answer(status: status, headers: headers, body: [])
        } else if header("transfer-encoding") == "chunked" {
            while true {
                guard let count = Int(try line(), radix: 16) else { throw Failure(what: "a chunk has no length") }
                body += try take(count)
                _ = try line()
                if count == 0 { break }
            }
        } else if let length = header("content-length").flatMap({ Int($0) }) {
            body = try take(length)
        }
        return Answer(status: status, headers: headers, body: body)
    }

    /// Status line and headers, the body left where it is.
    func head() throws -> (status: Int, headers: [(name: String, value: String)]) {
        let words = try line().split(separator: " ")
        guard words.count >= 2, let status = Int(words[1]) else { throw Failure(what: "no status: \(words)") }
        var headers: [(name: String, value: String)] = []
        while true {
            let line = try line()
            if line.isEmpty { return (status, headers) }
            let parts = line.split(separator: ":", maxSplits: 1)
            headers.append((String(parts[0]), parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""))
        }
    }

    func take(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            guard fill() else { throw Failure(what: "ended after \(buffer.count) of \(count) bytes") }
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer.prefix(count))
    }

    private func line() throws -> String {
        while true {
            if let end = buffer.firstIndex(of: 0x0A) {
                let line = buffer[..<end].filter { $0 != 0x0D }
                buffer.removeSubrange(...end)
                return String(decoding: line, as: UTF8.self)
            }
            guard fill() else { throw Failure(what: "ended in a line") }
        }
    }

    private func fill() -> Bool {
        var piece = [UInt8](repeating: 0, count: 256 << 10)
        let count = recv(descriptor, &piece, piece.count, 0)
        guard count > 0 else { return false }
        buffer += piece[..<count]
        return true
    }
}
