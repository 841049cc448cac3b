/// The pages of help, computed from the table; lines of at most 80 columns, each ended by a line break.
public struct Help {
    private let program: ProgramSpec
    private let translate: (String) -> String

    /// - Parameter translate: gives a summary, an option's help, a paragraph or a heading in the reader's language.
    public init(_ program: ProgramSpec, translate: @escaping (String) -> String = { $0 }) {
        (self.program, self.translate) = (program, translate)
    }

    /// What the program alone prints: all commands, grouped, and the options that are valid everywhere.
    public var overview: String {
        var lines = ["\(program.name): \(translate(program.tagline))", ""]
        lines.append("\(translate("usage")): \(program.name) [OPTION...] COMMAND [ARGUMENT...]")
        var groups: [(heading: String, rows: [CommandSpec])] = []
        for row in program.commands.shown {
            if let index = groups.firstIndex(where: { $0.heading == row.group }) {
                groups[index].rows.append(row)
            } else {
                groups.append((row.group, [row]))
            }
        }
        // One column for all groups, so that the eye finds the summaries in a line.
        let widest = program.commands.shown.map { DisplayWidth.columns($0.name) }.max() ?? 0
        for group in groups {
            lines += ["", translate(group.heading.isEmpty ? "Commands" : group.heading)]
            lines += LineWrap.list(
                group.rows.map { (DisplayWidth.padded($0.name, to: widest), translate($0.summary)) })
        }
        lines += ["", translate("Options everywhere")] + list(of: program.options)
        lines += [""] + LineWrap.lines(of: translate("'\(program.name) help COMMAND' tells more about a command."))
        return text(lines)
    }

    /// All about one command.
    public func page(of path: CommandPath) -> String {
        let command = path.command
        var lines = LineWrap.lines(of: "\(program.name) \(path.text): \(translate(command.summary))") + [""]
        lines += LineWrap.lines(of: path.usagePieces, first: "\(translate("usage")): \(program.name)", indent: 4)
        for paragraph in command.description { lines += [""] + LineWrap.lines(of: translate(paragraph)) }
        let subcommands = command.subcommands
        if !subcommands.isEmpty {
            lines += ["", translate("Commands")] + LineWrap.list(subcommands.flatMap { rows(of: $0, under: "") })
        }
        let operands = command.operands
        if !operands.isEmpty {
            lines += ["", translate("Operands")]
            lines += LineWrap.list(operands.map { ($0.placeholder, translate($0.help)) })
        }
        let options = command.options
        if !options.isEmpty { lines += ["", translate("Options")] + list(of: options) }
        let examples = command.examples
        if !examples.isEmpty {
            lines += ["", translate("Examples")]
            for example in examples {
                lines.append("  " + example.line)
                lines += LineWrap.lines(
                    of: translate(example.meaning), first: String(repeating: " ", count: 6), indent: 6)
            }
        }
        lines += [""] + LineWrap.lines(of: translate("'\(program.name) help' lists the options that work everywhere."))
        return text(lines)
    }

    /// `natter 1.0.0`.
    public var version: String { "\(program.name) \(program.version)\n" }

    /// A subcommand and, where it has some of its own, those in its place.
    private func rows(of command: CommandSpec, under prefix: String) -> [(term: String, meaning: String)] {
        let subcommands = command.subcommands
        guard subcommands.isEmpty else {
            return subcommands.flatMap { rows(of: $0, under: prefix + command.name + " ") }
        }
        let path = CommandPath(names: [prefix + command.name], command: command)
        return [(path.usagePieces.joined(separator: " "), translate(command.summary))]
    }

    private func list(of options: [OptionSpec]) -> [String] {
        LineWrap.list(
            options.map { option in
                let spellings = option.spellings.joined(separator: ", ")
                // Where no option has a short spelling the long ones begin at once.
                let indent = option.spelling.hasPrefix("--") && option.short == nil && hasShort(options) ? "    " : ""
                let note = option.isRepeatable ? " (" + translate("may be repeated") + ")" : ""
                return (indent + spellings + (option.placeholder.map { " " + $0 } ?? ""), translate(option.help) + note)
            })
    }

    private func hasShort(_ options: [OptionSpec]) -> Bool {
        options.contains { $0.short != nil || $0.name.utf8.count == 1 }
    }

    private func text(_ lines: [String]) -> String {
        var text = ""
        for line in lines { text += line.trimmingTrailingSpaces + "\n" }
        return text
    }
}

extension String {
    fileprivate var trimmingTrailingSpaces: Substring {
        var rest = self[...]
        while rest.hasSuffix(" ") { rest = rest.dropLast() }
        return rest
    }
}
