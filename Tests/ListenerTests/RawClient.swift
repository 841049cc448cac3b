import Glibc

/// A client that sends what it is told, right or wrong, and blocks; nothing takes longer than a minute.
final class RawClient {
    struct Response: Equatable {
        var status: Int
        var headers: [String: String]
        var body: [UInt8]
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    struct Failure: Error {
        let what: String
    }

    let descriptor: Int32
    private var buffer: [UInt8] = []
    private(set) var tls: TLSClient?

    /// - Parameter receiveBuffer: bytes that the kernel may keep for a reader that does not read.
    convenience init(_ server: TestServer, receiveBuffer: Int32? = nil) throws {
        try self.init(port: server.port, wire: server.wire, receiveBuffer: receiveBuffer)
    }

    init(port: UInt16, wire: Wire = .plain, receiveBuffer: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var time = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        if var receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        let code = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { throw Failure(what: "connect: \(errno)") }
        if wire == .tls { tls = try TLSClient(descriptor) }
    }

    deinit { close(descriptor) }

    /// - Returns: false if the other side has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[done...])
                return tls?.send(rest) ?? Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    func finishSending() {
        tls?.finishSending()
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// A request with Host and, if there is a body, its length.
    func request(_ method: String, _ target: String, headers: [String] = [], body: [UInt8]? = nil) throws -> Response {
        sendRequest(method, target, headers: headers, body: body)
        return try response(toHead: method == "HEAD")
    }

    func sendRequest(_ method: String, _ target: String, headers: [String] = [], body: [UInt8]? = nil) {
        var head = "\(method) \(target) HTTP/1.1\r\nHost: test\r\n"
        for header in headers { head += header + "\r\n" }
        if let body { head += "Content-Length: \(body.count)\r\n" }
        send(Array((head + "\r\n").utf8) + (body ?? []))
    }

    func response(toHead: Bool = false) throws -> Response {
        var head: [String] = []
        while true {
            let line = try line()
            if line.isEmpty { break }
            head.append(line)
        }
        let first = head.first?.split(separator: " ") ?? []
        guard first.count >= 2, let status = Int(first[1]) else { throw Failure(what: "no status: \(head)") }
        var headers: [String: String] = [:]
        for line in head.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers[parts[0].lowercased()] = parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
        }
        var response = Response(status: status, headers: headers, body: [])
        if toHead || status == 100 || status == 204 || status == 304 { return response }
        if headers["transfer-encoding"] == "chunked" {
            while true {
                guard let count = Int(try line(), radix: 16) else { throw Failure(what: "bad chunk") }
                response.body += try take(count)
                _ = try line()
                if count == 0 { break }
            }
        } else if let length = headers["content-length"].flatMap({ Int($0) }) {
            response.body = try take(length)
        }
        return response
    }

    /// Everything up to the end of the connection; a reset is an end as well.
    func readToEnd() -> [UInt8] {
        while fill() {}
        defer { buffer = [] }
        return buffer
    }

    /// Whether the other side ends the connection, with nothing more sent, within a minute.
    func isClosedByPeer() -> Bool {
        if !buffer.isEmpty { return false }
        var byte: UInt8 = 0
        if let tls { return withUnsafeMutableBytes(of: &byte) { tls.receive(into: $0) } == 0 }
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || (count < 0 && errno == ECONNRESET)
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
        let count = piece.withUnsafeMutableBytes {
            tls?.receive(into: $0) ?? recv(descriptor, $0.baseAddress, $0.count, 0)
        }
        guard count > 0 else { return false }
        buffer += piece[..<count]
        return true
    }
}
