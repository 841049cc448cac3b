public import NatterModel
internal import NatterSearch

/// A query; natter-search(1) describes the language.
public struct ReplicaQuery: Sendable {
    let query: SearchQuery

    /// - Parameters:
    ///   - text: all arguments, joined by spaces.
    ///   - time: reads the time of a condition; nil for dates and RFC 3339 alone.
    public init(_ text: String, time: ((String) -> Timestamp?)? = nil) throws(ReplicaQueryError) {
        do {
            query = try SearchQuery(text, time: time ?? SearchConditions.time)
        } catch {
            throw ReplicaQueryError(phrase: Phrase(describing: error))
        }
    }

    /// The names behind `from:` and `in:`, and behind `-in:`.
    public var senders: [String] { query.conditions.senders }
    public var conversations: [String] { query.conditions.conversations }
    public var unwantedConversations: [String] { query.conditions.unwantedConversations }
    /// The times of `after:` and `before:`.
    public var since: Timestamp? { query.conditions.since }
    public var until: Timestamp? { query.conditions.until }

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
