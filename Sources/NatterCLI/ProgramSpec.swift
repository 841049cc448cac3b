public import NatterLanguage

/// A program's command line: what stands above its table of commands, and the table.
public struct ProgramSpec: Sendable {
    public let name: String
    /// What it is, in a few words.
    public let tagline: Phrase
    public let version: String
    private let makeOptions: @Sendable () -> [OptionSpec]
    private let makeCommands: @Sendable () -> [CommandSpec]

    /// - Parameters:
    ///   - options: those that may stand before and after every command; `--help` and `--version` come by themselves.
    ///   - commands: in the order of the overview; those of one group together.
    public init(
        name: String, tagline: Phrase, version: String,
        options: @autoclosure @escaping @Sendable () -> [OptionSpec] = [],
        commands: @autoclosure @escaping @Sendable () -> [CommandSpec]
    ) {
        (self.name, self.tagline, self.version) = (name, tagline, version)
        (makeOptions, makeCommands) = (options, commands)
    }

    public var options: [OptionSpec] { makeOptions() + [.version, .help] }
    public var commands: [CommandSpec] { makeCommands() }

    /// Follows words such as `["outbox", "ls"]` down the table.
    ///
    /// - Throws: for a word that names nothing, with the nearest ones that do.
    public func command(at words: [String]) throws(UsageError) -> CommandPath? {
        var path: CommandPath?
        for word in words { path = try descend(from: path, to: word) }
        return path
    }

    /// One step down the table.
    func descend(from path: CommandPath?, to word: String) throws(UsageError) -> CommandPath {
        let rows = path?.command.subcommands ?? commands
        if let row = rows.first(where: { $0.name == word }) {
            return CommandPath(names: (path?.names ?? []) + [word], command: row)
        }
        let above = path.map { "\(name) \($0.text)" } ?? name
        let helpWords = path.map { "\(name) help \($0.text)" } ?? "\(name) help"
        throw UsageError(
            "'\(word)' is not a \(above) command\(NearestWords.hint(for: word, among: rows.shown.map(\.name)))",
            remedy: "see '\(helpWords)'")
    }
}

/// A command, and the words that lead to it.
public struct CommandPath: Sendable {
    /// `["outbox", "ls"]`; never empty.
    public let names: [String]
    public let command: CommandSpec

    public init(names: [String], command: CommandSpec) { (self.names, self.command) = (names, command) }

    /// `outbox ls`.
    public var text: String { names.joined(separator: " ") }
}
