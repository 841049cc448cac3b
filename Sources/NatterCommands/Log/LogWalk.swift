internal import NatterCLI
internal import NatterClient
internal import NatterLog
internal import NatterModel

/// Prints messages of the replica and remembers how far each conversation was read.
struct LogWalk {
    let replica: Replica
    let printer: MessagePrinter
    let filter: MessageFilter
    /// Whether positions are kept for somebody who will go on from them: then nothing may be passed over that could
    /// still be wanted.
    let keepsPlace: Bool
    let note: (String) -> Void

    private(set) var printed = 0
    /// Everything up to here has been looked at.
    private(set) var positions: [ConversationID: Seq] = [:]
    /// Messages that are here can't be read.
    private(set) var isDamaged = false
    /// Whole messages of the block that a conversation is at, where the printer wants such.
    private var messages: [Int64: (first: Seq, messages: [Message])] = [:]
    private var notedHoles: Set<Hole> = []

    private struct Hole: Hashable {
        let conversation: Int64
        let range: ClosedRange<Seq>
    }

    init(
        _ replica: Replica, printer: MessagePrinter, filter: MessageFilter, keepsPlace: Bool,
        note: @escaping (String) -> Void
    ) {
        (self.replica, self.printer, self.filter) = (replica, printer, filter)
        (self.keepsPlace, self.note) = (keepsPlace, note)
    }

    mutating func place(_ conversation: ConversationID, at seq: Seq) { positions[conversation] = seq }

    // MARK: - Forward

    /// Prints what follows each conversation's position, oldest first.
    ///
    /// - Parameter limit: how many messages at most; of several conversations the oldest of them all.
    mutating func forward(_ conversations: [ReplicaConversation], limit: Int = .max) throws {
        var end: Timestamp?
        var filter = filter
        if keepsPlace {
            // What is too new now may not be the next time, so the walk ends there.
            (end, filter.until) = (filter.until, nil)
        }
        let holes = HoleLog()
        var streams = conversations.map { conversation in
            var own = filter
            own.after = max(filter.after, positions[conversation.id] ?? .zero)
            return MessageStream(conversation, of: replica, own, .forward, end: end, onHole: holes.handler(keepsPlace))
        }
        if streams.count == 1, limit == .max {
            while let (run, indices) = try streams[0].takeRun() {
                tell(holes)
                try write(run, indices)
            }
        } else {
            var merge = try MessageMerge(streams, .forward)
            let last = printed.addingReportingOverflow(limit)
            while printed < last.partialValue || last.overflow, let item = try merge.next() {
                tell(holes)
                try write(item)
            }
            try merge.take()
            streams = merge.streams
        }
        tell(holes)
        for stream in streams { positions[stream.conversation.id] = stream.position }
    }

    // MARK: - Backward

    /// Prints the newest messages, newest first.
    mutating func backward(_ conversations: [ReplicaConversation], limit: Int = .max) throws {
        guard limit > 0 else { return }
        let holes = HoleLog()
        var merge = try MessageMerge(backwardStreams(conversations, holes), .backward)
        let last = printed.addingReportingOverflow(limit)
        while printed < last.partialValue || last.overflow, let item = try merge.next() {
            tell(holes)
            try write(item)
        }
        tell(holes)
    }

    /// Puts each conversation's position so that exactly its part of the newest messages follows.
    mutating func placeBeforeNewest(_ count: Int, _ conversations: [ReplicaConversation]) throws {
        if conversations.count == 1, let conversation = conversations.first {
            positions[conversation.id] = try replica.start(ofNewest: count, conversation, filter)
            return
        }
        for conversation in conversations { positions[conversation.id] = conversation.head }
        guard count > 0 else { return }
        var merge = try MessageMerge(backwardStreams(conversations, HoleLog()), .backward)
        var left = count
        while left > 0, let item = try merge.next() {
            positions[item.run.conversation.id] = item.seq.previous
            left -= 1
        }
    }

    private func backwardStreams(_ conversations: [ReplicaConversation], _ holes: HoleLog) -> [MessageStream] {
        conversations.map { conversation in
            var own = filter
            own.after = max(filter.after, positions[conversation.id] ?? .zero)
            return MessageStream(conversation, of: replica, own, .backward, onHole: holes.handler(false))
        }
    }

    // MARK: - One message

    private mutating func write(_ item: MessageStream.Item) throws {
        try write(item.run, item.index..<item.index + 1)
    }

    private mutating func write(_ run: MessageRun, _ indices: Range<Int>) throws {
        if printer.needsMessages {
            let messages = messages(of: run)
            for index in indices where index < messages.count { try printer.write(messages[index]) }
            printed += indices.count
            return
        }
        let records = run.records
        for index in indices {
            let record = records[run.positions[index]]
            guard printer.shows(record.kind) else { continue }
            let fields = MessageFields(
                conversation: run.conversation.name, seq: record.seq, time: record.time, sender: record.sender,
                kind: record.kind)
            try printer.write(fields, text: record.text)
            printed += 1
        }
    }

    /// Their hashes are computed from the block's beginning, so they are kept until the next block's turn.
    private mutating func messages(of run: MessageRun) -> [Message] {
        let first = run.records.firstSeq
        if let known = messages[run.conversation.number], known.first == first,
            known.messages.count == run.positions.count
        {
            return known.messages
        }
        let made = run.messages()
        messages[run.conversation.number] = (first, made)
        return made
    }

    // MARK: - Holes

    /// What streams meet while they are read, to be told between two messages.
    private final class HoleLog {
        var met: [(ReplicaConversation, ClosedRange<Seq>, MissingReason)] = []

        /// - Parameter keepsPlace: damage on our own disk can be repaired, and whoever keeps a place wants to read on
        ///   from there then.
        func handler(_ keepsPlace: Bool) -> MessageStream.HoleHandler {
            { conversation, range, reason in
                self.met.append((conversation, range, reason))
                if case .damaged = reason, keepsPlace { return .stop }
                return .goOn
            }
        }
    }

    private mutating func tell(_ holes: HoleLog) {
        guard !holes.met.isEmpty else { return }
        for (conversation, range, reason) in holes.met {
            guard notedHoles.insert(Hole(conversation: conversation.number, range: range)).inserted else { continue }
            let what =
                range.lowerBound == range.upperBound
                ? "message \(range.lowerBound)" : "messages \(range.lowerBound) to \(range.upperBound)"
            switch reason {
            case .notSent: note("\(what) of '\(conversation.name)' are missing: the server could not read them")
            case .damaged(let detail):
                isDamaged = true
                note("\(what) of '\(conversation.name)' cannot be read: \(detail)")
            }
        }
        holes.met = []
    }
}
