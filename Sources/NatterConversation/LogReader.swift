public import NatterSystem
public import NatterModel
public import NatterLog
internal import NatterSQLite

/// How much one walk may read while its filter finds nothing.
public struct ReadBudget: Sendable {
    /// The most blocks to decompress.
    public var blocks: Int
    /// The most blocks to skip because their times do not match the filter.
    public var passedOver: Int

    public init(blocks: Int, passedOver: Int) { (self.blocks, self.passedOver) = (blocks, passedOver) }

    public static let unlimited = ReadBudget(blocks: .max, passedOver: .max)

    var isSpent: Bool { blocks <= 0 || passedOver <= 0 }
}

/// The meaning of a message cursor for a log.
public enum CursorStanding: Sendable, Equatable {
    /// The cursor names this message of this history.
    case good(Seq)
    /// The cursor belongs to another conversation or to a former one of the same name.
    case foreign
    /// The cursor is beyond the head. On a client, a sync may bring the message.
    case ahead(Seq)
    /// This history has another message at that seq: the server was restored from a backup.
    case diverged(Seq)
    /// The cursor is below the first message that is kept.
    case notKept(Seq)
    /// The message at that seq is missing or damaged, so the log cannot tell.
    case unknown(Seq)
}

/// Reads the messages of one conversation, sealed or not. Not thread-safe.
public struct LogReader {
    public let archive: ArchiveReader
    public let log: ConversationLog

    public init(_ log: ConversationLog, _ archive: ArchiveReader) { (self.log, self.archive) = (log, archive) }

    private var connection: Connection { archive.connection }

    // MARK: Places

    /// Finds where a message is stored.
    ///
    /// Another process may move messages from the tail to a log file at any moment. So a message that is not where it
    /// was when the log was looked up is searched in the other place.
    ///
    /// - Parameter seq: 1 to the head.
    public func place(of seq: Seq) throws(ArchiveError) -> MessagePlace {
        do throws(SQLiteError) {
            let isSealed = seq <= log.sealedSeq
            if !isSealed, let part = try log.tail.part(containing: seq, on: connection) { return .tail(part) }
            let below = try ArchiveRows.block(atOrBefore: seq, of: log.number, on: connection)
            if let below, below.lastSeq >= seq { return .block(below) }
            if isSealed, let part = try log.tail.part(containing: seq, on: connection) { return .tail(part) }
            return .missing(try missing(around: seq, blockBelow: below))
        } catch {
            throw .index(error)
        }
    }

    private func missing(around seq: Seq, blockBelow: BlockRow?) throws(SQLiteError) -> ClosedRange<Seq> {
        let next = try ArchiveRows.blocks(
            seq...max(seq, log.head), of: log.number, limit: 1, on: connection
        ).first
        let tail = try log.tail.neighbours(of: seq, on: connection)
        let below = max(blockBelow?.lastSeq ?? .zero, tail.below ?? .zero, log.first.previous)
        let above = min(next?.firstSeq ?? Seq(.max), tail.above ?? Seq(.max), max(seq, log.head).next)
        return min(seq, below.next)...max(seq, above.previous)
    }

    /// Opens the messages at a place; nil for missing messages.
    ///
    /// - Parameter wish: nil also for a block without it.
    /// - Throws: `ArchiveError.damaged` with the messages that can't be read.
    public func open(_ place: MessagePlace, _ wish: BlockWish = BlockWish()) throws(ArchiveError) -> OpenBlock? {
        switch place {
        case .block(let row): try archive.open(row, of: log.identity, wish)
        case .tail(let part): try part.open(of: log.id)
        case .missing: nil
        }
    }

