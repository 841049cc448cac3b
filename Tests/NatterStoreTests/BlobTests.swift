import Glibc
import NatterConversation
import NatterModel
import NatterSystem
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

@Suite("blobs on disk")
struct BlobTests {
    private let directory: TemporaryDirectory
    private let disk = FaultyDisk()

    init() throws { directory = try TemporaryDirectory() }

    private func files() -> [String] {
        Files.below(directory.path).filter { Files.bytes($0) != nil }.map {
            String($0.dropFirst(directory.path.count + 1))
        }
    }

    @Test("a blob has its id for a name, and bytes that agree with it")
    func placed() throws {
        let content = (0..<10_000).map { UInt8(truncatingIfNeeded: $0) }
        var record: FileRecord?
        do {
            let writer = try BlobWriter(in: directory.path, disk: disk)
            for start in stride(from: 0, to: content.count, by: 999) {
                try writer.append(Array(content[start..<min(content.count, start + 999)]))
            }
            record = try writer.finish(named: "a b")?.record
            #expect(try writer.finish(named: "a/b") == nil)
            try writer.place(as: try #require(record?.id))
        }
        let made = try #require(record)
        #expect(made.id.bytes == Digest(of: made.key + content).bytes && made.size == 10_000 && made.name == "a b")
        #expect(files() == ["files/\("\(made.id)".prefix(2))/\(made.id)"])
        let blob = try Blob(made, in: directory.path, disk: disk)
        #expect(try blob.isIntact() && blob.read(count: 20_000, at: 0) == content)
        #expect(try blob.read(count: 5, at: 9_998) == [14, 15] && blob.read(count: 5, at: 10_000) == [])
        // One flipped bit
        let file = try disk.open("\(directory.path)/\(BlobPath.of(made.id))", .readWrite)
        try file.write([content[77] ^ 1], at: 77)
        #expect(try blob.isIntact() == false)
    }

    @Test("content is synced before it gets its name, and the name before it is placed")
    func order() throws {
        let writer = try BlobWriter(in: directory.path, disk: disk)
        try writer.append([1])
        let id = try #require(try writer.finish(named: "x")?.record.id)
        try writer.place(as: id)
        let calls = disk.calls.map { String($0.split(separator: " ")[0]) }
        let (sync, rename) = (calls.firstIndex(of: "sync"), calls.firstIndex(of: "rename"))
        #expect(try #require(sync) < #require(rename) && calls.last == "syncDirectory")
        #expect(disk.calls.last?.hasSuffix("/files/\("\(id)".prefix(2))") == true)
    }

    @Test("what is not placed is removed, by its writer or the next start")
    func unplaced() throws {
        do {
            let writer = try BlobWriter(in: directory.path, disk: disk)
            try writer.append([1, 2, 3])
            #expect(files().count == 1)
        }
        #expect(files() == [])
        let writer = try BlobWriter(in: directory.path, disk: disk)
        try BlobWriter.removeAll(in: directory.path, disk: disk)
        #expect(files() == [])
        withExtendedLifetime(writer) {}
    }

    @Test("a full disk is an error of the write, and the file goes")
    func full() throws {
        do {
            let writer = try BlobWriter(in: directory.path, disk: disk)
            disk.set(failures: [.write: ENOSPC])
            #expect(throws: DiskError.self) { try writer.append([1, 2, 3]) }
            disk.set(failures: [:])
        }
        #expect(files() == [])
    }
}
