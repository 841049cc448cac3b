public import NatterModel
internal import NatterLog

/// Visits the messages of several conversations by time. Within one conversation, the order of seqs is kept.
///
/// An imported time that goes back counts as the highest time before it. A merge keeps at most about 32 MiB of
/// messages, and about 50 bytes for each block of these conversations.
public struct LogMerge {
    /// About how many bytes of decompressed messages a merge keeps.
    private static let memoryBytes = 32 << 20

    private let readers: [LogReader]
    private let filter: MessageFilter

    /// - Parameter filter: its `after` and `before` are ignored, because each conversation has its own seqs.
    public init(_ readers: [LogReader], _ filter: MessageFilter) { (self.readers, self.filter) = (readers, filter) }

    /// - Parameters:
    ///   - after: the seq to begin behind, by conversation. A conversation without an entry begins at its first
    ///     message.
    ///   - isNewestFirst: the exact reverse of the order.
    ///   - readsAhead: whether a second thread opens blocks before the walk comes to them.
    ///   - isWanted: whether the rest of a conversation is visited. It is asked again before each run.
    ///   - visit: returns false to end the walk. A run ends when another conversation has the next message.
    /// - Throws: `ArchiveError` and errors of `visit`. Damage is visited, not thrown.
    public func walk(
        after: [ConversationID: Seq] = [:], isNewestFirst: Bool = false, limit: Int = .max,
        readsAhead: Bool = false, isWanted: (ConversationID) -> Bool = { _ in true },
        visit: (LogPiece) throws -> Bool
    ) throws {
        let ahead = readsAhead ? readers.first.map { ReadAhead($0.archive.cache) } : nil
        let order = MergeOrder(isNewestFirst: isNewestFirst)
        var heap = Heap<MergeStream> { order.precedes($0, $1) }
        for reader in readers where reader.log.head >= reader.log.first {
            var own = filter
            (own.after, own.before) = (after[reader.log.id] ?? .zero, nil)
            guard own.after < reader.log.head else { continue }
            heap.insert(MergeStream(reader, own, isNewestFirst: isNewestFirst, ahead))
        }
        var memory = MergeMemory(limit: LogMerge.memoryBytes)
        var left = limit
        while left > 0, let stream = heap.popFirst() {
            guard isWanted(stream.id) else { continue }
            if stream.isExact, stream.loadedBytes > 0 {
                let rival = heap.first
                let run = stream.nextRun(limit: left) { key in
                    rival.map { order.precedes(key, stream, $0) } ?? true
                }
                if let run {
                    left -= run.positions.count
                    if try !visit(.messages(run)) { return }
                }
                if !stream.isFinished { heap.insert(stream) }
                continue
            }
            switch try stream.advance() {
            case .ready, .moved:
                memory.note(stream)
                heap.insert(stream)
            case .missing(let seqs, let reason):
                if try !visit(.missing(stream.reader.log, seqs, reason)) { return }
                if !stream.isFinished { heap.insert(stream) }
            case .finished: break
            }
        }
    }

    /// Where the newest `count` messages of all conversations begin: the first of them by time, nil if none is to be left out
    /// behind the seqs, and the seq before the first of each conversation, in the form of `walk`'s `after`. With both, the newest
    /// messages can be visited oldest first without keeping them in memory.
    public func newest(_ count: Int) throws -> (from: TimePlace?, after: [ConversationID: Seq]) {
        if let only = readers.first, readers.count == 1 {
            let newest = try only.newest(count, filter)
            return (newest.newestFrom, [only.log.id: newest.after])
        }
        let starts = try starts(ofNewest: count)
        let hasImported = try readers.contains { reader in
            var last = filter
            (last.after, last.before) = (starts[reader.log.id] ?? .zero, nil)
            return try reader.hasImported(last)
        }
        guard count > 0, hasImported else { return (nil, starts) }
        var all = filter
        (all.after, all.before) = (.zero, nil)
        let (from, after) = try LogMerge.newest(count, of: readers, all)
        let heads = readers.map { ($0.log.id, $0.log.head) }
        return (from, after.merging(heads) { known, _ in known })
    }

