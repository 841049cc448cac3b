import NatterModel
import NatterSystem
import StoreSupport
import Testing

@testable import NatterStore

/// A log that went back, as by a restore.
extension SharedLogTests {
    @Test("a store that is loaded again, because its log went back, keeps its limits")
    func limitsStay() throws {
        let log = try SimulatedLog()
        let store = try TestStore(SharedEngine(log, sealsTails: false))
        var limits = AccountLimits()
        limits.sessions = 2
        store.store.use(limits)
        log.mark()
        try store.post(["lost"])
        try log.goBack()
        try store.store.catchUp()
        let tokens = try (0..<4).map { _ in try store.token("alice") }
        #expect(tokens.count { token in store.store.principal(of: token, address: "") != nil } == 2)
    }

    @Test("when a log went back, those who wait are told at once, even if no epoch can begin yet")
    func refusedEpoch() throws {
        let log = try SimulatedLog()
        let engine = SharedEngine(log, sealsTails: false)
        let store = try TestStore(engine)
        try store.post(["kept"])
        log.mark()
        try store.post(["lost"])
        let told = Monitor(0)
        store.store.onNews { news in if news.isAnew { told.signal { $0 += 1 } } }
        try log.goBack()
        // When the log is locked just after it was loaded again
        engine.refuse(times: 1)
        #expect(throws: StoreError.self) { try store.store.catchUp() }
        #expect(told.withLock { $0 } == 1)
        try store.post(["new"])
        #expect(try store.all().map(\.text) == ["kept", "new"])
    }

    @Test("a log that went back gives no cursor of the lost history another's meaning")
    func historyWentBack() throws {
        let log = try SimulatedLog()
        let stores = try (0..<2).map { _ in try TestStore(SharedEngine(log, sealsTails: false)) }
        try stores[0].post(["kept"], key: "kept")
        try stores[1].store.catchUp()
        log.mark()
        try stores[0].post(["lost"], key: "lost")
        var reader = SyncModel()
        try reader.sync(stores[0], as: "alice", limitBytes: 10_000)
        let ahead = try #require(reader.cursor)
        let counted = Monitor<[Commit]>([])
        stores[0].store.onNews { news in
            if news.isAnew { counted.signal { $0.append(news.commit) } }
        }
        // When the cluster is restored to the mark
        try log.goBack()
        for store in stores { try store.store.catchUp() }
        // Then who waits for news is told that commits are counted anew,
        let commit = stores[0].store.state.withLock { $0.commit }
        #expect(counted.withLock { $0 } == [commit])
        // both stores have the earlier history, and go on from there
        let outcome = try #require(try stores[1].post(["new"], key: "new").first?.message)
        #expect(outcome.seq == Seq(2))
        for store in stores {
            try store.store.catchUp()
            #expect(try store.all().map(\.text) == ["kept", "new"])
        }
        // and a reader that was ahead is told
        let alice = try stores[0].user("alice")
        #expect(throws: StoreError.self) {
            _ = try stores[0].store.changes(since: .cursor(ahead), for: alice, form: .messages, limitBytes: 1_000)
        }
    }
}
