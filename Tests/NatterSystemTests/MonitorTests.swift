import Glibc
import NatterModel
import NatterSystem
import Testing
import TestSupport

@Suite("a monitor")
struct MonitorTests {
    @Test("returns what is there at once")
    func present() {
        let monitor = Monitor(5)
        #expect(monitor.wait(timeoutMilliseconds: 0) { $0 } == 5)
        #expect(monitor.wait { $0 == 5 ? "five" : nil } == "five")
    }

    @Test("gives up after its time, not before")
    func timeout() {
        let monitor = Monitor(0)
        let start = MonotonicClock.nanoseconds()
        #expect(monitor.wait(timeoutMilliseconds: 30) { $0 > 0 ? $0 : nil } == nil)
        #expect(MonotonicClock.nanoseconds() - start >= 30_000_000)
    }

    @Test("wakes all who wait for a value")
    func wakes() throws {
        let monitor = Monitor(0)
        let done = Monitor(0)
        let threads = try (0..<8).map { number in
            try SystemThread(name: "waiter") {
                let seen = monitor.wait { $0 > number ? $0 : nil }
                done.signal { $0 += seen == nil ? 0 : 1 }
            }
        }
        for _ in 0..<8 { monitor.signal { $0 += 1 } }
        for thread in threads { thread.join() }
        #expect(done.withLock { $0 } == 8)
    }

    @Test("admits one thread at a time")
    func exclusion() throws {
        let monitor = Monitor(0)
        let threads = try (0..<4).map { _ in
            try SystemThread(name: "adder") { for _ in 0..<10_000 { monitor.withLock { $0 += 1 } } }
        }
        for thread in threads { thread.join() }
        #expect(monitor.withLock { $0 } == 40_000)
    }

    @Test("rethrows its body's error, and is unlocked")
    func throwing() {
        let monitor = Monitor(1)
        let error = failure { () throws(DiskError) in
            try monitor.withLock { (_: inout Int) throws(DiskError) in
                throw DiskError(code: .ioError, operation: "a", path: "b")
            }
        }
        #expect(error?.code == .ioError)
        #expect(monitor.signal { $0 } == 1)
    }

    @Test("clocks go forward, and tell today")
    func clocks() {
        let first = MonotonicClock.nanoseconds()
        #expect(MonotonicClock.nanoseconds() >= first)
        #expect(SystemClock().now().rfc3339 > "2026")
    }
}

@Suite("a clock that follows no jump")
struct SteadyClockTests {
    @Test("a jump is told once and not followed, a small step is, and a new start takes the time as it is")
    func jumps() {
        let wall = MovedClock()
        let elapsed = Monitor<Int64>(5_000)
        let told = Monitor<[Int64]>([])
        let clock = SteadyClock(
            wall, elapsed: { elapsed.withLock { $0 } }, onJump: { jump in told.signal { $0.append(jump) } })
        func pass(_ milliseconds: Int64, wall shown: Int64? = nil) -> Int64 {
            elapsed.withLock { $0 += milliseconds }
            wall.advance(milliseconds: shown ?? milliseconds)
            return clock.now().milliseconds
        }
        #expect(pass(10) == 1_000_000_010)
        // Steps of a time service are followed, and never add up.
        for step in 1...100 { #expect(pass(10, wall: 300_010) == 1_000_000_010 + Int64(step) * 300_010) }
        let before = clock.now().milliseconds
        // To another decade for a moment
        #expect(pass(20, wall: 315_000_000_020) == before + 20)
        #expect(pass(20) == before + 40)
        #expect(clock.jump == 315_000_000_000)
        #expect(pass(20, wall: -314_999_999_980) == before + 60)
        #expect(clock.jump == nil)
        // Back for good
        #expect(pass(10, wall: -86_400_000) == before + 70)
        #expect(told.withLock { $0 } == [315_000_000_000, 0, -86_400_010])
        let next = SteadyClock(wall, elapsed: { elapsed.withLock { $0 } }, onJump: { _ in })
        #expect(next.jump == nil && next.now() == wall.now())
    }
}

private final class MovedClock: WallClock {
    private let time = Monitor<Int64>(1_000_000_000)
    func now() -> Timestamp { Timestamp(milliseconds: time.withLock { $0 }) }
    func advance(milliseconds: Int64) { time.withLock { $0 += milliseconds } }
}
