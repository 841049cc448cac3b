public import NatterLanguage
public import NatterModel
public import NatterSQLite

/// Why the search index did not do what it was asked.
public enum SearchIndexError: Error, Equatable, PhraseConvertible {
    /// What is in the file can't be relied on. Scan instead, `SearchIndex.discard` it and index anew.
    case corrupt(path: String, message: Phrase)
    /// The messages do not follow those that are indexed already. Nothing was changed.
    case notContiguous(conversation: ConversationID, expected: Seq, given: Seq)
    /// The disk is full, or did not do as told; or another process holds the lock.
    case database(SQLiteError)

    public var phrase: Phrase {
        switch self {
        case .corrupt(let path, let message): "the search index '\(path)' is damaged: \(message)"
        case .notContiguous(let conversation, let expected, let given):
            "cannot index message \(given) of conversation '\(conversation)': message \(expected) comes next"
        case .database(let error): error.phrase
        }
    }

    /// Whatever is not the disk's or another process's doing is damage, since the file and the statements are our own.
    init(_ error: SQLiteError) {
        switch error.reason {
        case .full, .inputOutput, .busy, .cannotOpen: self = .database(error)
        case .corrupt, .constraint, .newerSchema, .other: self = .corrupt(path: error.path, message: error.message)
        }
    }

    /// Runs `body`, its `SQLiteError` turned into one of these.
    static func translate<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as SQLiteError {
            throw SearchIndexError(error)
        } catch let error as Foreign {
            throw error.original
        }
    }

    /// Runs what a caller gave us, inside `translate`: an error of another database is not about this one.
    static func foreign<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch {
            throw Foreign(original: error)
        }
    }

    private struct Foreign: Error {
        let original: any Error
    }
}
