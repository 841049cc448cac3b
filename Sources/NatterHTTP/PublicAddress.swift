internal import Glibc

/// Whether an address belongs to the public internet. A server that sends requests for others must not reach machines that
/// only it can reach.
///
/// - SeeAlso: the IANA registries of special-purpose IPv4 and IPv6 addresses (RFC 6890).
public enum PublicAddress {
    /// First bytes and the number of bits that count.
    private static let special: [([UInt8], Int)] = [
        ([0], 8), ([10], 8), ([100, 64], 10), ([127], 8), ([169, 254], 16), ([172, 16], 12), ([192, 0, 0], 24),
        ([192, 0, 2], 24), ([192, 88, 99], 24), ([192, 168], 16), ([198, 18], 15), ([198, 51, 100], 24),
        ([203, 0, 113], 24), ([224], 3),
    ]
    /// Inside `2000::/3`, the only part of IPv6 that is in use: protocol assignments with Teredo, documentation, 6to4.
    private static let special6: [([UInt8], Int)] = [
        ([0x20, 0x01, 0x00], 23), ([0x20, 0x01, 0x0D, 0xB8], 32), ([0x20, 0x02], 16), ([0x3F, 0xFF], 20),
    ]

    /// - Returns: nil for a text that is no numeric address.
    public static func isPublic(_ text: String) -> Bool? {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: four) { isPublic4(Array($0)) } }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: six) { Array($0) }
        // An IPv4 address in IPv6 (`::ffff:0:0/96`), or behind a translator (`64:ff9b::/96`).
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        let isTranslated = bytes[..<4] == [0x00, 0x64, 0xFF, 0x9B] && bytes[4..<12].allSatisfy { $0 == 0 }
        if isMapped || isTranslated { return isPublic4(Array(bytes[12...])) }
        return matches(bytes, [0x20], 3) && !special6.contains { matches(bytes, $0.0, $0.1) }
    }

    private static func isPublic4(_ bytes: [UInt8]) -> Bool { !special.contains { matches(bytes, $0.0, $0.1) } }

    private static func matches(_ bytes: [UInt8], _ prefix: [UInt8], _ bits: Int) -> Bool {
        for index in 0..<bits {
            let mask = UInt8(0x80) >> UInt8(index % 8)
            let wanted = index / 8 < prefix.count ? prefix[index / 8] : 0
            if (bytes[index / 8] ^ wanted) & mask != 0 { return false }
        }
        return true
    }
}
