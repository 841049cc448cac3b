import NatterConversation
import NatterSystem
import NatterLog
import NatterModel
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

@Suite("changes as values")
struct ChangeTests {
    private static func fileChanges(_ digest: Digest, _ time: Timestamp) -> [Change] {
        guard let id = FileID(bytes: digest.bytes) else { return [] }
        let row = FileRow(id: id, state: .uploaded, account: 1, size: 1 << 40, time: time)
        var named = row
        (named.state, named.conversation, named.seq) = (.named, 5, Seq(9))
        return [.fileSet(row), .fileSet(named)]
    }

    /// One of each kind.
    static var all: [Change] {
        var generator = SeededGenerator(seed: 7)
        let (one, other) = (AccountID(rawValue: 1), AccountID(rawValue: -2))
        let digest = Digest(of: [1, 2, 3])
        let id = ConversationID(using: &generator)
        let time = Timestamp(milliseconds: 1_795_000_000_123)
        let visit = Change.Visit(number: 3, time: time, address: "127.0.0.1")
        let sends = Scope.Grant(right: .write, name: "team", id: id)
        let reads = Scope.Grant(right: .read, name: "@bob", id: ConversationID(using: &generator))
        func token(_ scope: Scope) -> TokenState {
            TokenState(number: 9, account: one, scope: scope, label: "bot", created: time, expires: time)
        }
        return [
            .accountAdded(
                Change.NewAccount(
                    id: one, name: UserName(trusted: "жучка"), password: "$none", isAdmin: true, created: time)),
            .accountChanged(one, isDisabled: true, isAdmin: nil, password: "$other"),
            .displaySet(one, "Алиса Л."), .displaySet(one, nil),
            .visitsNoted(accounts: [visit], tokens: [visit, Change.Visit(number: 4, time: .zero, address: nil)]),
            .tokenAdded(digest, token(.all)), .tokenAdded(digest, token(.limited([sends]))),
            .tokenAdded(digest, token(.limited([sends, reads]))), .tokensRemoved([digest]),
            .sessionsEnded(one, keeping: digest, robots: false),
            .inviteAdded(digest, Change.Invite(maker: "alice", created: time, expires: time)), .inviteRemoved(digest),
            .conversationAdded(
                Change.NewConversation(
                    number: 5, id: id, kind: .personal, name: "", users: ["alice", "bob"],
                    accounts: AccountPair(one, other))),
            .groupChanged(5, name: "crew", isOpen: true), .groupDeleted(5),
            .memberPut(one, in: 5, ConversationState.Membership(isAdmin: true, since: Commit(77))),
            .memberPut(one, in: 5, ConversationState.Membership(isAdmin: false, since: Commit(77), adder: other)),
            .memberRemoved(one, from: 5), .contactSet(one, peer: other, isContact: false),
            .blockSet(one, peer: other, isBlocked: true),
            .readMarked(one, in: 5, ReadMark(seq: Seq(1 << 40), ownBefore: 3)),
            .noted(one, conversation: 5, .gone, data: "left crew"), .noted(one, conversation: 0, .contacts, data: nil),
            .audited(8, AuditEntry(time: time, actor: "alice", action: "user_added", subject: "bob")),
            .tailSealed(
                Change.SealedTail(
                    conversation: 5, lastSeq: Seq(9), hashAfter: digest, lastCommit: Commit(4),
                    content: SealedContent(serverTime: time, sent: ["alice": 3, "bob": 6]))),
            .importSettled(Change.SettledImport(conversation: 5, lastSeq: Seq(9), hashAfter: digest, uncounted: 2)),
            .importRemembered(
                Change.RememberedImport(
                    conversation: 5, file: digest, time: time,
                    keys: [Change.ImportedKey(hash: .max, seq: Seq(7), content: 1 << 63)])),
            .related(
                Relation(about: Seq(3), kind: .delete, seq: Seq(7), time: time), in: 5, author: "alice"),
            .related(Relation(about: Seq(3), kind: .text, seq: Seq(8), time: time), in: 5, author: nil),
            .erased([Change.ErasedMessage(seq: Seq(3), digest: digest)], in: 5),
            .erased(
                [
                    Change.ErasedMessage(seq: Seq(3), digest: digest, author: 7),
                    Change.ErasedMessage(seq: Seq(4), digest: digest),
                ], in: 5),
            .runEnded(5),
            .tailsMoved([Change.MovedTail(conversation: 5, lastSeq: Seq(9))]),
            .epochBegun(Epoch(run: 3, random: 9), first: Commit(12)),
        ] + fileChanges(digest, time)
    }

