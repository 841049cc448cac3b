/// The width of a text in terminal columns. It has its own small table, because glibc's `wcwidth` knows only ASCII in
/// the C locale, and `natter` must work there, too.
public enum DisplayWidth {
    public static func columns(_ text: String) -> Int {
        if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
        return text.reduce(0) { $0 + columns($1) }
    }

    /// The width of a user-perceived character. Marks and joiners count with their base.
    public static func columns(_ character: Character) -> Int {
        guard let first = character.unicodeScalars.first else { return 0 }
        // U+FE0F selects the emoji form of a character that also has a narrow form.
        if isWide(first) || character.unicodeScalars.contains("\u{FE0F}") { return 2 }
        return first.properties.generalCategory == .nonspacingMark || first.value == 0x200D ? 0 : 1
    }

    /// True for the wide and fullwidth characters of Unicode's EastAsianWidth, by blocks. Those between blocks of narrow ones
    /// are shown as emoji.
    private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x1100: false
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF,
            0x4E00...0xA4CF, 0xA960...0xA97C, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
            0xFFE0...0xFFE6, 0x1F1E6...0x1F1FF, 0x1F200...0x1F265, 0x1F300...0x1F64F, 0x1F680...0x1F6FC,
            0x1F7E0...0x1F7EB,
            0x1F90C...0x1FAFF, 0x20000...0x3FFFD:
            true
        default: scalar.properties.isEmojiPresentation
        }
    }

    /// Cuts a text that is wider, and says so with `…`.
    public static func cut(_ text: String, to width: Int) -> String {
        guard columns(text) > width else { return text }
        var (cut, columns) = ("", 1)
        for character in text {
            columns += self.columns(character)
            if columns > width { break }
            cut.append(character)
        }
        return cut + "…"
    }

    /// Pads a text with spaces at its end.
    public static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - columns(text)))
    }
}
