public import NatterSQLite
public import NatterLanguage
public import NatterLog
public import NatterModel
public import NatterSystem

/// What can go wrong with logs and index together.
public enum ArchiveError: Error, Equatable, PhraseConvertible {
    case disk(DiskError)
    case index(SQLiteError)
    case log(LogError)
    /// Messages that exist and can't be read: the exact range, and where the damage lies.
    case damaged(from: Seq, to: Seq, detail: Phrase)

    public var phrase: Phrase {
        switch self {
        case .disk(let error): error.phrase
        case .index(let error): error.phrase
        case .log(let error): error.phrase
        case .damaged(let from, let to, let detail): "messages \(from) to \(to) can't be read: \(detail)"
        }
    }

    /// No room left, and nothing else is wrong.
    public var isFull: Bool {
        switch self {
        case .disk(let error), .log(.disk(let error)): error.isFull
        case .index(let error): error.reason == .full
        default: false
        }
    }

    /// The disk did not do what it was told to, so what it holds is not known.
    public var leavesUnknown: Bool {
        switch self {
        case .disk(let error), .log(.disk(let error)): error.leavesUnknown
        case .index(let error): error.leavesUnknown
        default: false
        }
    }

    /// Brings what the rooms below throw into one type.
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
