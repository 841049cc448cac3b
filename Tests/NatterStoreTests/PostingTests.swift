import NatterSystem
import NatterModel
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("posting")
struct PostingTests {
    @Test("the thousandth commit is told of as directly as the first")
    func announced() throws {
        let store = try TestStore()
        let depths = Monitor<[UInt]>([])
        store.store.onNews { _ in
            var here: UInt8 = 0
            let address = withUnsafePointer(to: &here) { UInt(bitPattern: $0) }
            depths.withLock { $0.append(address) }
        }
        // When one commit follows another
        for number in 1...1_000 { try store.post(["\(number)"]) }
        // Then no call, of which the last comes after its acknowledgement, has more calls above it on the stack than any other
        #expect(TestStore.settles { depths.withLock { $0.count >= 1_000 } })
        let growth = depths.withLock { ($0.max() ?? 0) - ($0.min() ?? 0) }
        #expect(growth < 4_096, "the stack grew by \(growth) bytes")
    }

    @Test("neither messages nor others' changes wait for the many changes of one account")
    func turns() throws {
        let store = try TestStore()
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        let done = Monitor<[String]>([])
        let gate = Monitor((isReached: false, isOpen: false))
        // While the writer is busy
        let stop: @Sendable (WriterCore) -> Void = { _ in
            gate.signal { $0.isReached = true }
            _ = gate.wait { $0.isOpen ? true : nil }
        }
        store.store.submit(.upkeep(stop, { _ in }))
        _ = gate.wait { $0.isReached ? true : nil }
        for number in 0..<100 {
            store.store.setContact("alice", number.isMultiple(of: 2), for: bob) { _ in
                done.signal { $0.append("bob's") }
            }
        }
        let message = NewMessage(conversation: "general", text: "hello", key: nil)
        store.store.post([message], by: alice, stopAtRefusal: false) { _ in done.signal { $0.append("posted") } }
        store.store.setContact("bob", true, for: alice) { _ in done.signal { $0.append("alice's") } }
        gate.signal { $0.isOpen = true }
        let order = done.wait(timeoutMilliseconds: 60_000) { $0.count == 102 ? $0 : nil }
        // Then neither the message nor alice's change waits for more than one of bob's changes.
        #expect(order.map { Set($0.prefix(3)) } == ["posted", "bob's", "alice's"])
    }

    @Test("a change that changes nothing is no commit")
    func nothing() throws {
        let store = try TestStore()
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        _ = try waitFor { store.store.createGroup("team", isOpen: true, by: alice, $0) }.get()
        func change() throws {
            _ = try waitFor { store.store.setContact("bob", true, for: alice, $0) }.get()
            _ = try waitFor { store.store.setBlocked("bob", true, for: alice, $0) }.get()
            try store.put("bob", in: "team", by: bob)
        }
        try change()
        let before = store.store.state.withLock { $0.commit }
        try change()
        #expect(store.store.state.withLock { $0.commit } == before)
    }

