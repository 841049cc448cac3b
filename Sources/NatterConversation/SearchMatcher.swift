public import NatterLog
internal import NatterModel
public import NatterSearch

/// Checks the messages that a search found: the filter, and the conditions of the query.
public struct SearchMatcher {
    /// The filter with the times of the conditions.
    public let filter: MessageFilter
    private let matcher: MessageMatcher
    private let conditions: SearchConditions
    private let senders: [SenderMatch]
    private let unwantedSenders: [SenderMatch]

    /// - Parameter name: the sender's name that a word of the query means, which may be 'me'.
    public init(_ filter: MessageFilter, _ conditions: SearchConditions, name: (String) -> String) {
        var filter = filter
        filter.since = [filter.since, conditions.since].compactMap(\.self).max()
        filter.until = [filter.until, conditions.until].compactMap(\.self).min()
        (self.filter, self.conditions) = (filter, conditions)
        matcher = MessageMatcher(filter)
        senders = conditions.senders.map { SenderMatch(name($0), ignoresCase: true) }
        unwantedSenders = conditions.unwantedSenders.map { SenderMatch(name($0), ignoresCase: true) }
    }

    public func matches(_ records: Records, _ index: Int) throws -> Bool {
        guard try matcher.matches(records, index) else { return false }
        if conditions.isEmpty { return true }
        // No record is a file yet.
        if conditions.hasFile == true { return false }
        if !(senders.isEmpty && unwantedSenders.isEmpty) {
            let sender = records.sender(at: index)
            guard senders.isEmpty || senders.contains(where: { $0.matches(sender) }),
                !unwantedSenders.contains(where: { $0.matches(sender) })
            else { return false }
        }
        guard let wanted = conditions.hasLink else { return true }
        return records.withText(at: index, SearchConditions.hasLink) == wanted
    }
}
