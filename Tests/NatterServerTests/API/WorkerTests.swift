import NatterStore
import NatterSystem
import SystemSupport
import Testing
import TestSupport

@testable import NatterServer

/// The threads that answer, and what they keep.
@Suite("workers")
struct WorkerTests {
    private final class Body: Sendable {}

    /// A door that jobs wait at.
    private final class Door: Sendable {
        private let isOpen = Monitor(false)
        func open() { isOpen.signal { $0 = true } }
        func wait() { _ = isOpen.wait(timeoutMilliseconds: 60_000) { $0 ? true : nil } }
    }

    @Test("a finished job is let go of while others wait")
    func finished() throws {
        let pool = try WorkerPool(name: "test", threads: 1, limit: 10)
        defer { pool.stop() }
        let door = Door()
        defer { door.open() }
        let begun = Monitor(0)
        weak var kept: Body?
        do {
            let body = Body()
            kept = body
            #expect(pool.submit { withExtendedLifetime(body) {} })
        }
        for _ in 0..<2 {
            #expect(
                pool.submit {
                    begun.signal { $0 += 1 }
                    door.wait()
                })
        }
        #expect(begun.wait(timeoutMilliseconds: 60_000) { $0 == 1 ? true : nil } == true)
        #expect(kept == nil)
    }

    @Test("accounts take turns, however many jobs one of them has")
    func turns() throws {
        let pool = try WorkerPool(name: "test", threads: 1, limit: 10)
        defer { pool.stop() }
        let door = Door()
        defer { door.open() }
        let (alice, bob) = (AccountID(rawValue: 1), AccountID(rawValue: 2))
        let log = Monitor<[String]>([])
        #expect(pool.submit { door.wait() })
        for (account, name) in [(alice, "alice"), (alice, "alice"), (alice, "alice"), (bob, "bob"), (bob, "bob")] {
            #expect(pool.submit(for: account) { log.signal { $0.append(name) } })
        }
        #expect(pool.submit { log.signal { $0.append("nobody") } })
        door.open()
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.count == 6 ? true : nil } == true)
        #expect(log.withLock { $0.filter { $0 != "nobody" } } == ["alice", "bob", "alice", "bob", "alice"])
        #expect(log.withLock { $0.last } != "nobody")
    }

    @Test("an account has one search at a time, others do not wait for its queue, and the queue has an end")
    func searches() throws {
        let queue = try SearchQueue(threads: 2)
        defer { queue.stop() }
        let door = Door()
        defer { door.open() }
        let (alice, bob) = (AccountID(rawValue: 1), AccountID(rawValue: 2))
        let log = Monitor<[String]>([])
        #expect(
            queue.submit(alice) {
                log.signal { $0.append("alice") }
                door.wait()
            })
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.count == 1 ? true : nil } == true)
        for _ in 0..<SearchQueue.waitingPerAccount {
            #expect(queue.submit(alice) { log.signal { $0.append("alice again") } })
        }
        #expect(!queue.submit(alice) {})
        #expect(queue.submit(bob) { log.signal { $0.append("bob") } })
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.count == 2 ? true : nil } == true)
        #expect(log.withLock { $0 } == ["alice", "bob"])
        door.open()
        let all = 2 + SearchQueue.waitingPerAccount
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.count == all ? true : nil } == true)
        // And then there is room again
        let done = Monitor(false)
        #expect(queue.submit(alice) { done.signal { $0 = true } })
        #expect(done.wait(timeoutMilliseconds: 60_000) { $0 ? true : nil } == true)
    }
}
