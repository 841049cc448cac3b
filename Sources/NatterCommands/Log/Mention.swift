internal import Glibc
internal import NatterModel

/// Finds a user's name behind an `@` in a text, in any case. The end, white space or punctuation follows it.
struct Mention: Sendable {
    /// The folded characters of the name.
    private let name: [String]

    init(of user: String) { name = user.map { Mention.folded($0) } }

    private static func folded(_ character: Character) -> String { character.uppercased().lowercased() }

    func isIn(_ bytes: UnsafeRawBufferPointer) -> Bool {
        // Most texts have no '@', and then nothing is decoded.
        guard !name.isEmpty, let start = bytes.baseAddress, memchr(start, Int32(UInt8(ascii: "@")), bytes.count) != nil
        else { return false }
        return !ranges(in: String(decoding: bytes, as: UTF8.self), limit: 1).isEmpty
    }

    /// The mentions as ascending ranges of the text's UTF-8, with the `@`.
    func ranges(in text: String, limit: Int = .max) -> [Range<Int>] {
        var found: [Range<Int>] = []
        guard !name.isEmpty, text.utf8.contains(UInt8(ascii: "@")) else { return found }
        var index = text.startIndex
        while found.count < limit, let start = text.utf8[index...].firstIndex(of: UInt8(ascii: "@")) {
            index = text.utf8.index(after: start)
            guard let end = end(of: text, from: index) else { continue }
            let offset = text.utf8.distance(from: text.utf8.startIndex, to: start)
            found.append(offset..<offset + text.utf8.distance(from: start, to: end))
            index = end
        }
        return found
    }

    /// Where the name ends that begins at `start`; nil if another word is there.
    private func end(of text: String, from start: String.Index) -> String.Index? {
        var index = start
        for expected in name {
            guard index < text.endIndex else { return nil }
            let character = text[index]
            // Comparing takes the square of a character's combining marks, and no name has one that long.
            guard character.utf8.count <= NameRule.maximumBytesAsSent, Mention.folded(character) == expected else {
                return nil
            }
            index = text.index(after: index)
        }
        guard index < text.endIndex else { return index }
        let next = text[index]
        return next.isWhitespace || next.isPunctuation && next.unicodeScalars.first != "_" ? index : nil
    }
}
