import Glibc
import NatterConversation
import NatterLog
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// A message as import and export see it.
struct PlainMessage: Equatable {
    var time: Int64
    var sender: String
    var text: String
}

extension TestStore {
    @discardableResult
    func importing(
        _ messages: [PlainMessage], into name: String = "general",
        sizes: StagedFiles.Sizes = StagedFiles.Sizes()
    ) throws -> StoreImporter.Summary {
        let importer = try StoreImporter(into: name, of: store, sizes: sizes)
        for message in messages {
            try importer.append(
                time: Timestamp(milliseconds: message.time), sender: Array(message.sender.utf8),
                text: Array(message.text.utf8))
        }
        return try importer.finish()
    }

    /// The messages of an export, and the ranges that it reports as missing.
    func exporting(_ name: String = "general") throws -> (messages: [PlainMessage], missing: [ClosedRange<Seq>]) {
        let exporter = try StoreExporter(name, of: store)
        var messages: [PlainMessage] = []
        var missing: [ClosedRange<Seq>] = []
        while let piece = try exporter.next() {
            switch piece {
            case .damaged(let from, let to, _): missing.append(from...to)
            case .folded: break
            case .messages(let found):
                found.forEach { _, time, sender, _, text in
                    messages.append(
                        PlainMessage(
                            time: time.milliseconds, sender: String(decoding: sender, as: UTF8.self),
                            text: String(decoding: text, as: UTF8.self)))
                }
            }
        }
        return (messages, missing)
    }

    /// Everything that fsck finds; the store must be closed.
    func damages() throws -> [StoreDamage] {
        var found: [StoreDamage] = []
        _ = try StoreCheck.run(directory) { found.append($0) }
        return found
    }

    /// Closes the store, in which fsck then finds nothing.
    func endsSound(at location: SourceLocation = #_sourceLocation) throws {
        store.close()
        #expect(try damages() == [], sourceLocation: location)
    }
}

@Suite("import and export")
struct ImportTests {
    /// Messages with times that go back and forth, senders that are no users, some without text.
    private func messages(_ count: Int, seed: UInt64 = 1) -> [PlainMessage] {
        var generator = SeededGenerator(seed: seed)
        return (1...count).map { number in
            PlainMessage(
                time: 1_100_000_000_000 + Int64(number) * 1_000 - Int64.random(in: 0..<100_000, using: &generator),
                sender: ["|trey|", "Маша", "alice", String(repeating: "n", count: 64)].randomElement(using: &generator)
                    ?? "",
                text: Int.random(in: 0..<20, using: &generator) == 0 ? "" : TestStore.text(number))
        }
    }

