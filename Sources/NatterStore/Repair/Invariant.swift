/// What must always hold in a data directory. `StoreCheck` looks at all of it, in this order, and each finding names what does not
/// hold.
enum Invariant: String, CaseIterable, Sendable {
    case erasuresAreRemembered = "Each line of 'erased' can be read, so no older database brings an erased text back."
    case databaseIsWhole = "SQLite can read the database and finds nothing wrong in it."
    case databaseIsNewest = "No later run of the server wrote logs than the last one that the database knows."
    case journalIsWhole = "Each batch of the journal can be read."
    case usersAreKnown = "Both users of a personal conversation have accounts."
    case logsAreWhole = """
        The files that the index names hold each sealed message of a conversation once, in one hash chain and as the index \
        describes them. Messages that a repair has stated as lost are missing.
        """
    case tailsFollowLogs = "The journal continues each log where it ends, without a gap."
    case tailsHaveConversations = "Each message of the journal is in a conversation that has a row."
    case filesOfMessagesAreWhole = "Each file that a message names is there, with the bytes that were uploaded."
    case rowsLoad = "A start can load each row."
    case filesAreKnown = "The index knows each log file and each file of a message, or the next start adopts it."
    case databaseIsThere = "A directory with logs has a database with content."
    case sharedLogIsWhole = "The log of a store in PostgreSQL can be read and lacks no entry at either end."

    /// Those of one conversation, which are checked together.
    static let ofConversation: [Invariant] = [.usersAreKnown, .logsAreWhole, .tailsFollowLogs]
}
