internal import NatterSystem

/// A few threads for work that may block or take long, with a bounded queue.
final class WorkerPool: Sendable {
    private struct Queue {
        var jobs: [@Sendable () -> Void] = []
        var next = 0
        var isStopping = false

        var count: Int { jobs.count - next }

        mutating func take() -> (@Sendable () -> Void)? {
            guard next < jobs.count else { return nil }
            defer {
                next += 1
                if next == jobs.count {
                    jobs.removeAll(keepingCapacity: true)
                    next = 0
                }
            }
            return jobs[next]
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
                    while let job = queue.wait(until: { queue -> (@Sendable () -> Void)?? in
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
    func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        queue.signal { queue in
            guard queue.count < limit, !queue.isStopping else { return false }
            queue.jobs.append(job)
            return true
        }
    }

    /// Queues the next step of a request that is already being answered. The queue's limit does not apply.
    func submitAlways(_ job: @escaping @Sendable () -> Void) { queue.signal { $0.jobs.append(job) } }

    /// Finishes the queued jobs and ends the threads.
    func stop() {
        queue.signal { $0.isStopping = true }
        for thread in threads.signal({ threads in
            defer { threads = [] }
            return threads
        }) { thread.join() }
    }
}
