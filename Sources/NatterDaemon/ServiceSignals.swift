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
        // Another signal may interrupt it, for example one from a debugger.
        let signal = retrying {
            let rest = max(0, deadline - MonotonicClock.now())
            var timeout = timespec(tv_sec: Int(rest / 1_000), tv_nsec: Int(rest % 1_000) * 1_000_000)
            return sigtimedwait(&set, nil, &timeout)
        }
        return switch signal {
        case SIGTERM, SIGINT: .stop
        case SIGHUP: .reload
        case SIGUSR1: .wake
        default: nil
        }
    }

    /// Makes `next` return `wake`. Thread-safe.
    static func wake() { _ = kill(getpid(), SIGUSR1) }
}