    /// The same where imported messages are older than those before them: blocks are read in the order of their highest times, as
    /// far as they can hold one.
    ///
    /// - Returns: `after` for conversations that have any of the messages.
    static func newest(
        _ count: Int, of readers: [LogReader], _ filter: MessageFilter
    ) throws -> (from: TimePlace?, after: [ConversationID: Seq]) {
        var places: [TimePlace] = []
        var newest = filter
        func keepNewest() {
            places.sort(by: >)
            places = Array(places.prefix(count))
            if places.count == count { newest.newestFrom = places.last }
        }
        // By their places, because to sort copies of a reader takes longer than to read a page.
        let runs = try readers.indices.flatMap { place in
            try readers[place].extents().map { (reader: place, run: $0) }
        }
        for (place, run) in runs.sorted(by: { $0.run.highTime > $1.run.highTime }) where !run.isMissing {
            let reader = readers[place]
            let id = reader.log.id
            if let least = newest.newestFrom {
                if run.highTime < least.time { break }
                if TimePlace(time: run.highTime, conversation: id, seq: run.seqs.upperBound) < least { continue }
            }
            var part = newest
            part.after = max(filter.after, run.seqs.lowerBound.previous)
            part.before = run.seqs.upperBound.next
            try reader.forward(part) { piece in
                guard case .messages(let run) = piece else { return true }
                places += run.positions.map {
                    TimePlace(
                        time: run.records.time(at: $0), conversation: id, seq: run.records.firstSeq.advanced(by: $0))
                }
                return true
            }
            if places.count >= (newest.newestFrom == nil ? count : 2 * count) { keepNewest() }
        }
        keepNewest()
        return (newest.newestFrom, Dictionary(places.map { ($0.conversation, $0.seq.previous) }, uniquingKeysWith: min))
    }

    /// The seqs behind which the newest messages begin in the order of `walk`.
    private func starts(ofNewest count: Int) throws -> [ConversationID: Seq] {
        var starts: [ConversationID: Seq] = [:]
        for reader in readers { starts[reader.log.id] = reader.log.head }
        try walk(isNewestFirst: true, limit: count) { piece in
            if case .messages(let run) = piece, let last = run.positions.last {
                starts[run.conversation.id] = run.records.firstSeq.advanced(by: last).previous
            }
            return true
        }
        return starts
    }
}

/// The order of a merge: by time, then by the conversations' ids.
private struct MergeOrder {
    let isNewestFirst: Bool

    func precedes(_ one: MergeStream, _ other: MergeStream) -> Bool {
        // A stream with a bound must be opened before a message of the same time is visited.
        if one.key == other.key, one.isExact != other.isExact { return !one.isExact }
        return precedes(one.key, one.id, other.key, other.id)
    }

    /// Whether a message of `stream` with this key comes before all of `rival`.
    func precedes(_ key: Timestamp, _ stream: MergeStream, _ rival: MergeStream) -> Bool {
        if key == rival.key, !rival.isExact { return false }
        return precedes(key, stream.id, rival.key, rival.id)
    }

    private func precedes(
        _ key: Timestamp, _ id: ConversationID, _ otherKey: Timestamp, _ otherID: ConversationID
    ) -> Bool {
        isNewestFirst ? (key, id) > (otherKey, otherID) : (key, id) < (otherKey, otherID)
    }
}

/// Unloads the least recently used streams of a merge if all streams together use too much memory.
private struct MergeMemory {
    let limit: Int
    private var streams: [ObjectIdentifier: MergeStream] = [:]
    private var clock = 0

    init(limit: Int) { self.limit = limit }

