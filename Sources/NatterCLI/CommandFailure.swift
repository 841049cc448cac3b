internal import FoundationEssentials
public import NatterLanguage
public import NatterSystem

/// Why a command failed.
public struct CommandFailure: Error, Equatable, PhraseConvertible {
    public let exitCode: ExitCode
    /// A word for programs, such as `usage` or `bad_cursor`.
    public let code: String
    /// One line with the problem and the remedy, in lower case and without a full stop.
    public let message: Phrase

    public init(_ exitCode: ExitCode, code: String, _ message: Phrase) {
        (self.exitCode, self.code, self.message) = (exitCode, code, message)
    }

    /// Translates an error that both programs have; nil for one that only one of them has.
    public init?(of error: any Error) {
        switch error {
        case let failure as CommandFailure: self = failure
        case let error as UsageError: self.init(error)
        case let error as OutputError: self.init(error)
        case let error as ConfigError: self.init(error)
        case let error as DiskError: self.init(error)
        default: return nil
        }
    }

    /// This failure in other words.
    public func saying(_ message: Phrase) -> CommandFailure { CommandFailure(exitCode, code: code, message) }

    public init(_ error: UsageError) {
        self.init(.usage, code: "usage", error.phrase)
    }

    public init(_ error: ConfigError) {
        self.init(.configuration, code: "bad_configuration", error.phrase)
    }

    /// A failed system call: 73 if it was to create a file, 75 if the disk is full, else 74.
    public init(_ error: DiskError) {
        switch error.operation {
        // Reading a file that is too large sets the same errno as a file that cannot grow.
        case let operation where error.code == .fileTooLarge && operation != "read":
            self.init(
                .temporary, code: "disk_full", "\(error.phrase); raise the limit with 'ulimit -f' and try again")
        case let operation where error.isFull && operation != "read": self.init(full: error.phrase)
        case _ where error.code == .tooManyOpenFiles: self.init(.inputOutput, code: "io_error", error.phrase)
        case "create", "create directory":
            self.init(.cannotCreate, code: "cannot_create", CommandFailure.remedied(error))
        default: self.init(.inputOutput, code: "io_error", CommandFailure.remedied(error))
        }
    }

    /// The failure, and the remedy where the right to a file or a disk that can be written is missing.
    public static func remedied(_ error: DiskError) -> Phrase {
        switch error.code {
        case .permissionDenied: "\(error.phrase); run this as the user who owns it, or give that user the right to it"
        case .readOnlyFileSystem: "\(error.phrase); copy its directory to a disk that can be written, and use the copy"
        default: error.phrase
        }
    }

    /// A disk of this machine that is full.
    public init(full what: Phrase) {
        self.init(.temporary, code: "disk_full", "\(what); free some space and try again")
    }

    /// A file that the user named and that can't be read: 66, or 74 if the disk could not return what it holds.
    public init(unreadable error: DiskError) { self.init(unreadable: error.code, error.phrase) }

    /// A file that can't be read, with a message of the caller's.
    public init(unreadable code: Errno, _ message: Phrase) {
        if code == .ioError {
            self.init(.inputOutput, code: "io_error", message)
        } else {
            self.init(.noInput, code: "cannot_read", message)
        }
    }

    /// Failed output. A closed pipe has an exit code of its own and prints nothing.
    public init(_ error: OutputError) {
        switch error {
        case .closedPipe: self.init(.closedPipe, code: "closed_pipe", error.phrase)
        case .failed: self.init(.inputOutput, code: "io_error", error.phrase)
        }
    }

    /// Failed output of what a command has done. It must not look as if nothing was done.
    public init(unprinted error: OutputError) {
        let failure = CommandFailure(error)
        self =
            error == .closedPipe
            ? failure : failure.saying("it was done, but the result could not be printed: \(error.phrase)")
    }

    public var phrase: Phrase { message }
}

/// Exit codes of both programs. From 64 on they are those of sysexits(3).
public struct ExitCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let success = ExitCode(rawValue: 0)
    /// Nothing found, nothing new, or problems found: a result and not an error.
    public static let nothingFound = ExitCode(rawValue: 1)
    public static let usage = ExitCode(rawValue: 64)
    /// Input or a cursor that is not valid.
    public static let invalidData = ExitCode(rawValue: 65)
    /// A file that can't be read, or no store in the data directory.
    public static let noInput = ExitCode(rawValue: 66)
    /// No such user, conversation or message.
    public static let notFound = ExitCode(rawValue: 67)
    /// The server was not reached or not verified, or the outcome is unknown.
    public static let unavailable = ExitCode(rawValue: 69)
    public static let cannotCreate = ExitCode(rawValue: 73)
    public static let inputOutput = ExitCode(rawValue: 74)
    /// Try again later.
    public static let temporary = ExitCode(rawValue: 75)
    /// The server speaks another protocol.
    public static let badProtocol = ExitCode(rawValue: 76)
    /// Wrong password, not logged in, not allowed.
    public static let refused = ExitCode(rawValue: 77)
    public static let configuration = ExitCode(rawValue: 78)
    /// SIGINT, as a shell reports it.
    public static let interrupted = ExitCode(rawValue: 130)
    /// The reader closed the pipe. A shell reports SIGPIPE with the same code.
    public static let closedPipe = ExitCode(rawValue: 141)
    /// SIGTERM, as a shell reports it.
    public static let terminated = ExitCode(rawValue: 143)
}

/// An invalid command line: exit code 64.
public struct UsageError: Error, Equatable, PhraseConvertible {
    /// One line without the program's name, in lower case and without a full stop.
    public let message: Phrase
    /// Where to find help, such as `see 'natter help log'`.
    public let remedy: Phrase
    /// True if `--json` was given. Then the error is reported as JSON.
    public var asksForJSON = false

    public init(_ message: Phrase, remedy: Phrase) { (self.message, self.remedy) = (message, remedy) }

    public var phrase: Phrase { "\(message); \(remedy)" }
}

/// Prints a failure: one line on standard error, or one JSON object.
public enum FailureReport {
    /// - Parameters:
    ///   - json: prints `{"error":{"code","exit","message"}}` instead of `natter: message`.
    ///   - output: standard error. Write errors are ignored, because they can't be reported anywhere.
    public static func write(_ failure: CommandFailure, json: Bool, program: String, to output: Output) {
        if failure.exitCode == .closedPipe { return }
        var line: [UInt8] = []
        if json, let object = object(for: failure) {
            TerminalText.append(escaping: object, .json, to: &line)
        } else {
            TerminalText.append(escaping: program, .line, to: &line)
            line += Array(": ".utf8)
            TerminalText.append(escaping: failure.message.text, .line, to: &line)
        }
        line.append(UInt8(ascii: "\n"))
        try? output.write(line)
        try? output.flush()
    }

    private struct Report: Encodable {
        struct Body: Encodable {
            let code: String
            let message: String
            let exit: Int32
        }
        let error: Body
    }

    private static func object(for failure: CommandFailure) -> [UInt8]? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let body = Report.Body(code: failure.code, message: failure.message.english, exit: failure.exitCode.rawValue)
        return (try? encoder.encode(Report(error: body))).map { Array($0) }
    }
}
