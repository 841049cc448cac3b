import NatterSystem
import NatterModel
import NatterLog
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// The knowledge of a client that does no more than apply the answers of sync.
struct SyncModel {
    var cursor: StoreCursor?
    var messages: [ConversationID: [Message]] = [:]
    var damaged: [ClosedRange<Seq>] = []
    var gone: [String] = []

    /// Applies answers until there is no more.
    mutating func sync(_ store: TestStore, as name: String, form: SyncAnswer.Form = .messages, limitBytes: Int) throws {
        for _ in 0..<10_000 {
            if try !step(store, as: name, form: form, limitBytes: limitBytes) { return }
        }
        Issue.record("sync does not end")
    }

    /// Applies one answer.
    /// - Returns: whether there is more.
    mutating func step(
        _ store: TestStore, as name: String, form: SyncAnswer.Form = .messages, limitBytes: Int
    ) throws -> Bool {
        let answer = try store.store.changes(
            since: cursor.map { .cursor($0) } ?? .start, for: store.user(name), form: form, limitBytes: limitBytes)
        try apply(answer)
        cursor = answer.cursor
        return answer.more
    }

    private mutating func apply(_ answer: SyncAnswer) throws {
        var conversation: ConversationView?
        var dictionaries: [DictionaryID: LogDictionary] = [:]
        while let chunks = try answer.next() {
            for chunk in chunks {
                switch chunk {
                case .conversation(let view): conversation = view
                case .messages(let messages):
                    for message in messages { add(message) }
                case .erased(let id, let seqs):
                    for index in messages[id, default: []].indices
                    where seqs.contains(messages[id]?[index].seq ?? .zero) {
                        messages[id]?[index].text = ""
                        messages[id]?[index].sender = ""
                        messages[id]?[index].isErased = true
                    }
                case .dictionary(let record):
                    let dictionary = try record.withUnsafeBytesTyped { bytes throws(FormatViolation) in
                        try LogDictionary(decoding: bytes)
                    }
                    dictionaries[dictionary.id] = dictionary
                case .block(let bytes), .provisional(let bytes):
                    let view = try #require(conversation)
                    let header = try BlockHeader(decoding: bytes)
                    let block = Block(header: header, stored: Array(bytes[BlockHeader.byteCount...]))
                    let dictionary = header.dictionary == .none ? .none : try #require(dictionaries[header.dictionary])
                    let records = try block.verify(with: dictionary)
                    var hash = header.hashBefore
                    for index in 0..<records.count {
                        let record = records[index]
                        hash = HashChain.advance(hash, over: record)
                        // A block may hold known messages; those are skipped.
                        if record.seq <= (messages[view.id]?.last?.seq ?? .zero) { continue }
                        add(
                            Message(
                                conversation: view.name, conversationID: view.id, seq: record.seq,
                                cursor: MessageCursor(conversation: view.id, seq: record.seq, hashPrefix: hash.prefix),
                                time: record.time, sender: String(decoding: record.sender, as: UTF8.self),
                                text: String(decoding: record.text, as: UTF8.self), kind: record.kind,
                                isImported: record.isImported))
                    }
                case .damaged(_, _, let from, let to): damaged.append(from...to)
                case .gone(let name, _, _): gone.append(name)
                case .read, .contacts: break
                }
            }
        }
    }

    /// Each message must be the next of its conversation.
    private mutating func add(_ message: Message) {
        let expected = messages[message.conversationID]?.last?.seq.next ?? Seq(1)
        #expect(message.seq == expected, "a duplicate or a hole")
        messages[message.conversationID, default: []].append(message)
    }
}

@Suite("sync")
struct SyncTests {
    @Test("an account that was away while much changed gets it in several answers, and misses nothing", .aboutFiles)
    func manyChanges() throws {
        let store = try TestStore(users: ["bob"])
        let alice = try store.user("alice")
        let before = try store.store.changes(
            since: .now, for: store.user("bob"), form: .messages, limitBytes: 1_000_000
        ).cursor
        for number in 1...50 {
            try store.post(["\(number)"], to: number % 2 == 0 ? "@bob" : "general")
            guard number % 20 == 5 else { continue }
            let group = "g\(number)"
            _ = try waitFor { store.store.createGroup(group, isOpen: false, by: alice, $0) }.get()
            try store.put("bob", in: group, by: alice)
            try waitFor { store.store.removeMember("bob", from: group, by: alice, $0) }.get()
        }
        // 500 conversations were deleted at each commit. Their rows are enough here.
        let last = store.store.state.withLock { $0.commit.rawValue }
        try store.reopen { directory in
            let connection = try Connection(path: Store.databasePath(directory), role: .writer)
            let rows = try connection.statement(
                """
                WITH RECURSIVE number(value) AS (SELECT 1 UNION ALL SELECT value+1 FROM number WHERE value<25000)
                INSERT INTO change (account,conversation,kind,commit_number,data)
                SELECT (SELECT number FROM account WHERE name='bob'),1000000+value,2,?-value/500,'deleted x' FROM number
                """)
            try rows.bind(last)
            _ = try rows.step()
        }
        var (model, answers) = (SyncModel(cursor: before), 1)
        while try model.step(store, as: "bob", limitBytes: 1_000_000) { answers += 1 }
        #expect(answers == 3)
        #expect(model.gone == ["g5", "g25", "g45"])
        #expect(model.messages.values.map(\.count).sorted() == [25, 25])
    }

