internal import Glibc
internal import NatterModel
internal import NatterSystem

/// Runs a command line and returns its exit code.
public enum Program {
    /// Parses the words, runs the command, flushes its output and reports errors, as JSON if `--json` was given.
    ///
    /// - Parameters:
    ///   - words: without the program's name.
    ///   - bytes: of the words that are not UTF-8, by their index, each ended by 0.
    ///   - language: the language in the settings, if no option chooses one. Called only to translate a message.
    public static func run(
        _ program: ProgramSpec, words: [String], bytes: [Int: [CChar]] = [:], console: Console,
        language: @escaping @Sendable (GivenOptions, Environment) -> String? = { _, _ in nil }
    ) -> ExitCode {
        if words.first == Completion.command {
            chooseLanguage(GivenOptions([]), program, console, language)
            Completion.run(program, words: Array(words.dropFirst()), console: console)
            return .success
        }
        var json = false
        do {
            var code = ExitCode.success
            switch try parse(words, for: program, console, language) {
            case .start: try console.output.write(Help(program).start)
            case .overview: try console.output.write(Help(program).overview)
            case .guides: try console.output.write(Help(program).guides)
            case .topic(let topic): try console.output.write(topic.text)
            case .help(let path): try console.output.write(Help(program).page(of: path))
            case .version: try console.output.write(Help(program).version)
            case .run(let path, var arguments):
                json = arguments.asksForJSON
                let before = words.count - arguments.operands.count
                for (index, word) in bytes { arguments.bytes[index - before] = word }
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
            let failure = CommandFailure(error)
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
        language: @escaping @Sendable (GivenOptions, Environment) -> String? = { _, _ in nil }
    ) -> Never {
        Signals.prepareProcess()
        CoreFiles.forbid()
        let console = Console.process(program: program.name)
        do throws(UsageError) {
            let (words, bytes) = processWords()
            try check(bytes, words, program)
            exit(run(program, words: words, bytes: bytes, console: console, language: language).rawValue)
        } catch {
            FailureReport.write(error.failure, json: error.asksForJSON, program: program.name, to: console.errors)
            exit(ExitCode.usage.rawValue)
        }
    }

    /// The arguments of this process, without its name, and the bytes of those that are not UTF-8, by their index, each
    /// ended by 0.
    private static func processWords() -> (words: [String], bytes: [Int: [CChar]]) {
        var words: [String] = []
        var bytes: [Int: [CChar]] = [:]
        for index in 1..<max(1, ProcessArguments.count) {
            guard let pointer = ProcessArguments.word(index) else { break }
            if let word = String(validatingCString: pointer) {
                words.append(word)
            } else {
                bytes[words.count] = Array(UnsafeBufferPointer(start: pointer, count: strlen(pointer) + 1))
                words.append(String(cString: pointer))
            }
        }
        return (words, bytes)
    }

    /// Words that are not UTF-8 belong to a program that the command runs.
    ///
    /// - Throws: if they do not. Repairing one silently could name another file or text.
    private static func check(
        _ bytes: [Int: [CChar]], _ words: [String], _ program: ProgramSpec
    ) throws(UsageError) {
        guard let first = bytes.keys.min() else { return }
        if case .run(let path, let arguments)? = try? ArgumentParser.parse(words, for: program),
            path.command.dashWords == .optionsFirst, first >= words.count - arguments.operands.count
        {
            return
        }
        var failure = UsageError(
            "word \(first + 1) of the command line is not UTF-8", remedy: "see '\(program.name) help'")
        failure.asksForJSON = words.contains("--json")
        throw failure
    }
}
