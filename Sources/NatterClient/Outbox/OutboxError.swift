internal import NatterSQLite
public import NatterLanguage
internal import NatterSystem

/// Why the outbox did not do what it was asked for.
public enum OutboxError: Error, Equatable, PhraseConvertible {
    /// Another process is at work on it for longer than it should take.
    case locked(path: String)
    /// The disk is full; nothing was changed.
    case full(Phrase)
    /// The disk or the database failed.
    case storage(Phrase)
    /// An id that waits there already, with other content.
    case idReused(String)
    /// Neither a number nor an id of anything that is there.
    case noEntry(String)

    public var phrase: Phrase {
        switch self {
        case .locked(let path): "another natter is using '\(path)'; try again later"
        case .full(let what), .storage(let what): what
        case .idReused(let id):
            "the id '\(id)' belongs to another message in the outbox; 'natter outbox ls' shows it"
        case .noEntry(let what): "nothing in the outbox is called '\(what)'; 'natter outbox ls' lists what waits"
        }
    }

    /// Brings what the rooms below throw into this type.
    init(_ error: any Error) {
        self =
            switch error {
            case let error as OutboxError: error
            case let error as DiskError where error.isFull: .full("\(error)")
            case let error as SQLiteError where error.reason == .full: .full("\(error)")
            case let error as SQLiteError where error.reason == .busy: .locked(path: error.path)
            default: .storage(Phrase(describing: error))
            }
    }
}
