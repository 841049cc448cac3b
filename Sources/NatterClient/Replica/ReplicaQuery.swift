internal import NatterSearch
public import NatterLanguage

/// What to search for; see `natter search` for the language.
public struct ReplicaQuery: Sendable {
    let query: SearchQuery

    /// - Parameter text: all arguments, joined by spaces.
    /// - Throws: `ReplicaQueryError` for what can't be searched for.
    public init(_ text: String) throws(ReplicaQueryError) {
        do {
            query = try SearchQuery(text)
        } catch {
            throw ReplicaQueryError(phrase: Phrase(describing: error))
        }
    }

    /// Remarks on what was left out of account.
    public var notes: [Phrase] { query.notes }

    /// Finds the query's words in texts, to show them.
    public func highlighter() -> (String) -> [Range<Int>] {
        guard let highlighter = try? SearchHighlighter(query) else { return { _ in [] } }
        return { highlighter.ranges(in: $0) }
    }
}

/// A query that can't be answered: wrong usage.
public struct ReplicaQueryError: Error, PhraseConvertible {
    public let phrase: Phrase
}
