internal import NatterSQLite

/// Maps texts and queries before SQLite's `unicode61` tokenizer sees them. The tokenizer folds the case of letters that had
/// one in Unicode 6.1, and drops Latin diacritics. The mapping adds:
///
/// - Letters that have got case since, such as Georgian, Cherokee and Adlam ones, become small. ß becomes ss, as in capitals.
/// - ё becomes е. Greek vowels lose their accents, as they do in Greek capitals. и, і, у, г and к with a combining mark
///   become the single letter that they form, because the tokenizer would drop the mark.
/// - In scripts without spaces between words (Han, kana, Thai, Lao, Khmer, Myanmar), each character becomes a word. So
///   several of them in a query are a phrase and find any part of a text.
/// - Emoji become words of one private-use character. The tokenizer would interpret them as a mixture of punctuation
///   and words.
///
/// It works on bytes. ASCII, common Latin and Cyrillic letters, and malformed UTF-8 are passed through without a copy.
struct SearchText {
    /// A part of the mapped text, up to the next part, and its origin.
    struct Piece {
        let mapped: Int
        let source: Int
        /// True if it is the same text, byte by byte.
        let isSame: Bool
    }

    private var buffer: [UInt8] = []
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
                case 0xC4...0xCB, 0xD2...0xDF, 0xEB...0xEE: break
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
        case 0x0300...0x036F: compose(scalar, bytes[index..<index + length])
        case 0x0370...0x03FF where scalar != 0x037F: append(twoByte: SearchText.withoutAccent(scalar))
        case 0x0401: append(twoByte: 0x0415)
        case 0x0451: append(twoByte: 0x0435)
        case 0xFE0E, 0xFE0F:
            // A variation selector chooses black or coloured emoji. It is not part of the word.
            buffer.append(UInt8(ascii: " "))
        // Those with three bytes and those with four go to different blocks.
        case 0x2300...0x23FF, 0x2600...0x27BF, 0x2B00...0x2BFF:
            appendWord([0xF3, 0xBE, 0x80 | UInt8(scalar >> 6 & 0x3F), 0x80 | UInt8(scalar & 0x3F)])
        case 0x1F000...0x1FFFF: appendWord([0xF3, 0xBF, bytes[index + 2], bytes[index + 3]])
        case _ where SearchText.standsAlone(scalar): appendWord(bytes[index..<index + length])
        default: appendSmall(scalar, bytes[index..<index + length])
        }
        return length
    }

    private mutating func appendSmall(_ scalar: UInt32, _ bytes: Slice<UnsafeRawBufferPointer>) {
        if let properties = Unicode.Scalar(scalar)?.properties, properties.changesWhenLowercased {
            buffer.append(contentsOf: properties.lowercaseMapping.utf8)
        } else {
            buffer.append(contentsOf: bytes)
        }
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

    /// Joins a combining mark with the Cyrillic letter before it, if that letter exists as one character.
    private mutating func compose(_ mark: UInt32, _ bytes: Slice<UnsafeRawBufferPointer>) {
        if let low = buffer.last, let high = buffer.dropLast().last, high == 0xD0 || high == 0xD1,
            let letter = SearchText.cyrillic(UInt32(high & 0x1F) << 6 | UInt32(low & 0x3F), with: mark)
        {
            buffer.removeLast(2)
            append(twoByte: letter)
        } else {
            buffer.append(contentsOf: bytes)
        }
    }

    private static func cyrillic(_ letter: UInt32, with mark: UInt32) -> UInt32? {
        switch (letter, mark) {
        case (0x0418, 0x0306): 0x0419
        case (0x0438, 0x0306): 0x0439
        case (0x0423, 0x0306): 0x040E
        case (0x0443, 0x0306): 0x045E
        case (0x0406, 0x0308): 0x0407
        case (0x0456, 0x0308): 0x0457
        case (0x0413, 0x0301): 0x0403
        case (0x0433, 0x0301): 0x0453
        case (0x041A, 0x0301): 0x040C
        case (0x043A, 0x0301): 0x045C
        default: nil
        }
    }

    private static func withoutAccent(_ greek: UInt32) -> UInt32 {
        switch greek {
        case 0x0386: 0x0391
        case 0x0388: 0x0395
        case 0x0389: 0x0397
        case 0x038A, 0x03AA: 0x0399
        case 0x038C: 0x039F
        case 0x038E, 0x03AB: 0x03A5
        case 0x038F: 0x03A9
        case 0x03AC: 0x03B1
        case 0x03AD: 0x03B5
        case 0x03AE: 0x03B7
        case 0x0390, 0x03AF, 0x03CA: 0x03B9
        case 0x03CC: 0x03BF
        case 0x03B0, 0x03CB, 0x03CD: 0x03C5
        case 0x03CE: 0x03C9
        default: greek
        }
    }

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
    private static func decode(_ bytes: UnsafeRawBufferPointer, at index: Int) -> (scalar: UInt32, length: Int)? {
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
