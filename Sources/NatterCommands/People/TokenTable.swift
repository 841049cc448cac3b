internal import NatterCLI
internal import NatterModel
internal import NatterWire

/// Tokens or sessions in columns; the times as ages on a terminal.
struct TokenTable {
    struct Columns {
        /// Those of programs have a label and a scope; a session has neither, but may be the one that asks.
        var hasLabels: Bool
        /// Whose they are, where an admin asks.
        var hasUsers: Bool
    }

    private let context: Context
    private let columns: Columns
    private let isTerminal: Bool

    init(_ context: Context, _ columns: Columns) {
        (self.context, self.columns) = (context, columns)
        isTerminal = context.console.output.isTerminal
    }

    /// With `--json` the objects.
    func write(_ tokens: [TokenObject]) throws {
        let output = context.console.output
        if context.wantsJSON {
            for token in tokens { try output.writeJSON(WireJSON.encode(token)) }
            return
        }
        let header: [Phrase] =
            ["ID"] + (columns.hasUsers ? ["USER"] : []) + (columns.hasLabels ? ["LABEL", "SCOPE"] : ["STATE"])
            + ["CREATED", "EXPIRES", "LAST USED", "ADDRESS"]
        var table = Table(
            [.right] + Array(repeating: .left, count: header.count - 1), header: isTerminal ? header : nil)
        for token in tokens { table.add(cells(of: token)) }
        try table.write(to: output, paint: context.paint)
    }

    private func cells(of token: TokenObject) -> [String] {
        var cells = [token.id]
        if columns.hasUsers { cells.append(token.user ?? "") }
        cells +=
            columns.hasLabels
            ? [word(token.label), token.scope] : [token.current == true ? context.console.output.word("current") : ""]
        return cells + [age(token.created), until(token.expires), age(token.lastUsed), token.address ?? ""]
    }

    /// Columns are told apart by blanks, which a label may have.
    private func word(_ label: String?) -> String {
        isTerminal ? label ?? "" : String((label ?? "").map { $0.isWhitespace ? "_" : $0 })
    }

    private func age(_ text: String?) -> String {
        guard isTerminal, let time = text.flatMap({ Timestamp(rfc3339: $0) }) else { return text ?? "" }
        return Age.text(of: time, now: context.now).text
    }

    private func until(_ text: String?) -> String {
        guard isTerminal, let time = text.flatMap({ Timestamp(rfc3339: $0) }) else { return text ?? "" }
        return LocalTime.text(time)
    }
}
