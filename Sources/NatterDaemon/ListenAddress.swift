internal import NatterModel

/// Where to listen: `127.0.0.1:7117`, `[::1]:7117`, `localhost:0`.
struct ListenAddress: Equatable, CustomStringConvertible {
    static let standard = ListenAddress(host: "127.0.0.1", port: 7_117)

    /// Without brackets.
    let host: String
    /// 0 for any free port.
    let port: UInt16

    init(host: String, port: UInt16) { (self.host, self.port) = (host, port) }

    /// nil if it has no such form. Whether the host is an address shows when the socket is created.
    init?(_ text: String) {
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let digits = text[text.index(after: colon)...]
        guard (1...5).contains(digits.utf8.count), digits.utf8.areASCIIDigits,
            let port = UInt16(digits)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.utf8.contains(UInt8(ascii: ":")) {
            // Without brackets the port can't be told from the last part of an IPv6 address.
            return nil
        }
        guard !host.isEmpty else { return nil }
        self.init(host: String(host), port: port)
    }

    /// Whether only this machine can reach it.
    var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127"
            && parts.allSatisfy { UInt8($0) != nil && $0.utf8.areASCIIDigits }
    }

    func with(port: UInt16) -> ListenAddress { ListenAddress(host: host, port: port) }

    var description: String { host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
