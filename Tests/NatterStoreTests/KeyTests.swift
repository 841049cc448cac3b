import NatterSystem
import NatterModel
import NatterSQLite
import StoreSupport
import SystemSupport
import Testing
import TestSupport

@testable import NatterStore

@Suite("idempotency keys")
struct KeyTests {
    @Test("a key twice in one request counts once")
    func twiceInOne() throws {
        let store = try TestStore()
        let message = NewMessage(conversation: "general", text: "content", key: IdempotencyKey("key"))
        let outcomes = store.post([message, message], by: try store.user("alice"))
        #expect(outcomes.map(\.isRepeated) == [false, true])
        #expect(outcomes.compactMap { $0.message?.seq } == [Seq(1), Seq(1)])
    }

    @Test("a batch finds each of its keys: in itself, in the journal, in the tables, or nowhere")
    func mixedBatch() throws {
        let store = try TestStore()
        func message(_ key: String?) -> NewMessage {
            NewMessage(conversation: "general", text: "content", key: key.flatMap { IdempotencyKey($0) })
        }
        try store.post(["content"], key: "table")
        try store.seal()
        try store.post(["content"], key: "journal")
        let keys = ["new", "table", nil, "journal", "new", "table", "newer"]
        let outcomes = store.post(keys.map(message), by: try store.user("alice"))
        #expect(outcomes.map(\.isRepeated) == [false, true, false, true, true, true, false])
        #expect(outcomes.compactMap { $0.message?.seq } == [3, 1, 4, 2, 3, 1, 5].map { Seq($0) })
    }

    @Test("a key is forgotten only after 30 days")
    func retention() throws {
        let clock = TestClock(stepMilliseconds: 1)
        let store = try TestStore(clock: clock)
        try store.post(["content"], key: "key")
        try store.seal()
        // When other keys come day after day
        for day in 1...60 {
            clock.advance(milliseconds: 86_400_000)
            try store.post(["day \(day)"], key: "day \(day)")
            try store.seal()
            let again = try #require(try store.post(["content"], key: "key").first)
            if day <= 30 { #expect(again.isRepeated, "day \(day)") }
            if !again.isRepeated { return }
        }
        Issue.record("the key is known for ever")
    }

    private static func database(in directory: TemporaryDirectory) throws -> Connection {
        let connection = try Connection(path: directory.path + "/keys.db", role: .writer)
        try StoreSchema.current.migrate(connection)
        return connection
    }

    private static func key(_ number: UInt64, hash: UInt64) -> MovedKey {
        MovedKey(
            key: RecentKey(account: 1, time: 0, hash: hash),
            found: FoundKey(conversation: 1, seq: Seq(number), content: number), commit: Commit(1))
    }

    @Test("many keys move to their table in its order, and each is known meanwhile and after a start")
    func movingKeys() throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        var tables = try KeyTables(connection: connection, retentionDays: 30)
        let keys = (1...UInt64(67_000)).map { Self.key($0, hash: $0 &* 0x9E37_79B9_7F4A_7C15) }
        func checkAll(_ known: Int) throws {
            let found = try tables.find(keys.map(\.key))
            #expect(found.count == known)
            #expect(keys[..<known].allSatisfy { found[$0.key] == $0.found })
        }
        func insert(_ slice: ArraySlice<MovedKey>) throws {
            try connection.transaction { try tables.insert(Array(slice), now: Timestamp(milliseconds: 1)) }
        }
        // Given so many keys that the first of them have begun to move
        for start in stride(from: 0, to: 66_000, by: 1_000) { try insert(keys[start..<start + 1_000]) }
        try checkAll(66_000)
        let rows = try connection.statement("SELECT (SELECT count(*) FROM keys_0), (SELECT count(*) FROM keys_0_new)")
        func counts() throws -> [Int] {
            defer { rows.reset() }
            return try rows.step() ? [rows.int(0), rows.int(1)] : []
        }
        #expect(try counts() == [3_000, 66_000])
        // When a start comes before the rest has moved
        try tables.reload()
        try checkAll(66_000)
        try insert(keys[66_000...])
        for _ in 0..<80 { try insert([]) }
        // Then all are in the table, once, and nothing is left where they waited
        #expect(try counts() == [67_000, 0])
        try checkAll(67_000)
        // And what comes later is kept as well
        try tables.reload()
        let late = MovedKey(
            key: RecentKey(account: 2, time: 0, hash: 1), found: FoundKey(conversation: 1, seq: Seq(1), content: 1),
            commit: Commit(1))
        try insert([late])
        for _ in 0..<5 { try insert([]) }
        try tables.reload()
        #expect(try tables.find([late.key]) == [late.key: late.found])
    }

