internal import NatterArchive
internal import NatterCrypto
internal import NatterLanguage
internal import NatterLog
internal import NatterModel

/// One conversation on its way through a merge: where it stands, and what its next message's place in the order is.
///
/// The order is by the highest time up to and with a message: a conversation's own order is never broken by imported times
/// that go back. What is not unpacked yet has a bound instead of that time, so that it is not unpacked before its turn.
final class MergeStream {
    let conversation: ReplicaConversation
    private let isNewestFirst: Bool
    private let filter: MessageFilter
    private let matcher: MessageMatcher
    private var spans: [ReplicaSpan]?
    /// In the order of the walk.
    private var index = 0
    private var loaded: Loaded?
    /// Where the walk goes on within the stretch; nil at its beginning.
    private var resume: Seq?

    /// The place in the order of what comes next, or a bound of it.
    private(set) var key: Timestamp
    /// Whether `key` is that of a message, not a bound.
    private(set) var isExact = false
    /// Bytes that are unpacked, about.
    var loadedBytes: Int { loaded.map { $0.block.records.textBytes + $0.block.records.count * 48 } ?? 0 }
    /// When it was looked at last.
    var lastUse = 0

    private struct Loaded {
        let block: OpenBlock
        /// The messages wanted, in the order of the walk, and the key of each.
        let positions: [Int]
        let keys: [Timestamp]
        var next: Int
    }

    /// - Parameter filter: its seqs bound this conversation.
    init(_ conversation: ReplicaConversation, _ filter: MessageFilter, isNewestFirst: Bool) {
        (self.conversation, self.filter, self.isNewestFirst) = (conversation, filter, isNewestFirst)
        matcher = MessageMatcher(filter)
        key = isNewestFirst ? conversation.latestTime : Timestamp(milliseconds: .min)
    }

    /// Forgets what is unpacked; it is unpacked again when its turn comes.
    func unload() { loaded = nil }

    enum Step {
        /// It now has an exact key.
        case ready
        /// Its bound has moved: others may come first now.
        case moved
        /// A hole was met.
        case missing(ClosedRange<Seq>, MissingReason)
        case finished
    }

    /// Comes one step nearer to the next message.
    func advance(in replica: Replica) throws -> Step {
        guard let spans else {
            self.spans = try relevantSpans(in: replica)
            return bound()
        }
        guard index < spans.count else { return .finished }
        let span = spans[index]
        if span.isMissing {
            index += 1
            _ = bound()
            return .missing(span.range, .notSent)
        }
        do {
            guard try load(span, in: replica) else {
                index += 1
                resume = nil
                return bound()
            }
            return .ready
        } catch ArchiveError.damaged(_, _, let detail) {
            index += 1
            resume = nil
            _ = bound()
            return .missing(span.range, .damaged(detail))
        }
    }

    /// Takes the messages that come before `isBefore` says no, at least one and at most `limit`.
    func take(limit: Int, while isBefore: (Timestamp) -> Bool) -> MessageRun? {
        guard var current = loaded else { return nil }
        var end = current.next + 1
        while end < current.positions.count, end - current.next < limit, isBefore(current.keys[end]) { end += 1 }
        let run = MessageRun(
            conversation: conversation, block: current.block, positions: Array(current.positions[current.next..<end]))
        current.next = end
        if end < current.positions.count {
            loaded = current
            key = current.keys[end]
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

    /// Whether nothing comes any more.
    var isFinished: Bool { spans.map { index >= $0.count } ?? false }

    private func bound() -> Step {
        isExact = false
        guard let spans, index < spans.count else { return .finished }
        let span = spans[index]
        key = max(span.highBefore, isNewestFirst ? span.high : span.low)
        return .moved
    }

    private func relevantSpans(in replica: Replica) throws -> [ReplicaSpan] {
        let first = max(filter.after.next, conversation.first)
        let last = filter.last(conversation.head)
        guard first <= last else { return [] }
        let spans = try ReplicaSpan.all(of: conversation, in: replica).filter { span in
            span.range.upperBound >= first && span.range.lowerBound <= last
                && (span.isMissing || filter.mayMatch(low: span.low, high: span.high))
        }
        return isNewestFirst ? spans.reversed() : spans
    }

    /// - Returns: false if nothing of the stretch is wanted.
    private func load(_ span: ReplicaSpan, in replica: Replica) throws -> Bool {
        if loaded == nil {
            let block = try block(of: span, in: replica)
            let records = block.records
            let first = max(span.range.lowerBound, filter.after.next)
            let last = min(span.range.upperBound, filter.last(conversation.head))
            var positions: [Int] = []
            var keys: [Timestamp] = []
            var high = span.highBefore
            let start = records.index(of: span.range.lowerBound) ?? 0
            for position in start..<records.count {
                let seq = records.firstSeq.advanced(by: position)
                guard seq <= last else { break }
                high = max(high, records.time(at: position))
                guard seq >= first, filter.isPlain || matcher.matches(records, position) else { continue }
                if let resume, isNewestFirst ? seq > resume : seq < resume { continue }
                positions.append(position)
                keys.append(high)
            }
            guard !positions.isEmpty else { return false }
            if isNewestFirst {
                positions.reverse()
                keys.reverse()
            }
            loaded = Loaded(block: block, positions: positions, keys: keys, next: 0)
        }
        if let loaded { key = loaded.keys[loaded.next] }
        isExact = true
        return true
    }

    /// The messages of a stretch. They may have moved from the tail into a log file since, so that they now lie in another
    /// block, or in several.
    private func block(of span: ReplicaSpan, in replica: Replica) throws -> OpenBlock {
        var joined: OpenBlock?
        var seq = span.range.lowerBound
        while seq <= span.range.upperBound {
            guard let block = try replica.block(containing: seq, of: conversation) else {
                throw ArchiveError.damaged(from: seq, to: span.range.upperBound, detail: "they are no longer there")
            }
            if block.records.lastSeq >= span.range.upperBound, joined == nil { return block }
            var records = joined?.records ?? Records(firstSeq: seq)
            let start = block.records.index(of: seq) ?? 0
            let hash = joined?.hashBefore ?? HashChain.advance(block.hashBefore, over: block.records, 0..<start)
            records.append(contentsOf: block.records.slice(start..<block.records.count))
            joined = OpenBlock(records: records, hashBefore: hash)
            seq = block.records.lastSeq.next
        }
        guard let joined else { throw ArchiveError.damaged(from: seq, to: seq, detail: "an empty stretch") }
        return joined
    }
}
