public import NatterModel

/// The body of a command. It receives the parsed words.
public typealias CommandBody = @Sendable (Arguments, Console) throws -> ExitCode

/// The meaning of words with a leading dash for a command.
public enum DashWords: Sendable {
    /// They are options. Unknown ones are errors.
    case options
    /// A word that is not exactly an option is an operand, and the value of a short option is always a separate word.
    /// This is for `search`, where `-word` excludes a word.
    case optionsIfKnown
    /// They are options until the first operand. All words after it belong to that operand. This is for a command that
    /// runs another program.
    case optionsFirst
    /// All words after the command except `--help` are passed on unchanged. This is for a command that runs another
    /// program.
    case operands
}

/// A command line and its meaning.
public struct Example: Sendable, Equatable {
    public let line: String
    public let meaning: Phrase

    public init(_ line: String, _ meaning: Phrase) { (self.line, self.meaning) = (line, meaning) }
}

/// One command: a row of a program's table. The parser, help, completion and manual pages are derived from it.
///
/// Everything except the name, the summary and the group is computed on demand, so that a long table does not delay the
/// start of the program.
public struct CommandSpec: Sendable {
    public let name: String
    /// One line, lower case, no full stop.
    public let summary: Phrase
    /// The heading in the list of commands.
    public let group: Phrase
    public let dashWords: DashWords
    /// True for a command for programs. The overview and completion omit it.
    public let isHidden: Bool
    /// Other names of the command. Help mentions them; completion offers the name alone.
    public let aliases: [String]
    /// The subcommand that runs if none is named.
    public let bare: String?
    /// nil for a command that only has subcommands.
    public let run: CommandBody?
    private let makeOptions: @Sendable () -> [OptionSpec]
    private let makeOperands: @Sendable () -> [OperandSpec]
    private let makeSubcommands: @Sendable () -> [CommandSpec]
    private let makeDescription: @Sendable () -> [Phrase]
    private let makeExamples: @Sendable () -> [Example]

    /// - Parameter description: paragraphs, each without line breaks.
    public init(
        _ name: String, aliases: [String] = [], _ summary: Phrase, group: Phrase = "", bare: String? = nil,
        dashWords: DashWords = .options, isHidden: Bool = false,
        options: @autoclosure @escaping @Sendable () -> [OptionSpec] = [],
        operands: @autoclosure @escaping @Sendable () -> [OperandSpec] = [],
        subcommands: @autoclosure @escaping @Sendable () -> [CommandSpec] = [],
        description: @autoclosure @escaping @Sendable () -> [Phrase] = [],
        examples: @autoclosure @escaping @Sendable () -> [Example] = [],
        run: CommandBody? = nil
    ) {
        (self.name, self.summary, self.group, self.dashWords, self.run) = (name, summary, group, dashWords, run)
        (self.isHidden, self.aliases, self.bare) = (isHidden, aliases, bare)
        (makeOptions, makeOperands, makeSubcommands) = (options, operands, subcommands)
        (makeDescription, makeExamples) = (description, examples)
    }

    /// Whether the command runs until it is interrupted.
    func runsOn(_ arguments: Arguments) -> Bool {
        options.contains { $0.name == "exec" || (($0.name == "follow" || $0.name == "f") && arguments.flag($0.name)) }
    }

    /// Each command whose first operand is CONV has '-c CONV' for it, too.
    public var options: [OptionSpec] {
        guard let first = operands.first, first.name == OperandSpec.conversationName else { return makeOptions() }
        return [.conversation(isRepeatable: first.isRepeating)] + makeOptions()
    }
    public var operands: [OperandSpec] { makeOperands() }
    public var subcommands: [CommandSpec] { makeSubcommands() }
    public var description: [Phrase] { makeDescription() }
    public var examples: [Example] { makeExamples() }
}

extension [CommandSpec] {
    /// Words that mean the same in every table that has one of them alone.
    private static let synonyms = ["ls": "list", "list": "ls", "rm": "remove", "remove": "rm"]

    /// The command with this name or alias, or with a synonym of it.
    func row(named word: String) -> CommandSpec? {
        func row(_ word: String) -> CommandSpec? {
            first { $0.name == word } ?? first { $0.aliases.contains(word) }
        }
        return row(word) ?? Self.synonyms[word].flatMap(row)
    }

    /// The commands for people.
    var shown: [CommandSpec] { filter { !$0.isHidden } }
}
