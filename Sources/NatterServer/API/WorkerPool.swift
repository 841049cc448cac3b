internal import NatterStore
internal import NatterSystem

/// A few threads for work that may block or take long, with a bounded queue.
///
/// Accounts share the threads by time: who wants little need not wait for those who want much.
final class WorkerPool: Sendable {
    typealias Job = @Sendable () -> Void

    private struct Queue {
        var jobs = FairQueue<Job>()
        var isStopping = false
    }

    private let queue = Monitor(Queue())
    private let limit: Int
    private let threads: Monitor<[SystemThread]> = Monitor([])

    /// - Parameters:
    ///   - limit: how many jobs may wait.
    ///   - yields: whether the threads let others go first when the processors are busy.
    ///   - now: nanoseconds since some fixed moment, to count the time of a job.
    init(
        name: String, threads count: Int, limit: Int, yields: Bool = false,
        now: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) throws {
        self.limit = limit
        var started: [SystemThread] = []
        for _ in 0..<count {
            started.append(
                try SystemThread(name: name, yields: yields) { [queue] in
                    while let next = queue.wait(until: { queue -> (job: Job, account: AccountID?)?? in
                        if let next = queue.jobs.take() { return .some(next) }
                        return queue.isStopping ? .some(nil) : nil
                    }) ?? nil {
                        let began = now()
                        next.job()
                        queue.withLock { $0.jobs.charge(now() - began, to: next.account) }
                    }
                })
        }
        let threads = started
        self.threads.signal { $0 = threads }
    }

    /// - Parameter account: whose time the job takes.
    /// - Returns: false if too many jobs wait. Then the job is not done.
    func submit(for account: AccountID? = nil, _ job: @escaping Job) -> Bool {
        queue.signal { queue in
            guard queue.jobs.count < limit, !queue.isStopping else { return false }
            queue.jobs.append(job, for: account)
            return true
        }
    }

    /// Queues the next step of a request that is already being answered. The queue's limit does not apply.
    func submitAlways(for account: AccountID?, _ job: @escaping Job) {
        queue.signal { $0.jobs.append(job, for: account) }
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
