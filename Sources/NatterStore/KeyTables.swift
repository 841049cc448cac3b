internal import NatterCrypto
internal import NatterSQLite
internal import NatterModel

/// Idempotency keys that have left the journal. There is one table for each third of the retention. So forgetting old
/// keys is dropping a table, and a look-up reads four tables at most.
///
/// Only the writer's thread uses it.
struct KeyTables {
    private let connection: Connection
    /// A third of the retention, in milliseconds.
    private let periodLength: Int64
    private var periods: [Int64] = []

    init(connection: Connection, retentionDays: Int) throws {
        self.connection = connection
        periodLength = Int64(max(1, (retentionDays + 2) / 3)) * 86_400_000
        try reload()
    }

    /// Reads which tables exist.
    mutating func reload() throws(SQLiteError) {
        periods = []
        let statement = try connection.statement(
            "SELECT name FROM sqlite_schema WHERE type='table' AND name GLOB 'keys_*'")
        while try statement.step() {
            if let period = Int64(statement.text(0).dropFirst(5)) { periods.append(period) }
        }
        periods.sort()
    }

    /// The SQL that creates one of the tables.
    static func creation(of table: String) -> String {
        """
        CREATE TABLE IF NOT EXISTS \(table) (
            account INTEGER NOT NULL, time INTEGER NOT NULL, hash INTEGER NOT NULL,
            conversation INTEGER NOT NULL, seq INTEGER NOT NULL, content INTEGER NOT NULL,
            PRIMARY KEY (account, time, hash)
        ) WITHOUT ROWID
        """
    }

    private func period(of time: Timestamp) -> Int64 { max(0, time.milliseconds) / periodLength }

    func find(_ keys: [RecentKey]) throws -> [RecentKey: FoundKey] {
        guard !periods.isEmpty else { return [:] }
        // Without a transaction, SQLite would lock the database and check its log anew for each key of a bulk.
        return try connection.snapshot {
            var found: [RecentKey: FoundKey] = [:]
            var missing = keys
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
    mutating func insert(_ moved: MovedKey, now: Timestamp) throws(SQLiteError) {
        let period = period(of: now)
        if !periods.contains(period) {
            try connection.execute(KeyTables.creation(of: "keys_\(period)"))
            periods.append(period)
            periods.sort()
        }
        let statement = try connection.statement("INSERT OR IGNORE INTO keys_\(period) VALUES (?,?,?,?,?,?)")
        let found = moved.found
        try statement.run(
            moved.key.account, moved.key.time, moved.key.hash, found.conversation, found.seq.rawValue, found.content)
    }

    /// Forgets the content of messages that were erased at a commit. Their keys stay. Call inside a transaction.
    func forgetContent(of conversation: Int64, erasedAt commit: Commit) throws(SQLiteError) {
        for period in periods {
            try connection.statement(
                """
                UPDATE keys_\(period) SET content=?1 WHERE conversation=?2
                AND seq IN (SELECT seq FROM erasure WHERE conversation=?2 AND commit_number=?3)
                """
            ).run(FoundKey.erasedContent, conversation, commit.rawValue)
        }
    }

    /// Drops tables whose last key is older than the retention. They are four periods old, so their youngest key has
    /// been kept for three whole periods. The four newest tables always stay, because a clock that jumps ahead must
    /// not make the store forget everything. Call inside a transaction.
    ///
    /// - Returns: the time up to which keys were dropped; nil if none were.
    @discardableResult
    mutating func dropExpired(now: Timestamp) throws(SQLiteError) -> Timestamp? {
        let oldest = period(of: now) - 3
        let expired = periods.dropLast(4).filter { $0 < oldest }
        for period in expired { try connection.execute("DROP TABLE keys_\(period)") }
        periods.removeFirst(expired.count)
        return expired.last.map { Timestamp(milliseconds: ($0 + 1) * periodLength) }
    }
}

extension RecentKey {
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
