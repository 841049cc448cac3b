import Glibc
import NatterConversation
import NatterSystem
import NatterModel
import NatterLog
import NatterSQLite
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

@Suite("erasing")
struct StoreErasingTests {
    /// A word that stands in no other text.
    static let secret = "Xylophonkonzert-7731"

    /// Erases messages of a conversation.
    @discardableResult
    static func erase(_ seqs: [UInt64], in conversation: String = "general", _ store: TestStore) throws -> Int {
        try waitFor { store.store.erase(seqs.map { Seq($0)...Seq($0) }, in: conversation, by: "alice", $0) }.get()
    }

    @Test(
        "a tail that was written to the journal's end again leaves no row behind, though another tail pins the journal",
        .aboutFiles)
    func movedTail() throws {
        let store = try TestStore(users: ["alice", "bob", "carol"])
        try store.post([Self.secret], to: "@bob")
        let first = store.store.state.withLock { $0.commit }
        try store.post(["pins the journal"], to: "@carol")
        // Given the text a second time, behind the other tail
        let isDone = Monitor(false)
        _ = store.store.sealer.submit { writer in
            store.store.sealer.clearJournal(upTo: first, store.store, writer)
            isDone.signal { $0 = true }
        }
        _ = isDone.wait { $0 ? true : nil }
        for isReopened in [false, true] {
            if isReopened { try store.reopen() }
            #expect(Files.holding(piecesOf: Self.secret, below: store.directory) != [])
        }
        #expect(try Self.erase([1], in: "@alice,@bob", store) == 1)
        #expect(Files.holding(piecesOf: Self.secret, below: store.directory) == [])
        #expect(try store.all("@carol").map(\.text) == ["pins the journal"])
    }

