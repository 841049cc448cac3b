internal import NatterModel

/// The result of parsing a command line.
public enum ParsedCommandLine: Sendable {
    /// No command was given.
    case start
    /// The program's overview: help without a command.
    case overview
    case help(CommandPath)
    case topic(Topic)
    /// The list of guides.
    case guides
    case version
    case run(CommandPath, Arguments)
}

/// Parses the words after the program's name with the program's table of commands.
///
/// Options may stand anywhere after their command. The program's own options may also precede it. An option's value is
/// the next word, even if it begins with a dash. `-fn 5` is `-f -n 5`. `--` ends the options. `-` and negative numbers
/// are operands.
public struct ArgumentParser {
    private let program: ProgramSpec
    private let programOptions: [OptionSpec]
    private(set) var path: CommandPath?
    private var commandOptions: [OptionSpec] = []
    private(set) var given: [GivenOption] = []
    private(set) var operands: [String] = []
    private var optionsEnded = false
    /// How many operands there were when `--` ended the options.
    private var literalFrom: Int?
    private(set) var isHelpCommand = false
    /// Whether `help -g` was given.
    private var wantsGuides = false
    /// The option that expects the next word as its value.
    private(set) var openOption: OptionSpec?
    /// The first error. Parsing continues after it, because a later `--help` overrides it, and `--json` decides how to
    /// report it.
    private var error: UsageError?
    private(set) var hasUnknownCommand = false

    private init(_ program: ProgramSpec) {
        self.program = program
        programOptions = program.options
    }

    /// Parses the words before the one that is being completed.
    init(_ program: ProgramSpec, words: [String]) {
        self.init(program)
        var rest = words[...]
        while let word = rest.popFirst() { parse(word, before: &rest) }
    }

    /// - Parameter words: without the program's name.
    public static func parse(_ words: [String], for program: ProgramSpec) throws(UsageError) -> ParsedCommandLine {
        var given: [GivenOption] = []
        return try parse(words, for: program, given: &given)
    }

    /// - Parameter given: the options found so far, even if the words are invalid, because `--lang` decides the
    ///   language of the error.
    static func parse(
        _ words: [String], for program: ProgramSpec, given: inout [GivenOption]
    ) throws(UsageError) -> ParsedCommandLine {
        let parser = ArgumentParser(program, words: words)
        given = parser.given
        do throws(UsageError) {
            return try parser.result()
        } catch {
            var error = error
            // Which options an unknown subcommand has, nobody knows.
            error.asksForJSON = parser.was(given: "json") || parser.hasUnknownCommand && words.contains("--json")
            throw error
        }
    }

    private var dashWords: DashWords { path?.command.dashWords ?? .options }
    var options: [OptionSpec] { commandOptions + programOptions }
    /// True if the next word may be an option.
    var takesOptions: Bool { dashWords != .operands && !optionsEnded }

    private mutating func parse(_ word: String, before rest: inout ArraySlice<String>) {
        if dashWords == .operands {
            if word == "--help" { given.append(GivenOption(name: "help", value: "")) } else { operands.append(word) }
        } else if optionsEnded || !word.hasPrefix("-") || word == "-" {
            takeOperand(word)
        } else if word == "--" {
            optionsEnded = true
            literalFrom = operands.count
        } else {
            takeOption(word, before: &rest)
        }
    }

    private mutating func takeOperand(_ word: String) {
        if isHelpCommand || hasUnknownCommand || isAtLeaf {
            operands.append(word)
            if dashWords == .optionsFirst { optionsEnded = true }
        } else if path == nil, word == "help" {
            isHelpCommand = true
        } else {
            do throws(UsageError) {
                let next = try program.descend(from: path, to: word)
                path = next
                commandOptions = next.command.options + commandOptions
            } catch {
                self.error = self.error ?? error
                hasUnknownCommand = true
            }
        }
    }

    /// True if the words name a command without subcommands.
    var isAtLeaf: Bool { path.map { $0.command.subcommands.isEmpty } ?? false }

