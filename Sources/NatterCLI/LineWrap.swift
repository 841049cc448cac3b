/// Breaks text into lines of a width.
enum LineWrap {
    private static let columns = 80

    /// Fills lines with pieces, separated by spaces. It never breaks a piece, so a long piece may exceed the width.
    ///
    /// - Parameters:
    ///   - first: the beginning of the first line.
    ///   - indent: the indentation of the other lines, in columns.
    static func lines(of pieces: [String], first: String = "", indent: Int = 0) -> [String] {
        var lines: [String] = []
        var line = first
        var width = DisplayWidth.columns(first)
        var isBare = true
        for piece in pieces where !piece.isEmpty {
            let pieceWidth = DisplayWidth.columns(piece)
            if !isBare, width + 1 + pieceWidth > columns {
                lines.append(line)
                line = String(repeating: " ", count: indent)
                width = indent
                isBare = true
            }
            if !isBare || (width > 0 && lines.isEmpty && !line.hasSuffix(" ")) {
                line += " "
                width += 1
            }
            line += piece
            width += pieceWidth
            isBare = false
        }
        return lines + [line]
    }

    static func lines(of text: String, first: String = "", indent: Int = 0) -> [String] {
        lines(of: text.split(separator: " ").map(String.init), first: first, indent: indent)
    }

    /// Terms in a left column and their meanings in a right one. A term that is too long gets a line of its own.
    static func list(_ rows: [(term: String, meaning: String)], longestColumn: Int = 26) -> [String] {
        let widths = rows.map { DisplayWidth.columns($0.term) }
        let column = widths.filter { $0 <= longestColumn }.max() ?? longestColumn
        var lines: [String] = []
        for (row, width) in zip(rows, widths) {
            let indent = column + 4
            if width <= column {
                let term = "  " + DisplayWidth.padded(row.term, to: column) + "  "
                lines += self.lines(of: row.meaning, first: term, indent: indent)
            } else {
                lines.append("  " + row.term)
                lines += self.lines(of: row.meaning, first: String(repeating: " ", count: indent), indent: indent)
            }
        }
        return lines
    }
}

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

    /// Pads a text with spaces at its end.
    public static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - columns(text)))
    }
}
