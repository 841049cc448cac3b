public import NatterLanguage

/// Rows in aligned columns, two spaces apart, on a terminal and in a pipe. An empty cell is shown as `-`, so that
/// splitting a line at blanks gives the same columns in every row, because names have no blanks. Cells are escaped, so
/// that none can break its line.
public struct Table {
    public enum Column: Sendable {
        case left, right
        /// Left-aligned. It keeps the joiners that emoji and Persian need, which names may not contain.
        case text
    }

    private let columns: [Column]
    private var rows: [[String]] = []
    private let hasHeader: Bool

    /// - Parameter header: the headings on a terminal, or nil in a pipe, where every line is a row.
    public init(_ columns: [Column], header: [Phrase]? = nil) {
        self.columns = columns
        hasHeader = header != nil
        if let header { add(header.map(\.text)) }
    }

    /// Adds one cell per column. Missing cells are empty, extra cells are dropped.
    public mutating func add(_ cells: [String]) {
        rows.append(
            columns.enumerated().map { index, column in
                let rule: TerminalText.Rule = if case .text = column { .line } else { .name }
                let cell = cells.indices.contains(index) ? TerminalText.escaped(cells[index], rule) : ""
                return cell.isEmpty ? "-" : cell
            })
    }

    /// - Parameter paint: colours the header.
    public func lines(paint: Paint = Paint(isOn: false)) -> [String] {
        let widths = columns.indices.map { column in rows.map { DisplayWidth.columns($0[column]) }.max() ?? 0 }
        return rows.enumerated().map { number, row in
            var line = ""
            for (column, cell) in row.enumerated() {
                if column > 0 { line += "  " }
                let isLast = column == row.count - 1
                let padding = String(repeating: " ", count: widths[column] - DisplayWidth.columns(cell))
                switch columns[column] {
                case .left, .text: line += isLast ? cell : cell + padding
                case .right: line += padding + cell
                }
            }
            return number == 0 && hasHeader ? paint(.bold, line) : line
        }
    }

    /// Writes all lines.
    public func write(to output: Output, paint: Paint = Paint(isOn: false)) throws(OutputError) {
        for line in lines(paint: paint) { try output.writeLine(line) }
    }
}
