internal import NatterConversation
internal import NatterLog
internal import NatterModel
internal import NatterSQLite
internal import NatterSearch

/// How much one search may do. When it is used up, the page ends with `more`.
struct SearchBudget: Sendable {
    /// Steps of SQLite in the index. A row that is found takes about six, a page of a list of words about three.
    var steps = 2_000_000
    /// Pages of the index. They decide how much memory the lists of words that begin with a prefix take.
    var pages = 40_000
    /// Blocks to open. Each 80 texts that are read without an index count as one, a look-up as a sixteenth.
    var blocks = 512
}

/// A conversation of a search, as it was when the search began.
///
/// A user may see thousands, of which a page needs few. So each one's log is opened when it is needed.
struct SearchedLog: Sendable {
    let id: ConversationID
    let head: Seq
    let sealedSeq: Seq
    /// The tail; nil without one, or if it has several parts.
    let tail: RunExtent?

    init(_ conversation: ConversationState) {
        id = conversation.identity.id
        (head, sealedSeq) = (conversation.head, conversation.sealedSeq)
        tail = conversation.tail.onlyExtent
    }
}

/// One search in all conversations that a user sees. It asks the index once, newest first, and merges what is not
/// indexed yet: tails, and blocks that the index lacks.
///
/// Its cost has a bound. The search leaves messages beyond its budget to the next page: it has looked at everything newer than
/// the place where it ended.
final class MessageSearch {
    private let request: SearchRequest
    private let query: SearchQuery
    private let matcher: SearchMatcher
    private let logs: [SearchedLog]
    private let open: (ConversationID) -> LogReader?
    /// The logs that were opened; nil if the user does not see it any more.
    private var readers: [ConversationID: LogReader?] = [:]
    /// The sealed seqs of logs, as they were when the search began, of which the index has more by now. That is searched
    /// in the tail.
    private var sealedSince: [ConversationID: Seq] = [:]
    private let filter: MessageFilter
    private let work: WorkBudget
    private let blockBudget: Int
    /// How much was read, in sixteenths of a block.
    private var spent = 0
    private var scan: SearchScan?
    private var last: (conversation: ConversationID, place: MessagePlace, block: OpenBlock?)?
    /// Newest first, at most one more than a page.
    private var found: [Found] = []
    /// The search ended at this time, because the budget was used up: what is not newer may be missing.
    private var end: Timestamp?

    /// A message that was found, without its text, because a page may have many.
    private struct Found {
        let place: SearchPlace
        /// About how many bytes it takes in the answer.
        let bytes: Int
    }

    /// Messages that the index lacks, or whose words are too frequent for it.
    private struct Unindexed {
        let conversation: ConversationID
        let seqs: ClosedRange<Seq>
        let highTime: Timestamp
    }

    /// - Parameters:
    ///   - name: the sender's name that a word of the query means.
    ///   - open: opens a log; nil if the user does not see it any more.
    init(
        _ request: SearchRequest, _ query: SearchQuery, _ logs: [SearchedLog], _ budget: SearchBudget,
        name: (String) -> String, open: @escaping (ConversationID) -> LogReader?
    ) {
        (self.request, self.query, self.logs, self.open) = (request, query, logs, open)
        var filter = MessageFilter()
        (filter.since, filter.until) = (request.since, request.until)
        if let sender = request.sender { filter.senders = [sender] }
        if let before = request.before {
            filter.until = min(before.time.advanced(milliseconds: 1), request.until ?? .max)
        }
        matcher = SearchMatcher(filter, query, name: name)
        self.filter = matcher.filter
        work = WorkBudget(steps: budget.steps, pages: budget.pages)
        blockBudget = budget.blocks * MessageSearch.blockCost
    }

    private static let blockCost = 16
    /// How many texts cost as much to scan as a sixteenth of a block to open.
    private static let textsPerCost = 5
    /// How many texts of tails are scanned together, about: few at first, because a frequent word needs no more.
    private var textsOfScan = 64
    private static let mostTextsOfScan = 256

    func run(_ index: SearchIndex?) throws -> SearchPage {
        if let index {
            do {
                // Without a word to ask for, the newest messages are read.
                try index.snapshot { try look(index, query.hasWords ? query : nil) }
            } catch let error as SearchIndexError where !error.isOverBudget {
                // A damaged index is made again. Until then, everything is scanned.
                (found, end, last) = ([], nil, nil)
                try look(nil, query)
            }
        } else {
            try look(nil, query)
        }
        return try page()
    }

    // MARK: Looking

