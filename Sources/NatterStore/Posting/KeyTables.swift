internal import NatterSystem
internal import NatterModel
internal import NatterSQLite

/// Idempotency keys that have left the journal. There is one table for each third of the retention. So forgetting old
/// keys is dropping a table, and a look-up reads four tables at most.
///
/// A key is a hash, so each one would change another page of its table. So they are first appended to a table without
/// order, `keys_PERIOD_new`, and known in memory. When they are many, they move to their table in its order, a slice with
/// each call, and many of them share a page.
///
/// Only the writer's thread uses it.
struct KeyTables {
    private let connection: Connection
    /// A third of the retention, in milliseconds.
    private let periodLength: Int64
    /// Those of the tables, in the order in which they were made.
    private var periods: [Int64] = []
    private var new: NewKeys?

    /// The keys of the table without order.
    private struct NewKeys {
        let period: Int64
        var found: [RecentKey: FoundKey] = [:]
        /// Those that are moving, in the order of their table.
        var moving: ArraySlice<RecentKey> = []
        /// The last row of the table, and the last of those that are moving or have moved.
        var lastRow: Int64 = 0
        var lastMoved: Int64 = 0
        /// The first row of the table.
        var firstRow: Int64 = 1

        var table: String { "keys_\(period)\(KeyTables.newSuffix)" }
    }

    /// How many keys are gathered before they move. They take 6 MB of memory, and a start reads them.
    private static let gathered = 1 << 16
    /// How many move at once, unless more come, so that nobody waits long.
    private static let slice = 1 << 11
    private static let newSuffix = "_new"
    private static let columns = "account,time,hash,conversation,seq,content"

    init(connection: Connection, retentionDays: Int) throws {
        self.connection = connection
        periodLength = Int64(max(1, (retentionDays + 2) / 3)) * 86_400_000
        try renumber()
        try reload()
    }

    /// Gives the tables of a store with another retention the numbers of the periods in which their youngest keys can be, so
    /// that none is dropped too early, or never.
    private func renumber() throws {
        let known = try connection.meta(.keyPeriod) { $0.int64(0) }
        guard let former = known, former > 0, former != periodLength else { return }
        let tables = try KeyTables.tables(on: connection)
        let old = Set(tables.map(\.period)).filter { (0..<Int64.max / former).contains($0) }.sorted()
        var numbers: [Int64: Int64] = [:]
        var last: Int64 = -1
        for period in old {
            // Several short periods are in a long one. The later of them may be kept for longer.
            last = max(last + 1, ((period + 1) * former - 1) / periodLength)
            numbers[period] = last
        }
        try connection.transaction {
            // In the order in which no new name is still that of another table.
            for period in former < periodLength ? old : old.reversed() {
                for table in tables where table.period == period && numbers[period] != period {
                    let suffix = table.name.hasSuffix(KeyTables.newSuffix) ? KeyTables.newSuffix : ""
                    let name = "keys_\(numbers[period] ?? period)\(suffix)"
                    try connection.execute("ALTER TABLE \(table.name) RENAME TO \(name)")
                }
            }
            try notePeriodLength()
        }
    }

    private func notePeriodLength() throws(SQLiteError) {
        try connection.setMeta(.keyPeriod, periodLength)
    }

    private static func tables(on connection: Connection) throws(SQLiteError) -> [(name: String, period: Int64)] {
        let tables = "type='table' AND name GLOB 'keys_*'"
        return try connection.rows("SELECT name FROM sqlite_schema WHERE \(tables) ORDER BY rowid") { $0.text(0) }
            .compactMap { name in period(ofTable: name).map { (name, $0) } }
    }

    /// The period of a table of keys; nil for another table.
    static func period(ofTable name: String) -> Int64? {
        guard name.hasPrefix("keys_") else { return nil }
        return Int64(name.dropFirst(5).dropLast(name.hasSuffix(newSuffix) ? newSuffix.utf8.count : 0))
    }

    /// Those of a database's tables that hold keys.
    static func names(in tables: [String]) -> [String] { tables.filter { period(ofTable: $0) != nil } }

    /// Reads which tables exist, and the keys without order.
    mutating func reload() throws(SQLiteError) {
        var (periods, new): ([Int64], NewKeys?) = ([], nil)
        for (name, period) in try KeyTables.tables(on: connection) {
            if name.hasSuffix(KeyTables.newSuffix) { new = try loadNew(period) } else { periods.append(period) }
        }
        (self.periods, self.new) = (periods, new)
    }

