internal import NatterCommandLine
internal import NatterClient
internal import NatterModel
internal import NatterSystem

/// Keeps a replica current for a command that runs on: waits for news, and tries again while the server can't be reached.
struct ReplicaFollower {
    /// How long a request waits for new messages.
    static let waitSeconds = 25

    /// Whether the last sync has fetched everything that the server has.
    private(set) var isCurrent: Bool
    private let synced: SyncedReplica
    /// Whether a note says that another command syncs.
    private let tellsLock: Bool
    /// Where the replica was before it was looked through; nil until then.
    private var seen: String?
    private var retries = Retries()
    /// Before this time, the server is not asked again.
    private var retry: Int64?

    init(_ synced: SyncedReplica, isCurrent: Bool, tellsLock: Bool) {
        (self.synced, self.isCurrent, self.tellsLock) = (synced, isCurrent, tellsLock)
    }

    /// The replica, to be looked through before the next `wait`, which then misses nothing.
    mutating func replica() throws -> Replica? {
        seen = try synced.cursor()
        return try synced.replica()
    }

    /// Waits for news, after an error for the time to try again.
    ///
    /// - Parameter due: when the caller has something else to do.
    /// - Returns: what a sync has found; nil if there was none.
    mutating func wait(until due: Int64? = nil) throws -> SyncReport? {
        if let retry {
            Backoff.sleep(milliseconds: min(retry, due ?? .max) - MonotonicClock.now())
            if MonotonicClock.now() >= retry { self.retry = nil }
            return nil
        }
        let seconds = due.map { Int(($0 - MonotonicClock.now() + 999) / 1_000) } ?? ReplicaFollower.waitSeconds
        let longest = seen == nil ? 0 : max(0, min(ReplicaFollower.waitSeconds, seconds))
        var report: SyncReport?
        do {
            let found = try synced.pull(waitSeconds: longest, waitsAt: seen)
            isCurrent = found.isComplete
            if let error = found.interruption { postpone(after: error) } else { retries = Retries() }
            report = found
        } catch  where SyncedReplica.isTransient(error, hasSpoken: synced.hasSpoken) {
            isCurrent = false
            postpone(after: error)
        }
        if let due { Backoff.sleep(milliseconds: min(1_000, due - MonotonicClock.now())) }
        return report
    }

    private mutating func postpone(after error: any Error) {
        if case SyncError.replica(.locked) = error, !tellsLock {
            retry = MonotonicClock.now() + 1_000
        } else {
            retry = MonotonicClock.now() + retries.pause(after: error, synced.context)
        }
    }
}

/// The retries of a command that waits for news while it can't reach the server. Only the first prints a note.
struct Retries {
    private var backoff = Backoff.following
    private var isNoted = false

    /// - Returns: how many milliseconds to wait.
    mutating func pause(after error: any Error, _ context: Context) -> Int64 {
        if !isNoted { context.note("\(SyncedReplica.reason(of: error)); retrying") }
        isNoted = true
        return backoff.next(after: error)
    }
}
