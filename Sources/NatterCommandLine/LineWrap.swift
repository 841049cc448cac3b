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