    private func loadNew(_ period: Int64) throws(SQLiteError) -> NewKeys {
        var new = NewKeys(period: period)
        let rows = try connection.statement("SELECT \(KeyTables.columns),number FROM \(new.table) ORDER BY number")
        while try rows.step() {
            let key = RecentKey(account: rows.int64(0), time: rows.uint64(1), hash: rows.uint64(2))
            new.found[key] = FoundKey(
                conversation: rows.int64(3), seq: Seq(rows.uint64(4)), content: rows.uint64(5))
            new.lastRow = rows.int64(6)
            if new.found.count == 1 { new.firstRow = new.lastRow }
        }
        new.lastMoved = new.firstRow - 1
        return new
    }

    /// The SQL that creates one of the tables.
    static func creation(of table: String) -> String {
        let columns = """
            account INTEGER NOT NULL, time INTEGER NOT NULL, hash INTEGER NOT NULL,
            conversation INTEGER NOT NULL, seq INTEGER NOT NULL, content INTEGER NOT NULL
            """
        return table.hasSuffix(newSuffix)
            ? "CREATE TABLE IF NOT EXISTS \(table) (number INTEGER PRIMARY KEY, \(columns))"
            : "CREATE TABLE IF NOT EXISTS \(table) (\(columns), PRIMARY KEY (account, time, hash)) WITHOUT ROWID"
    }

    private func period(of time: Timestamp) -> Int64 { max(0, time.milliseconds) / periodLength }

    func find(_ keys: [RecentKey]) throws -> [RecentKey: FoundKey] {
        var found: [RecentKey: FoundKey] = [:]
        var missing = keys
        if let new {
            missing.removeAll { key in
                guard let known = new.found[key] else { return false }
                found[key] = known
                return true
            }
        }
        guard !periods.isEmpty, !missing.isEmpty else { return found }
        // Neighbours in a table share a page.
        missing.sort()
        // Without a transaction, SQLite would lock the database and check its log anew for each key of a bulk.
        return try connection.snapshot {
            // The newest table first, because most retries come soon.
            for period in periods.reversed() where !missing.isEmpty {
                let statement = try connection.statement(
                    "SELECT conversation,seq,content FROM keys_\(period) WHERE account=? AND time=? AND hash=?")
                try missing.removeAll { key throws(SQLiteError) in
                    defer { statement.reset() }
                    try statement.bind(key.account, key.time, key.hash)
                    guard try statement.step() else { return false }
                    found[key] = FoundKey(
                        conversation: statement.int64(0), seq: Seq(statement.uint64(1)), content: statement.uint64(2))
                    return true
                }
            }
            return found
        }
    }

    /// Call inside a transaction.
    mutating func insert(_ moved: [MovedKey], now: Timestamp) throws(SQLiteError) {
        let period = period(of: now)
        if new == nil, !moved.isEmpty {
            let empty = NewKeys(period: period)
            try connection.execute(KeyTables.creation(of: empty.table))
            try notePeriodLength()
            new = empty
        }
        if let table = new?.table, new?.period == period {
            let statement = try connection.statement(
                "INSERT INTO \(table) (\(KeyTables.columns),number) VALUES (?,?,?,?,?,?,?)")
            for moved in moved where new?.found[moved.key] == nil {
                let row = (new?.lastRow ?? 0) + 1
                let (key, found) = (moved.key, moved.found)
                try statement.run(
                    key.account, key.time, key.hash, found.conversation, found.seq.rawValue, found.content, row)
                new?.found[moved.key] = moved.found
                new?.lastRow = row
            }
        } else {
            // Those of another period are still moving.
            try put(moved.map { ($0.key, $0.found) }, into: period)
        }
        // Each key is moved and its row deleted, and both in whole slices: with less they would gather.
        try moveSlice(of: max(KeyTables.slice, 3 * moved.count), now)
    }

    private mutating func put(_ keys: [(RecentKey, FoundKey)], into period: Int64) throws(SQLiteError) {
        guard !keys.isEmpty else { return }
        if !periods.contains(period) {
            try connection.execute(KeyTables.creation(of: "keys_\(period)"))
            try notePeriodLength()
            periods.append(period)
        }
        let statement = try connection.statement("INSERT OR IGNORE INTO keys_\(period) VALUES (?,?,?,?,?,?)")
        for (key, found) in keys {
            try statement.run(key.account, key.time, key.hash, found.conversation, found.seq.rawValue, found.content)
        }
    }

