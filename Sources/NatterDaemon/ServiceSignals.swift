internal import Glibc
internal import NatterSystem

/// The signals of a service. The main thread takes them one at a time, so that they interrupt no thread.
struct ServiceSignals {
    enum Signal: Equatable {
        /// SIGTERM or SIGINT.
        case stop
        /// SIGHUP.
        case reload
        /// Another thread wants the main thread to check the state.
        case wake
    }

    private var set = sigset_t()

    /// Blocks the signals in this thread and in all threads that it starts.
    init() {
        sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// - Returns: nil if no signal arrived before the timeout.
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
                // EINTR: another signal arrived, for example from a debugger.
                guard errno == EINTR, rest > 0 else { return nil }
            }
        }
    }

    /// Makes `next` return `wake`. Thread-safe.
    static func wake() { _ = kill(getpid(), SIGUSR1) }
}