    /// - Parameter indexed: what the index is asked for, which may find more than the query, because each text is compared; nil
    ///   for only where the newest messages are.
    private func look(_ index: SearchIndex?, _ indexed: SearchQuery?) throws {
        let entries = try index?.entries(of: logs.map(\.id)) ?? logs.map { _ in nil }
        var runs = try unindexed(entries)
        var next = 0
        /// Reads the messages without index that may be newer than a time, newest first.
        func readRuns(newerThan bound: Timestamp) throws {
            while end == nil, next < runs.count, runs[next].highTime > bound, !isComplete(before: runs[next].highTime) {
                if mustEnd(at: runs[next].highTime) { return }
                next = try read(runs, from: next, newerThan: bound)
            }
        }
        if let index {
            let conversations = entries.compactMap(\.self)
            var reached: Timestamp?
            /// Whether nothing that is not newer can belong to the page.
            func isEnough(_ time: Timestamp) throws -> Bool {
                try readRuns(newerThan: time.advanced(milliseconds: -1))
                return end != nil || isComplete(before: time) || mustEnd(at: time)
            }
            do {
                if let indexed {
                    try index.search(
                        indexed, among: conversations, since: filter.since, until: filter.until, budget: work,
                        reached: { reached = $0 }
                    ) { hit in try isEnough(hit.noNewerThan) ? .enough : add(hit) }
                } else {
                    try index.newest(among: conversations, since: filter.since, until: filter.until, budget: work) {
                        id, range in
                        reached = range.maxTime
                        if try isEnough(range.maxTime) { return .enough }
                        for run in try blocks(of: range, in: id) {
                            let place = (next..<runs.count).partitionPoint { runs[$0].highTime <= run.highTime }
                            runs.insert(run, at: place)
                        }
                        return .next
                    }
                }
            } catch let error as SearchIndexError where error.isOverBudget {
                guard let reached, isProgress(reached) else {
                    (found, spent, last) = ([], 0, nil)
                    // The words alone are too frequent for the index. If that is because of a prefix, it is asked for the other
                    // words. Otherwise the newest messages are read instead, and the next pages read on.
                    return try look(indexed == nil ? nil : index, indexed?.withoutShortestPrefix)
                }
                end = max(end ?? reached, reached)
                // Newer messages that the index lacks belong to this page, too.
                while next < runs.count, runs[next].highTime > reached, !isComplete(before: runs[next].highTime) {
                    next = try read(runs, from: next, newerThan: reached)
                }
                return
            }
        }
        try readRuns(newerThan: .min)
    }

    /// Whether a page that ends here brings its reader on.
    private func isProgress(_ time: Timestamp) -> Bool { request.before.map { time < $0.time } ?? true }

    /// Whether the budget is used up, so that the search ends at this time. A page that would end where it began goes on,
    /// at most through one range of each conversation, and so does one whose messages all have this time and would be left out.
    private func mustEnd(at time: Timestamp) -> Bool {
        guard spent >= blockBudget, isProgress(time), found.first.map({ $0.place.time > time }) ?? true else {
            return false
        }
        end = time
        return true
    }

    /// Whether no message up to this time can be among those that the page needs.
    private func isComplete(before bound: Timestamp) -> Bool {
        guard found.count > request.limit, let oldest = found.last?.place.time else { return false }
        return oldest > bound
    }

    /// Looks up a message that the index found.
    private func add(_ hit: SearchHit) throws -> SearchStep {
        // A bulk gives thousands of messages the same time. Only those of the last conversations belong to the page.
        let newest = SearchPlace(time: hit.noNewerThan, conversation: hit.conversation, seq: hit.seq)
        guard wants(newest) else { return .nextRange }
        if let sealedSeq = sealedSince[hit.conversation], hit.seq > sealedSeq { return .next }
        guard let reader = reader(of: hit.conversation), let block = try block(of: hit.seq, reader),
            let position = block.records.index(of: hit.seq),
            // An index of an older version also contains the texts of events.
            SearchFeed.isSearchable(block.records.kind(at: position))
        else { return .next }
        let time = block.records.time(at: position)
        try offer(block.records, position, reader, of: block)
        let isWanted = wants(SearchPlace(time: time, conversation: hit.conversation, seq: hit.seq))
        return hit.timesFall && !isWanted ? .nextRange : .next
    }

    /// The block of a message; nil if it can't be read, or if nothing in it can be wanted.
    private func block(of seq: Seq, _ reader: LogReader) throws -> OpenBlock? {
        if let last, last.conversation == reader.log.id, last.place.seqs.contains(seq) { return last.block }
        spent += 1
        let place = try reader.place(of: seq)
        var block: OpenBlock?
        if place.mayMatch(filter) {
            spent += MessageSearch.blockCost
            do throws(ArchiveError) {
                block = try reader.open(place)
            } catch {
                guard error.withheld != nil else { throw error }
            }
        }
        last = (reader.log.id, place, block)
        return block
    }

