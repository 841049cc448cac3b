internal import NatterModel

/// Finds the client of a request that came through proxies, from the trusted part of `X-Forwarded-For`.
///
/// Each proxy appends on the right the address that connected to it. Only the part that trusted proxies appended
/// counts. The client may have invented everything to the left of it.
enum ForwardedFor {
    /// - Parameters:
    ///   - headers: the request's headers in the order sent, with names in lower case.
    ///   - peer: the other end of the connection.
    ///   - proxies: the trusted proxies.
    /// - Returns: the rightmost hop that is not a trusted proxy, or the leftmost hop if all are. The peer itself if it
    ///   is not trusted, if there is no such header, or if a hop that must be read is not an address.
    static func client(
        _ headers: [(name: String, value: String)], peer: PeerAddress, proxies: Set<PeerAddress>
    ) -> PeerAddress {
        guard proxies.contains(peer) else { return peer }
        var client = peer
        for header in headers.reversed() where header.name == "x-forwarded-for" {
            // By bytes: as a character, a comma behind U+0600 is not a comma.
            let hops = header.value.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
            for hop in hops.reversed() {
                guard let address = address(Substring(hop)) else { return peer }
                client = address
                if !proxies.contains(address) { return client }
            }
        }
        return client
    }

    /// Parses an address as proxies write it, with or without a port. An IPv6 address may have brackets.
    private static func address(_ hop: Substring) -> PeerAddress? {
        guard hop.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let text = hop.withoutBlanks
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || isPort(rest) else { return nil }
            let inner = text[text.index(after: text.startIndex)..<end]
            // An IPv4 address must not be in brackets.
            return inner.contains(":") ? PeerAddress(String(inner)) : nil
        }
        if let colon = text.firstIndex(of: ":"), text.lastIndex(of: ":") == colon {
            return isPort(text[colon...]) ? PeerAddress(String(text[..<colon])) : nil
        }
        return PeerAddress(String(text))
    }

    /// True for `:` and a number.
    private static func isPort(_ text: Substring) -> Bool {
        let digits = text.dropFirst()
        return text.hasPrefix(":") && (1...5).contains(digits.utf8.count) && UInt16(digits: digits) != nil
    }
}
