internal import NatterStore
internal import NatterSystem

/// A few threads for the work of requests that may block or take long.
///
/// Owners share the threads by time: who wants little need not wait for those who want much. Work belongs to its request.
/// When the request ends, its work is dropped, and no work begins for an asker who may have no answer any more.
final class WorkerPool: Sendable {
    typealias Job = @Sendable () -> Void

    private struct Work {
        let request: Exchange
        let run: Job
        /// Whether it must be done even if the asker may not ask for anything more.
        var isSettled = false
        /// Runs instead if the work does not.
        var undo: Job?

        func perform() {
            if isSettled ? request.isWanted : request.mayGoOn() { run() } else { undo?() }
        }
    }

    private struct Queue {
        var jobs: FairQueue<Work>
        var isStopping = false
    }

    private let queue: Monitor<Queue>
    private let (limit, limitPerOwner): (Int, Int)
    private let threads: Monitor<[SystemThread]> = Monitor([])

    /// - Parameters:
    ///   - limit: how many requests may wait, and `limitPerOwner` how many of one owner.
    ///   - width: how many jobs of one owner run at a time.
    ///   - now: nanoseconds since some fixed moment, to count the time of a job.
    init(
        name: String, threads count: Int, limit: Int, limitPerOwner: Int, width: Int = .max,
        now: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) throws {
        queue = Monitor(Queue(jobs: FairQueue(width: width)))
        (self.limit, self.limitPerOwner) = (limit, limitPerOwner)
        var started: [SystemThread] = []
        for _ in 0..<count {
            started.append(
                try SystemThread(name: name) { [queue] in
                    while let next = queue.next({ $0.jobs.take() }, unless: { $0.isStopping }) {
                        let began = now()
                        next.job.perform()
                        queue.withLock { $0.jobs.end(next.owner, after: now() - began) }
                    }
                })
        }
        let threads = started
        self.threads.signal { $0 = threads }
    }

    /// Queues the work of a request that has not begun.
    ///
    /// - Parameters:
    ///   - owner: whose time it takes, if not the request's own.
    ///   - undo: is called instead if the work is not done.
    /// - Throws: 429 if too many requests of the owner wait, 503 if too many of all do. Then neither is called.
    func begin(
        _ request: Exchange, for owner: JobOwner? = nil, orElse undo: Job? = nil, _ job: @escaping Job
    ) throws(APIError) {
        let owner = owner ?? request.owner
        let (error, displaced) = queue.signal { queue -> (APIError?, Work?) in
            if queue.jobs.count(of: owner) >= limitPerOwner { return (APIError.tooManyOwn, nil) }
            var displaced: Work?
            if queue.jobs.count >= limit { displaced = queue.jobs.takeBack(for: owner) }
            guard queue.jobs.count < limit, !queue.isStopping else { return (APIError(StoreError.busy), displaced) }
            queue.jobs.append(Work(request: request, run: job, undo: undo), for: owner)
            return (nil, displaced)
        }
        if let displaced {
            displaced.undo?()
            displaced.request.respond(APIError(StoreError.busy).reply)
        }
        if let error { throw error }
    }

    /// Queues the next step of a request that has begun. The limits do not apply.
    ///
    /// - Parameter isSettled: whether the request has changed something, so that its asker must be told.
    func proceed(_ request: Exchange, isSettled: Bool = false, _ job: @escaping Job) {
        guard request.isWanted else { return }
        queue.signal { queue in
            guard !queue.isStopping else { return }
            queue.jobs.append(
                Work(request: request, run: job, isSettled: isSettled), for: request.owner, isStep: true)
        }
    }

    /// Drops the work of a request that has ended.
    func drop(_ request: Exchange) {
        let dropped = queue.withLock { queue in
            [request.owner, request.network].flatMap { owner in
                queue.jobs.remove(of: owner) { $0.request === request }
            }
        }
        for work in dropped { work.undo?() }
    }

    /// Drops what waits, and ends the threads after the jobs that run.
    func stop() {
        let dropped = queue.signal { queue in
            queue.isStopping = true
            defer { queue.jobs = FairQueue() }
            return queue.jobs
        }
        withExtendedLifetime(dropped) {}
        for thread in threads.exchange([]) { thread.join() }
    }
}
