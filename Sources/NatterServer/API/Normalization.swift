// Full Foundation for one thing: the tables of Unicode normalization, which FoundationEssentials does not have.
internal import Foundation

/// Unicode normalization form C, in which the server keeps names.
enum Normalization {
    static func formC(_ text: String) -> String {
        text.utf8.allSatisfy { $0 < 0x80 } ? text : text.precomposedStringWithCanonicalMapping
    }
}
