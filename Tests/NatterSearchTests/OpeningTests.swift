import NatterSearch
import NatterSQLite
import NatterSystem
import Testing
import TestSupport

@Suite("search: files that are no index")
struct OpeningTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func expectHealed() throws {
        #expect(SearchIndex.openForReading(path: directory.index) == nil)
        let index = try SearchIndex.openForWriting(path: directory.index)
        #expect(try index.coverage().isEmpty)
        try index.add(["one"], to: general)
        #expect(try index.seqs("one") == [1])
        let reader = try #require(SearchIndex.openForReading(path: directory.index))
        #expect(try reader.seqs("one") == [1])
        try index.integrityCheck()
    }

    @Test("none at all")
    func missing() throws { try expectHealed() }

    @Test("an empty file, or a text", arguments: ["", "x", String(repeating: "no database ", count: 1_000)])
    func noDatabase(content: String) throws {
        try PosixDisk().replaceContents(of: directory.index, with: Array(content.utf8))
        try expectHealed()
    }

    @Test("a database of someone else")
    func foreign() throws {
        do {
            let other = try Connection(path: directory.index, role: .writer)
            try other.execute("CREATE TABLE t(x); INSERT INTO t VALUES(1)")
        }
        try expectHealed()
    }

    @Test("another version", arguments: [-1, 1])
    func version(difference: Int) throws {
        do {
            _ = try SearchIndex.openForWriting(path: directory.index)
            let connection = try Connection(path: directory.index, role: .writer)
            try connection.execute("PRAGMA user_version=\(Schema.version(of: connection) + difference)")
        }
        try expectHealed()
    }

    @Test("tables that are missing", arguments: ["next", "posting", "posting_data", "range", "conversation"])
    func tables(name: String) throws {
        do {
            _ = try SearchIndex.openForWriting(path: directory.index)
            let connection = try Connection(path: directory.index, role: .writer)
            try connection.execute(
                "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema WHERE name='\(name)'; PRAGMA writable_schema=OFF")
        }
        try expectHealed()
    }

    @Test("files that an earlier index left")
    func leftovers() throws {
        for suffix in ["-wal", "-shm"] {
            try PosixDisk().replaceContents(of: directory.index + suffix, with: [UInt8](repeating: 7, count: 40_000))
        }
        try expectHealed()
    }

    @Test("a directory in its place is the disk's fault")
    func directoryInPlace() throws {
        try PosixDisk().makeDirectory(directory.index)
        #expect(SearchIndex.openForReading(path: directory.index) == nil)
        #expect(throws: SearchIndexError.self) { try SearchIndex.openForWriting(path: directory.index) }
        try? PosixDisk().remove(directory.index)
    }

    @Test("a reader keeps the discarded index that it has open")
    func discarded() throws {
        let index = try SearchIndex.openForWriting(path: directory.index)
        try index.add(["one"], to: general)
        let reader = try #require(SearchIndex.openForReading(path: directory.index))
        try SearchIndex.discard(path: directory.index)
        try SearchIndex.discard(path: directory.index)
        #expect(try reader.seqs("one") == [1])
        #expect(try PosixDisk().list(directory.path).isEmpty)
        try SearchIndex.openForWriting(path: directory.index).add(["two"], to: general)
        #expect(try reader.seqs("two") == [])
        #expect(try #require(SearchIndex.openForReading(path: directory.index)).seqs("two") == [1])
    }
}
