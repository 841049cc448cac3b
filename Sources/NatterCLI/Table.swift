public import NatterLanguage

/// Rows in columns, for `users`, `ls` and `status`: aligned, with two spaces between, on a terminal and in a pipe
/// alike. An empty cell is shown as `-`, so that splitting a line at blanks gives the same columns in every row (names
/// have none). Cells are escaped here, so that none can break out of its line.
public struct Table {
    public enum Column: Sendable {
        case left, right
        /// To the left, and with the joiners that emoji and Persian need, which a name may not have.
        case text
    }

    private let columns: [Column]
    private var rows: [[String]] = []
    private let hasHeader: Bool

    /// - Parameter header: for a terminal; nil in a pipe, where every line is a row.
    public init(_ columns: [Column], header: [Phrase]? = nil) {
        self.columns = columns
        hasHeader = header != nil
        if let header { add(header.map(\.text)) }
    }

    /// Takes one cell for each column; missing ones are empty, surplus ones are dropped.
    public mutating func add(_ cells: [String]) {
        rows.append(
            columns.enumerated().map { index, column in
                let rule: TerminalText.Rule = if case .text = column { .line } else { .name }
                let cell = cells.indices.contains(index) ? TerminalText.escaped(cells[index], rule) : ""
                return cell.isEmpty ? "-" : cell
            })
    }

    /// - Parameter paint: for the header.
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

    /// All lines, each ended by a line break.
    public func write(to output: Output, paint: Paint = Paint(isOn: false)) throws(OutputError) {
        for line in lines(paint: paint) { try output.writeLine(line) }
    }
}
