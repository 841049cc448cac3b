import Glibc
import NatterModel
import NatterProtocol
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterDaemon
@testable import NatterStore

@Suite("export and import of files")
struct FileExportTests {
    private let directory: TemporaryDirectory
    private let contents = [Array("one\n".utf8), [], (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }]
    private var data: String { directory("data") }
    private var files: String { directory("files") }

    /// A store with a text of two files, one of none, and one of one file.
    init() throws {
        directory = try TemporaryDirectory()
        let store = try TestStore(directory("data"), users: ["alice"])
        let alice = try store.user("alice")
        for (text, names) in [("first", ["a.log", "b"]), ("plain", []), ("", ["c.bin"])] {
            var message = NewMessage(conversation: "general", text: text, key: nil)
            for name in names {
                let upload = try store.store.beginUpload(of: name, to: "general", length: nil, for: alice)
                try upload.append(contents[["a.log": 0, "b": 1][name] ?? 2])
                message.uploads.append(try upload.finish().upload)
            }
            #expect(store.post([message], by: alice).first?.message != nil)
        }
        store.store.close()
    }

    private func export(_ words: String..., data: String? = nil) throws -> String {
        let outcome = natterd(
            words: ["export", "general", "--data", data ?? self.data] + words)
        #expect(outcome.code == 0, "\(outcome.errors)")
        return try directory.write("out.ndjson", outcome.bytes)
    }

    /// Text, names and bytes of each message of a store.
    private func messages(_ data: String) throws -> [(text: String, files: [(name: String, bytes: [UInt8])])] {
        let store = try TestStore(data, users: ["reader"])
        defer { store.store.close() }
        let reader = try store.user("reader")
        return try store.page("general", as: "reader") { ($0.after, $0.isFolded) = (.zero, true) }.messages.map {
            message in
            let files = try message.files.map { file in
                let blob = try store.store.file(file.id, for: reader)
                #expect(try blob.isIntact())
                return (file.name, try blob.read(count: 1 << 20, at: 0))
            }
            return (message.text, files)
        }
    }

    private func expectSame(_ data: String) throws {
        let found = try messages(data)
        #expect(found.map(\.text) == ["first", "plain", ""])
        #expect(found.map { $0.files.map(\.name) } == [["a.log", "b"], [], ["c.bin"]])
        #expect(found.flatMap { $0.files.map(\.bytes) } == contents)
        #expect(natterd("fsck", "--data", data).code == 0)
    }

    @Test("an import has the files of an export, folded or raw, under keys of its own", arguments: [false, true])
    func roundTrip(isRaw: Bool) throws {
        let lines = try export("--files", files, isRaw ? "--raw" : "--json")
        let exported = try (Files.text(lines) ?? "").split(separator: "\n").map {
            try WireJSON.decode(ExportLine.self, from: Array($0.utf8))
        }
        #expect(exported.map(\.kind) == (isRaw ? [nil, "file", "file", nil, nil, "file"] : [nil, nil, nil]))
        let named = exported.flatMap { ($0.file.map { [$0] } ?? []) + ($0.files ?? []) }
        #expect(named.map(\.name) == ["a.log", "b", "c.bin"] && named.allSatisfy { ($0.key != nil) == isRaw })
        #expect(named.map { Files.bytes("\(files)/\($0.id)") } == contents)
        // Again, nothing is copied twice, and nothing is refused.
        _ = try export("--files", files)
        let copy = directory("copy")
        let imported = natterd("import", "general", lines, "--files", files, "--data", copy, "--json")
        #expect(imported.output == #"{"conversation":"general","count":6,"first":1,"last":6}"# + "\n")
        try expectSame(copy)
        // A file of the import can go without that of the export.
        let ids = try messages(copy).count
        #expect(ids == 3 && !Files.below(copy).contains { path in named.contains { path.hasSuffix($0.id) } })
    }

    @Test("files that are not there, or not the exported ones, are counted, and no link is followed")
    func notTaken() throws {
        let lines = try export("--raw", "--files", files)
        let ids = try (Files.text(lines) ?? "").split(separator: "\n").compactMap {
            try WireJSON.decode(ExportLine.self, from: Array($0.utf8)).file?.id
        }
        let none = natterd("import", "general", lines, "--data", directory("none"))
        #expect(none.code == 0 && none.errors.hasSuffix("not taken: 3 file\n"))
        #expect(try messages(directory("none")).map(\.text) == ["first", "plain", ""])
        let disk = PosixDisk()
        // One of the right size, one that is missing, and one that is a link to the right bytes.
        try Files.write(contents[0].reversed(), to: "\(files)/\(ids[0])")
        try disk.remove("\(files)/\(ids[1])")
        try disk.rename("\(files)/\(ids[2])", to: directory("elsewhere"))
        #expect(symlink(directory("elsewhere"), "\(files)/\(ids[2])") == 0)
        let some = natterd("import", "general", lines, "--files", files, "--data", directory("some"))
        #expect(some.code == 0 && some.errors.hasSuffix("not taken: 3 file\n"), "\(some.errors)")
        #expect(natterd("fsck", "--data", directory("some")).code == 0)
        #expect(Files.below(directory("some") + "/files").count { Files.bytes($0) != nil } == 0)
        #expect(natterd("import", "x", lines, "--files", directory("nowhere"), "--data", data).code == 66)
        // A line that leads out of the directory names no file.
        let outside = #"[{"id":"../../etc/passwd","name":"p","type":"t","size":1}]"#
        let stranger = #"{"ts":1600000000000,"sender":"x","text":"y","files":\#(outside)}"#
        let file = try directory.write("stranger", stranger + "\n")
        #expect(natterd("import", "x", file, "--files", files, "--data", data).errors.hasSuffix("not taken: 1 file\n"))
        // Other programs may use these words for anything.
        let other = #"{"ts":1600000000000,"sender":"x","text":"y","files":3,"file":"z"}"#
        #expect(natterd("import", "z", try directory.write("other", other + "\n"), "--data", data).code == 0)
    }

    @Test("an export without a file's bytes names it, has the rest, and is 74")
    func missing() throws {
        let blobs = Files.below(data + "/files").filter { Files.bytes($0) == contents[0] }
        try Files.write(Array("two\n".utf8), to: try #require(blobs.first))
        let outcome = natterd("export", "general", "--files", files, "--data", data)
        #expect(outcome.code == 74 && outcome.lines.count == 3)
        #expect(outcome.errors.contains("the file 'a.log' is missing or damaged"))
        #expect(Files.below(files).count { Files.bytes($0) != nil } == 2)
    }
}
