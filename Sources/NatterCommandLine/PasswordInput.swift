internal import Glibc
public import NatterModel
internal import NatterSystem

/// The source of a password. It is never the command line, because every user of the machine can see that.
public enum PasswordInput: Sendable, Equatable {
    case terminal
    /// The first line of a file, which may be `/dev/fd/3`.
    case file(String)
    /// The next line of standard input. No byte after it is read, so a second password may follow.
    case standardInput

    /// One byte more than the limit for passwords, so that the server can refuse it.
    static let limitBytes = Limits.passwordBytes.upperBound + 1

    /// The options of a command that needs a password.
    public static let options: [OptionSpec] = [
        .option("password-file", value: "F", "read the password from the first line of F"),
        .flag("password-stdin", "read the password from the first line of standard input"),
    ]

    /// The source that `--password-file` or `--password-stdin` chooses, else the terminal.
    public init(_ arguments: Arguments) throws(UsageError) {
        switch (arguments.value("password-file"), arguments.flag("password-stdin")) {
        case (_?, true): throw arguments.error("--password-file and --password-stdin cannot be combined")
        case (let path?, false): self = .file(path)
        case (nil, true): self = .standardInput
        case (nil, false): self = .terminal
        }
    }

    /// Reads the password without checking its length, because the server gives the same answer to a wrong password and
    /// an impossible one.
    ///
    /// - Parameters:
    ///   - prompt: such as "Password", shown on a terminal with a colon.
    ///   - again: a second prompt, if both answers must be the same.
    /// - Throws: 64 without a terminal to ask on; 65 if there is no line, it is not UTF-8, or the answers differ; 66 if
    ///   it can't be read.
    public func read(prompt: Phrase, again: Phrase? = nil) throws(CommandFailure) -> String {
        try read([(prompt, again)]).first ?? ""
    }

    /// Reads several passwords, from a file or standard input those of its first lines.
    public func read(_ prompts: [(prompt: Phrase, again: Phrase?)]) throws(CommandFailure) -> [String] {
        switch self {
        case .terminal:
            return try prompts.map { one throws(CommandFailure) in try Self.ask(one.prompt, again: one.again) }
        case .file(let path): return try Self.lines(prompts.count, of: path)
        case .standardInput:
            return try prompts.map { _ throws(CommandFailure) in
                try Self.line(from: STDIN_FILENO, name: "standard input")
            }
        }
    }

    private static func ask(_ prompt: Phrase, again: Phrase?) throws(CommandFailure) -> String {
        // Standard input must also be a terminal. A script that pipes data in cannot answer.
        guard Terminal.isTerminal(STDIN_FILENO) else { throw noTerminal }
        let descriptor = retrying { open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC) }
        defer { if descriptor >= 0 { close(descriptor) } }
        return try ask(prompt, again: again, on: descriptor >= 0 ? descriptor : STDIN_FILENO)
    }

    static func ask(_ prompt: Phrase, again: Phrase?, on terminal: Int32) throws(CommandFailure) -> String {
        let first = try hiddenLine(prompt, on: terminal)
        if let again, try hiddenLine(again, on: terminal) != first {
            throw CommandFailure(.invalidData, code: "passwords_differ", "the two passwords differ; nothing was done")
        }
        return first
    }

    private static func hiddenLine(_ prompt: Phrase, on terminal: Int32) throws(CommandFailure) -> String {
        let screen = Output(descriptor: terminal, name: "the terminal")
        let answer = try HiddenTerminal.hiding(terminal) { () throws(CommandFailure) in
            do throws(OutputError) {
                try screen.write("\(prompt.text): ")
                try screen.flush()
            } catch {
                throw CommandFailure(error)
            }
            defer {
                // The newline that the user typed was not echoed.
                try? screen.write("\n")
                try? screen.flush()
            }
            return try line(from: terminal, name: "the terminal")
        }
        guard let answer else { throw noTerminal }
        return answer
    }

    private static var noTerminal: CommandFailure {
        CommandFailure(
            .usage, code: "usage", "no terminal to ask for a password; give --password-file F or --password-stdin")
    }

    private static func lines(_ count: Int, of path: String) throws(CommandFailure) -> [String] {
        let descriptor = retrying { open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw CommandFailure(unreadable: DiskError(operation: "open", path: path)) }
        defer { close(descriptor) }
        return try (0..<count).map { _ throws(CommandFailure) in try line(from: descriptor, name: "'\(path)'") }
    }

    /// Reads byte by byte, at most `limitBytes`, to a newline, which is dropped, or the end.
    static func line(from descriptor: Int32, name: Phrase) throws(CommandFailure) -> String {
        guard let line = readLine(descriptor, limit: limitBytes) else {
            let code = Errno.current
            throw CommandFailure(
                unreadable: code,
                code == .isDirectory ? "\(name) is a directory" : "cannot read \(name): \(code.phrase)")
        }
        var bytes = line.bytes
        if bytes.isEmpty, line.end == .input {
            throw CommandFailure(.invalidData, code: "no_password", "no password came from \(name)")
        }
        // If the limit cuts a character, the rest becomes U+FFFD. That is never shorter, so a password that is too long
        // stays too long.
        guard line.end != .limit else { return String(decoding: bytes, as: UTF8.self) }
        // The file may come from Windows.
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CommandFailure(.invalidData, code: "bad_password", "the password from \(name) is not UTF-8")
        }
        return text
    }
}
