internal import Glibc

/// The processor time of the calling thread. Other work of the machine hardly changes it.
package enum ThreadTime {
    /// In nanoseconds.
    package static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    /// The time that a piece of work takes, in nanoseconds.
    package static func of(_ work: () throws -> Void) rethrows -> Int {
        let start = now()
        try work()
        return now() - start
    }
}