    @Test(
        "imported messages are exported again, also from a new group and after existing messages",
        arguments: [0, 1, 100, 20_000])
    func roundTrip(count: Int) throws {
        let store = try TestStore()
        try store.post(["before"])
        let input = count == 0 ? [] : messages(count)
        // When they are imported into a conversation with a tail, and into a new group
        // (with sizes small enough for a dictionary of a sample, and for several files)
        let sizes = StagedFiles.Sizes(sample: 300_000, segment: 200_000)
        let summary = try store.importing(input, sizes: sizes)
        #expect(summary.count == UInt64(count))
        if count > 0 { #expect(summary.first == Seq(2) && summary.last == Seq(UInt64(count) + 1)) }
        try store.importing(input, into: "archive")
        // Then they come out as they went in, now and after a start
        for _ in 1...2 {
            #expect(try store.exporting().messages.dropFirst() == input[...])
            #expect(try store.exporting("ARCHIVE").messages == input)
            try store.reopen()
        }
        // All is sealed, the tail before them too, and the store is whole
        if count > 0 { #expect(store.store.statistics().unsealedMessages == 0) }
        if count > 1_000, !store.store.isShared { #expect(try store.logs().count > 2) }
        try store.endsSound()
        #expect(try store.staged() == [])
    }

    @Test("imported history is never unread, and what was sent later stays the newest; who comes later has read all")
    func history() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post(["one", "two"], by: "bob")
        try store.importing(messages(3_000))
        for _ in 0..<2 {
            let view = try store.store.conversation("general", for: alice)
            #expect(view.unread == 2 && view.head == Seq(3_002) && view.last?.text == "two")
            let page = try store.page { $0.limit = 2 }
            #expect(page.messages.map(\.text) == ["one", "two"] && !page.more && page.next == Seq(3_002))
            try store.reopen()
        }
        let carol = try store.user("carol")
        var view = try store.store.conversation("general", for: carol)
        #expect(view.read == Seq(3_002) && view.unread == 0)
        try store.post(["three"], by: "bob")
        view = try store.store.conversation("general", for: carol)
        #expect(view.unread == 1 && view.last?.text == "three")
        let marked = try waitFor { store.store.markRead(Seq(1_000), in: "general", for: alice, $0) }.get()
        #expect(try marked == Seq(1_000) && store.store.conversation("general", for: alice).unread == 1)
    }

    @Test("imported messages are read and synced like others, and are marked as imported")
    func visible() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        let cursor = try store.store.changes(since: .now, for: alice, form: .messages, limitBytes: 1).cursor
        let input = messages(3_000)
        try store.importing(input)
        let own = try #require(try store.post(["now"]).first?.message)
        let all = try store.all()
        #expect(all.map(\.isImported) == Array(repeating: true, count: 3_000) + [false])
        #expect(all.last == own && own.seq == Seq(3_001))
        // Times that others gave do not hold up the server's clock, nor does it go back to them
        #expect(own.time > Timestamp(milliseconds: 1_795_000_000_000))
        var model = SyncModel(cursor: cursor)
        try model.sync(store, as: "alice", form: .blocks, limitBytes: 100_000)
        #expect(model.messages.values.first == all)
        // Time selects among them although it goes back
        let since = Timestamp(milliseconds: 1_100_002_000_000)
        let page = try store.page {
            ($0.since, $0.until, $0.limit) = (since, Timestamp(milliseconds: 1_100_002_010_000), 1_000)
        }
        #expect(
            page.messages.map(\.time.milliseconds)
                == input.map(\.time).filter { (1_100_002_000_000..<1_100_002_010_000).contains($0) })
    }

    @Test("an imported time ahead of the clock does not move the clock, also after a start")
    func ahead() throws {
        let store = try TestStore()
        let tomorrow = store.clock.now().milliseconds + 86_000_000
        try store.importing([PlainMessage(time: tomorrow, sender: "a", text: "b")])
        #expect(try store.post(["x"]).first?.message?.time.milliseconds ?? 0 < tomorrow)
        try store.reopen()
        #expect(try store.post(["x"]).first?.message?.time.milliseconds ?? 0 < tomorrow)
    }

