internal import NatterClient
internal import NatterLog
internal import NatterModel

/// The messages of one conversation of the replica, one after another, a block at a time.
struct MessageStream {
    enum Direction { case forward, backward }

    /// A message at its place in a block.
    struct Item {
        let run: MessageRun
        /// In `run.positions`.
        let index: Int
        let seq: Seq
        let time: Timestamp
    }

    /// What a stream does at messages that are not here: goes on behind them, or ends before them.
    typealias HoleHandler = (ReplicaConversation, ClosedRange<Seq>, MissingReason) -> HoleAction
    enum HoleAction { case goOn, stop }

    let conversation: ReplicaConversation
    private let replica: Replica
    private let direction: Direction
    private var filter: MessageFilter
    private let end: Timestamp?
    private let onHole: HoleHandler
    private var run: MessageRun?
    private var index = 0
    private var isAtEnd = false
    /// Everything up to here has been looked at.
    private var scanned: Seq

    /// - Parameter end: going forward, the first message of this time or later is not given any more, nor anything
    ///   behind it; unlike `filter.until`, which passes over such messages.
    init(
        _ conversation: ReplicaConversation, of replica: Replica, _ filter: MessageFilter, _ direction: Direction,
        end: Timestamp? = nil, onHole: @escaping HoleHandler
    ) {
        (self.conversation, self.replica, self.filter) = (conversation, replica, filter)
        (self.direction, self.end, self.onHole) = (direction, end, onHole)
        scanned = min(filter.after, conversation.head)
    }

    /// The next message, without taking it; nil at the end.
    mutating func peek() throws -> Item? {
        while true {
            if let run, index < run.positions.count {
                let position = run.positions[index]
                let item = Item(
                    run: run, index: index, seq: run.records.firstSeq.advanced(by: position),
                    time: run.records.time(at: position))
                guard let end, item.time >= end else { return item }
                stop(before: item.seq)
            }
            if isAtEnd { return nil }
            try load()
        }
    }

    mutating func advance() { index += 1 }

    /// What is left of the block that is being read, or all of the next one: the same messages that `peek` and
    /// `advance` give, together. nil at the end.
    mutating func takeRun() throws -> (run: MessageRun, indices: Range<Int>)? {
        guard let item = try peek() else { return nil }
        let count = item.run.positions.count
        var last = count
        if let end {
            last = (item.index..<count).first { item.run.records.time(at: item.run.positions[$0]) >= end } ?? count
        }
        index = last
        return (item.run, item.index..<last)
    }

    /// Going forward: the last message that has been taken or passed over.
    var position: Seq {
        if let run, index < run.positions.count {
            return run.records.firstSeq.advanced(by: run.positions[index]).previous
        }
        return scanned
    }

    private mutating func stop(before seq: Seq) {
        (run, index, isAtEnd, scanned) = (nil, 0, true, seq.previous)
    }

    private mutating func load() throws {
        var piece: ReplicaPiece?
        (run, index) = (nil, 0)
        let first = { (found: ReplicaPiece) in
            piece = found
            return false
        }
        switch direction {
        case .forward: try replica.forward(conversation, filter, visit: first)
        case .backward: try replica.backward(conversation, filter, visit: first)
        }
        switch piece {
        case .messages(let found):
            run = found
            pass(found.records.firstSeq...found.records.lastSeq)
        case .missing(let conversation, let range, let reason):
            switch onHole(conversation, range, reason) {
            case .goOn: pass(range)
            case .stop: stop(before: range.lowerBound)
            }
        case nil:
            isAtEnd = true
            scanned = max(scanned, last)
        }
    }

    private var last: Seq { min(conversation.head, filter.before?.previous ?? conversation.head) }

    private mutating func pass(_ range: ClosedRange<Seq>) {
        switch direction {
        case .forward:
            filter.after = range.upperBound
            scanned = min(range.upperBound, last)
        case .backward: filter.before = range.lowerBound
        }
    }
}
