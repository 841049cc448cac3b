package import NatterModel
internal import NatterSystem

/// A clock that stands still, or advances by a step each time it is read. A test can also move it.
package final class TestClock: WallClock {
    private let time: Monitor<Timestamp>
    private let step: Int64

    package init(_ time: Timestamp = Timestamp(milliseconds: 1_795_000_000_000), stepMilliseconds: Int64 = 0) {
        self.time = Monitor(time)
        step = stepMilliseconds
    }

    package func now() -> Timestamp {
        time.withLock { time in
            if step != 0 { time = time.advanced(milliseconds: step) }
            return time
        }
    }

    package func set(_ time: Timestamp) { self.time.withLock { $0 = time } }

    /// Moves the clock forward, or back.
    package func advance(milliseconds: Int64) { time.withLock { $0 = $0.advanced(milliseconds: milliseconds) } }
}
