import Glibc
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// The log is trimmed below what each server has read.
extension PostgresTests {
    @Test("any server seals, all read the blocks, and the log is trimmed below what each has read")
    func sealing() throws {
        let servers = try servers(2, journalBytes: 64 << 10)
        for round in 0..<6 { try servers[round % 2].fill(300, label: "round \(round)") }
        for server in servers {
            try server.store.catchUp()
            try server.seal()
        }
        for server in servers { try server.store.catchUp() }
        let texts = try servers.map { try $0.all().map(\.text) }
        #expect(texts[0].count == 1_800 && texts[0] == texts[1])
        for server in servers {
            for form in [SyncAnswer.Form.messages, .blocks] {
                var reader = SyncModel()
                try reader.sync(server, as: "alice", form: form, limitBytes: 20_000)
                #expect(reader.messages.values.map(\.count) == [1_800] && reader.damaged.isEmpty)
            }
        }
        let rows = try cluster.query("SELECT count(*) FROM log", in: uri).first.flatMap { Int($0) } ?? .max
        #expect(rows < 30)
        #expect(servers.allSatisfy { $0.reports.lines.isEmpty }, "\(servers.map(\.reports.lines))")
    }

    @Test("entries without messages are trimmed although a few messages wait to be sealed")
    func rowsWithoutMessages() throws {
        let servers = try servers(2, journalBytes: 64 << 10)
        let alice = try servers[0].user("alice")
        _ = try servers[0].user("bob")
        _ = try servers[0].post(["waits"], to: "@bob")
        for number in 0..<600 {
            if number.isMultiple(of: 20) { _ = try servers[0].post(["message \(number)"]) }
            _ = try waitFor { servers[0].store.setContact("bob", number.isMultiple(of: 2), for: alice, $0) }.get()
        }
        try eventually("they go") {
            for server in servers {
                try server.store.catchUp()
                try server.seal()
            }
            return try cluster.query("SELECT count(*)<200 FROM log", in: uri) == ["t"]
        }
        for server in servers + (try self.servers(1, journalBytes: 64 << 10)) {
            #expect(try server.all("@bob", as: "alice").map(\.text) == ["waits"])
            #expect(try server.all().count == 30)
        }
    }

    @Test("a server without a copy of the rows keeps nobody from trimming, and waits for nothing")
    func withoutCopy() throws {
        _ = try servers(1)
        let pool = try PostgresPool(SharedStore(uri).target)
        let connection = try pool.open()
        let watch = PostgresWatch(pool, node: 7)
        for (read, count) in [(5, "1"), (nil, "0"), (6, "1")] as [(UInt64?, String)] {
            watch.note(read: read)
            try watch.sayAlive(connection)
            #expect(try cluster.query("SELECT count(*) FROM node WHERE id=7", in: uri) == [count])
        }
        pool.close()
    }

    @Test("a server that ends as soon as it has begun takes its name out of the database")
    func shortLife() throws {
        _ = try servers(1)
        let pool = try PostgresPool(SharedStore(uri).target)
        let watch = PostgresWatch(pool, node: 7)
        try watch.sayAlive(pool.open())
        // Told to stop before its thread runs
        watch.stop()
        try watch.start()
        watch.stop()
        #expect(try cluster.query("SELECT count(*) FROM node WHERE id=7", in: uri) == ["0"])
        pool.close()
    }

    @Test("a server that was last seen in the future, by a clock that was wrong, counts as dead")
    func seenInFuture() throws {
        let servers = try servers(2, journalBytes: 64 << 10)
        try cluster.query("INSERT INTO node VALUES (1,'ghost',now()+interval '1 day',0)", in: uri)
        try servers[0].fill(300)
        for server in servers {
            try server.store.catchUp()
            try server.seal()
        }
        #expect(try servers[0].store.nodes().count == 2)
        try eventually("nothing waits for it") {
            try servers[1].store.catchUp()
            try servers[1].seal()
            return try cluster.query("SELECT count(*) FROM log WHERE number<5", in: uri) == ["0"]
        }
        let pool = PostgresPool(try SharedStore(uri).target)
        try pool.use { try PostgresSweeper(connection: $0, node: 2).sweep([]) }
        #expect(try cluster.query("SELECT count(*) FROM node WHERE id=1", in: uri) == ["0"])
    }

    @Test("of a dead server's pieces, those behind the recorded end of a file go, and a file of nothing else")
    func strays() throws {
        let server = try servers(1)[0]
        try server.seal(after: 300)
        let recorded = try cluster.query("SELECT count(*) FROM log_piece", in: uri)
        try cluster.query(
            """
            INSERT INTO node VALUES (1,'ghost',now()-interval '1 hour',0);
            INSERT INTO log_piece (file,start,node,data) SELECT id,1<<30,1,'stray' FROM log_file;
            INSERT INTO log_file (path) VALUES ('ab/' || repeat('ab', 16) || '/lonely.log');
            INSERT INTO log_piece (file,start,node,data) SELECT max(id),0,1,'stray' FROM log_file
            """, in: uri)
        let pool = PostgresPool(try SharedStore(uri).target)
        try pool.use { try PostgresSweeper(connection: $0, node: 2).sweep([]) }
        #expect(try cluster.query("SELECT count(*) FROM log_piece", in: uri) == recorded)
        #expect(try cluster.query("SELECT count(*) FROM log_file WHERE path LIKE '%lonely%'", in: uri) == ["0"])
        #expect(try cluster.query("SELECT count(*) FROM node WHERE id=1", in: uri) == ["0"])
        #expect(try server.all().count == 300)
    }

    @Test("of two servers that trim at once, the later one trims what both have read")
    func trimTogether() throws {
        let servers = try servers(2)
        // Given sealed messages that were kept for a server that is gone
        try cluster.query("INSERT INTO node VALUES (1,'ghost',now(),0)", in: uri)
        try servers[0].fill(300)
        for server in servers {
            try server.store.catchUp()
            try server.seal()
        }
        try cluster.query("DELETE FROM node WHERE id=1; UPDATE node SET read=0", in: uri)
        let inLog = "SELECT count(*) FROM log WHERE number<5"
        #expect(try cluster.query(inLog, in: uri) != ["0"])
        // When neither can remove anything before the other has come as far
        let holder = try PostgresPool(try SharedStore(uri).target).open()
        try holder.execute("BEGIN; LOCK TABLE log IN EXCLUSIVE MODE")
        let failures = Monitor<[StoreError]>([])
        let trims = try servers.map { server in
            try SystemThread(name: "trim") { [store = server.store] in
                if let failure = store.sealer.trim(store) { failures.signal { $0.append(failure) } }
            }
        }
        try eventually("both wait") {
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation='log'::regclass"
            return try cluster.query(waiting, in: uri) == ["2"]
        }
        try holder.execute("ROLLBACK")
        for trim in trims { trim.join() }
        #expect(failures.withLock { $0 } == [])
        #expect(try cluster.query(inLog, in: uri) == ["0"])
    }
}
