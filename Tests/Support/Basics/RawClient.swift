internal import Glibc

/// An encrypted stream that a `RawClient` uses instead of its socket.
package protocol SecureStream: AnyObject {
    func send(_ bytes: UnsafeRawBufferPointer) -> Int
    /// - Returns: 0 at the end, -1 if nothing arrived before the timeout.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int
    func finishSending()
}

/// An HTTP client that sends exactly the given bytes, valid or not. Its calls block.
package final class RawClient {
    package let descriptor: Int32
    package private(set) var stream: (any SecureStream)?
    private var buffer: [UInt8] = []

    /// - Parameters:
    ///   - timeoutSeconds: the timeout of each system call.
    ///   - receiveBuffer: how many bytes the kernel buffers for a client that does not read.
    package init(
        port: UInt16, timeoutSeconds: Int = 60, receiveBuffer: Int32? = nil,
        secure: (Int32) throws -> (any SecureStream)? = { _ in nil }
    ) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("socket: \(errno)") }
        var time = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        if var receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        guard Loopback.connect(to: port, descriptor) != nil else { throw Failure("connect: \(errno)") }
        stream = try secure(descriptor)
    }

    /// - Parameter url: the address of a server on 127.0.0.1.
    package convenience init(_ url: String, timeoutSeconds: Int = 60, receiveBuffer: Int32? = nil) throws {
        guard let port = url.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw Failure("no port: \(url)")
        }
        try self.init(port: port, timeoutSeconds: timeoutSeconds, receiveBuffer: receiveBuffer)
    }

    deinit { close(descriptor) }

    // MARK: Sending

    /// - Returns: false if the server has closed the connection or accepted nothing before the timeout.
    @discardableResult
    package func send(_ bytes: [UInt8]) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                let rest = UnsafeRawBufferPointer(rebasing: all[done...])
                return stream?.send(rest) ?? Glibc.send(descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            done += count
        }
        return true
    }

    @discardableResult
    package func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    package func finishSending() {
        stream?.finishSending()
        shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Sends a request and reads its answer.
    package func request(
        _ method: String, _ target: String, headers: [String] = [], token: String? = nil, body: [UInt8]? = nil
    ) throws -> Answer {
        sendRequest(method, target, headers: headers, token: token, body: body)
        return try answer(toHead: method == "HEAD")
    }

    /// Sends a request with `Host`. It adds `Content-Length` if there is a body and no header gives its length.
    package func sendRequest(
        _ method: String, _ target: String, headers: [String] = [], token: String? = nil, body: [UInt8]? = nil
    ) {
        var head = "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n"
        if let token { head += "Authorization: Bearer \(token)\r\n" }
        for header in headers { head += header + "\r\n" }
        let saysLength = headers.contains { $0.hasPrefix("Content-Length") || $0.hasPrefix("Transfer-Encoding") }
        if let body, !saysLength { head += "Content-Length: \(body.count)\r\n" }
        send(Array((head + "\r\n").utf8) + (body ?? []))
    }

    // MARK: Receiving

    package func answer(toHead: Bool = false) throws -> Answer {
        let (status, headers) = try head()
        func header(_ name: String) -> String? { headers.first { $0.name.lowercased() == name }?.value }
        var body: [UInt8] = []
        if toHead || status == 100 || status == 204 || status == 304 {
            return Answer(status: status, headers: headers, body: [])
        } else if header("transfer-encoding") == "chunked" {
            while true {
                guard let count = Int(try line(), radix: 16) else { throw Failure("a chunk has no length") }
                body += try take(count)
                _ = try line()
                if count == 0 { break }
            }
        } else if let length = header("content-length").flatMap({ Int($0) }) {
            body = try take(length)
        }
        return Answer(status: status, headers: headers, body: body)
    }

    /// Reads the status line and the headers, but not the body.
    package func head() throws -> (status: Int, headers: [(name: String, value: String)]) {
        let words = try line().split(separator: " ")
        guard words.count >= 2, let status = Int(words[1]) else { throw Failure("no status: \(words)") }
        var headers: [(name: String, value: String)] = []
        while true {
            let line = try line()
            if line.isEmpty { return (status, headers) }
            let parts = line.split(separator: ":", maxSplits: 1)
            headers.append((String(parts[0]), parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""))
        }
    }

    /// The status of the next answer, or nil if the server closes the connection without one.
    package func status() throws -> Int? {
        if buffer.isEmpty, !fill() {
            if errno == EAGAIN { throw Failure("the server did not answer") }
            return nil
        }
        return try head().status
    }

    /// Everything up to the end of the connection, or to a reset.
    package func readToEnd() -> [UInt8] {
        while fill() {}
        defer { buffer = [] }
        return buffer
    }

    /// True if the server closes the connection before the timeout without sending more.
    package func isClosedByPeer() -> Bool {
        if !buffer.isEmpty { return false }
        var byte: UInt8 = 0
        if let stream { return withUnsafeMutableBytes(of: &byte) { stream.receive(into: $0) } == 0 }
        let count = recv(descriptor, &byte, 1, 0)
        return count == 0 || (count < 0 && errno == ECONNRESET)
    }

    package func take(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            guard fill() else { throw Failure("ended after \(buffer.count) of \(count) bytes") }
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
            guard fill() else { throw Failure("ended in a line, errno \(errno), behind \(buffer.count) bytes") }
        }
    }

    private func fill() -> Bool {
        var piece = [UInt8](repeating: 0, count: 256 << 10)
        errno = 0
        let count = piece.withUnsafeMutableBytes {
            stream?.receive(into: $0) ?? recv(descriptor, $0.baseAddress, $0.count, 0)
        }
        guard count > 0 else { return false }
        buffer += piece[..<count]
        return true
    }
}

/// An HTTP answer as received.
package struct Answer: Sendable, CustomStringConvertible {
    package let status: Int
    package let headers: [(name: String, value: String)]
    package let body: [UInt8]

    package init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
        (self.status, self.headers, self.body) = (status, headers, body)
    }

    /// The header of this name. The result is also nil if there are several.
    package func header(_ name: String) -> String? {
        let found = headers.filter { $0.name.lowercased() == name.lowercased() }
        return found.count == 1 ? found[0].value : nil
    }

    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The status and all headers, one per line.
    package var head: String { "\(status)\r\n" + headers.map { "\($0.name): \($0.value)\r\n" }.joined() }

    package var description: String { "\(head)\r\n\(text)" }
}
