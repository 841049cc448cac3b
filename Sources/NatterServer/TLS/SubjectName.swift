internal import Glibc
internal import NatterModel

/// A name that a certificate is valid for: a host name or an IP address.
public struct SubjectName: Sendable, Hashable, CustomStringConvertible {
    enum Form: Hashable {
        case name(String)
        /// 4 or 16 bytes, in network order.
        case address([UInt8])
    }

    let form: Form
    public let description: String

    /// Parses a DNS name, whose first label may be `*`, or a numeric IPv4 or IPv6 address. Returns nil for anything
    /// else.
    public init?(_ text: String) {
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            form = .address(Array(bytes.prefix(4)))
            description = text
            return
        }
        if inet_pton(AF_INET6, text, &bytes) == 1 {
            form = .address(bytes)
            description = text.lowercased()
            return
        }
        let name = text.lowercased()
        guard SubjectName.isHostName(name) else { return nil }
        form = .name(name)
        description = name
    }

    /// Whether this is a host name that stands for `host`: the same name, or one whose `*` stands for its first label.
    ///
    /// - Parameter host: in lower case, without a port.
    public func covers(_ host: String) -> Bool {
        guard case .name(let name) = form else { return false }
        if name.utf8.elementsEqual(host.utf8) { return true }
        guard name.utf8.starts(with: "*.".utf8), let dot = host.utf8.firstIndex(of: UInt8(ascii: ".")),
            dot != host.utf8.startIndex
        else { return false }
        return host.utf8[dot...].elementsEqual(name.utf8.dropFirst())
    }

    private static func isHostName(_ text: String) -> Bool {
        var labels = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)[...]
        if labels.count > 2, labels.first?.elementsEqual("*".utf8) == true { labels = labels.dropFirst() }
        // If the last label had digits only, it would be read as an address.
        guard text.utf8.count <= 253, let last = labels.last, !last.areASCIIDigits else { return false }
        return labels.allSatisfy(\.isHostLabel)
    }
}
