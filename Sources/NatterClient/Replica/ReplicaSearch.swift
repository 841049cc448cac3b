internal import NatterArchive
internal import NatterSearch
internal import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// A search in a replica: by the index where it reaches, by looking through the messages where it does not, so that it is
/// never wrong. To be used once.
public final class ReplicaSearch {
    /// What a search could not look through: the ranges, by conversation.
    public private(set) var missing: [(conversation: ReplicaConversation, range: ClosedRange<Seq>)] = []
    /// How many messages were looked through because the index does not have them: `index` is due.
    public private(set) var scannedCount = 0

    private let replica: Replica
    private let query: SearchQuery
    private let filter: MessageFilter
    private let matcher: MessageMatcher
    private let limit: Int
    private let visit: (MessageRun) throws -> Bool
    private var conversations: [ConversationID: ReplicaConversation] = [:]
    private var scan: SearchScan?
    /// Results that were given out, and those to be passed over because they were given out before.
    private var givenCount = 0
    private var passOver = 0
    private var isStopped = false

    /// Runs a search and visits what it finds, newest first: by falling time, in one conversation by falling seq.
    ///
    /// - Parameters:
    ///   - conversation: nil for all, those included that one does not belong to any more.
    ///   - filter: its seqs count in a search of one conversation only.
    ///   - visit: gets each message as a run of one; false ends the search.
    /// - Returns: what is to be known about it.
    /// - Throws: `ReplicaError`, and what `visit` throws.
    @discardableResult
    public static func run(
        _ query: ReplicaQuery, in replica: Replica, conversation: ReplicaConversation? = nil,
        _ filter: MessageFilter = MessageFilter(), limit: Int = .max, visit: @escaping (MessageRun) throws -> Bool
    ) throws -> ReplicaSearch {
        let search = ReplicaSearch(replica, query.query, filter, limit: limit, visit: visit)
        guard limit > 0 else { return search }
        let index = SearchIndex.openForReading(path: replica.location.searchPath, disk: replica.disk)
        do {
            guard let index else { throw SearchIndexError.corrupt(path: "", message: "") }
            try index.snapshot { try search.look(in: conversation, index) }
        } catch is SearchIndexError {
            // Its order is the same without the index, so what was given out already is only passed over.
            (search.passOver, search.givenCount) = (search.givenCount, 0)
            search.missing = []
            try search.look(in: conversation, nil)
        }
        return search
    }

    private init(
        _ replica: Replica, _ query: SearchQuery, _ filter: MessageFilter, limit: Int,
        visit: @escaping (MessageRun) throws -> Bool
    ) {
        (self.replica, self.query, self.filter, self.limit, self.visit) = (replica, query, filter, limit, visit)
        matcher = MessageMatcher(filter)
    }

    private func look(in conversation: ReplicaConversation?, _ index: SearchIndex?) throws {
        // After the index's state was fixed, so that the index has nothing that is not in the conversations.
        let coverage = try index?.coverage() ?? [:]
        if let conversation {
            let current = try replica.conversation(conversation.id) ?? conversation
            conversations = [current.id: current]
            try lookInOne(current, index, coverage[current.id])
        } else {
            for known in try replica.conversations(includingGone: true) { conversations[known.id] = known }
            try lookInAll(index, coverage)
        }
    }

    // MARK: One conversation

    private func lookInOne(
        _ conversation: ReplicaConversation, _ index: SearchIndex?, _ covered: SearchIndex.Coverage?
    ) throws {
        let units = try self.units(of: conversation, covered)
        let (newer, older) = (
            units.filter { $0.range.lowerBound > covered?.upperBound ?? .zero },
            units.filter { $0.range.upperBound < covered?.lowerBound ?? .zero }
        )
        for unit in newer.reversed() where try !giveAll(unit) { return }
        if let index, covered != nil {
            try index.search(query, in: conversation.id, since: filter.since, until: filter.until) { hit in
                guard let found = try self.found(hit), isWanted(found) else { return .next }
                return try give(found) ? .next : .enough
            }
        }
        guard !isStopped else { return }
        for unit in older.reversed() where try !giveAll(unit) { return }
    }

    private func giveAll(_ unit: Unit) throws -> Bool {
        for found in try matches(in: unit) where isWanted(found) { if try !give(found) { return false } }
        return true
    }

    private func isWanted(_ found: Found) -> Bool {
        found.seq > filter.after && found.seq <= filter.last(found.conversation.head)
    }

    // MARK: All conversations

