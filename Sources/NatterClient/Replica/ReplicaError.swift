public import NatterConversation
public import NatterModel
internal import NatterSQLite
internal import NatterLog
internal import NatterSystem

/// A failure of the replica.
public enum ReplicaError: FailureConvertible, Equatable {
    /// Another process is writing to the replica; try again later.
    case locked(path: String)
    /// The disk, the database or a log file failed.
    case storage(ArchiveError)
    /// The server's answer is malformed. Nothing from that point on was kept.
    case malformedAnswer(Phrase)
    /// The server left out messages without saying that they are damaged.
    case hole(conversation: String, from: Seq, to: Seq)

    public var failure: CommandFailure {
        switch self {
        case .locked(let path): .locked(Path.directory(of: path))
        case .storage(let error) where isBusyDatabase:
            CommandFailure(.temporary, code: "locked", error.phrase, remedy: "try again later")
        case .storage(let error) where isDamage:
            .inputOutput(error.phrase, remedy: "run 'natter verify', then 'natter sync'")
        case .storage(let error): error.failure
        case .malformedAnswer(let what):
            CommandFailure(.badProtocol, code: "bad_protocol", "the server's answer is malformed: \(what)")
        case .hole(let conversation, let from, let to):
            CommandFailure(
                .badProtocol, code: "bad_protocol",
                "the server left out messages \(from) to \(to) of '\(conversation)' without saying why")
        }
    }

    public var phrase: Phrase { if case .storage(let error) = self { error.phrase } else { failure.message } }

    /// Whether the replica's database is damaged.
    public var isDamagedDatabase: Bool {
        if case .storage(.index(let error)) = self { error.reason == .corrupt } else { false }
    }

    /// Whether another program, not a natter, has locked the replica's database.
    public var isBusyDatabase: Bool {
        if case .storage(.index(let error)) = self { error.reason == .busy } else { false }
    }

    /// Whether 'verify' and then 'sync' can mend what failed.
    public var isDamage: Bool {
        if case .storage(.damaged) = self { true } else { isDamagedDatabase }
    }

    /// Runs `body` and converts its errors to this type.
    static func translate<Result>(_ body: () throws -> Result) throws(ReplicaError) -> Result {
        do { return try body() } catch { throw ReplicaError(error) }
    }

    /// Converts the errors of the targets below.
    init(_ error: any Error) {
        switch error {
        case let error as ReplicaError: self = error
        case let error as FormatViolation: self = .malformedAnswer(error.reason)
        default: self = .storage(ArchiveError(error))
        }
    }
}

extension CommandFailure {
    /// Another process has held the lock for too long.
    static func locked(_ path: String) -> CommandFailure {
        CommandFailure(
            .temporary, code: "locked", "another natter is using '\(path)'", remedy: "try again later")
    }
}
