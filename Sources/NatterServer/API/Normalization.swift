internal import Foundation
internal import NatterModel

/// Unicode normalization form C. The server stores names in this form.
public enum Normalization {
    /// Normalizes a name that comes from outside.
    ///
    /// The time grows with the square of a run of combining marks, in comparing and hashing a `String`, too. So a text that
    /// is too long for any name is cut. What is left is too long as well, and ends with a space, so it matches no name.
    public static func formC(_ text: String) -> String {
        guard text.utf8.count > NameRule.maximumBytesAsSent else { return normalized(text) }
        let beginning = text.utf8.prefix(NameRule.maximumBytesAsSent)
        return normalized(String(decoding: beginning, as: UTF8.self)) + " …"
    }

    private static func normalized(_ text: String) -> String {
        text.utf8.allSatisfy { $0 < 0x80 } ? text : text.precomposedStringWithCanonicalMapping
    }
}
