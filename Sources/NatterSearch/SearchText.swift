internal import NatterModel
internal import NatterSQLite

/// Maps texts and queries before SQLite's `unicode61` tokenizer sees them. The tokenizer folds the case of letters that had
/// one in Unicode 6.1, and drops Latin diacritics. The mapping adds:
///
/// - Letters that have got case since, such as Georgian, Cherokee and Adlam ones, become small. ß becomes ss, as in capitals.
/// - ё becomes е. Greek letters lose their accents, as they do in Greek capitals. Arabic and Hebrew letters lose the marks of
///   vowels, and Arabic words the tatweel that makes them longer.
/// - Cyrillic letters and kana with a combining mark become the single letter that they form, because the tokenizer would drop
///   the mark.
/// - Full and half width forms, ligatures and Arabic presentation forms become the usual letters.
/// - In scripts without spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar), each character becomes a word. So
///   several of them in a query are a phrase and find any part of a text.
/// - Emoji become words of one private-use character. The tokenizer would interpret them as a mixture of punctuation
///   and words.
///
/// It works on bytes, and by the properties of characters that Swift knows. ASCII, common Latin and Cyrillic letters, and malformed UTF-8 are passed through without a copy.
struct SearchText {
    /// A part of the mapped text, up to the next part, and its origin.
    struct Piece {
        let mapped: Int
        let source: Int
        /// True if it is the same text, byte by byte.
        let isSame: Bool
    }

    private var buffer: [UInt8] = []
    /// The folded form of each character that was seen. Finding it takes microseconds.
    private var folded: [UInt32: [UInt8]] = [:]
    private static let mostFolded = 8_192
    /// The pieces of the mapped text, recorded only if `keepsPieces`. The array is empty if the mapping changed
    /// nothing.
    private(set) var pieces: [Piece] = []
    private let keepsPieces: Bool

    init(keepsPieces: Bool = false) { self.keepsPieces = keepsPieces }

    /// Runs a statement whose parameters are a row and the mapped text.
    mutating func insertMapped(
        _ bytes: UnsafeRawBufferPointer, row: Int64, with statement: borrowing Statement
    ) throws {
        try withMapped(bytes) { try statement.run(row: row, text: $0) }
    }

    /// Calls `body` with the mapped text, which is valid only during the call.
    mutating func withMapped<Result>(
        _ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        pieces.removeAll(keepingCapacity: true)
        let plain = SearchText.plainPrefix(of: bytes, from: 0)
        guard plain < bytes.count else { return try body(bytes) }
        buffer.removeAll(keepingCapacity: true)
        var start = 0
        var end = plain
        while end < bytes.count {
            note(start, isSame: true)
            buffer.append(contentsOf: bytes[start..<end])
            note(end, isSame: false)
            start = end + map(bytes, at: end)
            end = SearchText.plainPrefix(of: bytes, from: start)
        }
        note(start, isSame: true)
        buffer.append(contentsOf: bytes[start..<end])
        return try buffer.withUnsafeBytes(body)
    }

    private mutating func note(_ source: Int, isSame: Bool) {
        if keepsPieces { pieces.append(Piece(mapped: buffer.count, source: source, isSame: isSame)) }
    }