    @Test("concurrent posts get each number once")
    func concurrent() throws {
        let store = try TestStore()
        let names = (1...4).map { "user\($0)" }
        let users = try names.map { try store.user($0) }
        let waiting = Monitor((left: 4 * 100, seqs: [UInt64]()))
        // When four post a hundred single messages each without waiting
        for round in 0..<100 {
            for user in users {
                let message = NewMessage(conversation: "general", text: "\(round)", key: nil)
                store.store.post([message], by: user, stopAtRefusal: false) { outcomes in
                    waiting.signal { state in
                        state.left -= 1
                        state.seqs += outcomes.compactMap { $0.message?.seq.rawValue }
                    }
                }
            }
        }
        _ = waiting.wait { $0.left == 0 ? true : nil }
        // Then every number from 1 on was given once, and each user's own messages kept their order
        #expect(waiting.withLock { $0.seqs }.sorted() == Array(1...400))
        let all = try store.all(as: "user1")
        for name in names { #expect(all.filter { $0.sender == name }.map(\.text) == (0..<100).map(String.init)) }
    }

    @Test(
        "a message that is erased between the reading of it and the change of it is not changed",
        arguments: [MessageKind.edit, .delete, .text])
    func erasedMeanwhile(kind: MessageKind) throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post(["one", "two"])
        try store.seal()
        // Given a request that has read its message
        var message = NewMessage(
            conversation: "general", text: kind == .delete ? "" : "uno", key: nil, kind: kind, about: Seq(1))
        message.original = store.store.original(of: message, for: alice)
        #expect(try message.original?.message.get().sender == Array("alice".utf8))
        // When that is erased before the writer's thread takes the request
        _ = try waitFor { store.store.erase([Seq(1)...Seq(1)], in: "general", by: "alice", $0) }.get()
        let read = message
        let outcomes = try waitFor { answer in
            store.store.submit(
                .posting(
                    StoreWriter.Posting(
                        messages: [read], principal: alice, stopAtRefusal: false, completion: answer)))
        }
        // Then nothing is appended, and the next try is treated as any change of what is erased
        #expect(outcomes.map(\.refusal) == [.busy])
        #expect(try store.all().map(\.seq) == [Seq(1), Seq(2)])
        if kind == .edit {
            let again = store.post([message], by: alice).first?.refusal
            guard case .forbidden? = again else {
                Issue.record("\(String(describing: again))")
                return
            }
        }
    }

    @Test(
        "who may change a message is not asked of another conversation that has had its name",
        arguments: [MessageKind.edit, .delete], [false, true])
    func renamedMeanwhile(kind: MessageKind, isSealed: Bool) throws {
        let store = try TestStore(users: ["alice", "bob"])
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        // Given Bob's message in one group, and Alice's with the same number in another
        var seq = Seq.zero
        for (group, sender) in [("one", "bob"), ("other", "alice")] {
            _ = try waitFor { store.store.createGroup(group, isOpen: true, by: alice, $0) }.get()
            try store.put("bob", in: group, by: alice)
            try store.post(["hello"], to: group, by: sender)
            seq = try #require(try store.all(group).last?.seq)
            if isSealed { try store.seal(group) }
        }
        var message = NewMessage(
            conversation: "one", text: kind == .delete ? "" : "forged", key: nil, kind: kind, about: seq)
        message.original = store.store.original(of: message, for: bob)
        #expect(try message.original?.message.get().sender == Array("bob".utf8))
        // When the other group gets the name before the writer's thread takes the request
        for (name, new) in [("one", "former"), ("other", "one")] {
            _ = try waitFor { store.store.changeGroup(name, newName: new, isOpen: nil, by: alice, $0) }.get()
        }
        let read = message
        let outcomes = try waitFor { answer in
            store.store.submit(
                .posting(
                    StoreWriter.Posting(messages: [read], principal: bob, stopAtRefusal: false, completion: answer)))
        }
        // Then Alice's message stays as it is
        #expect(outcomes.map { $0.refusal != nil } == [true])
        #expect(try store.all("one").allSatisfy { $0.sender == "alice" && $0.kind != kind })
    }

    @Test("an id of a session or a token names one for ever, also after a new start")
    func tokenIDs() throws {
        let store = try TestStore(users: ["alice", "bob"])
        func add() throws -> Int64 {
            let alice = try store.user("alice")
            let added = try waitFor { store.store.addToken(label: "x", scope: .all, expires: nil, for: alice, $0) }
            return try added.get().view.id
        }
        let first = try add()
        let alice = try store.user("alice")
        #expect(try waitFor { store.store.revokeToken(first, robots: true, by: alice, $0) }.get())
        try store.reopen()
        #expect(try add() > first + 1)
    }