    /// Opens what a walk has come to; nil for a block that it does not want.
    func open(
        _ place: MessagePlace, for matcher: MessageMatcher, isNewestFirst: Bool, _ ahead: ReadAhead?
    ) throws(ArchiveError) -> OpenBlock? {
        guard let ahead, case .block(let row) = place else { return try open(place, matcher.wish) }
        ahead.expect(behind: row, of: log.identity, matcher.wish) { row in
            let seq = isNewestFirst ? row.firstSeq.previous : row.lastSeq.next
            guard seq >= log.first, seq <= log.sealedSeq,
                let next = try? ArchiveRows.block(containing: seq, of: log.number, on: connection),
                matcher.filter.mayMatch(low: next.lowTime, high: next.highTime)
            else { return nil }
            return next
        }
        switch ahead.outcome(of: row) {
        case .opened(let block): return block
        case .unwanted: return nil
        case nil: return try open(place, matcher.wish)
        }
    }

    /// The messages stored together with `seq`; nil if it is missing.
    ///
    /// - Throws: `ArchiveError.damaged` with the messages that can't be read.
    public func block(containing seq: Seq) throws(ArchiveError) -> OpenBlock? { try open(place(of: seq)) }

    /// The messages stored together with `seq`.
    ///
    /// - Throws: `ArchiveError.damaged`, also for missing messages.
    public func storedBlock(containing seq: Seq) throws(ArchiveError) -> OpenBlock {
        let place = try place(of: seq)
        if let block = try open(place) { return block }
        guard case .missing(let seqs) = place else { throw .short(seq...seq) }
        throw .missing(seq...seqs.upperBound, .notStored)
    }

    /// The run of one message; nil if it is missing.
    ///
    /// - Throws: `ArchiveError.damaged` with the messages that can't be read.
    public func run(of seq: Seq) throws(ArchiveError) -> MessageRun? {
        guard let block = try block(containing: seq), let position = block.records.index(of: seq) else { return nil }
        return MessageRun(log, block, positions: [position])
    }

    /// All runs from the first message to the head, lowest first. Nothing is decompressed.
    public func extents() throws(ArchiveError) -> [RunExtent] {
        try ArchiveError.translate {
            return try connection.snapshot {
                let stored =
                    try ArchiveRows.extents(of: log.number, on: connection) + log.tail.extents(on: connection)
                var extents: [RunExtent] = []
                var next = log.first
                var high = Timestamp(milliseconds: .min)
                for run in stored {
                    guard next <= log.head else { break }
                    let (first, last) = (run.seqs.lowerBound, min(run.seqs.upperBound, log.head))
                    guard last >= next, first <= log.head else { continue }
                    if first > next { extents.append(.missing(next...first.previous, after: high)) }
                    extents.append(
                        RunExtent(
                            seqs: max(first, next)...last, lowTime: run.lowTime, highTime: run.highTime,
                            highBefore: high, isMissing: false))
                    high = max(high, run.highTime)
                    next = last.next
                }
                if next <= log.head { extents.append(.missing(next...log.head, after: high)) }
                return extents
            }
        }
    }

    // MARK: Walks

    /// Visits the messages that match a filter, oldest first and run by run, and the missing messages among them.
    ///
    /// - Parameters:
    ///   - limit: the most messages to visit, from the oldest on.
    ///   - visit: returns false to end the walk before the piece that it was given.
    /// - Returns: the last seq that was read; `filter.after` or the seq before the first message if none was.
    /// - Throws: `ArchiveError` and errors of `visit`. Damage is visited, not thrown.
    @discardableResult
    public func forward(
        _ filter: MessageFilter, limit: Int = .max, budget: ReadBudget = .unlimited,
        visit: (LogPiece) throws -> Bool
    ) throws -> Seq {
        try walk(filter, isNewestFirst: false, limit, budget, visit)
    }

    /// Does the same, newest first. Runs come in falling order, and so do the positions in each.
    ///
    /// - Parameter readsAhead: whether a second thread opens blocks before the walk comes to them.
    /// - Returns: the last seq that was read, which is the lowest; the seq after the newest message if none was.
    @discardableResult
    public func backward(
        _ filter: MessageFilter, limit: Int = .max, budget: ReadBudget = .unlimited, readsAhead: Bool = false,
        visit: (LogPiece) throws -> Bool
    ) throws -> Seq {
        try walk(filter, isNewestFirst: true, limit, budget, readsAhead: readsAhead, visit)
    }

