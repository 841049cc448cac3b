/// Breaks text into lines of a width.
enum LineWrap {
    static let helpColumns = 80

    /// Puts pieces, with a space between them, into lines; a piece is never broken, so one that is longer than a line
    /// sticks out.
    ///
    /// - Parameters:
    ///   - first: what the first line begins with.
    ///   - indent: columns that the other lines begin with.
    static func lines(
        of pieces: [String], first: String = "", indent: Int = 0, columns: Int = helpColumns
    ) -> [String] {
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

    /// Terms in a left column, what they mean in a right one. A term that is too long for its column has a line of its
    /// own.
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
