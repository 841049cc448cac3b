internal import Glibc
internal import NatterSystem

/// The signals of a service, taken one at a time by the thread that the program began with instead of interrupting any.
struct ServiceSignals {
    enum Signal: Equatable {
        /// SIGTERM or SIGINT.
        case stop
        /// SIGHUP.
        case reload
        /// Another thread asks the first to look what has happened.
        case wake
    }

    private var set = sigset_t()

    /// Blocks them in this thread, and so in all that it starts from now on.
    init() {
        sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// - Returns: nil if none came in this time.
    mutating func next(timeoutMilliseconds: Int64) -> Signal? {
        let deadline = MonotonicClock.now() + timeoutMilliseconds
        while true {
            let rest = max(0, deadline - MonotonicClock.now())
            var timeout = timespec(tv_sec: Int(rest / 1_000), tv_nsec: Int(rest % 1_000) * 1_000_000)
            switch sigtimedwait(&set, nil, &timeout) {
            case SIGTERM, SIGINT: return .stop
            case SIGHUP: return .reload
            case SIGUSR1: return .wake
            default:
                // EINTR: a signal that is not ours, such as a debugger's.
                guard errno == EINTR, rest > 0 else { return nil }
            }
        }
    }

    /// Has `next` return `wake`. From any thread.
    static func wake() { _ = kill(getpid(), SIGUSR1) }
}