    mutating func note(_ stream: MergeStream) {
        guard stream.loadedBytes > 0 else { return }
        clock += 1
        stream.lastUse = clock
        streams[ObjectIdentifier(stream)] = stream
        guard clock % 16 == 0, streams.values.reduce(0, { $0 + $1.loadedBytes }) > limit else { return }
        // Unloads half of them at once, so that this runs rarely.
        for old in streams.values.sorted(by: { $0.lastUse < $1.lastUse }).prefix(streams.count / 2) { old.unload() }
        streams = streams.filter { $0.value.loadedBytes > 0 }
    }
}

/// One conversation in a merge: its position, and the place of its next message in the order of the merge.
///
/// The key of a message is the highest time up to and including it. So imported times that go back never change the
/// order within a conversation. A run that is not decompressed yet has a bound instead of a key, so that it is not
/// decompressed too early.
private final class MergeStream {
    let reader: LogReader
    let id: ConversationID
    private let isNewestFirst: Bool
    private let filter: MessageFilter
    private let matcher: MessageMatcher
    private let ahead: ReadAhead?
    /// In the order of the walk.
    private var runs: [RunExtent]?
    private var index = 0
    private var loaded: Loaded?
    /// Where the walk continues within the run; nil at the run's beginning.
    private var resume: Seq?

    /// The key of the next message, or a bound for it.
    private(set) var key: Timestamp
    /// Whether `key` belongs to a message and is not a bound.
    private(set) var isExact = false
    /// About how many decompressed bytes the stream holds.
    var loadedBytes: Int { loaded.map { $0.block.records.textBytes + $0.block.records.count * 48 } ?? 0 }
    /// The time of its latest use in `MergeMemory`.
    var lastUse = 0

    private struct Loaded {
        let block: OpenBlock
        /// The matching messages in the order of the walk.
        let positions: [Int]
        /// The key of each message of the block from `start` on; nil if that is its time, because no time goes back.
        let keys: [Timestamp]?
        let start: Int
        var next = 0

        func key(_ index: Int) -> Timestamp {
            keys.map { $0[positions[index] - start] } ?? block.records.time(at: positions[index])
        }
    }

    /// - Parameter filter: its seqs limit this conversation.
    init(_ reader: LogReader, _ filter: MessageFilter, isNewestFirst: Bool, _ ahead: ReadAhead?) {
        (self.reader, self.filter, self.isNewestFirst, self.ahead) = (reader, filter, isNewestFirst, ahead)
        id = reader.log.id
        matcher = MessageMatcher(filter, in: reader)
        key = isNewestFirst ? reader.log.latestTime : Timestamp(milliseconds: .min)
    }

    /// Drops the decompressed messages. They are decompressed again when needed.
    func unload() { loaded = nil }

    enum Step {
        /// The stream has an exact key.
        case ready
        /// The bound has moved, so other streams may now come first.
        case moved
        case missing(ClosedRange<Seq>, MissingReason)
        case finished
    }

    /// Moves one step towards the next message.
    func advance() throws -> Step {
        guard let runs else {
            self.runs = try relevantRuns()
            return bound()
        }
        guard index < runs.count else { return .finished }
        let run = runs[index]
        if run.isMissing {
            index += 1
            _ = bound()
            return .missing(run.seqs, reader.log.reason(ofMissing: run.seqs))
        }
        do {
            guard try load(run) else {
                index += 1
                resume = nil
                return bound()
            }
            return .ready
        } catch ArchiveError.damaged(_, _, let detail) {
            index += 1
            resume = nil
            _ = bound()
            return .missing(run.seqs, .damaged(detail, block: run.seqs))
        }
    }

    /// Takes messages as long as `isBefore` accepts their key: at least one and at most `limit`.
    func nextRun(limit: Int, while isBefore: (Timestamp) -> Bool) -> MessageRun? {
        guard var current = loaded else { return nil }
        var end = current.next + min(current.positions.count - current.next, limit)
        // Most often all of them come next. If not, few do.
        if end > current.next + 1, !isBefore(current.key(end - 1)) {
            end = current.next + 1
            while isBefore(current.key(end)) { end += 1 }
        }
        let isWhole = end - current.next == current.positions.count
        let positions = isWhole ? current.positions : Array(current.positions[current.next..<end])
        let run = MessageRun(reader.log, current.block, positions: positions)
        current.next = end
        if end < current.positions.count {
            loaded = current
            key = current.key(end)
            resume = current.block.records.firstSeq.advanced(by: current.positions[end])
        } else {
            loaded = nil
            resume = nil
            index += 1
            isExact = false
            _ = bound()
        }
        return run
    }

