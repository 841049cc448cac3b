import Glibc
import NatterConversation
import NatterLog
import NatterModel
import NatterSQLite
import NatterSystem
import ServerSupport
import Testing
import TestSupport

@testable import NatterClient

@Suite("What is damaged in a replica is found, and mended by a sync")
struct ReplicaDamageTests {
    private let server: TestServer
    private let alice: Person
    private let location: ReplicaLocation

    init() throws {
        server = try TestServer()
        alice = try server.user("alice")
        location = ReplicaLocation(home: alice.home, store: alice.store, user: "alice")
    }

    private func size(_ path: String) throws -> UInt64 { try PosixDisk().information(path)?.size ?? 0 }

    private func flip(_ path: String, at offset: UInt64) throws {
        let file = try PosixDisk().open(path, .readWrite)
        try file.write(try file.read(count: 4, at: offset).map { ~$0 }, at: offset)
    }

    /// Text that does not get small.
    private func long(_ number: Int) -> String {
        (1...3_000).map { String(UInt64(number) &* 1_000_003 &* $0 &* 0x9E37_79B9_7F4A_7C15, radix: 36) }
            .joined(separator: " ")
    }

    /// A user with a group that she was removed from, and with messages in log files, in tails and in the write-ahead log.
    private func fill() throws {
        let bob = try server.user("bob")
        #expect(bob("group", "create", "team").code == 0)
        #expect(bob("group", "add", "team", "alice").code == 0)
        // Whatever the server has sealed by now, two of them are enough for a block of a log file.
        for number in 1...4 {
            #expect(bob("send", "-c", "team", long(number)).code == 0)
            #expect(alice("sync").code == 0)
        }
        #expect(bob("send", "-c", "team", "the last one").code == 0)
        #expect(alice("sync").code == 0)
        #expect(bob("group", "remove", "team", "alice").code == 0)
        for number in 5...8 {
            #expect(alice("send", long(number)).code == 0)
            #expect(alice("sync").code == 0)
        }
        try checkpoint()
        for number in 1...3 { #expect(alice("send", "short \(number)").code == 0) }
        #expect(alice("sync").code == 0)
        #expect(alice("send", "-c", "@bob", "hello").code == 0)
        #expect(alice("sync").code == 0)
    }

    /// Syncs until everything is in the database and nothing in its log.
    private func checkpoint() throws {
        for number in 1...100 {
            #expect(alice("pm", "me", "note \(number)").code == 0)
            #expect(alice("sync").code == 0)
            if try size(location.databasePath + "-wal") == 0 { return }
        }
        Issue.record("no checkpoint")
    }

    /// Overwrites all pages of the database but the first.
    private func damageDatabase() throws {
        var bytes = try PosixDisk().contents(of: location.databasePath, limit: 1 << 24)
        for place in 4_096..<bytes.count { bytes[place] = 0xA5 }
        try PosixDisk().replaceContents(of: location.databasePath, with: bytes)
    }

    @Test("a database that SQLite calls corrupt is made anew from log files and a sync", arguments: [true, false])
    func corrupt(isVerified: Bool) throws {
        try fill()
        try checkpoint()
        // 'team' is gone, so no server sends again those of its messages that were in no log file.
        func served() -> [String] {
            alice("log", "--all", "--offline", "--json").lines.filter { !$0.contains("\"conversation\":\"team\"") }
        }
        let whole = served()
        try damageDatabase()
        #expect(alice("log", "--offline").code == 74)
        #expect(alice("doctor").code == 1)
        if isVerified {
            let verify = alice("verify")
            #expect(verify.code == 74 && verify.errors.contains("'natter sync'"), "\(verify)")
        }
        let sync = alice("sync")
        #expect(sync.code == 0 && (isVerified || sync.errors.contains("/quarantine/replica-")), "\(sync)")
        #expect(served() == whole)
        #expect(alice("verify") == .silent)
        let texts = alice("log", "team", "--offline", "--format", "%m").lines.filter { $0.utf8.count > 1_000 }
        #expect(texts == (1...4).map(long))
        #expect(alice("sync") == .silent)
    }

    @Test("a database that another program wrote to is taken like any other, and nothing is fetched again")
    func otherProgram() throws {
        try fill()
        let whole = alice("log", "--all", "--offline", "--json")
        let other = try Connection(path: location.databasePath, role: .writer)
        try other.checkpoint(.truncating)
        try other.execute("VACUUM")
        #expect(alice("verify") == .silent)
        #expect(alice("sync") == .silent)
        #expect(alice("log", "--all", "--offline", "--json") == whole)
    }

    @Test("a damaged block: verify notes it, and a sync fetches it again")
    func block() throws {
        try fill()
        let whole = alice("log", "--all", "--offline", "--json")
        let general = try #require(try Replica.open(at: location)?.conversation(named: "general"))
        let logs = location.directory + "/logs/" + general.id.description.prefix(2) + "/" + general.id.description
        let file = try #require(try PosixDisk().list(logs).first)
        try flip("\(logs)/\(file)", at: try size("\(logs)/\(file)") / 2)
        let log = alice("log", "--offline")
        #expect(log.code == 74 && log.errors.contains("run 'natter verify', then 'natter sync'"))
        let verify = alice("verify", "--offline")
        #expect(verify.code == 74 && verify.output.hasPrefix("general: message"))
        #expect(verify.errors.contains("'natter sync'") && !verify.errors.contains("--forget"))
        #expect(alice("log", "--offline").code == 74)
        #expect(alice("sync").code == 0)
        #expect(alice("log", "--all", "--offline", "--json") == whole)
        #expect(alice("verify") == .silent)
        // But what the server no longer gives stays as it is
        let team = try #require(try Replica.open(at: location)?.conversation(named: "team"))
        let others = location.directory + "/logs/" + team.id.description.prefix(2) + "/" + team.id.description
        let other = try #require(try PosixDisk().list(others).first)
        try flip("\(others)/\(other)", at: try size("\(others)/\(other)") / 2)
        let left = alice("verify", "team")
        #expect(left.code == 74 && left.errors.contains("no longer gives you 'team'"))
        #expect(alice("sync").code == 0)
        #expect(alice("log", "team", "--offline").lines.contains { $0.hasSuffix("the last one") })
    }

    @Test("messages that are gone from the tail: verify notes them, and a sync fetches them again")
    func lostTail() throws {
        try fill()
        let whole = alice("log", "--all", "--offline", "--json")
        let connection = try Connection(path: location.databasePath, role: .writer)
        try connection.execute(
            "DELETE FROM tail WHERE conversation = (SELECT number FROM conversation WHERE name='general')")
        #expect(alice("log", "--offline").code == 74)
        let verify = alice("verify", "--offline")
        #expect(verify.code == 74 && verify.errors.contains("'natter sync'") && !verify.errors.contains("--forget"))
        #expect(alice("sync").code == 0)
        #expect(alice("log", "--all", "--offline", "--json") == whole)
        #expect(alice("verify") == .silent)
    }

    @Test("a sync fetches the first block again also in a replica that begins late")
    func lateBeginning() throws {
        // Given a replica that begins with the second block
        let client = try server.account("carl")
        let (bob, carol) = (try server.user("bob"), try server.user("carol"))
        for part in [1...3, 4...6, 7...9] {
            for number in part { #expect(alice("send", long(number)).code == 0) }
            try server.seal(as: client)
        }
        #expect(bob("sync").code == 0)
        let time = bob("log", "--offline", "--after", "3", "-n", "1", "--format", "%t").output
        #expect(carol("sync", "--since", String(time.prefix { $0 != "\n" })).code == 0)
        let whole = carol("log", "--offline", "--json")
        let location = ReplicaLocation(home: carol.home, store: carol.store, user: "carol")
        let replica = try #require(try Replica.open(at: location))
        let general = try #require(try replica.conversation(named: "general"))
        let segment = try #require(try ArchiveRows.segments(of: general.number, on: replica.connection).first)
        let block = try #require(try ArchiveRows.blocks(of: segment, on: replica.connection).first)
        #expect(general.first > Seq(1) && block.firstSeq == general.first)
        // When that is damaged
        try flip(location.directory + "/" + segment.name(of: general.id), at: block.offset + UInt64(block.length) / 2)
        #expect(carol("verify").code == 74)
        // Then a sync mends it
        #expect(carol("sync").code == 0)
        #expect(carol("verify") == .silent)
        #expect(carol("log", "--offline", "--json") == whole)
    }

    @Test("a log file that was damaged and fetched again goes with an erasure, which no sync fails to bring")
    func erasedLater() throws {
        try server.makeAdmin("alice")
        for number in 1...8 {
            #expect(alice("send", long(number)).code == 0)
            #expect(alice("sync").code == 0)
        }
        // Given a file with a dictionary of earlier texts, of which every block is damaged
        let replica = try #require(try Replica.open(at: location))
        let general = try #require(try replica.conversation(named: "general"))
        let segment = try #require(try ArchiveRows.segments(of: general.number, on: replica.connection).last)
        #expect(segment.dictionary != .none)
        let path = location.directory + "/" + segment.name(of: general.id)
        for block in try ArchiveRows.blocks(of: segment, on: replica.connection) {
            try flip(path, at: block.offset + UInt64(block.length) / 2)
        }
        #expect(alice("verify").code == 74)
        #expect(alice("sync").code == 0)
        #expect(alice("verify") == .silent)
        // When all texts are erased
        for number in 1...8 {
            #expect(alice("admin", "erase", "general", "\(number)", "--yes").code == 0)
            let sync = alice("sync")
            #expect(sync.code == 0, "\(number): \(sync)")
        }
        // Then they are
        #expect(alice("log", "--offline").lines.allSatisfy { $0.hasSuffix("(erased)") })
        #expect(try PosixDisk().information(path) == nil)
        #expect(alice("verify") == .silent)
    }

    @Test("what a killed 'logout --forget' has left goes with the next one, and with the first sync afterwards")
    func remains() throws {
        #expect(alice("sync").code == 0)
        let left = location.directory + ".removed-17"
        try PosixDisk().makeDirectories(left + "/logs")
        try PosixDisk().replaceContents(of: left + "/logs/a", with: [1])
        let limited = location.directory + "-0123456789abcdef.removed-17"
        try PosixDisk().makeDirectories(limited)
        try location.remove()
        #expect(try PosixDisk().information(left) == nil)
        #expect(try PosixDisk().information(limited) == nil)
        try PosixDisk().makeDirectories(location.directory + ".removed-18")
        #expect(alice("sync").code == 0)
        #expect(try PosixDisk().information(location.directory + ".removed-18") == nil)
    }
}
