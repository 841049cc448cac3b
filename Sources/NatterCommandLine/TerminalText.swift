internal import NatterModel

/// Makes text of other users safe to show. The result cannot control a terminal, reorder a line or hide in it.
///
/// These are escaped: control characters (C0, DEL, C1), line and paragraph separators, marks that change the direction
/// of writing, invisible format characters and tag characters. Below U+0100, and for bytes that are not UTF-8, the form
/// is `\x1b`. Otherwise it is `\u{202e}`. A backslash is not escaped, so the result is for reading and not for parsing.
public enum TerminalText {
    /// Decides which invisible characters are kept, and how the others are written.
    public struct Rule: Sendable {
        enum Newline: Sendable {
            case keep
            case escape
            /// Keep, followed by a tab.
            case indent
        }
        let newline: Newline
        let keepsTabs: Bool
        /// U+200C and U+200D, which Persian and emoji need, and the soft hyphen.
        let keepsJoiners: Bool
        let isJSON: Bool

        /// A text of several lines.
        public static let text = Rule(newline: .keep, keepsTabs: true, keepsJoiners: true, isJSON: false)
        /// A text of `log`. Its continuation lines begin with a tab, so that none looks like another message.
        public static let message = Rule(newline: .indent, keepsTabs: true, keepsJoiners: true, isJSON: false)
        /// A text that must stay on its line.
        public static let line = Rule(newline: .escape, keepsTabs: false, keepsJoiners: true, isJSON: false)
        /// A name. It keeps no characters that nobody can see or tell apart, so that names that look the same are the
        /// same.
        public static let name = Rule(newline: .escape, keepsTabs: false, keepsJoiners: false, isJSON: false)
        /// JSON for a terminal. Characters are escaped as `\u001b`, which has the same meaning.
        public static let json = Rule(newline: .keep, keepsTabs: false, keepsJoiners: true, isJSON: true)
    }

    public static func escaped(_ text: String, _ rule: Rule = .line) -> String {
        var bytes: [UInt8] = []
        append(escaping: text, rule, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    public static func append(escaping text: String, _ rule: Rule, to output: inout [UInt8]) {
        append(escaping: text.utf8, rule, to: &output)
    }

    /// - Parameter bytes: need not be valid UTF-8.
    public static func append(escaping bytes: some Sequence<UInt8>, _ rule: Rule, to output: inout [UInt8]) {
        let isDone: Void? = bytes.withContiguousStorageIfAvailable { append($0, rule, to: &output) }
        if isDone == nil { Array(bytes).withUnsafeBufferPointer { append($0, rule, to: &output) } }
    }

    private static func append(_ bytes: UnsafeBufferPointer<UInt8>, _ rule: Rule, to output: inout [UInt8]) {
        // Unchanged bytes are copied in runs.
        var run = 0
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte >= 0x20, byte < 0x7F {
                index += 1
                continue
            }
            let scalar = decode(bytes, at: index)
            let length = scalar.map { UTF8.width($0) } ?? 1
            if let scalar, isPlain(scalar.value, rule), rule.keepsJoiners || NameRule.lookalike(scalar) == nil {
                index += length
                continue
            }
            output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[run..<index]))
            if byte == UInt8(ascii: "\n"), rule.newline == .indent {
                output += [byte, UInt8(ascii: "\t")]
            } else {
                appendEscape(of: scalar?.value ?? UInt32(byte), isUTF8: scalar != nil, rule, to: &output)
            }
            index += length
            run = index
        }
        output.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[run...]))
    }

    private static func isPlain(_ value: UInt32, _ rule: Rule) -> Bool {
        switch value {
        case 0x0A: rule.newline == .keep
        case 0x09: rule.keepsTabs
        case 0..<0x20, 0x7F..<0xA0: false
        // Letters of most alphabets skip the long list below.
        case 0xAE..<0x061C, 0x061D..<0x115F, 0x3165..<0xD800: true
        case 0x00AD, 0x200C, 0x200D: rule.keepsJoiners
        // Invisible letters: Hangul fillers.
        case 0x115F, 0x1160, 0x3164, 0xFFA0: rule.keepsJoiners
        case 0x061C, 0x180E, 0x200B, 0x200E...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF, 0xFFF9...0xFFFB,
            0xE0000...0xE007F:
            false
        default: true
        }
    }

    private static func appendEscape(of value: UInt32, isUTF8: Bool, _ rule: Rule, to output: inout [UInt8]) {
        func append(_ value: UInt32, digits: Int) {
            for place in (0..<digits).reversed() {
                let digit = UInt8(truncatingIfNeeded: value >> UInt32(place * 4) & 15)
                output.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
            }
        }
        if rule.isJSON {
            // JSON escapes UTF-16 units and cannot express bytes that are not UTF-8.
            for unit in Unicode.Scalar(isUTF8 ? value : 0xFFFD).map({ Array(UTF16.encode($0) ?? .init()) }) ?? [] {
                output += Array("\\u".utf8)
                append(UInt32(unit), digits: 4)
            }
        } else if value < 0x100 {
            output += Array("\\x".utf8)
            append(value, digits: 2)
        } else {
            output += Array("\\u{".utf8)
            append(value, digits: value > 0xFFFF ? 5 : 4)
            output.append(UInt8(ascii: "}"))
        }
    }

    /// The scalar that begins at `index`, or nil if the bytes there are not UTF-8.
    ///
    /// - SeeAlso: The Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences".
    private static func decode(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> Unicode.Scalar? {
        let first = bytes[index]
        let length: Int
        var value: UInt32
        switch first {
        case 0..<0x80: return Unicode.Scalar(first)
        case 0xC2...0xDF: (length, value) = (2, UInt32(first & 0x1F))
        case 0xE0...0xEF: (length, value) = (3, UInt32(first & 0x0F))
        case 0xF0...0xF4: (length, value) = (4, UInt32(first & 0x07))
        default: return nil
        }
        guard bytes.count - index >= length else { return nil }
        for next in bytes[(index + 1)..<(index + length)] {
            guard next & 0xC0 == 0x80 else { return nil }
            value = value << 6 | UInt32(next & 0x3F)
        }
        // Overlong forms. The initializer of Unicode.Scalar refuses surrogates and values above U+10FFFF.
        if length == 3, value < 0x800 { return nil }
        if length == 4, value < 0x1_0000 { return nil }
        return Unicode.Scalar(value)
    }
}
