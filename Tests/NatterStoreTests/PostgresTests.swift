import Glibc
import NatterSystem
import NatterModel
import StoreSupport
import SystemSupport
import TestSupport
import Testing

@testable import NatterStore

/// Several servers of one store in a real PostgreSQL.
@Suite("servers of one store in PostgreSQL")
final class PostgresTests: PostgresSuite {
    func servers(_ count: Int, journalBytes: Int? = nil) throws -> [TestStore] {
        try (0..<count).map { number in
            let clock = TestClock(Timestamp(milliseconds: 1_795_000_000_000 + Int64(number) * 700), stepMilliseconds: 1)
            return try TestStore(database: uri, clock: clock, journalBytes: journalBytes)
        }
    }

    /// Keeps a server from reading and writing until the returned function is called.
    func pause(_ server: TestStore) throws -> () -> Void {
        let isOver = Monitor(false)
        let thread = try SystemThread(name: "pause") { [store = server.store] in
            try? store.upkeep { _ in _ = isOver.wait { $0 ? true : nil } }
        }
        return {
            isOver.signal { $0 = true }
            thread.join()
        }
    }

    @Test("what one server acknowledged, the next read at another shows")
    func readYourWrites() throws {
        let servers = try servers(2)
        let (one, two) = (servers[0], servers[1])
        let alice = try one.user("alice")
        for number in 1...20 {
            let (writer, reader) = number.isMultiple(of: 2) ? (one, two) : (two, one)
            let text = "message \(number)"
            #expect(try writer.post([text]).first?.message?.seq == Seq(UInt64(number)))
            try reader.store.catchUp()
            #expect(try reader.all().last?.text == text)
        }
        _ = try waitFor { one.store.createGroup("team", isOpen: false, by: alice, $0) }.get()
        // Nothing was read here in between: the writer's thread finds out before it refuses.
        #expect(try two.post(["first"], to: "team").first?.message?.text == "first")
        _ = try waitFor { one.store.markRead(Seq(7), in: "general", for: alice, $0) }.get()
        try two.store.catchUp()
        #expect(try two.store.conversation("general", for: try two.user("alice")).read == Seq(7))
        // Sync tells of a changed contact at every server.
        _ = try two.user("bob")
        let before = try two.store.changes(since: .now, for: alice, form: .messages, limitBytes: 1_000).cursor
        try one.store.catchUp()
        _ = try waitFor { one.store.setContact("bob", true, for: alice, $0) }.get()
        try two.store.catchUp()
        let news = try two.store.changes(since: .cursor(before), for: alice, form: .messages, limitBytes: 1_000)
        guard case .contacts? = try news.next()?.first else { throw Failure("no line about contacts") }
        #expect(two.store.contacts(of: alice).map(\.name) == ["bob"])
        // A revoked token is good nowhere.
        let token = try one.token("alice")
        try two.store.catchUp()
        #expect(two.store.principal(of: token, address: "127.0.0.1") != nil)
        try waitFor { one.store.revoke(token.digest, $0) }.get()
        try two.store.catchUp()
        #expect(two.store.principal(of: token, address: "127.0.0.1") == nil)
    }

    @Test("a server that loads the store anew after a restore has read no more than is there")
    func readAnew() throws {
        let server = try servers(1)[0]
        for number in 0..<9 { try server.post(["\(number)"]) }
        try eventually("it has said what it has read") {
            try cluster.query("SELECT read=(SELECT max(number) FROM log) FROM node", in: uri) == ["t"]
        }
        try cluster.query("DELETE FROM log WHERE number>(SELECT max(number) FROM log)-8", in: uri)
        try eventually("it has loaded what is there") { server.reports.contains("went back") }
        try server.post(["new"])
        #expect(try cluster.query("SELECT read<=(SELECT max(number) FROM log) FROM node", in: uri) == ["t"])
    }

