import NatterModel
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// Pages of a half-sealed conversation, compared with a plain list.
@Suite("pages")
struct PageTests {
    /// Messages by alice and bob in turn, a second apart.
    private func conversation(_ count: Int) throws -> (TemporaryDirectory, TestStore, [Message]) {
        let directory = try TemporaryDirectory()
        let clock = TestClock(stepMilliseconds: 1)
        let store = try TestStore(directory.path, clock: clock)
        var all: [Message] = []
        for number in 1...count {
            clock.advance(milliseconds: 1_000)
            all += try store.post([TestStore.text(number)], by: number.isMultiple(of: 3) ? "bob" : "alice")
                .compactMap(\.message)
            if number == count / 2 { try store.seal() }
        }
        return (directory, store, all)
    }

    @Test("after, before and neither")
    func selectors() throws {
        let (directory, store, all) = try conversation(60)
        defer { withExtendedLifetime(directory) {} }
        // Neither: the newest, and later ones are still to come
        let newest = try store.page { $0.limit = 10 }
        #expect(newest.messages == Array(all.suffix(10)))
        #expect(newest.head == Seq(60) && !newest.more && newest.next == Seq(60))
        // After: the oldest first
        let first = try store.page { ($0.after, $0.limit) = (.zero, 25) }
        #expect(first.messages == Array(all.prefix(25)))
        #expect(first.more && first.next == Seq(25))
        let across = try store.page { ($0.after, $0.limit) = (Seq(25), 25) }
        #expect(across.messages == Array(all[25..<50]))
        let last = try store.page { ($0.after, $0.limit) = (Seq(50), 25) }
        #expect(last.messages == Array(all[50...]) && !last.more && last.next == Seq(60))
        let beyond = try store.page { $0.after = Seq(60) }
        #expect(beyond.messages.isEmpty && !beyond.more && beyond.next == Seq(60))
        // Before: the newest of them
        let earlier = try store.page { ($0.before, $0.limit) = (Seq(36), 10) }
        #expect(earlier.messages == Array(all[25..<35]))
        #expect(earlier.more && earlier.next == Seq(26))
        let start = try store.page { ($0.before, $0.limit) = (Seq(6), 10) }
        #expect(start.messages == Array(all.prefix(5)) && !start.more)
        #expect(try store.page { $0.before = Seq(1) }.messages.isEmpty)
        // Both: the messages between
        let between = try store.page { ($0.after, $0.before) = (Seq(20), Seq(40)) }
        #expect(between.messages == Array(all[20..<39]) && !between.more)
    }

    @Test("'around' returns both sides, and more of one if the other is short", arguments: [1, 2, 7, 30, 31, 59, 60])
    func around(seq: UInt64) throws {
        let (directory, store, all) = try conversation(60)
        defer { withExtendedLifetime(directory) {} }
        let page = try store.page { ($0.around, $0.limit) = (Seq(seq), 10) }
        #expect(page.messages.count == 10)
        #expect(page.messages.contains { $0.seq == Seq(seq) })
        let first = Int(try #require(page.messages.first).seq.rawValue)
        #expect(page.messages == Array(all[first - 1..<first + 9]))
    }

    @Test(
        "'around' has the message itself, also if those before it are edited into long ones", arguments: [60, 90, 100])
    func aroundFolded(seq: UInt64) throws {
        let (directory, store, _) = try conversation(100)
        defer { withExtendedLifetime(directory) {} }
        let alice = try store.user("alice")
        for about in 1...100 as ClosedRange<UInt64> where !about.isMultiple(of: 3) {
            let text = String(repeating: "long ", count: 6_000)
            _ = store.post(
                [NewMessage(conversation: "general", text: text, key: nil, kind: .edit, about: Seq(about))], by: alice)
        }
        let page = try store.page { ($0.around, $0.isFolded) = (Seq(seq), true) }
        #expect(page.messages.contains { $0.seq == Seq(seq) }, "\(page.messages.map(\.seq))")
        #expect(page.messages.first.map { $0.seq < Seq(seq) } == true)
    }

    @Test("filters by time and sender, going on page by page, miss and repeat nothing", arguments: UInt64(1)...20)
    func filters(seed: UInt64) throws {
        let (directory, store, all) = try conversation(120)
        defer { withExtendedLifetime(directory) {} }
        var generator = SeededGenerator(seed: seed)
        for _ in 0..<20 {
            // Given some filter
            let times = [all.randomElement(using: &generator)?.time, all.randomElement(using: &generator)?.time]
                .compactMap { $0 }
            let since = Bool.random(using: &generator) ? times.min() : nil
            let until = Bool.random(using: &generator) ? times.max() : nil
            let sender = [nil, "bob", "alice", "nobody"].randomElement(using: &generator) ?? nil
            let limit = Int.random(in: 1...30, using: &generator)
            let expected = all.filter { message in
                (since.map { message.time >= $0 } ?? true) && (until.map { message.time < $0 } ?? true)
                    && (sender.map { message.sender == $0 } ?? true)
            }
            // When it is read forwards, and backwards
            var forwards: [Message] = []
            var after = Seq.zero
            for _ in 0..<200 {
                let page = try store.page {
                    ($0.after, $0.since, $0.until, $0.sender, $0.limit) = (after, since, until, sender, limit)
                }
                #expect(page.messages.count <= limit)
                forwards += page.messages
                #expect(!page.more || page.next > after)
                after = page.next
                if !page.more { break }
            }
            var backwards: [Message] = []
            var before = Seq(121)
            for _ in 0..<200 where since == nil {
                let page = try store.page {
                    ($0.before, $0.until, $0.sender, $0.limit) = (before, until, sender, limit)
                }
                backwards = page.messages + backwards
                #expect(!page.more || page.next < before)
                before = page.next
                if !page.more { break }
            }
            // Then both find the same as a list
            #expect(forwards == expected)
            if since == nil { #expect(backwards == expected) }
        }
    }

    @Test("a message's cursor is good for its own conversation and history only")
    func cursors() throws {
        let (directory, store, all) = try conversation(60)
        defer { withExtendedLifetime(directory) {} }
        let alice = try store.user("alice")
        for message in all {
            #expect(try store.store.position(message.cursor.description, in: "general", for: alice) == message.seq)
        }
        try store.post(["elsewhere"], to: "@me")
        #expect(throws: StoreError.badCursor("the cursor is of another conversation, or of a former one of this name"))
        {
            try store.store.position(all[3].cursor.description, in: "@me", for: alice)
        }
        #expect(throws: StoreError.self) { try store.store.position("nonsense", in: "general", for: alice) }
        let sync = try store.store.changes(since: .now, for: alice, form: .messages, limitBytes: 1_000).cursor
        #expect(throws: StoreError.badCursor("this is a cursor of sync, not of a message")) {
            try store.store.position(store.store.text(of: sync), in: "general", for: alice)
        }
        // Ahead of the head, and with another history's hash
        let ahead = MessageCursor(conversation: all[0].conversationID, seq: Seq(61), hashPrefix: 1)
        let foreign = MessageCursor(conversation: all[0].conversationID, seq: Seq(5), hashPrefix: 1)
        for cursor in [ahead, foreign] {
            let error = #expect(throws: StoreError.self) {
                try store.store.position(cursor.description, in: "general", for: alice)
            }
            if case .cursorExpired = error {} else { Issue.record("\(String(describing: error))") }
        }
    }
}
