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
