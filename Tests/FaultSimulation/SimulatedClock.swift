package import NatterModel
internal import NatterSystem

/// A clock that goes on by a millisecond each time somebody looks, and jumps where a test wants it to.
package final class SimulatedClock: WallClock {
    private let time: Monitor<Int64>

    package init(_ milliseconds: Int64 = 1_795_000_000_000) { time = Monitor(milliseconds) }

    package func now() -> Timestamp {
        time.withLock { time in
            time += 1
            return Timestamp(milliseconds: time)
        }
    }

    package func jump(milliseconds: Int64) { time.withLock { $0 += milliseconds } }
}
