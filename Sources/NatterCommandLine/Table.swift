public import NatterModel

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
    private var hasHeader: Bool

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

    /// Writes all lines. On a narrow terminal the table is cut to its width, because a wrapped table is hard to read.
    ///
    /// - Parameter isWhole: lets the terminal wrap long lines instead. It is for names with one value each, which say nothing
    ///   without it.
    public func write(
        to output: Output, paint: Paint = Paint(isOn: false), isWhole: Bool = false
    ) throws(OutputError) {
        let table = output.isTerminal && !isWhole ? fitting(output.columns(environment: .process)) : self
        for line in table.lines(paint: paint) { try output.writeLine(line) }
    }

    /// Narrower text is no help to anybody, so its column is left out instead.
    private static let narrowestText = 8

    /// The table in so many columns of a terminal: texts are shortened, the last ones first. If that is not enough,
    /// columns are left out from the right, but never the first one.
    func fitting(_ width: Int) -> Table {
        var table = self
        while table.columns.count > 1 {
            let widths = table.columns.indices.map { column in
                table.rows.map { DisplayWidth.columns($0[column]) }.max() ?? 0
            }
            let surplus = widths.reduce(2 * (widths.count - 1), +) - width
            if surplus <= 0 { return table }
            let text = table.columns.indices.last { column in
                if case .text = table.columns[column] { widths[column] > Table.narrowestText } else { false }
            }
            if let text, widths[text] - surplus >= Table.narrowestText || text < table.columns.count - 1 {
                let room = max(Table.narrowestText, widths[text] - surplus)
                for row in table.rows.indices {
                    table.rows[row][text] = DisplayWidth.cut(table.rows[row][text], to: room)
                }
            } else {
                table = table.dropLast()
            }
        }
        for row in table.rows.indices { table.rows[row][0] = DisplayWidth.cut(table.rows[row][0], to: max(1, width)) }
        return table
    }

    private func dropLast() -> Table {
        var table = Table(columns.dropLast())
        table.hasHeader = hasHeader
        table.rows = rows.map { $0.dropLast() }
        return table
    }

}