    private mutating func takeOption(_ word: String, before rest: inout ArraySlice<String>) {
        if isHelpCommand, program.hasGuides, word == "-g" || word == "--guides" {
            wantsGuides = true
        } else if let option = options.first(where: { $0.spellings.contains(word) }) {
            guard option.takesValue else {
                given.append(GivenOption(name: option.name, value: ""))
                return
            }
            guard let value = rest.popFirst() else {
                openOption = option
                fail("'\(word)' needs a value, \(option.placeholder ?? "")")
                return
            }
            set(value, for: option, spelt: word)
        } else if let (option, spelling, value) = attachedValue(word) {
            if option.takesValue {
                set(value, for: option, spelt: spelling)
            } else if dashWords == .optionsIfKnown {
                takeOperand(word)
            } else {
                fail("'\(spelling)' takes no value")
            }
        } else if let words = unbundled(word) {
            for word in words { takeOption(word, before: &rest) }
        } else if Self.isNumber(word), let option = commandOptions.first(where: { $0.short == "n" || $0.name == "n" }),
            option.takesValue
        {
            // As in 'head -10'. A conversation's name cannot begin with a dash.
            fail("'\(word)' is not an option of '\(path?.text ?? "")'; use '-n \(word.dropFirst())'")
        } else if dashWords == .optionsIfKnown || Self.isNumber(word) {
            takeOperand(word)
        } else {
            let name = word.prefix { $0 != "=" }
            if let path, let option = program.instead("\(path.text) \(name)") {
                return fail("'\(name)' is not an option of '\(path.text)'; use '\(option)'")
            }
            let spellings = options.flatMap(\.spellings).filter { $0.hasPrefix("--") }
            let hint: Phrase = word.hasPrefix("--") ? NearestWords.hint(for: String(name), among: spellings) : ""
            fail(
                path.map { "'\(name)' is not an option of '\($0.text)'\(hint)" } ?? "'\(name)' is not an option\(hint)")
        }
    }

    /// Splits `--name=value` and `-n5`.
    private func attachedValue(_ word: String) -> (option: OptionSpec, spelling: String, value: String)? {
        if word.hasPrefix("--") {
            guard let equals = word.firstIndex(of: "=") else { return nil }
            let spelling = String(word[..<equals])
            guard let option = options.first(where: { $0.spellings.contains(spelling) }) else { return nil }
            return (option, spelling, String(word[word.index(after: equals)...]))
        }
        guard dashWords == .options else { return nil }
        let spelling = String(word.prefix(2))
        let option = options.first { $0.takesValue && $0.spellings.contains(spelling) }
        guard let option else { return nil }
        return (option, spelling, String(word.dropFirst(2)))
    }

    /// Splits `-fn5` into `-f` and `-n5`; nil if one of the letters is no option.
    private func unbundled(_ word: String) -> [String]? {
        guard dashWords == .options else { return nil }
        var words: [String] = []
        var rest = word.dropFirst()
        while let letter = rest.popFirst() {
            guard let option = options.first(where: { $0.spellings.contains("-\(letter)") }) else { return nil }
            words.append("-\(letter)" + (option.takesValue ? rest : ""))
            if option.takesValue { break }
        }
        return words.count > 1 ? words : nil
    }

    private mutating func set(_ value: String, for option: OptionSpec, spelt spelling: String) {
        // With the last value alone, a message could go elsewhere than its sender believes. But an option of the program is a
        // setting, which an alias may have given already.
        if !option.isRepeatable, was(given: option.name), !program.options.contains(option) {
            return fail("'\(spelling)' can be given only once")
        }
        if option.choices.isEmpty || option.choices.contains(value) {
            given.append(GivenOption(name: option.name, value: value))
        } else {
            fail("'\(spelling)' takes \(option.choices.joined(separator: ", ")), not '\(value)'")
        }
    }

    private static func isNumber(_ word: String) -> Bool {
        let digits = word.dropFirst()
        return digits.utf8.first?.isASCIIDigit == true
            && digits.utf8.allSatisfy { $0.isASCIIDigit || $0 == UInt8(ascii: ".") }
    }

    private var remedy: Phrase { "see '\(program.name) help\(path.map { " " + $0.text } ?? "")'" }

    private mutating func fail(_ message: Phrase) {
        if error == nil { error = UsageError(message, remedy: remedy) }
    }

    private func was(given name: String) -> Bool { given.contains { $0.name == name } }

