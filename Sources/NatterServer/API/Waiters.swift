internal import NatterModel
internal import NatterStore
internal import NatterSystem

/// Requests that wait for news. Each takes a suspended connection, not a thread.
final class Waiters: Sendable {
    enum Wake: Sendable {
        case news
        case timeout
        /// The server is about to stop.
        case stopping
    }

    private struct Waiter {
        /// Kept, so that no other request is taken for it.
        let request: Exchange
        let accounts: [AccountID]
        let deadline: Int64
        let wake: @Sendable (Wake) -> Void
    }

    private struct State {
        var byRequest: [ObjectIdentifier: Waiter] = [:]
        var byAccount: [AccountID: Set<ObjectIdentifier>] = [:]
        var lastCommit: Commit = .zero
        /// When the timer thread checks deadlines next.
        var nextDeadline: Int64 = .max
        var isStopping = false

        mutating func remove(_ request: ObjectIdentifier) -> Waiter? {
            guard let waiter = byRequest.removeValue(forKey: request) else { return nil }
            for account in waiter.accounts {
                byAccount[account]?.remove(request)
                if byAccount[account]?.isEmpty == true { byAccount[account] = nil }
            }
            return waiter
        }
    }

    private let state = Monitor(State())
    private let thread = Monitor<SystemThread?>(nil)

    init() throws {
        let timer = try SystemThread(name: "natter-waiters") { [self] in
            while runTimer() {}
        }
        thread.signal { $0 = timer }
    }

    /// Calls `wake` once, when there is news for one of the accounts after the commit `seen`, or at the deadline.
    ///
    /// - Parameters:
    ///   - deadline: milliseconds on the monotonic clock.
    func wait(
        _ request: Exchange, _ accounts: [AccountID], seen: Commit, deadline: Int64,
        _ wake: @escaping @Sendable (Wake) -> Void
    ) {
        let key = ObjectIdentifier(request)
        let (early, isNext) = state.withLock { state -> (Wake?, Bool) in
            if state.isStopping { return (.stopping, false) }
            // There was a commit after the caller's query, so the caller must query again.
            if state.lastCommit > seen { return (.news, false) }
            state.byRequest[key] = Waiter(request: request, accounts: accounts, deadline: deadline, wake: wake)
            for account in accounts { state.byAccount[account, default: []].insert(key) }
            guard deadline < state.nextDeadline else { return (nil, false) }
            state.nextDeadline = deadline
            return (nil, true)
        }
        if let early { return wake(early) }
        // An end before now woke nobody, and a later one is news.
        if !request.isWanted || request.refusal != nil { drop(request) }
        // Only the waiter with the earliest deadline wakes the timer thread, because 10,000 waiters may come at the
        // same time.
        if isNext { state.signal { _ in } }
    }

    /// Wakes a request whose token has ended, or that has ended itself.
    func drop(_ request: Exchange) { state.withLock { $0.remove(ObjectIdentifier(request)) }?.wake(.news) }

    var count: Int { state.withLock { $0.byRequest.count } }

    func announce(_ news: News) {
        let woken = state.withLock { state in
            state.lastCommit = news.isAnew ? news.commit : max(state.lastCommit, news.commit)
            return news.values(of: state.byAccount).joined().compactMap { state.remove($0) }
        }
        for waiter in woken { waiter.wake(.news) }
    }

    /// Wakes the requests whose deadline has passed, then waits for the next. Returns false when the thread should end.
    private func runTimer() -> Bool {
        let now = MonotonicClock.now()
        let (late, next, isStopping) = state.withLock { state -> ([Waiter], Int64, Bool) in
            let requests = state.byRequest.filter { state.isStopping || $0.value.deadline <= now }.keys
            let late = requests.compactMap { state.remove($0) }
            let next = state.byRequest.values.lazy.map(\.deadline).min() ?? now + 60_000
            state.nextDeadline = next
            return (late, next, state.isStopping)
        }
        for waiter in late { waiter.wake(isStopping ? .stopping : .timeout) }
        if isStopping { return false }
        // A new waiter with an earlier deadline signals.
        state.wait(timeoutMilliseconds: Int(clamping: max(1, next - now))) { $0.isStopping || $0.nextDeadline < next }
        return true
    }

    /// Wakes all waiting requests. From now on, new ones are woken immediately.
    func wakeAll() { state.signal { $0.isStopping = true } }

    /// Wakes all waiting requests and ends the thread.
    func stop() {
        wakeAll()
        thread.exchange(nil)?.join()
    }
}
