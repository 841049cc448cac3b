public import NatterLog
internal import NatterModel
public import NatterSearch

/// Checks the messages that a search found: the filter, and the conditions of the query.
public struct SearchMatcher {
    /// The filter with the times of the conditions.
    public let filter: MessageFilter
    private let matcher: MessageMatcher
    private let conditions: SearchConditions
    private let hasWords: Bool
    private let senders: [SenderMatch]
    private let unwantedSenders: [SenderMatch]

    /// - Parameter name: the sender's name that a word of the query means, which may be 'me'.
    public init(_ filter: MessageFilter, _ query: SearchQuery, name: (String) -> String) {
        conditions = query.conditions
        hasWords = query.hasWords
        var filter = filter
        filter.since = [filter.since, conditions.since].compactMap(\.self).max()
        filter.until = [filter.until, conditions.until].compactMap(\.self).min()
        self.filter = filter
        matcher = MessageMatcher(filter)
        senders = conditions.senders.map { SenderMatch(name($0), ignoresCase: true) }
        unwantedSenders = conditions.unwantedSenders.map { SenderMatch(name($0), ignoresCase: true) }
    }

    /// - Parameter reader: of the log of these records.
    public func matches(_ records: Records, _ index: Int, _ reader: LogReader) throws -> Bool {
        // Without words, a file is found by the text that it came with.
        guard try matcher.matches(records, index), hasWords || records.kind(at: index) != .file else { return false }
        if conditions.isEmpty { return true }
        if !(senders.isEmpty && unwantedSenders.isEmpty) {
            let sender = records.sender(at: index)
            guard senders.isEmpty || senders.contains(where: { $0.matches(sender) }),
                !unwantedSenders.contains(where: { $0.matches(sender) })
            else { return false }
        }
        if let wanted = conditions.hasLink, records.withSearchedText(at: index, SearchConditions.hasLink) != wanted {
            return false
        }
        guard let wanted = conditions.hasFile else { return true }
        return try MessageFolder(reader, folds: true).hasFiles(records[index]) == wanted
    }
}