    private func result() throws(UsageError) -> ParsedCommandLine {
        if hasUnknownCommand, let error { throw error }
        if isHelpCommand {
            // 'help --help' shows the help of 'help' itself if the program has that command.
            if operands.isEmpty, was(given: "help"), let path = try? program.command(at: ["help"]) {
                return .help(path)
            }
            if wantsGuides, operands.isEmpty { return .guides }
            do throws(UsageError) {
                return if let path = try program.command(at: operands) { .help(path) } else { .overview }
            } catch {
                guard let topic = Topic(operands.joined(separator: " ")) else { throw error }
                return .topic(topic)
            }
        }
        if was(given: "help") { return path.map { .help($0) } ?? .overview }
        if was(given: "version") { return .version }
        if let error { throw error }
        guard var path else { return .start }
        var known = options
        // A bare noun lists: 'natter outbox' is 'natter outbox ls'.
        if path.command.run == nil, let bare = path.command.bare, let row = path.command.subcommands.row(named: bare) {
            path = CommandPath(names: path.names + [row.name], command: row)
            known = row.options + known
        }
        guard path.command.run != nil else {
            let names = path.command.subcommands.map(\.name).joined(separator: ", ")
            throw UsageError("'\(path.text)' needs one of: \(names)", remedy: remedy)
        }
        let rows = path.command.operands
        let words = try withConversation(path, rows)
        try check(path, rows, words)
        var arguments = Arguments(
            program: program.name, path: path.names, known: known, rows: rows, given: given, operands: words)
        arguments.literalFrom = literalFrom.map { $0 + words.count - operands.count }
        return .run(path, arguments)
    }

    /// The operands, with CONV in its place even if '-c' names it. Numbers of messages with neither are of 'general'.
    private func withConversation(_ path: CommandPath, _ rows: [OperandSpec]) throws(UsageError) -> [String] {
        guard let first = rows.first, first.name == OperandSpec.conversationName else { return operands }
        let values = given.filter { $0.name == "conversation" }.map(\.value)
        let named = first.isRepeating ? values[...] : values.suffix(1)
        let isWhole = rows.last?.isRepeating == false && operands.count >= rows.count
        let mayBeSeq = rows.dropFirst().first?.name == "SEQ"
        let hasOperand =
            rows.count == 1 || isWhole || (named.isEmpty && !first.isOptional)
            || (mayBeSeq && operands.first.map(Arguments.isSeq) == false)
        let words = first.isRepeating ? operands[...] : operands.prefix(hasOperand ? 1 : 0)
        let rest = operands.dropFirst(words.count)
        if named.isEmpty { return words.isEmpty && !rest.isEmpty ? [NameRule.general] + rest : operands }
        guard words.isEmpty || words.map(NameRule.caseKey) == named.map(NameRule.caseKey) else {
            let names = (named + words).map { "'\($0)'" }.joined(separator: ", ")
            throw UsageError("CONV is given twice, as -c and as an operand: \(names)", remedy: remedy)
        }
        return Array(named + rest)
    }

    private func check(_ path: CommandPath, _ rows: [OperandSpec], _ operands: [String]) throws(UsageError) {
        if rows.indices.contains(where: { $0 >= operands.count && !rows[$0].isOptional }) {
            let missing = rows.dropFirst(operands.count).filter { !$0.isOptional }.map(\.placeholder)
            let words = missing.joined(separator: ", ")
            let example = path.command.examples.first?.line
            throw UsageError(
                example.map { "'\(path.text)' needs \(words), as in \"\($0)\"" } ?? "'\(path.text)' needs \(words)",
                remedy: remedy)
        }
        if dashWords != .operands, rows.last?.isRepeating != true, operands.count > rows.count {
            let names = rows.map(\.placeholder).joined(separator: " ")
            let surplus = operands[rows.count]
            throw UsageError(
                rows.isEmpty
                    ? "'\(path.text)' takes no operands; '\(surplus)' is one too many"
                    : "'\(path.text)' takes at most \(names); '\(surplus)' is one too many", remedy: remedy)
        }
        for (row, word) in zip(rows, operands) where !row.choices.isEmpty && !row.choices.contains(word) {
            throw UsageError(
                "'\(path.text)' takes \(row.choices.joined(separator: ", ")), not '\(word)'", remedy: remedy)
        }
    }
}
