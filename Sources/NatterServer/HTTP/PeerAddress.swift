internal import CMicroHTTPD
internal import Glibc

/// Where a connection comes from.
struct PeerAddress {
    /// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits, since a host has all of one.
    struct Key: Hashable {
        fileprivate let isIPv6: Bool
        fileprivate let bits: UInt64
    }

    /// nil on loopback, where a limit for each client makes no sense.
    let key: Key?
    /// 4 or 16 bytes, in network order.
    private let bytes: [UInt8]

    /// - Parameter address: as accept(2) gives it; nil if it belongs to no family known here.
    init?(_ address: UnsafePointer<sockaddr>?) {
        guard let address else { return nil }
        let raw = UnsafeRawPointer(address)
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            bytes = [UInt8](UnsafeRawBufferPointer(start: raw + 4, count: 4))
        case AF_INET6:
            let six = [UInt8](UnsafeRawBufferPointer(start: raw + 8, count: 16))
            let isMapped = six[..<10].allSatisfy { $0 == 0 } && six[10] == 0xFF && six[11] == 0xFF
            bytes = isMapped ? [UInt8](six[12...]) : six
        default:
            return nil
        }
        let isLoopback = bytes.count == 4 ? bytes[0] == 127 : bytes[..<15].allSatisfy { $0 == 0 } && bytes[15] == 1
        let bits = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        key = isLoopback ? nil : Key(isIPv6: bytes.count == 16, bits: bits)
    }

    /// In numbers, without a port.
    var text: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes, &buffer, socklen_t(buffer.count)) != nil else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
