internal import NatterStore
internal import NatterSystem

/// A few threads for work that may block or take long, with a bounded queue.
///
/// Accounts take turns, so that a job waits for at most one job of each other account, however many jobs they have.
final class WorkerPool: Sendable {
    typealias Job = @Sendable () -> Void

    /// First in, first out.
    private struct Line<Element> {
        /// A place that was taken is nil, because a request and its answer must not outlive their job here.
        private var places: [Element?] = []
        private var next = 0

        var isEmpty: Bool { next == places.count }

        mutating func append(_ element: Element) { places.append(element) }

        mutating func take() -> Element? {
            guard next < places.count else { return nil }
            let element = places[next]
            places[next] = nil
            next += 1
            if next == places.count {
                places.removeAll(keepingCapacity: next <= Self.keptPlaces)
                next = 0
            } else if next >= Self.keptPlaces, next > places.count / 2 {
                places.removeFirst(next)
                next = 0
            }
            return element
        }

        /// So many empty places may stay, so that a short queue allocates nothing.
        private static var keptPlaces: Int { 1_024 }
    }

    private struct Queue {
        /// The jobs that wait. All without an account share one line.
        private var lines: [AccountID?: Line<Job>] = [:]
        /// Each account that has a line, in the order of their turns.
        private var turns = Line<AccountID?>()
        private(set) var count = 0
        var isStopping = false

        mutating func append(_ job: @escaping Job, for account: AccountID?) {
            if lines[account] == nil { turns.append(account) }
            lines[account, default: Line()].append(job)
            count += 1
        }

        mutating func take() -> Job? {
            guard let account = turns.take(), let job = lines[account]?.take() else { return nil }
            count -= 1
            if lines[account]?.isEmpty == true { lines[account] = nil } else { turns.append(account) }
            return job
        }
    }

    private let queue = Monitor(Queue())
    private let limit: Int
    private let threads: Monitor<[SystemThread]> = Monitor([])

    /// - Parameter limit: how many jobs may wait.
    init(name: String, threads count: Int, limit: Int) throws {
        self.limit = limit
        var started: [SystemThread] = []
        for _ in 0..<count {
            started.append(
                try SystemThread(name: name) { [queue] in
                    while let job = queue.wait(until: { queue -> Job?? in
                        if let job = queue.take() { return .some(job) }
                        return queue.isStopping ? .some(nil) : nil
                    }) ?? nil {
                        job()
                    }
                })
        }
        let threads = started
        self.threads.signal { $0 = threads }
    }

    /// - Parameter account: whose turn the job takes.
    /// - Returns: false if too many jobs wait. Then the job is not done.
    func submit(for account: AccountID? = nil, _ job: @escaping Job) -> Bool {
        queue.signal { queue in
            guard queue.count < limit, !queue.isStopping else { return false }
            queue.append(job, for: account)
            return true
        }
    }

    /// Queues the next step of a request that is already being answered. The queue's limit does not apply.
    func submitAlways(for account: AccountID?, _ job: @escaping Job) {
        queue.signal { $0.append(job, for: account) }
    }

    /// Finishes the queued jobs and ends the threads.
    func stop() {
        queue.signal { $0.isStopping = true }
        for thread in threads.signal({ threads in
            defer { threads = [] }
            return threads
        }) { thread.join() }
    }
}

/// Searches, one at a time for each account, on threads of their own: pages and posts never wait for a search, and no
/// account waits for all the searches of another.
final class SearchQueue: Sendable {
    /// How many searches of one account may wait for the one that runs.
    static let waitingPerAccount = 8

    private let pool: WorkerPool
    /// The searches that wait, by account. An account is here while one of its searches runs.
    private let waiting = Monitor<[AccountID: [WorkerPool.Job]]>([:])

    init(threads: Int) throws { pool = try WorkerPool(name: "natter-searcher", threads: threads, limit: 10_000) }

    /// - Returns: false if the account has too many searches. Then this one is not done.
    func submit(_ account: AccountID, _ job: @escaping WorkerPool.Job) -> Bool {
        let mustStart = waiting.withLock { waiting -> Bool? in
            guard let others = waiting[account] else {
                waiting[account] = []
                return true
            }
            guard others.count < SearchQueue.waitingPerAccount else { return nil }
            waiting[account]?.append(job)
            return false
        }
        guard let mustStart else { return false }
        if mustStart { start(account, job) }
        return true
    }

    private func start(_ account: AccountID, _ job: @escaping WorkerPool.Job) {
        pool.submitAlways(for: account) { [self] in
            job()
            let next = waiting.withLock { waiting -> WorkerPool.Job? in
                guard waiting[account]?.isEmpty == false else {
                    waiting[account] = nil
                    return nil
                }
                return waiting[account]?.removeFirst()
            }
            // Behind the searches of others.
            if let next { start(account, next) }
        }
    }

    func stop() { pool.stop() }
}