    /// - Returns: the offset of the first sequence at or after `start` that may have to be changed, or `count` if there
    ///   is none.
    private static func plainPrefix(of bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        let count = bytes.count
        while index < count {
            if count - index >= 8,
                bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                index += 8
                continue
            }
            let lead = bytes[index]
            if lead >= 0xC3 {
                let next = index + 1 < count ? bytes[index + 1] : 0
                switch lead {
                case 0xC3: if next == 0x9F { return index }
                case 0xCD: if next == 0xBF { return index }
                case 0xD0: if next == 0x81 { return index }
                case 0xD1: if next == 0x91 { return index }
                case 0xD4: if next >= 0xA8 { return index }
                // The letters of Hebrew and Arabic, without their marks.
                case 0xD7: if !(0x90...0xAA).contains(next) { return index }
                case 0xD8: if !(0xA7...0xBA).contains(next) { return index }
                case 0xD9: if !(0x81...0x8A).contains(next) { return index }
                case 0xC4...0xCB, 0xD2...0xD5, 0xEB...0xEE: break
                default: return index
                }
            }
            index += 1
        }
        return count
    }

    /// Appends the replacement of the sequence at `index`.
    /// - Returns: the length of the sequence in the text, in bytes.
    private mutating func map(_ bytes: UnsafeRawBufferPointer, at index: Int) -> Int {
        guard let (scalar, length) = SearchText.decode(bytes, at: index) else {
            buffer.append(bytes[index])
            return 1
        }
        switch scalar {
        case 0x00DF, 0x1E9E: buffer.append(contentsOf: "ss".utf8)
        case 0x0300...0x036F: compose(scalar)
        case _ where SearchText.isKanaMark(scalar): compose(scalar == 0x3099 || scalar == 0xFF9E ? 0x3099 : 0x309A)
        case 0x0401: append(twoByte: 0x0415)
        case 0x0451: append(twoByte: 0x0435)
        case 0xFE0E, 0xFE0F:
            // A variation selector chooses black or coloured emoji. It is not part of the word.
            buffer.append(UInt8(ascii: " "))
        // Those with three bytes and those with four go to different blocks.
        case 0x2300...0x23FF, 0x2600...0x27BF, 0x2B00...0x2BFF:
            appendWord([0xF3, 0xBE, 0x80 | UInt8(scalar >> 6 & 0x3F), 0x80 | UInt8(scalar & 0x3F)])
        case 0x1F000...0x1FFFF: appendWord([0xF3, 0xBF, bytes[index + 2], bytes[index + 3]])
        case 0x3400...0x9FFF: appendWord(bytes[index..<index + length])
        case _ where SearchText.standsAlone(scalar): appendWord(fold(scalar))
        default: buffer.append(contentsOf: fold(scalar))
        }
        return length
    }

    private mutating func append(twoByte scalar: UInt32) {
        buffer.append(0xC0 | UInt8(truncatingIfNeeded: scalar >> 6))
        buffer.append(0x80 | UInt8(truncatingIfNeeded: scalar & 0x3F))
    }

    private mutating func appendWord(_ bytes: some Sequence<UInt8>) {
        buffer.append(UInt8(ascii: " "))
        buffer.append(contentsOf: bytes)
        buffer.append(UInt8(ascii: " "))
    }

    /// Joins a combining mark with the Cyrillic letter or the kana before it, if they form one character of the same length.
    /// Otherwise the mark is left out.
    private mutating func compose(_ mark: UInt32) {
        guard let scalar = Unicode.Scalar(mark) else { return }
        let isKana = mark >= 0x3099
        let letter = buffer.dropLast(isKana ? 1 : 0).suffix(isKana ? 3 : 2)
        // The accent of a stressed vowel makes no other letter, nor does that of ё.
        let leads: ClosedRange<UInt8> = isKana ? 0xE3...0xE3 : 0xD0...0xD1
        if [0x0301, 0x0306, 0x0308, 0x3099, 0x309A].contains(mark), leads.contains(letter.first ?? 0) {
            let joined = Normalization.formC(String(decoding: letter, as: UTF8.self) + String(Character(scalar)))
            if joined.utf8.count == letter.count, ![0x0401, 0x0451].contains(joined.unicodeScalars.first?.value) {
                buffer.replaceSubrange(letter.indices, with: joined.utf8)
            }
        } else if !SearchText.isMark(mark) {
            buffer.append(contentsOf: String(Character(scalar)).utf8)
        }
    }

    /// A character without marks, small, in its usual form.
    private mutating func fold(_ scalar: UInt32) -> [UInt8] {
        if let known = folded[scalar] { return known }
        var letters = ""
        if let scalar = Unicode.Scalar(scalar) {
            for part in SearchText.usualForm(of: scalar).flatMap(Normalization.formD)
            where !SearchText.isMark(part.value) {
                letters += part.properties.lowercaseMapping
            }
        }
        let bytes = Array(Normalization.formC(letters).utf8)
        if folded.count == SearchText.mostFolded { folded.removeAll(keepingCapacity: true) }
        folded[scalar] = bytes
        return bytes
    }

    /// True for marks that make no other letter: tatweel, the points of Hebrew and Arabic vowels (combining classes 10 to 36), and
    /// marks that are placed like accents (202 to 240). The vowel signs of other scripts have other classes.
    static func isMark(_ scalar: UInt32) -> Bool {
        if scalar == 0x0640 { return true }
        let combining = Unicode.Scalar(scalar)?.properties.canonicalCombiningClass.rawValue ?? 0
        return (10...36).contains(combining) || (202...240).contains(combining)
    }

    /// True for the marks that make か to が and は to ぱ, combining or of half width.
    static func isKanaMark(_ scalar: UInt32) -> Bool {
        (0x3099...0x309A).contains(scalar) || (0xFF9E...0xFF9F).contains(scalar)
    }

    /// The characters that a ligature, a full or half width form or a presentation form stands for. Its name says it: U+FF71 is
    /// HALFWIDTH KATAKANA LETTER A, U+FEFC is ARABIC LIGATURE LAM WITH ALEF FINAL FORM.
    private static func usualForm(of scalar: Unicode.Scalar) -> [Unicode.Scalar] {
        if (0xFB00...0xFB17).contains(scalar.value) { return Array(scalar.properties.uppercaseMapping.unicodeScalars) }
        guard (0xFB50...0xFFEF).contains(scalar.value), let name = scalar.properties.name else { return [scalar] }
        var words = name.split(separator: " ")
        if words.first == "FULLWIDTH" || words.first == "HALFWIDTH" { words.removeFirst() }
        if words.last == "FORM" { words.removeLast(2) }
        let letters =
            words.starts(with: ["ARABIC", "LIGATURE"])
            ? words.dropFirst(2).split(separator: "WITH").map { ["ARABIC", "LETTER"] + $0 } : [words]
        let usual = letters.compactMap { usualNames[$0.joined(separator: " ")] }
        return usual.isEmpty ? [scalar] : usual
    }

    /// The characters of which others are forms, by their names.
    private static let usualNames: [String: Unicode.Scalar] = {
        let blocks: [ClosedRange<UInt32>] = [0x21...0xFF, 0x0620...0x06FF, 0x3001...0x30FF, 0x3131...0x318E]
        let named = blocks.joined().compactMap(Unicode.Scalar.init).compactMap { scalar in
            scalar.properties.name.map { ($0, scalar) }
        }
        return Dictionary(named, uniquingKeysWith: { first, _ in first })
    }()

    /// True if a character belongs to a script that writes no spaces between words.
    private static func standsAlone(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x0E00...0x0EFF,  // Thai, Lao
            0x1000...0x109F, 0xA9E0...0xA9FF, 0xAA60...0xAA7F,  // Myanmar
            0x1780...0x17FF,  // Khmer
            0x3005...0x3007, 0x3021...0x3029, 0x3031...0x3035, 0x3038...0x303B,  // marks used with Han
            0x3040...0x309F, 0x30A0...0x30FF, 0x31F0...0x31FF, 0xFF66...0xFF9F, 0x1AFF0...0x1B16F,  // kana
            0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x3FFFF:  // Han
            true
        default: false
        }
    }

    /// Decodes one sequence of two to four bytes. Returns nil if the bytes are not a valid sequence.
    static func decode(_ bytes: UnsafeRawBufferPointer, at index: Int) -> (scalar: UInt32, length: Int)? {
        let lead = bytes[index]
        let length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
        guard lead >= 0xC2, lead <= 0xF4, bytes.count - index >= length else { return nil }
        var scalar = UInt32(lead) & (0x7F >> UInt32(length))
        for byte in bytes[index + 1..<index + length] {
            guard byte & 0xC0 == 0x80 else { return nil }
            scalar = scalar << 6 | UInt32(byte & 0x3F)
        }
        return (scalar, length)
    }
}
