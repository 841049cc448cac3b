extension OptionSpec {
    /// `[-n N]`, `--exec CMD`.
    public var usage: String {
        let spelling = spellings.first ?? self.spelling
        let whole = placeholder.map { "\(spelling) \($0)" } ?? spelling
        return (isRequired ? whole : "[\(whole)]") + (isRepeatable ? "..." : "")
    }
}

extension CommandPath {
    /// What can follow the program's name, in pieces between which a line may break: `["log", "[-n N]", "[CONV]"]`.
    /// A command that only leads to others has one piece for all of them.
    public var usagePieces: [String] {
        let rows = command.subcommands
        var pieces = names + command.options.sorted { $0.isRequired && !$1.isRequired }.map(\.usage)
        if !rows.isEmpty { pieces.append(rows.map(\.name).joined(separator: "|")) }
        return pieces + CommandPath.usage(of: command.operands)
    }

    /// The whole in one line, after the program's name: `natter log [-n N] [CONV]`.
    public func usage(program: String) -> String { ([program] + usagePieces).joined(separator: " ") }

    /// An operand that needs one before it stands inside its brackets: `[CONV [SEQ]]`.
    private static func usage(of operands: [OperandSpec]) -> [String] {
        func words(_ operand: OperandSpec) -> String { operand.placeholder + (operand.isRepeating ? "..." : "") }
        let required = operands.prefix { !$0.isOptional }.map(words)
        let optional = operands.drop { !$0.isOptional }.map(words)
        guard !optional.isEmpty else { return required }
        return required + ["[" + optional.joined(separator: " [") + String(repeating: "]", count: optional.count)]
    }
}
