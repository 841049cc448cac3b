internal import Glibc

/// TCP sockets on this machine.
package enum Loopback {
    /// - Returns: a listening socket and its port. The port is a free one unless `port` names another.
    package static func listen(
        host: String = "127.0.0.1", port: UInt16 = 0, backlog: Int32 = 64
    ) throws -> (Int32, UInt16) {
        let listener = socket(host.contains(":") ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard listener >= 0 else { throw Failure("socket: \(errno)") }
        var on: Int32 = 1
        // A server that was stopped a moment ago has left connections on its port.
        if port != 0 { setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4) }
        if host.contains(":") { setsockopt(listener, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4) }
        guard let bound = bind(listener, host, port), Glibc.listen(listener, backlog) == 0 else {
            defer { close(listener) }
            throw Failure("cannot listen on \(host): \(errno)")
        }
        return (listener, bound)
    }

    /// - Returns: the port; nil if the socket can't have it.
    private static func bind(_ socket: Int32, _ host: String, _ port: UInt16) -> UInt16? {
        var bound: UInt16?
        _ = withAddress(host, port) { address, length in
            var length = length
            guard Glibc.bind(socket, address, length) == 0 else { return false }
            getsockname(socket, address, &length)
            // The port has the same offset in both address families.
            bound = UInt16(bigEndian: UnsafeRawPointer(address).load(fromByteOffset: 2, as: UInt16.self))
            return true
        }
        return bound
    }

    /// A port on which no socket listens until the process ends.
    package static func closedPort() throws -> UInt16 { try hold(0).1 }

    /// Keeps a port from being given to somebody who asks for a free one. Connections to it are refused, and a server may listen
    /// on it again.
    ///
    /// - Parameter port: 0 for a free one.
    /// - Returns: a socket to close, and its port.
    package static func hold(_ port: UInt16) throws -> (Int32, UInt16) {
        let holder = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        setsockopt(holder, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        guard let bound = bind(holder, "127.0.0.1", port) else {
            defer { close(holder) }
            throw Failure("cannot hold port \(port): \(errno)")
        }
        return (holder, bound)
    }

    /// Connects the given socket or a new one.
    ///
    /// - Returns: nil if no socket listens there.
    package static func connect(to port: UInt16, _ socket: Int32? = nil) -> Int32? {
        let own = socket ?? Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        if withAddress("127.0.0.1", port, { Glibc.connect(own, $0, $1) == 0 }) { return own }
        if socket == nil { close(own) }
        return nil
    }

    private static func withAddress(
        _ host: String, _ port: UInt16, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Bool
    ) -> Bool {
        if host.contains(":") {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            inet_pton(AF_INET6, host, &address.sin6_addr)
            return withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        inet_pton(AF_INET, host, &address.sin_addr)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    /// - Returns: true if all bytes could be sent.
    @discardableResult
    package static func send(_ bytes: [UInt8], to socket: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Sends a whole request to a server. Returns its whole answer, or nil if there is none.
    package static func exchange(_ request: [UInt8], with port: UInt16) -> [UInt8]? {
        guard let server = connect(to: port) else { return nil }
        defer { close(server) }
        guard send(request, to: server) else { return nil }
        return message(from: server)
    }

    /// Reads one request or answer, up to its length, its last chunk, or the end of the connection.
    ///
    /// - Returns: nil if it is incomplete.
    package static func message(from socket: Int32, timeoutMilliseconds: Int32 = 30_000) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while !isWhole(bytes) {
            var request = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard poll(&request, 1, timeoutMilliseconds) > 0 else { return nil }
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0 else { return nil }
            bytes += buffer[..<count]
        }
        return bytes
    }

    private static func isWhole(_ bytes: [UInt8]) -> Bool {
        let end = Array("\r\n\r\n".utf8)
        guard let start = bytes.indices.dropLast(3).first(where: { bytes[$0...].starts(with: end) }) else {
            return false
        }
        let lines = String(decoding: bytes[..<start], as: UTF8.self).lowercased().split(separator: "\r\n")
        if let length = lines.first(where: { $0.hasPrefix("content-length:") }) {
            return bytes.count - start - 4 >= Int(length.dropFirst(15).filter { $0 != " " }) ?? 0
        }
        if lines.contains(where: { $0.hasPrefix("transfer-encoding:") }) {
            return bytes.suffix(5) == Array("0\r\n\r\n".utf8)[...]
        }
        // Without a length there is no body.
        return true
    }

    /// Makes the close of a socket send a reset, so that the peer may also lose data that it has not read yet.
    package static func resetOnClose(_ socket: Int32) {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }
}
