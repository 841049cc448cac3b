internal import Glibc
// This target's interface takes phrases, so importing it also imports them.
@_exported public import NatterModel
public import NatterSystem

/// The environment of a command in one value, so that tests can replace it.
public struct Console {
    /// Standard output, for results.
    public let output: Output
    /// Standard error, for errors and notes.
    public let errors: Output
    public let environment: Environment
    public let clock: any WallClock
    /// The program's name, which begins its messages.
    public let program: String

    public init(output: Output, errors: Output, environment: Environment, clock: any WallClock, program: String) {
        (self.output, self.errors, self.environment) = (output, errors, environment)
        (self.clock, self.program) = (clock, program)
    }

    /// The console of this process.
    public static func process(program: String) -> Console {
        Console(
            output: .standardOutput(), errors: .standardError(), environment: .process, clock: SystemClock(),
            program: program)
    }

    /// Prints a note to standard error, `natter: …`, escaped and on one line. Write errors are ignored.
    public func note(_ message: Phrase) {
        try? errors.writeLine(TerminalText.escaped("\(program): \(message.text)"))
        try? errors.flush()
    }

    /// Whether to colour `output`, as the environment says, or `--color` if the program has that option.
    public func paint(_ arguments: Arguments) -> Paint {
        let hasOption = arguments.known.contains { $0.name == "color" }
        let choice = hasOption ? arguments.value("color").flatMap(ColorChoice.init(rawValue:)) : nil
        return Paint(isOn: (choice ?? .auto).isOn(isTerminal: output.isTerminal, environment: environment))
    }
}

/// Queries about terminals.
public enum Terminal {
    public static let standardColumns = 80

    public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

    /// The width in columns: that of the terminal, else `COLUMNS`, else 80.
    public static func columns(_ descriptor: Int32, environment: Environment) -> Int {
        var size = winsize()
        if ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
        if let columns = environment["COLUMNS"].flatMap({ Int($0) }), (1...10_000).contains(columns) { return columns }
        return standardColumns
    }

    /// The height in lines.
    public static func rows(_ descriptor: Int32) -> Int {
        var size = winsize()
        return ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 0 ? Int(size.ws_row) : 24
    }
}
