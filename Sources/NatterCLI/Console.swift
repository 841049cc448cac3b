public import NatterLanguage
public import NatterSystem

/// What a command finds around it, in one value, so that a test can put its own in place.
public struct Console {
    /// What was asked for.
    public let output: Output
    /// Everything else.
    public let errors: Output
    public let environment: Environment
    public let clock: any WallClock
    /// The program's name, which its messages begin with.
    public let program: String

    public init(output: Output, errors: Output, environment: Environment, clock: any WallClock, program: String) {
        (self.output, self.errors, self.environment) = (output, errors, environment)
        (self.clock, self.program) = (clock, program)
    }

    /// That of this process.
    public static func process(program: String) -> Console {
        Console(
            output: .standardOutput(), errors: .standardError(), environment: .process, clock: SystemClock(),
            program: program)
    }

    /// Tells something on standard error, `natter: …`, in one line, escaped. What cannot be written there is lost.
    public func note(_ message: Phrase) {
        try? errors.writeLine(TerminalText.escaped("\(program): \(message.text)"))
        try? errors.flush()
    }

    /// Whether to write colours to `output`, by the environment and by `--color` where the program has it.
    public func paint(_ arguments: Arguments) -> Paint {
        let hasOption = arguments.known.contains { $0.name == "color" }
        let choice = hasOption ? arguments.value("color").flatMap(ColorChoice.init(rawValue:)) : nil
        return Paint(isOn: (choice ?? .auto).isOn(isTerminal: output.isTerminal, environment: environment))
    }
}
