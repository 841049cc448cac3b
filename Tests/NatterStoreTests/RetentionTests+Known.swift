import NatterModel
import StoreSupport
import SystemSupport
import Testing

@testable import NatterStore

/// The store still knows these things of messages that are not kept.
extension RetentionTests {
    @Test("a number below the first message begins with it; a cursor there is 410, the one just before it is good")
    func cursors() throws {
        let store = try Self.store()
        let messages = try store.all()
        _ = try Self.retain(70, store)
        let alice = try store.user("alice")
        #expect(try store.page { $0.after = Seq(10) }.messages.first?.seq == Seq(6_001))
        #expect(try store.page { $0.around = Seq(10) }.messages.first?.seq == Seq(6_001))
        let back = try store.page { $0.before = Seq(6_003) }
        #expect(back.messages.map(\.seq) == [Seq(6_001), Seq(6_002)])
        #expect(!back.more)
        #expect(throws: StoreError.notKept(first: Seq(6_001))) {
            try store.store.position("\(messages[9].cursor)", in: "general", for: alice)
        }
        #expect(try store.store.position("\(messages[5_999].cursor)", in: "general", for: alice) == Seq(6_000))
        #expect(throws: StoreError.noSuchMessage(Seq(7), conversation: "general")) {
            try store.store.message(Seq(7), in: "general", isFolded: false, for: alice)
        }
        // A message that is gone can't be answered, edited or deleted
        let reply = NewMessage(conversation: "general", text: "re", key: nil, about: Seq(7))
        guard case .badAbout? = store.post([reply], by: alice).first?.refusal else {
            Issue.record("a reply to a message that is gone was taken")
            return
        }
    }

    @Test("edits of a message that is gone stay as records; folded pages pass over them")
    func editsOfWhatIsGone() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post(["original"])
        try store.seal()
        store.clock.advance(milliseconds: 80 * Self.day)
        _ = store.post(
            [NewMessage(conversation: "general", text: "edited", key: nil, kind: .edit, about: Seq(1))], by: alice)
        try store.post(["text"])
        try store.seal()
        _ = try Self.retain(70, store)
        #expect(try store.all().map(\.text) == ["edited", "text"])
        #expect(try store.page { ($0.after, $0.isFolded) = (.zero, true) }.messages.map(\.text) == ["text"])
    }

    @Test("an edit of a deleted message stays hidden when the message is gone, also after a restart")
    func deletedOriginalIsGone() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let alice = try store.user("alice")
        try store.post(["original"])
        try store.seal()
        store.clock.advance(milliseconds: 80 * Self.day)
        for (kind, text) in [(MessageKind.edit, "secret"), (.delete, "")] {
            _ = store.post(
                [NewMessage(conversation: "general", text: text, key: nil, kind: kind, about: Seq(1))], by: alice)
        }
        try store.post(["text"])
        try store.seal()
        _ = try Self.retain(70, store)
        for _ in 1...2 {
            #expect(try store.all().map(\.text) == ["", "", "text"])
            #expect(try store.store.conversation("general", for: store.user("bob")).unread == 1)
            try store.reopen()
        }
        // First the edit is due to be erased, and then nothing
        store.store.eraseDeleted(after: 0)
        for _ in 1...2 {
            store.erasesDue()
        }
        #expect(try store.all().filter(\.isErased).map(\.seq) == [Seq(2)])
        let logs = try store.logs()
        store.erasesDue()
        #expect(try store.logs() == logs)
    }

    @Test("the id of a message that is not kept any more is still known: nothing is sent again, and nothing is damaged")
    func repeatedID() throws {
        let store = try TestStore()
        try store.post(["old"], key: "k")
        try store.seal()
        store.clock.advance(milliseconds: 8 * Self.day)
        try store.post(["new"])
        #expect(try Self.retain(7, store).first == Seq(2))
        let outcome = try store.post(["old"], key: "k").first
        guard case .repeated(let message) = outcome else {
            Issue.record("\(String(describing: outcome))")
            return
        }
        #expect(message.seq == Seq(1) && message.isErased && message.text == "" && message.sender == "")
        #expect(try store.all().map(\.text) == ["new"])
    }

    @Test("an imported text whose original was erased because it was edited is known to a later import")
    func importedEdit() throws {
        let store = try TestStore()
        let times = (Timestamp(milliseconds: 1_600_000_000_000), Timestamp(milliseconds: 1_600_000_500_000))
        let (sender, text) = (Array("x".utf8), Array("newer".utf8))
        func importing() throws -> ImportStanding {
            let importer = try StoreImporter(merging: "general", of: store.store)
            defer { importer.abandon() }
            let standing = importer.standing(time: times.0, sender: sender, text: text, edited: times.1)
            if standing == .new {
                let place = try importer.append(time: times.0, sender: sender, text: text)
                try importer.append(time: times.1, sender: sender, text: text, kind: .edit, about: place)
            }
            _ = try importer.finish()
            return standing
        }
        #expect(try importing() == .new)
        store.store.eraseDeleted(after: 0)
        store.erasesDue()
        #expect(try store.all().map(\.isErased) == [true, false])
        #expect(try importing() == .known(Seq(1)))
        #expect(try store.all().count == 2)
    }

    @Test("a reader without a cursor learns which messages were erased that are not kept any more")
    func erasedLater() throws {
        let store = try TestStore()
        try store.post(["old", "older than it seems"])
        try store.seal()
        store.clock.advance(milliseconds: 80 * Self.day)
        try store.post(["new"])
        #expect(try Self.retain(70, store).first == Seq(3))
        _ = try waitFor { store.store.erase([Seq(2)...Seq(2)], in: "general", by: "test", $0) }.get()
        for form in [SyncAnswer.Form.messages, .blocks] {
            let answer = try store.store.changes(
                since: .start, for: store.user("alice"), form: form, limitBytes: 1 << 20)
            var erased: [Seq] = []
            while let chunks = try answer.next() {
                for case .erased(_, let seqs) in chunks { erased += seqs }
            }
            #expect(erased == [Seq(2)])
        }
    }
}
