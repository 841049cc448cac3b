import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

/// The findings of a check of a store in PostgreSQL.
@Suite("the check of a store in PostgreSQL")
final class PostgresCheckTests: PostgresSuite {
    @Test("the check finds nothing in a sound store, and a changed byte in a log file")
    func check() throws {
        let server = try TestStore(database: uri)
        try server.seal(after: 500)
        try server.fill(20)
        let directory = try TemporaryDirectory()
        var damages: [StoreDamage] = []
        let counts = "SELECT count(*) FROM epoch;\nSELECT count(*) FROM node"
        let before = try cluster.query(counts, in: uri)
        let summary = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
        #expect(damages.isEmpty && summary.messages == 520, "\(damages)")
        // It changes nothing, and leaves nothing
        #expect(try cluster.query(counts, in: uri) == before)
        #expect(try PosixDisk().list(directory.path + "/check/shared") == [])
        try cluster.query("UPDATE log_piece SET data=set_byte(data,900,get_byte(data,900)#1) WHERE start>0", in: uri)
        _ = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
        _ = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
        #expect(damages.contains { $0.range != nil && $0.file.hasPrefix("logs/") })
        try cluster.query("DELETE FROM block", in: uri)
        _ = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
        // Nobody knows the directory in which it worked
        #expect(Set(damages.map { $0.file.prefix { $0 != "/" } }) == ["logs", "PostgreSQL"], "\(damages)")
        // An entry that differs, and no entry at all
        for (sql, problem) in [
            (
                "UPDATE log SET data=set_byte(data,10,get_byte(data,10)#1) WHERE number=(SELECT max(number) FROM log)",
                "checksum"
            ), ("DELETE FROM log", "empty"),
        ] {
            damages = []
            try cluster.query(sql, in: uri)
            let summary = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
            #expect(summary.damages == 1 && damages.first?.problem.english.contains(problem) == true, "\(damages)")
        }
    }

    @Test("a server's own check reads the log, and not the server's copy of the rows")
    func ofServer() throws {
        let server = try TestStore(database: uri)
        try server.fill(20)
        var damages: [StoreDamage] = []
        #expect(try server.store.check { damages.append($0) }.messages == 20)
        #expect(damages.isEmpty, "\(damages)")
        try cluster.query(
            "UPDATE log SET data=set_byte(data,10,get_byte(data,10)#1) WHERE number=(SELECT max(number) FROM log)",
            in: uri)
        #expect(try server.store.check { damages.append($0) }.damages == 1)
        #expect(damages.first?.problem.english.contains("checksum") == true, "\(damages)")
    }

    @Test("the check names entries that are gone from the end of the log")
    func missingEnd() throws {
        let server = try TestStore(database: uri)
        try server.post(["one"])
        let alice = try server.user("alice")
        _ = try waitFor { server.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        try server.post(["two"])
        server.store.close()
        let directory = try TemporaryDirectory()
        func check() throws -> [String] {
            var damages: [StoreDamage] = []
            let summary = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
            #expect(summary.damages == damages.count && damages.allSatisfy { $0.file == "log" }, "\(damages)")
            return damages.map(\.problem.english)
        }
        #expect(try check() == [])
        let last = try #require(cluster.query("SELECT max(number) FROM log", in: uri).first.flatMap { Int($0) })
        // A server that was killed had read the last two entries; one that was restored meanwhile has begun anew
        try cluster.query("INSERT INTO node VALUES (1,'killed[1]',now(),\(last)),(2,'other[2]',now(),1)", in: uri)
        #expect(try check() == [])
        try cluster.query("DELETE FROM log WHERE number>\(last)-2", in: uri)
        let missing = "entries \(last - 1) to \(last) are missing at its end, although a server has read them"
        #expect(try check() == [missing])
        // Its row goes, but the group's rows are of a commit that is gone
        try cluster.query("DELETE FROM node;\nDELETE FROM log WHERE number=\(last)-2", in: uri)
        #expect(
            try check() == [
                "entries are missing at its end: its last commit is 1, but tables have rows of commit 2"
            ])
    }

