public import NatterModel
internal import NatterStore
internal import NatterSystem
internal import NatterProtocol
internal import Synchronization

/// The most recent events that the log level allows, in memory, for remote admins. Thread-safe.
public final class ServiceLog: Sendable {
    struct Entry: Sendable {
        let number: UInt64
        let time: Timestamp
        let event: Event
    }

    /// How many events are kept. Each takes some hundred bytes.
    static let capacity = 4_096
    /// Stands for the service log among the waiting requests. No account has this id.
    static let reader = AccountID(rawValue: -1)

    private struct State {
        /// The events. When it is full, it is a ring buffer that begins at `start`.
        var entries: [Entry] = []
        var start = 0
        var last: UInt64 = 0
        var onEvent: (@Sendable () -> Void)?
    }

    private let state = Monitor(State())
    private let followers = Atomic<Int>(0)

    public init() {}

    /// The number of the newest event, or 0 before the first.
    var last: UInt64 { state.withLock { $0.last } }

    /// Sets the function to call after each event while a request follows the log. Set it once, before the first event.
    func onEvent(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.onEvent = body } }

    /// Keeps an event, except a request for this log. Otherwise the requests of a client that follows the log would
    /// wake that client forever.
    ///
    /// - Parameter time: the first number is this time in microseconds, so that numbers continue to rise after a
    ///   restart.
    public func write(_ event: Event, at time: Timestamp) {
        if event.isRequest(for: API.log.path) { return }
        let onEvent = state.withLock { state in
            let number =
                state.last == 0 ? UInt64(clamping: max(1, time.milliseconds)) &* 1_000 : state.last + 1
            state.last = number
            let entry = Entry(number: number, time: time, event: event)
            if state.entries.count < ServiceLog.capacity {
                state.entries.append(entry)
            } else {
                state.entries[state.start] = entry
                state.start = (state.start + 1) % ServiceLog.capacity
            }
            return state.onEvent
        }
        if followers.load(ordering: .sequentiallyConsistent) > 0 { onEvent?() }
    }

    /// Returns events, oldest first.
    ///
    /// - Parameters:
    ///   - number: return the events after this one, from the oldest that is kept. Pass nil for the newest events.
    ///   - level: the lowest level to include.
    /// - Returns: the events, and the number of the newest event at this moment.
    func entries(after number: UInt64?, limit: Int, level: Event.Level) -> ([Entry], last: UInt64) {
        state.withLock { state in
            let (entries, start) = (state.entries, state.start)
            // Numbers follow one another, so the place of what is new is known.
            let new = number.map { state.last > $0 ? Int(clamping: state.last - $0) : 0 } ?? entries.count
            let wanted = (max(0, entries.count - new)..<entries.count).lazy
                .map { entries[(start + $0) % entries.count] }.filter { $0.event.level >= level }
            return (number == nil ? Array(wanted.suffix(limit)) : Array(wanted.prefix(limit)), state.last)
        }
    }

    func beginFollowing() { followers.add(1, ordering: .sequentiallyConsistent) }

    func endFollowing() { followers.subtract(1, ordering: .sequentiallyConsistent) }
}
