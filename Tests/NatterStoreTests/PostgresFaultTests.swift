import Glibc
import NatterSystem
import NatterModel
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// Servers of one store run while PostgreSQL can't do all that they need.
@Suite("servers of one store whose PostgreSQL fails")
final class PostgresFaultTests: PostgresSuite {
    /// Servers that know alice and `before`.
    func servers(_ uri: String, patienceMilliseconds: Int64? = nil) throws -> [TestStore] {
        let servers = try (0..<2).map { _ in
            try TestStore(database: uri, patienceMilliseconds: patienceMilliseconds)
        }
        try servers[0].post(["before"])
        for server in servers {
            _ = try server.user("alice")
            try server.store.catchUp()
        }
        return servers
    }

    func texts(_ servers: [TestStore]) throws -> [[String]] {
        for server in servers { try server.store.catchUp() }
        return try servers.map { try $0.all().map(\.text) }
    }

    /// Makes PostgreSQL refuse new rows of a table as a full disk does.
    private func fill(_ table: String) throws {
        try cluster.query(
            """
            CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN RAISE EXCEPTION USING ERRCODE=''disk_full'', MESSAGE=''no space left''; END';
            CREATE TRIGGER no_room BEFORE INSERT ON \(table) FOR EACH ROW EXECUTE FUNCTION no_room()
            """, in: uri)
    }

    private func empty(_ table: String) throws { try cluster.query("DROP TRIGGER no_room ON \(table)", in: uri) }

    @Test("a full disk refuses messages and says why; with room again, the same id is stored once")
    func fullDisk() throws {
        let servers = try servers(uri)
        try fill("log")
        for server in servers {
            #expect(try server.post(["full"], key: "k").first?.refusal == .diskFull)
            #expect(server.store.troubles() == [.diskFull])
        }
        #expect(try texts(servers) == [["before"], ["before"]])
        try empty("log")
        for (number, server) in servers.enumerated() {
            #expect(try server.post(["full"], key: "k").first?.message?.seq == Seq(2))
            try server.post(["after \(number)"])
            #expect(server.store.troubles().isEmpty && !server.store.isFailed)
        }
        let all = ["before", "full", "after 0", "after 1"]
        #expect(try texts(servers) == [all, all])
    }

    @Test("a full disk keeps messages from being sealed, and loses none")
    func fullWhileSealing() throws {
        let servers = try servers(uri)
        try servers[0].fill(300)
        try fill("log_piece")
        #expect(throws: StoreError.diskFull) { try servers[0].seal() }
        #expect(servers[0].store.troubles().contains { if case .cannotSeal = $0 { true } else { false } })
        try servers[1].post(["meanwhile"])
        try empty("log_piece")
        try servers[0].store.catchUp()
        try servers[0].seal()
        #expect(servers[0].store.troubles().isEmpty && !servers[0].store.isFailed)
        let texts = try texts(servers)
        #expect(texts[0].count == 302 && texts[0] == texts[1] && texts[0].last == "meanwhile")
    }

    @Test("a server seals what it was sent; another one leaves that to it, but not for long")
    func sealsItsOwn() throws {
        let servers = try servers(uri)
        func cannotSeal(_ server: TestStore) -> Bool {
            server.store.troubles().contains { if case .cannotSeal = $0 { true } else { false } }
        }
        try fill("log_piece")
        let began = MonotonicClock.now()
        try servers[0].fill(5_000)
        try eventually("it tries") { cannotSeal(servers[0]) }
        try servers[1].store.catchUp()
        #expect(try waitFor({ servers[1].store.settle($0) }) == nil)
        // After 10 s it would seal itself, and a busy machine may take that long.
        let hasTried = cannotSeal(servers[1]) || servers[1].reports.contains("cannot seal")
        #expect(!hasTried || MonotonicClock.now() - began >= 10_000)
        servers[0].store.close()
        try empty("log_piece")
        try eventually("the other one seals") {
            servers[1].store.state.withLock { state in
                state.conversations.values.allSatisfy { $0.tail.estimatedBytes < Sealer.ripeBytes }
            }
        }
        #expect(try servers[1].all().count == 5_001)
    }