    @Test("entries that are gone from the beginning of the log are damage, for a check and for a start")
    func missingStart() throws {
        let pair = try (0..<2).map { _ in try TestStore(database: uri) }
        func start() throws -> Int? {
            try cluster.query("SELECT log_start FROM store", in: uri).first.flatMap { Int($0) }
        }
        func first() throws -> Int? {
            try cluster.query("SELECT min(number) FROM log", in: uri).first.flatMap { Int($0) }
        }
        // Beside a server of before, which trims without noting it, nobody knows
        try cluster.query("INSERT INTO node VALUES (1,'older[1]',now(),1000000)", in: uri)
        try pair[0].seal(after: 600)
        for number in 0..<9 { try pair[number % 2].post(["\(number)"]) }
        if let failure = pair[0].store.sealer.trim(pair[0].store) { throw failure }
        #expect(try start() == nil && first() != nil)
        try cluster.query("DELETE FROM node WHERE id=1", in: uri)
        try eventually("it is noted") {
            try pair[0].post(["more"])
            try pair[0].seal()
            return try start() != nil
        }
        for server in pair { server.store.close() }
        let place = try #require(try first())
        #expect(try start() == place)
        let directory = try TemporaryDirectory()
        var damages: [StoreDamage] = []
        #expect(try SharedStore(uri).check(in: directory.path) { damages.append($0) }.damages == 0, "\(damages)")
        try cluster.query("DELETE FROM log WHERE number<(SELECT max(number) FROM log)", in: uri)
        let last = try #require(cluster.query("SELECT max(number) FROM log", in: uri).first.flatMap { Int($0) })
        let problem = "entries \(place) to \(last - 1) are missing at the beginning of PostgreSQL's table 'log'"
        #expect(try SharedStore(uri).check(in: directory.path) { damages.append($0) }.damages == 1)
        #expect(damages.map(\.problem.english) == [problem])
        let failure = #expect(throws: StoreOpenError.self) { _ = try TestStore(database: uri) }
        guard case .damaged = failure else { throw Failure("\(failure, default: "it opened")") }
    }

    @Test("the check names a number that no row can have, which a start refuses")
    func impossibleNumber() throws {
        let server = try TestStore(database: uri)
        try server.post(["one"])
        server.store.close()
        try cluster.query(
            "INSERT INTO read_mark VALUES (1,1,-4,0,0) ON CONFLICT (account,conversation) DO UPDATE SET seq=-4", in: uri
        )
        let directory = try TemporaryDirectory()
        var damages: [StoreDamage] = []
        #expect(try SharedStore(uri).check(in: directory.path) { damages.append($0) }.damages == 1)
        #expect(damages.first?.file == "PostgreSQL", "\(damages)")
        #expect(damages.first?.problem.english == "the number -4 is out of range in 'seq'", "\(damages)")
        #expect(throws: (any Error).self) { _ = try TestStore(database: uri) }
    }

    @Test("a database that holds no store is not checked, and gets none by it")
    func nothingToCheck() throws {
        let directory = try TemporaryDirectory()
        let refusal = #expect(throws: StoreOpenError.self) {
            _ = try SharedStore(uri).check(in: directory.path) { _ in }
        }
        guard case .unfit = refusal else { throw Failure("refused for another reason: \(refusal, default: "")") }
        #expect(try cluster.query("SELECT count(*) FROM pg_tables WHERE schemaname='public'", in: uri) == ["0"])
        // A schema that is not there is named
        let missing = #expect(throws: StoreOpenError.self) {
            _ = try SharedStore(uri + "&options=-csearch_path%3Dnowhere").check(in: directory.path) { _ in }
        }
        #expect("\(missing, default: "")".contains("'nowhere'"))
    }
}
