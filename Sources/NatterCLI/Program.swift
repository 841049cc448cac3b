internal import Glibc
internal import NatterLanguage
internal import NatterSystem

/// From the words of a command line to an exit code.
public enum Program {
    /// Parses, runs, flushes, and tells what went wrong. `--json` decides the form of an error where the program's
    /// table has such an option.
    ///
    /// - Parameters:
    ///   - words: without the program's name.
    ///   - explain: makes a failure of an error that this room does not know.
    ///   - language: what a setting says of the language, where no option does; asked only if something is told in words.
    public static func run(
        _ program: ProgramSpec, words: [String], console: Console,
        language: @escaping @Sendable (GivenOptions, Environment) -> String? = { _, _ in nil },
        explain: (any Error) -> CommandFailure
    ) -> ExitCode {
        var json = false
        do {
            let code: ExitCode
            switch try parse(words, for: program, console, language) {
            case .overview:
                try console.output.write(Help(program).overview)
                code = .success
            case .help(let path):
                try console.output.write(Help(program).page(of: path))
                code = .success
            case .version:
                try console.output.write(Help(program).version)
                code = .success
            case .run(let path, let arguments):
                json = arguments.asksForJSON
                // The parser has refused a command that has nothing to run.
                code = try path.command.run?(arguments, console) ?? .usage
            }
            try console.output.flush()
            try? console.errors.flush()
            return code
        } catch {
            let failure = known(error) ?? explain(error)
            if let usage = error as? UsageError { json = json || usage.asksForJSON }
            // What was found before the failure belongs to whoever asked for it, and comes first.
            if !(error is OutputError) { try? console.output.flush() }
            FailureReport.write(failure, json: json, program: console.program, to: console.errors)
            return failure.exitCode
        }
    }

    private static func parse(
        _ words: [String], for program: ProgramSpec, _ console: Console,
        _ setting: @escaping @Sendable (GivenOptions, Environment) -> String?
    ) throws(UsageError) -> ParsedCommandLine {
        var options: [GivenOption] = []
        // What is wrong with the words is told in the language that they ask for.
        defer {
            let given = GivenOptions(options)
            let (environment, domain) = (console.environment, program.name)
            Catalogue.choose {
                Language.choice(
                    option: given.value("lang"), configured: setting(given, environment), environment: environment,
                    domain: domain)
            }
        }
        let parsed = try ArgumentParser.parse(words, for: program, given: &options)
        if let code = GivenOptions(options).value("lang"), !Language.isKnown(code, environment: console.environment) {
            throw UsageError(
                "'--lang' takes \(Language.known.joined(separator: ", ")), not '\(code)'",
                remedy: "see '\(program.name) help'")
        }
        return parsed
    }

    /// All of a `main.swift`: readies the process, runs what its words ask for, and exits.
    public static func main(
        _ program: ProgramSpec,
        language: @escaping @Sendable (GivenOptions, Environment) -> String? = { _, _ in nil },
        explain: (any Error) -> CommandFailure
    ) -> Never {
        Signals.prepareProcess()
        CoreFiles.forbid()
        let console = Console.process(program: program.name)
        do throws(UsageError) {
            let words = try processWords(program: program.name)
            exit(run(program, words: words, console: console, language: language, explain: explain).rawValue)
        } catch {
            FailureReport.write(CommandFailure(error), json: false, program: program.name, to: console.errors)
            exit(ExitCode.usage.rawValue)
        }
    }

    /// The words that this process was started with, without its name.
    ///
    /// - Throws: if one is not UTF-8; it would otherwise be changed in silence, and name another file or text.
    static func processWords(program: String) throws(UsageError) -> [String] {
        var words: [String] = []
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let pointer = CommandLine.unsafeArgv[index] else { break }
            guard let word = String(validatingCString: pointer) else {
                throw UsageError("word \(index) of the command line is not UTF-8", remedy: "see '\(program) help'")
            }
            words.append(word)
        }
        return words
    }

    private static func known(_ error: any Error) -> CommandFailure? {
        switch error {
        case let failure as CommandFailure: failure
        case let error as UsageError: CommandFailure(error)
        case let error as OutputError: CommandFailure(error)
        case let error as ConfigError: CommandFailure(error)
        case let error as DiskError: CommandFailure(error)
        default: nil
        }
    }
}
