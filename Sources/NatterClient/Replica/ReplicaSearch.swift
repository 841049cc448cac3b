public import NatterConversation
public import NatterModel
internal import NatterLog
internal import NatterSearch

/// Messages that a search could not read.
public struct UnsearchedRun: Sendable {
    public let conversation: ConversationLog
    public let seqs: ClosedRange<Seq>
}

/// A full-text search in a replica. It uses the index as far as the index reaches and reads the other messages
/// themselves, so the result never depends on the index. Each object is used for one search.
public final class ReplicaSearch {
    public private(set) var missing: [UnsearchedRun] = []
    /// How many messages were read because the index lacks them. If there are some, `ReplicaIndexing` should run.
    public private(set) var scannedCount = 0

    private let replica: Replica
    private let query: SearchQuery
    private let filter: MessageFilter
    private let matcher: SearchMatcher
    private let limit: Int
    private let progress: (Int) -> Void
    private let visit: (MessageRun) throws -> Void
    private var readers: [ConversationID: LogReader] = [:]
    private var scan: SearchScan?
    /// The messages that are taken from the index. Everything else is read.
    private var coverage: [ConversationID: SearchIndex.Coverage] = [:]
    /// How many results were visited, and how many to skip because they were visited before.
    private var visitedCount = 0
    private var passOver = 0
    private var isStopped = false
    /// How many messages were found.
    public var foundCount: Int { max(visitedCount, passOver) }

    /// Runs a search and visits the results, newest first, in the order of `SearchNewest`.
    ///
    /// - Parameters:
    ///   - conversations: nil for all, including those that the user has left.
    ///   - filter: its seqs are not used.
    ///   - progress: called with `scannedCount` while messages are read that the index lacks.
    ///   - visit: gets each message as a run of one.
    /// - Throws: `ReplicaError`, and what `visit` throws.
    @discardableResult
    public static func run(
        _ query: ReplicaQuery, in replica: Replica, conversations: [ReplicaConversation]? = nil,
        _ filter: MessageFilter = MessageFilter(), limit: Int = .max, progress: @escaping (Int) -> Void = { _ in },
        visit: @escaping (MessageRun) throws -> Void
    ) throws -> ReplicaSearch {
        let search = ReplicaSearch(replica, query.query, filter, limit: limit, progress, visit: visit)
        guard limit > 0 else { return search }
        do {
            let index =
                query.query.hasWords
                ? SearchIndex.openForReading(path: replica.location.searchPath, disk: replica.disk) : nil
            do {
                guard let index else { throw SearchIndexError.corrupt(path: "", message: "") }
                try index.snapshot { try search.look(in: conversations, index) }
            } catch is SearchIndexError {
                // The order is the same without the index, so results that were already visited are skipped.
                (search.passOver, search.visitedCount) = (search.visitedCount, 0)
                search.missing = []
                try search.look(in: conversations, nil)
            }
        } catch let error as ArchiveError {
            throw ReplicaError(error)
        }
        return search
    }

    private init(
        _ replica: Replica, _ query: SearchQuery, _ filter: MessageFilter, limit: Int,
        _ progress: @escaping (Int) -> Void, visit: @escaping (MessageRun) throws -> Void
    ) {
        (self.replica, self.query, self.limit, self.progress, self.visit) = (replica, query, limit, progress, visit)
        let user = replica.location.user
        matcher = SearchMatcher(filter, query) { NameRule.isMe($0) ? user : $0 }
        self.filter = matcher.filter
    }

    private func look(in conversations: [ReplicaConversation]?, _ index: SearchIndex?) throws {
        let only = conversations?.count == 1 ? conversations?.first?.id : nil
        coverage = try index.map { try replica.coverage(of: $0, only: only) } ?? [:]
        let searched =
            try conversations?.map { try replica.conversation($0.id) ?? $0 }
            ?? replica.conversations(includingGone: true)
        for known in searched { readers[known.id] = replica.reader(of: known) }
        // Not by number, because what was imported is older than what was sent before.
        var runs: [UnindexedRun] = []
        for reader in readers.values { runs += try unindexedRuns(of: reader, coverage[reader.log.id]) }
        runs.sort { $0.highTime > $1.highTime }
        var next = 0
        var newest = SearchNewest(limit: limit == .max ? .max : limit + passOver)
        func nextHigh() -> Timestamp { next < runs.count ? runs[next].highTime : Timestamp(milliseconds: .min) }

        func offer(_ run: UnindexedRun) throws {
            for found in try matches(in: run) { newest.offer(found) }
        }

        if let index {
            try index.search(query, in: only, since: filter.since, until: filter.until) { hit in
                while next < runs.count, nextHigh() >= hit.noNewerThan {
                    next += 1
                    try offer(runs[next - 1])
                }
                for found in newest.drain(newerThan: max(hit.noNewerThan, nextHigh())) where try !give(found) {
                    return .enough
                }
                guard let found = try self.found(hit) else { return .next }
                return newest.offer(found, hit: hit)
            }
        }
        while !isStopped, next < runs.count, !newest.isComplete(before: nextHigh()) {
            for found in newest.drain(newerThan: nextHigh()) where try !give(found) { return }
            next += 1
            try offer(runs[next - 1])
        }
        guard !isStopped else { return }
        for found in newest.finish() where try !give(found) { return }
    }

