import NatterConversation
import NatterModel
import NatterSQLite
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

extension TestStore {
    /// Uploads a file, in pieces.
    func upload(
        _ content: some Collection<UInt8>, _ name: String = "build.log", to conversation: String = "general",
        by user: String = "alice", length: UInt64? = nil
    ) throws -> UploadedFile {
        let upload = try store.beginUpload(of: name, to: conversation, length: length, for: try self.user(user))
        let bytes = Array(content)
        for start in stride(from: 0, to: bytes.count, by: 1_000) {
            try upload.append(Array(bytes[start..<min(bytes.count, start + 1_000)]))
        }
        return try upload.finish()
    }

    /// Posts a text with files.
    @discardableResult
    func post(
        _ text: String, _ files: [UploadedFile], to conversation: String = "general", by name: String = "alice",
        key: String? = nil
    ) throws -> PostOutcome {
        var message = NewMessage(
            conversation: conversation, text: text, key: key.flatMap { IdempotencyKey($0) })
        message.uploads = files.map(\.upload)
        return try #require(post([message], by: try user(name)).first)
    }

    func folded(_ conversation: String = "general", as name: String = "alice") throws -> [Message] {
        try page(conversation, as: name) { ($0.after, $0.isFolded) = (.zero, true) }.messages
    }

    func content(_ file: FileRecord, as name: String = "alice") throws -> [UInt8] {
        let blob = try store.file(file.id, for: try user(name))
        return try blob.read(count: Int(clamping: blob.record.size), at: 0)
    }

    func refusal(of file: FileRecord, as name: String = "alice") -> StoreError? {
        do { _ = try store.file(file.id, for: try user(name)) } catch { return StoreError(error) }
        return nil
    }

    /// The files that are below `files`.
    func blobs() -> [String] {
        Files.below(directory + "/files").filter { Files.bytes($0) != nil }.map { Path.name(of: $0) }
    }

    /// Waits until the sealer has done what it was asked for.
    func settle() throws { _ = try waitFor { store.settle($0) } }
}

@Suite("files of messages", .aboutFiles)
struct FileTests {
    private static let content = Array("Xylophonkonzert-7731, and much more of it\n".utf8)
    private static let name = "Quittung-8842.txt"

    @Test("a text has its files, also sealed and after a start, and each is a record of its own")
    func posted() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let long = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let png = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + long
        let files = try [
            store.upload(Self.content, Self.name), store.upload(png, "a/b/shot.png"), store.upload([], "x"),
        ]
        #expect(files.map(\.type) == ["application/octet-stream", "image/png", "application/octet-stream"])
        #expect(files.map(\.size) == [42, 100_008, 0])
        #expect(try store.post("It failed again", files).message?.seq == Seq(1))
        try store.post(["next"])
        for step in ["tail", "sealed", "reopened"] {
            if step == "sealed" { try store.seal() }
            if step == "reopened" { try store.reopen() }
            let folded = try store.folded(as: "bob")
            #expect(folded.map(\.text) == ["It failed again", "next"])
            let named = try #require(folded.first?.files)
            #expect(named.map(\.name) == [Self.name, "shot.png", "x"] && folded.last?.files == [])
            #expect(try named.map { try store.content($0, as: "bob") } == [Self.content, png, []])
            for file in named { #expect(try store.store.file(file.id, for: store.user("bob")).isIntact()) }
            let records = try store.all()
            #expect(records.map(\.kind) == [.text, .file, .file, .file, .text])
            #expect(records.map(\.about) == [nil, Seq(1), Seq(1), Seq(1), nil])
            #expect(records.flatMap(\.files) == named && records[1].text == Self.name)
        }
        // Only texts count as unread.
        #expect(try store.store.conversation("general", for: store.user("bob")).unread == 2)
        try store.endsSound()
    }

