internal import NatterHTTP
public import NatterModel
internal import NatterLog
public import NatterSystem
internal import NatterProtocol

/// Syncs a replica with a server over HTTP.
///
/// After any interruption, everything received so far is kept, and the next sync continues there. The replica's lock
/// is not held while waiting for the network.
public final class SyncClient {
    /// The limits of one sync.
    public struct Limits: Sendable {
        /// The time for the whole sync; nil for none.
        public var deadlineMilliseconds: Int?
        /// The approximate size of all answers; nil for none.
        public var bytes: Int?
        /// How long the server may wait if there is no news, 0 to 60.
        public var waitSeconds = 0
        /// Waits only while the replica is at this cursor; nil to wait anyway. Once another process has brought news, the caller
        /// must look at them first.
        public var waitsAt: String?
        /// Where a new replica begins; nil for all messages.
        public var earliest: Timestamp?
        /// Whether to drop what the server does not keep any more.
        public var followsRetention = false

        public init(
            deadlineMilliseconds: Int? = nil, bytes: Int? = nil, waitSeconds: Int = 0, earliest: Timestamp? = nil
        ) {
            (self.deadlineMilliseconds, self.bytes) = (deadlineMilliseconds, bytes)
            (self.waitSeconds, self.earliest) = (waitSeconds, earliest)
        }
    }

    /// How often one sync retries after an answer that was cut short or did not fit the replica.
    private static let retryLimit = 3
    /// How long a process waits at most for another one that asks for everything again.
    private static let wholeMilliseconds = 60_000
    /// An answer that says that there is more is full, so it has at least this many bytes. A server that sends many shorter
    /// ones would keep the client asking forever.
    private static let leastBytesWithMore = 64 << 10
    private static let shortAnswerLimit = 100
    /// How long a server may take in addition to the requested waiting time.
    private static let answerMilliseconds = 15_000

    private let api: ServerAPI
    private let location: ReplicaLocation
    private let disk: any Disk
    private let clock: any WallClock

    /// - Parameter api: has the token of the replica's user.
    public init(
        api: ServerAPI, location: ReplicaLocation, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock()
    ) {
        (self.api, self.location, self.disk, self.clock) = (api, location, disk, clock)
    }

    /// Syncs until the server has nothing more or a limit is reached. `SyncReport` says which.
    ///
    /// - Parameters:
    ///   - replica: the replica, if the caller has opened it.
    ///   - progress: called as bytes arrive.
    /// - Throws: `SyncError` if nothing was received. Otherwise a broken connection becomes
    ///   `SyncReport.interruption`.
    public func sync(
        _ limits: Limits = Limits(), replica: Replica? = nil, progress: ((SyncProgress) -> Void)? = nil
    ) throws(SyncError) -> SyncReport {
        do throws(SyncError) {
            return try sync(limits, replica, progress)
        } catch .replica(let error) where error.isDamagedDatabase {
            var limits = limits
            limits.earliest = try? Replica.open(at: location, disk: disk)?.earliest() ?? limits.earliest
            let quarantined: String?
            do { quarantined = try ReplicaRebuild.begin(at: location, disk: disk, clock: clock) } catch {
                throw .replica(ReplicaError(error))
            }
            var report = try sync(limits, nil, progress)
            report.quarantined = quarantined
            return report
        }
    }

    private func sync(
        _ limits: Limits, _ replica: Replica?, _ progress: ((SyncProgress) -> Void)?
    ) throws(SyncError) -> SyncReport {
        let writer = ReplicaWriter(location, replica: replica, disk: disk, clock: clock)
        let run = SyncRun(api: api, writer: writer, limits: limits, progress: progress)
        do {
            try run.untilDone()
            if run.writer.report.isComplete {
                try GapRequests(api: api, writer: run.writer).run(until: run.isOverLimit ? .min : run.deadline)
            }
            if limits.followsRetention { try run.writer.dropWhatServerDropped() }
        } catch let error as SyncError {
            throw error
        } catch let error as RequestError {
            throw .api(error)
        } catch {
            throw .replica(ReplicaError(error))
        }
        return run.writer.report
    }

    /// The milliseconds for one request; nil without a limit.
    fileprivate static func left(until deadline: Int64) -> Int? {
        deadline == .max ? nil : Int(clamping: max(1, deadline - MonotonicClock.now()))
    }

    /// One running sync.
    private final class SyncRun {
        let api: ServerAPI
        let writer: ReplicaWriter
        let limits: Limits
        let progress: ((SyncProgress) -> Void)?
        let deadline: Int64
        private var receivedBytes = 0
        private var retries = 0
        private var shortAnswers = 0
        private var isWhole = false
        /// Held while everything is asked for again.
        private var lock: FileLock?

