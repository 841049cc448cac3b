internal import CMicroHTTPD
internal import Glibc
internal import NatterSystem
internal import Synchronization

/// A message from another thread to the listener's thread.
enum LoopEvent: Sendable {
    case answer(AnswerStep, Exchange)
    /// The certificate for new connections.
    case identity(TLSIdentity)
    /// Asks for a sign of life: the function is called on the listener's thread.
    case probe(Probe)
    case stop

    /// A structure, for the reason that `Monitor` gives about functions.
    struct Probe: Sendable {
        let answer: @Sendable () -> Void
    }
}

/// A queue to the listener's thread. Its descriptor is readable while the queue contains events.
final class Mailbox: AnswerPlace {
    private struct State {
        var events: [LoopEvent] = []
        var isClosed = false
    }

    /// For poll(2).
    let descriptor: Int32
    private let state = Monitor(State())
    private let thread = Atomic<pthread_t>(0)

    /// - Throws: `.cannotStart` if the process has no free descriptor.
    init() throws(ListenerError) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { throw .cannotStart }
    }

    deinit { _ = Glibc.close(descriptor) }

    /// True if the caller runs on the listener's thread.
    var isOnLoop: Bool { thread.load(ordering: .relaxed) == pthread_self() }

    /// Makes the calling thread the listener's thread.
    func adoptThread() { thread.store(pthread_self(), ordering: .relaxed) }

    /// A handler that answers at once, on the listener's thread, needs no event.
    func receive(_ step: AnswerStep, of request: Exchange) {
        if case .reply(let reply) = step, isOnLoop, let connection = request.connection, connection.isDispatching {
            connection.reply = reply
        } else {
            post(.answer(step, request))
        }
    }

    /// Drops the event if the listener has ended.
    func post(_ event: LoopEvent) {
        let isFirst = state.withLock { state in
            guard !state.isClosed else { return false }
            defer { state.events.append(event) }
            return state.events.isEmpty
        }
        // The loop takes the whole queue, so one wake-up is enough until then.
        if isFirst { eventfd_write(descriptor, 1) }
    }

    /// Swaps the queue with the given empty array.
    func take(into events: inout [LoopEvent]) {
        state.withLock { state in swap(&state.events, &events) }
    }

    /// Resets the descriptor. Call it before `take`, or a wake-up could be lost.
    func acknowledge() {
        var count: eventfd_t = 0
        eventfd_read(descriptor, &count)
    }

    /// Drops events from now on, and those that the loop has not seen.
    func close() {
        state.withLock { $0.isClosed = true }
        var unseen: [LoopEvent] = []
        take(into: &unseen)
    }
}