    // MARK: Messages

    /// A run, or part of one, that the index lacks.
    private struct UnindexedRun {
        let reader: LogReader
        let seqs: ClosedRange<Seq>
        let highTime: Timestamp
    }

    private func unindexedRuns(
        of reader: LogReader, _ covered: SearchIndex.Coverage?
    ) throws -> [UnindexedRun] {
        let log = reader.log
        if log.mayHaveGaps, let conversation = try replica.conversation(log.id) {
            for gap in try replica.gaps(of: conversation) {
                missing.append(UnsearchedRun(conversation: log, seqs: gap))
            }
        }
        if let covered, covered.lowerBound <= log.first, covered.upperBound >= log.head { return [] }
        return try reader.extents().flatMap { run -> [UnindexedRun] in
            guard !run.isMissing, filter.mayMatch(low: run.lowTime, high: run.highTime) else { return [] }
            let parts = covered.map { run.seqs.parts(outside: $0) } ?? [run.seqs]
            return parts.map { UnindexedRun(reader: reader, seqs: $0, highTime: run.highTime) }
        }
    }

    /// The matching messages of a run, newest first.
    private func matches(in run: UnindexedRun) throws -> [SearchNewest.Found] {
        progress(scannedCount)
        let scan = try self.scan ?? SearchScan(query)
        self.scan = scan
        var found: [SearchNewest.Found] = []
        scannedCount += try scan.scan(run.reader, run.seqs, unreadable: { note($0, run.reader.log) }) { matches in
            let records = matches.records
            for position in matches.positions
            where try matcher.matches(records, position, run.reader) && isCurrent(records[position], run.reader) {
                if let place = try place(of: records, position, run.reader) { found.append(place) }
            }
            return true
        }
        return found
    }

    private func found(_ hit: SearchHit) throws -> SearchNewest.Found? {
        guard coverage[hit.conversation] != nil, let reader = readers[hit.conversation],
            let run = try open(hit.seq, reader),
            let position = run.positions.first, try matcher.matches(run.records, position, reader),
            SearchFeed.isSearchable(run.records.kind(at: position)), try isCurrent(run.records[position], reader)
        else { return nil }
        return try place(of: run.records, position, reader)
    }

    /// Where a message is shown: a file with the text that it came with; nil if that can't be read.
    private func place(of records: Records, _ position: Int, _ reader: LogReader) throws -> SearchNewest.Found? {
        guard records.kind(at: position) == .file else {
            return SearchNewest.Found(
                conversation: reader.log.id, seq: records.firstSeq.advanced(by: position),
                time: records.time(at: position))
        }
        guard let seq = records[position].about, let text = try open(seq, reader), let index = text.positions.first
        else { return nil }
        return SearchNewest.Found(conversation: reader.log.id, seq: seq, time: text.records.time(at: index))
    }

    /// Whether the record has the text that people see now.
    private func isCurrent(_ record: Record, _ reader: LogReader) throws -> Bool {
        try MessageFolder(reader, folds: true).isCurrent(record)
    }

    /// The run of one message; nil if it can't be read, which is noted as missing.
    private func open(_ seq: Seq, _ reader: LogReader) throws -> MessageRun? {
        do throws(ArchiveError) { return try reader.run(of: seq) } catch {
            guard let withheld = error.withheld else { throw error }
            note(min(withheld.from, seq)...max(withheld.to, seq), reader.log)
            return nil
        }
    }

    private func note(_ seqs: ClosedRange<Seq>, _ log: ConversationLog) {
        if !missing.contains(where: { $0.conversation.id == log.id && $0.seqs == seqs }) {
            missing.append(UnsearchedRun(conversation: log, seqs: seqs))
        }
    }

    /// - Returns: false to end the search.
    private func give(_ found: SearchNewest.Found) throws -> Bool {
        guard let reader = readers[found.conversation], let run = try open(found.seq, reader) else { return true }
        visitedCount += 1
        guard visitedCount > passOver else { return true }
        try visit(run)
        isStopped = visitedCount >= limit
        return !isStopped
    }
}

extension ClosedRange<Seq> {
    /// The parts below and above another range.
    fileprivate func parts(outside other: ClosedRange<Seq>) -> [ClosedRange<Seq>] {
        var parts: [ClosedRange<Seq>] = []
        if lowerBound < other.lowerBound { parts.append(lowerBound...Swift.min(upperBound, other.lowerBound.previous)) }
        if upperBound > other.upperBound { parts.append(Swift.max(lowerBound, other.upperBound.next)...upperBound) }
        return parts
    }
}