    /// Posts from several threads at all servers, each message until it is acknowledged, and does something after every
    /// 30 of them.
    private func post(_ servers: [TestStore], threads: Int, each count: Int, while body: () throws -> Void) throws
        -> [String: Seq]
    {
        let acknowledged = Monitor<[String: Seq]>([:])
        let left = Monitor(threads)
        let posters = try (0..<threads).map { thread in
            let server = servers[thread % servers.count]
            let alice = try server.user("alice")
            return try SystemThread(name: "poster") {
                for number in 0..<count {
                    let text = "text \(thread).\(number)"
                    let message = NewMessage(conversation: "general", text: text, key: IdempotencyKey(text))
                    while true {
                        guard let seq = server.post([message], by: alice).first?.message?.seq else { continue }
                        acknowledged.withLock { $0[text] = seq }
                        break
                    }
                }
                left.signal { $0 -= 1 }
            }
        }
        var next = 30
        while left.withLock({ $0 }) > 0 {
            try eventually("more messages are acknowledged") {
                left.withLock { $0 } == 0 || acknowledged.withLock { $0.count } >= next
            }
            next += 30
            try body()
        }
        for poster in posters { poster.join() }
        return acknowledged.withLock { $0 }
    }

    /// Each acknowledged message is there once, with its number, at every server and after a start.
    private func judge(_ servers: [TestStore], _ acknowledged: [String: Seq]) throws {
        try servers[0].reopen()
        for server in servers {
            try server.store.catchUp()
            let messages = try server.all()
            #expect(messages.map(\.seq.rawValue) == (0..<messages.count).map { UInt64($0) + 1 })
            #expect(messages.count == acknowledged.count)
            for message in messages { #expect(acknowledged[message.text] == message.seq) }
            #expect(!server.store.isFailed)
        }
    }

    @Test("connections that are cut at any moment lose nothing and double nothing")
    func cutConnections() throws {
        let servers = try servers(2)
        let acknowledged = try post(servers, threads: 8, each: 100) {
            try cluster.query(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname=current_database() "
                    + "AND pid<>pg_backend_pid()", in: uri)
        }
        #expect(acknowledged.count == 800)
        try judge(servers, acknowledged)
    }

    @Test("a PostgreSQL that crashes and starts again loses nothing and doubles nothing")
    func crashes() throws {
        let cluster = try PostgresCluster()
        let uri = try cluster.makeDatabase()
        let servers = try (0..<2).map { _ in try TestStore(database: uri) }
        let acknowledged = try post(servers, threads: 8, each: 30) {
            cluster.stop(SIGQUIT)
            try cluster.start()
        }
        #expect(acknowledged.count == 240)
        try judge(servers, acknowledged)
        for server in servers { server.store.close() }
        cluster.stop(SIGINT)
    }

    @Test(
        "one file, or messages of the same ids, imported at two servers at once come in once", arguments: [false, true])
    func sameImport(hasIDs: Bool) throws {
        let servers = try servers(2)
        let importers = try servers.map { server in
            let importer = try StoreImporter(into: "general", of: server.store)
            if !hasIDs { #expect(try importer.noteInput(Digest(of: Array("file".utf8))) == nil) }
            try importer.append(
                time: Timestamp(milliseconds: 1_700_000_000_000), sender: Array("dora".utf8), text: Array("old".utf8),
                id: hasIDs ? IdempotencyKey("a") : nil)
            return importer
        }
        #expect(try importers[0].finish().count == 1)
        #expect(throws: ImportError.store(.busy)) { try importers[1].finish() }
        try servers[1].store.catchUp()
        #expect(try servers[1].all().map(\.text) == ["old"])
    }

    @Test("imports at two servers that both write meanwhile come in whole, one behind the other")
    func imports() throws {
        let servers = try servers(2)
        try servers[0].post(["first"])
        let input = (1...300).map { PlainMessage(time: 1_700_000_000_000 + $0, sender: "dora", text: "old \($0)") }
        let failures = Monitor<[any Error]>([])
        let threads = try servers.map { server in
            try SystemThread(name: "importer") {
                for round in 0..<4 {
                    do {
                        try server.post(["new"])
                        let into = round == 3 ? "general" : "group-\(round)"
                        do { try server.importing(input, into: into) } catch ImportError.store(.nameTaken) {
                            try server.importing(input, into: into)
                        }
                    } catch { failures.withLock { $0.append(error) } }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(failures.withLock { $0 }.isEmpty, "\(failures.withLock { $0 })")
        for server in servers {
            try server.store.catchUp()
            let general = try server.all()
            #expect(general.map(\.seq.rawValue) == Array(1...609))
            #expect(general.map(\.text).filter { $0.hasPrefix("old") } == input.map(\.text) + input.map(\.text))
            for round in 0..<3 {
                #expect(try server.exporting("group-\(round)").messages == input + input)
            }
        }
        let directory = try TemporaryDirectory()
        var damages: [StoreDamage] = []
        _ = try SharedStore(uri).check(in: directory.path) { damages.append($0) }
        #expect(damages.isEmpty, "\(damages)")
    }

    @Test("a database that was restored to an earlier state begins a new epoch, and what was erased is erased again")
    func historyWentBack() throws {
        let server = try servers(1)[0]
        try server.post(["kept", "secret"])
        try server.post(["behind it"])
        let epoch = server.store.statistics().epoch
        // Files written now may hold messages that will be lost, under numbers that others will have.
        let (number, mark) = server.store.state.withLock { state in
            (state.general, state.conversations[state.general].map(state.filesMark(of:)))
        }
        try server.store.checkFiles(of: number, are: mark)
        func exclusively(_ statements: String, _ body: () -> Void = {}) throws {
            let name = uri.dropFirst("postgresql:///".count).prefix { $0 != "?" }
            let admin = cluster.uri("postgres")
            try cluster.query("ALTER DATABASE \(name) ALLOW_CONNECTIONS false", in: admin)
            try cluster.query(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname='\(name)'", in: admin
            )
            for statement in statements.split(separator: ";") {
                try cluster.query(String(statement.replacing("$DB", with: String(name))), in: admin)
            }
            body()
            try cluster.query("ALTER DATABASE \(name) ALLOW_CONNECTIONS true", in: admin)
        }
        // While nothing can be written, no epoch can begin.
        try cluster.query(
            """
            CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION USING ERRCODE=''disk_full'', MESSAGE=''no space left''; END';
            CREATE TRIGGER no_room BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION no_room()
            """, in: uri)
        try exclusively("CREATE DATABASE $DB_copy TEMPLATE $DB")
        try cluster.query("DROP TRIGGER no_room ON log", in: uri)
        try server.post(["lost"])
        #expect(try waitFor { server.store.erase([Seq(2)...Seq(2)], in: "general", by: "alice", $0) }.get() == 1)
        // A trim that waits for the database, and so comes before anybody has noticed, takes nothing away.
        let isTrimmed = Monitor(false)
        try exclusively("DROP DATABASE $DB;ALTER DATABASE $DB_copy RENAME TO $DB") {
            _ = server.store.sealer.submit { _ in
                _ = server.store.sealer.trim(server.store)
                isTrimmed.signal { $0 = true }
            }
        }
        _ = isTrimmed.wait { $0 ? true : nil }
        try? server.store.catchUp()
        #expect(server.store.statistics().epoch == epoch)
        try cluster.query("DROP TRIGGER no_room ON log", in: uri)
        try server.post(["first"])
        #expect(server.store.statistics().epoch != epoch)
        #expect(throws: StoreError.busy) { try server.store.checkFiles(of: number, are: mark) }
        // The erasure was asked for before this is.
        let isDone = Monitor(false)
        #expect(server.store.sealer.submit { _ in isDone.signal { $0 = true } })
        _ = isDone.wait { $0 ? true : nil }
        #expect(try server.all().map(\.text) == ["kept", "", "behind it", "first"])
        #expect(try server.post(["new"]).first?.message?.seq == Seq(5))
        #expect(server.reports.contains("went back"))
    }

    @Test(
        "a standby takes over: servers go on where they were, or where it is if it lacks something",
        arguments: [true, false])
    func standby(hasAll: Bool) throws {
        let primary = try PostgresCluster()
        let database = try primary.makeDatabase()
        let standby = try PostgresCluster(standbyOf: primary)
        let uri = database.replacing("&user", with: ",\(standby.socket)&user")
        let servers = try (0..<2).map { _ in try TestStore(database: uri) }
        try servers[0].post(["kept"])
        try servers[1].store.catchUp()
        let epoch = servers[1].store.statistics().epoch
        try standby.catchUp(with: primary)
        if !hasAll { standby.stop(SIGINT) }
        try servers[0].post(["late"], key: "late")
        if hasAll { try standby.catchUp(with: primary) }
        primary.stop(SIGQUIT)
        if !hasAll { try standby.start() }
        try standby.promote()
        let known = hasAll ? ["kept", "late"] : ["kept"]
        for server in servers {
            try server.store.catchUp()
            #expect(try server.all().map(\.text) == known)
            // If nothing is lost, one begins with the next entry.
            #expect(hasAll || server.store.statistics().epoch != epoch)
        }
        // A message that a client repeats under its id is there once, whether it was lost or not.
        #expect(try servers[1].post(["late"], key: "late").first?.message?.seq == Seq(2))
        try servers[0].store.catchUp()
        #expect(try servers[0].all().map(\.text) == ["kept", "late"])
        for server in servers { server.store.close() }
        standby.stop(SIGINT)
    }

    @Test(
        "a server that has not read what a standby lacks begins an epoch before it writes there, so that nobody misses that"
    )
    func standbyBehind() throws {
        let primary = try PostgresCluster()
        let database = try primary.makeDatabase()
        let standby = try PostgresCluster(standbyOf: primary)
        let uri = database.replacing("&user", with: ",\(standby.socket)&user")
        let servers = try (0..<2).map { _ in try TestStore(database: uri) }
        let alice = try servers[0].user("alice")
        try servers[0].post(["kept"])
        try servers[1].store.catchUp()
        try standby.catchUp(with: primary)
        standby.stop(SIGINT)
        // Given that the second server reads nothing while the first acknowledges, and a client sees it
        let goOn = try pause(servers[1])
        try servers[0].post(["lost"])
        let cursor = try servers[0].store.changes(since: .now, for: alice, form: .messages, limitBytes: 1_000).cursor
        primary.stop(SIGQUIT)
        try standby.start()
        try standby.promote()
        // When the second one is the first to write after the loss
        goOn()
        try eventually("it writes") { try servers[1].post(["new"]).first?.message?.seq == Seq(2) }
        // Then that client is told to look again
        #expect(throws: StoreError.self) {
            try servers[1].store.changes(since: .cursor(cursor), for: alice, form: .messages, limitBytes: 1_000)
        }
        try servers[0].store.catchUp()
        #expect(try servers.map { try $0.all().map(\.text) } == [["kept", "new"], ["kept", "new"]])
        for server in servers { server.store.close() }
        standby.stop(SIGINT)
    }

    @Test("entries that do not fit into one answer come in parts")
    func largeEntries() throws {
        let servers = try servers(2)
        let goOn = try pause(servers[1])
        // Texts that can't be compressed: two that fit together, one that fits alone, larger ones, a small one
        var random = SystemRandomNumberGenerator()
        let texts = [20_000, 20_000, 50_000, 60_000, 10].map { count in
            String((0..<count).map { _ in Character(Unicode.Scalar(UInt8.random(in: 33...126, using: &random))) })
        }
        for text in texts { try servers[0].post([text]) }
        try servers[0].post(Array(repeating: texts[3], count: 1) + texts.map { String($0.reversed()) })
        goOn()
        try servers[1].post(["last"])
        try servers[0].store.catchUp()
        #expect(try servers[1].all().map(\.text) == servers[0].all().map(\.text))
        #expect(try servers[1].all().count == texts.count + 7)
    }

    @Test("rows that an import inserts are few statements, and all of them")
    func mergedRows() throws {
        let collector = RowCollector(number: 1)
        let sql: StaticString = "INSERT INTO t (a,b) VALUES ($1,$2) ON CONFLICT DO NOTHING"
        for number in 0..<303 { collector.run(sql, number, number + 1_000) }
        collector.run("DELETE FROM t WHERE a=$1", 1)
        for number in 303..<305 { collector.run(sql, number, number + 1_000) }
        let statements = collector.statements
        #expect(statements.map { $0.values.count / 2 } == [256, 32, 4, 4, 4, 1, 1, 1, 0, 1, 1])
        #expect(
            statements[2].sql == "INSERT INTO t (a,b) VALUES ($1,$2),($3,$4),($5,$6),($7,$8) ON CONFLICT DO NOTHING")
        let inserted = statements.filter { $0.sql.hasPrefix("INSERT") }.flatMap(\.values)
        #expect(inserted == (0..<305).flatMap { [.integer(Int64($0)), .integer(Int64($0) + 1_000)] })
        // PostgreSQL takes them
        let store = try servers(1)[0]
        let importer = try StoreImporter(into: "general", of: store.store)
        for number in 0..<303 {
            _ = try importer.append(
                time: Timestamp(milliseconds: Int64(number)), sender: Array("old".utf8), text: Array("text".utf8),
                id: IdempotencyKey("key-\(number)"))
        }
        _ = try importer.finish()
        #expect(try cluster.query("SELECT count(*) FROM import_key", in: uri) == ["303"])
    }

    @Test("a database that would begin to forget while servers run counts as away until it is set right")
    func unfitLater() throws {
        let server = try servers(1)[0]
        try server.post(["one"])
        let name = uri.dropFirst("postgresql:///".count).prefix { $0 != "?" }
        func set(_ value: String) throws {
            try cluster.query("ALTER DATABASE \(name) SET synchronous_commit=\(value)", in: uri)
            try cluster.query(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname='\(name)' "
                    + "AND pid<>pg_backend_pid()", in: uri)
        }
        try set("off")
        let refusal = try server.post(["two"], key: "k").first?.refusal
        #expect(refusal == .databaseAway || refusal == .outcomeUnknown)
        #expect(server.reports.contains("'synchronous_commit' is off in PostgreSQL"), "\(server.reports.lines)")
        try set("on")
        try eventually("it is taken") { try server.post(["two"], key: "k").first?.message?.seq == Seq(2) }
        #expect(try server.all().map(\.text) == ["one", "two"] && !server.store.isFailed)
    }

    @Test("servers set the isolation that they need, whatever the database has", .timeLimit(.minutes(2)))
    func isolation() throws {
        let name = uri.dropFirst("postgresql:///".count).prefix { $0 != "?" }
        try cluster.query("ALTER DATABASE \(name) SET default_transaction_isolation='serializable'", in: uri)
        let servers = try servers(2)
        for server in servers {
            _ = try server.user("alice")
            try server.store.catchUp()
        }
        let refused = try concurrently(8) { number in
            try (0..<40).compactMap { try servers[number % 2].post(["\(number)-\($0)"]).first?.refusal }
        }
        let all: [StoreError] = refused.flatMap { $0 }
        #expect(all == [])
        try servers[0].store.catchUp()
        #expect(try servers[0].all().count == 320)
    }
}