    /// Reads messages that the index lacks: a block, or the tails of several conversations together, because each scan costs
    /// more than a few messages do.
    ///
    /// - Returns: the index of the next run.
    private func read(_ runs: [Unindexed], from start: Int, newerThan bound: Timestamp) throws -> Int {
        var texts: [(reader: LogReader, records: Records, position: Int)] = []
        var next = start
        while next < runs.count, runs[next].highTime > bound, texts.count < textsOfScan,
            next == start || spent < blockBudget
        {
            let seqs = runs[next].seqs
            guard let reader = reader(of: runs[next].conversation), seqs.lowerBound > reader.log.sealedSeq,
                let part = try reader.log.tail.part(containing: seqs.lowerBound, on: reader.archive.connection)
            else { break }
            let records = try part.open(of: reader.log.id).records
            guard let first = records.index(of: seqs.lowerBound), let last = records.index(of: seqs.upperBound) else {
                break
            }
            for position in first...last where SearchFeed.isSearchable(records.kind(at: position)) {
                texts.append((reader, records, position))
            }
            spent += MessageSearch.blockCost / 4 + (last - first) / 4
            next += 1
        }
        guard next > start else {
            try read(runs[start])
            return start + 1
        }
        let found = try scanner().matches(count: texts.count) { index, body in
            _ = try texts[index].records.withSearchedText(at: texts[index].position, body)
        }
        for index in found { try offer(texts[index].records, texts[index].position, texts[index].reader) }
        textsOfScan = min(2 * textsOfScan, MessageSearch.mostTextsOfScan)
        return next
    }

    private func read(_ run: Unindexed) throws {
        // Breaking the texts of a block into words costs several times as much as opening it.
        let count = Int(clamping: run.seqs.upperBound.rawValue - run.seqs.lowerBound.rawValue)
        spent += MessageSearch.blockCost + count / MessageSearch.textsPerCost
        guard let reader = reader(of: run.conversation) else { return }
        try scanner().scan(reader, run.seqs) { matches in
            for position in matches.positions { try offer(matches.records, position, reader) }
            return true
        }
    }

    private func reader(of conversation: ConversationID) -> LogReader? {
        if let known = readers[conversation] { return known }
        let reader = open(conversation)
        readers[conversation] = .some(reader)
        return reader
    }

    private func scanner() throws -> SearchScan {
        let scanner = try scan ?? SearchScan(query)
        scan = scanner
        return scanner
    }

    /// The blocks of a range of the index, to be read without it.
    private func blocks(of range: SearchRange, in conversation: ConversationID) throws -> [Unindexed] {
        guard let reader = reader(of: conversation) else { return [] }
        let (first, last) = (
            range.seqs.lowerBound, min(range.seqs.upperBound, sealedSince[conversation] ?? reader.log.sealedSeq)
        )
        guard first <= last else { return [] }
        let rows = try ArchiveRows.blocks(first...last, of: reader.log.number, on: reader.archive.connection)
        spent += rows.count
        return rows.filter { filter.mayMatch(low: $0.lowTime, high: $0.highTime) }.map { row in
            Unindexed(
                conversation: conversation, seqs: max(row.firstSeq, first)...min(row.lastSeq, last),
                highTime: row.highTime)
        }
    }

    /// The runs that the index lacks, newest first.
    private func unindexed(_ entries: [SearchIndex.Entry?]) throws -> [Unindexed] {
        var runs: [Unindexed] = []
        sealedSince = [:]
        for (log, entry) in zip(logs, entries) {
            let known = entry?.head ?? .zero
            let indexed = min(known, log.sealedSeq)
            if known > indexed { sealedSince[log.id] = indexed }
            guard indexed < log.head else { continue }
            let extents: [RunExtent]
            if indexed == log.sealedSeq, let tail = log.tail {
                extents = [tail]
            } else if let reader = reader(of: log.id) {
                // Looking up all blocks of a conversation would cost too much for each search.
                extents =
                    indexed == reader.log.sealedSeq
                    ? try reader.log.tail.extents(on: reader.archive.connection) : try reader.extents()
            } else {
                continue
            }
            for extent in extents where !extent.isMissing && extent.seqs.upperBound > indexed {
                guard filter.mayMatch(low: extent.lowTime, high: extent.highTime) else { continue }
                let first = max(extent.seqs.lowerBound, indexed.next)
                runs.append(
                    Unindexed(conversation: log.id, seqs: first...extent.seqs.upperBound, highTime: extent.highTime))
            }
        }
        return runs.sorted { $0.highTime > $1.highTime }
    }

