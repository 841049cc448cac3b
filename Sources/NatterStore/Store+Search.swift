internal import NatterArchive
internal import NatterSearch
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem

extension Store {
    /// Finds messages in what the reader sees: newest first by their times, those of one conversation by falling seq.
    public func search(_ request: SearchRequest, for principal: Principal) throws(StoreError) -> SearchPage {
        var request = request
        request.sender = request.sender.map { spelling(ofSender: $0) }
        let query: SearchQuery
        do { query = try SearchQuery(request.query) } catch { throw .badQuery("\(error)") }
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
                        var one = ConversationSearch(
                            request: request, query: query, snapshot: snapshot, reader: reader, scan: scan, index: index
                        )
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
}

/// The search of one conversation: the tail and the blocks that are not in the index are scanned, then the index is asked.
///
/// Hits come by falling seq and are wanted by falling time, which is not the same where a history was imported behind newer
/// messages: so the search ends only where nothing that is still to come can be newer than what it has.
private struct ConversationSearch {
    let request: SearchRequest
    let query: SearchQuery
    let snapshot: Store.Snapshot
    let reader: ArchiveReader
    let scan: SearchScan
    let index: SearchIndex?
    /// Newest first, one more than a page holds at most.
    private var found: [(place: SearchPlace, message: Message)] = []
    private var highestTimes: [(firstSeq: Seq, highest: Timestamp)]?

    init(
        request: SearchRequest, query: SearchQuery, snapshot: Store.Snapshot, reader: ArchiveReader, scan: SearchScan,
        index: SearchIndex?
    ) {
        (self.request, self.query, self.snapshot) = (request, query, snapshot)
        (self.reader, self.scan, self.index) = (reader, scan, index)
    }

    /// - Returns: up to one more than a page holds.
    mutating func run() throws -> [(place: SearchPlace, message: Message)] {
        let id = snapshot.identity.id
        let indexed = min((try? index?.indexedUpTo(id)) ?? .zero, snapshot.tail.sealedSeq)
        let messages = MessageReader(
            reader: reader, conversation: snapshot.identity, name: snapshot.name, tail: snapshot.tail)
        var seq = snapshot.tail.head
        while seq > indexed {
            let run: Run
            do throws(ArchiveError) { run = try messages.run(containing: seq) } catch {
                guard case .damaged(let from, _, _) = error else { throw error }
                seq = min(from, seq).previous
                continue
            }
            for place in try scan.matches(count: run.records.count, text: run.records.withText) {
                if run.records.firstSeq.advanced(by: place) > seq { continue }
                offer(run, place)
            }
            seq = run.records.firstSeq.previous
        }
        guard let index, indexed > .zero else { return found }
        let until =
            request.before.map { min($0.time.advanced(milliseconds: 1), request.until ?? .max) } ?? request.until
        try index.search(query, in: id, since: request.since, until: until) { hit in
            guard hit.seq <= indexed, let run = try? messages.run(containing: hit.seq),
                let place = run.records.index(of: hit.seq)
            else { return .next }
            offer(run, place)
            return try isComplete(before: hit.seq) ? .enough : .next
        }
        return found
    }

    /// Whether no message up to this seq can be newer than the last that is wanted.
    private mutating func isComplete(before seq: Seq) throws -> Bool {
        guard found.count > request.limit, let oldest = found.last?.place.time else { return false }
        let times =
            try highestTimes
            ?? ArchiveRows.highestTimes(of: snapshot.identity.number, on: reader.connection)
        highestTimes = times
        var (low, high) = (0, times.count)
        while low < high {
            let middle = (low + high) / 2
            if times[middle].firstSeq <= seq { low = middle + 1 } else { high = middle }
        }
        return low == 0 || times[low - 1].highest <= oldest
    }

    private mutating func offer(_ run: Run, _ index: Int) {
        let filter = MessageReader.Filter(
            since: request.since, until: request.until, sender: request.sender.map { Array($0.utf8) })
        let place = SearchPlace(
            time: run.records.time(at: index), conversation: snapshot.identity.id,
            seq: run.records.firstSeq.advanced(by: index))
        guard filter.matches(run.records, index), request.before.map({ place < $0 }) ?? true else { return }
        if found.count > request.limit, let last = found.last, place < last.place { return }
        guard let hash = run.hashes(index..<index + 1).first else { return }
        let message = MessageReader.message(
            run.records[index], hash: hash, conversation: snapshot.identity, name: snapshot.name)
        let position = found.firstIndex { $0.place < place } ?? found.count
        found.insert((place, message), at: position)
        if found.count > request.limit + 1 { found.removeLast() }
    }
}

extension Timestamp {
    fileprivate static let max = Timestamp(milliseconds: .max)
}
