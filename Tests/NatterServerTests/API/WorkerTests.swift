import NatterModel
import NatterStore
import NatterSystem
import NatterProtocol
import Testing
import TestSupport

@testable import NatterServer

/// The threads that answer, and what they keep.
@Suite("workers")
struct WorkerTests {
    private final class Body: Sendable {}

    private static func pool(
        threads: Int = 1, limit: Int = 100, limitPerOwner: Int = 100, width: Int = .max,
        now: @escaping @Sendable () -> Int64 = MonotonicClock.nanoseconds
    ) throws -> WorkerPool {
        try WorkerPool(
            name: "test", threads: threads, limit: limit, limitPerOwner: limitPerOwner, width: width, now: now)
    }

    /// Begins the work of a new request.
    ///
    /// - Returns: "taken", or the code of the refusal.
    private static func begin(
        _ pool: WorkerPool, _ owner: JobOwner, _ job: @escaping WorkerPool.Job = {}
    ) throws -> String {
        let request = try Exchange.ofTest(owner)
        do throws(APIError) { try pool.begin(request, job) } catch { return error.code.rawValue }
        return "taken"
    }

    private static func network(_ name: String) -> JobOwner { .network(name) }

    @Test("a finished job is let go of while others wait")
    func finished() throws {
        let pool = try WorkerTests.pool()
        defer { pool.stop() }
        weak var kept: Body?
        do {
            let body = Body()
            kept = body
            pool.proceed(try .ofTest()) { withExtendedLifetime(body) {} }
        }
        let door = try Door(pool, threads: 1)
        defer { door.open() }
        #expect(kept == nil)
    }