    @Test("a bad message leaves no trace of an import")
    func badMessage() throws {
        let store = try TestStore()
        try store.post(["before"])
        let good = PlainMessage(time: 0, sender: "a", text: "b")
        let bad: [(PlainMessage, ImportedMessageError)] = [
            (PlainMessage(time: 0, sender: "", text: ""), .senderLength(bytes: 0)),
            (PlainMessage(time: 0, sender: String(repeating: "x", count: 65), text: ""), .senderLength(bytes: 65)),
            (PlainMessage(time: 0, sender: "a\0", text: ""), .senderContainsNul),
            (PlainMessage(time: 0, sender: "a", text: "\0"), .text(.containsNul)),
            (
                PlainMessage(time: 0, sender: "a", text: String(repeating: "x", count: 65_537)),
                .text(.tooLong(bytes: 65_537))
            ),
            (PlainMessage(time: .min, sender: "a", text: ""), .timeOutOfRange(.min)),
            (PlainMessage(time: .max, sender: "a", text: ""), .timeOutOfRange(.max)),
        ]
        for (message, reason) in bad {
            #expect(throws: ImportError.badMessage(reason)) {
                try store.importing(messages(5_000) + [good, message], into: "new")
            }
        }
        let error = #expect(throws: ImportError.self) {
            try store.importing([PlainMessage(time: store.clock.now().milliseconds + 86_500_000, sender: "a", text: "")]
            )
        }
        if case .badMessage(.timeAhead) = error {} else { Issue.record("\(String(describing: error))") }
        // Nothing is left of them, not even the group
        #expect(throws: StoreError.noSuchConversation("new")) { try store.exporting("new") }
        #expect(try store.exporting().messages.map(\.text) == ["before"])
        #expect(try store.staged() == [])
        try store.endsSound()
    }

    @Test("names that no group can have, and personal conversations, are refused")
    func names() throws {
        let store = try TestStore()
        #expect(throws: ImportError.personal("@alice,@bob")) { try store.importing([], into: "@alice,@bob") }
        #expect(throws: ImportError.badName("a b", .forbiddenCharacter("white space"))) {
            try store.importing([], into: "a b")
        }
        #expect(throws: ImportError.badName("me", .reserved)) { try store.importing([], into: "me") }
        _ = try store.user("alice")
        #expect(throws: StoreError.noSuchUser("eve")) { try store.exporting("@alice,@eve") }
        _ = try store.user("bob")
        #expect(try store.exporting("@alice,@bob").messages == [])
        try store.post(["hello"], to: "@bob")
        #expect(try store.exporting("@bob,@alice").messages.map(\.text) == ["hello"])
        #expect(throws: StoreError.noSuchConversation("@alice")) { try store.exporting("@alice") }
    }

    @Test(
        "an import is appended in one piece after concurrent messages, and delays nobody",
        arguments: [false, true])
    func importAmongOthers(isNew: Bool) throws {
        let store = try TestStore()
        try store.fill(50)
        // Given an import that has begun, and whose files are written
        let name = isNew ? "new" : "general"
        let sizes = StagedFiles.Sizes(sample: 100_000, segment: 100_000)
        let importer = try StoreImporter(into: name, of: store.store, sizes: sizes)
        let imported = messages(20_000)
        for message in imported {
            try importer.append(
                time: Timestamp(milliseconds: message.time), sender: Array(message.sender.utf8),
                text: Array(message.text.utf8))
        }
        // When others write before it ends, sealed and not
        try store.seal(after: 3_000)
        try store.post(["the last before it"])
        let before = try store.all().map(\.text)
        let summary = try importer.finish()
        try store.post(["the first after it"])
        // Then all of it follows the existing messages, with its own seqs and times
        let texts = imported.map(\.text)
        #expect(summary.count == 20_000)
        #expect(summary.first == Seq(isNew ? 1 : UInt64(before.count + 1)))
        for _ in 1...2 {
            #expect(
                try store.exporting(name).messages.map(\.text).suffix(isNew ? 20_000 : 20_001).prefix(20_000)
                    == texts[...])
            #expect(
                try store.all().map(\.text)
                    == before + (isNew ? [] : texts) + ["the first after it"])
            // and a reader who was up to date gets exactly it, also after a restart
            try store.reopen()
        }
        try store.endsSound()
    }

    @Test("a sync from before an import brings it, whatever was committed while it was packed")
    func importAndSync() throws {
        let store = try TestStore()
        let importer = try StoreImporter(into: "general", of: store.store)
        try importer.append(time: Timestamp(milliseconds: 1), sender: Array("x".utf8), text: Array("imported".utf8))
        // Given a reader who is up to date with commits made while the import was packed
        try store.fill(20)
        let reader = try store.user("alice")
        let now = try store.store.changes(since: .start, for: reader, form: .messages, limitBytes: 1 << 20)
        _ = try importer.finish()
        // Then the import lies behind the reader's cursor
        let answer = try store.store.changes(
            since: .cursor(now.cursor), for: reader, form: .messages, limitBytes: 1 << 20)
        var texts: [String] = []
        while let chunks = try answer.next() {
            for case .messages(let messages) in chunks { texts += messages.map(\.text) }
        }
        #expect(texts == ["imported"])
    }

    @Test("of two imports at once the second waits; a group that others made meanwhile is not made again")
    func importConflicts() throws {
        let store = try TestStore()
        let importer = try StoreImporter(into: "new", of: store.store)
        try importer.append(time: Timestamp(milliseconds: 1), sender: Array("x".utf8), text: Array("one".utf8))
        let alice = try store.user("alice")
        let made = Monitor<Result<ConversationView, StoreError>?>(nil)
        store.store.createGroup("NEW", isOpen: true, by: alice) { result in made.signal { $0 = result } }
        _ = try made.wait { $0 }?.get()
        #expect(throws: ImportError.store(.nameTaken("new"))) { try importer.finish() }
        // And nothing of it is left, nor in the way of the next
        #expect(try store.staged() == [])
        #expect(try store.importing(messages(10), into: "new").count == 10)
        try store.endsSound()
    }

    @Test("a killed import leaves nothing that counts, wherever it was killed", arguments: 0..<4)
    func killed(stage: Int) throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(directory.path)
        try store.fill(50)
        let all = try store.all()
        // Given an import that has written its files
        let staging = ImportStaging(root: directory.path, disk: PosixDisk())
        let importer = try StoreImporter(into: "general", of: store.store)
        for message in messages(20_000) {
            try importer.append(
                time: Timestamp(milliseconds: message.time), sender: Array(message.sender.utf8),
                text: Array(message.text.utf8))
        }
        switch stage {
        case 0: break  // killed while it packs
        case 1:
            // killed after some bytes of a list of names
            try PosixDisk().open(staging.directory + "/manifest.new", .create).write(Array("logs/".utf8), at: 0)
        default:
            // killed after the list of names and the first rename, or a later one
            let id = try store.store.conversation("general", for: store.user("alice")).id
            let names = try (51...50 + stage).map { seq -> String in
                let name = Segment.name(of: id, firstSeq: Seq(UInt64(seq)), generation: 7)
                try PosixDisk().open(staging.path(of: Path.name(of: name)), .create).write([1], at: 0)
                return name
            }
            try staging.publish(names.map { (name: Path.name(of: $0), target: $0) })
        }
        try Files.copy(directory.path, to: crashed.path)
        importer.abandon()
        // When the store is opened
        let next = try TestStore(crashed.path)
        // Then nothing has changed, no file is left over, and the index knows each file
        #expect(try next.all() == all)
        #expect((try? PosixDisk().list(crashed.path + "/import")) ?? [] == [])
        #expect(try next.importing(messages(3_000)).first == Seq(51))
        try next.endsSound()
    }

    @Test("a disk that is full keeps nothing of an import", arguments: [false, true])
    func diskFull(late: Bool) throws {
        let disk = FaultyDisk()
        let store = try TestStore(disk: disk)
        try store.fill(10)
        // When it is full for the files, or only at the end, for their rows
        if late { disk.set(freeBytes: 0) } else { disk.set(failures: [.write: ENOSPC]) }
        #expect(throws: ImportError.store(.diskFull)) { try store.importing(messages(20_000)) }
        disk.set(freeBytes: nil)
        disk.set(failures: [:])
        // Then nothing is kept, and a second try works
        #expect(try store.exporting().messages.count == 10)
        try store.importing(messages(100))
        try store.reopen()
        #expect(try store.exporting().messages.count == 110)
        try store.endsSound()
    }

    @Test("export skips damage and names the missing range", .aboutFiles)
    func damaged() throws {
        let store = try TestStore()
        let input = messages(20_000)
        try store.importing(input)
        let rows = try store.blocks()
        let log = try #require(try store.logs().first)
        store.store.close()
        let hit = rows[3]
        let file = try PosixDisk().open(log, .readWrite)
        try file.write([0, 0, 0, 0], at: hit.offset + 300)
        try store.reopen()
        let (messages, missing) = try store.exporting()
        #expect(missing == [hit.firstSeq...hit.lastSeq])
        let lost = Int(hit.firstSeq.rawValue) - 1..<Int(hit.lastSeq.rawValue)
        #expect(messages == Array(input[..<lost.lowerBound] + input[lost.upperBound...]))
    }
}