    /// Visits single messages in the given order. A block is opened once for those of its messages that follow one another.
    ///
    /// - Parameter seqs: each of them from the first message to the head.
    public func visit(_ seqs: [Seq], _ visit: (LogPiece) throws -> Void) throws {
        let matcher = MessageMatcher(MessageFilter(), in: self)
        var (rest, budget) = (seqs[...], ReadBudget.unlimited)
        while let first = rest.first {
            let run = try read(at: first, matcher, false, nil, &budget)
            let part = rest.prefix { run.seqs.contains($0) }
            rest = rest[part.endIndex...]
            switch run.content {
            case .passedOver: break
            case .missing(let reason): for seq in part { try visit(.missing(log, seq...seq, reason)) }
            case .messages(let block):
                let positions = part.compactMap { block.records.index(of: $0) }
                try visit(.messages(MessageRun(log, block, positions: positions)))
            }
        }
    }

    private func walk(
        _ filter: MessageFilter, isNewestFirst: Bool, _ limit: Int, _ budget: ReadBudget, readsAhead: Bool = false,
        _ visit: (LogPiece) throws -> Bool
    ) throws -> Seq {
        let ahead = readsAhead ? ReadAhead(archive.cache) : nil
        let (first, last) = (max(filter.after.next, log.first), filter.last(log.head))
        let matcher = MessageMatcher(filter, in: self)
        var (left, budget) = (limit, budget)
        var seq = isNewestFirst ? last : first
        walk: while first <= seq, seq <= last, left > 0, !budget.isSpent {
            let run = try read(at: seq, matcher, isNewestFirst, ahead, &budget)
            let part =
                isNewestFirst ? max(run.seqs.lowerBound, first)...seq : seq...min(run.seqs.upperBound, last)
            switch run.content {
            case .passedOver: break
            case .missing(let reason): guard try visit(.missing(log, part, reason)) else { break walk }
            case .messages(let block):
                let records = block.records
                guard let lower = records.index(of: part.lowerBound), let upper = records.index(of: part.upperBound)
                else { break }
                let positions =
                    isNewestFirst
                    ? try matcher.positions(in: records, (lower...upper).reversed(), limit: left)
                    : try matcher.positions(in: records, lower...upper, limit: left)
                guard let lastPosition = positions.last else { break }
                guard try visit(.messages(MessageRun(log, block, positions: positions))) else { break walk }
                left -= positions.count
                if left == 0 { return records.firstSeq.advanced(by: lastPosition) }
            }
            seq = isNewestFirst ? part.lowerBound.previous : part.upperBound.next
        }
        return isNewestFirst ? seq.next : seq.previous
    }

    /// The seq before the newest `count` messages that match a filter; `filter.after` if there are fewer. With it,
    /// the newest messages can be visited oldest first without keeping them in memory.
    public func start(ofNewest count: Int, _ filter: MessageFilter) throws -> Seq {
        let last = filter.last(log.head)
        if try isPlain(filter), !log.mayHaveGaps {
            let start = last.rawValue > UInt64(max(0, count)) ? Seq(last.rawValue - UInt64(max(0, count))) : .zero
            return max(filter.after, start)
        }
        guard count > 0 else { return last }
        var left = count
        var start = filter.after
        try backward(filter, limit: count) { piece in
            guard case .messages(let run) = piece, let lowest = run.positions.last else { return true }
            left -= run.positions.count
            if left == 0 { start = run.records.firstSeq.advanced(by: lowest).previous }
            return true
        }
        return start
    }

    /// The filter for the newest `count` messages by time, which a walk visits in the order of their seqs.
    ///
    /// With `before`, or if no message was imported, these are the last ones.
    ///
    /// Only imported messages can be older than those before them. So if there is none among the last messages, these are the
    /// newest. Otherwise blocks are read in the order of their highest times, as far as they can hold one.
    public func newest(_ count: Int, _ filter: MessageFilter) throws -> MessageFilter {
        var newest = filter
        newest.after = try start(ofNewest: count, filter)
        guard newest.after > filter.after, count > 0, filter.before == nil, try hasImported(newest) else {
            return newest
        }
        let (from, after) = try LogMerge.newest(count, of: [self], filter)
        (newest.newestFrom, newest.after) = (from, after[log.id] ?? filter.after)
        return newest
    }

