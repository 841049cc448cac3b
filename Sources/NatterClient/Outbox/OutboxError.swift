public import NatterModel
internal import NatterSQLite
public import NatterSystem

/// Why an operation of the outbox failed.
public enum OutboxError: FailureConvertible, Equatable {
    /// Another process has held the lock for too long.
    case locked(path: String)
    /// A file or a directory can't be made, written or read.
    case disk(DiskError)
    /// The disk is full; nothing was changed.
    case full(Phrase)
    /// The database failed.
    case storage(Phrase)
    /// The database is damaged.
    case damaged(Phrase)
    /// The id is already in the outbox with other content.
    case idReused(String)
    /// No entry has this number or id.
    case noEntry(String)
    /// This is the number of one entry, and the id of the one with the other number.
    case ambiguous(String, number: Int64)

    public var failure: CommandFailure {
        func failure(_ exitCode: ExitCode, _ code: String, _ problem: Phrase, _ remedy: Phrase) -> CommandFailure {
            CommandFailure(exitCode, code: code, problem, remedy: remedy)
        }
        return switch self {
        case .locked(let path): .locked(path)
        case .disk(let error): error.failure
        case .full(let what): .full(what)
        case .storage(let what): .inputOutput(what)
        case .damaged(let what):
            failure(
                .inputOutput, "damaged", what,
                "move it away to go on; 'sqlite3 FILE .recover' may read its messages")
        case .idReused(let id):
            failure(
                .invalidData, "id_reused", "the id '\(id)' belongs to another message in the outbox",
                "'natter outbox ls' shows it")
        case .noEntry(let what):
            failure(
                .notFound, "not_in_outbox", "the outbox has no message '\(what)'", "'natter outbox ls' lists what waits"
            )
        case .ambiguous(let what, let number):
            failure(
                .usage, "usage",
                "'\(what)' is the number of one message in the outbox and the id of message \(number)",
                "name the one by its id, or the other as \(number)")
        }
    }

    public var phrase: Phrase {
        switch self {
        case .disk(let error): error.phrase
        case .full(let what): what
        default: failure.message
        }
    }

    /// Converts errors of the targets below.
    init(_ error: any Error) {
        self =
            switch error {
            case let error as OutboxError: error
            case let error as DiskError: .disk(error)
            case let error as SQLiteError where error.reason == .full: .full("\(error)")
            case let error as SQLiteError where error.reason == .busy: .locked(path: error.path)
            case let error as SQLiteError where error.reason == .corrupt: .damaged("\(error)")
            default: .storage(Phrase(describing: error))
            }
    }
}
