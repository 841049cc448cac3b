import NatterSystem
import NatterLog
import NatterModel
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// Several stores on one log, and readers that go from one to the other: what all of it must come to.
private final class SharedRun {
    let log: SimulatedLog
    var generator: SeededGenerator
    var stores: [TestStore] = []
    /// Texts that were acknowledged, with their number, by their key.
    var acknowledged: [String: (conversation: String, text: String, seq: Seq)] = [:]
    var readers: [SyncModel]
    private var sent = 0
    static let conversations = ["general", "team", "@bob"]

    init(seed: UInt64, stores count: Int, troubles: SimulatedLog.Troubles, seals: Bool = true) throws {
        log = try SimulatedLog(seed: seed, troubles: troubles)
        generator = SeededGenerator(seed: seed &* 31)
        readers = (0..<3).map { _ in SyncModel() }
        for number in 0..<count { stores.append(try open(number, seals: seals)) }
        for name in ["alice", "bob"] { _ = try user(name, at: 0) }
        let alice = try user("alice", at: 0)
        _ = try waitFor { stores[0].store.createGroup("team", isOpen: false, by: alice, $0) }.get()
    }

    private func open(_ number: Int, seals: Bool) throws -> TestStore {
        let engine = SharedEngine(log, sealsTails: seals && number == 0)
        // Clocks of several machines differ.
        let clock = TestClock(Timestamp(milliseconds: 1_795_000_000_000 + Int64(number) * 700), stepMilliseconds: 1)
        return try TestStore(engine, clock: clock)
    }

    func user(_ name: String, at number: Int) throws -> Principal { try stores[number].user(name) }

    /// Ends a store without a word, and starts another in its place.
    func restart(_ number: Int) throws {
        (stores[number].store.engine as? SharedEngine)?.cut()
        stores[number].store.close()
        stores[number] = try open(number, seals: (stores[number].store.engine.sealsTails))
    }

    func pick<Element>(_ elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &generator)]
    }

    func post() throws {
        sent += 1
        let conversation = pick(SharedRun.conversations)
        let count = Int.random(in: 1...3, using: &generator)
        let messages = (0..<count).map { index in
            let key = "key-\(sent)-\(index)"
            return NewMessage(conversation: conversation, text: "text of \(key)", key: IdempotencyKey(key))
        }
        try post(messages)
    }

    /// Posts at any store until it is known what became of it.
    private func post(_ messages: [NewMessage]) throws {
        for _ in 0..<50 {
            let store = pick(stores)
            let outcomes = store.post(messages, by: try store.user("alice"))
            guard outcomes.allSatisfy({ $0.message != nil }) else { continue }
            for (message, outcome) in zip(messages, outcomes) {
                guard let key = message.key?.text, let seq = outcome.message?.seq else { continue }
                if let known = acknowledged[key] { #expect(known.seq == seq, "\(key) was given another number") }
                acknowledged[key] = (message.conversation, message.text, seq)
            }
            return
        }
        Issue.record("no store takes a message")
    }

    func repeatEarlier() throws {
        let keys = acknowledged.keys.sorted()
        guard !keys.isEmpty, let known = acknowledged[pick(keys)],
            let key = acknowledged.first(where: { $0.value == known })
        else { return }
        try post([NewMessage(conversation: known.conversation, text: known.text, key: IdempotencyKey(key.key))])
    }

    /// A reader goes to any store and takes what is new there.
    func read() throws {
        let (reader, store) = (Int.random(in: 0..<readers.count, using: &generator), pick(stores))
        try store.store.catchUp()
        try readers[reader].sync(store, as: "alice", form: reader == 0 ? .blocks : .messages, limitBytes: 2_000)
    }

    func markRead() throws {
        let store = pick(stores)
        try store.store.catchUp()
        let alice = try store.user("alice")
        let head = try store.store.conversation("general", for: alice).head
        let reached = try waitFor { store.store.markRead(head, in: "general", for: alice, $0) }.get()
        // It is so at every other store.
        let other = pick(stores)
        try other.store.catchUp()
        #expect(try other.store.conversation("general", for: try other.user("alice")).read >= reached)
    }

    /// Expects what must hold at the end.
    func judge() throws {
        log.set(.none)
        var hashes: Set<[Digest]> = []
        for store in stores {
            try store.store.catchUp()
            var chain: [Digest] = []
            for conversation in SharedRun.conversations {
                let messages = try store.all(conversation)
                let view = try store.store.conversation(conversation, for: try store.user("alice"))
                chain.append(view.hash)
                #expect(
                    messages.map(\.seq.rawValue)
                        == Array(1...max(1, view.head.rawValue)).prefix(messages.count).map { $0 })
                #expect(messages.count == Int(view.head.rawValue))
                let texts = messages.map(\.text).filter { $0.hasPrefix("text of ") }
                #expect(Set(texts).count == texts.count, "a message of '\(conversation)' is there twice")
                let expected = acknowledged.values.filter { $0.conversation == conversation }
                for message in expected {
                    let found = messages.first { $0.seq == message.seq }
                    #expect(found?.text == message.text, "an acknowledged message is not at its number")
                }
            }
            hashes.insert(chain)
        }
        #expect(hashes.count == 1, "the stores differ in their history")
        for index in readers.indices {
            try readers[index].sync(stores[index % stores.count], as: "alice", limitBytes: 100_000)
            for conversation in SharedRun.conversations {
                let messages = try stores[0].all(conversation)
                guard let id = messages.first?.conversationID else { continue }
                let got = readers[index].messages[id] ?? []
                #expect(got.map(\.seq) == messages.map(\.seq), "a reader that changed servers missed something")
                #expect(got.map(\.text) == messages.map(\.text))
            }
        }
    }
}

