import NatterModel
import NatterStore
import NatterSystem
import Testing

@testable import NatterServer

@Suite("who waits for news")
struct WaitersTests {
    @Test("after the log went back, who has seen its end waits, and is not told again and again of what was lost")
    func wentBack() throws {
        let waiters = try Waiters()
        defer { waiters.stop() }
        func news(_ commit: UInt64, isAnew: Bool = false) {
            waiters.announce(News(commit: Commit(commit), isForAll: true, accounts: [], isAnew: isAnew))
        }
        let woken = Monitor(0)
        func wait(seen commit: UInt64) throws {
            waiters.wait(
                try Exchange.ofTest(), [AccountID(rawValue: 1)], seen: Commit(commit),
                deadline: MonotonicClock.now() + 600_000
            ) { _ in woken.signal { $0 += 1 } }
        }
        news(100)
        try wait(seen: 100)
        news(40, isAnew: true)
        #expect(woken.withLock { $0 } == 1)
        try wait(seen: 40)
        #expect(waiters.count == 1 && woken.withLock { $0 } == 1)
        news(41)
        #expect(waiters.count == 0 && woken.withLock { $0 } == 2)
        // A client that asked before the last commit must ask again.
        try wait(seen: 40)
        #expect(woken.withLock { $0 } == 3)
    }
    @Test("a token that ended before its request began to wait, unheard of by it, wakes that request and no other")
    func endedBefore() throws {
        let waiters = try Waiters()
        defer { waiters.stop() }
        let woken = Monitor<[Int]>([])
        let account = AccountID(rawValue: 1)
        for (number, hasEnded) in [false, true, false].enumerated() {
            let request = try Exchange.ofTest()
            request.note(Exchange.Asker(owner: .account(account)) { hasEnded ? Reply(status: 401) : nil })
            waiters.wait(request, [account], seen: .zero, deadline: MonotonicClock.now() + 600_000) { _ in
                woken.signal { $0.append(number) }
            }
        }
        #expect(woken.withLock { $0 } == [1] && waiters.count == 2)
        // The others hear of the account's news
        waiters.announce(News(commit: .zero, isForAll: false, accounts: [account]))
        #expect(woken.withLock { $0.sorted() } == [0, 1, 2] && waiters.count == 0)
    }

    @Test("a request that ends waits no longer, and one that has ended does not begin to")
    func ended() throws {
        let waiters = try Waiters()
        defer { waiters.stop() }
        let woken = Monitor(0)
        let requests = try [Exchange.ofTest(), Exchange.ofTest()]
        func wait(_ request: Exchange) {
            waiters.wait(
                request, [AccountID(rawValue: 1)], seen: .zero, deadline: MonotonicClock.now() + 600_000
            ) { _ in woken.signal { $0 += 1 } }
        }
        wait(requests[0])
        requests[1].end()
        wait(requests[1])
        #expect(waiters.count == 1 && woken.withLock { $0 } == 1)
        requests[0].end()
        waiters.drop(requests[0])
        #expect(waiters.count == 0 && woken.withLock { $0 } == 2)
    }
}