    @Test(
        "an answer has only so many conversations, each with what is new in it",
        arguments: [SyncAnswer.Form.messages, .blocks])
    func manyConversations(form: SyncAnswer.Form) throws {
        let store = try TestStore(users: ["bob"])
        let alice = try store.user("alice")
        for number in 1...40 {
            _ = try waitFor { store.store.createGroup("g\(number)", isOpen: false, by: alice, $0) }.get()
        }
        var (position, counts, names) = (SyncPosition.start, [Int](), [String]())
        while true {
            let answer = try store.store.changes(since: position, for: alice, form: form, limitBytes: 12_000)
            var count = 0
            while let chunks = try answer.next() {
                for case .conversation(let view) in chunks {
                    count += 1
                    names.append(view.name)
                }
            }
            counts.append(count)
            position = .cursor(answer.cursor)
            if !answer.more { break }
        }
        #expect(counts.allSatisfy { $0 <= 12 } && counts.count > 3, "\(counts)")
        #expect(names.sorted() == (1...40).map { "g\($0)" }.sorted())
        guard case .cursor(let cursor) = position else { return }
        let later = try store.store.changes(since: .cursor(cursor), for: alice, form: form, limitBytes: 12_000)
        #expect(later.isEmpty && !later.more)
    }

    @Test("a plan of many conversations takes several steps, and its answer ends where it began")
    func steps() throws {
        let store = try TestStore(users: ["bob"])
        let alice = try store.user("alice")
        for number in 1...300 {
            _ = try waitFor { store.store.createGroup("g\(number)", isOpen: false, by: alice, $0) }.get()
        }
        let plan = try store.store.planSync(since: .start, for: alice, form: .messages, limitBytes: 1 << 20)
        #expect(try plan.next() == nil)
        // Messages in what is planned, in what is not yet, and in a new group
        _ = try waitFor { store.store.createGroup("later", isOpen: false, by: alice, $0) }.get()
        for number in 1...300 { try store.post(["later"], to: "g\(number)") }
        var answer: SyncAnswer?
        while answer == nil { answer = try plan.next() }
        let first = try #require(answer)
        func read(_ answer: SyncAnswer) throws -> (conversations: Int, texts: Int) {
            var (conversations, texts) = (0, 0)
            while let chunks = try answer.next() {
                for chunk in chunks {
                    if case .conversation = chunk { conversations += 1 }
                    if case .messages(let messages) = chunk { texts += messages.count { $0.kind == .text } }
                }
            }
            return (conversations, texts)
        }
        #expect(try read(first) == (300, 0) && first.more)
        let second = try store.store.changes(
            since: .cursor(first.cursor), for: alice, form: .messages, limitBytes: 1 << 20)
        #expect(try read(second) == (301, 300) && !second.more)
    }

