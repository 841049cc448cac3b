// For `_nfc` and `_nfd`, because FoundationEssentials has no normalization, and full Foundation makes a program 44 MB larger.
@_spi(_Unicode) internal import Swift

/// Unicode normalization form C. The server stores names in this form.
public enum Normalization {
    /// Normalizes a name that comes from outside.
    ///
    /// The time grows with the square of a run of combining marks, in comparing and hashing a `String`, too. So a text that
    /// is too long for any name is cut. The rest is too long as well, and ends with a space, so it matches no name.
    public static func formC(_ text: String) -> String {
        guard text.utf8.count > NameRule.maximumBytesAsSent else { return normalized(text) }
        let beginning = text.utf8.prefix(NameRule.maximumBytesAsSent)
        return normalized(String(decoding: beginning, as: UTF8.self)) + " …"
    }

    /// Normalizes a text that is known to be short.
    static func normalized(_ text: String) -> String {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
        var normal = String.UnicodeScalarView()
        normal.append(contentsOf: text._nfc)
        return String(normal)
    }

    /// The letters of a character and the marks upon them (form D).
    public static func formD(_ scalar: Unicode.Scalar) -> [Unicode.Scalar] { Array(String(Character(scalar))._nfd) }
}