    @Test("a text may be empty if it has a file, and its files stay when it is edited")
    func emptyAndEdited() throws {
        let store = try TestStore(users: ["alice"])
        #expect(try store.post("", []).refusal == .badText(.empty))
        try store.post("", [store.upload(Self.content)])
        var edit = NewMessage(conversation: "general", text: "with words", key: nil, kind: .edit, about: Seq(1))
        _ = store.post([edit], by: try store.user("alice"))
        let folded = try store.folded()
        #expect(folded.map(\.text) == ["with words"] && folded.first?.files.count == 1)
        // Neither an edit nor an answer is about the record of a file, and an edit has no files.
        edit.about = Seq(2)
        edit.kind = .text
        #expect(store.post([edit], by: try store.user("alice")).first?.refusal?.failure.code == "bad_about")
        (edit.about, edit.kind) = (Seq(1), .edit)
        edit.uploads = [try store.upload(Self.content).upload]
        #expect(store.post([edit], by: try store.user("alice")).first?.refusal == .badFiles)
    }

    @Test("text and files are one message for its id")
    func repeated() throws {
        let store = try TestStore(users: ["alice"])
        let (file, other) = (try store.upload(Self.content), try store.upload(Self.content.dropLast()))
        #expect(try store.post("text", [file], key: "k").message?.seq == Seq(1))
        for isReopened in [false, true] {
            if isReopened { try store.reopen() }
            let again = try store.post("text", [file], key: "k")
            #expect(again.isRepeated && again.message?.seq == Seq(1))
            // Whoever repeats a command uploads the file once more.
            let twin = try store.post("text", [store.upload(Self.content)], key: "k")
            #expect(twin.isRepeated && twin.message?.seq == Seq(1))
            #expect(try store.post("text", [other], key: "k").refusal == .idReused("k"))
            #expect(try store.post("text", [], key: "k").refusal == .idReused("k"))
            // It is named already.
            #expect(try store.post("text", [file], key: "other").refusal == .noSuchUpload)
        }
        #expect(try store.post("two", [other, other]).refusal == .badFiles)
        #expect(try store.post("two", [other]).message?.seq == Seq(3))
        #expect(try store.all().count == 4)
    }

