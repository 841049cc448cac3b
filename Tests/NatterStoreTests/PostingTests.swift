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
        // Then the message is in the next commit, with one of bob's changes, and alice's change in the one behind it.
        #expect(order.map { Array($0.prefix(3)) } == ["posted", "bob's", "alice's"])
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
        try store.post((1...9).map { "\($0)" }, by: "bob")
        let alice = try store.user("alice")
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

@Suite("idempotency keys")
struct KeyTests {
    @Test("a key twice in one request counts once")
    func twiceInOne() throws {
        let store = try TestStore()
        let message = NewMessage(conversation: "general", text: "content", key: IdempotencyKey("key"))
        let outcomes = store.post([message, message], by: try store.user("alice"))
        #expect(outcomes.map(\.isRepeated) == [false, true])
        #expect(outcomes.compactMap { $0.message?.seq } == [Seq(1), Seq(1)])
    }

    @Test("a batch finds each of its keys: in itself, in the journal, in the tables, or nowhere")
    func mixedBatch() throws {
        let store = try TestStore()
        func message(_ key: String?) -> NewMessage {
            NewMessage(conversation: "general", text: "content", key: key.flatMap { IdempotencyKey($0) })
        }
        try store.post(["content"], key: "table")
        try store.seal()
        try store.post(["content"], key: "journal")
        let keys = ["new", "table", nil, "journal", "new", "table", "newer"]
        let outcomes = store.post(keys.map(message), by: try store.user("alice"))
        #expect(outcomes.map(\.isRepeated) == [false, true, false, true, true, true, false])
        #expect(outcomes.compactMap { $0.message?.seq } == [3, 1, 4, 2, 3, 1, 5].map { Seq($0) })
    }

    @Test("a key is forgotten only after 30 days")
    func retention() throws {
        let clock = TestClock(stepMilliseconds: 1)
        let store = try TestStore(clock: clock)
        try store.post(["content"], key: "key")
        try store.seal()
        // When other keys come day after day
        for day in 1...60 {
            clock.advance(milliseconds: 86_400_000)
            try store.post(["day \(day)"], key: "day \(day)")
            try store.seal()
            let again = try #require(try store.post(["content"], key: "key").first)
            if day <= 30 { #expect(again.isRepeated, "day \(day)") }
            if !again.isRepeated { return }
        }
        Issue.record("the key is known for ever")
    }

    private static func database(in directory: TemporaryDirectory) throws -> Connection {
        let connection = try Connection(path: directory.path + "/keys.db", role: .writer)
        try StoreSchema.current.migrate(connection)
        return connection
    }

    private static func key(_ number: UInt64, hash: UInt64) -> MovedKey {
        MovedKey(
            key: RecentKey(account: 1, time: 0, hash: hash),
            found: FoundKey(conversation: 1, seq: Seq(number), content: number), commit: Commit(1))
    }

    @Test("many keys move to their table in its order, and each is known meanwhile and after a start")
    func movingKeys() throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        var tables = try KeyTables(connection: connection, retentionDays: 30)
        let keys = (1...UInt64(67_000)).map { Self.key($0, hash: $0 &* 0x9E37_79B9_7F4A_7C15) }
        func checkAll(_ known: Int) throws {
            let found = try tables.find(keys.map(\.key))
            #expect(found.count == known)
            #expect(keys[..<known].allSatisfy { found[$0.key] == $0.found })
        }
        func insert(_ slice: ArraySlice<MovedKey>) throws {
            try connection.transaction { try tables.insert(Array(slice), now: Timestamp(milliseconds: 1)) }
        }
        // Given so many keys that the first of them have begun to move
        for start in stride(from: 0, to: 66_000, by: 1_000) { try insert(keys[start..<start + 1_000]) }
        try checkAll(66_000)
        let rows = try connection.statement("SELECT (SELECT count(*) FROM keys_0), (SELECT count(*) FROM keys_0_new)")
        func counts() throws -> [Int] {
            defer { rows.reset() }
            return try rows.step() ? [rows.int(0), rows.int(1)] : []
        }
        #expect(try counts() == [3_000, 66_000])
        // When a start comes before the rest has moved
        try tables.reload()
        try checkAll(66_000)
        try insert(keys[66_000...])
        for _ in 0..<80 { try insert([]) }
        // Then all are in the table, once, and nothing is left where they waited
        #expect(try counts() == [67_000, 0])
        try checkAll(67_000)
        // And what comes later is kept as well
        try tables.reload()
        let late = MovedKey(
            key: RecentKey(account: 2, time: 0, hash: 1), found: FoundKey(conversation: 1, seq: Seq(1), content: 1),
            commit: Commit(1))
        try insert([late])
        for _ in 0..<5 { try insert([]) }
        try tables.reload()
        #expect(try tables.find([late.key]) == [late.key: late.found])
    }