    @Test("who is disabled stays a member, who can be demoted, and not promoted or added")
    func disabledMember() throws {
        let store = try TestStore(users: ["alice", "bob", "carol"])
        let alice = try store.user("alice")
        _ = try waitFor { store.store.createGroup("team", isOpen: true, by: alice, $0) }.get()
        func put(_ name: String, isAdmin: Bool?) throws -> StoreError? {
            let result = try waitFor {
                store.store.putMember(name, in: "team", isAdmin: isAdmin, mayAdd: true, by: alice, $0)
            }
            if case .failure(let error) = result { return error }
            return nil
        }
        #expect(try put("bob", isAdmin: true) == nil)
        for name in ["bob", "carol"] {
            _ = try waitFor {
                store.store.change(name, AccountChange(isDisabled: true), by: "operator", asking: nil, $0)
            }.get()
        }
        #expect(try put("carol", isAdmin: nil) == .noSuchUser("carol"))
        #expect(try put("bob", isAdmin: nil) == nil && put("bob", isAdmin: false) == nil)
        #expect(try put("bob", isAdmin: true) == .noSuchUser("bob"))
        // A change that changes nothing is not audited again
        let before = try store.store.audit(limit: 100).count
        _ = try waitFor {
            store.store.change("bob", AccountChange(isDisabled: true), by: "operator", asking: nil, $0)
        }.get()
        #expect(try store.store.audit(limit: 100).count == before)
    }

    @Test("of two read marks that are set at once, the higher one stays, whichever is last", arguments: [false, true])
    func marksAtOnce(isHigherLast: Bool) throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post((1...9).map { "\($0)" }, by: "bob")
        // Given two devices that ask for marks, of which neither is stored yet
        let mayGoOn = Monitor(false)
        store.store.submit(.upkeep({ _ in _ = mayGoOn.wait { $0 ? true : nil } }, { _ in }))
        let answers = Monitor<[Seq]>([])
        for seq in isHigherLast ? [Seq(4), Seq(7)] : [Seq(7), Seq(4)] {
            store.store.markRead(seq, in: "general", for: alice) { answer in
                answers.signal { $0.append((try? answer.get()) ?? .zero) }
            }
        }
        mayGoOn.signal { $0 = true }
        // Then both hear of the higher one, and it is still there after a start
        let reached = answers.wait { $0.count == 2 ? $0 : nil }
        #expect(reached?.last == Seq(7) && (isHigherLast || reached?.first == Seq(7)), "\(String(describing: reached))")
        for _ in 0..<2 {
            let view = try store.store.conversation("general", for: store.user("alice"))
            #expect(view.read == Seq(7) && view.unread == 2)
            try store.reopen()
        }
    }

    @Test("time never goes back in a conversation, whatever the clock does")
    func timeHolds() throws {
        let clock = TestClock(stepMilliseconds: 1)
        let store = try TestStore(clock: clock)
        let early = try #require(try store.post(["a"]).first?.message)
        // When the clock is set back by a day, before and after a start, and after sealing
        clock.advance(milliseconds: -86_400_000)
        let next = try #require(try store.post(["b"]).first?.message)
        try store.reopen()
        let third = try #require(try store.post(["c"]).first?.message)
        try store.seal()
        try store.reopen()
        let fourth = try #require(try store.post(["d"]).first?.message)
        // Then the time stands still
        #expect([next.time, third.time, fourth.time] == [early.time, early.time, early.time])
    }

    @Test("a personal conversation is shared by two users, and closed to others")
    func personal() throws {
        let store = try TestStore()
        _ = try store.user("bob")
        // Given a conversation without messages: it exists, and is empty
        #expect(try store.store.conversation("@bob", for: store.user("alice")).head == .zero)
        // When both write, and after a start
        try store.post(["hello"], to: "@bob")
        try store.reopen()
        try store.post(["hello yourself"], to: "@alice", by: "bob")
        // Then both see the same under the other's name
        #expect(try store.all("@bob").map(\.text) == ["hello", "hello yourself"])
        #expect(try store.all("@alice", as: "bob").map(\.conversation) == ["@alice", "@alice"])
        let ids = try (store.all("@bob") + store.all("@alice", as: "bob")).map(\.conversationID)
        #expect(Set(ids).count == 1)
        // And a third has another conversation with each
        #expect(try store.all("@bob", as: "eve").isEmpty)
        #expect(
            try store.store.conversations(of: store.user("eve"), after: nil, limit: 10).conversations.map(\.name) == [
                "general"
            ])
    }

    @Test("a conversation with yourself is a notebook")
    func notebook() throws {
        let store = try TestStore()
        try store.post(["remember"], to: "@me")
        try store.post(["this"], to: "@alice")
        #expect(try store.all("@alice").map(\.text) == ["remember", "this"])
        try store.seal("@alice")
        try store.reopen()
        #expect(try store.all("@me").map(\.text) == ["remember", "this"])
    }

    @Test("a refused message takes no number, and stops its request on demand")
    func refusals() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        let messages = [
            NewMessage(conversation: "general", text: "a", key: nil),
            NewMessage(conversation: "nowhere", text: "b", key: nil),
            NewMessage(conversation: "general", text: "", key: nil),
            NewMessage(conversation: "@nobody", text: "c", key: nil),
            NewMessage(conversation: "general", text: "d", key: nil),
        ]
        let all = store.post(messages, by: alice)
        #expect(all.map { $0.message?.seq } == [Seq(1), nil, nil, nil, Seq(2)])
        #expect(all[1].refusal == .noSuchConversation("nowhere"))
        #expect(all[2].refusal == .badText(.empty))
        #expect(all[3].refusal == .noSuchUser("nobody"))
        let stopped = try waitFor { store.store.post(messages, by: alice, stopAtRefusal: true, $0) }
        #expect(stopped.map(\.refusal) == [nil, .noSuchConversation("nowhere"), .notTried, .notTried, .notTried])
    }
}

