internal import NatterArchive
internal import NatterLog
public import NatterModel
public import NatterPattern

/// A search for a pattern in a replica: goes through the messages themselves, no index knows what is in them to the letter.
public struct ReplicaPatternSearch: Sendable {
    /// Messages that could not be looked through.
    public struct Missing: Sendable {
        public let conversation: ReplicaConversation
        public let range: ClosedRange<Seq>
    }

    public private(set) var foundCount = 0
    public private(set) var missing: [Missing] = []

    /// Visits the messages that have the pattern, newest first as `Replica.backward` and `merged` have them. A block's worth
    /// is kept at a time, and no message as an object of its own.
    ///
    /// - Parameters:
    ///   - conversation: nil for all, those included that one does not belong to any more.
    ///   - filter: its seqs count in a search of one conversation only.
    ///   - limit: how many messages to find at most.
    /// - Returns: how many it found, and what could not be looked through.
    /// - Throws: `ReplicaError`, `PatternError` for a pattern that runs away, and what `visit` throws.
    public static func run(
        _ pattern: Pattern, in replica: Replica, conversation: ReplicaConversation? = nil,
        _ filter: MessageFilter = MessageFilter(), limit: Int = .max, visit: (MessageRun) throws -> Void
    ) throws -> ReplicaPatternSearch {
        var search = ReplicaPatternSearch()
        guard limit > 0 else { return search }
        func look(_ piece: ReplicaPiece) throws -> Bool {
            switch piece {
            case .missing(let conversation, let range, _):
                search.missing.append(Missing(conversation: conversation, range: range))
            case .messages(let run):
                let records = run.records
                var positions: [Int] = []
                for position in run.positions where ReplicaSearch.isSearchable(records.kind(at: position)) {
                    guard try records.withText(at: position, { try pattern.matches($0) }) else { continue }
                    positions.append(position)
                    search.foundCount += 1
                    if search.foundCount == limit { break }
                }
                if !positions.isEmpty { try visit(run.only(positions)) }
            }
            return search.foundCount < limit
        }
        if let conversation {
            try replica.backward(conversation, filter, visit: look)
        } else {
            let all = try replica.conversations(includingGone: true)
            try replica.merged(all, filter, isNewestFirst: true, visit: look)
        }
        return search
    }
}