    enum Absence: CaseIterable {
        case ended
        /// Neither answers nor ends its connections.
        case frozen
        /// Answers, but holds everybody up.
        case locked
    }

    @Test(
        "while PostgreSQL is away or makes no progress, requests are refused in time; then servers go on by themselves",
        arguments: Absence.allCases)
    func away(_ absence: Absence) throws {
        let cluster = try PostgresCluster()
        let uri = try cluster.makeDatabase() + "&connect_timeout=2"
        let servers = try servers(uri, patienceMilliseconds: 3_000)
        defer { cluster.thaw() }
        var holder: ChildProcess?
        switch absence {
        case .ended: cluster.stop(SIGQUIT)
        case .frozen: try cluster.freeze()
        case .locked: holder = try cluster.hold("log", in: uri)
        }
        let reason = absence == .locked ? StoreError.databaseLocked : .databaseAway
        _ = try concurrently(servers.count) { number in
            let server = servers[number]
            let first = try server.post(["away"], key: "k").first?.refusal
            #expect(first == .outcomeUnknown || first == reason)
            #expect(try server.post(["away"], key: "k").first?.refusal == reason)
            #expect(server.store.troubles() == [absence == .locked ? .databaseLocked : .databaseAway])
            #expect(throws: reason) { try server.store.catchUp() }
            // The messages that it knows are there; a route asks `catchUp` first.
            #expect(try server.all().map(\.text) == ["before"])
        }
        switch absence {
        case .ended: try cluster.start()
        case .frozen: cluster.thaw()
        case .locked:
            try cluster.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", in: uri)
            _ = holder?.finish()
        }
        for (number, server) in servers.enumerated() {
            try eventually("the message is taken") {
                try server.post(["away"], key: "k").first?.message?.seq == Seq(2)
            }
            try server.post(["after \(number)"])
            #expect(server.store.troubles().isEmpty && !server.store.isFailed)
            let isAway = absence != .locked
            #expect(server.reports.contains("the database can't be reached, and is tried again: ") == isAway)
            #expect(server.reports.contains("the database is back after ") == isAway, "\(server.reports.lines)")
        }
        let all = ["before", "away", "after 0", "after 1"]
        #expect(try texts(servers) == [all, all])
        for server in servers { server.store.close() }
        cluster.stop(SIGINT)
    }

    @Test("two servers that take turns wait for a lock once, not for each step, and later messages wait for it less")
    func lockedOnce() throws {
        let patience: Int64 = 3_000
        let servers = try servers(uri, patienceMilliseconds: patience)
        // Given servers that were first in turn, so that both queue
        for server in servers + servers { try server.post(["turn"]) }
        let holder = try cluster.hold("log", in: uri)
        defer { holder.signal(SIGKILL) }
        // When each gets a message, and one more while that waits
        let waits = try concurrently(4) { number throws -> Int64 in
            _ = poll(nil, 0, number < 2 ? 0 : 500)
            let began = MonotonicClock.now()
            #expect(try servers[number % 2].post(["late"]).first?.refusal == .databaseLocked)
            return MonotonicClock.now() - began
        }
        // Then none waits much longer than for one lock
        #expect(waits.allSatisfy { $0 < 4 * patience }, "\(waits)")
        try cluster.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", in: uri)
        for server in servers {
            try eventually("it is taken") { try server.post(["after"], key: "k").first?.message != nil }
        }
    }

    @Test("a read that waits while another one fails fails with it")
    func sharedFailure() throws {
        // A read that comes when the look is over has one of its own, so it is tried until nobody comes as late.
        try eventually("all have one look") {
            let (barrier, looks) = (ReadBarrier(), Monitor(0))
            @Sendable func look() throws -> LogPlace {
                looks.signal { $0 += 1 }
                _ = poll(nil, 0, 500)
                throw StoreError.databaseLocked
            }
            let failed = try concurrently(4) { number in
                if number > 0 { _ = looks.wait { $0 > 0 ? true : nil } }
                return (try? barrier.head(look)) == nil
            }
            #expect(failed == [true, true, true, true])
            return looks.withLock { $0 } == 1
        }
    }

