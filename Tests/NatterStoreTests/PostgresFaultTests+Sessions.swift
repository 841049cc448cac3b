import Glibc
import NatterModel
import NatterSystem
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

/// Sessions that are lost, stand still, or are left in the middle of something.
extension PostgresFaultTests {
    @Test("sessions that do not answer are given up for new ones, and what they still do stores nothing twice")
    func frozenSessions() throws {
        let cluster = try PostgresCluster()
        let uri = try cluster.makeDatabase()
        let server = try TestStore(database: uri, patienceMilliseconds: 3_000)
        try server.post(["before"])
        try server.store.catchUp()
        defer { cluster.thaw() }
        try cluster.freeze(sessionsOf: uri)
        #expect(try server.post(["meanwhile"]).first?.message?.seq == Seq(2))
        try server.store.catchUp()
        // The writer's old session runs its statement before it finds its client gone.
        let old = cluster.thaw().map { "\($0)" }.joined(separator: ",")
        try eventually("the old session has ended") {
            try cluster.query(
                "SELECT 1 FROM pg_stat_activity WHERE pid IN (\(old)) AND query LIKE 'WITH added%'", in: uri) == []
        }
        try server.post(["after"])
        #expect(try texts([server]) == [["before", "meanwhile", "after"]])
        server.store.close()
        cluster.stop(SIGINT)
    }

    @Test("while one call tries to reach a database that is away for long, others fail at once")
    func oneProbe() throws {
        let (mayEnd, connections) = (Monitor(false), Monitor(0))
        // Given a server that closes the first connection, and does not answer the second
        let server = try ScriptedServer { _, number in
            connections.signal { $0 = number }
            if number > 1 { _ = mayEnd.wait { $0 ? true : nil } }
        }
        let uri = "postgresql://natter@127.0.0.1:\(server.port)/natter?sslmode=disable&gssencmode=disable"
        let pool = PostgresPool(try SharedStore(uri).target, patienceMilliseconds: 0)
        let failure = #expect(throws: PostgresError.self) { try pool.connect() }
        let probe = try SystemThread(name: "probe") { _ = try? pool.connect() }
        _ = connections.wait { $0 == 2 ? true : nil }
        // Then they are told what the last try was, and make none that would end as the second, with time
        for _ in 0..<3 { #expect(#expect(throws: PostgresError.self) { try pool.connect() } == failure) }
        mayEnd.signal { $0 = true }
        probe.join()
    }

    @Test("a connection that is found lost before an entry is proposed is made anew")
    func lostBetween() throws {
        try TestStore(database: uri).store.close()
        let pool = PostgresPool(try SharedStore(uri).target, patienceMilliseconds: 1_000)
        let end = try pool.use { connection in
            PostgresEntries.place(
                try connection.run("SELECT \(PostgresEntries.columns) FROM log ORDER BY number DESC LIMIT 1"), 0)
        }
        // Given a turn that has begun, in which less is left to wait now
        var log = PostgresLog(pool, node: 1)
        _ = try log.entries(after: end, limit: 1)
        try cluster.query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname=current_database() "
                + "AND pid<>pg_backend_pid()", in: uri)
        // When the session is gone
        let entry = LogEntry(
            before: end, author: LogEntry.Author(node: 1, attempt: 1), commit: Commit(9), changes: [.runEnded(1)])
        var answer = Appended.unknown
        for _ in 0..<2 { if case .unknown = answer { answer = try log.append(entry, with: []) } }
        // Then the entry goes through another one
        guard case .done(let place) = answer else { throw Failure("\(answer)") }
        #expect(place.number == end.number + 1)
    }

    @Test("a connection that was left in a transaction is not used again")
    func openTransaction() throws {
        let pool = PostgresPool(try SharedStore(uri).target)
        #expect(throws: PostgresError.self) { try pool.use { try $0.execute("BEGIN; SELECT nothing") } }
        #expect(try pool.use { try $0.run("SELECT 1::bigint").integer(0, 0) } == 1)
    }

    @Test("the session of a server that stands still while it sends under the lock of the log is ended, and no other")
    func frozenSender() throws {
        try TestStore(database: uri).store.close()
        let connection = try PostgresPool(try SharedStore(uri).target).open()
        let lock = "SELECT FROM pg_advisory_xact_lock(\(PostgresLog.lock));\n"
        for (begin, isActive, ended) in [(lock, true, 1), (lock, false, 0), ("", true, 0)] {
            let name = "frozen \(begin.count) \(isActive)"
            let frozen = try cluster.session("SET application_name='\(name)';\nBEGIN;\n\(begin)", in: uri)
            // It waits for rows that its client does not send.
            if isActive { frozen.type("COPY schema_step FROM STDIN;\n") }
            let state = isActive ? "active" : "idle in transaction"
            try eventually("it stands still") {
                let look =
                    "SELECT state FROM pg_stat_activity WHERE application_name='\(name)' AND wait_event='ClientRead'"
                let hasLock =
                    "SELECT 1 FROM pg_locks WHERE locktype='advisory' AND pid=(SELECT pid FROM pg_stat_activity WHERE application_name='\(name)')"
                return try cluster.query(look, in: uri) == [state]
                    && cluster.query(hasLock, in: uri).count == (begin.isEmpty ? 0 : 1)
            }
            #expect(try PostgresLog.endFrozen(connection) == 0)
            #expect(try PostgresLog.endFrozen(connection, after: 0) == ended)
            frozen.finish(after: SIGKILL)
            try eventually("it is gone") {
                try cluster.query("SELECT 1 FROM pg_stat_activity WHERE application_name='\(name)'", in: uri) == []
            }
        }
    }

    @Test("a sweep that waits in vain for the lock of the log leaves the connection as it was")
    func sweepInVain() throws {
        let pool = PostgresPool(try SharedStore(uri).target, patienceMilliseconds: 500)
        try TestStore(database: uri).store.close()
        let (holder, connection) = (try pool.open(), try pool.open())
        // PostgreSQL may be late, and the holder's client too.
        connection.silenceMilliseconds = 60_000
        try holder.execute("SET idle_in_transaction_session_timeout = 0")
        try holder.execute("BEGIN; SELECT pg_advisory_xact_lock(\(PostgresLog.lock))")
        let failure = #expect(throws: PostgresError.self) {
            try PostgresSweeper(connection: connection, node: 1).sweep([ConversationID(high: 1, low: 2)])
        }
        #expect(failure?.isHeldUp == true && connection.isBetweenTransactions)
        try holder.execute("ROLLBACK")
        try PostgresSweeper(connection: connection, node: 1).sweep([ConversationID(high: 1, low: 2)])
    }
}
