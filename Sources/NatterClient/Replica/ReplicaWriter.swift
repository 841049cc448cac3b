public import NatterModel
internal import NatterLog
public import NatterSystem
public import NatterProtocol

/// Adds sync answers to a replica, frame by frame as they arrive.
///
/// The writer collects frames until they make a portion of a few megabytes. Then it takes the lock, appends the
/// portion to the log files and records it in one transaction. If the process is killed or the answer is cut short,
/// only the unrecorded frames are lost, and the next sync fetches them again. Not thread-safe, but several processes
/// may write to the same replica.
public final class ReplicaWriter {
    /// The size of a portion in bytes.
    public static let portionBytes = 4 << 20

    public let location: ReplicaLocation
    /// The results of this writer so far.
    public var report: SyncReport { state.report }
    /// The end line of the answer, once it is recorded.
    public var end: SyncEnd? { state.end }
    /// Whether the cursor was dropped because something must be fetched again. Then the next request must have no
    /// cursor.
    public var mustRestart: Bool { state.mustRestart }

    /// When to stop waiting for another process, on the monotonic clock; `.max` for only the usual limit.
    var deadline = Int64.max

    let disk: any Disk
    let clock: any WallClock
    private let portionBytes: Int
    private var opened: Replica?
    private var items: [SyncItem] = []
    private var itemBytes = 0
    private var dictionaries = ReceivedDictionaries()
    /// The conversation that the last line named. The following blocks belong to it.
    private var current: ConversationID?
    private(set) var currentName: String?
    private var hasEndLine = false
    private var state = SyncState()

    /// - Parameters:
    ///   - replica: the same replica, if the caller has opened it, because opening it is most of the work of a sync
    ///     without news.
    ///   - portionBytes: a smaller value makes more commits, for tests.
    public init(
        _ location: ReplicaLocation, replica: Replica? = nil, disk: any Disk = PosixDisk(),
        clock: any WallClock = SystemClock(), portionBytes: Int = ReplicaWriter.portionBytes
    ) {
        (self.location, self.disk, self.clock, self.portionBytes) = (location, disk, clock, portionBytes)
        opened = replica
    }

    /// The recorded replica; nil if nothing was ever synced.
    func replica() throws(ReplicaError) -> Replica? {
        if opened == nil { opened = try Replica.open(at: location, disk: disk) }
        return opened
    }

    /// Where the next answer must begin, and the values that are compared when its cursor is stored.
    ///
    /// - Parameter earliest: where a new replica begins; an existing replica keeps its own value.
    public func start(earliest: Timestamp? = nil) throws(ReplicaError) -> SyncStart {
        guard let replica = try replica() else { return SyncStart(earliest: earliest) }
        return try ReplicaError.translate {
            // Read first: a number that is too old only causes unnecessary work.
            let portions = try ReplicaMeta.number("portions", on: replica.connection)
            return SyncStart(
                cursor: try replica.cursor(), portions: portions,
                resets: try ReplicaMeta.number("resets", on: replica.connection),
                commits: try ReplicaMeta.number(ReplicaSession.commitsKey, on: replica.connection),
                earliest: try replica.earliest() ?? (portions == 0 ? earliest : nil))
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
        // The database may have been removed and created again since it was opened.
        if isWhole { opened = nil }
        state.begin(from: start, cursorSent: isWhole ? nil : start.cursor)
    }

    /// Takes one frame.
    public func apply(_ frame: SyncFrame) throws(ReplicaError) {
        guard end == nil, !hasEndLine else { throw .malformedAnswer("something follows the end line") }
        do throws(FormatViolation) {
            switch frame.kind {
            case .line: try collect(SyncItem(line: frame.payload))
            case .dictionary: try dictionaries.add(frame.payload)
            case .block, .provisional:
                guard let current else { throw FormatViolation("a block comes before its conversation") }
                let block = try Block(frame)
                guard block.header.conversationPrefix == current.high else {
                    throw FormatViolation("a block is not what its frame says")
                }
                items.append(.block(current, block))
            }
        } catch {
            throw .malformedAnswer(error.reason)
        }
        itemBytes += frame.payload.count
        if itemBytes >= portionBytes || hasEndLine { try flush() }
    }

    private func collect(_ item: SyncItem) {
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
        let epoch =
            state.start.cursor.flatMap { SealedCursor($0)?.epoch ?? StoreCursor($0)?.epoch } ?? Epoch(rawValue: 0)
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
        state.report.isComplete = !end.more && !mustRestart
        guard report.isComplete else { return }
        do { try LastSync.write(clock.now(), location, on: disk) } catch {
            // On a disk that is read-only, the age that readers see is that of an earlier sync. Nothing else is missing.
            guard error.isReadOnly else { throw ReplicaError(error) }
        }
    }

    /// Adds the results of the requests themselves to the report.
    func note(_ change: (inout SyncReport) -> Void) { change(&state.report) }
}

/// Where a sync begins.
public struct SyncStart: Sendable, Equatable {
    /// nil to begin at the start.
    public internal(set) var cursor: String?
    /// How many portions all processes have recorded so far.
    var portions: UInt64 = 0
    /// How often a cursor was dropped, so that an older answer does not restore it.
    var resets: UInt64 = 0
    /// The number of commits, durable or not.
    var commits: UInt64 = 0
    /// Messages before this time are not requested.
    public internal(set) var earliest: Timestamp?
}

/// The state of a sync between two portions.
struct SyncState {
    var report = SyncReport()
    var start = SyncStart()
    /// The cursor of the request; nil for none.
    var cursorSent: String?
    /// The end line, once it is recorded.
    var end: SyncEnd?
    var mustRestart = false
    /// How many portions are recorded, unless another process has recorded one since the request.
    var portions: UInt64 = 0
    /// Whether a part of this answer has been recorded.
    var hasRecorded = false
    /// Whether this answer, or the first of the answers that it continues, had no cursor.
    var isWhole = false
    /// Whether this process received everything since the answer without a cursor. Then a conversation that was not
    /// named is missing on the server.
    var findsMissing = false
    /// Whether the replica had something when the answer without a cursor began, which the server may have lost.
    var looksForMissing = false
    /// The cursor of the last end line that was recorded.
    var endCursor: String?
    /// The conversations that a whole answer has named so far.
    var named: Set<ConversationID> = []
    /// Whether something in this answer was skipped because another process may have recorded something newer. The
    /// next sync asks for it again.
    var isOutdated = false
    /// Conversations that this answer can't change any more.
    var ignored: Set<ConversationID> = []

    /// Forgets the former answer, except for what a continued answer builds on.
    mutating func begin(from start: SyncStart, cursorSent: String?) {
        // If this is not the next part, another process continued the sync and alone received the names.
        let isContinued = start.portions == portions && start.cursor == endCursor
        var next = SyncState(report: report, start: start, cursorSent: cursorSent, portions: start.portions)
        next.endCursor = endCursor
        next.isWhole = isWhole || cursorSent == nil
        next.looksForMissing = cursorSent == nil ? start.portions > 0 : looksForMissing
        if cursorSent == nil {
            next.findsMissing = true
        } else if isContinued {
            (next.findsMissing, next.named) = (findsMissing, named)
        }
        self = next
    }
}

/// The dictionaries of one answer, kept compressed. A server sends each only once, even if several conversations use
/// it.
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