    @Test("a late start gets everything after it, in answers of any size", arguments: [200, 5_000, 1_000_000])
    func late(limitBytes: Int) throws {
        // Given sealed messages and a tail, an hour between one and the next
        let clock = TestClock(stepMilliseconds: 1)
        let store = try TestStore(clock: clock)
        let alice = try store.user("alice")
        _ = try store.user("bob")
        for number in 1...60 {
            if number == 41 { try store.seal() }
            clock.advance(milliseconds: 3_600_000)
            try store.post(["\(number)"], to: number % 3 == 0 ? "@bob" : "general")
        }
        for hoursBack in [0, 5, 12, 30, 100] {
            let earliest = clock.now().advanced(milliseconds: Int64(-hoursBack) * 3_600_000 + 1_800_000)
            // When a sync begins some hours ago
            var first: [String: Seq] = [:]
            var seqs: [String: [Seq]] = [:]
            var position = SyncPosition.start
            while true {
                let answer = try store.store.changes(
                    since: position, earliest: earliest, for: alice, form: .messages, limitBytes: limitBytes)
                while let chunks = try answer.next() {
                    for chunk in chunks {
                        switch chunk {
                        case .conversation(let view):
                            // Another place in a later answer would say that the messages before it were dropped
                            #expect(first[view.name, default: view.first] == view.first)
                            first[view.name] = view.first
                        case .messages(let messages):
                            for message in messages {
                                seqs[message.conversation, default: []].append(message.seq)
                            }
                        default: break
                        }
                    }
                }
                position = .cursor(answer.cursor)
                if !answer.more { break }
            }
            // Then each conversation comes from a place that is told, without a hole, up to its head
            for (name, head) in [("general", UInt64(40)), ("@bob", 20)] {
                let begin = try #require(first[name])
                let expected = begin.rawValue <= head ? (begin.rawValue...head).map { Seq($0) } : []
                #expect(seqs[name] ?? [] == expected)
                let all = try store.all(name)
                #expect(all.filter { $0.time >= earliest }.allSatisfy { $0.seq >= begin })
                if hoursBack < 20 { #expect(begin > Seq(1)) }
            }
        }
    }

    @Test("thousands of short messages come in chunks of a bounded size, sealed or not")
    func chunks() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        for isSealed in [false, true] {
            for _ in 0..<4 { try store.post((0..<1_000).map { _ in "x" }) }
            if isSealed { try store.seal() }
            let answer = try store.store.changes(
                since: .start, earliest: nil, for: alice, form: .messages, limitBytes: 16 << 20)
            var counts: [Int] = []
            var seqs: [Seq] = []
            var kept = 0
            while let chunks = try answer.next() {
                kept = max(kept, answer.restBytes)
                for case .messages(let messages) in chunks {
                    counts.append(messages.count)
                    seqs += messages.map(\.seq)
                }
            }
            #expect(try seqs == store.all().map(\.seq))
            // An object takes some hundred bytes, of which 64 KiB are one chunk
            #expect(counts.count > 8 && counts.allSatisfy { $0 <= 512 }, "\(counts)")
            // The rest of an open block is counted while it is kept
            #expect(kept > 50_000 && answer.restBytes == 0)
            let sent = answer.sent.map { "\($0.conversation) \($0.first)-\($0.last)" }
            #expect(sent == ["general 1-\(seqs.count)"])
        }
    }

    @Test(
        "readers with small answers see everything once while others post and the sealer seals",
        arguments: UInt64(1)...12)
    func property(seed: UInt64) throws {
        let store = try TestStore()
        var generator = SeededGenerator(seed: seed)
        let names = ["alice", "bob", "carol"]
        for name in names { _ = try store.user(name) }
        let places = ["general", "@alice", "@bob", "@carol"]
        var models: [String: SyncModel] = [:]
        for step in 0..<60 {
            let name = names.randomElement(using: &generator) ?? "alice"
            switch Int.random(in: 0..<10, using: &generator) {
            case 0..<5:
                // Given messages to some conversations
                let count = Int.random(in: 1...400, using: &generator)
                let place = places.randomElement(using: &generator) ?? "general"
                try store.post((0..<count).map { TestStore.text($0, "step \(step)") }, to: place, by: name)
            case 5:
                // sealed or not
                try store.seal()
            case 6:
                // a start of the server
                try store.reopen()
            default:
                // When a reader syncs, with answers of any size
                var model = models[name] ?? SyncModel()
                let form: SyncAnswer.Form = Bool.random(using: &generator) ? .messages : .blocks
                try model.sync(store, as: name, form: form, limitBytes: Int.random(in: 1...100_000, using: &generator))
                models[name] = model
            }
        }
        // Then at the end each has exactly the existing messages
        for name in names {
            var model = models[name] ?? SyncModel()
            try model.sync(store, as: name, limitBytes: 50_000)
            let views = try store.store.conversations(of: store.user(name), after: nil, limit: 100).conversations
            for view in views where view.head > .zero {
                #expect(try model.messages[view.id] == store.all(view.name, as: name), "\(view.name) of \(name)")
            }
            let known = Set(views.filter { $0.head > .zero }.map(\.id))
            #expect(Set(model.messages.keys) == known)
        }
        #expect(store.reports.lines == [])
    }