    @Test("a change comes out of its bytes as it went in")
    func roundTrip() throws {
        for change in ChangeTests.all {
            var bytes: [UInt8] = []
            change.encode(to: &bytes)
            let read = try bytes.withUnsafeBytes { raw in
                var reader = ByteReader(raw)
                let change = try Change.decode(&reader)
                #expect(reader.isAtEnd)
                return change
            }
            var again: [UInt8] = []
            read.encode(to: &again)
            #expect(again == bytes)
        }
    }

    @Test("a change that is cut short anywhere is refused, and none reads past its end")
    func cutShort() throws {
        for change in ChangeTests.all {
            var bytes: [UInt8] = []
            change.encode(to: &bytes)
            for count in 0..<bytes.count {
                #expect(throws: FormatViolation.self) {
                    try bytes[..<count].withUnsafeBytes { raw in
                        var reader = ByteReader(raw)
                        _ = try Change.decode(&reader)
                    }
                }
            }
        }
    }

    @Test("bytes that are no change are refused or read, never believed beyond their end")
    func noise() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<20_000 {
            let count = Int.random(in: 0..<60, using: &generator)
            var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
            if !bytes.isEmpty { bytes[0] = UInt8.random(in: 0...23, using: &generator) }
            bytes.withUnsafeBytes { raw in
                var reader = ByteReader(raw)
                _ = try? Change.decode(&reader)
            }
        }
    }

    @Test("an entry of the log comes out of its bytes, and any changed byte is noticed")
    func entries() throws {
        var messages = Batch()
        messages.append(
            conversation: 5,
            Record(seq: Seq(1), time: .zero, sender: [97], text: [98, 99], commit: Commit(3), salt: .newRun()),
            after: nil, key: Batch.Key(recent: RecentKey(account: 1, time: 4, hash: 2), content: 3))
        let author = LogEntry.Author(node: 4, attempt: 5)
        let entry = LogEntry(
            before: .start, author: author, commit: Commit(3), changes: ChangeTests.all, messages: SealedBatch(messages)
        )
        let data = entry.encode()
        let read = try LogEntry(decoding: data, before: .start, author: author)
        #expect(read.encode() == data && read.end == LogPlace.start.after(data))
        for index in stride(from: 0, to: data.count, by: 7) {
            var changed = data
            changed[index] ^= 0x10
            #expect(throws: (any Error).self) { try LogEntry(decoding: changed, before: .start, author: author) }
        }
    }

    @Test("an entry may have millions of changes, as an import of a long history with replies makes it")
    func manyChanges() throws {
        // Given an entry with more than a million changes, the shortest there are
        let changes = [Change](repeating: .runEnded(1), count: (1 << 20) + 1)
        let author = LogEntry.Author(node: 4, attempt: 5)
        let entry = LogEntry(before: .start, author: author, commit: Commit(3), changes: changes)
        // When another server reads it
        let read = try LogEntry(decoding: entry.encode(), before: .start, author: author)
        // Then all are there
        #expect(read.changes.count == changes.count)
    }

    @Test("rows and memory say the same: what is loaded again is what was there", arguments: TestEngine.all)
    func rowsAndMemory(engine: TestEngine) throws {
        let store = try engine.open()
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        _ = try waitFor { store.store.createGroup("team", isOpen: true, by: alice, $0) }.get()
        try store.put("bob", in: "team", isAdmin: true, by: alice)
        _ = try waitFor {
            store.store.changeGroup("team", newName: "crew", isOpen: false, by: bob, $0)
        }.get()
        try waitFor { store.store.removeMember("alice", from: "crew", by: alice, $0) }.get()
        try store.post(["one", "two"], to: "@bob")
        try store.post(["three"])
        _ = try waitFor { store.store.markRead(Seq(1), in: "general", for: bob, $0) }.get()
        _ = try waitFor { store.store.setBlocked("alice", true, for: bob, $0) }.get()
        _ = try waitFor { store.store.setContact("bob", true, for: alice, $0) }.get()
        _ = try waitFor {
            store.store.change("alice", AccountChange(isAdmin: true), by: "operator", asking: nil, $0)
        }.get()
        _ = try waitFor { store.store.addInvite(by: alice, expires: alice.created, $0) }.get()
        let carol = try UserName("carol")
        _ = try waitFor {
            store.store.addAccount(
                carol, password: PasswordHash(stored: "$none"), isAdmin: true, by: "operator", asking: nil, $0)
        }.get()
        try store.seal()
        let before = store.store.state.withLock { ChangeTests.description($0) }
        try store.reopen()
        #expect(store.store.state.withLock { ChangeTests.description($0) } == before)
    }

    /// The state that must be the same before and after a start.
    static func description(_ state: StoreState) -> [String] {
        var lines: [String] = []
        for (id, account) in state.accounts {
            lines.append(
                "\(id) \(account.name) \(account.isAdmin) \(account.isDisabled) \(account.contacts.sorted()) "
                    + "\(account.blocked.sorted()) \(account.reads.sorted { $0.key < $1.key }) \(account.lastChange) "
                    + "\(account.conversations.sorted())")
        }
        for (digest, token) in state.tokens {
            lines.append("\(digest) \(token.number) \(token.account) \(token.scope) \(token.label ?? "-")")
        }
        for (number, conversation) in state.conversations {
            lines.append(
                "\(number) \(conversation.identity.id) \(conversation.identity.users) \(conversation.name) \(conversation.isOpen) "
                    + "\(conversation.members.sorted { $0.key < $1.key }) \(conversation.head) \(conversation.headHash) "
                    + "\(conversation.sealedSeq) \(conversation.sent.sorted { $0.key < $1.key })")
        }
        lines.append("\(state.groups.sorted { $0.key < $1.key }) \(state.invites.count) \(state.commit)")
        lines.append("\(state.counters)")
        return lines.sorted()
    }

    @Test("a group that is renamed renames the scopes of its tokens, which are found among all others")
    func renamed() throws {
        var generator = SeededGenerator(seed: 1)
        let id = ConversationID(using: &generator)
        let own = Digest(of: Array("own".utf8))
        var state = StoreState()
        let new = Change.NewConversation(number: 5, id: id, kind: .group, name: "team", isOpen: true)
        Change.conversationAdded(new).apply(to: &state, at: Commit(1))
        // Given one token of the group and of another, and many others
        let (other, reads) = (ConversationID(using: &generator), Right.read)
        func scope(_ name: String) -> Scope {
            .limited([.init(right: .write, name: name, id: id), .init(right: reads, name: "board", id: other)])
        }
        for number in 1...100 as ClosedRange<Int64> {
            let isOwn = number == 77
            let token = TokenState(
                number: number, account: AccountID(rawValue: 1), scope: isOwn ? scope("team") : .all, label: "bot",
                created: .zero, expires: nil)
            state.add(token, isOwn ? own : Digest(of: Array("\(number)".utf8)))
        }
        #expect(state.groupTokens == [id: [own], other: [own]])
        Change.groupChanged(5, name: "crew", isOpen: true).apply(to: &state, at: Commit(2))
        #expect(state.tokens[own]?.scope == scope("crew"))
        state.removeToken(own)
        #expect(state.groupTokens.isEmpty)
    }

    @Test("an account that an operator adds as an admin is one from the first moment: it is one entry of the log")
    func adminInOneEntry() throws {
        let log = try SimulatedLog()
        let store = try TestStore(SharedEngine(log, sealsTails: true))
        let before = log.head.number
        let name = try UserName("root")
        let view = try waitFor {
            store.store.addAccount(
                name, password: PasswordHash(stored: "$none"), isAdmin: true, by: "operator", asking: nil, $0)
        }.get()
        #expect(view.isAdmin)
        #expect(log.head.number == before + 1)
        // Also after the next start
        try store.reopen()
        #expect(store.store.accountViews().first { $0.name == "root" }?.isAdmin == true)
        #expect(try store.store.audit(limit: 10).map(\.action) == ["user_added"])
    }
}
