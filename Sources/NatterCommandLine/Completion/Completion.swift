internal import Glibc
internal import NatterModel
internal import NatterSystem

/// The words that the user of a shell may type next.
///
/// A shell's script calls the hidden command `__complete`. All decisions are made here, with the parser and the table
/// of the command line itself. The shell treats the answer as data and never runs it, because a name may contain
/// quotes, `$` and backticks.
struct Completion: Equatable {
    /// The source of the candidates. The shell is best at completing paths of files.
    enum Source: String {
        case words, files, directories
    }

    struct Word: Equatable {
        let text: String
        /// The meaning of the word. It is empty if the word explains itself.
        var meaning = ""
    }

    var source = Source.words
    /// `--color=`, if the word contains an option and the beginning of its value. Then the candidates are values.
    var prefix = ""
    var words: [Word] = []

    /// - Parameters:
    ///   - words: the words before the cursor, without the program's name and without quotes.
    ///   - current: the beginning of the word at the cursor. Candidates need not begin with it: the shell selects.
    init(_ program: ProgramSpec, after words: [String], current: String, console: Console) {
        let parser = ArgumentParser(program, words: words)
        let arguments = Arguments(program, parser, home: console.environment["HOME"])
        func fill(_ kind: WordKind, typed: Substring) {
            switch kind {
            case .text: break
            case .file: source = .files
            case .directory: source = .directories
            case .command:
                self.words = Completion.programs(from: typed, path: console.environment["PATH"] ?? "")
                if self.words.isEmpty { source = .files }
            case .oneOf(let choices): self.words = choices.map { Word(text: $0) }
            case .names(let kind):
                let start = typed.hasPrefix("@") ? "@" : ""
                self.words = ((try? program.names(kind, start, arguments, console)) ?? []).map { Word(text: $0) }
            }
        }
        func fill(_ commands: [CommandSpec]) {
            self.words = commands.shown.map { Word(text: $0.name, meaning: $0.summary.text) }
        }

        if let option = parser.openOption {
            fill(option.kind, typed: current[...])
        } else if parser.isHelpCommand {
            if parser.operands.isEmpty { fill(program.commands) }
            if let path = try? program.command(at: parser.operands) { fill(path.command.subcommands) }
        } else if parser.takesOptions, current.hasPrefix("-") {
            let spelling = current.prefix { $0 != "=" }
            let option = parser.options.first { $0.takesValue && $0.spellings.contains(String(spelling)) }
            if let option, spelling.hasPrefix("--"), spelling.endIndex < current.endIndex {
                prefix = "\(spelling)="
                fill(option.kind, typed: current.dropFirst(prefix.count))
            } else {
                self.words = parser.options.flatMap { option in
                    option.spellings.map { Word(text: $0, meaning: option.help.text) }
                }
            }
        } else if parser.hasUnknownCommand {
            return
        } else if !parser.isAtLeaf {
            fill(parser.path?.command.subcommands ?? program.commands)
        } else if let operands = parser.path?.command.operands, let last = operands.last {
            let index = parser.operands.count
            if operands.indices.contains(index) {
                fill(operands[index].kind, typed: current[...])
            } else if last.isRepeating {
                fill(last.kind, typed: current[...])
            }
        }
    }

    /// The programs in the directories of PATH whose names begin with `start`. There are none if `start` is a path.
    private static func programs(from start: Substring, path: String) -> [Word] {
        if start.contains("/") { return [] }
        let names = path.split(separator: ":").flatMap { directory in
            ((try? PosixDisk().list(String(directory))) ?? []).filter { name in
                name.hasPrefix(start) && access("\(directory)/\(name)", X_OK) == 0
            }
        }
        return Set(names).sorted().map { Word(text: $0) }
    }
}

extension Completion {
    /// The hidden command. `__complete words WORD...` has the words up to the cursor, unquoted. `__complete bash LINE
    /// WORD` has the line up to the cursor, and the part of it that bash will replace.
    static let command = "__complete"

    /// Prints the source, then the candidates, one per line, with a tab before each meaning. If a value in the option's
    /// own word is completed, `=` follows the source. On errors it prints nothing, because a user who presses Tab does
    /// not want an error message.
    static func run(_ program: ProgramSpec, words: [String], console: Console) {
        let rest = words.dropFirst()
        if words.first == "words", let current = rest.last {
            let answer = Completion(program, after: Array(rest.dropLast()), current: current, console: console)
            answer.print(to: console.output) { $0.meaning.isEmpty ? $0.text : "\($0.text)\t\($0.meaning)" }
        } else if words.first == "bash", rest.count == 2, let line = BashLine(words[1], replaced: words[2]),
            let current = line.words.last
        {
            var answer = Completion(program, after: line.words.dropLast(), current: current, console: console)
            if line.isFileName { (answer.source, answer.words) = (.files, []) }
            answer.print(to: console.output) { line.inserted(answer.prefix + $0.text) }
        }
    }

    private func print(to output: Output, _ line: (Word) -> String?) {
        try? output.writeLine(source.rawValue + (prefix.isEmpty ? "" : "="))
        // A control character would break the protocol or the terminal. None of our names has one.
        for word in words where word.text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) {
            if let line = line(word) { try? output.writeLine(line) }
        }
        try? output.flush()
    }
}

extension Arguments {
    /// The arguments of an unfinished command line.
    ///
    /// - Parameter home: replaces `~` in values that begin with `~/`, which the shell has not expanded yet.
    fileprivate init(_ program: ProgramSpec, _ parser: ArgumentParser, home: String?) {
        let given = parser.given.map { option in
            guard let home, option.value.hasPrefix("~/") else { return option }
            return GivenOption(name: option.name, value: home + option.value.dropFirst())
        }
        self.init(
            program: program.name, path: parser.path?.names ?? [], known: parser.options,
            rows: parser.path?.command.operands ?? [], given: given, operands: parser.operands)
    }
}
