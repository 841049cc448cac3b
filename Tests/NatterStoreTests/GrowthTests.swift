@testable import NatterConversation
import NatterSystem
import NatterLog
import NatterModel
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// Compares the counts and lists that keep a large store fast with the plain things that they stand for.
@Suite("what does not grow")
struct GrowthTests {
    @Test("those who are online are counted among those seen lately, by the next server too")
    func online() throws {
        let store = try TestStore(users: ["alice", "bob", "carol"])
        func isRight(_ count: Int) -> Bool {
            store.store.statistics().online == count && store.store.accountViews().count(where: \.isOnline) == count
        }
        #expect(isRight(3))
        let (alice, bob) = (try store.user("alice").account, try store.user("bob").account)
        store.store.noteWaiting(alice, 1)
        store.clock.advance(milliseconds: 100_000)
        #expect(isRight(1))
        store.store.noteWaiting(bob, 1)
        store.store.noteWaiting(bob, -1)
        #expect(isRight(2))
        store.store.noteWaiting(alice, -1)
        store.clock.advance(milliseconds: 100_000)
        #expect(isRight(0))
        store.store.noteWaiting(bob, 1)
        try store.reopen()
        #expect(isRight(1))
    }

    @Test(
        "a tail in parts is the same as one in a piece, whoever keeps copies", arguments: 1...8 as ClosedRange<UInt64>)
    func parts(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let id = ConversationID(high: 1, low: seed)
        var parts = TailParts(firstSeq: Seq(1), hashBefore: HashChain.start(of: id))
        var model: [(record: Record, hash: Digest)] = []
        var dropped = 0
        var copies: [(parts: TailParts, seqs: ClosedRange<Seq>?)] = []
        var (hash, commit) = (HashChain.start(of: id), Commit.zero)
        for _ in 0..<400 {
            switch Int.random(in: 0..<20, using: &random) {
            case 0:
                copies.append(
                    (parts, model.first.flatMap { first in model.last.map { first.record.seq...$0.record.seq } }))
            case 1 where !model.isEmpty:
                // The sealer takes whole parts, an import all of it, another server anything.
                let count = Int.random(in: 1...model.count, using: &random)
                let last = model[count - 1]
                parts.drop(upTo: last.record.seq, hash: last.hash)
                model.removeFirst(count)
                dropped += count
            default:
                commit = commit.next
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let seq = Seq(UInt64(dropped + model.count + 1))
                    let size = Bool.random(using: &random) ? 20_000 : 30
                    let text = [UInt8](repeating: UInt8.random(in: 97...122, using: &random), count: size)
                    let label = Bool.random(using: &random) ? [UInt8](repeating: text[0], count: size / 4) : nil
                    let record = Record(
                        seq: seq, time: Timestamp(milliseconds: Int64(seq.rawValue)), sender: Array("alice".utf8),
                        text: text[...], via: label, commit: commit, salt: .newRun())
                    hash = HashChain.advance(hash, over: record)
                    parts.append(record, hash: hash)
                    model.append((record, hash))
                }
            }
            #expect(parts.count == model.count && parts.isEmpty == model.isEmpty && parts.hash == hash)
            #expect(parts.firstSeq == Seq(UInt64(dropped + 1)) && parts.firstCommit == model.first?.record.commit)
            #expect(
                parts.lastSeq == Seq(UInt64(dropped + model.count)) && parts.lastCommit == model.last?.record.commit)
            let asked = Commit(UInt64.random(in: 0...commit.rawValue + 1, using: &random))
            #expect(parts.count(upTo: asked) == model.count { $0.record.commit <= asked })
            let seq = Seq(UInt64.random(in: 0...UInt64(dropped + model.count + 2), using: &random))
            let block = parts.block(containing: seq)
            #expect(block?.records[seq] == model.first { $0.record.seq == seq }?.record)
        }
        #expect(parts.blocks.flatMap { $0.hashes(0..<$0.records.count) } == model.map(\.hash))
        // Each part but the last is one block, and says the chain before it.
        for (part, next) in zip(parts.blocks, parts.blocks.dropFirst()) {
            let count = part.records.count
            #expect(part.records.blockCount(from: 0, targetBytes: Block.targetRawBytes) == count)
            #expect(part.hash(after: count - 1) == next.hashBefore)
        }
        for copy in copies {
            let seqs = copy.parts.blocks.map { $0.records.firstSeq...$0.records.lastSeq }
            #expect(seqs.first?.lowerBound == copy.seqs?.lowerBound && seqs.last?.upperBound == copy.seqs?.upperBound)
        }
    }

    @Test(
        "names are found by what is in them, and stay in order, whichever comes next",
        arguments: 1...4 as ClosedRange<UInt64>)
    func names(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var names = AccountNames()
        var model: [(key: String, id: AccountID)] = []
        for number in 1...150 {
            let key = (0..<Int.random(in: 1...4, using: &random)).reduce(into: "") { key, _ in
                key += ["a", "b", "ab", "ж", "-"].randomElement(using: &random) ?? ""
            }
            guard !model.contains(where: { $0.key == key }) else { continue }
            names.add(key, AccountID(rawValue: Int64(number)))
            model.append((key, AccountID(rawValue: Int64(number))))
            model.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            #expect(names.ids == model.map(\.id) && model.indices.map(names.key) == model.map(\.key))
            let range = Int.random(in: 0...model.count, using: &random)..<model.count
            #expect(names.index(behind: key) == model.firstIndex { $0.key == key }.map { $0 + 1 })
            for part in ["", "a", "b", "ba", "ж", "bж", "ab-", "zz", "a\0", "\0"] {
                let bytes = Array(part.utf8)
                let expected = range.first { bytes.isEmpty || Array(model[$0].key.utf8).firstRange(of: bytes) != nil }
                #expect(names.firstIndex(in: range, with: bytes) == expected, "\(part) in \(model), \(range)")
            }
        }
    }

    @Test(
        "pages of users by a part of their names or a glob have each of them once, also if the filter leaves one empty")
    func users() throws {
        let all = ["alice", "albert", "bob", "carol", "dalia", "[al]", "Мария", "марк"]
        let store = try TestStore(users: all)
        for (pattern, expected) in [
            ("AL", ["[al]", "albert", "alice", "dalia"]), ("al*", ["albert", "alice"]), ("*o?", ["bob", "carol"]),
            ("мар", ["Мария", "марк"]),
            ("[al]", ["[al]"]), ("*р[а-к]", ["марк"]), ("x", []), ("*", []),
        ] {
            var (found, after): ([String], String?) = ([], nil)
            while true {
                let page = store.store.users(UserQuery(pattern: pattern, onlineOnly: false, after: after, limit: 1))
                found += page.users.map(\.name)
                after = page.next
                if !page.more { break }
            }
            let whole = pattern == "*" ? all : expected
            #expect(
                found == whole.sorted { NameRule.caseKey($0).utf8.lexicographicallyPrecedes(NameRule.caseKey($1).utf8) }
            )
        }
    }

    @Test("pages of conversations follow new, renamed and left ones, by name")
    func listing() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let alice = try store.user("alice")
        func names(_ limit: Int) throws -> [String] {
            var names: [String] = []
            while true {
                let page = try store.store.conversations(of: alice, after: names.last, limit: limit)
                names += page.conversations.map(\.name)
                if !page.more { return names }
            }
        }
        var expected = ["general"]
        for number in 0..<12 {
            _ = try waitFor { store.store.createGroup("team-\(number)", isOpen: true, by: alice, $0) }.get()
            expected.append("team-\(number)")
            if number.isMultiple(of: 3) {
                _ = try store.user("user\(number)")
                try store.post(["hello"], to: "@user\(number)")
                expected.append("@user\(number)")
            }
            #expect(try names(5) == expected.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        }
        _ = try waitFor { store.store.changeGroup("team-3", newName: "a-crew", isOpen: nil, by: alice, $0) }.get()
        expected[try #require(expected.firstIndex(of: "team-3"))] = "a-crew"
        _ = try waitFor { store.store.deleteGroup("team-5", by: alice, $0) }.get()
        expected.removeAll { $0 == "team-5" }
        let sorted = expected.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        for limit in [1, 3, sorted.count, 1_000] { #expect(try names(limit) == sorted) }
        try store.reopen()
        let again = try store.user("alice")
        #expect(
            try store.store.conversations(of: again, after: "a-crew", limit: 2).conversations.map(\.name)
                == Array(sorted[(try #require(sorted.firstIndex(of: "a-crew")) + 1)...].prefix(2)))
    }

    @Test("pages of groups have open ones and those that one is in, by name, and follow every change")
    func groups() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let (alice, bob) = (try store.user("alice"), try store.user("bob"))
        func names(_ principal: Principal, limit: Int = 2) -> [String] {
            var names: [String] = []
            while true {
                let page = store.store.groups(of: principal, after: names.last, limit: limit)
                names += page.groups.map(\.name)
                if !page.more { return names }
            }
        }
        func change(_ name: String, newName: String? = nil, isOpen: Bool? = nil) throws {
            _ = try waitFor { store.store.changeGroup(name, newName: newName, isOpen: isOpen, by: alice, $0) }.get()
        }
        for number in 0..<6 {
            _ = try waitFor {
                store.store.createGroup("Team-\(number)", isOpen: number.isMultiple(of: 2), by: alice, $0)
            }.get()
        }
        #expect(names(alice) == (0..<6).map { "Team-\($0)" })
        #expect(names(bob) == ["Team-0", "Team-2", "Team-4"])
        // Bob is in an open one of these and in a private one
        for name in ["Team-2", "Team-3"] {
            try store.put("bob", in: name, by: alice)
        }
        #expect(names(bob) == ["Team-0", "Team-2", "Team-3", "Team-4"])
        try change("Team-0", isOpen: false)
        try change("Team-1", newName: "another", isOpen: true)
        try change("Team-3", newName: "Zoo")
        #expect(names(bob) == ["another", "Team-2", "Team-4", "Zoo"])
        _ = try waitFor { store.store.deleteGroup("Team-4", by: alice, $0) }.get()
        _ = try waitFor { store.store.removeMember("bob", from: "Zoo", by: bob, $0) }.get()
        for limit in [1, 2, 100] {
            #expect(names(bob, limit: limit) == ["another", "Team-2"])
            #expect(names(alice, limit: limit) == ["another", "Team-0", "Team-2", "Team-5", "Zoo"])
        }
    }

    @Test("whoever asks what a message says now pays for one edit, however many it has")
    func edits() throws {
        let store = try TestStore()
        try store.post(["first"])
        let edits = (1...3_000).map {
            NewMessage(conversation: "general", text: "edit \($0)", key: nil, kind: .edit, about: Seq(1))
        }
        _ = store.post(edits, by: try store.user("alice"))
        let number = store.store.state.withLock { $0.general }
        try store.store.withReader { archive in
            let budget = WorkBudget(steps: 1_000, pages: 100)
            let changes = try archive.connection.limited(to: budget) {
                try RelationRows.changes(Seq(1)...Seq(3_001), of: number, on: archive.connection)
            }
            #expect(changes.keys.map(\.rawValue) == [1] && changes[Seq(1)]?.newestEdit?.seq == Seq(3_001))
        }
    }

    @Test("work waits for the end of a burst, but not for ever")
    func burst() {
        var burst = Burst()
        #expect(burst.end == nil)
        burst.note(at: 1_000)
        #expect(burst.end == 1_000 + Burst.quiet)
        for time in stride(from: Int64(1_000), through: 5_000, by: 100) { burst.note(at: time) }
        #expect(burst.end == 1_000 + Burst.most)
    }

    @Test("the last message of a sealed conversation is listed without its block", .aboutFiles)
    func newest() throws {
        let store = try TestStore()
        try store.seal(after: 2_000)
        let before = try store.store.conversation("general", for: try store.user("alice"))
        #expect(before.last?.text == TestStore.text(2_000))
        // Given that no block can be read
        let logs = try store.logs()
        let contents = try logs.map { try PosixDisk().open($0, .readWrite) }
        for file in contents { try file.write([UInt8](repeating: 0, count: Int(try file.size())), at: 0) }
        let after = try store.store.conversation("general", for: try store.user("alice"))
        #expect(after.last == before.last && after.hash == before.hash)
    }

    @Test("unread messages are the same in a tail, sealed, and after a start")
    func unread() throws {
        let store = try TestStore(users: ["alice", "bob"])
        for (number, name) in ["alice", "bob", "bob", "alice", "bob"].enumerated() {
            try store.post(["message \(number)"], by: name)
        }
        func counts() throws -> [UInt64] {
            try ["alice", "bob"].map { try store.store.conversation("general", for: try store.user($0)).unread }
        }
        #expect(try counts() == [3, 2])
        try store.seal()
        #expect(try counts() == [3, 2])
        try store.post(["one more"], by: "alice")
        #expect(try counts() == [3, 3])
        try store.reopen()
        #expect(try counts() == [3, 3])
    }

    @Test("the order of commits names each conversation with news", arguments: 1...4 as ClosedRange<UInt64>)
    func order(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let store = try TestStore(users: ["alice", "bob"])
        let alice = try store.user("alice")
        for number in 0..<6 {
            _ = try waitFor { store.store.createGroup("team-\(number)", isOpen: true, by: alice, $0) }.get()
        }
        for round in 0..<120 {
            let number = Int.random(in: 0..<6, using: &random)
            try store.post(["message \(round)"], to: round.isMultiple(of: 5) ? "general" : "team-\(number)")
            store.store.state.withLock { state in
                let commit = Commit(UInt64.random(in: 0...state.commit.rawValue, using: &random))
                let all = state.visible(to: alice).filter { $0.lastCommit > commit }.map(\.identity.number)
                let found = state.visible(to: alice, after: commit).filter { $0.lastCommit > commit }
                    .map(\.identity.number)
                #expect(Set(found) == Set(all) && found.count == all.count)
                // With nothing new, nothing is looked at.
                #expect(state.commitOrder?.changed(after: state.commit, most: 0) == [])
            }
        }
    }
}
