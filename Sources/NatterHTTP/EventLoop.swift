internal import CEvent
internal import Glibc
internal import NatterModel
internal import NatterSystem

/// A libevent base and the timer that limits each wait. It must be freed after everything that was created on it.
final class EventLoop {
    let base: OpaquePointer
    private let timer: OpaquePointer

    init() throws(TransportError) {
        // libevent would print its warnings to standard error, which belongs to the program.
        event_set_log_callback { _, _ in }
        event_set_fatal_callback { _ in EventLoop.giveUp() }
        try EventLoop.checkDescriptors()
        let configuration = event_config_new()
        defer { if let configuration { event_config_free(configuration) } }
        if let configuration { event_config_set_flag(configuration, Int32(EVENT_BASE_FLAG_NOLOCK.rawValue)) }
        guard let base = configuration.flatMap({ event_base_new_with_config($0) }) else {
            throw .notReached("cannot wait for the network: no more files can be opened, or memory is short")
        }
        guard let timer = event_new(base, -1, 0, { _, _, _ in }, nil) else {
            event_base_free(base)
            throw .notReached("cannot wait for the network: memory is short")
        }
        (self.base, self.timer) = (base, timer)
    }

    deinit {
        event_free(timer)
        event_base_free(base)
    }

    /// Checks that there are descriptors for the loop, which takes three, and for a connection.
    private static func checkDescriptors() throws(TransportError) {
        var ends: [Int32] = []
        defer { for end in ends { close(end) } }
        for _ in 0..<2 {
            var pair: [Int32] = [0, 0]
            guard pipe(&pair) == 0 else { throw tooFew() }
            ends += pair
        }
    }

    private static func tooFew() -> TransportError {
        let code = Errno.current
        return .tooFewFiles("cannot wait for the network: \(code.problem)", remedy: code.remedy)
    }

    /// Ends the process, because libevent does so after this in any case, and with status 1. That would mean "nothing found".
    /// It happens if there is no descriptor left for the loop itself, because another thread took the last ones.
    private static func giveUp() -> Never {
        let reason = tooFew().phrase
        let program = ProcessArguments.word(0).map { Path.name(of: String(cString: $0)) } ?? "natter"
        let line = Array("\(program): \(reason.text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        // EX_IOERR
        _exit(74)
    }

    /// Handles events until `isDone` or until `limit` has passed. `limit` is in milliseconds of the monotonic clock
    /// and is asked again after each event.
    ///
    /// - Returns: whether `isDone` was reached.
    func run(until isDone: () -> Bool, limit: () -> Int64) -> Bool {
        defer { event_del(timer) }
        while !isDone() {
            let left = limit() - MonotonicClock.now()
            guard left > 0 else { return false }
            var time = timeval(tv_sec: Int(left / 1_000), tv_usec: Int(left % 1_000) * 1_000)
            guard event_add(timer, &time) == 0, event_base_loop(base, EVLOOP_ONCE) == 0 else { return isDone() }
        }
        return true
    }

    /// Handles events that have already happened, without waiting.
    func runPending() { event_base_loop(base, EVLOOP_NONBLOCK) }
}
