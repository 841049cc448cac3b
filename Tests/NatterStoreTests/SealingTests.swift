import NatterConversation
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("sealing")
struct SealingTests {
    @Test("large tails are sealed by themselves, and the journal is cut", .aboutFiles)
    func byItself() throws {
        let store = try TestStore()
        try store.seal(after: 6_000)
        let (tail, journal) = store.store.state.withLock { state in
            (state.conversations[state.general]?.tail.count, state.journalBytes)
        }
        #expect(tail == 0)
        #expect(journal == 0)
        // The log's first file takes no dictionary and ends early; the second has one.
        #expect(try store.logs().count == 2)
    }

    @Test("a long journal is cut in portions, and each id is known before and after", .aboutFiles)
    func portions() throws {
        let disk = FaultyDisk()
        let store = try TestStore(disk: disk)
        // Given messages with ids in commits of their own, several times as much as is trimmed at a time, and no log file of them
        let isWritable = Monitor(false)
        disk.set(before: .write) { _ in _ = isWritable.wait { $0 ? true : nil } }
        let text = String(repeating: "long ", count: 4_000)
        func sent(_ number: Int) throws -> Message? {
            try store.post(["\(number) \(text)"], key: "key \(number)").first?.message
        }
        let messages = try (1...150).map(sent)
        // When all of it is sealed
        isWritable.signal { $0 = true }
        try store.seal()
        // Then nothing is left in the journal, and whoever repeats a message gets it again, also after a start
        for _ in 1...2 {
            #expect(store.store.state.withLock { $0.journalBytes } == 0)
            #expect(try (1...150).map(sent) == messages)
            try store.reopen()
        }
        #expect(try store.all() == messages.compactMap(\.self))
        #expect(store.reports.lines == [])
    }