    /// Whether a message at this place may be among those that the page needs.
    private func wants(_ place: SearchPlace) -> Bool {
        guard found.count > request.limit, let oldest = found.last?.place else { return true }
        return place >= oldest
    }

    /// - Parameter block: of a hit of the index, whose text must be compared; nil if that has been done.
    private func offer(
        _ records: Records, _ position: Int, _ reader: LogReader, of block: OpenBlock? = nil
    ) throws {
        guard try matcher.matches(records, position, reader),
            let (place, bytes) = try place(of: records, position, reader),
            request.before.map({ place < $0 }) ?? true, wants(place)
        else { return }
        spent += 2
        if let block, try scanner().matches(in: block, position...position).isEmpty { return }
        guard try MessageFolder(reader, folds: true, needsEdits: true).isCurrent(records[position]) else { return }
        let rank = found.indices.partitionPoint { found[$0].place <= place }
        // A text and its files are one message.
        if rank < found.count, found[rank].place == place { return }
        found.insert(Found(place: place, bytes: bytes), at: rank)
        if found.count > request.limit + 1 { found.removeLast() }
    }

    /// Where a page has a message, and about how many bytes it takes there. A folded page has a file at the text that it came
    /// with; nil if that can't be read.
    private func place(
        of records: Records, _ position: Int, _ reader: LogReader
    ) throws -> (SearchPlace, bytes: Int)? {
        guard request.isFolded, records.kind(at: position) == .file else {
            let place = SearchPlace(
                time: records.time(at: position), conversation: reader.log.id,
                seq: records.firstSeq.advanced(by: position))
            return (place, records.answerBytes(at: position))
        }
        guard let seq = records[position].about, let text = try block(of: seq, reader)?.records,
            let index = text.index(of: seq), text.kind(at: index) == .text
        else { return nil }
        let place = SearchPlace(time: text.time(at: index), conversation: reader.log.id, seq: seq)
        return (place, text.answerBytes(at: index))
    }

    // MARK: The page

    private func page() throws -> SearchPage {
        var wanted = found.prefix(request.limit)
        // Messages up to the end are left out: the search may have missed others that belong before them.
        if let end { wanted = wanted.prefix { $0.place.time > end } }
        var bytes = 0
        let fitting = wanted.prefix { message in
            defer { bytes += message.bytes }
            return bytes == 0 || bytes + message.bytes <= Limits.pageBytes
        }
        let messages = try messages(at: fitting.map(\.place))
        if let end, fitting.count == wanted.count, fitting.count < request.limit {
            return SearchPage(messages: messages, more: true, next: SearchPlace(behind: end))
        }
        let hasAll = fitting.count == found.count && end == nil
        return SearchPage(messages: messages, more: !hasAll, next: fitting.last?.place ?? request.before)
    }

    /// The message that a folded answer has for one that was found: for an edit, the edited message; nil if that can't be read.
    private func folded(_ message: Message, _ reader: LogReader) throws -> Message? {
        do {
            let about = message.kind.isPart ? message.about : nil
            guard let original = try about.map({ try reader.run(of: $0)?.messages().first }) ?? message else {
                return nil
            }
            return try MessageFolder(reader, folds: true, needsEdits: true).applied(to: original)
        } catch let error as ArchiveError where error.withheld != nil {
            return nil
        }
    }

    /// The messages at these places, in their order. Each block is read once.
    private func messages(at places: [SearchPlace]) throws -> [Message] {
        var messages: [SearchPlace: Message] = [:]
        for (conversation, wanted) in Dictionary(grouping: places, by: \.conversation) {
            guard let reader = reader(of: conversation) else { continue }
            try reader.visit(wanted.map(\.seq).sorted()) { piece in
                switch piece {
                case .missing(_, _, .notStored), .missing(_, _, .notKept): break
                case .missing(_, let seqs, let reason): throw ArchiveError.missing(seqs, reason)
                case .messages(let run):
                    for message in run.messages() {
                        let place = SearchPlace(
                            time: message.time, conversation: conversation, seq: message.seq)
                        messages[place] = request.isFolded ? try folded(message, reader) : message
                    }
                }
            }
        }
        var seen: Set<SearchPlace> = []
        return places.compactMap { messages[$0] }.filter { message in
            // The edit of a text and its files are one message, too.
            seen.insert(SearchPlace(time: message.time, conversation: message.conversationID, seq: message.seq))
                .inserted
        }
    }
}

extension Timestamp {
    fileprivate static let max = Timestamp(milliseconds: .max)
    fileprivate static let min = Timestamp(milliseconds: .min)
}
