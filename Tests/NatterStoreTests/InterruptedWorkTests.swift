import NatterConversation
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

/// Users, operators and imports change things while another thread is at work on log files for seconds.
@Suite("changes beside long work", .aboutFiles)
struct InterruptedWorkTests {
    private static let secret = "Xylophonkonzert-7731"
    private static let sender = Array("x".utf8)
    private static let time = Timestamp(milliseconds: 1_600_000_000_000)

    private let disk = FaultyDisk()
    private let store: TestStore

    init() throws { store = try TestStore(disk: disk, users: ["alice"]) }

    /// Does something once, when the next log file is about to be made.
    private func whenFileIsMade(_ body: @escaping @Sendable () -> Void) {
        let isDone = Monitor(false)
        disk.set(before: .create) { path in
            guard path.contains("/logs/"), !isDone.withLock({ $0 }) else { return }
            isDone.signal { $0 = true }
            body()
        }
    }

    private func erase(_ seq: UInt64, in conversation: String = "general") throws -> Int {
        try waitFor { store.store.erase([Seq(seq)...Seq(seq)], in: conversation, by: "operator", $0) }.get()
    }

    private func holdsSecret() -> Bool { !Files.holding(piecesOf: Self.secret, below: store.directory).isEmpty }

    @Test(
        "messages that are kept for longer, by the answer that somebody got, are not dropped by what had begun before")
    func retention() throws {
        try store.seal(after: 3_000)
        store.clock.advance(milliseconds: 80 * 86_400_000)
        try store.seal(after: 50)
        let before = try store.logs()
        whenFileIsMade { [store = store.store] in
            store.setRetention(.forever, of: "general", by: "operator") { _ in }
            #expect(TestStore.settles { store.state.withLock { $0.conversations[$0.general]?.retention.days == nil } })
        }
        let view = try waitFor {
            store.store.setRetention(Retention(days: 30), of: "general", by: "operator", $0)
        }.get()
        #expect(view.first == Seq(1))
        #expect(try store.all().count == 3_050)
        #expect(try store.logs() == before)
        try store.endsSound()
    }

    @Test("an edit that is acknowledged while its message is erased goes with it")
    func edits() throws {
        try store.post(["first \(Self.secret)", "second"])
        var edit = NewMessage(conversation: "general", text: "edited \(Self.secret)", key: nil)
        (edit.kind, edit.about) = (.edit, Seq(1))
        let alice = try store.user("alice")
        #expect(store.post([edit], by: alice).first?.message?.seq == Seq(3))
        whenFileIsMade { [store, edit] in #expect(store.post([edit], by: alice).first?.message?.seq == Seq(4)) }
        #expect(try erase(1) == 3)
        #expect(!holdsSecret())
        #expect(store.post([edit], by: alice).first?.message == nil)
    }

    @Test("an import does not bring back a text that was erased while it was read")
    func erasedDuringImport() throws {
        func importing(_ text: String, _ edited: Timestamp?, before finish: () throws -> Void = {}) throws {
            let importer = try StoreImporter(merging: "general", of: store.store)
            defer { importer.abandon() }
            let text = Array(text.utf8)
            switch importer.standing(time: Self.time, sender: Self.sender, text: text, edited: edited) {
            case .new: try importer.append(time: Self.time, sender: Self.sender, text: text)
            case .edited(let seq):
                try importer.append(
                    time: try #require(edited), sender: Self.sender, text: text, kind: .edit, about: .earlier(seq))
            case .known: break
            }
            try finish()
            _ = try importer.finish()
        }
        try importing("before", nil)
        let later = Timestamp(milliseconds: Self.time.milliseconds + 1_000)
        #expect(throws: ImportError.store(.busy)) {
            try importing(Self.secret, later) { _ = try erase(1) }
        }
        // And when it is tried again, the message is known
        try importing(Self.secret, later)
        #expect(try store.all().map(\.isErased) == [true])
        #expect(!holdsSecret())
    }

    @Test("of two imports of the same at once, the second knows what the first has brought")
    func twoImports() throws {
        let text = Array("text".utf8)
        let first = try StoreImporter(merging: "general", of: store.store)
        try first.append(time: Self.time, sender: Self.sender, text: text)
        let (hasBegun, standing) = (Monitor(false), Monitor<ImportStanding?>(nil))
        let thread = try SystemThread(name: "second") { [store = store.store] in
            hasBegun.signal { $0 = true }
            let second = try? StoreImporter(merging: "general", of: store)
            defer { second?.abandon() }
            standing.signal { $0 = second?.standing(time: Self.time, sender: Self.sender, text: text, edited: nil) }
        }
        _ = hasBegun.wait { $0 ? true : nil }
        #expect(try first.finish().count == 1)
        thread.join()
        #expect(standing.withLock { $0 } == .known(Seq(1)))
    }

    @Test("a group that was deleted can be erased and exported, by its name or its id", arguments: [false, true])
    func deletedGroup(byID: Bool) throws {
        let alice = try store.user("alice")
        func make() throws -> ConversationID {
            try waitFor { store.store.createGroup("gone", isOpen: false, by: alice, $0) }.get().id
        }
        let id = try make()
        let secret = try #require(try store.post([Self.secret], to: "gone").first?.message).seq
        try waitFor { store.store.deleteGroup("gone", by: alice, $0) }.get()
        if byID { _ = try make() }
        let name = byID ? "\(id)" : "gone"
        let exporter = try StoreExporter(name, of: store.store, takesDeleted: true)
        #expect(try exporter.next() != nil)
        #expect(try erase(secret.rawValue, in: name) == 1)
        #expect(!holdsSecret())
        // An import or a hook of that name means another group
        #expect(throws: StoreError.self) { _ = try StoreExporter("\(id)", of: store.store) }
    }

    @Test("an erasure names a database that a repair has set aside")
    func quarantine() throws {
        try store.post([Self.secret])
        let aside = Quarantine(root: store.directory, disk: disk)
        _ = try aside.keep(Array("an older copy".utf8), name: "store.db")
        #expect(try erase(1) == 1)
        #expect(store.store.remainsOfErasure?.english.contains("'quarantine/store.db'") == true)
    }

    @Test("an erasure names a log file of the conversation that damage has left behind")
    func unknownFile() throws {
        try store.post([Self.secret])
        try store.seal()
        let log = try #require(try store.logs().first)
        let path = String(log.dropLast("0000.log".count)) + "00ff.log"
        try disk.replaceContents(of: path, with: try disk.contents(of: log, limit: 1 << 20))
        #expect(try erase(1) == 1)
        let name = path.dropFirst(store.directory.count + 1)
        #expect(store.store.remainsOfErasure?.english.contains("'\(name)'") == true)
    }

    @Test("a copy of the database that a killed check has left goes with the next start, and into no backup")
    func checkCopy() throws {
        let target = try TemporaryDirectory()
        store.store.close()
        let copies = ["store.db.check-7", "store.db.check-7-wal"].map { store.directory + "/" + $0 }
        for copy in copies { try disk.replaceContents(of: copy, with: Array(Self.secret.utf8)) }
        _ = try StoreBackup.run(store.directory, to: target.path)
        #expect(Files.holding(piecesOf: Self.secret, below: target.path) == [])
        try store.reopen()
        #expect(!holdsSecret())
    }
}
