import Glibc
import NatterStore
import NatterSystem
import Testing

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

    @Test("accounts have the same time, however long their jobs are and however many they have")
    func turns() throws {
        let time = Monitor<Int64>(0)
        let pool = try WorkerPool(name: "test", threads: 1, limit: 20) { time.withLock { $0 } }
        defer { pool.stop() }
        let door = Door()
        defer { door.open() }
        let log = Monitor<[String]>([])
        #expect(pool.submit { door.wait() })
        func submit(_ name: String, _ account: Int64?, _ milliseconds: Int64) {
            let job: WorkerPool.Job = {
                time.withLock { $0 += milliseconds * 1_000_000 }
                log.signal { $0.append(name) }
            }
            #expect(pool.submit(for: JobOwner(account.map { AccountID(rawValue: $0) }), job))
        }
        for _ in 0..<3 { submit("alice", 1, 10) }
        for _ in 0..<8 { submit("bob", 2, 3) }
        submit("nobody", nil, 1)
        door.open()
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.count == 12 ? true : nil } == true)
        let expected = "alice bob nobody bob bob bob alice bob bob bob alice bob"
        #expect(log.withLock { $0.joined(separator: " ") } == expected)
    }

    @Test("an owner has a part of the queue, and others find the rest")
    func parts() throws {
        let pool = try WorkerPool(name: "test", threads: 1, limit: 4, limitPerOwner: 2)
        defer { pool.stop() }
        let door = Door()
        defer { door.open() }
        let begun = Monitor(false)
        let isTaken = pool.submit {
            begun.signal { $0 = true }
            door.wait()
        }
        #expect(isTaken && begun.wait(timeoutMilliseconds: 60_000) { $0 ? true : nil } == true)
        let owners = ["a", "a", "a", "b", "b", "c"].map { JobOwner.network($0) }
        #expect(owners.map { pool.submit(for: $0) {} } == [true, true, false, true, true, false])
    }

    @Test("in a full queue, who has much waiting makes room for who has less")
    func room() throws {
        let pool = try WorkerPool(name: "test", threads: 1, limit: 4)
        let door = Door()
        let begun = Monitor(false)
        let isTaken = pool.submit {
            begun.signal { $0 = true }
            door.wait()
        }
        #expect(isTaken && begun.wait(timeoutMilliseconds: 60_000) { $0 ? true : nil } == true)
        let log = Monitor<[String]>([])
        func submit(_ owner: String, _ number: Int) -> Bool {
            pool.submit(for: .network(owner), orElse: { log.withLock { $0.append("\(owner)\(number) refused") } }) {
                log.withLock { $0.append("\(owner)\(number)") }
            }
        }
        #expect((1...5).map { submit("a", $0) } == [true, true, true, true, false])
        // Two of each are as fair as it gets
        #expect((1...3).map { submit("b", $0) } == [true, true, false])
        #expect(log.withLock { $0 } == ["a4 refused", "a3 refused"])
        #expect(submit("c", 1))
        #expect(log.withLock { $0.count } == 3)
        door.open()
        pool.stop()
        #expect(log.withLock { $0.count } == 3 + 4)
    }

    @Test("what waits is not done at the end, if nobody waits for it")
    func drops() throws {
        let pool = try WorkerPool(name: "test", threads: 1, limit: .max)
        let door = Door()
        let begun = Monitor(false)
        _ = pool.submit {
            begun.signal { $0 = true }
            door.wait()
        }
        #expect(begun.wait(timeoutMilliseconds: 60_000) { $0 ? true : nil } == true)
        let done = Monitor(0)
        let ending = try SystemThread(name: "test-end") { pool.stop(drops: true) }
        // A stopping pool takes nothing any more
        while pool.submit({ done.withLock { $0 += 1 } }) { usleep(100) }
        door.open()
        ending.join()
        #expect(done.withLock { $0 } == 0)
    }

    @Test("who has waited long saves nothing up, and a very long job is forgiven")
    func savings() {
        var queue = FairQueue<String>()
        let (alice, bob, carol) = (JobOwner.network("1"), JobOwner.network("2"), JobOwner.network("3"))
        for _ in 0..<3 { queue.append("alice", for: alice) }
        #expect(queue.take()?.job == "alice")
        queue.charge(3_600_000_000_000, to: alice)
        for _ in 0..<3 { queue.append("bob", for: bob) }
        for _ in 0..<2 {
            #expect(queue.take()?.job == "bob")
            queue.charge(500_000_000, to: bob)
        }
        #expect(queue.take()?.job == "alice")
        queue.append("carol", for: carol)
        #expect((0..<3).compactMap { _ in queue.take()?.job } == ["bob", "alice", "carol"])
        #expect(queue.take() == nil)
        #expect(queue.count == 0)
    }

    @Test("an account has its turns, others wait in order, and a turn is given on")
    func turnsOfAccounts() {
        let turns = AccountTurns(width: 2, limit: 2)
        let (alice, bob) = (AccountID(rawValue: 1), AccountID(rawValue: 2))
        let log = Monitor<[String]>([])
        func take(_ account: AccountID, _ name: String) -> Bool {
            turns.take(for: account) { log.withLock { $0.append(name) } }
        }
        #expect(["a", "b", "c", "d", "e"].map { take(alice, $0) } == [true, true, true, true, false])
        #expect(take(bob, "x"))
        #expect(log.withLock { $0 } == ["a", "b", "x"])
        for _ in 0..<2 { turns.giveBack(by: alice) }
        #expect(log.withLock { $0 } == ["a", "b", "x", "c", "d"])
        for _ in 0..<2 { turns.giveBack(by: alice) }
        // Nobody waited, so both turns are free
        #expect(["f", "g", "h"].map { take(alice, $0) } == [true, true, true])
        #expect(log.withLock { $0.suffix(2) } == ["f", "g"])
    }

    @Test("an account has one search at a time, others do not wait for its queue, and the queue has an end")
    func searches() throws {
        let pool = try WorkerPool(name: "test", threads: 2, limit: 100)
        defer { pool.stop() }
        let queue = SearchQueue(pool)
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
