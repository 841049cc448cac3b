internal import NatterModel

/// The percent-encoding of RFC 3986.
enum PercentEncoding {
    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"): true
        default: byte.isASCIILetter || byte.isASCIIDigit
        }
    }

    /// - Parameter kept: a reserved character that stays unchanged.
    static func encode(_ text: String, keeping kept: UInt8? = nil) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for byte in text.utf8 {
            if isUnreserved(byte) || byte == kept {
                bytes.append(byte)
            } else {
                bytes.append(UInt8(ascii: "%"))
                bytes.append(digit(byte >> 4))
                bytes.append(digit(byte & 15))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether the bytes are valid as the path of a request: segments of RFC 3986, with two digits after each `%`.
    static func isPath(_ bytes: some Collection<UInt8>) -> Bool { consists(bytes, also: "/:@!$&'()*+,;=") }

    /// Whether the bytes are valid as a path with an optional query.
    static func isTarget(_ bytes: some Collection<UInt8>) -> Bool { consists(bytes, also: "/:@!$&'()*+,;=?") }

    private static func consists(_ bytes: some Collection<UInt8>, also allowed: StaticString) -> Bool {
        var digitsDue = 0
        for byte in bytes {
            if digitsDue > 0 {
                guard byte.hexDigitValue != nil else { return false }
                digitsDue -= 1
            } else if byte == UInt8(ascii: "%") {
                digitsDue = 2
            } else if !isUnreserved(byte) {
                guard allowed.withUTF8Buffer({ $0.contains(byte) }) else { return false }
            }
        }
        return digitsDue == 0
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
    }
}
