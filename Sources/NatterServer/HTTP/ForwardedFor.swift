/// Who a request comes from where proxies stand between: what `X-Forwarded-For` says, as far as it can be believed.
///
/// Each proxy adds at the right whom it was asked by, so only what trusted ones have added says anything; what stands to
/// the left of it may be the client's own invention.
enum ForwardedFor {
    /// - Parameters:
    ///   - headers: of the request, names in lower case, in the order in which they were sent.
    ///   - peer: the other end of the connection.
    ///   - proxies: those that are believed.
    /// - Returns: the rightmost hop that is not a trusted proxy; where all are, the leftmost; the peer if it is not
    ///   trusted itself, if nothing is said, or if what must be read is no address.
    static func client(
        _ headers: [(name: String, value: String)], peer: PeerAddress, proxies: Set<PeerAddress>
    ) -> PeerAddress {
        guard proxies.contains(peer) else { return peer }
        var client = peer
        for header in headers.reversed() where header.name == "x-forwarded-for" {
            for hop in header.value.split(separator: ",", omittingEmptySubsequences: false).reversed() {
                guard let address = address(hop) else { return peer }
                client = address
                if !proxies.contains(address) { return client }
            }
        }
        return client
    }

    /// An address as proxies write it: with or without a port, an IPv6 one with or without brackets.
    private static func address(_ hop: Substring) -> PeerAddress? {
        var text = hop
        while let first = text.first, first == " " || first == "\t" { text = text.dropFirst() }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || isPort(rest) else { return nil }
            let inner = text[text.index(after: text.startIndex)..<end]
            // An IPv4 address stands in no brackets.
            return inner.contains(":") ? PeerAddress(String(inner)) : nil
        }
        if let colon = text.firstIndex(of: ":"), text.lastIndex(of: ":") == colon {
            return isPort(text[colon...]) ? PeerAddress(String(text[..<colon])) : nil
        }
        return PeerAddress(String(text))
    }

    /// `:` and a number.
    private static func isPort(_ text: Substring) -> Bool {
        let digits = text.dropFirst()
        return text.hasPrefix(":") && (1...5).contains(digits.utf8.count) && UInt16(digits) != nil
            && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
}
