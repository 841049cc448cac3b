internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
public import NatterModel
public import NatterSystem
public import NatterWire

/// Adds the answers of sync to a replica, frame by frame as they come.
///
/// Frames are kept until they make a portion of some megabytes; then the lock is taken, the portion is written to log files
/// and recorded in one transaction. So a process that is killed, or an answer that is cut short, loses only what was not
/// recorded yet, and the next sync gets that again. For one thread; several processes may do the same at once.
public final class ReplicaWriter {
    /// Bytes of frames that are kept in memory before they are recorded.
    public static let portionBytes = 4 << 20

    public let location: ReplicaLocation
    /// What has been done since this value was made.
    public private(set) var report = SyncReport()
    /// The end line of the answer, once it was applied.
    public private(set) var end: SyncEnd?
    /// The cursor was dropped, because something has to be fetched anew: the next answer has to be one without a cursor.
    public private(set) var mustRestart = false

    /// Until when another process is waited for, at most, on the monotonic clock; .max for as long as each may take.
    var deadline = Int64.max

    let disk: any Disk
    let clock: any WallClock
    private let portionBytes: Int
    private var items: [ReplicaItem] = []
    private var itemBytes = 0
    private var dictionaries = ReceivedDictionaries()
    private var answer = AnswerState()

    /// - Parameter portionBytes: less makes for more commits; for tests.
    public init(
        _ location: ReplicaLocation, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        portionBytes: Int = ReplicaWriter.portionBytes
    ) {
        (self.location, self.disk, self.clock, self.portionBytes) = (location, disk, clock, portionBytes)
    }

    /// Where the next answer has to begin, and what is compared when its cursor is stored.
    ///
    /// - Parameter earliest: where a replica that has nothing yet is to begin; one that has begun stays as it is.
    public func start(earliest: Timestamp? = nil) throws(ReplicaError) -> SyncStart {
        guard let replica = try Replica.open(at: location, disk: disk) else { return SyncStart(earliest: earliest) }
        do {
            // The number first: one that is too old only makes us careful.
            let portions = try ReplicaMeta.number("portions", on: replica.connection)
            return SyncStart(
                cursor: try replica.cursor(), portions: portions,
                resets: try ReplicaMeta.number("resets", on: replica.connection),
                commits: try ReplicaMeta.number(DurableCommit.key, on: replica.connection),
                earliest: portions == 0 ? earliest : try replica.earliest())
        } catch {
            throw ReplicaError(error)
        }
    }

    /// Begins a new answer.
    ///
    /// - Parameters:
    ///   - start: what `start` gave.
    ///   - isWhole: the request had no cursor although there is one, because the server did not know it or something has to
    ///     be fetched anew.
    public func begin(from start: SyncStart, isWhole: Bool = false) {
        items = []
        itemBytes = 0
        dictionaries = ReceivedDictionaries()
        end = nil
        // Whether what comes now is the very next part: otherwise another process went on meanwhile, and what it brought was
        // named to it alone.
        let isContinued = start.portions == answer.portions && start.cursor == answer.endCursor
        answer.start = start
        answer.cursorSent = isWhole ? nil : start.cursor
        answer.portions = start.portions
        answer.current = nil
        answer.hasEndLine = false
        answer.hasTaken = false
        answer.ignored = []
        answer.isOutdated = false
        if answer.cursorSent == nil {
            answer.isWhole = true
            answer.findsMissing = true
            answer.named = []
        } else if !isContinued {
            answer.findsMissing = false
            answer.named = []
        }
        mustRestart = false
    }

