internal import NatterModel

/// Help pages, computed from the table of commands. Lines have at most 80 columns.
public struct Help {
    private let program: ProgramSpec

    public init(_ program: ProgramSpec) { self.program = program }

    /// What the program prints without a command: how to begin, and the names of all commands by group. A terminal of 24
    /// lines shows all of it.
    public var start: String {
        var lines = beginning + [""]
        lines += LineWrap.list(
            groups.map { ($0.heading.text, $0.rows.map(\.name).joined(separator: " ")) })
        lines += paragraph(
            program.hasGuides
                ? "Run '\(program.name) help' for what each command does, '\(program.name) help COMMAND' for more about "
                    + "one, and '\(program.name) help tutorial' for the first hour."
                : "Run '\(program.name) help' for what each command does, and '\(program.name) help COMMAND' for more about "
                    + "one.")
        return text(lines)
    }

    /// The purpose of the program, its usage and the commands to begin with.
    private var beginning: [String] {
        let usage: Phrase = "usage: \(program.name) [OPTION...] COMMAND [ARGUMENT...]"
        let examples = program.makeExamples().map { ($0.line, $0.meaning.text) }
        return ["\(program.name): \(program.tagline.text)", "", usage.text]
            + (examples.isEmpty ? [] : [""] + LineWrap.list(examples, longestColumn: 40))
    }

    private var groups: [(heading: Phrase, rows: [CommandSpec])] {
        var groups: [(heading: Phrase, rows: [CommandSpec])] = []
        for row in program.commands.shown {
            if let index = groups.firstIndex(where: { $0.heading == row.group }) {
                groups[index].rows.append(row)
            } else {
                groups.append((row.group, [row]))
            }
        }
        return groups
    }

    /// The overview: all commands by group, and the options of all commands.
    public var overview: String {
        var lines = beginning
        let groups = groups
        // All groups share one column, so that the summaries are aligned.
        let widest = program.commands.shown.map { DisplayWidth.columns($0.name) }.max() ?? 0
        for group in groups {
            lines += heading(group.heading == "" ? "Commands" : group.heading)
            lines += LineWrap.list(
                group.rows.map { (DisplayWidth.padded($0.name, to: widest), $0.summary.text) })
        }
        lines += heading("Options of every command") + list(of: program.options)
        lines += paragraph("Run '\(program.name) help COMMAND' for more about a command.")
        if let closing = program.closing { lines += LineWrap.lines(of: closing.text) }
        return text(lines)
    }

    /// The list of `help -g`.
    public var guides: String {
        text(
            LineWrap.list(program.makeGuides().map { ($0.page, $0.meaning.text) })
                + paragraph(
                    "Read them with man, such as 'man 7 natter-tutorial', or here, such as '\(program.name) help tutorial'. "
                        + "'\(program.name) help times' says how to write a time."))
    }

    /// The page of one command.
    public func page(of path: CommandPath) -> String {
        let command = path.command
        var lines = LineWrap.lines(of: "\(program.name) \(path.text): \(command.summary.text)") + [""]
        lines += LineWrap.lines(of: path.usagePieces, first: usage, indent: 4)
        for phrase in command.description { lines += paragraph(phrase) }
        let subcommands = command.subcommands
        if !subcommands.isEmpty {
            lines += heading("Commands") + LineWrap.list(subcommands.flatMap { rows(of: $0, under: "") })
        }
        let operands = command.operands
        if !operands.isEmpty {
            lines += heading("Operands")
            lines += LineWrap.list(operands.map { ($0.placeholder, $0.help.text) })
        }
        let options = command.options
        if !options.isEmpty { lines += heading("Options") + list(of: options) }
        let examples = command.examples
        if !examples.isEmpty {
            lines += heading("Examples")
            for example in examples {
                lines.append("  " + example.line)
                lines += LineWrap.lines(
                    of: example.meaning.text, first: String(repeating: " ", count: 6), indent: 6)
            }
        }
        lines += paragraph("Run '\(program.name) help' for the options that work with every command.")
        return text(lines)
    }

    private var usage: String { ("usage: \(program.name)" as Phrase).text }
    private func heading(_ phrase: Phrase) -> [String] { ["", phrase.text] }
    private func paragraph(_ phrase: Phrase) -> [String] { [""] + LineWrap.lines(of: phrase.text) }

    /// `natter 1.0.0`, and a line for each library inside.
    public var version: String {
        ([(program.name + " " + program.version)] + program.libraries()).reduce(into: "") { $0 += $1 + "\n" }
    }

    /// A subcommand, or the subcommands below it.
    private func rows(of command: CommandSpec, under prefix: String) -> [(term: String, meaning: String)] {
        let subcommands = command.subcommands
        guard subcommands.isEmpty else {
            return subcommands.flatMap { rows(of: $0, under: prefix + command.name + " ") }
        }
        let path = CommandPath(names: [prefix + command.name], command: command)
        guard !command.aliases.isEmpty else { return [(path.usagePieces.joined(separator: " "), command.summary.text)] }
        let others: [Phrase] = command.aliases.map { "'\($0)'" }
        let summary: Phrase = "\(command.summary); also \(Phrase.list(others))"
        return [(path.usagePieces.joined(separator: " "), summary.text)]
    }

    private func list(of options: [OptionSpec]) -> [String] {
        LineWrap.list(
            options.map { option in
                let spellings = option.spellings.joined(separator: ", ")
                // If no option has a short spelling, the long ones are not indented.
                let indent = option.spelling.hasPrefix("--") && option.short == nil && hasShort(options) ? "    " : ""
                let help: Phrase = option.isRepeatable ? "\(option.help) (may be repeated)" : option.help
                return (indent + spellings + (option.placeholder.map { " " + $0 } ?? ""), help.text)
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