    @Test(
        "the work of a request that ends is dropped at once with what it holds, and is not done",
        arguments: [true, false])
    func ended(isNew: Bool) throws {
        let pool = try WorkerTests.pool(limitPerOwner: 1)
        defer { pool.stop() }
        let door = try Door(pool, threads: 1)
        let log = Monitor<[String]>([])
        let request = try Exchange.ofTest()
        weak var kept: Body?
        do {
            let body = Body()
            kept = body
            let job: WorkerPool.Job = { [log] in withExtendedLifetime(body) { log.signal { $0.append("done") } } }
            if isNew {
                try pool.begin(request, orElse: { log.signal { $0.append("undone") } }, job)
            } else {
                pool.proceed(request, job)
            }
        }
        #expect(kept != nil)
        request.end()
        pool.drop(request)
        #expect(kept == nil)
        // Its place is free
        try pool.begin(.ofTest()) { log.signal { $0.append("next") } }
        pool.proceed(request) { log.signal { $0.append("a step too late") } }
        door.open()
        let expected = isNew ? ["undone", "next"] : ["next"]
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.last == "next" ? $0 : nil } == expected)
    }

    @Test("nothing is done for an asker whose session has ended, except what follows from a change")
    func refused() throws {
        let pool = try WorkerTests.pool()
        defer { pool.stop() }
        let door = try Door(pool, threads: 1)
        let mailbox = try Mailbox()
        let (isOver, log) = (Monitor(false), Monitor<[String]>([]))
        func request() throws -> Exchange {
            let request = try Exchange.ofTest(mailbox: mailbox)
            request.note(
                Exchange.Asker(owner: .network("a")) { isOver.withLock { $0 } ? Reply(status: 401) : nil })
            return request
        }
        let answered = try request()
        answered.respond(Reply(status: 200))
        try pool.begin(request()) { log.signal { $0.append("new") } }
        pool.proceed(try request()) { log.signal { $0.append("step") } }
        pool.proceed(answered) { log.signal { $0.append("piece") } }
        pool.proceed(try request(), isSettled: true) { log.signal { $0.append("settled") } }
        isOver.signal { $0 = true }
        door.open()
        try pool.begin(.ofTest(.network("a"))) { log.signal { $0.append("end") } }
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.last == "end" ? $0 : nil } == ["settled", "end"])
        var events: [LoopEvent] = []
        mailbox.take(into: &events)
        let told = events.map { event in
            switch event {
            case .answer(.reply(let reply), _): "\(reply.status)"
            case .answer(.cut, let exchange): exchange === answered ? "cut" : "?"
            default: "?"
            }
        }
        #expect(told.sorted() == ["200", "401", "401", "cut"])
    }

    @Test("accounts have the same time, however long their jobs are and however many they have")
    func turns() throws {
        let time = Monitor<Int64>(0)
        let pool = try WorkerTests.pool { time.withLock { $0 } }
        defer { pool.stop() }
        let door = try Door(pool, threads: 1)
        let log = Monitor<[String]>([])
        func submit(_ name: String, _ milliseconds: Int64) throws {
            let taken = try WorkerTests.begin(pool, .network(name)) {
                time.withLock { $0 += milliseconds * 1_000_000 }
                log.signal { $0.append(name) }
            }
            #expect(taken == "taken")
        }
        for _ in 0..<3 { try submit("alice", 10) }
        for _ in 0..<8 { try submit("bob", 3) }
        try submit("carol", 1)
        door.open()
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.count == 12 ? true : nil } == true)
        let expected = "alice bob carol bob bob bob alice bob bob bob alice bob"
        #expect(log.withLock { $0.joined(separator: " ") } == expected)
    }

    @Test("an owner has a part of the queue, and others find the rest; steps are always taken, and come first")
    func parts() throws {
        let pool = try WorkerTests.pool(limitPerOwner: 2)
        defer { pool.stop() }
        let door = try Door(pool, threads: 1)
        let log = Monitor<[String]>([])
        let taken = try ["a", "a", "a", "b", "b", "c"].map { name in
            try WorkerTests.begin(pool, .network(name)) { log.signal { $0.append(name) } }
        }
        #expect(taken == ["taken", "taken", "slow_down", "taken", "taken", "taken"])
        for number in 1...3 {
            pool.proceed(try .ofTest(.network("a"))) { log.signal { $0.append("step \(number)") } }
        }
        door.open()
        let order = log.wait(timeoutMilliseconds: 60_000) { $0.count == 8 ? $0 : nil } ?? []
        #expect(order.filter { $0 != "b" && $0 != "c" } == ["step 1", "step 2", "step 3", "a", "a"])
    }

    @Test("in a full queue, who has much waiting makes room for who has less, and is told")
    func room() throws {
        let pool = try WorkerTests.pool(limit: 4)
        let door = try Door(pool, threads: 1)
        let mailbox = try Mailbox()
        let log = Monitor<[String]>([])
        func begin(_ owner: String, _ number: Int) throws -> Bool {
            let request = try Exchange.ofTest(.network(owner), mailbox: mailbox)
            do throws(APIError) {
                try pool.begin(request) {
                    log.signal { $0.append("\(owner)\(number) undone") }
                } _: {
                    log.signal { $0.append("\(owner)\(number)") }
                }
            } catch {
                return false
            }
            return true
        }
        #expect(try (1...5).map { try begin("a", $0) } == [true, true, true, true, false])
        // Two of each are as fair as it gets
        #expect(try (1...3).map { try begin("b", $0) } == [true, true, false])
        #expect(log.withLock { $0 } == ["a4 undone", "a3 undone"])
        #expect(try begin("c", 1))
        var events: [LoopEvent] = []
        mailbox.take(into: &events)
        #expect(events.count == 3 && log.withLock { $0.count } == 3)
        door.open()
        #expect(log.wait(timeoutMilliseconds: 60_000) { $0.count == 3 + 4 ? true : nil } == true)
        pool.stop()
    }

    @Test("what waits is not done at the end, because nobody waits for it")
    func drops() throws {
        let pool = try WorkerTests.pool(limit: .max, limitPerOwner: .max)
        let door = try Door(pool, threads: 1)
        let done = Monitor(0)
        pool.proceed(try .ofTest()) { done.withLock { $0 += 1 } }
        let ending = try SystemThread(name: "test-end") { pool.stop() }
        // A stopping pool takes nothing any more
        while try WorkerTests.begin(pool, .network("a"), { done.withLock { $0 += 1 } }) == "taken" {}
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
        queue.end(alice, after: 3_600_000_000_000)
        for _ in 0..<3 { queue.append("bob", for: bob) }
        for _ in 0..<2 {
            #expect(queue.take()?.job == "bob")
            queue.end(bob, after: 500_000_000)
        }
        #expect(queue.take()?.job == "alice")
        queue.append("carol", for: carol)
        #expect((0..<3).compactMap { _ in queue.take()?.job } == ["bob", "alice", "carol"])
        #expect(queue.take() == nil)
        #expect(queue.count == 0)
    }

    @Test("an owner has so many jobs at a time, and the others do not wait for the rest of them")
    func width() {
        var queue = FairQueue<String>(width: 1)
        let (alice, bob) = (JobOwner.network("1"), JobOwner.network("2"))
        for job in ["a1", "a2", "a3"] { queue.append(job, for: alice) }
        for job in ["b1", "b2"] { queue.append(job, for: bob) }
        #expect([queue.take()?.job, queue.take()?.job, queue.take()?.job] == ["a1", "b1", nil])
        queue.end(alice, after: 1)
        #expect([queue.take()?.job, queue.take()?.job] == ["a2", nil])
        queue.end(bob, after: 1)
        #expect(queue.remove(of: alice) { $0 == "a3" } == ["a3"])
        #expect([queue.take()?.job, queue.take()?.job] == ["b2", nil])
        queue.end(alice, after: 1)
        #expect(queue.take() == nil && queue.count == 0)
        // And then there is room again
        queue.append("a4", for: alice)
        #expect(queue.take()?.job == "a4")
    }
}