    /// Whether any of the messages that match was imported.
    func hasImported(_ filter: MessageFilter) throws -> Bool {
        var isFound = false
        try forward(filter) { piece in
            guard case .messages(let run) = piece else { return true }
            isFound = run.positions.contains { run.records.isImported(at: $0) }
            return !isFound
        }
        return isFound
    }

    /// The newest message by time, alone; nil if it can't be read, or there is none.
    public func newestMessage() throws -> MessageRun? {
        guard log.head >= log.first, let last = try run(of: log.head), let position = last.positions.first else {
            return nil
        }
        guard last.records.isImported(at: position) else { return last }
        var found: MessageRun?
        try backward(newest(1, MessageFilter()), limit: 1) { piece in
            if case .messages(let run) = piece { found = run }
            return true
        }
        return found
    }

    /// The seqs of `count` messages around one that match a filter: half of them stand before it, or more if fewer follow.
    /// Missing messages count as well.
    ///
    /// - Returns: nil if there are none.
    public func window(
        around seq: Seq, count: Int, _ filter: MessageFilter, budget: ReadBudget = .unlimited
    ) throws -> ClosedRange<Seq>? {
        let (first, last) = (max(filter.after.next, log.first), filter.last(log.head))
        guard count > 0, first <= last else { return nil }
        let middle = min(max(seq, first), last.next)
        func share(_ before: Int, _ behind: Int) -> (before: Int, behind: Int) {
            let taken = min(before, max(count / 2, count - min(count, behind)))
            return (taken, min(behind, count - taken))
        }
        if try isPlain(filter) {
            let taken = share(
                Int(clamping: middle.rawValue - first.rawValue), Int(clamping: last.next.rawValue - middle.rawValue))
            return Seq(middle.rawValue - UInt64(taken.before))...middle.advanced(by: taken.behind).previous
        }
        let behind = try seqs(filter, from: middle, isNewestFirst: false, limit: count, budget)
        let before = try seqs(filter, from: middle.previous, isNewestFirst: true, limit: count, budget)
        let taken = share(before.count, behind.count)
        let seqs = before.prefix(taken.before).reversed() + behind.prefix(taken.behind)
        guard let lowest = seqs.first, let highest = seqs.last else { return nil }
        return lowest...highest
    }

    /// The first seqs from one on that match or are missing.
    private func seqs(
        _ filter: MessageFilter, from seq: Seq, isNewestFirst: Bool, limit: Int, _ budget: ReadBudget
    ) throws -> [Seq] {
        var filter = filter
        if isNewestFirst { filter.before = seq.next } else { filter.after = seq.previous }
        var seqs: [Seq] = []
        _ = try walk(filter, isNewestFirst: isNewestFirst, limit, budget) { piece in
            switch piece {
            case .messages(let run): seqs += run.positions.map { run.records.firstSeq.advanced(by: $0) }
            case .missing(_, let part, _):
                let missing = (part.lowerBound.rawValue...part.upperBound.rawValue).lazy.map { Seq($0) }
                if isNewestFirst {
                    seqs += missing.reversed().prefix(limit - seqs.count)
                } else {
                    seqs += missing.prefix(limit - seqs.count)
                }
            }
            return seqs.count < limit
        }
        return Array(seqs.prefix(limit))
    }

    /// Whether a filter wants every message of this log: there are no edits and deletions that it could leave out.
    private func isPlain(_ filter: MessageFilter) throws -> Bool {
        if filter.isPlain { return true }
        return try filter.wantsAll && !RelationRows.hasChanges(log.number, on: connection)
    }

    private struct RunRead {
        enum Content {
            case messages(OpenBlock)
            /// The filter excludes the whole run.
            case passedOver
            case missing(MissingReason)
        }

        let seqs: ClosedRange<Seq>
        let content: Content
    }