    /// Takes one frame.
    public func apply(_ frame: SyncFrame) throws(ReplicaError) {
        guard end == nil, !answer.hasEndLine else { throw .malformedAnswer("something follows the end line") }
        do throws(FormatViolation) {
            switch frame.kind {
            case .line: try take(SyncLine(frame.payload))
            case .dictionary: try dictionaries.add(frame.payload)
            case .block, .provisional:
                guard let current = answer.current else {
                    throw FormatViolation("a block comes before its conversation")
                }
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
        if itemBytes >= portionBytes || answer.hasEndLine { try flush() }
    }

    private func take(_ line: SyncLine) throws(FormatViolation) {
        switch line {
        case .conversation(let line):
            (answer.current, answer.currentName) = (line.id, line.name)
            items.append(.conversation(line))
        case .gone(let id, let name, let reason): items.append(.gone(id, name: name, reason: reason))
        case .read(let id, let seq): items.append(.read(id, seq))
        case .damaged(let id, let name, let range): items.append(.damaged(id, name: name, range))
        case .end(let cursor, let more):
            answer.hasEndLine = true
            items.append(.end(SyncEnd(cursor: cursor, more: more)))
        case .unknown: break
        }
    }

    /// Records what has come so far, though the answer did not end.
    public func flush() throws(ReplicaError) {
        guard !items.isEmpty else { return }
        let portion = items
        items = []
        itemBytes = 0
        if try isEmptyAnswer(portion) { return }
        let epoch = answer.start.cursor.flatMap { StoreCursor($0) }?.epoch ?? Epoch(rawValue: 0)
        let outcome = try ReplicaSession.run(
            at: location, disk: disk, clock: clock, epoch: epoch, timeoutMilliseconds: lockMilliseconds
        ) { session in
            session.received = dictionaries
            var applier = ReplicaApplier(session: session, answer: answer)
            try applier.apply(portion)
            return applier.outcome
        }
        answer = outcome.answer
        mustRestart = mustRestart || outcome.mustRestart
        merge(outcome.report)
        try finish(outcome.end)
    }

    /// How long to wait for another process now.
    var lockMilliseconds: Int {
        guard deadline < .max else { return ReplicaSession.lockMilliseconds }
        return Int(clamping: min(Int64(ReplicaSession.lockMilliseconds), max(0, deadline - MonotonicClock.now())))
    }

    /// An answer without news changes nothing, unless its cursor has been the same for long.
    private func isEmptyAnswer(_ portion: [ReplicaItem]) throws(ReplicaError) -> Bool {
        guard portion.count == 1, case .end(let line) = portion[0], !line.more, answer.cursorSent != nil,
            !answer.isWhole, !answer.hasTaken
        else { return false }
        guard line.cursor == answer.cursorSent || !isOld() else { return false }
        // Nothing is new to what may be there only until the power goes: to open a session makes it durable. One that was
        // removed meanwhile stays so.
        let isDurable = (DurableCommit.read(location, on: disk).map { $0 >= answer.start.commits }) ?? false
        if !isDurable, (try? disk.information(location.databasePath)) ?? nil != nil {
            try ReplicaSession.run(at: location, disk: disk, clock: clock, timeoutMilliseconds: lockMilliseconds) { _ in
            }
        }
        try finish(line)
        return true
    }

    /// Whether the database was last written an hour ago.
    private func isOld() -> Bool {
        guard let found = try? disk.information(location.databasePath) else { return true }
        return found.modified < clock.now().advanced(milliseconds: -3_600_000).milliseconds
    }

    private func finish(_ line: SyncEnd?) throws(ReplicaError) {
        guard let line else {
            answer.hasTaken = true
            return
        }
        end = line
        answer.hasEndLine = false
        answer.hasTaken = false
        report.hasMore = line.more
        report.isComplete = !line.more && !mustRestart
        guard report.isComplete else { return }
        do throws(DiskError) {
            try LastSync.write(clock.now(), location, on: disk)
        } catch {
            throw ReplicaError(error)
        }
    }

    private func merge(_ part: SyncReport) {
        for news in part.news { report.add(news.count, to: news.id, named: news.name) }
        report.gone += part.gone
        report.damaged += part.damaged
        report.diverged += part.diverged
    }

    /// The name of the conversation whose messages come just now.
    var currentName: String? { answer.currentName }

    /// Notes what the requests themselves came to.
    func note(_ change: (inout SyncReport) -> Void) { change(&report) }
}

/// Where a sync begins.
public struct SyncStart: Sendable, Equatable {
    /// nil: from the very start.
    public internal(set) var cursor: String?
    /// How many portions were recorded so far, by whatever process.
    var portions: UInt64 = 0
    /// How often a cursor was dropped, so that an answer from before does not put it back.
    var resets: UInt64 = 0
    /// How many commits there were, whether they are on the disk or not.
    var commits: UInt64 = 0
    /// What is older is not asked for.
    public internal(set) var earliest: Timestamp?
}

/// One thing out of an answer, checked in itself.
enum ReplicaItem {
    case conversation(SyncedConversation)
    case block(ConversationID, Block)
    case damaged(ConversationID, name: String, ClosedRange<Seq>)
    case gone(ConversationID, name: String, reason: String)
    case read(ConversationID, Seq)
    case end(SyncEnd)
}

/// What has to be known of an answer from one portion to the next.
struct AnswerState {
    var start = SyncStart()
    /// What the request had; nil for none.
    var cursorSent: String?
    /// How many portions must have been recorded if nobody else has recorded one since the request.
    var portions: UInt64 = 0
    /// The conversation that the last line named.
    var current: ConversationID?
    var currentName: String?
    var hasEndLine = false
    /// A part of this answer was recorded before.
    var hasTaken = false
    /// This answer, or the first of those that it continues, had no cursor.
    var isWhole = false
    /// Everything since the answer without a cursor came to this process, so that what was not named is missing.
    var findsMissing = false
    /// What the last end line that was applied gave.
    var endCursor: String?
    /// Of a whole answer, the conversations that it named so far.
    var named: Set<ConversationID> = []
    /// Something of this answer was not taken because what another process recorded since may be newer: it is asked for
    /// again.
    var isOutdated = false
    /// Conversations of which nothing more is taken from this answer.
    var ignored: Set<ConversationID> = []
}
