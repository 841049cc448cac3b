public import NatterSQLite
public import NatterModel
public import NatterLog
public import NatterSystem

/// A failure of log files and their index.
public enum ArchiveError: FailureConvertible, Equatable {
    case disk(DiskError)
    case index(SQLiteError)
    case log(LogError)
    /// These messages exist but can't be read. `detail` says where the damage is.
    case damaged(from: Seq, to: Seq, detail: Phrase)
    /// The disk can't return these messages now. A later read may succeed, so nothing may conclude that they are lost.
    case unreadable(from: Seq, to: Seq, DiskError)

    public var failure: CommandFailure {
        switch self {
        case .disk(let error): error.failure
        case .index(let error): error.failure
        case .log(let error): error.failure
        case .damaged, .unreadable: .inputOutput(phrase)
        }
    }

    public var phrase: Phrase {
        switch self {
        case .disk(let error): error.phrase
        case .index(let error): error.phrase
        case .log(let error): error.phrase
        case .damaged(let from, let to, let detail): "messages \(from) to \(to) can't be read: \(detail)"
        case .unreadable(let from, let to, let error): "messages \(from) to \(to) can't be read: \(error.phrase)"
        }
    }

    /// The messages that a reader can't get, for whatever reason, while it can read others.
    public var withheld: (from: Seq, to: Seq, detail: Phrase)? {
        switch self {
        case .damaged(let from, let to, let detail): (from, to, detail)
        case .unreadable(let from, let to, let error): (from, to, error.phrase)
        case .disk, .index, .log: nil
        }
    }

    /// This error for one message that its reader can't get because of it; nil if nothing is withheld.
    func withholding(_ seq: Seq) -> ArchiveError? {
        switch self {
        case .damaged(_, _, let detail): .damaged(from: seq, to: seq, detail: detail)
        case .unreadable(_, _, let error): .unreadable(from: seq, to: seq, error)
        case .disk, .index, .log: nil
        }
    }

    /// Whether the disk is full and nothing else is wrong.
    public var isFull: Bool {
        switch self {
        case .disk(let error), .log(.disk(let error)): error.isFull
        case .index(let error): error.reason == .full
        default: false
        }
    }

    /// A write or sync failed, so the content of the disk is unknown.
    public var leavesUnknown: Bool {
        switch self {
        case .disk(let error), .log(.disk(let error)): error.leavesUnknown
        case .index(let error): error.leavesUnknown
        default: false
        }
    }

    /// Runs `body` with its errors converted.
    static func translate<Result>(_ body: () throws -> Result) throws(ArchiveError) -> Result {
        do { return try body() } catch { throw ArchiveError(error) }
    }

    /// Converts the errors of the targets below.
    public init(_ error: any Error) {
        switch error {
        case let error as ArchiveError: self = error
        case let error as DiskError: self = .disk(error)
        case let error as SQLiteError: self = .index(error)
        case let error as LogError: self = .log(error)
        default: self = .log(.malformed(reason: Phrase(describing: error)))
        }
    }
}