    @Test("a commit of bulk with more ids than are moved in one step is trimmed", .aboutFiles)
    func largeCommit() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        let messages = (1...2 * StoreWriter.turn.messages).map {
            NewMessage(conversation: "general", text: "message \($0)", key: IdempotencyKey("key \($0)"))
        }
        let sent = store.post(messages, by: alice).map(\.message)
        try store.seal()
        #expect(store.store.state.withLock { $0.journalBytes } == 0)
        #expect(store.post(messages, by: alice).map(\.message) == sent)
    }

    @Test("other work comes in its turn, however often a tail becomes ripe")
    func turns() throws {
        let store = try TestStore()
        try store.post(["short"])
        // Most of them are no conversations, and cost the sealer next to nothing.
        let many = Array(Int64(1)...100)
        let isDone = Monitor(false)
        let busy = try SystemThread(name: "ripe") {
            while !isDone.withLock({ $0 }) { store.store.sealer.request(many) }
        }
        defer {
            isDone.signal { $0 = true }
            busy.join()
        }
        for _ in 1...3 {
            let isRun = Monitor(false)
            #expect(store.store.sealer.submit { _ in isRun.signal { $0 = true } })
            #expect(isRun.wait(timeoutMilliseconds: 60_000) { $0 ? true : nil } == true)
        }
        try store.seal()
    }

    /// The journal's bound in these tests.
    private static let bound = 1 << 20

    @Test("many small conversations do not pin the journal for ever")
    func bounds() throws {
        let store = try TestStore(journalBytes: SealingTests.bound)
        // Given a small old tail in each of 40 personal conversations
        for number in 1...40 {
            _ = try store.user("user\(number)")
            try store.post(["hello \(number)"], to: "@user\(number)", key: "key \(number)")
        }
        // When a busy conversation writes twice the journal's bound
        try store.seal(after: 20_000)
        // Then the journal is back within its bound, and the small ones are whole, also after a start
        #expect(TestStore.settles { store.store.state.withLock { $0.journalBytes } <= SealingTests.bound })
        for round in 1...2 {
            for number in 1...40 {
                #expect(try store.all("@user\(number)").map(\.text) == ["hello \(number)"], "round \(round)")
            }
            let again = try store.post(["hello 7"], to: "@user7", key: "key 7").first
            #expect(again?.isRepeated == true)
            try store.reopen()
        }
        // They were moved, not sealed
        #expect(
            store.store.state.withLock { state in
                state.conversations.values.filter { $0.identity.kind == .personal && $0.sealedSeq > .zero }.count
            } == 0)
        #expect(store.reports.lines == [])
    }

    @Test("small tails are moved up, not sealed, while large ones still wait for their turn")
    func besideLargeOnes() throws {
        let store = try TestStore(journalBytes: SealingTests.bound)
        // Given a small old tail in each of 10 conversations
        for number in 1...10 {
            _ = try store.user("small\(number)")
            try store.post(["hello \(number)"], to: "@small\(number)")
        }
        // When more conversations than one round seals are worth a block each, and are together beyond the bound
        let text = String(repeating: "x", count: 40_000)
        let users = Sealer.roundSize * 2
        for number in 1...users { _ = try store.user("large\(number)") }
        let messages = (1...users * 2).map {
            NewMessage(conversation: "@large\(($0 + 1) / 2)", text: text, key: nil)
        }
        _ = store.post(messages, by: try store.user("alice"))
        #expect(TestStore.settles { store.store.state.withLock { $0.journalBytes } <= SealingTests.bound })
        // Then only those are sealed
        let sealed = store.store.state.withLock { state in
            state.conversations.values.filter { $0.sealedSeq > .zero }.flatMap(\.identity.users)
        }
        #expect(sealed.contains { $0.hasPrefix("large") } && !sealed.contains { $0.hasPrefix("small") }, "\(sealed)")
        #expect(store.reports.lines == [])
    }

    @Test("when small tails alone fill the journal, they are sealed without anything else happening")
    func smallOnesAlone() throws {
        let store = try TestStore(journalBytes: SealingTests.bound)
        let users = 200
        for number in 1...users { _ = try store.user("user\(number)") }
        // When 200 conversations, none of which is worth a block, are together more than the bound
        for round in 1...4 {
            let text = String(repeating: "x", count: 2_000)
            let messages = (1...users).map {
                NewMessage(conversation: "@user\($0)", text: "\(round) \(text)", key: nil)
            }
            _ = store.post(messages, by: try store.user("alice"))
        }
        // Then the journal comes back to its bound, and all is there, also after a start
        #expect(TestStore.settles { store.store.state.withLock { $0.journalBytes } <= SealingTests.bound * 5 / 4 })
        for _ in 1...2 {
            for number in [1, 100, 200] {
                #expect(try store.all("@user\(number)").map { String($0.text.prefix(1)) } == ["1", "2", "3", "4"])
            }
            try store.reopen()
        }
        #expect(store.reports.lines == [])
    }

    @Test("bulk waits while the sealer shortens a journal far beyond its bound, and single messages do not")
    func heldBulk() throws {
        let disk = FaultyDisk()
        let store = try TestStore(disk: disk, journalBytes: SealingTests.bound)
        let alice = try store.user("alice")
        let users = 64
        for number in 1...users { _ = try store.user("user\(number)") }
        // Given log files that can't be written for a while
        let isWritable = Monitor(false)
        disk.set(before: .write) { _ in _ = isWritable.wait { $0 ? true : nil } }
        // When bulk of three times the bound arrives, to conversations none of which is worth a block, and single messages
        // beside it
        let done = Monitor<[PostOutcome]?>(nil)
        let text = String(repeating: "x", count: 2_000)
        let messages = (0..<users * 24).map {
            NewMessage(conversation: "@user\($0 % users + 1)", text: "\($0) \(text)", key: nil)
        }
        store.store.post(messages, by: alice, stopAtRefusal: false) { outcomes in done.signal { $0 = outcomes } }
        var journalBytes: Int { store.store.state.withLock { $0.journalBytes } }
        #expect(TestStore.settles { journalBytes > 2 * SealingTests.bound })
        for number in 1...10 { #expect(try store.post(["single \(number)"]).first?.message != nil) }
        // Then the bulk waits, and goes on when the sealer does
        #expect(journalBytes < SealingTests.bound * 11 / 4)
        #expect(done.withLock { $0 } == nil)
        isWritable.signal { $0 = true }
        #expect(done.wait(timeoutMilliseconds: 60_000) { $0 }?.compactMap(\.message).count == messages.count)
        #expect(TestStore.settles { journalBytes <= SealingTests.bound * 5 / 4 })
        #expect(try store.all("@user1").count == 24)
        #expect(store.reports.lines == [])
    }

    @Test("a start seals what the last process left, although nobody posts")
    func afterStart() throws {
        let store = try TestStore()
        store.keepSealerBusy()
        try store.fill(6_000)
        #expect(store.store.state.withLock { $0.conversations[$0.general]?.sealedSeq } == .zero)
        try store.reopen()
        #expect(TestStore.settles { store.store.state.withLock { $0.conversations[$0.general]?.sealedSeq != .zero } })
        #expect(try store.all().count == 6_000)
    }

    @Test("a segment that was written anew as often as its name can say gets a name that is free again")
    func generations() throws {
        let store = try TestStore()
        let writer = store.store.archiveWriter()
        let general = try #require(store.store.state.withLock { $0.conversations[$0.general]?.identity })
        for (former, next) in [(-1, 0), (0, 1), (0xFFFD, 0xFFFE), (0xFFFE, 0)] {
            #expect(try writer.freeRow(of: general, firstSeq: Seq(1), above: former).generation == next)
        }
    }
}

extension TestStore {
    /// Keeps the sealer from its work until the store closes.
    fileprivate func keepSealerBusy() {
        let isBegun = Monitor(false)
        _ = store.sealer.submit { [store] _ in
            isBegun.signal { $0 = true }
            while store.sealer.submit({ _ in }) { store.sealer.pause() }
        }
        _ = isBegun.wait { $0 ? true : nil }
    }

    /// Whether something that another thread does comes to be, within a minute.
    static func settles(_ condition: () -> Bool) -> Bool {
        (try? eventually("it settles", condition)) != nil
    }
}