    @Test("however many come at a time, no more gather than are gathered before they move")
    func gathering() throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        var tables = try KeyTables(connection: connection, retentionDays: 30)
        for start in stride(from: UInt64(1), through: 400_000, by: 4_000) {
            let moved = (start..<start + 4_000).map { Self.key($0, hash: $0 &* 0x9E37_79B9_7F4A_7C15) }
            try connection.transaction { try tables.insert(moved, now: Timestamp(milliseconds: 1)) }
        }
        let count = try connection.row("SELECT count(*) FROM keys_0_new") { $0.int(0) }
        // Some come while those move and their rows are deleted.
        #expect(try #require(count) <= 90_000)
    }

    /// A key of this number, inserted on a day.
    private static func insert(
        _ number: UInt64, on day: Int64, into tables: inout KeyTables, _ connection: Connection
    ) throws -> MovedKey {
        let moved = key(number, hash: number)
        let now = Timestamp(milliseconds: day * 86_400_000)
        try connection.transaction {
            // The keys of an ended period move in several steps
            for index in 0..<6 { try tables.insert(index == 0 ? [moved] : [], now: now) }
            try tables.dropExpired(now: now)
        }
        return moved
    }

    @Test(
        "a key is kept for as long as each retention since it was used, and not for ever",
        arguments: [[90, 30], [30, 90], [3_650, 30], [30, 3_650], [300, 303], [303, 300], [30, 90, 30]], [0, 3, 29])
    func otherRetention(retentions: [Int], startDay: Int) throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        var day: Int64 = 20_700 + Int64(startDay)
        var keys: [(moved: MovedKey, day: Int64, promised: Int)] = []
        func insert(into tables: inout KeyTables, _ days: Int) throws {
            keys.append((try Self.insert(UInt64(keys.count + 1), on: day, into: &tables, connection), day, days))
        }
        for days in retentions {
            // Given a start with another retention, after which keys come on each day
            var tables = try KeyTables(connection: connection, retentionDays: days)
            for index in keys.indices { keys[index].promised = min(days, keys[index].promised) }
            for _ in 0..<100 {
                try insert(into: &tables, days)
                day += 1
                // Then each is known that is younger than the shortest that was in force since
                let young = keys.filter { day - $0.day <= $0.promised }
                let found = try tables.find(young.map(\.moved.key))
                #expect(young.allSatisfy { found[$0.moved.key] == $0.moved.found }, "day \(day), \(days) days")
            }
        }
        // And after four times the longest, they are forgotten
        var tables = try KeyTables(connection: connection, retentionDays: retentions.last ?? 0)
        day += 4 * Int64(retentions.max() ?? 0)
        for _ in 0..<6 {
            try insert(into: &tables, 0)
            day += Int64(retentions.last ?? 0)
        }
        #expect(try tables.find(keys.dropLast(6).map(\.moved.key)).isEmpty)
    }

    @Test("keys of a while in which the clock was a year behind are kept as long as others")
    func clockBehind() throws {
        let directory = try TemporaryDirectory()
        let connection = try Self.database(in: directory)
        func insert(_ number: UInt64, on day: Int64) throws -> MovedKey {
            var tables = try KeyTables(connection: connection, retentionDays: 30)
            return try Self.insert(number, on: day, into: &tables, connection)
        }
        for day in 1...60 { _ = try insert(UInt64(day), on: 20_700 + Int64(day)) }
        let behind = try insert(1_000, on: 20_761 - 365)
        for day in 61...91 {
            _ = try insert(UInt64(day), on: 20_700 + Int64(day))
            let tables = try KeyTables(connection: connection, retentionDays: 30)
            #expect(try tables.find([behind.key]) == [behind.key: behind.found], "day \(day)")
        }
        for day in 92...200 { _ = try insert(UInt64(day), on: 20_700 + Int64(day)) }
        #expect(try KeyTables(connection: connection, retentionDays: 30).find([behind.key]).isEmpty)
    }

    @Test("ids of one moment are told apart by 64 bits, and keys of one time are neighbours")
    func keysOfOneMoment() throws {
        let secret = ShortHashKey.random()
        let keys = try (100..<200).map { number in
            let key = try #require(IdempotencyKey("0190b6a0-1234-7000-8000-000000000\(number)"))
            return RecentKey(key, of: AccountID(rawValue: 1), secret)
        }
        #expect(Set(keys.map(\.time)).count == 1)
        #expect(keys[0].time == 0x0190_b6a0_1234 >> 8)
        // The upper half of the hash differs, too: it is not the time.
        #expect(Set(keys.map { $0.hash >> 32 }).count > 80)
    }
}
