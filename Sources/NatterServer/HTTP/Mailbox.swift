internal import CMicroHTTPD
internal import Glibc
internal import NatterSystem
internal import NatterTLS
internal import Synchronization

/// What other threads have for the loop.
enum LoopEvent: Sendable {
    case reply(Exchange, Reply)
    case resume(Exchange)
    /// What connections are to be served with from now on.
    case identity(TLSIdentity)
    case stop
}

/// The way into the loop's thread: a queue, and a descriptor that is readable when something is in it.
final class Mailbox: Sendable {
    private struct State {
        var events: [LoopEvent] = []
        var isClosed = false
    }

    /// For poll(2).
    let descriptor: Int32
    private let state = Monitor(State())
    private let thread = Atomic<pthread_t>(0)

    /// - Throws: `.cannotStart` if no descriptor is left.
    init() throws(ListenerError) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { throw .cannotStart }
    }

    deinit { _ = Glibc.close(descriptor) }

    /// Whether the caller is the loop.
    var isOnLoop: Bool { thread.load(ordering: .relaxed) == pthread_self() }

    /// Makes the calling thread the loop's.
    func adoptThread() { thread.store(pthread_self(), ordering: .relaxed) }

    /// - Returns: false if the loop has ended, and the event will not be seen.
    @discardableResult
    func post(_ event: LoopEvent) -> Bool {
        let wasEmpty: Bool? = state.withLock { state in
            guard !state.isClosed else { return nil }
            defer { state.events.append(event) }
            return state.events.isEmpty
        }
        // The loop takes all that there is, so one wake-up serves until then.
        if wasEmpty == true { eventfd_write(descriptor, 1) }
        return wasEmpty != nil
    }

    /// Takes what is there, leaving the (empty) array given in its place.
    func take(into events: inout [LoopEvent]) {
        state.withLock { state in swap(&state.events, &events) }
    }

    /// Empties the descriptor; before `take`, or a wake-up could be lost.
    func acknowledge() {
        var count: eventfd_t = 0
        eventfd_read(descriptor, &count)
    }

    /// Takes nothing from now on.
    ///
    /// - Returns: what nobody has seen.
    func close() -> [LoopEvent] {
        state.withLock { state in
            state.isClosed = true
            defer { state.events = [] }
            return state.events
        }
    }
}
