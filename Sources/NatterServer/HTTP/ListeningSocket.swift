internal import CMicroHTTPD
internal import Glibc

/// A listening TCP socket. It is closed with its owner or by ``close()``.
struct ListeningSocket: ~Copyable {
    private(set) var descriptor: Int32
    let port: UInt16

    /// - Parameters:
    ///   - address: numeric, or `localhost`, which means 127.0.0.1. `::` accepts IPv4 as well.
    ///   - port: 0 for any free port.
    init(address: String, port: UInt16) throws(ListenerError) {
        let failure = { ListenerError.cannotListen(address: address, port: port, code: errno) }
        guard let place = SocketAddress(address == "localhost" ? "127.0.0.1" : address, port: port) else {
            throw .notAnAddress(address)
        }
        let descriptor = socket(place.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw failure() }
        var isListening = false
        defer { if !isListening { _ = Glibc.close(descriptor) } }
        var on: Int32 = 1
        var off: Int32 = 0
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        if place.family == AF_INET6 {
            setsockopt(
                descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &off, socklen_t(MemoryLayout<Int32>.size))
        }
        guard
            place.withPointer({ bind(descriptor, $0, $1) }) == 0, listen(descriptor, 4_096) == 0,
            fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0
        else { throw failure() }
        var bound = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let code = withUnsafeMutablePointer(to: &bound) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard code == 0 else { throw failure() }
        // The port has the same offset in both address families, in network byte order.
        self.port = withUnsafeBytes(of: &bound) { UInt16($0[2]) << 8 | UInt16($0[3]) }
        self.descriptor = descriptor
        isListening = true
    }

    deinit { if descriptor >= 0 { _ = Glibc.close(descriptor) } }

    /// Refuses connections from now on.
    mutating func close() {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
    }
}

/// An address to bind, parsed from its numeric form.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private let length: socklen_t
    let family: Int32

    init?(_ text: String, port: UInt16) {
        var four = sockaddr_in()
        var six = sockaddr_in6()
        if inet_pton(AF_INET, text, &four.sin_addr) == 1 {
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = port.bigEndian
            (family, length) = (AF_INET, socklen_t(MemoryLayout<sockaddr_in>.size))
            withUnsafeMutableBytes(of: &storage) { target in
                withUnsafeBytes(of: four) { target.copyMemory(from: $0) }
            }
        } else if inet_pton(AF_INET6, text, &six.sin6_addr) == 1 {
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port.bigEndian
            (family, length) = (AF_INET6, socklen_t(MemoryLayout<sockaddr_in6>.size))
            withUnsafeMutableBytes(of: &storage) { target in
                withUnsafeBytes(of: six) { target.copyMemory(from: $0) }
            }
        } else {
            return nil
        }
    }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
