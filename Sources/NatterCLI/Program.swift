internal import Glibc
internal import NatterLanguage
internal import NatterSystem

/// Runs a command line and returns its exit code.
public enum Program {
    /// Parses the words, runs the command, flushes its output and reports errors, as JSON if `--json` was given.
    ///
    /// - Parameters:
    ///   - words: without the program's name.
    ///   - translate: turns an error that this room does not know into a failure.
    ///   - language: the language in the settings, if no option chooses one. Called only to translate a message.
    public static func run(
        _ program: ProgramSpec, words: [String], console: Console,
        language: @escaping @Sendable (GivenOptions, Environment) -> String? = { _, _ in nil },
        translate: (any Error) -> CommandFailure
    ) -> ExitCode {
        if words.first == Completion.command {
            chooseLanguage(GivenOptions([]), program, console, language)
            Completion.run(program, words: Array(words.dropFirst()), console: console)
            return .success
        }
        var json = false
        do {
            let code: ExitCode
            switch try parse(words, for: program, console, language) {
            case .overview:
                try console.output.write(Help(program).overview)
                code = .success
            case .guides:
                try console.output.write(Help(program).guides)
                code = .success
            case .help(let path):
                try console.output.write(Help(program).page(of: path))
                code = .success
            case .version:
                try console.output.write(Help(program).version)
                code = .success
            case .run(let path, let arguments):
                json = arguments.asksForJSON
                // With --json an error is one object and nothing beside it. A command that runs on says its notes at once.
                if json, !console.errors.isTerminal, !path.command.runsOn(arguments) { console.errors.hold() }
                // The parser has refused commands without a body.
                code = try path.command.run?(arguments, console) ?? .usage
            }
            try console.output.flush()
            console.errors.release(dropping: false)
            try? console.errors.flush()
            return code
        } catch {
            let failure = known(error) ?? translate(error)
            if let usage = error as? UsageError { json = json || usage.asksForJSON }
            // Results found before the failure are printed first.
            if !(error is OutputError) { try? console.output.flush() }
            console.errors.release(dropping: json)
            FailureReport.write(failure, json: json, program: console.program, to: console.errors)
            return failure.exitCode
        }
    }

    private static func parse(
        _ words: [String], for program: ProgramSpec, _ console: Console,
        _ setting: @escaping @Sendable (GivenOptions, Environment) -> String?
    ) throws(UsageError) -> ParsedCommandLine {
        var options: [GivenOption] = []
        // Parse errors are reported in the language that the words choose.
        defer { chooseLanguage(GivenOptions(options), program, console, setting) }
        let parsed = try ArgumentParser.parse(words, for: program, given: &options)
        if let code = GivenOptions(options).value("lang"), !Language.isKnown(code, environment: console.environment) {
            throw UsageError(
                "'--lang' takes \(Language.known.joined(separator: ", ")), not '\(code)'",
                remedy: "see '\(program.name) help'")
        }
        return parsed
    }

    private static func chooseLanguage(
        _ given: GivenOptions, _ program: ProgramSpec, _ console: Console,
        _ setting: @escaping @Sendable (GivenOptions, Environment) -> String?
    ) {
        let (environment, domain) = (console.environment, program.name)
        Catalogue.choose {
            Language.choice(
                option: given.value("lang"), configured: setting(given, environment), environment: environment,
                domain: domain)
        }
    }

    /// The complete content of a `main.swift`: prepares the process, runs the command line, and exits.
    public static func main(
        _ program: ProgramSpec,
        language: @escaping @Sendable (GivenOptions, Environment) -> String? = { _, _ in nil },
        translate: (any Error) -> CommandFailure
    ) -> Never {
        Signals.prepareProcess()
        CoreFiles.forbid()
        let console = Console.process(program: program.name)
        do throws(UsageError) {
            let words = try processWords(program: program.name)
            exit(run(program, words: words, console: console, language: language, translate: translate).rawValue)
        } catch {
            FailureReport.write(
                CommandFailure(error), json: error.asksForJSON, program: program.name, to: console.errors)
            exit(ExitCode.usage.rawValue)
        }
    }

    /// The arguments of this process, without its name.
    ///
    /// - Throws: if an argument is not UTF-8. Repairing it silently could name another file or text.
    static func processWords(program: String) throws(UsageError) -> [String] {
        var words: [String] = []
        var failure: UsageError?
        for index in 1..<max(1, ProcessArguments.count) {
            guard let pointer = ProcessArguments.word(index) else { break }
            if let word = String(validatingCString: pointer) {
                words.append(word)
            } else {
                failure =
                    failure
                    ?? UsageError("word \(index) of the command line is not UTF-8", remedy: "see '\(program) help'")
            }
        }
        failure?.asksForJSON = words.contains("--json")
        if let failure { throw failure }
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