    private func read(
        at seq: Seq, _ matcher: MessageMatcher, _ isNewestFirst: Bool, _ ahead: ReadAhead?, _ budget: inout ReadBudget
    ) throws(ArchiveError) -> RunRead {
        let place = try place(of: seq)
        let seqs = place.seqs
        if case .missing = place { return RunRead(seqs: seqs, content: .missing(log.reason(ofMissing: seqs))) }
        guard place.mayMatch(matcher.filter) else {
            budget.passedOver -= 1
            return RunRead(seqs: seqs, content: .passedOver)
        }
        budget.blocks -= 1
        do throws(ArchiveError) {
            guard let block = try open(place, for: matcher, isNewestFirst: isNewestFirst, ahead) else {
                return RunRead(seqs: seqs, content: .passedOver)
            }
            guard block.records.firstSeq <= seqs.lowerBound, block.records.lastSeq >= seqs.upperBound
            else { throw .short(seqs) }
            return RunRead(seqs: seqs, content: .messages(block))
        } catch {
            guard let withheld = error.withheld else { throw error }
            let damaged = min(withheld.from, seq)...max(withheld.to, seq)
            return RunRead(seqs: damaged, content: .missing(.damaged(withheld.detail, block: damaged)))
        }
    }

    // MARK: The hash chain

    /// The hash chain after a message, or the start for `Seq.zero`; nil if missing or damaged messages make it
    /// unknown.
    public func hash(at seq: Seq) throws(ArchiveError) -> Digest? {
        if seq == .zero { return HashChain.start(of: log.id) }
        if seq == log.head { return log.hash }
        guard seq < log.head else { return nil }
        if let block = try readableBlock(containing: seq), let index = block.records.index(of: seq) {
            return block.hash(after: index)
        }
        // After missing messages, the next block contains the chain before it.
        guard let next = try readableBlock(containing: seq.next), next.records.firstSeq == seq.next else { return nil }
        return next.hashBefore
    }

    private func readableBlock(containing seq: Seq) throws(ArchiveError) -> OpenBlock? {
        do throws(ArchiveError) { return try block(containing: seq) } catch .damaged { return nil }
    }

    /// The cursor that means "everything up to this message has been seen"; nil if `hash(at:)` is nil.
    public func cursor(at seq: Seq) throws(ArchiveError) -> MessageCursor? {
        try hash(at: seq).map { MessageCursor(conversation: log.id, seq: seq, hashPrefix: $0.prefix) }
    }

    /// Whether a reader may continue from a cursor.
    public func standing(of cursor: MessageCursor) throws(ArchiveError) -> CursorStanding {
        guard cursor.isOf(log.id) else { return .foreign }
        guard cursor.seq <= log.head else { return .ahead(cursor.seq) }
        guard cursor.seq.next >= log.first else { return .notKept(cursor.seq) }
        guard let hash = try hash(at: cursor.seq) else { return .unknown(cursor.seq) }
        return hash.prefix == cursor.hashPrefix ? .good(cursor.seq) : .diverged(cursor.seq)
    }
}

extension RunExtent {
    fileprivate static func missing(_ seqs: ClosedRange<Seq>, after high: Timestamp) -> RunExtent {
        RunExtent(seqs: seqs, lowTime: high, highTime: high, highBefore: high, isMissing: true)
    }
}

extension ArchiveError {
    /// A block with fewer messages than its row says.
    static func short(_ seqs: ClosedRange<Seq>) -> ArchiveError {
        .damaged(from: seqs.lowerBound, to: seqs.upperBound, detail: "a block does not hold its messages")
    }

    /// The error for messages that a reader visited as missing.
    public static func missing(_ seqs: ClosedRange<Seq>, _ reason: MissingReason) -> ArchiveError {
        switch reason {
        case .notStored, .notKept:
            .damaged(from: seqs.lowerBound, to: seqs.upperBound, detail: "no block holds message \(seqs.lowerBound)")
        case .damaged(let detail, let block): .damaged(from: block.lowerBound, to: block.upperBound, detail: detail)
        }
    }
}