        /// The limit of bytes was reached.
        private struct Enough: Error {}

        init(api: ServerAPI, writer: ReplicaWriter, limits: Limits, progress: ((SyncProgress) -> Void)?) {
            (self.api, self.writer, self.limits, self.progress) = (api, writer, limits, progress)
            deadline = limits.deadlineMilliseconds.map { MonotonicClock.now() + Int64($0) } ?? .max
            writer.deadline = deadline
        }

        func untilDone() throws {
            var isFirst = true
            while true {
                let start = try aloneIfWhole()
                writer.begin(from: start, isWhole: isWhole)
                let before = receivedBytes
                let cursor = isWhole ? nil : start.cursor
                do throws(RequestError) {
                    // A request without a cursor does not show a foreign store that it is the wrong one, so this asks
                    // first.
                    if cursor == nil { _ = try perform([("cursor", "now")], waitSeconds: 0) { _ in } }
                } catch {
                    throw SyncError.api(error)
                }
                if cursor == nil { try checkStore() }
                do throws(RequestError) {
                    let waits = isFirst && (limits.waitsAt == nil || limits.waitsAt == start.cursor)
                    try request(cursor, earliest: start.earliest, waitSeconds: waits ? limits.waitSeconds : 0)
                } catch {
                    let progressed = receivedBytes > before
                    if try isToBeRepeated(error, hadCursor: cursor != nil, progressed: progressed) { continue }
                    return
                }
                try checkStore()
                isFirst = false
                if writer.mustRestart {
                    retries += 1
                    guard retries <= SyncClient.retryLimit else {
                        throw ReplicaError.malformedAnswer("it does not fit to what it sent before")
                    }
                    isWhole = true
                    continue
                }
                guard let end = writer.end else { throw ReplicaError.malformedAnswer("it has no end line") }
                isWhole = false
                guard end.more, !isOverLimit else { return }
                if receivedBytes - before < SyncClient.leastBytesWithMore { shortAnswers += 1 }
                guard shortAnswers <= SyncClient.shortAnswerLimit else {
                    throw ReplicaError.malformedAnswer("it says again and again that there is more, and sends nothing")
                }
            }
        }

        /// Where the next answer must begin. If that is everything again, it waits until no other process asks for it: what the
        /// others record meanwhile would keep each from telling what the server has lost. One of them may have done it then.
        private func aloneIfWhole() throws -> SyncStart {
            let start = try writer.start(earliest: limits.earliest)
            guard isWhole || start.cursor == nil, start.portions > 0, lock == nil else { return start }
            let patience = min(SyncClient.wholeMilliseconds, SyncClient.left(until: deadline) ?? .max)
            lock = (try? FileLock.take(writer.location.wholeLockPath, timeoutMilliseconds: patience)) ?? nil
            let now = try writer.start(earliest: limits.earliest)
            if now.cursor != nil, now.cursor != start.cursor { isWhole = false }
            return now
        }

        var isOverLimit: Bool {
            receivedBytes >= limits.bytes ?? .max || MonotonicClock.now() >= deadline
        }

        private func request(_ cursor: String?, earliest: Timestamp?, waitSeconds: Int) throws(RequestError) {
            var query: [(name: String, value: String)] = []
            if let cursor { query.append(("cursor", cursor)) }
            if let earliest { query.append(("since", earliest.rfc3339)) }
            if waitSeconds > 0 { query.append(("wait", "\(waitSeconds)")) }
            var frames = SyncFrameReader()
            _ = try perform(query, waitSeconds: waitSeconds) { [self] bytes in
                receivedBytes += bytes.count
                frames.feed(bytes)
                do {
                    while let frame = try frames.next() { try writer.apply(frame) }
                } catch is SyncFrameReader.Malformed {
                    throw ReplicaError.malformedAnswer("a frame's checksum or length is wrong")
                }
                progress?(
                    SyncProgress(
                        receivedBytes: receivedBytes, messages: writer.report.messageCount,
                        conversation: writer.currentName ?? ""))
                if receivedBytes >= limits.bytes ?? .max, writer.end == nil { throw Enough() }
            }
        }

        private func perform(
            _ query: [(name: String, value: String)], waitSeconds: Int,
            onBody: @escaping (UnsafeRawBufferPointer) throws -> Void
        ) throws(RequestError) -> HTTPResponse {
            try api.perform(
                HTTPRequest(API.sync, query: query, headers: [("Accept", SyncFrame.mediaType)]),
                timeoutMilliseconds: waitSeconds > 0 ? waitSeconds * 1_000 + SyncClient.answerMilliseconds : nil,
                deadlineMilliseconds: SyncClient.left(until: deadline), onBody: onBody)
        }