    private func lookInAll(_ index: SearchIndex?, _ coverage: [ConversationID: SearchIndex.Coverage]) throws {
        var units: [Unit] = []
        for conversation in conversations.values {
            units += try self.units(of: conversation, coverage[conversation.id])
        }
        units.sort { $0.high > $1.high }
        var next = 0
        var newest = SearchNewest<Found>(limit: limit == .max ? .max : limit + passOver)
        func nextHigh() -> Timestamp { next < units.count ? units[next].high : Timestamp(milliseconds: .min) }

        func offer(_ unit: Unit) throws {
            for found in try matches(in: unit) {
                newest.offer(found, conversation: found.conversation.id, seq: found.seq, time: found.time)
            }
        }

        if let index {
            try index.search(query, since: filter.since, until: filter.until) { hit in
                while next < units.count, nextHigh() >= hit.noNewerThan {
                    next += 1
                    try offer(units[next - 1])
                }
                for found in newest.take(newerThan: max(hit.noNewerThan, nextHigh())) where try !give(found) {
                    return .enough
                }
                guard let found = try self.found(hit) else { return .next }
                return newest.offer(found, hit: hit, time: found.time)
            }
        }
        while !isStopped, next < units.count, !newest.isComplete(before: nextHigh()) {
            for found in newest.take(newerThan: nextHigh()) where try !give(found) { return }
            next += 1
            try offer(units[next - 1])
        }
        guard !isStopped else { return }
        for found in newest.finish() where try !give(found) { return }
    }

    // MARK: Messages

    /// A message that was found, without its text: how many of these wait does not matter.
    private struct Found {
        let conversation: ReplicaConversation
        let seq: Seq
        let time: Timestamp
    }

    /// A stretch that the index does not have.
    private struct Unit {
        let conversation: ReplicaConversation
        let range: ClosedRange<Seq>
        let high: Timestamp
    }

    private func units(
        of conversation: ReplicaConversation, _ covered: SearchIndex.Coverage?
    ) throws -> [Unit] {
        for gap in try replica.gaps(of: conversation) { missing.append((conversation, gap)) }
        if let covered, covered.lowerBound <= conversation.first, covered.upperBound >= conversation.head { return [] }
        return try ReplicaSpan.all(of: conversation, in: replica).flatMap { span -> [Unit] in
            guard !span.isMissing, filter.mayMatch(low: span.low, high: span.high) else { return [] }
            guard let covered else { return [Unit(conversation: conversation, range: span.range, high: span.high)] }
            var units: [Unit] = []
            if span.range.lowerBound < covered.lowerBound {
                let last = min(span.range.upperBound, covered.lowerBound.previous)
                units.append(Unit(conversation: conversation, range: span.range.lowerBound...last, high: span.high))
            }
            if span.range.upperBound > covered.upperBound {
                let first = max(span.range.lowerBound, covered.upperBound.next)
                units.append(Unit(conversation: conversation, range: first...span.range.upperBound, high: span.high))
            }
            return units
        }
    }

    /// What matches in a stretch, newest first.
    private func matches(in unit: Unit) throws -> [Found] {
        let scan = try self.scan ?? SearchScan(query)
        self.scan = scan
        var found: [Found] = []
        var seq = unit.range.upperBound
        // What was one block may be several now, or lie in another.
        while seq >= unit.range.lowerBound, seq > .zero {
            guard let block = try open(seq, of: unit.conversation) else { return found }
            let records = block.records
            let first = max(records.firstSeq, unit.range.lowerBound)
            guard let start = records.index(of: first), let end = records.index(of: seq) else { return found }
            scannedCount += end - start + 1
            let places = try scan.matches(count: end - start + 1) { place, body in
                guard ReplicaSearch.isSearchable(records.kind(at: start + place)) else { return }
                try records.withText(at: start + place) { try body($0) }
            }
            for place in places where matcher.matches(records, start + place) {
                found.append(
                    Found(
                        conversation: unit.conversation, seq: first.advanced(by: place),
                        time: records.time(at: start + place)))
            }
            seq = first.previous
        }
        return found
    }

    private func found(_ hit: SearchHit) throws -> Found? {
        guard let conversation = conversations[hit.conversation],
            let block = try open(hit.seq, of: conversation), let index = block.records.index(of: hit.seq),
            matcher.matches(block.records, index)
        else { return nil }
        return Found(conversation: conversation, seq: hit.seq, time: block.records.time(at: index))
    }

    /// nil for messages that can't be read, which are then noted.
    private func open(_ seq: Seq, of conversation: ReplicaConversation) throws -> OpenBlock? {
        do {
            return try replica.block(containing: seq, of: conversation)
        } catch ArchiveError.damaged(let from, let to, _) {
            let range = min(from, seq)...max(to, seq)
            if !missing.contains(where: { $0.conversation.id == conversation.id && $0.range == range }) {
                missing.append((conversation, range))
            }
            return nil
        }
    }

    /// - Returns: whether to go on.
    private func give(_ found: Found) throws -> Bool {
        guard let block = try open(found.seq, of: found.conversation), let index = block.records.index(of: found.seq)
        else { return true }
        givenCount += 1
        guard givenCount > passOver else { return true }
        isStopped = try !visit(MessageRun(conversation: found.conversation, block: block, positions: [index]))
        if givenCount >= limit { isStopped = true }
        return !isStopped
    }

    /// Whether a message's text is looked through: not what tells of events, and not kinds that are not known.
    static func isSearchable(_ kind: MessageKind) -> Bool { kind == .text || kind == .edit }

    // MARK: The index's file

    /// Deletes the index; it is made again by and by.
    static func discard(at location: ReplicaLocation, disk: any Disk) throws {
        try SearchIndex.discard(path: location.searchPath, disk: disk)
        try disk.syncDirectory(location.directory)
    }
}