    @Test("until a restore has made and filled the tables, the database counts as away, and servers make nothing in it")
    func restoring() throws {
        let servers = try servers(uri)
        func isAway() throws {
            for server in servers {
                #expect(try server.post(["meanwhile"], key: "k").first?.refusal == .databaseAway)
                #expect(throws: StoreError.databaseAway) { try server.store.catchUp() }
                #expect(server.store.troubles() == [.databaseAway] && !server.store.isFailed)
            }
        }
        try cluster.query("ALTER SCHEMA public RENAME TO former;\nCREATE SCHEMA public", in: uri)
        try isAway()
        let tables = try cluster.query("SELECT tablename FROM pg_tables WHERE schemaname='former'", in: uri)
        for table in tables {
            try cluster.query("CREATE TABLE public.\(table) (LIKE former.\(table) INCLUDING ALL)", in: uri)
        }
        try isAway()
        let counts = try cluster.query("SELECT count(*) FROM store;\nSELECT count(*) FROM schema_step", in: uri)
        #expect(counts == ["0", "0"])
        try cluster.query("DROP SCHEMA public CASCADE;\nALTER SCHEMA former RENAME TO public", in: uri)
        for (number, server) in servers.enumerated() {
            #expect(try server.post(["meanwhile"], key: "k").first?.message?.seq == Seq(2))
            try server.post(["after \(number)"])
            #expect(server.store.troubles().isEmpty && !server.store.isFailed)
        }
        let all = ["before", "meanwhile", "after 0", "after 1"]
        #expect(try texts(servers) == [all, all])
    }