    @Test("removes text and sender from the tail, and leaves number, time, hash and everything else")
    func tail() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["first"], key: "a")
        try store.post([Self.secret], by: "bob", key: "b")
        try store.post(["third"], key: "c")
        let before = try store.all()
        // When it is erased
        #expect(try Self.erase([2], store) == 1)
        // Then only its text and its sender are gone
        let after = try store.all()
        #expect(after.map(\.text) == ["first", "", "third"] && after.map(\.sender) == ["alice", "", "alice"])
        #expect(after.map(\.isErased) == [false, true, false])
        #expect(after.map(\.cursor) == before.map(\.cursor) && after.map(\.time) == before.map(\.time))
        #expect(Files.holding(piecesOf: Self.secret, below: store.directory) == [])
        // A retry with the id answers the erased message, whatever it says now.
        for text in [Self.secret, "something else"] {
            let again = try store.post([text], by: "bob", key: "b").first
            #expect(again?.isRepeated == true && again?.message?.isErased == true && again?.message?.seq == Seq(2))
        }
        // Erasing it again does nothing, and what comes later is stored as usual.
        #expect(try Self.erase([2], store) == 0)
        try store.post(["fourth"])
        let all = try store.all()
        try store.reopen()
        #expect(try store.all() == all && all.count == 4)
        try store.endsSound()
        #expect(Files.holding(piecesOf: Self.secret, below: store.directory) == [])
    }

    @Test("an erasure that waits when the store closes ends, and says that it is not done", arguments: [false, true])
    func closing(isAccount: Bool) throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["one", "two"], by: "bob")
        // Given something else that takes the sealer's time
        let mayGoOn = Monitor(false)
        let answer = Monitor<StoreError?>(nil)
        #expect(store.store.sealer.submit { _ in _ = mayGoOn.wait { $0 ? true : nil } })
        @Sendable func note(_ result: Result<Int, StoreError>) {
            if case .failure(let error) = result { answer.signal { $0 = error } }
        }
        if isAccount {
            store.store.eraseAccount("bob", by: "alice") { note($0) }
        } else {
            store.store.erase([Seq(1)...Seq(2)], in: "general", by: "alice") { note($0) }
        }
        // When the server ends
        store.store.endErrands()
        mayGoOn.signal { $0 = true }
        // Then who asked learns of it, and for an account the next start does it
        #expect(answer.wait(timeoutMilliseconds: 60_000) { $0 } == .stoppedErasing)
        try store.reopen()
        if isAccount {
            _ = try waitFor { store.store.settle($0) }
            #expect(try store.all().map(\.isErased) == [true, true])
        } else {
            #expect(try Self.erase([1, 2], store) == 2)
        }
    }

    @Test("rewrites the segments whose blocks or dictionaries hold the text, and no hash changes", .aboutFiles)
    func sealed() throws {
        let store = try TestStore()
        // Given a log of several files, with the secret in the text that the second takes its dictionary from
        try store.fill(900)
        try store.post([Self.secret])
        try store.fill(40, label: "between")
        _ = try waitFor { store.store.settle($0) }
        try store.seal()
        try store.fill(2_000, label: "later")
        try store.seal()
        try store.post(["tail"])
        let before = try store.all()
        let hash = try store.store.conversation("general", for: store.user("alice")).hash
        let logs = try store.logs()
        #expect(logs.count == 2)
        // When it is erased
        #expect(try Self.erase([901], store) == 1)
        // Then all else is the same, and both files were written again
        let after = try store.all()
        #expect(after[900].isErased && after[900].text.isEmpty && after[900].cursor == before[900].cursor)
        #expect(after.filter { $0.seq != Seq(901) } == before.filter { $0.seq != Seq(901) })
        #expect(try store.store.conversation("general", for: store.user("alice")).hash == hash)
        let rewritten = try store.logs()
        #expect(Set(rewritten).isDisjoint(with: logs) && rewritten.count == 2)
        try store.reopen()
        #expect(try store.all() == after)
        try store.endsSound()
        let connection = try Connection(path: Store.databasePath(store.directory), role: .reader)
        #expect(try RetiredFiles.all(on: connection) == [])
    }

    @Test("erases all edits of a message, and an edit alone leaves the text before it")
    func edits() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post(["one", "two"])
        for (about, text) in [(1, "one again"), (1, "one more"), (2, "two again")] as [(UInt64, String)] {
            _ = store.post(
                [NewMessage(conversation: "general", text: text, key: nil, kind: .edit, about: Seq(about))], by: alice)
        }
        #expect(try Self.erase([5], store) == 1)
        #expect(try store.page { $0.isFolded = true }.messages.map(\.text) == ["one more", "two"])
        #expect(try Self.erase([1], store) == 3)
        let folded = try store.page { $0.isFolded = true }.messages
        #expect(folded.map(\.text) == ["", "two"] && folded.map(\.isErased) == [true, false])
        #expect(try store.all().map(\.isErased) == [true, false, true, true, true])
    }

    @Test("says so while a reader keeps the write-ahead log, in which the text may stay; nobody waits", .aboutFiles)
    func reader() throws {
        let store = try TestStore()
        try store.post([Self.secret, "two"])
        #expect(store.store.remainsOfErasure == nil)
        let reading = try Connection(path: Store.databasePath(store.directory), role: .reader)
        let rows = try reading.statement("SELECT key FROM meta")
        #expect(try rows.step())
        let (isOver, posted) = (Monitor(false), Monitor(0))
        let posting = try SystemThread(name: "poster") {
            while !isOver.withLock({ $0 }), (try? store.post(["meanwhile"])) != nil { posted.withLock { $0 += 1 } }
        }
        defer { posting.join() }
        defer { isOver.signal { $0 = true } }
        try Self.erase([1], store)
        isOver.signal { $0 = true }
        // There are some twenty tries, each of which holds the writer for a moment.
        #expect(posted.withLock { $0 } > 100)
        #expect(store.store.remainsOfErasure?.english.contains("write-ahead log") == true)
        rows.reset()
        try Self.erase([2], store)
        #expect(store.store.remainsOfErasure == nil)
        #expect(Files.holding(piecesOf: Self.secret, below: store.directory) == [])
    }

    @Test("says so while a backup or a check still needs the former files, which go when it ends", .aboutFiles)
    func neededByBackup() throws {
        let store = try TestStore()
        try store.post([Self.secret, "two"])
        try store.seal()
        try store.store.copying {
            try Self.erase([1], store)
            #expect(store.store.remainsOfErasure?.english.contains("backup") == true)
            #expect(Files.holding(piecesOf: Self.secret, below: store.directory) != [])
        }
        try eventually("they are gone") { store.store.remainsOfErasure == nil }
        #expect(Files.holding(piecesOf: Self.secret, below: store.directory) == [])
    }

    @Test("does not change a block that it can't read, and says where it is", .aboutFiles)
    func damaged() throws {
        let store = try TestStore()
        try store.seal(after: 500)
        let path = try #require(try store.logs().first)
        let file = try PosixDisk().open(path, .readWrite)
        let size = try file.size()
        try file.write([0xFF, 0xFE, 0xFD], at: size - 100)
        let error = #expect(throws: StoreError.self) { try Self.erase([500], store) }
        #expect(error.map { "\($0)" }?.contains(path) == true, "\(String(describing: error))")
        #expect(try store.logs() == [path])
        #expect(try file.size() == size)
    }

    @Test("a message that is not there, or a conversation, is an error and nothing is erased")
    func missing() throws {
        let store = try TestStore()
        try store.post(["one"])
        #expect(throws: StoreError.noSuchMessage(Seq(2), conversation: "general")) { try Self.erase([1, 2], store) }
        #expect(throws: StoreError.noSuchConversation("nix")) { try Self.erase([1], in: "nix", store) }
        #expect(try store.all().map(\.text) == ["one"])
    }

    @Test("a reader whose view is older than the newest edit gets the edit before it", arguments: [true, false])
    func olderView(folds: Bool) throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post(["original"])
        func edit(_ text: String) throws {
            let edit = NewMessage(conversation: "general", text: text, key: nil, kind: .edit, about: Seq(1))
            #expect(store.post([edit], by: alice).allSatisfy { $0.message != nil })
        }
        try edit("first")
        let view = try store.store.snapshot("general", for: alice)
        try edit("second")
        let message = try store.store.read(view) { reader in
            let run = try #require(try reader.run(of: Seq(1)))
            return try MessageFolder(reader, folds: folds).applied(to: #require(run.messages().first))
        }
        #expect(message.text == (folds ? "first" : "original"))
        #expect(try message.edited == store.all()[1].time)
    }

    @Test("a reader learns of it with the next sync, once, in lines or as blocks, and a new reader has it as it is")
    func sync() throws {
        let store = try TestStore()
        try store.seal(after: 300)
        let alice = try store.user("alice")
        func changes(_ position: SyncPosition, _ form: SyncAnswer.Form) throws -> (
            chunks: [SyncAnswer.Chunk], cursor: StoreCursor
        ) {
            let answer = try store.store.changes(since: position, for: alice, form: form, limitBytes: 1 << 20)
            var chunks: [SyncAnswer.Chunk] = []
            while let next = try answer.next() { chunks += next }
            return (chunks, answer.cursor)
        }
        func erased(_ chunks: [SyncAnswer.Chunk]) -> [[Seq]] {
            chunks.compactMap { if case .erased(_, let seqs) = $0 { seqs } else { nil } }
        }
        let (_, cursor) = try changes(.start, .messages)
        try store.post(["later"])
        try Self.erase([7, 9], store)
        let (lines, next) = try changes(.cursor(cursor), .messages)
        #expect(erased(lines) == [[Seq(7), Seq(9)]])
        let (blocks, _) = try changes(.cursor(cursor), .blocks)
        let revisions = try blocks.compactMap { chunk -> UInt32? in
            guard case .block(let bytes) = chunk else { return nil }
            return try BlockHeader(decoding: bytes).revision
        }
        #expect(revisions.first == 1)
        #expect(try changes(.cursor(next), .messages).chunks.isEmpty)
        let (all, _) = try changes(.start, .messages)
        #expect(erased(all) == [])
        let messages = all.flatMap { chunk -> [Message] in
            if case .messages(let messages) = chunk { messages } else { [] }
        }
        #expect(messages.filter(\.isErased).map(\.seq) == [Seq(7), Seq(9)] && messages.count == 301)
    }

    @Test("a reader that was away during the erasure and a restart learns of it")
    func syncAfterRestart() throws {
        let store = try TestStore()
        try store.post([Self.secret, "two"])
        var reader = SyncModel()
        try reader.sync(store, as: "alice", limitBytes: 1 << 20)
        // Given an erasure, and a server that has started since
        try Self.erase([1], store)
        try store.reopen()
        // When the reader comes back, then it keeps the text no longer
        try reader.sync(store, as: "alice", limitBytes: 1 << 20)
        #expect(reader.messages.values.flatMap { $0 }.map(\.text) == ["", "two"])
    }

    @Test("the list of conversations shows the text of an erased last message no more")
    func lastMessage() throws {
        let store = try TestStore()
        try store.post(["one", Self.secret])
        #expect(try Self.erase([2], store) == 1)
        for _ in 1...2 {
            let last = try #require(try store.store.conversation("general", for: store.user("alice")).last)
            #expect(last.seq == Seq(2) && last.isErased && last.text == "" && last.sender == "")
        }
    }

    @Test("the id of a message answers it as erased, whatever it says now, also weeks after it was sent")
    func olderID() throws {
        let store = try TestStore()
        try store.post([Self.secret], key: "k")
        try store.seal()
        // Given that ids of so long ago are kept elsewhere
        store.clock.advance(milliseconds: 15 * 86_400_000)
        for number in 1...3 {
            try store.post(["later \(number)"], key: "later-\(number)")
            try store.seal()
        }
        try Self.erase([1], store)
        for _ in 1...2 {
            let again = try store.post(["something else"], key: "k").first
            #expect(again?.isRepeated == true && again?.message?.isErased == true && again?.message?.seq == Seq(1))
            try store.reopen()
        }
    }

    @Test("removes the torn end of a log that a start has set aside, because it may hold the text", .aboutFiles)
    func tornEnd() throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let killed = try TestStore(directory.path)
        try killed.post(["one"])
        try killed.seal()
        try killed.post([Self.secret])
        // Given a server that was killed while it wrote the text's block
        try Files.copy(directory.path, to: crashed.path)
        let log = try #require(try killed.logs().first)
        let torn = try PosixDisk().open(crashed.path + log.dropFirst(directory.path.utf8.count), .readWrite)
        let size = try torn.size()
        try killed.seal()
        let written = try PosixDisk().open(log, .read)
        try torn.write(try written.read(count: Int(try written.size() - size) - 1, at: size), at: size)
        let store = try TestStore(crashed.path)
        #expect(Files.holding(piecesOf: Self.secret, below: crashed.path + "/quarantine") != [])
        #expect(try Self.erase([2], store) == 1)
        #expect(Files.holding(piecesOf: Self.secret, below: crashed.path) == [])
        #expect(store.reports.contains("removed 'quarantine/"))
        #expect(try store.all().map(\.text) == ["one", ""])
    }

    @Test("is done again if an older database is put in place, and never twice", .aboutFiles)
    func olderDatabase() throws {
        let store = try TestStore()
        try store.fill(300)
        try store.post([Self.secret])
        try store.seal()
        store.store.close()
        let older = try TemporaryDirectory()
        try Files.copy(store.directory, to: older("old"))
        try store.reopen()
        try Self.erase([301], store)
        // When everything of before comes back, except what remembers the erasure
        try store.reopen { directory in
            let remembered = try PosixDisk().contents(of: directory + "/erased", limit: 1 << 20)
            #expect(rename(directory, older("new")) == 0)
            try Files.copy(older("old"), to: directory)
            try PosixDisk().replaceContents(of: directory + "/erased", with: remembered)
        }
        #expect(try store.all().last?.isErased == true)
        #expect(store.reports.contains("erased 1 messages again"))
        #expect(Files.holding(piecesOf: Self.secret, below: store.directory) == [])
        let count = store.reports.lines.count
        try store.reopen()
        #expect(store.reports.lines.count == count)
        // A message of another history with that number stays.
        try store.endsSound()
    }

    @Test("the deletion of an erased message names its author no more, and counts of unread messages stay", .aboutFiles)
    func authorOfDeleted() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post(["one", "two"])
        try store.post([Self.secret, "four"], by: "bob")
        let bob = try store.user("bob")
        _ = store.post([NewMessage(conversation: "general", text: "", key: nil, kind: .delete, about: Seq(3))], by: bob)
        func unread() throws -> [UInt64] {
            try ["alice", "bob"].map { try store.store.conversation("general", for: store.user($0)).unread }
        }
        let before = try unread()
        #expect(try Self.erase([3], store) == 1)
        try store.reopen { directory in
            let connection = try Connection(path: Store.databasePath(directory), role: .reader)
            let authors = try connection.rows("SELECT author FROM relation WHERE kind=3") { $0.text(0) }
            #expect(authors == ["#\(bob.account.rawValue)"])
        }
        #expect(try unread() == before)
    }

    @Test("a backup into a former one erases there, too, and its restore knows what was erased", .aboutFiles)
    func backup() throws {
        let store = try TestStore()
        let target = try TemporaryDirectory()
        let (copy, restored) = (target("copy"), target("restored"))
        try store.fill(300)
        try store.post([Self.secret])
        try store.seal()
        _ = try store.store.backup(to: copy)
        let older = target("older")
        try Files.copy(copy, to: older)
        try Self.erase([301], store)
        #expect(try store.store.backup(to: copy).damages == 0)
        #expect(Files.holding(piecesOf: Self.secret, below: copy) == [])
        // An older backup, restored beside the list of what was erased
        try PosixDisk().makeDirectories(restored)
        try Files.write(try #require(Files.bytes(store.directory + "/erased")), to: restored + "/erased")
        _ = try StoreRestore.run(older, into: restored)
        let again = try TestStore(restored)
        #expect(try again.all(as: "bob").last?.isErased == true)
        try again.endsSound()
    }

    @Test(
        "a kill at any step leaves the message as it was, or erased; the next start and erasure finish it",
        arguments: 0...20)
    func crash(step: Int) throws {
        let (directory, crashed) = (try TemporaryDirectory(), try TemporaryDirectory())
        let disk = FaultyDisk()
        let store = try TestStore(directory.path, disk: disk)
        try store.fill(900)
        try store.post([Self.secret])
        try store.fill(900, label: "later")
        try store.seal()
        let before = try store.all()
        // When the disk stops obeying after so many changes
        disk.stop(afterChanges: step)
        _ = try? Self.erase([901], store)
        try Files.copy(directory.path, to: crashed.path)
        // Then a start finds a whole store, and the erasure can be done
        let next = try TestStore(crashed.path)
        let found = try next.all()
        #expect(found.map(\.cursor) == before.map(\.cursor))
        #expect(found.filter { $0.seq != Seq(901) } == before.filter { $0.seq != Seq(901) })
        try Self.erase([901], next)
        #expect(try next.all()[900].isErased)
        #expect(Files.holding(piecesOf: Self.secret, below: crashed.path) == [])
        try next.endsSound()
    }
}
