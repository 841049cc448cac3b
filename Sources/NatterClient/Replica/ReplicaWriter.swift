internal import NatterLanguage
internal import NatterLog
public import NatterModel
public import NatterSystem
public import NatterWire

/// Adds sync answers to a replica, frame by frame as they arrive.
///
/// The writer keeps frames until they make a portion of a few megabytes. Then it takes the lock, appends the portion to the
/// log files and records it in one transaction. If the process is killed, or the answer is cut short, only the frames that
/// were not recorded yet are lost, and the next sync fetches them again. Use it from one thread; several processes may
/// write to the same replica.
public final class ReplicaWriter {
    /// Bytes of frames to keep in memory before they are recorded.
    public static let portionBytes = 4 << 20

    public let location: ReplicaLocation
    /// What this writer has done so far.
    public var report: SyncReport { state.report }
    /// The end line of the answer, once it is recorded.
    public var end: SyncEnd? { state.end }
    /// The cursor was dropped, because something has to be fetched again: the next request must have no cursor.
    public var mustRestart: Bool { state.mustRestart }

    /// When to stop waiting for another process, on the monotonic clock; `.max` for the usual limit only.
    var deadline = Int64.max

    let disk: any Disk
    let clock: any WallClock
    private let portionBytes: Int
    private var items: [SyncItem] = []
    private var itemBytes = 0
    private var dictionaries = ReceivedDictionaries()
    /// The conversation that the last line named: the blocks that follow belong to it.
    private var current: ConversationID?
    private(set) var currentName: String?
    private var hasEndLine = false
    private var state = SyncState()

    /// - Parameter portionBytes: a smaller value makes more commits; for tests.
    public init(
        _ location: ReplicaLocation, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        portionBytes: Int = ReplicaWriter.portionBytes
    ) {
        (self.location, self.disk, self.clock, self.portionBytes) = (location, disk, clock, portionBytes)
    }

    /// Where the next answer has to begin, and what is compared when its cursor is stored.
    ///
    /// - Parameter earliest: where to begin a replica that has nothing yet; an existing replica keeps its own.
    public func start(earliest: Timestamp? = nil) throws(ReplicaError) -> SyncStart {
        guard let replica = try Replica.open(at: location, disk: disk) else { return SyncStart(earliest: earliest) }
        return try ReplicaError.translate {
            // The number of portions is read first: if it is too old, we are only too careful.
            let portions = try ReplicaMeta.number("portions", on: replica.connection)
            return SyncStart(
                cursor: try replica.cursor(), portions: portions,
                resets: try ReplicaMeta.number("resets", on: replica.connection),
                commits: try ReplicaMeta.number(DurableCommit.key, on: replica.connection),
                earliest: portions == 0 ? earliest : try replica.earliest())
        }
    }

    /// Begins a new answer.
    ///
    /// - Parameters:
    ///   - start: the result of `start`.
    ///   - isWhole: the request had no cursor although the replica has one, because the server did not know the cursor or
    ///     something has to be fetched again.
    public func begin(from start: SyncStart, isWhole: Bool = false) {
        (items, itemBytes, dictionaries) = ([], 0, ReceivedDictionaries())
        (current, hasEndLine) = (nil, false)
        state.begin(from: start, cursorSent: isWhole ? nil : start.cursor)
    }

    /// Takes one frame.
    public func apply(_ frame: SyncFrame) throws(ReplicaError) {
        guard end == nil, !hasEndLine else { throw .malformedAnswer("something follows the end line") }
        do throws(FormatViolation) {
            switch frame.kind {
            case .line: try take(SyncItem(line: frame.payload))
            case .dictionary: try dictionaries.add(frame.payload)
            case .block, .provisional:
                guard let current else { throw FormatViolation("a block comes before its conversation") }
                let header = try frame.payload.withUnsafeBytesTyped { bytes throws(FormatViolation) in
                    try BlockHeader(decoding: bytes)
                }
                guard header.totalLength == frame.payload.count, header.isProvisional == (frame.kind == .provisional),
                    header.conversationPrefix == current.high
                else { throw FormatViolation("a block is not what its frame says") }
                let block = Block(header: header, stored: Array(frame.payload[BlockHeader.byteCount...]))
                try block.checkStored()
                items.append(.block(current, block))
            }
        } catch {
            throw .malformedAnswer(error.reason)
        }
        itemBytes += frame.payload.count
        if itemBytes >= portionBytes || hasEndLine { try flush() }
    }

    private func take(_ item: SyncItem) {
        switch item {
        case .conversation(let line): (current, currentName) = (line.id, line.name)
        case .end: hasEndLine = true
        case .unknown: return
        default: break
        }
        items.append(item)
    }

    /// Records what has arrived so far, even if the answer has not ended.
    public func flush() throws(ReplicaError) {
        guard !items.isEmpty else { return }
        let portion = items
        (items, itemBytes) = ([], 0)
        if try isEmptyAnswer(portion) { return }
        let epoch = state.start.cursor.flatMap { StoreCursor($0) }?.epoch ?? Epoch(rawValue: 0)
        // The state changes only if the portion was recorded.
        state = try ReplicaSession.run(
            at: location, disk: disk, clock: clock, epoch: epoch, timeoutMilliseconds: lockMilliseconds
        ) { session in
            session.received = dictionaries
            var portionWriter = PortionWriter(session: session, state: state)
            try portionWriter.apply(portion)
            return portionWriter.state
        }
        try finish()
    }

