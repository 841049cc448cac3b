internal import NatterSystem

/// How long one call may take, in milliseconds of the monotonic clock.
struct TimeLimits {
    /// Longest time-out that is kept as it is, 24 days; what is longer is as good as none.
    private static let maximum = Int(Int32.max)

    let start = MonotonicClock.now()
    /// How long there may be no progress.
    let timeout: Int64
    /// When the whole exchange must be over.
    let deadline: Int64

    init(timeoutMilliseconds: Int, deadlineMilliseconds: Int?) {
        timeout = Int64(min(max(timeoutMilliseconds, 0), TimeLimits.maximum))
        deadline = start + Int64(min(max(deadlineMilliseconds ?? TimeLimits.maximum, 0), TimeLimits.maximum))
    }

    /// When a connection must stand if `count` more addresses are to have their turn, this one included.
    func connectLimit(addressesLeft count: Int) -> Int64 {
        let now = MonotonicClock.now()
        return now + max(0, min(start + timeout, deadline) - now) / Int64(max(1, count))
    }
}
