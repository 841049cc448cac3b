internal import Glibc

/// One HTTP request, byte by byte as it is given, on a connection of its own.
enum RawRequest {
    struct Answer {
        let status: Int
        let head: String
        let body: String

        /// The code of an error's object.
        var code: String? { (try? JSON(parsing: body))?[object: "error"]?[string: "code"] }
    }

    /// - Parameter url: of a server on 127.0.0.1.
    static func send(
        _ method: String, _ target: String, to url: String, token: String? = nil, headers: [String] = [],
        body: [UInt8] = []
    ) throws -> Answer {
        guard let port = url.split(separator: ":").last.flatMap({ UInt16($0) }) else {
            throw Failure("no port: \(url)")
        }
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { throw Failure("socket: \(errno)") }
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isConnected else { throw Failure("connect: \(errno)") }
        var lines = ["\(method) \(target) HTTP/1.1", "Host: 127.0.0.1:\(port)", "Connection: close"] + headers
        if let token { lines.append("Authorization: Bearer \(token)") }
        if !body.isEmpty || ["POST", "PUT", "PATCH"].contains(method) { lines.append("Content-Length: \(body.count)") }
        try write(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body, to: socket)
        return try parse(readAll(socket))
    }

    private static func write(_ bytes: [UInt8], to socket: Int32) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            // A server may answer and close before it has read everything.
            if count <= 0 { return }
            rest = rest.dropFirst(count)
        }
    }

    private static func readAll(_ socket: Int32) throws -> [UInt8] {
        let deadline = Deadline()
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            var request = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, deadline.leftMilliseconds) != 0 else { throw Failure("the server did not answer") }
            let count = read(socket, &buffer, buffer.count)
            guard count > 0 else { return answer }
            answer += buffer[..<count]
        }
    }

    private static func parse(_ bytes: [UInt8]) throws -> Answer {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n") else { throw Failure("no answer: \(text)") }
        let head = String(text[..<end.lowerBound])
        guard let status = head.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
            throw Failure("no status: \(head)")
        }
        return Answer(status: status, head: head, body: String(text[end.upperBound...]))
    }
}
