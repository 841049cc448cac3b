import Glibc
import NatterSystem

/// A server on a free port that gives each connection one answer, or none at all.
final class UnsteadyServer: Sendable {
    enum Step: Sendable {
        /// Reads the request and closes the connection.
        case drop
        case answer(status: String, body: String)
    }

    let url: String
    private let listener: Int32
    private let thread: SystemThread
    private let bodies: Monitor<[String]>

    /// The bodies of the requests so far.
    var requests: [String] { bodies.withLock { $0 } }

    /// - Parameter steps: one for each connection; the last one for all that follow.
    init(_ steps: [Step]) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(listener, address, length) == 0 && listen(listener, 16) == 0
                    && getsockname(listener, address, &length) == 0
            }
        }
        guard bound else { throw Failure(what: "cannot listen: \(errno)") }
        let bodies = Monitor<[String]>([])
        (self.listener, self.bodies) = (listener, bodies)
        url = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
        thread = try SystemThread(name: "test-server") {
            var number = 0
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                let body = UnsteadyServer.readRequest(connection)
                bodies.withLock { $0.append(body) }
                if case .answer(let status, let body) = steps[min(number, steps.count - 1)] {
                    let text =
                        "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\nConnection: close\r\n"
                        + "Natter-Store: 0123456789abcdef0123456789abcdef\r\n\r\n\(body)"
                    _ = Array(text.utf8).withUnsafeBytes { send(connection, $0.baseAddress, $0.count, 0) }
                }
                number += 1
                close(connection)
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        thread.join()
        close(listener)
    }

    private static func readRequest(_ connection: Int32) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.utf8.firstRange(of: "\r\n\r\n".utf8) {
                let head = text.utf8[..<end.lowerBound]
                let length =
                    String(decoding: head, as: UTF8.self).split(separator: "\r\n")
                    .first { $0.lowercased().hasPrefix("content-length:") }
                    .flatMap { Int($0.dropFirst(15).filter { $0 != " " }) } ?? 0
                let body = text.utf8[end.upperBound...]
                if body.count >= length { return String(decoding: body, as: UTF8.self) }
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            if count <= 0 { return text }
            bytes += buffer.prefix(count)
        }
    }
}