    @Test("a member who was removed and added again is not told that the group is gone, and gets all of it")
    func addedAgain() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let alice = try store.user("alice")
        func add() throws {
            try store.put("bob", in: "team", by: alice)
        }
        _ = try waitFor { store.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        let cursor = try store.store.changes(since: .now, for: store.user("bob"), form: .messages, limitBytes: 1).cursor
        try add()
        try waitFor { store.store.removeMember("bob", from: "team", by: alice, $0) }.get()
        var away = SyncModel(cursor: cursor)
        try away.sync(store, as: "bob", limitBytes: 1 << 20)
        #expect(away.gone == ["team"])
        try add()
        var reader = SyncModel(cursor: cursor)
        try reader.sync(store, as: "bob", limitBytes: 1 << 20)
        #expect(reader.gone == [])
        #expect(try reader.messages.values.first == store.all("team", as: "bob"))
    }

    @Test("cursors of other stores and of the future are refused")
    func foreign() throws {
        let (one, two) = (try TemporaryDirectory(), try TemporaryDirectory())
        let (store, other) = (try TestStore(one.path), try TestStore(two.path))
        try store.post(["a"])
        try other.post(["b"])
        let alice = try store.user("alice")
        let cursor = try other.store.changes(since: .now, for: other.user("alice"), form: .messages, limitBytes: 1)
            .cursor
        #expect(throws: StoreError.badCursor("the cursor is of another store")) {
            try store.store.changes(since: .cursor(cursor), for: alice, form: .messages, limitBytes: 1)
        }
        let own = try store.store.changes(since: .now, for: alice, form: .messages, limitBytes: 1).cursor
        let ahead = StoreCursor(store: store.store.id, epoch: own.epoch, commit: Commit(own.commit.rawValue + 1))
        let past = StoreCursor(store: store.store.id, epoch: Epoch(run: 9, random: 9), commit: own.commit)
        for cursor in [ahead, past] {
            let error = #expect(throws: StoreError.self) {
                try store.store.changes(since: .cursor(cursor), for: alice, form: .messages, limitBytes: 1)
            }
            if case .cursorExpired = error {} else { Issue.record("\(String(describing: error))") }
        }
    }

    @Test("a cursor outlives starts of the server, but not a history that was lost")
    func restored() throws {
        let (directory, copy) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.fill(50)
        let alice = try store.user("alice")
        let early = try store.store.changes(since: .now, for: alice, form: .messages, limitBytes: 1).cursor
        // Given a copy of the whole directory, and more messages after it
        store.store.close()
        try Files.copy(directory.path, to: copy.path)
        try store.reopen()
        try store.post(["lost"])
        let late = try store.store.changes(since: .now, for: store.user("alice"), form: .messages, limitBytes: 1).cursor
        // When the copy is restored and gets other messages
        let restored = try TestStore(copy.path)
        try restored.post(["another", "history"])
        // Then the cursor of the shared part is good, and the later one is not
        var model = SyncModel(cursor: early)
        let answer = try restored.store.changes(
            since: .cursor(early), for: restored.user("alice"), form: .messages, limitBytes: 1 << 20)
        #expect(!answer.isEmpty)
        model.cursor = late
        let error = #expect(throws: StoreError.self) {
            try restored.store.changes(
                since: .cursor(late), for: restored.user("alice"), form: .messages, limitBytes: 1 << 20)
        }
        if case .cursorExpired = error {} else { Issue.record("\(String(describing: error))") }
    }

    @Test("a cursor that an earlier version has sealed is good")
    func sealed() throws {
        // Given seals that Python's hmac and hashlib have made of the bytes 0 to 15 as the secret
        let secret = try #require(ShortHashKey(bytes: Array(0..<16)))
        let epoch = Epoch(rawValue: 42)
        let continuation = StoreCursor.Continuation(
            target: Commit(1_234_999), conversation: ConversationID(high: 1, low: 2), seq: Seq(77))
        let seals: [(StoreCursor.Continuation?, String)] = [
            (nil, "eb7be6f65db811a229e34ee706e9112e"),
            (
                continuation,
                "6aac00452d8f1da030f694b7444529755d2fd499014496fd4b54f6fe5ad316cf5fa64e170c1c60afc0f031b3ec13551e"
            ),
        ]
        for (continuation, hex) in seals {
            let cursor = StoreCursor(
                storePrefix: 7, epoch: epoch, commit: Commit(1_234_567), continuation: continuation)
            let sealed = SealedCursor(storePrefix: 7, epoch: epoch, sealed: try #require(Hex.decode(hex[...])))
            // Then they open, and sealing gives them again
            #expect(CursorSeal(secret).open(sealed) == cursor)
            #expect(CursorSeal(secret).seal(cursor).sealed == sealed.sealed)
        }
    }
}
