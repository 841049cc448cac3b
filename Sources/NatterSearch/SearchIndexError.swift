public import NatterModel
public import NatterSQLite

/// A failure of the search index.
public enum SearchIndexError: Error, Equatable, PhraseConvertible {
    /// The file is damaged. Scan the messages instead, call `SearchIndex.discard`, and index again.
    case corrupt(path: String, message: Phrase)
    /// The messages do not follow the indexed ones. Nothing was changed.
    case notContiguous(conversation: ConversationID, expected: Seq, given: Seq)
    /// The disk is full or failed, or another process holds the lock.
    case database(SQLiteError)

    public var phrase: Phrase {
        switch self {
        case .corrupt(let path, let message): "the search index '\(path)' is damaged: \(message)"
        case .notContiguous(let conversation, let expected, let given):
            "cannot index message \(given) of conversation '\(conversation)': message \(expected) comes next"
        case .database(let error): error.phrase
        }
    }

    /// An error that is caused by neither the disk nor another process means damage, because the file and the
    /// statements are our own.
    init(_ error: SQLiteError) {
        switch error.reason {
        case .full, .inputOutput, .busy, .cannotOpen, .overBudget: self = .database(error)
        case .corrupt, .constraint, .newerSchema, .other: self = .corrupt(path: error.path, message: error.message)
        }
    }

    /// Whether a search was ended because its budget is used up.
    public var isOverBudget: Bool {
        if case .database(let error) = self { return error.reason == .overBudget }
        return false
    }

    /// Runs `body` and translates its `SQLiteError` to a `SearchIndexError`.
    static func translate<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as SQLiteError {
            throw SearchIndexError(error)
        } catch let error as Foreign {
            throw error.original
        }
    }

    /// Runs a caller's closure inside `translate`. Its errors are not translated, because they may come from another
    /// database.
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
