internal import Glibc
internal import SwiftShims
public import NatterModel

/// The command line of a program: its table of commands, and the options of all commands.
public struct ProgramSpec: Sendable {
    public let name: String
    /// The purpose of the program, in a few words.
    public let tagline: Phrase
    public let version: String
    /// The libraries inside, with their versions.
    let libraries: @Sendable () -> [String]
    /// Returns the names that complete an operand or an option's value. They must include all that begin with `start`.
    public typealias Names =
        @Sendable (_ kind: WordKind.Names, _ start: String, Arguments, Console) throws -> [String]
    public var names: Names
    /// Replacements for words of other programs: `natter log -f` for `tail`, `natterd user erase NAME` for `user delete`,
    /// `--listen` for `serve --port`.
    let instead: @Sendable (String) -> String?
    let makeExamples: @Sendable () -> [Example]
    /// Pages of the manual that are about no command, for `help -g`.
    public typealias Guide = (page: String, meaning: Phrase)
    let makeGuides: @Sendable () -> [Guide]
    var hasGuides: Bool { !makeGuides().isEmpty }
    /// Whether one page of the manual, in section 8, describes all commands; else each has its own in section 1.
    let hasOnePage: Bool
    /// The last line of the overview: where to report problems.
    let closing: Phrase?
    private let makeOptions: @Sendable () -> [OptionSpec]
    private let makeCommands: @Sendable () -> [CommandSpec]

    /// - Parameters:
    ///   - options: the options of every command. `--help` and `--version` are added.
    ///   - commands: in the order of the overview, grouped.
    public init(
        name: String, tagline: Phrase, version: String, libraries: @escaping @Sendable () -> [String] = { [] },
        names: @escaping Names = { _, _, _, _ in [] },
        instead: @escaping @Sendable (String) -> String? = { _ in nil },
        examples: @autoclosure @escaping @Sendable () -> [Example] = [],
        guides: @autoclosure @escaping @Sendable () -> [Guide] = [], hasOnePage: Bool = false, closing: Phrase? = nil,
        options: @autoclosure @escaping @Sendable () -> [OptionSpec] = [],
        commands: @autoclosure @escaping @Sendable () -> [CommandSpec]
    ) {
        (self.name, self.tagline, self.version, self.names) = (name, tagline, version, names)
        (makeOptions, makeCommands) = (options, commands)
        (self.instead, makeExamples, makeGuides, self.closing) = (instead, examples, guides, closing)
        self.hasOnePage = hasOnePage
        self.libraries = libraries
    }

    /// The libraries that every program needs: Swift's and C's. Swift does not know the last part of its own version.
    public static var runtime: [String] {
        // Its description is right, too, but takes a third of all that `--version` does.
        let version = _SwiftStdlibVersion.current._value
        let swift = "Swift \(version >> 16).\(version >> 8 & 0xff)"
        var text = [CChar](repeating: 0, count: 64)
        let count = confstr(Int32(_CS_GNU_LIBC_VERSION), &text, text.count)
        guard 1...text.count ~= count else { return [swift] }
        // "glibc 2.36"
        return [swift, String(upToNUL: text)]
    }

    public var options: [OptionSpec] { makeOptions() + [.version, .help] }
    public var commands: [CommandSpec] { makeCommands() }

    /// Follows words such as `["outbox", "ls"]` down the table.
    ///
    /// - Throws: for an unknown word, with the most similar commands.
    public func command(at words: [String]) throws(UsageError) -> CommandPath? {
        var path: CommandPath?
        for word in words {
            // Words behind it are its operands, such as those of 'watch ls'.
            if let command = path?.command, command.subcommands.isEmpty, !command.operands.isEmpty { break }
            path = try descend(from: path, to: word)
        }
        return path
    }

    /// One step down the table.
    func descend(from path: CommandPath?, to word: String) throws(UsageError) -> CommandPath {
        let rows = path?.command.subcommands ?? commands
        if let row = rows.row(named: word) {
            return CommandPath(names: (path?.names ?? []) + [row.name], command: row)
        }
        let above = path.map { "\(name) \($0.text)" } ?? name
        let helpWords = path.map { "\(name) help \($0.text)" } ?? "\(name) help"
        if let line = instead(path.map { "\($0.text) \(word)" } ?? word) {
            throw UsageError("'\(word)' is not a \(above) command; use '\(line)'", remedy: "see '\(helpWords)'")
        }
        throw UsageError(
            "'\(word)' is not a \(above) command\(NearestWords.hint(for: word, among: rows.shown.map(\.name)))",
            remedy: "see '\(helpWords)'")
    }
}

/// A command and the words that name it.
public struct CommandPath: Sendable {
    /// The words, such as `["outbox", "ls"]`. It is never empty.
    public let names: [String]
    public let command: CommandSpec

    public init(names: [String], command: CommandSpec) { (self.names, self.command) = (names, command) }

    /// `outbox ls`.
    public var text: String { names.joined(separator: " ") }

    /// The usage after the program's name, in pieces between which a line may break: `["log", "[-n N]", "[CONV]"]`. All
    /// subcommands are one piece, or `COMMAND` if a line has no room for them.
    public var usagePieces: [String] {
        let rows = command.subcommands
        var pieces = names + command.options.map(\.usage)
        if !rows.isEmpty {
            let names = rows.map(\.name).joined(separator: "|")
            pieces.append(names.utf8.count <= 76 ? names : "COMMAND")
        }
        return pieces + CommandPath.usage(of: command.operands)
    }

    /// An optional operand encloses optional ones after it: `[CONV [SEQ]]`, but `[CONV] SEQ`.
    private static func usage(of operands: [OperandSpec]) -> [String] {
        func words(_ operand: OperandSpec) -> String { operand.placeholder + (operand.isRepeating ? "..." : "") }
        if let first = operands.first, first.isOptional, operands.contains(where: { !$0.isOptional }) {
            return ["[\(words(first))]"] + usage(of: Array(operands.dropFirst()))
        }
        let required = operands.prefix { !$0.isOptional }.map(words)
        let optional = operands.drop { !$0.isOptional }.map(words)
        guard !optional.isEmpty else { return required }
        return required + ["[" + optional.joined(separator: " [") + String(repeating: "]", count: optional.count)]
    }
}
