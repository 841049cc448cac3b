internal import CSystem
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

/// The command line of this process, as the C library hands it to `main`.
///
/// Swift's `CommandLine` reads it from /proc instead. Without a free descriptor it is empty there, and a command would be
/// taken for one without words.
public enum ProcessArguments {
    /// The number of words, the program's name included.
    public static var count: Int { Int(natter_argument_count()) }

    /// A word, or nil behind the last one. Word 0 is the program's name.
    public static func word(_ index: Int) -> UnsafePointer<CChar>? { natter_argument(Int32(index)) }

    /// The file of the program that runs; nil if its path is unknown or not UTF-8.
    public static var programPath: String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        return 1..<buffer.count ~= count ? String(validating: buffer.prefix(count), as: UTF8.self) : nil
    }
}

/// The memory of this process.
public enum Memory {
    /// Keeps freed memory for what comes next, up to 16 MiB for each thread. By default, the C library gives most of it
    /// back at once. A walk through blocks of a hundred kilobytes then gets each page anew from the kernel, filled with
    /// zeros.
    public static func keepFreed() { natter_keep_freed_memory() }
}

/// A program that works for this process on something from outside: with an environment of its own, no descriptors but the
/// standard ones, and a limit on its memory. It ends with this process.
public enum LimitedProcess {
    /// - Parameters:
    ///   - path: of the program, which is also its first word.
    ///   - words: its arguments.
    ///   - standard: the descriptors that it gets as its standard input, output and error.
    ///   - memory: its limit of address space, in bytes.
    /// - Returns: its number, for waitpid(2).
    /// - Throws: `DiskError` if it can't be started, such as `ENOENT` if it or its interpreter is missing.
    public static func start(
        _ path: String, _ words: [String], environment: [String: String], standard: (Int32, Int32, Int32), memory: Int
    ) throws(DiskError) -> Int32 {
        var arguments = ([path] + words).map { strdup($0) }
        var variables = environment.map { strdup("\($0.key)=\($0.value)") }
        defer { for copy in arguments + variables { free(copy) } }
        arguments.append(nil)
        variables.append(nil)
        let process = natter_start_limited(
            path, arguments, variables, [standard.0, standard.1, standard.2], memory)
        guard process > 0 else { throw DiskError(operation: "run", path: path) }
        return process
    }
}
