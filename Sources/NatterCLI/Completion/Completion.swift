/// Scripts that complete a program's command lines, made from its table.
///
/// The scripts hold the table and follow the words of a line down it by themselves; the program is run only for names
/// that change. What they offer that came from elsewhere is data to them and never run: a name may hold quotes, `$` and
/// backticks.
public struct Completion: Sendable {
    let program: ProgramSpec
    /// The options that decide which names there are, and so are handed on to `namesCommand`.
    let contextOptions: [String]
    /// The hidden command that prints names, one a line: it is given what is asked for, such as `users`, and `@` or
    /// nothing, with which they are to begin. nil if the program knows none.
    let namesCommand: String?
    private let kind: @Sendable (_ path: [String], _ placeholder: String) -> WordKind

    /// - Parameter kind: what a placeholder stands for, in the options and operands of a command.
    public init(
        _ program: ProgramSpec, namesCommand: String? = nil, contextOptions: [String] = [],
        kind: @escaping @Sendable (_ path: [String], _ placeholder: String) -> WordKind = { WordKind.usual($1) }
    ) {
        (self.program, self.namesCommand, self.contextOptions) = (program, namesCommand, contextOptions)
        self.kind = kind
    }

    /// The whole script; each line ended by a line break. English, since it is made once, for everybody.
    public func script(for shell: Shell) -> String {
        switch shell {
        case .bash: bash
        case .zsh: zsh
        case .fish: fish
        }
    }

    /// The program itself first, then its commands, depth first.
    var rows: [CompletionRow] {
        [
            row(
                path: [], commands: program.commands.shown, options: program.options, operands: [], dashWords: .options
            )
        ] + rows(below: [], program.commands.shown)
    }

    /// `natter` as part of the name of a shell function.
    var identifier: String { String(program.name.map { $0.isLetter || $0.isNumber ? $0 : "_" }) }

    var remark: String {
        "Made by '\(program.name) completion' from its table of commands; \(program.name) \(program.version)."
    }

    private func rows(below path: [String], _ commands: [CommandSpec]) -> [CompletionRow] {
        commands.flatMap { command in
            let path = path + [command.name]
            let own = row(
                path: path, commands: command.subcommands, options: command.options, operands: command.operands,
                dashWords: command.dashWords)
            return [own] + rows(below: path, command.subcommands)
        }
    }

    private func row(
        path: [String], commands: [CommandSpec], options: [OptionSpec], operands: [OperandSpec], dashWords: DashWords
    ) -> CompletionRow {
        CompletionRow(
            path: path.joined(separator: " "),
            commands: commands.map { ($0.name, $0.summary.english) },
            flags: options.filter { !$0.takesValue }.flatMap { option in
                option.spellings.map { ($0, option.help.english) }
            },
            values: options.flatMap { option in
                let kind = word(option.placeholder ?? "", option.choices, of: path)
                let values = option.spellings.map {
                    CompletionRow.Value(spelling: $0, kind: kind, help: option.help.english)
                }
                return option.takesValue ? values : []
            },
            operands: operands.map { word($0.name, $0.choices, of: path) },
            repeats: operands.last?.isRepeating == true, dashWords: dashWords)
    }

    private func word(_ placeholder: String, _ choices: [String], of path: [String]) -> WordKind {
        if !choices.isEmpty { return .oneOf(choices) }
        let kind = kind(path, placeholder)
        if case .names = kind, namesCommand == nil { return .text }
        return kind
    }
}
