/// Why a command failed, and how it says so to people and to programs.
public struct CommandFailure: FailureConvertible, Equatable {
    public let exitCode: ExitCode
    /// A word for programs, such as `usage` or `bad_cursor`.
    public let code: String
    /// The problem, in lower case and without a full stop.
    public let problem: Phrase
    /// What the user can do about it; nil if that is unknown, or if the problem says it.
    public let remedy: Phrase?

    public init(_ exitCode: ExitCode, code: String, _ problem: Phrase, remedy: Phrase? = nil) {
        (self.exitCode, self.code, self.problem, self.remedy) = (exitCode, code, problem, remedy)
    }

    /// The failure that any error is.
    public init(_ error: any Error) {
        self = (error as? any FailureConvertible)?.failure ?? .inputOutput(Phrase(describing: error))
    }

    /// A disk of this machine that is full.
    public static func full(
        _ problem: Phrase, remedy: Phrase = "free some space and try again"
    ) -> CommandFailure {
        CommandFailure(.temporary, code: "disk_full", problem, remedy: remedy)
    }

    /// A disk, a file or a library that failed.
    public static func inputOutput(_ problem: Phrase, remedy: Phrase? = nil) -> CommandFailure {
        CommandFailure(.inputOutput, code: "io_error", problem, remedy: remedy)
    }

    /// One line with the problem and the remedy.
    public var message: Phrase { remedy.map { "\(problem); \($0)" } ?? problem }
    public var failure: CommandFailure { self }

    /// This failure in other words.
    public func saying(_ message: Phrase) -> CommandFailure { CommandFailure(exitCode, code: code, message) }
}

/// An error that knows how a command fails that meets it.
public protocol FailureConvertible: Error, PhraseConvertible {
    var failure: CommandFailure { get }
}

extension FailureConvertible {
    public var phrase: Phrase { failure.message }
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
