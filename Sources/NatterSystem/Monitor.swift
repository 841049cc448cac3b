internal import CSystem
internal import Glibc

/// A value behind a lock, with a condition variable. `Synchronization.Mutex` has no condition variable.
///
/// Do not use a function as the value, but put it into a structure. Swift wraps a function again each time it is passed
/// as a generic `inout` and stores the wrapper, so each access to a bare function would make all later calls deeper.
///
/// Sendable is unchecked, because the compiler cannot see that every member takes `mutex` before it accesses `state`.
public final class Monitor<State>: @unchecked Sendable {
    private var state: State
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    public init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` with exclusive access to the value. The lock is not reentrant.
    public func withLock<Result, Failure: Error>(_ body: (inout State) throws(Failure) -> Result) throws(Failure)
        -> Result
    {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// Changes the value and wakes every waiting thread.
    public func signal<Result>(_ body: (inout State) -> Result) -> Result {
        pthread_mutex_lock(mutex)
        let result = body(&state)
        // First, or the thread that wakes would wait for the lock at once.
        pthread_mutex_unlock(mutex)
        pthread_cond_broadcast(condition)
        return result
    }

    /// Puts a value in place of the one that is there, and returns that.
    public func exchange(_ new: State) -> State {
        signal { state in
            defer { state = new }
            return state
        }
    }

    /// Waits until `body` returns a result. Calls it immediately and again after each signal.
    ///
    /// - Returns: nil after `timeoutMilliseconds` without a result.
    public func wait<Result>(timeoutMilliseconds: Int? = nil, until body: (inout State) -> Result?) -> Result? {
        var deadline = timespec()
        if let timeoutMilliseconds {
            let nanoseconds = MonotonicClock.nanoseconds() + Int64(timeoutMilliseconds) * 1_000_000
            deadline = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
        }
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let result = body(&state) { return result }
            if timeoutMilliseconds == nil {
                pthread_cond_wait(condition, mutex)
            } else if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT {
                return body(&state)
            }
        }
    }

    /// Waits until `condition` holds. Calls it immediately and again after each signal.
    ///
    /// - Returns: false if it does not hold after `timeoutMilliseconds`.
    @discardableResult
    public func wait(timeoutMilliseconds: Int? = nil, for condition: (State) -> Bool) -> Bool {
        wait(timeoutMilliseconds: timeoutMilliseconds) { condition($0) ? true : nil } ?? false
    }

    /// Waits until `take` returns something. Calls it immediately and again after each signal.
    ///
    /// - Returns: nil if it returns nothing and `isOver`, so that nothing will come.
    public func next<Item>(_ take: (inout State) -> Item?, unless isOver: (State) -> Bool) -> Item? {
        wait { state -> Item?? in
            if let item = take(&state) { return .some(item) }
            return isOver(state) ? .some(nil) : nil
        } ?? nil
    }
}