    /// How long to wait for another process now.
    var lockMilliseconds: Int {
        guard deadline < .max else { return ReplicaSession.lockMilliseconds }
        return Int(clamping: min(Int64(ReplicaSession.lockMilliseconds), max(0, deadline - MonotonicClock.now())))
    }

    /// An answer without news changes nothing, unless its cursor has been the same for an hour.
    private func isEmptyAnswer(_ portion: [SyncItem]) throws(ReplicaError) -> Bool {
        guard portion.count == 1, case .end(let line) = portion[0], !line.more, state.cursorSent != nil,
            !state.isWhole, !state.hasRecorded
        else { return false }
        guard line.cursor == state.cursorSent || !isOld() else { return false }
        // The commits that the request relied on may exist in the kernel's memory only; opening a session makes them
        // durable. If the replica was removed meanwhile, it stays removed.
        let isDurable = (DurableCommit.read(location, on: disk).map { $0 >= state.start.commits }) ?? false
        if !isDurable, (try? disk.information(location.databasePath)) ?? nil != nil {
            try ReplicaSession.run(at: location, disk: disk, clock: clock, timeoutMilliseconds: lockMilliseconds) { _ in
            }
        }
        state.end = line
        try finish()
        return true
    }

    /// Whether the database was last written more than an hour ago.
    private func isOld() -> Bool {
        guard let found = try? disk.information(location.databasePath) else { return true }
        return found.modified < clock.now().advanced(milliseconds: -3_600_000).milliseconds
    }

    private func finish() throws(ReplicaError) {
        state.hasRecorded = end == nil
        guard let end else { return }
        hasEndLine = false
        state.report.hasMore = end.more
        state.report.isComplete = !end.more && !mustRestart
        guard report.isComplete else { return }
        try ReplicaError.translate { try LastSync.write(clock.now(), location, on: disk) }
    }

    /// Notes in the report what the requests themselves did.
    func note(_ change: (inout SyncReport) -> Void) { change(&state.report) }
}

/// Where a sync begins.
public struct SyncStart: Sendable, Equatable {
    /// nil: from the very start.
    public internal(set) var cursor: String?
    /// How many portions any process has recorded so far.
    var portions: UInt64 = 0
    /// How often a cursor was dropped, so that an answer from before does not bring it back.
    var resets: UInt64 = 0
    /// How many commits there were, durable or not.
    var commits: UInt64 = 0
    /// Messages before this time are not requested.
    public internal(set) var earliest: Timestamp?
}

/// What a sync has to know from one portion to the next.
struct SyncState {
    var report = SyncReport()
    var start = SyncStart()
    /// The cursor of the request; nil for none.
    var cursorSent: String?
    /// The end line, once it is recorded.
    var end: SyncEnd?
    var mustRestart = false
    /// How many portions are recorded if no other process has recorded one since the request.
    var portions: UInt64 = 0
    /// A part of this answer has been recorded.
    var hasRecorded = false
    /// This answer, or the first of the answers that it continues, had no cursor.
    var isWhole = false
    /// Everything since the answer without a cursor came to this process, so that a conversation that was not named is
    /// missing on the server.
    var findsMissing = false
    /// The cursor of the last end line that was recorded.
    var endCursor: String?
    /// The conversations that a whole answer has named so far.
    var named: Set<ConversationID> = []
    /// Something in this answer was skipped, because another process may have recorded something newer. The next sync
    /// asks for it again.
    var isOutdated = false
    /// Conversations of which nothing more is taken from this answer.
    var ignored: Set<ConversationID> = []

    /// Forgets the former answer, except for what a continued answer builds on.
    mutating func begin(from start: SyncStart, cursorSent: String?) {
        // If this is not the very next part, another process continued meanwhile, and only that process was told the names.
        let isContinued = start.portions == portions && start.cursor == endCursor
        var next = SyncState(report: report, start: start, cursorSent: cursorSent, portions: start.portions)
        next.endCursor = endCursor
        next.isWhole = isWhole || cursorSent == nil
        if cursorSent == nil {
            next.findsMissing = true
        } else if isContinued {
            (next.findsMissing, next.named) = (findsMissing, named)
        }
        self = next
    }
}

/// The dictionaries of one answer, kept packed: a server sends each once, whichever conversations use it.
struct ReceivedDictionaries {
    private var records: [DictionaryID: [UInt8]] = [:]
    private var latest: LogDictionary?

    /// - Throws: if the record is malformed.
    mutating func add(_ record: [UInt8]) throws(FormatViolation) {
        let dictionary = try record.withUnsafeBytesTyped { bytes throws(FormatViolation) in
            try LogDictionary(decoding: bytes)
        }
        records[dictionary.id] = record
        latest = dictionary
    }

    subscript(id: DictionaryID) -> LogDictionary? {
        if let latest, latest.id == id { return latest }
        return records[id]?.withUnsafeBytes { try? LogDictionary(decoding: $0) }
    }
}