@Suite("several stores on one log")
struct SharedLogTests {
    /// The first seed of the runs, and how many there are. Many, as in `make torture`, are shorter.
    static let first = number(inEnvironment: "NATTER_INTERLEAVINGS_SEED") ?? 1
    static let count = number(inEnvironment: "NATTER_INTERLEAVINGS") ?? 6

    @Test(
        "numbers are dense and histories the same, whatever is lost or late on the way to the log",
        arguments: first..<(first + count))
    func severalStores(seed: Int) throws {
        let run = try SharedRun(seed: UInt64(seed), stores: 3, troubles: .all)
        let steps = SharedLogTests.count > 100 ? Int.random(in: 5...30, using: &run.generator) : 150
        for step in 1...steps {
            switch Int.random(in: 0..<100, using: &run.generator) {
            case 0..<55: try run.post()
            case 55..<65: try run.repeatEarlier()
            case 65..<90: try run.read()
            case 90..<95: try run.markRead()
            default: try run.restart(Int.random(in: 0..<3, using: &run.generator))
            }
            if step.isMultiple(of: steps / 3) {
                try run.stores[0].store.catchUp()
                try run.stores[0].seal(run.pick(SharedRun.conversations))
            }
        }
        try run.judge()
    }

    @Test("stores that write at the same time take turns, and no message is lost or doubled")
    func atOnce() throws {
        let log = try SimulatedLog(troubles: SimulatedLog.Troubles(lostAnswers: 10))
        let stores = try (0..<3).map { number in
            try TestStore(SharedEngine(log, sealsTails: number == 0, hears: true))
        }
        let users = try stores.map { try $0.user("alice") }
        let waiting = Monitor((left: 3 * 60, texts: Set<String>()))
        for round in 0..<60 {
            for (number, store) in stores.enumerated() {
                let text = "\(number):\(round)"
                let message = NewMessage(conversation: "general", text: text, key: IdempotencyKey("key-\(text)"))
                store.store.post([message], by: users[number], stopAtRefusal: false) { outcomes in
                    waiting.signal { state in
                        state.left -= 1
                        if outcomes.first?.message != nil { state.texts.insert(text) }
                    }
                }
            }
        }
        _ = waiting.wait(timeoutMilliseconds: 60_000) { $0.left == 0 ? true : nil }
        #expect(waiting.withLock { $0.texts.count } == 180)
        for store in stores {
            try store.store.catchUp()
            let messages = try store.all()
            #expect(messages.map(\.seq.rawValue) == Array(1...180))
            #expect(Set(messages.map(\.text)) == waiting.withLock { $0.texts })
        }
    }