    @Test("an upload is its user's and its conversation's, and nobody can make one up")
    func foreign() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let file = try store.upload(Self.content)
        #expect(try store.post("x", [file], by: "bob").refusal == .noSuchUpload)
        #expect(try store.post("x", [file], to: "@bob").refusal == .noSuchUpload)
        let personal = try store.upload(Self.content, to: "@bob")
        #expect(try store.post("x", [personal]).refusal == .noSuchUpload)
        var message = NewMessage(conversation: "general", text: "x", key: nil)
        for text in ["", "x", String(file.upload.dropLast()), file.upload + "A", String(repeating: "A", count: 10_000)]
        {
            message.uploads = [text]
            #expect(store.post([message], by: try store.user("alice")).first?.refusal == .noSuchUpload)
        }
        message.uploads = Array(repeating: file.upload, count: 21)
        #expect(store.post([message], by: try store.user("alice")).first?.refusal == .badFiles)
        #expect(try store.all().isEmpty)
        // One for a conversation that begins with it
        #expect(try store.post("x", [personal], to: "@bob").message?.seq == Seq(1))
        let named = try #require(try store.folded("@alice", as: "bob").first?.files.first)
        #expect(try store.content(named, as: "bob") == Self.content)
        _ = try store.user("carol")
        #expect(store.refusal(of: named, as: "carol") == .noSuchFile)
    }

    @Test("a name that is none, or a conversation that one may not write to, is refused before a byte is read")
    func refused() throws {
        let store = try TestStore(users: ["alice", "bob"])
        #expect(throws: StoreError.badFileName) { try store.upload(Self.content, "a/..") }
        #expect(throws: StoreError.noSuchConversation("nix")) { try store.upload(Self.content, to: "nix") }
        #expect(store.blobs() == [])
    }

    @Test("what is beyond a limit says which, and leaves nothing behind")
    func limits() throws {
        let store = try TestStore(users: ["alice", "bob", "carol"])
        var limits = FileLimits()
        (limits.fileBytes, limits.accountBytes, limits.totalBytes) = (3_000, 5_000, 8_000)
        store.store.use(limits)
        func limit(_ kind: FileLimit.Kind, _ limit: UInt64, used: UInt64) -> StoreError {
            .fileLimit(FileLimit(kind: kind, limit: limit, used: used))
        }
        let bytes = [UInt8](repeating: 1, count: 3_000)
        for length in [3_001, nil] as [UInt64?] {
            let error = #expect(throws: StoreError.self) { try store.upload(bytes + [1], length: length) }
            if case .fileLimit(let limit)? = error { #expect(limit.kind == .file && limit.limit == 3_000) }
            #expect(error?.failure.code == "too_large")
        }
        let file = try store.upload(bytes, length: 3_000)
        #expect(throws: limit(.account, 5_000, used: 3_000)) { try store.upload(bytes, length: 3_000) }
        #expect(throws: limit(.account, 5_000, used: 5_000)) { try store.upload(bytes) }
        // What is being received counts, too, until it ends.
        do {
            let upload = try store.store.beginUpload(
                of: "x", to: "general", length: 2_000, for: try store.user("alice"))
            #expect(throws: limit(.account, 5_000, used: 5_000)) { try store.upload([1], length: 1) }
            withExtendedLifetime(upload) {}
        }
        try store.settle()
        _ = try store.upload([1], length: 1)
        for isReopened in [false, true] {
            if isReopened { try store.reopen() }
            store.store.use(limits)
            #expect(throws: limit(.total, 8_000, used: 6_001)) {
                if !isReopened { _ = try store.upload(bytes, by: "bob") }
                _ = try store.upload(bytes, by: "carol", length: 3_000)
            }
        }
        // What is erased does not count any more.
        try store.post("x", [file])
        try StoreErasingTests.erase([1], store)
        _ = try store.upload(bytes, by: "carol")
        try store.settle()
        #expect(store.blobs().count == 3)
    }

    @Test("uploads leave room on the disk")
    func room() throws {
        let disk = FaultyDisk()
        let store = try TestStore(disk: disk, users: ["alice"])
        disk.set(freeBytes: Store.lowSpaceBytes + 10)
        #expect(throws: StoreError.diskFull) { try store.upload(Self.content, length: 42) }
        #expect(throws: StoreError.diskFull) { try store.upload(Self.content) }
        disk.set(freeBytes: nil)
        _ = try store.upload(Self.content)
    }

    @Test("a deleted message's files, and their names, are given to nobody")
    func deleted() throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post("text", [store.upload(Self.content, Self.name)])
        let file = try #require(try store.folded().first?.files.first)
        _ = store.post(
            [NewMessage(conversation: "general", text: "", key: nil, kind: .delete, about: Seq(1))],
            by: try store.user("alice"))
        #expect(store.refusal(of: file) == .fileGone)
        let records = try store.all(as: "bob")
        #expect(records.allSatisfy { $0.files.isEmpty && $0.text.isEmpty })
        #expect(try store.folded().allSatisfy { $0.files.isEmpty })
        #expect(store.blobs().count == 1)
        // and go when deleted texts are erased
        store.store.eraseDeleted(after: 0)
        store.erasesDue()
        #expect(store.blobs() == [] && store.refusal(of: file) == .fileGone)
        #expect(Files.holding(piecesOf: Self.name, below: store.directory) == [])
        try store.endsSound()
    }

    @Test("who is removed from a group loses its files")
    func removed() throws {
        let store = try TestStore(users: ["alice", "bob"])
        let alice = try store.user("alice")
        _ = try waitFor { store.store.createGroup("ops", isOpen: false, by: alice, $0) }.get()
        try store.put("bob", in: "ops", by: alice)
        try store.post("text", [store.upload(Self.content, to: "ops")], to: "ops")
        let file = try #require(try store.folded("ops").flatMap(\.files).first)
        #expect(try store.content(file, as: "bob") == Self.content)
        _ = try waitFor { store.store.removeMember("bob", from: "ops", by: alice, $0) }.get()
        #expect(store.refusal(of: file, as: "bob") == .noSuchFile)
    }

    private enum Removal: CaseIterable {
        case erased, erasedFile, retained, account
    }

    @Test("what is erased or dropped leaves nothing of a file or its name", arguments: Removal.allCases)
    private func gone(removal: Removal) throws {
        let store = try TestStore(users: ["alice", "bob"])
        try store.post("text", [store.upload(Self.content, Self.name)], by: "alice")
        _ = try store.upload(Self.content, Self.name, by: "bob")
        let file = try #require(try store.folded().first?.files.first)
        #expect(Files.holding(piecesOf: Self.name, below: store.directory) != [])
        switch removal {
        case .erased: #expect(try StoreErasingTests.erase([1], store) == 2)
        case .erasedFile: #expect(try StoreErasingTests.erase([2], store) == 1)
        case .retained:
            store.clock.advance(milliseconds: 80 * 86_400_000)
            _ = try RetentionTests.retain(70, store)
        case .account: _ = try waitFor { store.store.eraseAccount("alice", by: "operator", $0) }.get()
        }
        for isReopened in [false, true] {
            if isReopened { try store.reopen() }
            #expect(Files.holding(piecesOf: Self.name, below: store.directory) == [])
            // The one that waits for its message is still there.
            #expect(store.blobs().count == 1 && !store.blobs().contains("\(file.id)"))
            #expect(store.refusal(of: file, as: "bob") == .fileGone)
        }
        _ = try waitFor { store.store.eraseAccount("bob", by: "operator", $0) }.get()
        #expect(Files.holding(piecesOf: String(decoding: Self.content, as: UTF8.self), below: store.directory) == [])
        try store.endsSound()
    }

    @Test("a file that no message names goes after a day")
    func unused() throws {
        let store = try TestStore(users: ["alice"])
        let (old, used) = (try store.upload(Self.content), try store.upload(Self.content))
        try store.post("text", [used])
        store.clock.advance(milliseconds: 86_000_000)
        let young = try store.upload(Self.content)
        store.store.dropUnusedFiles()
        try store.settle()
        #expect(store.blobs().count == 3)
        store.clock.advance(milliseconds: 500_000)
        try store.reopen()
        store.store.dropUnusedFiles()
        try store.settle()
        #expect(store.blobs().count == 2)
        #expect(try store.post("text", [old]).refusal == .noSuchUpload)
        #expect(try store.post("text", [young]).message != nil)
        try store.endsSound()
    }

    @Test("after a kill at any moment each acknowledged file is there, and nothing else but for a day")
    func killed() throws {
        var (number, isDone) = (0, false)
        while !isDone {
            let directory = try TemporaryDirectory()
            let disk = FaultyDisk()
            var (file, posted): (UploadedFile?, Message?)
            do {
                let store = try TestStore(directory.path, disk: disk, users: ["alice"])
                disk.stop(afterChanges: number)
                file = try? store.upload(Self.content)
                posted = try file.flatMap { try store.post("text", [$0]).message }
            }
            isDone = posted != nil
            number += 1
            let store = try TestStore(directory.path, users: ["alice"])
            let messages = try store.folded()
            if posted != nil { #expect(messages.count == 1) }
            // A message has its file.
            for message in messages {
                #expect(message.files.count == 1)
                for file in message.files { #expect(try store.content(file) == Self.content) }
            }
            // An upload that was answered can be used.
            if let file, messages.isEmpty { #expect(try store.post("again", [file]).message != nil) }
            store.clock.advance(milliseconds: 90_000_000)
            store.store.dropUnusedFiles()
            try store.settle()
            let named = try store.folded().flatMap(\.files)
            #expect(store.blobs() == named.map { "\($0.id)" }, "after \(number) changes")
            try store.endsSound()
        }
        #expect(number > 8)
    }

    @Test("a backup has the files, copies each once, and loses what was erased")
    func backup() throws {
        let (target, restored) = (try TemporaryDirectory(), try TemporaryDirectory())
        let store = try TestStore(users: ["alice"])
        let long = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try store.post("text", [store.upload(long)])
        try store.post("more", [store.upload(Self.content, Self.name)])
        let waiting = try store.upload(Self.content, "waits")
        #expect(try store.store.backup(to: target.path).damages == 0)
        let again = try store.store.backup(to: target.path)
        #expect(again.damages == 0 && again.copiedBytes < again.bytes - 200_000)
        // When it is restored
        _ = try StoreRestore.run(target.path, into: restored.path)
        do {
            let next = try TestStore(restored.path)
            let files = try next.folded().flatMap(\.files)
            #expect(try files.map { try next.content($0) } == [long, Self.content])
            #expect(try next.post("third", [waiting]).message != nil)
        }
        // and when something is erased, the next backup has nothing of it
        #expect(Files.holding(piecesOf: String(decoding: Self.content, as: UTF8.self), below: target.path) != [])
        try StoreErasingTests.erase([3], store)
        _ = try waitFor { store.store.eraseAccount("alice", by: "operator", $0) }.get()
        #expect(try store.store.backup(to: target.path).damages == 0)
        #expect(Files.holding(piecesOf: String(decoding: Self.content, as: UTF8.self), below: target.path) == [])
        #expect(Files.holding(piecesOf: Self.name, below: target.path) == [])
    }

    @Test("a backup names a file that is missing, and takes the rest")
    func backupOfDamage() throws {
        let target = try TemporaryDirectory()
        let store = try TestStore(users: ["alice"])
        try store.post("text", [store.upload(Self.content, "a"), store.upload(Self.content, "b")])
        let file = try #require(try store.folded().first?.files.first)
        try store.disk.remove("\(store.directory)/\(BlobPath.of(file.id))")
        var damages: [StoreDamage] = []
        let summary = try store.store.backup(to: target.path, progress: { _ in }, { damages.append($0) })
        #expect(summary.damages == 1 && damages.map(\.file) == ["\(target.path)/\(BlobPath.of(file.id))"])
        #expect(damages.first?.range == Seq(2)...Seq(2))
    }

    @Test("fsck names files that are missing, changed or unknown, and a repair sets these aside")
    func checked() throws {
        let store = try TestStore(users: ["alice"])
        let contents = ["a", "b", "c"].map { Self.content + Array($0.utf8) }
        try store.post("text", contents.map { try store.upload($0) })
        try store.seal()
        try store.post("tail", [store.upload(Self.content)])
        _ = try store.upload(Self.content)
        let files = try store.folded().flatMap(\.files)
        let paths = files.map { "\(store.directory)/\(BlobPath.of($0.id))" }
        let unknown = "\(store.directory)/files/ab/stranger"
        func check(_ check: (@escaping (StoreDamage) -> Void) throws -> StoreCheck.Summary) throws -> [StoreDamage] {
            var damages: [StoreDamage] = []
            let summary = try check { damages.append($0) }
            #expect(summary.damages == damages.count)
            return damages.sorted { ($0.range?.lowerBound ?? .zero) < ($1.range?.lowerBound ?? .zero) }
        }
        #expect(try check { try store.store.check($0) } == [])
        // Given one that is missing, one of the right size, one that is shorter, and one of nobody
        try store.disk.remove(paths[0])
        try Files.write(contents[1].reversed(), to: paths[1])
        try Files.write([1], to: paths[3])
        try store.disk.makeDirectories(Path.directory(of: unknown))
        try Files.write([1], to: unknown)
        let differs: Phrase = "the file of a message is not what was uploaded"
        func expectDamage(_ found: [StoreDamage]) {
            #expect(found.map(\.file) == [unknown, paths[0], paths[1], paths[3]])
            #expect(found.map(\.range?.lowerBound) == [nil, Seq(2), Seq(3), Seq(6)])
            #expect(found.dropFirst().allSatisfy { $0.conversation == "general" })
            let problems: [Phrase] = [
                "no message names this file", "the file of a message is missing", differs, differs,
            ]
            #expect(found.map(\.problem) == problems)
        }
        expectDamage(try check { try store.store.check($0) })
        store.store.close()
        expectDamage(try check { try StoreCheck.run(store.directory, $0) })
        // When it is repaired
        let repair = try StoreRepair.run(store.directory) { _ in }
        #expect(repair.left.damages == 3 && repair.messages == 0)
        // Then what differed is no longer served, all messages stay, and the good file is there
        #expect(try store.blobs().count == 2 && store.disk.list(store.directory + "/quarantine").count == 3)
        try store.reopen()
        #expect(try store.folded().map(\.files.count) == [3, 1])
        #expect(try store.content(files[2]) == contents[2])
        guard case .damaged? = store.refusal(of: files[1]) else {
            Issue.record("no damage")
            return
        }
        // and an erasure takes what was set aside of the conversation
        try StoreErasingTests.erase([1], store)
        #expect(try store.disk.list(store.directory + "/quarantine") == ["stranger"])
    }

    @Test("a check of an index that is made from the logs knows the files")
    func checkedAfterReindex() throws {
        let store = try TestStore(users: ["alice"])
        try store.post("text", [store.upload(Self.content, Self.name)])
        try store.seal()
        store.store.close()
        try store.disk.removeDatabase(Store.databasePath(store.directory))
        _ = try StoreRebuild.run(store.directory, .reindex, clock: store.clock)
        #expect(try store.damages() == [])
    }

    @Test("an index that is made from the logs finds the files again")
    func reindexed() throws {
        let store = try TestStore(users: ["alice"])
        try store.post("text", [store.upload(Self.content, Self.name)])
        try store.post("tail", [store.upload(Self.content, Self.name)])
        try store.seal()
        try store.reopen { directory in
            try store.store.disk.removeDatabase(Store.databasePath(directory))
            _ = try StoreRebuild.rebuild(directory, .reindex, disk: PosixDisk(), clock: store.clock) { _ in }
        }
        // The account came back from the log without its password and so without a session.
        let reader = try store.user("bob")
        let files = try store.folded(as: "bob").flatMap(\.files)
        #expect(files.count == 2)
        for file in files { #expect(try store.store.file(file.id, for: reader).isIntact()) }
        #expect(try StoreErasingTests.erase([1], store) == 2)
        #expect(store.blobs() == ["\(files[1].id)"])
    }

    @Test("a file that is missing or shorter is damage of its message, and of no other")
    func damaged() throws {
        let store = try TestStore(users: ["alice"])
        try store.post("text", [store.upload(Self.content, "a"), store.upload(Self.content, "b")])
        let files = try #require(try store.folded().first?.files)
        let path = "\(store.directory)/\(BlobPath.of(files[0].id))"
        try Files.write(Array(Self.content.dropLast()), to: path)
        for isMissing in [false, true] {
            if isMissing { try store.disk.remove(path) }
            guard case .damaged(let from, let to, _)? = store.refusal(of: files[0]) else {
                Issue.record("no damage")
                continue
            }
            #expect(from == Seq(2) && to == Seq(2))
        }
        #expect(try store.content(files[1]) == Self.content)
        #expect(try store.folded().count == 1)
        try Files.write(Array(Self.content.reversed()), to: path)
        #expect(try store.store.file(files[0].id, for: store.user("alice")).isIntact() == false)
    }
}
