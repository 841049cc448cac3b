internal import NatterSystem

/// Requests for work that can wait until a burst of messages is over. Meanwhile those who send have the processors.
struct Burst: Sendable {
    /// A burst is over when nothing was asked for during so many milliseconds.
    static let quiet: Int64 = 200
    /// So many milliseconds after the first request, work begins in any case.
    static let most: Int64 = 1_500

    private var times: (first: Int64, last: Int64)?

    mutating func note(at now: Int64 = MonotonicClock.now()) { times = (times?.first ?? now, now) }

    /// When the work is to begin, if nothing more is asked for, in milliseconds of the monotonic clock; nil without a request.
    var end: Int64? { times.map { min($0.last + Burst.quiet, $0.first + Burst.most) } }
}
