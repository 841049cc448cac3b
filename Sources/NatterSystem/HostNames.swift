internal import Glibc

/// What this machine is called, and where it can be reached.
public enum HostNames {
    /// Its own name; nil if it has none.
    public static var name: String? {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return nil }
        let name = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return name.isEmpty ? nil : name
    }

    /// The addresses of its interfaces that are up, in numbers; not those of loopback and of one link alone.
    public static var addresses: [String] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            let flags = Int32(bitPattern: entry.pointee.ifa_flags)
            guard flags & Int32(IFF_UP) != 0, flags & Int32(IFF_LOOPBACK) == 0,
                let address = entry.pointee.ifa_addr, let text = text(of: address), !found.contains(text)
            else { continue }
            found.append(text)
        }
        return found
    }

    private static func text(of address: UnsafePointer<sockaddr>) -> String? {
        let family = Int32(address.pointee.sa_family)
        let offset: Int
        switch family {
        case AF_INET: offset = 4
        case AF_INET6: offset = 8
        default: return nil
        }
        let bytes = UnsafeRawPointer(address) + offset
        let isOfLinkAlone =
            family == AF_INET6 && bytes.load(as: UInt8.self) == 0xFE
            && bytes.load(fromByteOffset: 1, as: UInt8.self) & 0xC0 == 0x80
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard !isOfLinkAlone, inet_ntop(family, bytes, &buffer, socklen_t(buffer.count)) != nil else { return nil }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
