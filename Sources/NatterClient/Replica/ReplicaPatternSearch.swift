public import NatterConversation
internal import NatterLog
internal import NatterModel

/// A search for a pattern in a replica. It reads the messages themselves, because the index contains only words.
public struct ReplicaPatternSearch: Sendable {
    public private(set) var foundCount = 0
    public private(set) var missing: [UnsearchedRun] = []

    /// Visits the messages that match the pattern, newest first, in the order of `Replica.backward` and `merged`.
    ///
    /// - Parameters:
    ///   - conversations: nil for all, including those that the user has left.
    ///   - filter: its seqs are used only if one conversation is searched.
    ///   - limit: the most messages to find.
    /// - Throws: `ReplicaError`, `PatternError` for a pattern that takes too long, and what `visit` throws.
    public static func run(
        _ pattern: Pattern, in replica: Replica, conversations: [ReplicaConversation]? = nil,
        _ filter: MessageFilter = MessageFilter(), limit: Int = .max, visit: (MessageRun) throws -> Void
    ) throws -> ReplicaPatternSearch {
        var search = ReplicaPatternSearch()
        guard limit > 0 else { return search }
        var filter = filter
        if pattern.canExclude {
            // Another thread asks, too, but only this, and it ends with the search.
            nonisolated(unsafe) let pattern = pattern
            filter.textsOfBlock = { pattern.mayMatch(in: $0) }
        }
        // Texts that were visited because of their edits or files.
        var seen: [ConversationID: Set<Seq>] = [:]
        func look(_ piece: LogPiece) throws -> Bool {
            switch piece {
            // Nobody has these any more.
            case .missing(_, _, .notKept): break
            case .missing(let conversation, let seqs, _):
                search.missing.append(UnsearchedRun(conversation: conversation, seqs: seqs))
            case .messages(let run):
                let records = run.records
                var isKnown = false
                var possible = records.positions {
                    isKnown = pattern.possiblePlaces(in: $0, visit: $1)
                }
                /// Positions are asked for in falling order.
                func isPossible(_ position: Int) -> Bool {
                    guard isKnown else { return true }
                    while let last = possible.last, last > position { possible.removeLast() }
                    return possible.last == position
                }
                let reader = LogReader(run.conversation, replica.archive)
                let folder = MessageFolder(reader, folds: true)
                lazy var areUnchanged = Result { try folder.areUnchanged(records) }
                var positions: [Int] = []
                for position in run.positions {
                    let kind = records.kind(at: position)
                    guard isPossible(position),
                        try records.withSearchedText(at: position, { try pattern.matches($0, isChecked: true) })
                            == true,
                        try kind == .text && !records.isErased(at: position) && areUnchanged.get()
                            || folder.isCurrent(records[position])
                    else { continue }
                    var text: MessageRun?
                    if kind.isPart, let about = records[position].about {
                        guard seen[run.conversation.id, default: []].insert(about).inserted else { continue }
                        if kind == .file {
                            text = try? reader.run(of: about)
                            if text == nil { continue }
                        }
                    } else if seen[run.conversation.id]?.contains(records.firstSeq.advanced(by: position)) == true {
                        continue
                    }
                    if let text {
                        if !positions.isEmpty { try visit(run.only(positions)) }
                        positions = []
                        try visit(text)
                    } else {
                        positions.append(position)
                    }
                    search.foundCount += 1
                    if search.foundCount == limit { break }
                }
                if !positions.isEmpty { try visit(run.only(positions)) }
            }
            return search.foundCount < limit
        }
        if let conversation = conversations?.first, conversations?.count == 1 {
            try replica.backward(conversation, filter, readsAhead: true, visit: look)
        } else {
            let all = try conversations ?? replica.conversations(includingGone: true)
            try replica.merged(all, filter, isNewestFirst: true, readsAhead: true, visit: look)
        }
        return search
    }
}