        private func checkStore() throws {
            if api.store != writer.location.store {
                throw SyncError.otherStore(expected: writer.location.store, found: api.store)
            }
        }

        /// Decides what an error means.
        ///
        /// - Returns: whether to ask again; false to end with what was received.
        private func isToBeRepeated(_ error: RequestError, hadCursor: Bool, progressed: Bool) throws -> Bool {
            switch error {
            case .transport(.aborted(is Enough), _):
                try writer.flush()
                return false
            case .transport(.aborted(let reason), _): throw reason
            case .refused(let refusal) where hadCursor && (refusal.has(.cursorExpired) || refusal.has(.badCursor)):
                isWhole = true
                return true
            case .transport:
                try writer.flush()
                let isInTime = MonotonicClock.now() < deadline
                if progressed, isInTime, retries < SyncClient.retryLimit {
                    retries += 1
                    return true
                }
                guard receivedBytes > 0 else { throw error }
                writer.note { $0.interruption = isInTime ? error : nil }
                return false
            default: throw error
            }
        }
    }
}

/// Fetches messages that the replica lacks: that were damaged here, or that the server could not send before.
struct GapRequests {
    /// The most requests of one sync that the server does not fulfil.
    private static let vainLimit = 8

    let api: ServerAPI
    let writer: ReplicaWriter

    func run(until deadline: Int64) throws {
        guard let replica = try writer.replica() else { return }
        var vain = 0
        var gaps = try replica.conversationsWithGaps().filter { !$0.isGone }.flatMap { conversation in
            try replica.gaps(of: conversation).map { (conversation: conversation, seqs: $0) }
        }
        // Messages that the server does not have must not keep the rest from being asked for.
        if gaps.count > GapRequests.vainLimit { gaps.shuffle() }
        for (conversation, gap) in gaps {
            var first = gap.lowerBound
            while first <= gap.upperBound, vain < GapRequests.vainLimit {
                var (count, obstacle): (Int, RequestError?) = (0, nil)
                if MonotonicClock.now() < deadline {
                    (count, obstacle) = try ask(for: first...gap.upperBound, of: conversation, until: deadline)
                }
                let isInTime = MonotonicClock.now() < deadline
                // A client that keeps its place must not pass messages that were not asked for to the end, or not answered.
                guard obstacle == nil, count > 0 || isInTime else {
                    return writer.note { ($0.isComplete, $0.interruption) = (false, isInTime ? obstacle : nil) }
                }
                first = first.advanced(by: count)
                guard count == 0 else { continue }
                vain += 1
                break
            }
        }
    }

    /// - Returns: how many messages of the gap came, from its first one on, and why they may come later if none did.
    private func ask(
        for gap: ClosedRange<Seq>, of conversation: ReplicaConversation, until deadline: Int64
    ) throws -> (count: Int, obstacle: RequestError?) {
        let blocks: [Block]
        do throws(RequestError) {
            blocks = try api.blocks(
                of: conversation.name, after: gap.lowerBound.previous, before: gap.upperBound.next,
                deadlineMilliseconds: SyncClient.left(until: deadline))
        } catch {
            // Only a server that can't read them either, or has them not for this user, says that they stay missing.
            guard case .refused(let refusal) = error, refusal.has(.damaged) || refusal.isFinal else {
                return (0, error)
            }
            return (0, nil)
        }
        let count = try writer.fill(gap, of: conversation, with: blocks)
        writer.note { $0.add(count, to: conversation.id, named: conversation.name) }
        return (count, nil)
    }
}

/// Why a sync failed before anything was received.
public enum SyncError: FailureConvertible {
    /// There was no answer, or the server refused.
    case api(RequestError)
    /// The store at this address is not the replica's.
    case otherStore(expected: StoreID, found: StoreID?)
    case replica(ReplicaError)

    public var failure: CommandFailure {
        switch self {
        case .api(let error): error.failure
        case .otherStore(let expected, let found?):
            CommandFailure(
                .refused, code: "other_store",
                "the server has the store '\(found)', not '\(expected)'; 'natter login' makes it known")
        case .otherStore(let expected, nil):
            CommandFailure(
                .badProtocol, code: "bad_protocol",
                "the server does not say which store it has; '\(expected)' was expected")
        case .replica(let error): error.failure
        }
    }

    public var phrase: Phrase {
        switch self {
        case .api(let error): error.phrase
        case .replica(let error): error.phrase
        case .otherStore: failure.message
        }
    }
}
