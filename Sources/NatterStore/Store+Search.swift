internal import NatterArchive
internal import NatterSearch
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem

extension Store {
    /// Finds messages in all conversations that the account sees, sorted by time (newest first), then conversation,
    /// then seq.
    public func search(_ request: SearchRequest, for principal: Principal) throws(StoreError) -> SearchPage {
        var request = request
        request.sender = request.sender.map { spelling(ofSender: $0) }
        let query: SearchQuery
        do { query = try SearchQuery(request.query) } catch { throw .badQuery("\(error)") }
        try checkCost(of: query)
        let snapshots: [Snapshot]
        if let name = request.conversation {
            snapshots = [try snapshot(name, for: principal)]
        } else {
            snapshots = state.withLock { state in
                state.visible(to: principal).map { state.snapshot(of: $0, for: principal.account) }
            }
        }
        do {
            var found: [(place: SearchPlace, message: Message)] = []
            let scan = try SearchScan(query)
            try withReader { reader in
                try search.withIndex(self) { index in
                    for snapshot in snapshots where snapshot.tail.head > .zero {
                        var one = ConversationSearch(request, query, snapshot.reader(reader), scan, index)
                        found += try one.run()
                    }
                }
            }
            found.sort { $0.place > $1.place }
            let page = found.prefix(request.limit)
            return SearchPage(
                messages: page.map(\.message), more: found.count > page.count, next: page.last?.place ?? request.before)
        } catch {
            throw StoreError(error)
        }
    }

    /// Refuses a query that would cost the server too much before any index is opened. Each word walks through its own list
    /// of messages, and SQLite joins the lists of all words that begin with a prefix.
    private func checkCost(of query: SearchQuery) throws(StoreError) {
        guard query.terms.count <= SearchRequest.termLimit else {
            throw .badQuery("the query has more than \(SearchRequest.termLimit) words")
        }
        guard query.wordCount <= SearchRequest.wordLimit else {
            throw .badQuery("the query has more than \(SearchRequest.wordLimit) words")
        }
        for term in query.terms where term.isPrefix && term.lastWordLength < SearchRequest.prefixMinimum {
            throw .badQuery("'\(term.text)*' needs \(SearchRequest.prefixMinimum) or more letters before the '*'")
        }
    }
}

/// The search in one conversation. It scans the tail and the blocks that are not indexed yet, then asks the index.
///
/// The index gives hits by falling seq, but the result is sorted by falling time. The two differ if history was
/// imported behind newer messages. So the search ends only when no message still to come can be newer than those
/// found.
private struct ConversationSearch {
    private let request: SearchRequest
    private let query: SearchQuery
    private let matcher: MessageMatcher
    private let reader: LogReader
    private let scan: SearchScan
    private let index: SearchIndex?
    /// Newest first, at most two more than a page.
    private var found: [(place: SearchPlace, message: Message)] = []
    private var highestTimes: [(firstSeq: Seq, highest: Timestamp)]?

    init(_ request: SearchRequest, _ query: SearchQuery, _ reader: LogReader, _ scan: SearchScan, _ index: SearchIndex?)
    {
        (self.request, self.query, self.reader) = (request, query, reader)
        (self.scan, self.index) = (scan, index)
        var filter = MessageFilter()
        (filter.since, filter.until, filter.sender) = (request.since, request.until, request.sender)
        matcher = MessageMatcher(filter)
    }

    /// - Returns: more than one page if there are more messages.
    mutating func run() throws -> [(place: SearchPlace, message: Message)] {
        let log = reader.log
        let indexed = min((try? index?.indexedUpTo(log.id)) ?? .zero, log.sealedSeq)
        if indexed < log.head {
            let (scan, reader) = (scan, reader)
            try scan.scan(reader, indexed.next...log.head) { run in
                for position in run.positions { offer(run.block, position) }
                return true
            }
        }
        guard let index, indexed > .zero else { return found }
        let until =
            request.before.map { min($0.time.advanced(milliseconds: 1), request.until ?? .max) } ?? request.until
        try index.search(query, in: log.id, since: request.since, until: until) { hit in
            // An index of an older version also contains the texts of events.
            guard hit.seq <= indexed, let block = try? reader.block(containing: hit.seq),
                let position = block.records.index(of: hit.seq),
                SearchFeed.isSearchable(block.records.kind(at: position))
            else { return .next }
            offer(block, position)
            return try isComplete(before: hit.seq) ? .enough : .next
        }
        return found
    }

    /// Whether no message up to this seq can be newer than the last one that the page needs.
    private mutating func isComplete(before seq: Seq) throws -> Bool {
        guard found.count > request.limit, let oldest = found.last?.place.time else { return false }
        let times =
            try highestTimes ?? ArchiveRows.highestTimes(of: reader.log.number, on: reader.archive.connection)
        highestTimes = times
        var (low, high) = (0, times.count)
        while low < high {
            let middle = (low + high) / 2
            if times[middle].firstSeq <= seq { low = middle + 1 } else { high = middle }
        }
        return low == 0 || times[low - 1].highest <= oldest
    }

    private mutating func offer(_ block: OpenBlock, _ position: Int) {
        let records = block.records
        let place = SearchPlace(
            time: records.time(at: position), conversation: reader.log.id,
            seq: records.firstSeq.advanced(by: position))
        guard matcher.matches(records, position), request.before.map({ place < $0 }) ?? true else { return }
        if found.count > request.limit, let last = found.last, place < last.place { return }
        let message = Message(
            records[position], hash: block.hash(after: position), of: reader.log.id, named: reader.log.name)
        found.insert((place, message), at: found.firstIndex { $0.place < place } ?? found.count)
        if found.count > request.limit + 1 { found.removeLast() }
    }
}

extension Timestamp {
    fileprivate static let max = Timestamp(milliseconds: .max)
}