    /// Moves the next keys to their table if there are many, or if their period has ended.
    private mutating func moveSlice(of count: Int, _ now: Timestamp) throws(SQLiteError) {
        guard var keys = new else { return }
        // In place, because a second owner would make each change copy all keys.
        new = nil
        defer { new = keys }
        let isOver = keys.period != period(of: now)
        if keys.moving.isEmpty, keys.found.count >= KeyTables.gathered || isOver && !keys.found.isEmpty {
            keys.moving = keys.found.keys.sorted()[...]
            keys.lastMoved = keys.lastRow
        }
        let slice = keys.moving.prefix(count)
        if !slice.isEmpty {
            try put(slice.compactMap { key in keys.found[key].map { (key, $0) } }, into: keys.period)
            for key in slice { keys.found[key] = nil }
            keys.moving = keys.moving.dropFirst(slice.count)
        } else if keys.firstRow <= keys.lastMoved {
            let end = min(keys.lastMoved, keys.firstRow + Int64(count) - 1)
            try connection.statement("DELETE FROM \(keys.table) WHERE number<=?").run(end)
            keys.firstRow = end + 1
        }
    }

    /// Forgets the content of messages that were erased at a commit. Their keys stay. Call inside a transaction.
    mutating func forgetContent(of conversation: Int64, erasedAt commit: Commit) throws(SQLiteError) {
        for table in periods.map({ "keys_\($0)" }) + (new.map { [$0.table] } ?? []) {
            try connection.statement(
                """
                UPDATE \(table) SET content=?1 WHERE conversation=?2
                AND seq IN (SELECT seq FROM erasure WHERE conversation=?2 AND commit_number=?3)
                """
            ).run(FoundKey.erasedContent, conversation, commit.rawValue)
        }
        guard let known = new?.found, known.contains(where: { $0.value.conversation == conversation }) else { return }
        let erased = Set(
            try connection.rows(
                "SELECT seq FROM erasure WHERE conversation=? AND commit_number=?", conversation, commit.rawValue
            ) { $0.uint64(0) })
        for (key, found) in known where found.conversation == conversation && erased.contains(found.seq.rawValue) {
            new?.found[key] = found.withoutContent
        }
    }

    /// Drops tables whose last key is older than the retention. They are four periods old, so their youngest key has
    /// been kept for three whole periods. The four tables that were made last always stay, because a clock that jumps ahead
    /// must not make the store forget everything, nor one that was behind what it has just stored. Call inside a
    /// transaction.
    ///
    /// - Returns: the time up to which keys were dropped; nil if none were.
    @discardableResult
    mutating func dropExpired(now: Timestamp) throws(SQLiteError) -> Timestamp? {
        let oldest = period(of: now) - 3
        // All of them have moved.
        if let keys = new, keys.found.isEmpty, keys.period != period(of: now) {
            try connection.execute("DROP TABLE \(keys.table)")
            new = nil
        }
        let expired = periods.dropLast(4).filter { $0 < oldest }
        for period in expired { try connection.execute("DROP TABLE keys_\(period)") }
        periods.removeAll(where: expired.contains)
        return expired.max().map { Timestamp(milliseconds: ($0 + 1) * periodLength) }
    }
}

extension RecentKey: Comparable {
    /// The order of the tables, which have signed numbers.
    static func < (left: RecentKey, right: RecentKey) -> Bool {
        (left.account, Int64(bitPattern: left.time), Int64(bitPattern: left.hash))
            < (right.account, Int64(bitPattern: right.time), Int64(bitPattern: right.hash))
    }

    /// The short form of a key that is stored.
    init(_ key: IdempotencyKey, of account: AccountID, _ secret: ShortHashKey) {
        self.init(account: account.rawValue, time: RecentKey.time(in: key.text), hash: secret.hash(key.text))
    }

    private static func time(in text: String) -> UInt64 {
        let digits = Array(text.utf8)
        guard digits.count == 36, digits[8] == UInt8(ascii: "-"), digits[14] == UInt8(ascii: "7"),
            let milliseconds = UInt64(text.prefix(8) + text.dropFirst(9).prefix(4), radix: 16)
        else { return 0 }
        return milliseconds >> 8
    }
}

/// An idempotency key in the form used for look-ups.
struct RecentKey: Hashable, Sendable {
    let account: Int64
    /// The time in the key, in 256 ms, if it is a UUIDv7; else 0. So keys of one day are neighbours in a table.
    let time: UInt64
    /// A hash of the whole key.
    let hash: UInt64
}

/// The message that a key was used for, and the hash of its content.
struct FoundKey: Equatable, Sendable {
    let conversation: Int64
    let seq: Seq
    let content: UInt64

    /// Stands for the hash of an erased message's content.
    static let erasedContent: UInt64 = 0

    var withoutContent: FoundKey {
        FoundKey(conversation: conversation, seq: seq, content: FoundKey.erasedContent)
    }
}

/// A key, its message, and the commit of that message.
struct MovedKey: Sendable {
    let key: RecentKey
    var found: FoundKey
    let commit: Commit
}
