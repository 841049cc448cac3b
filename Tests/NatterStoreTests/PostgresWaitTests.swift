import Glibc
import NatterModel
import NatterSearch
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// For how long servers wait for PostgreSQL, and how often they ask it.
@Suite("servers of one store that wait for PostgreSQL")
final class PostgresWaitTests: PostgresSuite {
    @Test("while the store can't be reached, the search index says so and keeps what it has; then it goes on at once")
    func searchIndex() throws {
        // Given an index that an earlier run of the store wrote, and messages that are not in it yet
        let (cache, shared) = (try TemporaryDirectory(), try SharedStore(uri))
        let server = try TestStore(cache.path) { options in
            var options = options
            options.keepsSearchIndex = true
            return try Store.open(shared, cache: cache.path, options: options)
        }
        try server.seal(after: 300)
        try eventually("all is indexed") { server.store.search.trouble == nil && indexed(server) == Seq(300) }
        let other = try TestStore(database: uri)
        for _ in 0..<3 { try other.reopen() }
        try other.seal(after: 300)
        try other.post(["behind the index"])
        // When the pieces of log files can't be read, as while a database is restored
        let hide = """
            ALTER TABLE log_piece RENAME TO away;
            CREATE FUNCTION gone() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE undefined_table; END $$;
            CREATE VIEW log_piece AS SELECT * FROM away WHERE gone();
            """
        try server.reopen { _ in try cluster.query(hide, in: uri) }
        try eventually("it is noticed") { server.store.search.trouble != nil }
        #expect(server.store.search.trouble == "the store can't be reached")
        // Several tries are one outage
        _ = poll(nil, 0, 3_000)
        try cluster.query("DROP VIEW log_piece; ALTER TABLE away RENAME TO log_piece", in: uri)
        try eventually("it goes on", milliseconds: 50_000) { server.store.search.trouble == nil }
        try eventually("all is indexed") { indexed(server) == Seq(600) }
        #expect(server.reports.lines.count { $0.contains("search index") } == 1, "\(server.reports.lines)")
        #expect(server.reports.contains("the search index waits until the store can be reached again: "))
    }

    /// The last message of `general` that the index has.
    private func indexed(_ server: TestStore) -> Seq? {
        guard let id = try? server.store.conversation("general", for: server.user("alice")).id else { return nil }
        return try? server.store.search.withIndex(server.store) { try $0?.indexedUpTo(id) }
    }

    @Test("ids that are kept no longer are forgotten in parts, by a sweep, for which no message waits")
    func expiredKeys() throws {
        let clock = TestClock(Timestamp(milliseconds: 1_795_000_000_000), stepMilliseconds: 1)
        let server = try TestStore(database: uri, clock: clock)
        func old() throws -> [String] {
            try cluster.query("SELECT count(*) FROM sent_key WHERE moved<1795000000000+86400000", in: uri)
        }
        // Given ids of two months
        for month in 0..<7 {
            for number in 0..<5 { try server.post(["\(month) \(number)"], key: "k\(month)-\(number)") }
            try server.seal()
            clock.advance(milliseconds: 11 * 86_400_000)
        }
        // Then the writer's thread has left the oldest to the next sweep
        #expect(try old() == ["5"])
        try server.store.engine.sweep([])
        #expect(try old() == ["0"])
        #expect(try server.post(["6 0"], key: "k6-0").first?.isRepeated == true)
        // And of many, each sweep takes a part
        let pool = PostgresPool(try SharedStore(uri).target)
        let left = "SELECT count(*) FROM sent_key"
        let all = try #require(cluster.query(left, in: uri).first.flatMap { Int64($0) })
        for step in 1...2 {
            let isDone = try pool.use {
                try PostgresSweeper(connection: $0, node: 1).forgetKeys(before: clock.now(), limit: all - 3)
            }
            #expect(isDone == (step == 2))
            #expect(try cluster.query(left, in: uri) == [step == 1 ? "3" : "0"])
        }
    }

    @Test("a message that goes through the queue limits its waiting with one statement, which also waits for the queue")
    func statements() throws {
        let cluster = try PostgresCluster()
        try cluster.query("ALTER SYSTEM SET shared_preload_libraries='pg_stat_statements'", in: cluster.uri("postgres"))
        cluster.stop(SIGINT)
        try cluster.start()
        let uri = try cluster.makeDatabase()
        try cluster.query("CREATE EXTENSION pg_stat_statements", in: uri)
        let servers = try (0..<2).map { _ in try TestStore(database: uri) }
        for server in servers + servers { try server.post(["turn"]) }
        func calls(_ condition: String) throws -> Int {
            let sum = try cluster.query(
                "SELECT coalesce(sum(calls),0) FROM pg_stat_statements WHERE \(condition)", in: uri)
            return sum.first.flatMap { Int($0) } ?? -1
        }
        // When two servers take turns
        try cluster.query("SELECT pg_stat_statements_reset()", in: uri)
        for number in 0..<10 { try servers[number % 2].post(["message"]) }
        // Then none limits it apart from the queue, and none goes without a limit
        let turns = try calls("query LIKE '%pg_advisory_xact_lock%'")
        #expect(turns >= 5)
        #expect(try calls("query LIKE '%set_config%'") == turns)
        #expect(try calls("query LIKE '%set_config%' AND query LIKE '%pg_advisory_xact_lock%'") == turns)
        for server in servers { server.store.close() }
        cluster.stop(SIGINT)
    }

    @Test("a change that waits for locks on several tables, one after the other, waits no longer than for one")
    func severalLocks() throws {
        let patience: Int64 = 3_000
        let server = try TestStore(database: uri, patienceMilliseconds: patience)
        let alice = try server.user("alice")
        let pool = PostgresPool(try SharedStore(uri).target)
        // Given three tables that other sessions have locked
        let holders = try ["log", "membership", "conversation"].map { table in
            let holder = try pool.open()
            try holder.execute("SET idle_in_transaction_session_timeout = 0; BEGIN; LOCK TABLE \(table)")
            return holder
        }
        // When two of them become free in time
        let (began, outcome) = (MonotonicClock.now(), Monitor<Result<ConversationView, StoreError>?>(nil))
        server.store.createGroup("team", isOpen: false, by: alice) { result in outcome.signal { $0 = result } }
        for holder in holders.prefix(2) {
            _ = poll(nil, 0, Int32(patience * 3 / 4))
            try holder.execute("ROLLBACK")
        }
        let result = try #require(outcome.wait { $0 })
        // Then waiting for the third ends with the turn
        #expect(throws: StoreError.databaseLocked) { try result.get() }
        #expect(MonotonicClock.now() - began < 3 * patience)
        try holders[2].execute("ROLLBACK")
        try eventually("it is made") {
            (try? waitFor { server.store.createGroup("team", isOpen: false, by: alice, $0) }.get()) != nil
        }
    }
}

/// A suite of tests that each have a database of their own.
class PostgresSuite {
    let cluster: PostgresCluster
    let uri: String

    init() throws {
        cluster = try .shared()
        uri = try cluster.makeDatabase()
    }
}