    /// Whether no messages remain.
    var isFinished: Bool { runs.map { index >= $0.count } ?? false }

    private func bound() -> Step {
        isExact = false
        guard let runs, index < runs.count else { return .finished }
        let run = runs[index]
        key = max(run.highBefore, isNewestFirst ? run.highTime : run.lowTime)
        return .moved
    }

    private func relevantRuns() throws -> [RunExtent] {
        let first = max(filter.after.next, reader.log.first)
        let last = filter.last(reader.log.head)
        guard first <= last else { return [] }
        let runs = try reader.extents().filter { run in
            run.seqs.upperBound >= first && run.seqs.lowerBound <= last
                && (run.isMissing || filter.mayMatch(low: run.lowTime, high: run.highTime))
        }
        return isNewestFirst ? runs.reversed() : runs
    }

    /// - Returns: false if no message of the run matches.
    private func load(_ run: RunExtent) throws -> Bool {
        if loaded == nil {
            guard let block = try block(of: run) else { return false }
            let records = block.records
            var first = max(run.seqs.lowerBound, filter.after.next)
            var last = min(run.seqs.upperBound, filter.last(reader.log.head))
            if let resume { if isNewestFirst { last = min(last, resume) } else { first = max(first, resume) } }
            let start = records.index(of: run.seqs.lowerBound) ?? 0
            let end = min(records.count, max(start, last.next.distance(after: records.firstSeq)))
            let candidates = min(end, max(start, first.distance(after: records.firstSeq)))..<end
            let positions =
                isNewestFirst
                ? try matcher.positions(in: records, candidates.reversed(), limit: .max)
                : try matcher.positions(in: records, candidates, limit: .max)
            guard !positions.isEmpty else { return false }
            var keys: [Timestamp]?
            if !records.timesRise(from: run.highBefore, start..<end) {
                var high = run.highBefore
                keys = (start..<end).map { position in
                    high = max(high, records.time(at: position))
                    return high
                }
            }
            loaded = Loaded(block: block, positions: positions, keys: keys, start: start)
        }
        if let loaded { key = loaded.key(loaded.next) }
        isExact = true
        return true
    }

    /// The messages of a run. Meanwhile they may have moved from the tail to a log file, so they may now be in
    /// another block or in several.
    ///
    /// - Returns: nil if the filter wants none of them.
    private func block(of run: RunExtent) throws -> OpenBlock? {
        var joined: OpenBlock?
        var seq = run.seqs.lowerBound
        while seq <= run.seqs.upperBound {
            let place = try reader.place(of: seq)
            if joined == nil, case .block(let row) = place, row.lastSeq >= run.seqs.upperBound {
                return try reader.open(place, for: matcher, isNewestFirst: isNewestFirst, ahead)
            }
            guard let block = try reader.open(place) else {
                throw ArchiveError.damaged(from: seq, to: run.seqs.upperBound, detail: "they are no longer there")
            }
            if block.records.lastSeq >= run.seqs.upperBound, joined == nil { return block }
            var records = joined?.records ?? Records(firstSeq: seq)
            let start = block.records.index(of: seq) ?? 0
            let hash = joined?.hashBefore ?? block.hash(after: start - 1)
            records.append(contentsOf: block.records.slice(start..<block.records.count))
            joined = OpenBlock(records: records, hashBefore: hash)
            seq = block.records.lastSeq.next
        }
        guard let joined else { throw ArchiveError.damaged(from: seq, to: seq, detail: "an empty run") }
        return joined
    }
}
