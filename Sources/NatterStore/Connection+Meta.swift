internal import NatterSQLite

/// The keys of the table `meta`, whose values describe the store as a whole.
enum MetaKey: String {
    case storeID = "store_id"
    /// The secret of the short hashes of messages' ids.
    case keySecret = "key_secret"
    /// The milliseconds for which one table of message ids is written.
    case keyPeriod = "key_period"
    /// The newest commit that left no row of its own.
    case commit
    /// There only between a proper end and the next start.
    case clean
    /// The stamp of the file whose erasures the database all knows.
    case erasedFile = "erased_file"
    // The highest numbers that were ever given. Rows may have lost what they belong to.
    case highestAccount = "highest_account"
    case highestConversation = "highest_conversation"
    /// The highest number of a token or session, which may have ended: an id names one for ever.
    case highestToken = "highest_token"
}

extension Connection {
    func meta<Value>(
        _ key: MetaKey, read: (borrowing Statement) throws(SQLiteError) -> Value
    ) throws(SQLiteError) -> Value? {
        try row("SELECT value FROM meta WHERE key=?", key.rawValue, read: read)
    }

    func hasMeta(_ key: MetaKey) throws(SQLiteError) -> Bool {
        try hasRow("SELECT 1 FROM meta WHERE key=?", key.rawValue)
    }

    func setMeta(_ key: MetaKey, _ value: any SQLValue) throws(SQLiteError) {
        try run("INSERT OR REPLACE INTO meta VALUES (?,?)", key.rawValue, value)
    }
}