    @Test("an account is one account at all stores, and a name is given once")
    func accounts() throws {
        let log = try SimulatedLog()
        let (one, other) = (
            try TestStore(SharedEngine(log, sealsTails: true)), try TestStore(SharedEngine(log, sealsTails: false))
        )
        let hash = PasswordHash(stored: "$none")
        let name = try UserName("carol")
        _ = try waitFor { one.store.register(name, password: hash, $0) }.get()
        #expect(throws: StoreError.nameTaken("carol")) {
            try waitFor { other.store.register(name, password: hash, $0) }.get()
        }
        // A session that began here is good there, and one that ended there is not good here.
        let account = try #require(one.store.credentials(of: "carol")).account
        let token = try waitFor { one.store.addSession(of: account, expires: nil, $0) }.get()
        // A server does this for a token that it does not know, and before each read.
        try other.store.catchUp()
        #expect(other.store.principal(of: token, address: "127.0.0.1")?.account == account)
        try waitFor { other.store.revoke(token.digest, $0) }.get()
        try one.store.catchUp()
        #expect(one.store.principal(of: token, address: "127.0.0.1") == nil)
    }

    @Test("a repeated id is answered with what another store has just acknowledged")
    func repeatedElsewhere() throws {
        let log = try SimulatedLog()
        let (one, other) = (
            try TestStore(SharedEngine(log, sealsTails: true)), try TestStore(SharedEngine(log, sealsTails: false))
        )
        let (alice, bob) = (try one.user("alice"), try one.user("bob"))
        _ = try waitFor { one.store.createGroup("crew", isOpen: false, by: alice, $0) }.get()
        try one.put("bob", in: "crew", by: alice)
        let message = NewMessage(conversation: "crew", text: "said", key: IdempotencyKey("key"))
        let first = try #require(one.post([message], by: bob).first?.message)
        try other.store.catchUp()
        let deletion = NewMessage(conversation: "crew", text: "", key: nil, kind: .delete, about: first.seq)
        #expect(other.post([deletion], by: try other.user("bob")).first?.message != nil)
        let again = try #require(one.post([message], by: bob).first?.message)
        #expect(again.seq == first.seq && again.isDeleted && again.text.isEmpty)
        // Nobody gets an answer from a group that he is no longer in.
        let admin = try other.user("alice")
        try waitFor { other.store.removeMember("bob", from: "crew", by: admin, $0) }.get()
        #expect(one.post([message], by: bob).first?.message == nil)
    }

    @Test("a message without an id that may be in the log is not sent again after its place was trimmed")
    func trimmedWhileAsleep() throws {
        let engine = SharedEngine(try SimulatedLog(), sealsTails: false)
        let store = try TestStore(engine)
        try store.post(["before"])
        engine.sleep()
        #expect(try store.post(["once"]).first?.refusal == .outcomeUnknown)
        #expect(try store.all().map(\.text) == ["before", "once"])
        try store.post(["after"])
        #expect(try store.all().map(\.text) == ["before", "once", "after"])
    }

    @Test(
        "an import goes behind what another store writes meanwhile, however often that one is first", arguments: 1...6)
    func imports(seed: Int) throws {
        let log = try SimulatedLog(seed: UInt64(seed), troubles: .all)
        let engine = SharedEngine(log, sealsTails: true)
        let (one, two) = (try TestStore(engine), try TestStore(SharedEngine(log, sealsTails: false)))
        let bob = try two.user("bob")
        let next = Monitor(0)
        @Sendable func write() {
            let number = next.withLock { next in
                defer { next += 1 }
                return next
            }
            let key = IdempotencyKey("new \(number)")
            _ = two.post([NewMessage(conversation: "general", text: "new \(number)", key: key)], by: bob)
        }
        write()
        let input = (1...40).map { PlainMessage(time: 1_700_000_000_000 + $0, sender: "dora", text: "old \($0)") }
        for name in ["general", "general", "team"] {
            engine.overtake(times: 3, write)
            #expect(try one.importing(input, into: name).count == 40)
        }
        // One that is never first ends, and leaves nothing.
        try one.seal()
        engine.overtake(times: 1_000, write)
        #expect(throws: ImportError.self) { try one.importing(input) }
        engine.overtake(times: 0, write)
        try one.post(["last"])
        log.set(.none)
        for store in [one, two] {
            try store.store.catchUp()
            let messages = try store.all()
            #expect(messages.map(\.seq.rawValue) == (0..<messages.count).map { UInt64($0) + 1 })
            let texts = messages.map(\.text).filter { $0.hasPrefix("old") }
            #expect(texts == input.map(\.text) + input.map(\.text))
            #expect(Set(messages.map(\.text)).count == messages.count - 40 && messages.last?.text == "last")
            #expect(try store.exporting("team").messages == input)
        }
    }

    @Test(
        "an import whose outcome is unknown does not keep its conversation from being sealed", arguments: [true, false])
    func unknownImport(isWritten: Bool) throws {
        let log = try SimulatedLog()
        let engine = SharedEngine(log, sealsTails: true)
        let one = try TestStore(engine)
        try one.post(["first"])
        try one.seal()
        let troubles = SimulatedLog.Troubles(lostProposals: isWritten ? 0 : 100, lateCommits: 100)
        engine.overtake(times: 1) { log.set(troubles) }
        let input = [PlainMessage(time: 1_700_000_000_000, sender: "dora", text: "old")]
        #expect(throws: ImportError.store(.outcomeUnknown)) { try one.importing(input, into: "general") }
        log.set(.none)
        try one.post(["last"])
        try one.seal()
        let tail = one.store.state.withLock { $0.conversations[$0.general]?.tail.isEmpty }
        #expect(tail == true)
        #expect(try one.all().map(\.text) == ["first"] + (isWritten ? ["old"] : []) + ["last"])
    }

    @Test(
        "a store whose tail could not be sealed is out of trouble when that is tried again and nothing is left to seal",
        arguments: [true, false])
    func nothingLeftToSeal(isSealedElsewhere: Bool) throws {
        let log = try SimulatedLog()
        let engine = SharedEngine(log, sealsTails: true)
        let (one, two) = (try TestStore(engine), try TestStore(SharedEngine(log, sealsTails: true)))
        // Given a tail below a whole block, which an import wants to be sealed while there is no room
        try one.post(["short"])
        engine.setFull(true)
        #expect(throws: StoreError.diskFull) { try one.seal() }
        #expect(one.store.sealer.trouble != nil)
        // Work that has nothing to do with it does not end the trouble
        #expect(try waitFor({ one.store.settle($0) }) == nil)
        #expect(one.store.sealer.trouble != nil)
        engine.setFull(false)
        if isSealedElsewhere {
            try two.store.catchUp()
            try two.seal()
            try one.store.catchUp()
        }
        // When it is tried again, as after some seconds
        one.store.sealer.request([one.store.state.withLock { $0.general }])
        #expect(try waitFor({ one.store.settle($0) }) == nil)
        #expect(one.store.sealer.trouble == nil)
    }

    @Test(
        "an erasure that another store overtakes sets nothing free again, and no later message has the seed of its run")
    func erasures() throws {
        let log = try SimulatedLog()
        let engine = SharedEngine(log, sealsTails: true)
        let (one, two) = (try TestStore(engine), try TestStore(SharedEngine(log, sealsTails: true)))
        @Sendable func erase(_ seq: UInt64, at store: TestStore) -> Result<Int, StoreError>? {
            try? waitFor { store.store.erase([Seq(seq)...Seq(seq)], in: "general", by: "operator", $0) }
        }
        func seed() throws -> SaltSeed {
            let next = two.store.state.withLock { $0.conversations[$0.general]?.nextSalt }
            guard case .seed(let seed, _) = next else { throw Failure("there is no run") }
            return seed
        }
        try two.post(["one", "two", "three"])
        let former = try seed()
        try one.store.catchUp()
        try one.seal()
        try two.store.catchUp()
        engine.overtake(times: 1) { #expect(erase(1, at: two) == .success(1)) }
        #expect(erase(2, at: one) == .success(1))
        try two.post(["four"])
        for store in [one, two] {
            try store.store.catchUp()
            #expect(try store.all().map(\.text) == ["", "", "three", "four"])
        }
        #expect(try seed() != former)
    }

    @Test("an erasure that is refused before it erased anything tells of no text that is left")
    func refusedErasure() throws {
        let engine = SharedEngine(try SimulatedLog(), sealsTails: true)
        let store = try TestStore(engine)
        try store.post(["one"])
        engine.cut()
        let result = try waitFor { store.store.erase([Seq(1)...Seq(1)], in: "general", by: "operator", $0) }
        #expect(result == .failure(.outcomeUnknown))
        #expect(store.store.remainsOfErasure == nil && !store.reports.contains("an erased text"))
    }

    @Test("the id of a message that another store has erased answers it as erased, whatever it says now")
    func idOfErased() throws {
        let log = try SimulatedLog()
        let one = try TestStore(SharedEngine(log, sealsTails: true))
        let two = try TestStore(SharedEngine(log, sealsTails: false))
        try one.post(["secret"], key: "k")
        _ = try two.user("alice")
        // Given that the second still has the id at hand, because its sealer has other work
        let mayGoOn = Monitor(false)
        #expect(two.store.sealer.submit { _ in _ = mayGoOn.wait { $0 ? true : nil } })
        defer { mayGoOn.signal { $0 = true } }
        #expect(try waitFor { one.store.erase([Seq(1)...Seq(1)], in: "general", by: "op", $0) }.get() == 1)
        let again = try two.post(["something else"], key: "k").first
        #expect(again?.isRepeated == true && again?.message?.seq == Seq(1))
    }

    @Test("whoever waits at one store stays online at the others, and not each save costs an entry")
    func presence() throws {
        let log = try SimulatedLog()
        let clock = TestClock(stepMilliseconds: 1)
        let (one, two) = (
            try TestStore(SharedEngine(log, sealsTails: true), clock: clock),
            try TestStore(SharedEngine(log, sealsTails: false), clock: clock)
        )
        let bob = try one.user("bob").account
        func isOnline(_ store: TestStore) throws -> Bool {
            try store.store.catchUp()
            return store.store.state.withLock { $0.accounts[bob]?.isOnline(at: clock.now()) } == true
        }
        one.store.noteWaiting(bob, 1)
        one.store.savePresence()
        let before = log.rows.count
        for _ in 0..<20 {
            clock.advance(milliseconds: 15_000)
            one.store.savePresence()
            #expect(try isOnline(one) && isOnline(two))
        }
        #expect(log.rows.count - before == 10)
        // Whoever has gone is gone at all stores
        one.store.noteWaiting(bob, -1)
        one.store.savePresence()
        clock.advance(milliseconds: 61_000)
        one.store.savePresence()
        #expect(try !isOnline(one) && !isOnline(two))
    }

    @Test("a session that a page nobody sees uses at one store was used at the others, too")
    func useWithoutUser() throws {
        let log = try SimulatedLog()
        let clock = TestClock(stepMilliseconds: 1)
        let (one, two) = (
            try TestStore(SharedEngine(log, sealsTails: true), clock: clock),
            try TestStore(SharedEngine(log, sealsTails: false), clock: clock)
        )
        let token = try one.token("alice")
        for (store, other) in [(one, two), (two, one)] {
            try store.store.catchUp()
            clock.advance(milliseconds: 3_600_000)
            let seen = store.store.state.withLock { $0.accounts.values.compactMap(\.lastSeen) }
            guard case .good = store.store.authenticate(token, address: "192.0.2.1", isVisit: false) else {
                throw Failure("the session has ended")
            }
            store.store.savePresence()
            try other.store.catchUp()
            let used = [store, other].map { $0.store.state.withLock { $0.tokens[token.digest]?.lastUsed } }
            #expect(used[0] == used[1] && used[0] != nil)
            // Nobody came to be seen by it
            #expect(other.store.state.withLock { $0.accounts.values.compactMap(\.lastSeen) } == seen)
        }
    }

    @Test("limits count what is stored: not what the log refused, or what had to be numbered again behind others")
    func quotas() throws {
        let log = try SimulatedLog()
        let engine = SharedEngine(log, sealsTails: true)
        let (one, two) = (try TestStore(engine), try TestStore(SharedEngine(log, sealsTails: false)))
        var limits = AccountLimits()
        limits.bytesPerDay = 10
        one.store.use(limits)
        _ = try one.user("alice")
        // Given a text that no attempt could bring into the log, and one that another store was always faster than
        log.set(SimulatedLog.Troubles(lostProposals: 100))
        #expect(try one.post(["123456"], key: "a").first?.refusal == .outcomeUnknown)
        log.set(.none)
        #expect(try one.post(["123456"], key: "a").first?.message != nil)
        engine.overtake(times: 3) { _ = try? two.post(["meanwhile"], by: "bob") }
        // Then all that the limit allows can be stored
        #expect(try one.post(["7890"], key: "b").first?.message != nil)
        guard case .slowDown = try one.post(["1"]).first?.refusal else { return #expect(Bool(false)) }
    }
}
