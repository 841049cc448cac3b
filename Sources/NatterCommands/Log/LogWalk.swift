internal import NatterConversation
internal import NatterCommandLine
internal import NatterClient
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// Prints messages of the replica and records how far each conversation was read.
struct LogWalk {
    var replica: Replica { didSet { printer.replica = replica } }
    private(set) var printer: MessagePrinter
    /// True if a cursor file will store the positions. Then no message may be skipped that the user may still want.
    let keepsPlace: Bool
    /// Whether the server was asked for the messages that the replica lacks. Those that it still lacks are lost there.
    var isCurrent: Bool
    let note: (Phrase) -> Void
    /// How edits and deletions are printed.
    enum Mode {
        /// Each record as it is.
        case records
        /// Originals with their newest text.
        case history
        /// As in history, and with lines for edits and deletions of messages up to the positions where the walk begins.
        case news
    }

    var mode: Mode
    private var filter: MessageFilter
    /// The end of the time range, for a reader with a cursor file. A message that is too new now may match next time,
    /// so it is not skipped.
    private let end: Timestamp?

    private(set) var printed = 0
    /// The position up to which messages were read.
    private(set) var positions: [ConversationID: Seq] = [:]
    /// The highest printed message of each conversation.
    private(set) var shown: [ConversationID: Seq] = [:]
    /// How many holes an error names at most.
    private static let namedHoles = 100
    /// The messages that cannot be read, here or on the server; nil if there are none.
    private(set) var damage: Phrase?
    /// Whether the walk has stopped before messages that a later sync may bring.
    private(set) var isHeldBack = false
    /// Conversations in which the walk has stopped. Their position is final.
    private let stopped = Monitor<Set<ConversationID>>([])
    private var notedHoles: Set<Hole> = []
    /// A conversation that went on from a stored position has stopped at messages that are not kept any more: which one it is, where
    /// it stopped, and where it would go on.
    private(set) var expired: (name: String, seq: Seq, next: Seq)?
    private var continued: Set<ConversationID> = []

    private struct Hole: Hashable {
        let conversation: Int64
        let range: ClosedRange<Seq>
        /// Whether a later sync may bring these messages.
        let isFetchable: Bool
    }

    init(
        _ replica: Replica, printer: MessagePrinter, filter: MessageFilter, mode: Mode, keepsPlace: Bool,
        isCurrent: Bool = true, note: @escaping (Phrase) -> Void
    ) {
        (self.replica, self.printer, self.mode) = (replica, printer, mode)
        (self.keepsPlace, self.isCurrent, self.note) = (keepsPlace, isCurrent, note)
        var filter = filter
        end = keepsPlace ? filter.until : nil
        if keepsPlace { filter.until = nil }
        self.filter = filter
        self.printer.replica = replica
    }

    /// Sets where to go on in a conversation.
    ///
    /// - Parameter isStored: whether somebody must learn of it if what follows is not kept any more.
    mutating func place(_ conversation: ConversationID, at seq: Seq, isStored: Bool = false) {
        positions[conversation] = seq
        if isStored { continued.insert(conversation) }
    }

    /// Prints the messages after each conversation's position, oldest first.
    ///
    /// - Parameter limit: the maximum number of messages. If there are several conversations, the oldest messages of all are
    ///   printed.
    mutating func forward(_ conversations: [ReplicaConversation], limit: Int = .max) throws {
        stopped.withLock { $0 = [] }
        defer { filter.newestFrom = nil }
        var left = limit
        if let only = conversations.first, conversations.count == 1 {
            try replica.forward(only, filter(for: only), limit: limit) { try visit($0, &left) }
        } else {
            // Messages behind the stop of one conversation must not take the place of another one's.
            try replica.merged(
                conversations, filter(for: conversations), after: positions, limit: limit,
                isWanted: { [stopped] id in !stopped.withLock { $0.contains(id) } }
            ) {
                try visit($0, &left)
            }
        }
        // If the limit was reached, there may be more messages after the last one.
        guard left > 0 else { return }
        for conversation in conversations where !hasStopped(in: conversation.id) {
            let last = min(conversation.head, filter.before?.previous ?? conversation.head)
            positions[conversation.id] = max(last, positions[conversation.id] ?? .zero)
        }
    }

    /// Prints the newest messages, newest first.
    mutating func backward(_ conversations: [ReplicaConversation], limit: Int = .max) throws {
        var left = limit
        if let only = conversations.first, conversations.count == 1 {
            try replica.backward(only, filter(for: only), limit: limit) { try visit($0, &left) }
        } else {
            try replica.merged(
                conversations, filter(for: conversations), after: positions, isNewestFirst: true, limit: limit
            ) {
                try visit($0, &left)
            }
        }
    }

    /// Prints the oldest messages after a conversation's position, newest first.
    mutating func backward(oldest count: Int, _ conversation: ReplicaConversation) throws {
        var own = filter(for: conversation)
        var last = own.after
        try replica.forward(conversation, own, limit: count) { piece in
            if case .messages(let run) = piece, let position = run.positions.last {
                last = run.records.firstSeq.advanced(by: position)
            }
            return true
        }
        own.before = last.next
        var left = Int.max
        try replica.backward(conversation, own) { try visit($0, &left) }
    }

    /// Sets each conversation's position so that the next walk visits exactly its part of the newest messages.
    mutating func placeBeforeNewest(_ count: Int, _ conversations: [ReplicaConversation]) throws {
        let newest = try replica.newest(count, conversations, filter(for: conversations))
        filter.newestFrom = newest.from
        positions.merge(newest.after) { $1 }
    }

