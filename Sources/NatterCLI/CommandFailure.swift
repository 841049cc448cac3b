public import NatterLanguage
public import NatterSystem

/// Why a command ends without having done what it was asked.
public struct CommandFailure: Error, Equatable, PhraseConvertible {
    public let exitCode: ExitCode
    /// One word for programs, such as `usage` or `bad_cursor`.
    public let code: String
    /// One line that names the thing and what to do; lower case, no full stop.
    public let message: Phrase

    public init(_ exitCode: ExitCode, code: String, _ message: Phrase) {
        (self.exitCode, self.code, self.message) = (exitCode, code, message)
    }

    public init(_ error: UsageError) {
        self.init(.usage, code: "usage", error.phrase)
    }

    public init(_ error: ConfigError) {
        self.init(.configuration, code: "bad_configuration", error.phrase)
    }

    /// A call to the system that failed: 73 where it was to make a file, 75 where there is no room, else 74.
    public init(_ error: DiskError) {
        switch error.operation {
        // A file that is larger than its reader takes has the same number as one that can't grow.
        case let operation where error.isFull && operation != "read":
            self.init(.temporary, code: "disk_full", error.phrase)
        case "create", "create directory": self.init(.cannotCreate, code: "cannot_create", error.phrase)
        default: self.init(.inputOutput, code: "io_error", error.phrase)
        }
    }

    /// Output that failed. A closed pipe has its own exit code, and nothing is printed for it.
    public init(_ error: OutputError) {
        switch error {
        case .closedPipe: self.init(.closedPipe, code: "closed_pipe", error.phrase)
        case .failed: self.init(.inputOutput, code: "io_error", error.phrase)
        }
    }

    public var phrase: Phrase { message }
}
