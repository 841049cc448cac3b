internal import NatterStore
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

/// Lets each account do a few things at a time. The others wait, in order.
final class AccountTurns: Sendable {
    private struct Line {
        var busy = 0
        var waiting: [WorkerPool.Job] = []
    }

    private let width: Int
    private let limit: Int
    /// An account is here while it has a turn.
    private let lines = Monitor<[AccountID: Line]>([:])

    /// - Parameters:
    ///   - width: how many turns an account may have at a time.
    ///   - limit: how many further ones may wait.
    init(width: Int, limit: Int = .max) { (self.width, self.limit) = (width, limit) }

    /// Begins something now or, on the thread that gives a turn back, later. It must not block.
    ///
    /// - Returns: false if too many wait. Then it is not begun.
    func take(for account: AccountID, _ begin: @escaping WorkerPool.Job) -> Bool {
        let isNow = lines.withLock { lines -> Bool? in
            let line = lines[account] ?? Line()
            if line.busy < width {
                lines[account, default: line].busy += 1
                return true
            }
            guard line.waiting.count < limit else { return nil }
            lines[account]?.waiting.append(begin)
            return false
        }
        if isNow == true { begin() }
        return isNow != nil
    }

    /// Gives a turn to the one that has waited longest.
    func giveBack(by account: AccountID) {
        let next = lines.withLock { lines -> WorkerPool.Job? in
            guard let line = lines[account] else { return nil }
            if !line.waiting.isEmpty { return lines[account]?.waiting.removeFirst() }
            if line.busy > 1 { lines[account]?.busy -= 1 } else { lines[account] = nil }
            return nil
        }
        next?()
    }
}

/// Searches, one at a time for each account: no account waits for all the searches of another.
final class SearchQueue: Sendable {
    /// How many searches of one account may wait for the one that runs.
    static let waitingPerAccount = 8

    private let pool: WorkerPool
    private let turns = AccountTurns(width: 1, limit: SearchQueue.waitingPerAccount)

    init(_ pool: WorkerPool) { self.pool = pool }

    /// - Returns: false if the account has too many searches. Then this one is not done.
    func submit(_ account: AccountID, _ job: @escaping WorkerPool.Job) -> Bool {
        turns.take(for: account) { [pool, turns] in
            pool.submitAlways(for: .account(account)) {
                job()
                turns.giveBack(by: account)
            }
        }
    }
}
