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

extension StoreErasingTests {
    @Test(
        "in the background, what was deleted or replaced by an edit is erased when its time has come, and nothing else")
    func due() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        try store.post(["stays", "deleted", "edited once", "edited twice", "deleted and edited"])
        func change(_ kind: MessageKind, _ about: UInt64, _ text: String = "") {
            _ = store.post(
                [NewMessage(conversation: "general", text: text, key: nil, kind: kind, about: Seq(about))], by: alice)
        }
        change(.delete, 2)  // 6
        change(.edit, 3, "newer")  // 7
        change(.edit, 4, "newer")  // 8
        change(.edit, 4, "newest")  // 9
        change(.edit, 5, "newer")  // 10
        change(.delete, 5)  // 11
        // Before its time, and if it is off, nothing happens.
        for days in [nil, 1] {
            store.store.eraseDeleted(after: days)
            store.erasesDue()
            #expect(try store.all().allSatisfy { !$0.isErased })
        }
        store.store.eraseDeleted(after: 0)
        store.erasesDue()
        #expect(try store.all().filter(\.isErased).map(\.seq.rawValue) == [2, 3, 4, 5, 8, 10])
        let folded = try store.page { $0.isFolded = true }.messages
        #expect(folded.map(\.text) == ["stays", "", "newer", "newest", ""])
        // Later changes are found, too, by the same server and by the next.
        change(.edit, 3, "newest")  // 12
        store.erasesDue()
        #expect(try store.all().filter(\.isErased).map(\.seq.rawValue) == [2, 3, 4, 5, 7, 8, 10])
        change(.delete, 1)  // 13
        try store.reopen()
        store.store.eraseDeleted(after: 0)
        store.erasesDue()
        #expect(try store.all().filter(\.isErased).map(\.seq.rawValue) == [1, 2, 3, 4, 5, 7, 8, 10])
        #expect(store.reports.lines == [])
        try store.endsSound()
    }

    @Test("in the background, files are erased when they are old, and their texts stay", .aboutFiles)
    func dueFiles() throws {
        let store = try TestStore(users: ["alice"])
        let content = Array("Xylophonkonzert-7731, and more of it".utf8)
        try store.post("old", [store.upload(content, "Quittung-8842.txt"), store.upload([1], "b")])
        let old = try store.folded().flatMap(\.files)
        store.clock.advance(milliseconds: 2 * 86_400_000)
        try store.post("new", [store.upload([2], "c")])
        store.store.eraseFiles(after: 1)
        store.erasesDue()
        #expect(try store.folded().map(\.text) == ["old", "new"])
        #expect(try store.folded().map { $0.files.map(\.name) } == [[], ["c"]])
        for file in old { #expect(store.refusal(of: file) == .fileGone) }
        #expect(store.blobs().count == 1)
        for text in [String(decoding: content, as: UTF8.self), "Quittung-8842.txt"] {
            #expect(Files.holding(piecesOf: text, below: store.directory) == [])
        }
        #expect(store.reports.lines == [])
        try store.endsSound()
    }

    @Test("in the background, a text is erased that an import has brought with a newer one")
    func dueOfImport() throws {
        let store = try TestStore()
        // Given a server that has looked for what is due before
        store.store.eraseDeleted(after: 0)
        store.erasesDue()
        let (time, sender) = (Timestamp(milliseconds: 1_600_000_000_000), Array("x".utf8))
        let importer = try StoreImporter(into: "general", of: store.store)
        let place = try importer.append(time: time, sender: sender, text: Array(Self.secret.utf8))
        try importer.append(time: time, sender: sender, text: Array("newer".utf8), kind: .edit, about: place)
        _ = try importer.finish()
        store.erasesDue()
        #expect(try store.all().map(\.text) == ["", "newer"])
    }

    @Test(
        "in the background, all that is due is erased, though the log has the first of it as erased already",
        .aboutFiles)
    func dueAfterLostRows() throws {
        let store = try TestStore()
        let alice = try store.user("alice")
        // Given deleted messages in two files
        try store.post([Self.secret])
        try store.importing([PlainMessage(time: 1_600_000_000_000, sender: "x", text: "imported")])
        try store.post(["deleted"])
        try store.seal()
        #expect(try store.logs().count > 1)
        for seq in [Seq(1), Seq(3)] {
            _ = store.post(
                [NewMessage(conversation: "general", text: "", key: nil, kind: .delete, about: seq)], by: alice)
        }
        // And that the first was erased, which only its file knows
        try Self.erase([1], store)
        try store.reopen { directory in
            try Connection(path: Store.databasePath(directory), role: .writer).execute("DELETE FROM erasure")
            try PosixDisk().remove(directory + "/erased")
        }
        store.store.eraseDeleted(after: 0)
        for _ in 1...2 {
            store.erasesDue()
        }
        #expect(try store.all().filter(\.isErased).map(\.seq) == [Seq(1), Seq(3)])
    }
}