    private func filter(for conversation: ReplicaConversation) -> MessageFilter {
        var own = filter(for: [conversation])
        own.after = max(filter.after, positions[conversation.id] ?? .zero)
        return own
    }

    private func filter(for conversations: [ReplicaConversation]) -> MessageFilter {
        var own = filter
        own.isFolded = mode != .records
        if mode == .news {
            own.skipsEditsOfDeleted = !printer.isDetailed
            for conversation in conversations {
                own.changesUpTo[conversation.id] = max(filter.after, positions[conversation.id] ?? .zero)
            }
        }
        return own
    }

    /// Prints single messages of a conversation, such as a thread.
    mutating func write(_ seqs: [Seq], of conversation: ReplicaConversation) throws {
        var left = Int.max
        try replica.visit(seqs, of: conversation) { _ = try visit($0, &left) }
    }

    /// The last of the edits and deletions directly behind a message that are about it or earlier ones. Whoever was shown that
    /// message has seen what they changed.
    func end(ofChangesBehind seq: Seq, of conversation: ReplicaConversation) throws -> Seq {
        var end = seq
        try replica.forward(conversation, MessageFilter(after: seq)) { piece in
            guard case .messages(let run) = piece else { return false }
            for position in run.positions {
                guard run.records.kind(at: position).isChange, let about = run.records.about(at: position), about <= seq
                else { return false }
                end = run.records.firstSeq.advanced(by: position)
            }
            return true
        }
        return end
    }

    /// The first message behind `seq` that the walk could not print, and that a later sync may bring.
    func firstMissing(behind seq: Seq, of conversation: ReplicaConversation) -> Seq? {
        let holes = notedHoles.filter {
            $0.conversation == conversation.number && $0.isFetchable && $0.range.upperBound > seq
        }
        return holes.map { max($0.range.lowerBound, seq.next) }.min()
    }

    private func write(_ run: MessageRun, count: Int) throws -> Int {
        guard let messages = try replica.changed(run, folds: mode != .records) else {
            return try printer.write(run, count: count)
        }
        return try printer.write(messages.prefix(count))
    }

    /// - Returns: true to continue.
    private mutating func visit(_ piece: LogPiece, _ left: inout Int) throws -> Bool {
        switch piece {
        case .messages(let run):
            guard !hasStopped(in: run.conversation.id) else { return true }
            let count = count(upToEnd: run)
            left -= run.positions.count
            printed += try write(run, count: count)
            if let highest = run.positions[..<count].max() {
                let id = run.conversation.id
                let seq = run.records.firstSeq.advanced(by: highest)
                positions[id] = max(seq, positions[id] ?? .zero)
                shown[id] = max(seq, shown[id] ?? .zero)
            }
            if count < run.positions.count {
                stop(run.conversation, before: run.records.firstSeq.advanced(by: run.positions[count]))
            }
        case .missing(let conversation, let range, .notKept) where continued.contains(conversation.id):
            guard !hasStopped(in: conversation.id) else { return true }
            expired = (conversation.name, range.lowerBound.previous, range.upperBound.next)
            stop(conversation, before: range.lowerBound)
        case .missing(let conversation, let range, let reason):
            tell(conversation, range, reason)
            if keepsPlace, reason.isFetchable(isCurrent: isCurrent), !hasStopped(in: conversation.id) {
                isHeldBack = true
                stop(conversation, before: range.lowerBound)
            }
        }
        return true
    }

    private func hasStopped(in id: ConversationID) -> Bool { stopped.withLock { $0.contains(id) } }

    private mutating func stop(_ conversation: ConversationLog, before seq: Seq) {
        stopped.withLock { _ = $0.insert(conversation.id) }
        positions[conversation.id] = max(seq.previous, positions[conversation.id] ?? .zero)
    }

    private func count(upToEnd run: MessageRun) -> Int {
        guard let end else { return run.positions.count }
        return run.positions.firstIndex { run.records.time(at: $0) >= end } ?? run.positions.count
    }

    private mutating func tell(
        _ conversation: ConversationLog, _ range: ClosedRange<Seq>, _ reason: MissingReason
    ) {
        let hole = Hole(
            conversation: conversation.number, range: range, isFetchable: reason.isFetchable(isCurrent: isCurrent))
        guard notedHoles.insert(hole).inserted else { return }
        let (from, to, name) = (range.lowerBound, range.upperBound, conversation.name)
        switch reason {
        case .notKept:
            // That is no damage: nobody has them any more.
            note(
                from == to
                    ? "message \(from) of '\(name)' is not kept any more"
                    : "messages \(from) to \(to) of '\(name)' are not kept any more")
        case .notStored:
            tell(
                from == to
                    ? "message \(from) of '\(name)' is missing here; 'natter sync' fetches it if the server can read it"
                    : "messages \(from) to \(to) of '\(name)' are missing here; 'natter sync' fetches them if the server can read "
                        + "them")
        case .damaged(let detail, _):
            tell(
                from == to
                    ? "message \(from) of '\(name)' cannot be read: \(detail)"
                    : "messages \(from) to \(to) of '\(name)' cannot be read: \(detail)")
        }
    }

    private mutating func tell(_ hole: Phrase) {
        note(hole)
        guard let known = damage else { return damage = hole }
        if notedHoles.count <= LogWalk.namedHoles { damage = "\(known); also \(hole)" }
    }
}

extension MissingReason {
    /// Whether a later sync may bring these messages. A reader that keeps its place wants to continue from there then.
    ///
    /// - Parameter isCurrent: whether the server was asked for what the replica lacks.
    func isFetchable(isCurrent: Bool) -> Bool {
        switch self {
        case .damaged: true
        case .notStored: !isCurrent
        case .notKept: false
        }
    }
}