@Suite("turns of the writer")
struct TurnTests {
    private static func messages(_ count: Int, _ label: String = "message") -> [NewMessage] {
        (1...count).map { NewMessage(conversation: "general", text: "\(label) \($0)", key: nil) }
    }

    @Test("a single message does not wait for the whole of a bulk that came before it, nor one bulk for another")
    func fair() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        let done = Monitor<[String]>([])
        // Given that all of it waits while the writer does something else
        let isOpen = Monitor(false)
        let gate = Monitor(false)
        let holder = try SystemThread(name: "gate") {
            try? store.store.upkeep { _ in
                gate.signal { $0 = true }
                _ = isOpen.wait { $0 ? true : nil }
            }
        }
        _ = gate.wait { $0 ? true : nil }
        func post(_ count: Int, by principal: Principal, _ label: String) {
            store.store.post(TurnTests.messages(count, label), by: principal, stopAtRefusal: false) { outcomes in
                done.signal { $0.append(outcomes.allSatisfy { $0.message != nil } ? label : "refused") }
            }
        }
        post(6_000, by: alice, "long")
        post(1_500, by: alice, "short")
        post(1, by: bob, "single")
        isOpen.signal { $0 = true }
        let order = done.wait { $0.count == 3 ? $0 : nil }
        holder.join()
        #expect(order == ["single", "short", "long"])
        let all = try store.all()
        #expect(all.count == 7_501)
        for (label, count) in [("long", 6_000), ("short", 1_500)] {
            #expect(all.map(\.text).filter { $0.hasPrefix(label) } == (1...count).map { "\(label) \($0)" })
        }
    }

    @Test(
        "a bulk that stops at a refusal tries nothing after it, in whatever turn", arguments: [1, 2_048, 2_049, 2_900])
    func stop(bad: Int) throws {
        let store = try TestStore()
        var messages = TurnTests.messages(3_000)
        messages[bad - 1].text = ""
        let alice = try store.user("alice")
        let outcomes = try waitFor { store.store.post(messages, by: alice, stopAtRefusal: true, $0) }
        #expect(outcomes.count == 3_000)
        #expect(outcomes.prefix(bad - 1).allSatisfy { $0.message != nil })
        #expect(outcomes[bad - 1].refusal != nil && outcomes[bad - 1].refusal != .notTried)
        #expect(outcomes.dropFirst(bad).allSatisfy { $0.refusal == .notTried })
        #expect(try store.all().count == bad - 1)
    }

    @Test("closing finishes all turns of a bulk")
    func close() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        let answer = Monitor<Int?>(nil)
        store.store.post(TurnTests.messages(5_000), by: alice, stopAtRefusal: false) { outcomes in
            answer.signal { $0 = outcomes.count { $0.message != nil } }
        }
        try store.reopen()
        #expect(answer.withLock { $0 } == 5_000)
        #expect(try store.all().count == 5_000)
    }
}
