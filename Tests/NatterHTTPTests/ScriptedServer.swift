internal import Glibc
internal import NatterSystem

/// A server on a free port of this machine that does to each connection exactly what the test says.
final class ScriptedServer: Sendable {
    let port: UInt16
    private let listener: Int32
    private let thread: SystemThread
    private let log: Monitor<Log>

    struct Log {
        var connections = 0
        var requests: [String] = []
        var closed = 0
        var current: Int32 = -1
        var isStopping = false
    }

    /// - Parameter script: run for one connection after the other; its number begins at 1. The connection is closed
    ///   when it returns.
    init(host: String = "127.0.0.1", port: UInt16 = 0, script: @escaping @Sendable (Peer, Int) -> Void) throws {
        let (listener, bound) = try ScriptedServer.listen(host: host, port: port, backlog: 16)
        let log = Monitor(Log())
        (self.listener, self.port, self.log) = (listener, bound, log)
        thread = try SystemThread(name: "test-server") {
            while true {
                let socket = accept(listener, nil, nil)
                guard socket >= 0 else { return }
                let number = log.withLock { log in
                    log.connections += 1
                    log.current = log.isStopping ? -1 : socket
                    return log.connections
                }
                script(Peer(socket: socket, log: log), number)
                log.withLock { $0.current = -1 }
                close(socket)
                log.signal { $0.closed += 1 }
            }
        }
    }

    deinit {
        log.withLock { log in
            log.isStopping = true
            if log.current >= 0 { shutdown(log.current, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))
        thread.join()
        close(listener)
    }

    var url: String { "http://127.0.0.1:\(port)" }
    var connections: Int { log.withLock { $0.connections } }
    var requests: [String] { log.withLock { $0.requests } }

    /// Waits until so many connections have been closed by this side.
    func waitForClosed(_ count: Int) { _ = log.wait(timeoutMilliseconds: 60_000) { $0.closed >= count ? true : nil } }

    static func listen(host: String, port: UInt16, backlog: Int32) throws -> (Int32, UInt16) {
        let isSix = host.contains(":")
        let listener = socket(isSix ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw DiskError(operation: "open socket", path: host) }
        var on: Int32 = 1
        let result: Int32
        var length: socklen_t
        var bound: UInt16 = 0
        if isSix {
            setsockopt(listener, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4)
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            inet_pton(AF_INET6, host, &address.sin6_addr)
            length = socklen_t(MemoryLayout<sockaddr_in6>.size)
            result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, length) }
            }
            withUnsafeMutablePointer(to: &address) {
                _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
            }
            bound = UInt16(bigEndian: address.sin6_port)
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            inet_pton(AF_INET, host, &address.sin_addr)
            length = socklen_t(MemoryLayout<sockaddr_in>.size)
            result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, length) }
            }
            withUnsafeMutablePointer(to: &address) {
                _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener, $0, &length) }
            }
            bound = UInt16(bigEndian: address.sin_port)
        }
        guard result == 0, Glibc.listen(listener, backlog) == 0 else {
            let error = DiskError(operation: "listen", path: host)
            close(listener)
            throw error
        }
        return (listener, bound)
    }

    /// A port on which nothing listens: it was free a moment ago.
    static func closedPort() throws -> UInt16 {
        let (listener, port) = try listen(host: "127.0.0.1", port: 0, backlog: 1)
        close(listener)
        return port
    }
}

/// The server's end of one connection.
struct Peer: Sendable {
    let socket: Int32
    fileprivate let log: Monitor<ScriptedServer.Log>

    fileprivate init(socket: Int32, log: Monitor<ScriptedServer.Log>) {
        (self.socket, self.log) = (socket, log)
    }

    /// Reads one whole request, its body included.
    ///
    /// - Returns: nil if the client closed the connection first.
    @discardableResult
    func readRequest() -> String? {
        var bytes: [UInt8] = []
        while true {
            if let text = complete(bytes) {
                log.signal { $0.requests.append(text) }
                return text
            }
            guard let more = read(65_536) else { return nil }
            bytes += more
        }
    }

    func read(_ count: Int) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: count)
        let got = recv(socket, &buffer, count, 0)
        return got > 0 ? Array(buffer.prefix(got)) : nil
    }

    /// - Returns: false if the client has closed.
    @discardableResult
    func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard sent > 0 else { return false }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    /// A usual answer with a length.
    func answer(_ body: String, status: String = "200 OK", headers: String = "") {
        send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
    }

    /// Waits until the client has closed the connection.
    func waitForClose() { while read(65_536) != nil {} }

    /// Lets the close send a reset in place of an end.
    func abort() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    /// Lets time pass, where time is what the test is about.
    func pause(milliseconds: Int32) { poll(nil, 0, milliseconds) }

    private func complete(_ bytes: [UInt8]) -> String? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.utf8.firstRange(of: "\r\n\r\n".utf8) else { return nil }
        let head = String(decoding: text.utf8[..<end.lowerBound], as: UTF8.self)
        let length =
            head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int($0.dropFirst(15).filter { $0 != " " }) } ?? 0
        let bodyCount = bytes.count - text.utf8.distance(from: text.utf8.startIndex, to: end.upperBound)
        return bodyCount >= length ? text : nil
    }
}
