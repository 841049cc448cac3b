internal import Glibc
public import NatterModel
internal import NatterSystem

/// Why a server's address was refused. `address` is the text as given.
public enum AddressError: FailureConvertible, Equatable {
    case noScheme(address: String)
    case noHost(address: String)
    case badHost(address: String, host: String)
    case badPort(address: String)
    case badPath(address: String)
    /// A user name, a query or a fragment. They have no meaning in a server's address.
    case unwanted(address: String, part: Phrase)

    public var failure: CommandFailure {
        let problem: Phrase =
            switch self {
            case .noScheme(let address): "the server's address '\(address)' is neither http nor https"
            case .noHost(let address): "the server's address '\(address)' names no host"
            case .badHost(let address, let host): "the server's address '\(address)' has no valid host in '\(host)'"
            case .badPort(let address): "the server's address '\(address)' has no valid port, 1 to 65535"
            case .badPath(let address): "the path in the server's address '\(address)' is not percent-encoded"
            case .unwanted(let address, let part): "the server's address '\(address)' may not have \(part)"
            }
        return CommandFailure(
            .configuration, code: "bad_address", problem, remedy: "give it as 'http://HOST:PORT' or 'https://HOST'")
    }
}

/// A server's address: `http://HOST[:PORT][/PATH]`, or the same with `https`.
public struct ServerAddress: Sendable, Hashable, CustomStringConvertible {
    public enum Scheme: String, Sendable, Hashable {
        case http
        case https

        var defaultPort: UInt16 { self == .http ? 80 : 443 }
    }

    public let scheme: Scheme
    /// A name in lower case or a numeric address. IPv6 has no brackets here.
    public let host: String
    public let port: UInt16
    /// The beginning of every path: empty, or `/…` without a slash at its end.
    public let basePath: String

    /// - Throws: `AddressError` for everything that is not exactly such an address. A tolerant parser could send a
    ///   token to a server that its owner did not mean.
    public init(url: String) throws(AddressError) {
        let bytes = Array(url.utf8)
        guard let (scheme, rest) = ServerAddress.splitScheme(bytes) else { throw .noScheme(address: url) }
        if rest.contains(UInt8(ascii: "#")) { throw .unwanted(address: url, part: "a fragment") }
        if rest.contains(UInt8(ascii: "?")) { throw .unwanted(address: url, part: "a query") }
        let authority = rest.prefix { $0 != UInt8(ascii: "/") }
        if authority.contains(UInt8(ascii: "@")) { throw .unwanted(address: url, part: "a user name") }

        let (hostBytes, portBytes) = ServerAddress.splitPort(authority)
        let hostText = String(decoding: hostBytes, as: UTF8.self)
        if hostBytes.isEmpty { throw .noHost(address: url) }
        guard let host = ServerAddress.canonicalHost(hostBytes) else { throw .badHost(address: url, host: hostText) }
        self.scheme = scheme
        self.host = host
        if let portBytes {
            guard (1...5).contains(portBytes.count),
                let port = UInt16(digits: String(decoding: portBytes, as: UTF8.self)), port > 0
            else { throw .badPort(address: url) }
            self.port = port
        } else {
            port = scheme.defaultPort
        }

        var path = rest.dropFirst(authority.count)
        while path.last == UInt8(ascii: "/") { path = path.dropLast() }
        guard PercentEncoding.isPath(path) else { throw .badPath(address: url) }
        basePath = String(decoding: path, as: UTF8.self)
    }

    /// The address in its canonical form, without the scheme's default port.
    public var description: String { "\(scheme.rawValue)://\(hostAndPort)\(basePath)" }

    /// The value of the `Host` header.
    var hostAndPort: String {
        let shown = host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]" : host
        return port == scheme.defaultPort ? shown : "\(shown):\(port)"
    }

    /// Whether data stays on this machine: `localhost`, `127.0.0.0/8` or `::1`.
    public var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        return isNumeric && host.hasPrefix("127.")
    }

    var isNumeric: Bool { NumericAddress.canonical(host) != nil }

    private static func splitScheme(_ bytes: [UInt8]) -> (Scheme, ArraySlice<UInt8>)? {
        for scheme in [Scheme.http, .https] {
            let start = Array("\(scheme.rawValue)://".utf8)
            let given = bytes.prefix(start.count).map { $0.asciiLowercased }
            if given == start { return (scheme, bytes.dropFirst(start.count)) }
        }
        return nil
    }

    private static func splitPort(_ authority: ArraySlice<UInt8>) -> (ArraySlice<UInt8>, ArraySlice<UInt8>?) {
        // The colons inside `[::1]:80` belong to the address, so only those behind the bracket count.
        let afterBracket = authority.lastIndex(of: UInt8(ascii: "]")) ?? authority.startIndex
        guard let colon = authority[afterBracket...].firstIndex(of: UInt8(ascii: ":")) else { return (authority, nil) }
        return (authority[..<colon], authority[(colon + 1)...])
    }

    private static func canonicalHost(_ bytes: ArraySlice<UInt8>) -> String? {
        if bytes.first == UInt8(ascii: "["), bytes.last == UInt8(ascii: "]"), bytes.count > 2 {
            let inner = String(decoding: bytes.dropFirst().dropLast(), as: UTF8.self)
            return inner.utf8.contains(UInt8(ascii: ":")) ? NumericAddress.canonical(inner) : nil
        }
        let text = String(decoding: bytes, as: UTF8.self).lowercased()
        if let numeric = NumericAddress.canonical(text) { return text.utf8.contains(UInt8(ascii: ":")) ? nil : numeric }
        return isHostName(text) ? text : nil
    }

    /// Whether this is a valid DNS name. A name whose last part is a number is refused: resolvers read `127.1` or
    /// `0x7f000001` as addresses, so it would be misleading.
    private static func isHostName(_ text: String) -> Bool {
        guard text.utf8.count <= 253 else { return false }
        var labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        if labels.count > 1, labels.last?.isEmpty == true { labels.removeLast() }
        guard let last = labels.last else { return false }
        let isNumber = last.areASCIIDigits || last.starts(with: "0x".utf8)
        return labels.allSatisfy(\.isHostLabel) && !isNumber
    }
}

/// Addresses written as numbers, which need no resolver.
enum NumericAddress {
    /// - Returns: the canonical form of an IPv4 or IPv6 address; nil for anything else.
    static func canonical(_ text: String) -> String? {
        for family in [AF_INET, AF_INET6] {
            var address = in6_addr()
            if inet_pton(family, text, &address) == 1 { return Host.text(ofAddress: &address, family) }
        }
        return nil
    }
}
