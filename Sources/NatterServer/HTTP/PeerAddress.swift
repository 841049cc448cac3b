internal import CMicroHTTPD
internal import Glibc
internal import NatterSystem

/// The IP address of a client or a proxy.
public struct PeerAddress: Sendable, Hashable {
    /// The unit that counts as one client: an IPv4 address, or an IPv6 /64 network, because one host usually has a
    /// whole one.
    struct Key: Hashable {
        fileprivate let isIPv6: Bool
        fileprivate let bits: UInt64
    }

    /// 4 or 16 bytes, in network order. An IPv4 address has 4, even if it came over an IPv6 socket.
    private let bytes: [UInt8]

    /// - Parameter address: as accept(2) returns it. The result is nil if it is neither IPv4 nor IPv6.
    init?(_ address: UnsafePointer<sockaddr>?) {
        guard let address else { return nil }
        let raw = UnsafeRawPointer(address)
        switch Int32(address.pointee.sa_family) {
        case AF_INET: self.init(bytes: [UInt8](UnsafeRawBufferPointer(start: raw + 4, count: 4)))
        case AF_INET6: self.init(bytes: [UInt8](UnsafeRawBufferPointer(start: raw + 8, count: 16)))
        default: return nil
        }
    }

    /// Parses a numeric address such as `192.0.2.1` or `2001:db8::1`. Returns nil for anything else, including brackets
    /// and zones.
    public init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.init(bytes: Array(bytes.prefix(4)))
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.init(bytes: bytes)
        } else {
            return nil
        }
    }

    private init(bytes: [UInt8]) {
        let isMapped =
            bytes.count == 16 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        self.bytes = isMapped ? [UInt8](bytes[12...]) : bytes
    }

    var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
    }

    /// The key for limits per client. It is nil for loopback, which has no such limits.
    var key: Key? {
        if isLoopback { return nil }
        return Key(isIPv6: bytes.count == 16, bits: bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    /// The first address of its network, an IPv4 /24 or an IPv6 /64. All of loopback is one network: whoever is on this machine may
    /// choose among 16 million addresses.
    var networkText: String {
        if isLoopback { return "127.0.0.0" }
        let kept = bytes.count == 16 ? 8 : 3
        return PeerAddress(bytes: bytes.prefix(kept) + [UInt8](repeating: 0, count: bytes.count - kept)).text
    }

    /// The numeric form, without a port.
    public var text: String { Host.text(ofAddress: bytes, bytes.count == 4 ? AF_INET : AF_INET6) ?? "" }
}
