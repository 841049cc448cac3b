public import NatterModel
internal import NatterSearch

/// A query; natter-search(1) describes the language.
public struct ReplicaQuery: Sendable {
    let query: SearchQuery

    /// - Parameter text: all arguments, joined by spaces.
    public init(_ text: String) throws(ReplicaQueryError) {
        do {
            query = try SearchQuery(text)
        } catch {
            throw ReplicaQueryError(phrase: Phrase(describing: error))
        }
    }

    /// Remarks on parts of the query that are ignored.
    public var notes: [Phrase] { query.notes }

    /// Returns a function that finds the query's words in a text, for highlighting.
    public func highlighter() -> (String) -> [Range<Int>] {
        guard let highlighter = try? SearchHighlighter(query) else { return { _ in [] } }
        return { highlighter.ranges(in: $0) }
    }
}

/// A malformed query, which is a usage error.
public struct ReplicaQueryError: Error, PhraseConvertible {
    public let phrase: Phrase
}
