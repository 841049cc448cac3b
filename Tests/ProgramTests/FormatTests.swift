internal import Foundation
internal import Testing
internal import TestSupport

/// `fixtures/format-1`, a store and a replica as 0.1.0 wrote them. Later versions must read them to the byte.
@Suite("format 1")
struct FormatTests {
    private let directory: TemporaryDirectory
    private var store: String { directory("store") }
    private var home: String { directory("home") }

    init() throws {
        directory = try TemporaryDirectory()
        let archive = Programs.packageRoot + "/fixtures/format-1/format-1.tar.xz"
        let unpacked = try ChildProcess(
            "/bin/tar", ["-C", directory.path, "-xJf", archive], environment: ["PATH": "/usr/bin:/bin"]
        ).finish()
        guard unpacked.code == 0 else { throw Failure("tar: \(unpacked.errors)") }
    }

    private func kept(_ name: String) throws -> [String] {
        guard let text = Files.text(directory(name)) else { throw Failure("'\(name)' is not in the archive") }
        return text.split(separator: "\n").map(String.init)
    }

    private func natterd(_ words: String...) throws -> Outcome {
        try Daemon.run(["--data", store] + words, home: directory.path, input: .nothing)
    }

    /// All conversations of the store, in the order in which they are kept.
    private func exported() throws -> [String] {
        try ["general", "team", "porch", "@alice,@bob", "@alice,@alice", "@bob,@carol", "halves", "relic"].flatMap {
            name in
            let export = try natterd("export", name, "--raw")
            #expect(export.code == 0, "\(export)")
            return export.lines
        }
    }

    private func expectClean() throws {
        try expect(natterd("fsck"), hasNotes: true)
    }

    @Test("a store reads as it did, also with an index that is made of its logs alone")
    func storeReads() throws {
        try expectClean()
        let all = try kept("store.ndjson")
        #expect(try exported() == all)
        for name in ["store.db", "store.db-wal", "store.db-shm"] { Files.remove(store + "/" + name) }
        let reindex = try natterd("reindex")
        #expect(reindex.code == 0 && reindex.errors.contains("may be lost"), "\(reindex)")
        try expectClean()
        // The tails were in the database alone.
        let left = try exported()
        #expect(left.count == all.count - 17 && left.allSatisfy(Set(all).contains))
        let names = try natterd("user", "list", "--json").objects()
        // carol was erased
        #expect(!names.isEmpty && !names.contains { $0[string: "name"] == "carol" })
    }

    @Test("a replica reads as it did, agrees with the store's hashes, and takes new messages and erasures")
    func replicaReads() throws {
        let bob = Person(name: "bob", home: directory("user"), server: "http://127.0.0.1:1")
        func offline(_ words: String...) throws -> Outcome { try bob.run(["--home", home, "--offline"] + words) }
        let log = try offline("log", "--all", "--raw", "--json")
        #expect(log.lines == (try kept("replica.ndjson")))
        let list = try offline("ls", "--json")
        // Nobody had written of what a group is about
        #expect(list.lines.map { $0.replacing(#""topic":null,"#, with: "") } == (try kept("conversations.ndjson")))
        #expect(try offline("verify").code == 0)
        // With the store it comes from
        let daemon = try Daemon(data: store)
        func online(_ words: String...) throws -> Outcome {
            try Person(name: "bob", home: directory("user"), server: daemon.url).run(["--home", home] + words)
        }
        #expect(try online("sync").code == 0)
        #expect(try online("verify").code == 0)
        #expect(try offline("log", "--all", "--raw", "--json").lines == log.lines)
        try expectSuccess(online("send", "-c", "team", "from a later version"))
        #expect(try natterd("erase", "team", "7").code == 0)
        #expect(try online("log", "team", "-n", "1").output.contains("from a later version"))
        #expect(
            try online("log", "team", "--raw", "--json").objects().first { $0[int: "seq"] == 7 }?[bool: "erased"]
                == true)
        #expect(try online("verify").code == 0)
        _ = daemon.stop()
        try expectClean()
    }
}
