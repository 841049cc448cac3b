internal import NatterStore
internal import NatterSystem

/// A few threads for work that may block or take long, with a bounded queue.
final class WorkerPool: Sendable {
    typealias Job = @Sendable () -> Void

    private struct Queue {
        /// A job that was taken is nil, because its request and its answer must not outlive it here.
        private var jobs: [Job?] = []
        private var next = 0
        var isStopping = false

        var count: Int { jobs.count - next }

        mutating func append(_ job: @escaping Job) { jobs.append(job) }

        mutating func take() -> Job? {
            guard next < jobs.count else { return nil }
            let job = jobs[next]
            jobs[next] = nil
            next += 1
            if next == jobs.count {
                jobs.removeAll(keepingCapacity: next <= Queue.keptPlaces)
                next = 0
            } else if next >= Queue.keptPlaces, next > jobs.count / 2 {
                jobs.removeFirst(next)
                next = 0
            }
            return job
        }

        /// So many empty places may stay, so that a short queue allocates nothing.
        private static let keptPlaces = 1_024
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

    /// - Returns: false if too many jobs wait. Then the job is not done.
    func submit(_ job: @escaping Job) -> Bool {
        queue.signal { queue in
            guard queue.count < limit, !queue.isStopping else { return false }
            queue.append(job)
            return true
        }
    }

    /// Queues the next step of a request that is already being answered. The queue's limit does not apply.
    func submitAlways(_ job: @escaping Job) { queue.signal { $0.append(job) } }

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
        pool.submitAlways { [self] in
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