    @Test(
        "a message that no synchronous standby has is not acknowledged, although its commit succeeded or is found",
        arguments: ["pg_terminate_backend", "pg_cancel_backend"])
    func withoutStandby(function: String) throws {
        let cluster = try PostgresCluster()
        let uri = try cluster.makeDatabase()
        let all = try servers(uri, patienceMilliseconds: 500)
        let server = all[0]
        func setStandbys(_ names: String) throws {
            try cluster.query("ALTER SYSTEM SET synchronous_standby_names='\(names)'", in: uri)
            try cluster.query("SELECT pg_reload_conf()", in: uri)
            try eventually("it is set") {
                try cluster.query("SELECT current_setting('synchronous_standby_names')='\(names)'", in: uri) == ["t"]
            }
        }
        // Given a commit that waits for a standby
        try setStandbys("nobody")
        let answer = Monitor<PostOutcome?>(nil)
        let poster = try SystemThread(name: "poster") {
            let outcome = try? server.post(["late"], key: "k").first
            answer.signal { $0 = outcome }
        }
        // When an administrator ends the wait, or the session
        try eventually("it is done") {
            try cluster.query(
                "SELECT \(function)(pid) FROM pg_stat_activity WHERE wait_event='SyncRep'", in: uri) == ["t"]
        }
        // Then nobody is told that it is stored, also who sends it again, here or at another server
        poster.join()
        #expect(answer.withLock { $0?.refusal } == .outcomeUnknown)
        for server in all { #expect(try server.post(["late"], key: "k").first?.refusal != nil) }
        // Until there is no standby to wait for
        try setStandbys("")
        try eventually("it is acknowledged") { try server.post(["late"], key: "k").first?.message?.seq == Seq(2) }
        #expect(try server.all().map(\.text) == ["before", "late"])
        for server in all {
            #expect(!server.store.isFailed)
            server.store.close()
        }
        cluster.stop(SIGINT)
    }

    @Test(
        "what was erased in another store, which the server's directory served before, takes no name, and is kept for that store"
    )
    func erasedElsewhere() throws {
        let cache = try TemporaryDirectory()
        func open(_ uri: String) throws -> TestStore {
            let shared = try SharedStore(uri)
            return try TestStore(cache.path, users: ["alice"]) {
                try Store.open(shared, cache: cache.path, options: $0)
            }
        }
        func remembered() throws -> [String] {
            try RememberedErasures(cache("shared"), PosixDisk()).accounts().map(\.name.text)
        }
        let first = try open(uri)
        _ = try first.user("bob")
        _ = try waitFor { first.store.eraseAccount("bob", by: "operator", $0) }.get()
        first.store.close()
        let second = try open(cluster.makeDatabase())
        second.store.waitForErasures()
        #expect(try second.store.state.withLock { $0.account(named: "bob") } == nil && remembered() == [])
        second.store.close()
        try open(uri).store.close()
        #expect(try remembered() == ["bob"])
    }

    @Test("an entry whose answer was lost is not confirmed by a PostgreSQL that never had it")
    func confirmedElsewhere() throws {
        let server = try servers(uri)[0]
        let engine = try #require(server.store.engine as? PostgresEngine)
        let place = server.store.state.withLock { $0.place }
        let lost = LogPlace(number: place.number, chain: Digest(of: []))
        #expect(throws: HistoryWentBack.self) { try engine.state.withLock { try $0.log.confirm(lost) } }
        try engine.confirm(place)
        #expect(try server.post(["after"]).first?.message?.seq == Seq(2))
    }

    @Test("a full disk under the copy of the rows undoes a trim, and the next one does it")
    func fullCopy() throws {
        let directory = try TemporaryDirectory()
        var copy = try RowCopy(path: directory("store.db"), retentionDays: 30)
        let now = Timestamp(milliseconds: 1_795_000_000_000)
        let keys = (0..<UInt64(1_000)).map { number in
            let found = FoundKey(conversation: 1, seq: Seq(number), content: number)
            return MovedKey(key: RecentKey(account: 1, time: 0, hash: number), found: found, commit: .zero)
        }
        try copy.connection.execute("PRAGMA max_page_count=1")
        #expect(throws: StoreError.diskFull) { try copy.trim(below: .zero, moving: keys, now: now) }
        #expect(try copy.keys.find(keys.map(\.key)).isEmpty)
        try copy.connection.execute("PRAGMA max_page_count=100000")
        _ = try copy.trim(below: .zero, moving: keys, now: now)
        #expect(try copy.keys.find(keys.map(\.key)).count == keys.count)
    }

    @Test(
        "a full disk under the copy of the rows ends no server: the copy is made anew, and what was stored is acknowledged"
    )
    func fullCopyOfServer() throws {
        let servers = try servers(uri)
        var (groups, sent) = (0, ["before"])
        // When the room ends with an entry of another server, and with one of its own
        for author in [servers[1], servers[0]] {
            let alice = try author.user("alice")
            let engine = try #require(servers[0].store.engine as? PostgresEngine)
            try engine.state.withLock { try $0.copy?.connection.execute("PRAGMA max_page_count=1") }
            let known = servers[0].reports.lines.count
            try eventually("its copy is full") {
                groups += 1
                _ = try waitFor { author.store.createGroup("group-\(groups)", isOpen: true, by: alice, $0) }.get()
                let text = "message \(groups)"
                let outcome = try servers[0].post([text], key: text).first
                if outcome?.message != nil { sent.append(text) }
                #expect(outcome?.message != nil || outcome?.refusal == .diskFull, "\(String(describing: outcome))")
                return servers[0].reports.lines.count > known
            }
            #expect(servers[0].reports.lines.last?.contains("was made anew: ") == true, "\(servers[0].reports.lines)")
        }
        // Then it has all that the other one has
        #expect(try texts(servers) == [sent, sent])
        for server in servers {
            for number in 1...groups { _ = try server.store.conversation("group-\(number)", for: server.user("alice")) }
            try server.seal()
            #expect(!server.store.isFailed)
        }
        #expect(servers[0].reports.lines.count == 2, "\(servers[0].reports.lines)")
    }

    @Test("a disk of this machine that is slow while the rows are copied does not end the transaction")
    func slowCopy() throws {
        try TestStore(database: uri).store.close()
        let directory = try TemporaryDirectory()
        var copy = try RowCopy(path: directory("store.db"), retentionDays: 30)
        let database = try PostgresPool(SharedStore(uri).target).open()
        // Given a session that PostgreSQL ends sooner than usual
        try database.execute("SET idle_in_transaction_session_timeout = '1ms'")
        try database.execute(RowCopy.begin)
        var entries = 0
        let place = try copy.fill(from: database, StoreID(high: 1, low: 2), .random()) { _ in
            entries += 1
            // Longer than that. Nothing else shows that PostgreSQL would not wait.
            _ = poll(nil, 0, 200)
        }
        try database.execute("COMMIT")
        #expect(entries > 0 && place.number > 0)
        #expect(try database.run("SELECT current_setting('idle_in_transaction_session_timeout')").text(0, 0) == "1ms")
    }

    @Test("a start holds few entries of the log in memory at a time")
    func fewEntries() throws {
        let server = try TestStore(database: uri)
        for number in 0..<50 { try server.post(["\(number)"]) }
        server.store.close()
        let directory = try TemporaryDirectory()
        var copy = try RowCopy(path: directory("store.db"), retentionDays: 30)
        let database = try PostgresPool(SharedStore(uri).target).open()
        let known = try database.run("SELECT pg_backend_pid()").integer(0, 0)
        try database.execute(RowCopy.begin)
        var (entries, fetched) = (0, Set<String>())
        _ = try copy.fill(from: database, StoreID(high: 1, low: 2), .random()) { _ in
            entries += 1
            guard entries % 25 == 1 else { return }
            let query = "SELECT query FROM pg_stat_activity WHERE pid=\(known)"
            fetched.formUnion(try cluster.query(query, in: uri))
        }
        try database.execute("COMMIT")
        #expect(entries > 50 && fetched == ["FETCH 32 FROM walk"])
    }

    @Test("clocks apart leave times in order, and no server starts whose clock is far from PostgreSQL's")
    func clocks() throws {
        let servers = try [Int64(0), -3_600_000, 3_600_000, -20].map { apart in
            let time = Timestamp(milliseconds: 1_795_000_000_000 + apart)
            return try TestStore(database: uri, clock: TestClock(time, stepMilliseconds: 1))
        }
        for round in 0..<3 {
            for server in servers { try server.post(["round \(round)"]) }
        }
        try servers[0].store.catchUp()
        let times = try servers[0].all().map(\.time)
        #expect(times.count == 12 && times == times.sorted())

        let connection = try PostgresPool(SharedStore(uri).target).open()
        func check(_ apart: Int64) throws {
            try PostgresSchema.check(connection) { SystemClock().now().milliseconds + apart }
        }
        try check(0)
        for apart: Int64 in [-60_000, 60_000] {
            let refusal = #expect(throws: StoreOpenError.self) { try check(apart) }
            guard case .unfit(let phrase) = refusal else { throw Failure("refused for another reason") }
            #expect(phrase.english.contains("clocks"))
        }
    }

    @Test(
        "settings with which PostgreSQL would forget are noticed while servers run",
        arguments: ["fsync", "synchronous_commit"])
    func forgetsLater(setting: String) throws {
        let cluster = try PostgresCluster()
        let uri = try cluster.makeDatabase()
        let server = try servers(uri, patienceMilliseconds: 500)[0]
        func set(_ value: String) throws {
            try cluster.query("ALTER SYSTEM SET \(setting)=\(value)", in: uri)
            try cluster.query("SELECT pg_reload_conf()", in: uri)
            try eventually("the setting is \(value)") {
                try cluster.query("SELECT current_setting('\(setting)')", in: uri) == [value]
            }
        }
        // When it is switched off
        try set("off")
        // Then nothing more is acknowledged, as soon as all processes of PostgreSQL know it
        var sent = ["before"]
        try eventually("it is refused") {
            let answer = try server.post(["message \(sent.count)"], key: "k\(sent.count)").first
            if answer?.message != nil { sent.append("message \(sent.count)") }
            return answer?.refusal == .databaseAway || answer?.refusal == .outcomeUnknown
        }
        #expect(server.reports.contains("'\(setting)' is off in PostgreSQL"), "\(server.reports.lines)")
        // And it goes on, without loss or doubling, when it is on again
        try set("on")
        try eventually("it is taken") {
            try server.post(["message \(sent.count)"], key: "k\(sent.count)").first?.message != nil
        }
        #expect(try server.all().map(\.text) == sent + ["message \(sent.count)"])
    }
}
