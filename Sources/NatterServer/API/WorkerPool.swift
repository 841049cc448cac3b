internal import NatterSystem

/// A few threads for work that may block or take long, with a bounded queue.
///
/// Owners of jobs share the threads by time: who wants little need not wait for those who want much.
final class WorkerPool: Sendable {
    typealias Job = @Sendable () -> Void

    private struct Work {
        let run: Job
        /// What to do if it has to make room for another.
        var refuse: Job?
    }

    private struct Queue {
        var jobs = FairQueue<Work>()
        var isStopping = false
    }

    private let queue = Monitor(Queue())
    private let (limit, limitPerOwner): (Int, Int)
    private let threads: Monitor<[SystemThread]> = Monitor([])

    /// - Parameters:
    ///   - limit: how many jobs may wait, and `limitPerOwner` how many of one owner.
    ///   - now: nanoseconds since some fixed moment, to count the time of a job.
    init(
        name: String, threads count: Int, limit: Int, limitPerOwner: Int = .max,
        now: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) throws {
        (self.limit, self.limitPerOwner) = (limit, limitPerOwner)
        var started: [SystemThread] = []
        for _ in 0..<count {
            started.append(
                try SystemThread(name: name) { [queue] in
                    while let next = queue.next({ $0.jobs.take() }, unless: { $0.isStopping }) {
                        let began = now()
                        next.job.run()
                        queue.withLock { $0.jobs.charge(now() - began, to: next.owner) }
                    }
                })
        }
        let threads = started
        self.threads.signal { $0 = threads }
    }

    /// - Parameter refuse: what is done instead if others have no room later, because this owner has more jobs waiting.
    /// - Returns: false if too many jobs wait. Then neither is done.
    func submit(for owner: JobOwner = .nobody, orElse refuse: Job? = nil, _ job: @escaping Job) -> Bool {
        let (isTaken, displaced) = queue.signal { queue -> (Bool, Work?) in
            guard queue.jobs.count(of: owner) < limitPerOwner, !queue.isStopping else { return (false, nil) }
            var displaced: Work?
            if queue.jobs.count >= limit {
                guard refuse != nil, let work = queue.jobs.takeBack(for: owner) else { return (false, nil) }
                displaced = work
            }
            queue.jobs.append(Work(run: job, refuse: refuse), for: owner)
            return (true, displaced)
        }
        displaced?.refuse?()
        return isTaken
    }

    /// Queues the next step of a request that is already being answered. The queue's limit does not apply.
    func submitAlways(for owner: JobOwner, _ job: @escaping Job) {
        queue.signal { $0.jobs.append(Work(run: job), for: owner) }
    }

    /// Finishes the queued jobs and ends the threads.
    ///
    /// - Parameter drops: whether jobs that have not begun are left undone, because nobody waits for them any more.
    func stop(drops: Bool = false) {
        queue.signal { queue in
            queue.isStopping = true
            if drops { queue.jobs = FairQueue() }
        }
        for thread in threads.exchange([]) { thread.join() }
    }
}
