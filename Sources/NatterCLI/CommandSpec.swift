public import NatterLanguage

/// What a command does once its words are parsed.
public typealias CommandBody = @Sendable (Arguments, Console) throws -> ExitCode

/// What words with a leading dash mean to a command.
public enum DashWords: Sendable {
    /// Each is an option; one that is unknown is an error.
    case options
    /// One that is not exactly an option is an operand, and a short option's value is always a word of its own; for
    /// `search`, where `-word` excludes a word.
    case optionsIfKnown
    /// All words after the command go on as they are, `--help` apart; for a command that runs another program.
    case operands
}

/// A line to type, and what it does.
public struct Example: Sendable, Equatable {
    public let line: String
    public let meaning: Phrase

    public init(_ line: String, _ meaning: Phrase) { (self.line, self.meaning) = (line, meaning) }
}

/// One command: a row of a program's table, from which parser, help, completion and the manual's SYNOPSIS are made.
///
/// All but the name, the summary and the heading is made when it is asked for, so that a table of many rows costs a
/// start of the program almost nothing.
public struct CommandSpec: Sendable {
    public let name: String
    /// One line, lower case, no full stop.
    public let summary: Phrase
    /// The heading under which the list of commands shows it.
    public let group: Phrase
    public let dashWords: DashWords
    /// Whether the overview and completion pass over it, since it is for programs.
    public let isHidden: Bool
    /// nil for a word that only leads to subcommands.
    public let run: CommandBody?
    private let makeOptions: @Sendable () -> [OptionSpec]
    private let makeOperands: @Sendable () -> [OperandSpec]
    private let makeSubcommands: @Sendable () -> [CommandSpec]
    private let makeDescription: @Sendable () -> [Phrase]
    private let makeExamples: @Sendable () -> [Example]

    /// - Parameter description: paragraphs, each without line breaks.
    public init(
        _ name: String, _ summary: Phrase, group: Phrase = "", dashWords: DashWords = .options, isHidden: Bool = false,
        options: @autoclosure @escaping @Sendable () -> [OptionSpec] = [],
        operands: @autoclosure @escaping @Sendable () -> [OperandSpec] = [],
        subcommands: @autoclosure @escaping @Sendable () -> [CommandSpec] = [],
        description: @autoclosure @escaping @Sendable () -> [Phrase] = [],
        examples: @autoclosure @escaping @Sendable () -> [Example] = [],
        run: CommandBody? = nil
    ) {
        (self.name, self.summary, self.group, self.dashWords, self.run) = (name, summary, group, dashWords, run)
        self.isHidden = isHidden
        (makeOptions, makeOperands, makeSubcommands) = (options, operands, subcommands)
        (makeDescription, makeExamples) = (description, examples)
    }

    public var options: [OptionSpec] { makeOptions() }
    public var operands: [OperandSpec] { makeOperands() }
    public var subcommands: [CommandSpec] { makeSubcommands() }
    public var description: [Phrase] { makeDescription() }
    public var examples: [Example] { makeExamples() }
}

extension [CommandSpec] {
    /// Those that are for people.
    var shown: [CommandSpec] { filter { !$0.isHidden } }
}