    @Test("however many come at a time, no more gather than are gathered before they move")
    func gathering() throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        var tables = try KeyTables(connection: connection, retentionDays: 30)
        for start in stride(from: UInt64(1), through: 400_000, by: 4_000) {
            let moved = (start..<start + 4_000).map { Self.key($0, hash: $0 &* 0x9E37_79B9_7F4A_7C15) }
            try connection.transaction { try tables.insert(moved, now: Timestamp(milliseconds: 1)) }
        }
        let count = try connection.row("SELECT count(*) FROM keys_0_new") { $0.int(0) }
        // Some come while those move and their rows are deleted.
        #expect(try #require(count) <= 90_000)
    }

    /// A key of this number, inserted on a day.
    private static func insert(
        _ number: UInt64, on day: Int64, into tables: inout KeyTables, _ connection: Connection
    ) throws -> MovedKey {
        let moved = key(number, hash: number)
        let now = Timestamp(milliseconds: day * 86_400_000)
        try connection.transaction {
            // The keys of an ended period move in several steps
            for index in 0..<6 { try tables.insert(index == 0 ? [moved] : [], now: now) }
            try tables.dropExpired(now: now)
        }
        return moved
    }

    @Test(
        "a key is kept for as long as each retention since it was used, and not for ever",
        arguments: [[90, 30], [30, 90], [3_650, 30], [30, 3_650], [300, 303], [303, 300], [30, 90, 30]], [0, 3, 29])
    func otherRetention(retentions: [Int], startDay: Int) throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        var day: Int64 = 20_700 + Int64(startDay)
        var keys: [(moved: MovedKey, day: Int64, promised: Int)] = []
        func insert(into tables: inout KeyTables, _ days: Int) throws {
            keys.append((try Self.insert(UInt64(keys.count + 1), on: day, into: &tables, connection), day, days))
        }
        for days in retentions {
            // Given a start with another retention, after which keys come on each day
            var tables = try KeyTables(connection: connection, retentionDays: days)
            for index in keys.indices { keys[index].promised = min(days, keys[index].promised) }
            for _ in 0..<100 {
                try insert(into: &tables, days)
                day += 1
                // Then each is known that is younger than the shortest that was in force since
                let young = keys.filter { day - $0.day <= $0.promised }
                let found = try tables.find(young.map(\.moved.key))
                #expect(young.allSatisfy { found[$0.moved.key] == $0.moved.found }, "day \(day), \(days) days")
            }
        }
        // And after four times the longest, they are forgotten
        var tables = try KeyTables(connection: connection, retentionDays: retentions.last ?? 0)
        day += 4 * Int64(retentions.max() ?? 0)
        for _ in 0..<6 {
            try insert(into: &tables, 0)
            day += Int64(retentions.last ?? 0)
        }
        #expect(try tables.find(keys.dropLast(6).map(\.moved.key)).isEmpty)
    }

    @Test("keys of a while in which the clock was a year behind are kept as long as others")
    func clockBehind() throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        func insert(_ number: UInt64, on day: Int64) throws -> MovedKey {
            var tables = try KeyTables(connection: connection, retentionDays: 30)
            return try Self.insert(number, on: day, into: &tables, connection)
        }
        for day in 1...60 { _ = try insert(UInt64(day), on: 20_700 + Int64(day)) }
        let behind = try insert(1_000, on: 20_761 - 365)
        for day in 61...91 {
            _ = try insert(UInt64(day), on: 20_700 + Int64(day))
            let tables = try KeyTables(connection: connection, retentionDays: 30)
            #expect(try tables.find([behind.key]) == [behind.key: behind.found], "day \(day)")
        }
        for day in 92...200 { _ = try insert(UInt64(day), on: 20_700 + Int64(day)) }
        #expect(try KeyTables(connection: connection, retentionDays: 30).find([behind.key]).isEmpty)
    }

    @Test("ids of one moment are told apart by 64 bits, and keys of one time are neighbours")
    func keysOfOneMoment() throws {
        let secret = ShortHashKey.random()
        let keys = try (100..<200).map { number in
            let key = try #require(IdempotencyKey("0190b6a0-1234-7000-8000-000000000\(number)"))
            return RecentKey(key, of: AccountID(rawValue: 1), secret)
        }
        #expect(Set(keys.map(\.time)).count == 1)
        #expect(keys[0].time == 0x0190_b6a0_1234 >> 8)
        // The upper half of the hash differs, too: it is not the time.
        #expect(Set(keys.map { $0.hash >> 32 }).count > 80)
    }
}
