import NatterCommandLine
import NatterSystem
import Testing
import TestSupport

@testable import NatterCommands
@testable import NatterDaemon

/// The parser's refusals, for every row of both tables of commands. ProgramTests has those that only the server or the disk can
/// make.
@Suite("wrong words, for every command of the tables")
struct WrongWordsTests {
    /// A command that runs, and the words that name it.
    struct Row: CustomTestStringConvertible, Sendable {
        let program: ProgramSpec
        let words: [String]
        let command: CommandSpec

        var testDescription: String { ([program.name] + words).joined(separator: " ") }
        /// Words with which the parser accepts it.
        var right: [String] { words + command.operands.filter { !$0.isOptional }.map(WrongWordsTests.word) }
        var all: [String] { words + command.operands.map(WrongWordsTests.word) }
    }

    static let rows: [Row] = [NatterProgram.spec, DaemonProgram.spec].flatMap { program in
        rows(of: program.commands, program, under: [])
    }

    private static func rows(of commands: [CommandSpec], _ program: ProgramSpec, under words: [String]) -> [Row] {
        commands.filter { !$0.isHidden }.flatMap { command -> [Row] in
            let words = words + [command.name]
            let own = [Row(program: program, words: words, command: command)]
            return (command.run != nil && command.dashWords != .operands ? own : [])
                + rows(of: command.subcommands, program, under: words)
        }
    }

    /// A number may stand for a message where a conversation may be missing.
    private static func word(_ operand: OperandSpec) -> String {
        operand.choices.first ?? (operand.name == "CONV" ? "general" : "1")
    }
    private static func value(of option: OptionSpec) -> String {
        option.choices.first ?? (option.placeholder == "CONV" ? "general" : "1")
    }
    /// Another one, except of CONV, which may be an operand, too.
    private static func other(of option: OptionSpec) -> String {
        option.choices.last ?? (option.placeholder == "CONV" ? "general" : "2")
    }

    private func run(_ row: Row, _ words: [String]) -> Outcome {
        let console = Console(
            output: .memory(), errors: .memory(), environment: Environment(["HOME": "/nonexistent"]),
            clock: SystemClock(), program: row.program.name)
        let code = Program.run(row.program, words: words, console: console)
        return Outcome(
            code: code.rawValue, bytes: console.output.collected,
            errors: String(decoding: console.errors.collected, as: UTF8.self))
    }

    /// 64, one line that names the program and what is wrong, and nothing on standard output.
    private func expectUsage(
        _ row: Row, _ words: [String], naming text: String, sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let outcome = run(row, words)
        let isRight =
            outcome.code == 64 && outcome.bytes.isEmpty && outcome.errors.hasPrefix(row.program.name + ": ")
            && outcome.errors.hasSuffix("\n") && outcome.errors.filter { $0 == "\n" }.count == 1
            && outcome.errors.contains(text)
        #expect(isRight, "\(words): \(outcome)", sourceLocation: sourceLocation)
    }

    @Test("a missing or a surplus operand", arguments: rows)
    func operands(row: Row) {
        for count in 0..<row.command.operands.count where !row.command.operands[count].isOptional {
            let given = row.command.operands.prefix(count).map(WrongWordsTests.word)
            expectUsage(row, row.words + given, naming: row.command.operands[count].placeholder)
        }
        guard row.command.operands.last?.isRepeating != true else { return }
        expectUsage(row, row.all + ["surplus"], naming: "surplus")
    }

    @Test("an operand that is none of the words it can be", arguments: rows)
    func choices(row: Row) {
        for (index, operand) in row.command.operands.enumerated() where !operand.choices.isEmpty {
            for wrong in ["", "nosuch", operand.choices[0].uppercased()] {
                let words = row.command.operands.map(WrongWordsTests.word)
                expectUsage(
                    row, row.words + words.prefix(index) + [wrong] + words.dropFirst(index + 1),
                    naming: "'\(wrong)'")
            }
        }
    }

    @Test("a misspelt, mis-cased or empty command", arguments: rows)
    func command(row: Row) {
        let above = Array(row.words.dropLast())
        let name = row.words.last ?? ""
        for wrong in [name.uppercased(), name + "q", ""] {
            // A bare noun runs a subcommand only if no word follows.
            expectUsage(row, above + [wrong], naming: "'\(wrong)'")
        }
    }

    @Test("an unknown option, an option without its value, with a wrong one, or a flag with one", arguments: rows)
    func options(row: Row) {
        if row.command.dashWords != .optionsIfKnown {
            expectUsage(row, row.words + ["--nosuch-option"], naming: "--nosuch-option")
        }
        for option in row.command.options + row.program.options {
            for spelling in option.spellings where option.takesValue {
                expectUsage(row, row.words + [spelling], naming: spelling)
                if !option.choices.isEmpty {
                    expectUsage(row, row.words + [spelling, "nosuch"], naming: "nosuch")
                    expectUsage(row, row.words + [spelling, ""], naming: "''")
                }
            }
            if !option.takesValue, row.command.dashWords != .optionsIfKnown, option.name.utf8.count > 1,
                !["help", "version"].contains(option.name)
            {
                expectUsage(row, row.words + ["--\(option.name)=x"], naming: "--\(option.name)")
            }
        }
    }

    @Test(
        "an option twice: the last of a program's counts; a command's is refused unless it takes several",
        arguments: rows)
    func twice(row: Row) throws {
        for option in row.command.options + row.program.options where !["help", "version"].contains(option.name) {
            for spelling in option.spellings {
                let first = option.takesValue ? [spelling, WrongWordsTests.value(of: option)] : [spelling]
                let last = option.takesValue ? [spelling, WrongWordsTests.other(of: option)] : [spelling]
                let words = row.words + first + last + row.right.dropFirst(row.words.count)
                if option.takesValue, !option.isRepeatable, !row.program.options.contains(option) {
                    expectUsage(row, words, naming: "'\(spelling)' can be given only once")
                    continue
                }
                guard case .run(_, let arguments) = try ArgumentParser.parse(words, for: row.program) else {
                    Issue.record("\(words) does not run")
                    continue
                }
                guard option.takesValue else {
                    #expect(arguments.flag(option.name), "\(words)")
                    continue
                }
                let values = arguments.values(option.name)
                #expect(values.prefix(2) == [first[1], last[1]], "\(words)")
                #expect(arguments.value(option.name) == last[1], "\(words)")
            }
        }
    }

    @Test("with --json a wrong word is one object, and nothing beside it", arguments: rows)
    func json(row: Row) {
        guard (row.command.options + row.program.options).contains(where: { $0.name == "json" }) else { return }
        let outcome = run(row, row.words + ["--json", "--nosuch-option"])
        guard outcome.code == 64 else { return }
        #expect(outcome.bytes.isEmpty && outcome.errors.hasPrefix("{\"error\":{") && outcome.errors.hasSuffix("}}\n"))
    }
}
