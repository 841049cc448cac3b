/// How a program ends; beyond 0 and 1 the codes of sysexits(3).
public struct ExitCode: RawRepresentable, Hashable, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let success = ExitCode(rawValue: 0)
    /// Nothing found, nothing new, or damage found: an answer, not an error.
    public static let nothingFound = ExitCode(rawValue: 1)
    public static let usage = ExitCode(rawValue: 64)
    /// Input or a cursor that is not valid.
    public static let invalidData = ExitCode(rawValue: 65)
    /// No such user, conversation or message.
    public static let notFound = ExitCode(rawValue: 67)
    /// Server not reached or not verified, or the outcome is unknown.
    public static let unavailable = ExitCode(rawValue: 69)
    public static let cannotCreate = ExitCode(rawValue: 73)
    public static let inputOutput = ExitCode(rawValue: 74)
    /// Try again later.
    public static let temporary = ExitCode(rawValue: 75)
    /// The other side speaks something else.
    public static let badProtocol = ExitCode(rawValue: 76)
    /// Wrong password, not logged in, not allowed.
    public static let refused = ExitCode(rawValue: 77)
    public static let configuration = ExitCode(rawValue: 78)
    /// SIGINT, as a shell reports it.
    public static let interrupted = ExitCode(rawValue: 130)
    /// Nobody reads the output any more: as a shell reports a program that SIGPIPE ended.
    public static let closedPipe = ExitCode(rawValue: 141)
}
