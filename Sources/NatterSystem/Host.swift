internal import Glibc
internal import NatterModel

/// The machine that the program runs on.
public enum Host {
    /// The number of processors that are online.
    public static var processorCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// The host name, or nil if there is none.
    public static var name: String? {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return nil }
        let name = String(upToNUL: buffer)
        return name.isEmpty ? nil : name
    }

    /// The numeric addresses of active interfaces, without loopback and link-local addresses.
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
                let address = entry.pointee.ifa_addr, let text = numeric(address), !found.contains(text)
            else { continue }
            found.append(text)
        }
        return found
    }

    private static func numeric(_ address: UnsafePointer<sockaddr>) -> String? {
        let family = Int32(address.pointee.sa_family)
        let start = UnsafeRawPointer(address)
        switch family {
        case AF_INET:
            var four = start.loadUnaligned(as: sockaddr_in.self).sin_addr
            return text(ofAddress: &four, family)
        case AF_INET6:
            var six = start.loadUnaligned(as: sockaddr_in6.self).sin6_addr
            let isLinkLocal = withUnsafeBytes(of: &six) { $0[0] == 0xFE && $0[1] & 0xC0 == 0x80 }
            return isLinkLocal ? nil : text(ofAddress: &six, family)
        default: return nil
        }
    }

    /// The numeric form of an IPv4 or IPv6 address.
    public static func text(ofAddress address: UnsafeRawPointer, _ family: Int32) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        return inet_ntop(family, address, &buffer, socklen_t(buffer.count)) == nil ? nil : String(upToNUL: buffer)
    }
}

extension Path {
    /// The path from the root, for a process with another working directory.
    public static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }

    /// The path from the root without links, also of something that does not exist yet: then as far as it does.
    public static func real(_ path: String) -> String {
        var (place, missing) = (absolute(path), [String]())
        while true {
            if let found = realpath(place, nil) {
                defer { free(found) }
                let path = missing.reversed().reduce(String(cString: found)) { step(from: $0, to: $1) }
                // A step up may have led back to something that exists.
                return missing.contains("..") ? real(path) : path
            }
            guard place != "/" else { return path }
            missing.append(name(of: place))
            place = directory(of: place)
        }
    }

    private static func step(from directory: String, to name: String) -> String {
        switch name {
        case "", ".": directory
        case "..": self.directory(of: directory)
        default: directory == "/" ? "/" + name : directory + "/" + name
        }
    }

    /// Whether one of two directories lies in the other, or both are the same.
    public static func areNested(_ one: String, _ other: String) -> Bool {
        let (one, other) = (real(one), real(other))
        return one == "/" || other == "/" || (one + "/").hasPrefix(other + "/") || (other + "/").hasPrefix(one + "/")
    }

    /// Creates something with a new name, `prefix-XXXXXX`, in a directory.
    ///
    /// - Parameter make: `mkstemp` or `mkdtemp`; false if it fails.
    public static func temporary(
        _ prefix: String, in directory: String, make: (UnsafeMutablePointer<CChar>) -> Bool
    ) throws(DiskError) -> String {
        var template = Array("\(directory)/\(prefix)-XXXXXX".utf8CString)
        guard make(&template) else { throw DiskError(operation: "create", path: directory) }
        return String(upToNUL: template)
    }
}
