internal import NatterConversation
internal import NatterLog
public import NatterModel
internal import NatterSQLite
public import NatterSystem

/// A user's local copy of the synced conversations, open for reading. It takes no lock and never waits. Messages that
/// other processes add become visible with the next look-up. Not thread-safe.
public final class Replica {
    public let location: ReplicaLocation
    let disk: any Disk
    let connection: Connection
    let archive: ArchiveReader
    /// The columns of a conversation that the file has.
    private let columns: String

    init(location: ReplicaLocation, disk: any Disk, connection: Connection) throws(SQLiteError) {
        (self.location, self.disk, self.connection) = (location, disk, connection)
        columns = try ReplicaConversation.columns(of: connection)
        archive = ArchiveReader(
            connection: connection, cache: ArchiveCache(directory: location.directory, disk: disk))
    }

    /// Opens the replica's database.
    ///
    /// - Returns: nil if nothing was ever synced there.
    /// - Throws: `ReplicaError.storage`.
    public static func open(at location: ReplicaLocation, disk: any Disk = PosixDisk()) throws(ReplicaError) -> Replica?
    {
        try ReplicaError.translate {
            guard try disk.information(location.databasePath) != nil else { return nil }
            let connection = try Connection(path: location.databasePath, role: .reader, disk: disk)
            guard try Schema.version(of: connection) > 0 else { return nil }
            try ReplicaSchema.current.check(connection)
            return try Replica(location: location, disk: disk, connection: connection)
        }
    }

    // MARK: Conversations

    /// All conversations, `general` first, then groups, then personal ones, by name.
    ///
    /// - Parameter includingGone: also the conversations that the user no longer belongs to.
    public func conversations(includingGone: Bool = false) throws(ReplicaError) -> [ReplicaConversation] {
        try select(includingGone ? "ORDER BY kind, name, number" : "WHERE gone IS NULL ORDER BY kind, name, number")
    }

    /// The conversations with unread messages that the user belongs to.
    public func unreadConversations() throws(ReplicaError) -> [ReplicaConversation] {
        try select("WHERE unread>0 AND gone IS NULL ORDER BY number")
    }

    /// Whether anything has been synced.
    public func hasConversations() throws(ReplicaError) -> Bool {
        try ReplicaError.translate { try connection.hasRow("SELECT 1 FROM conversation LIMIT 1") }
    }

    private func select(_ rest: String) throws(ReplicaError) -> [ReplicaConversation] {
        try ReplicaError.translate {
            try connection.rows("SELECT \(columns) FROM conversation \(rest)", read: read)
        }
    }

    private func read(_ row: borrowing Statement) throws(SQLiteError) -> ReplicaConversation {
        try ReplicaConversation(row, path: connection.path)
    }

    /// The conversation of that name, in any case; `@me` is the user's notebook. If several have the same name (a group that
    /// was deleted and created again), it is the one that the user belongs to, or else the latest.
    public func conversation(named name: String) throws(ReplicaError) -> ReplicaConversation? {
        let wanted = NameRule.caseKey(name) == "@me" ? "@" + location.user : name
        return try ReplicaError.translate {
            let exact = try connection.row(
                """
                SELECT \(columns) FROM conversation WHERE name=?
                ORDER BY gone IS NOT NULL, number DESC LIMIT 1
                """, wanted, read: read)
            if let exact, !exact.isGone { return exact }
            // SQLite knows neither the case of letters outside ASCII nor canonical equivalence.
            let key = NameRule.caseKey(wanted)
            let alike = try conversations(includingGone: true).filter { NameRule.caseKey($0.name) == key }
            return alike.last { !$0.isGone } ?? alike.max { $0.number < $1.number }
        }
    }

    /// The names of the groups that the user is in.
    func groupNames() throws(ReplicaError) -> [String] {
        try conversations().filter { $0.kind == .group }.map(\.name)
    }

    public func conversation(_ id: ConversationID) throws(ReplicaError) -> ReplicaConversation? {
        try ReplicaError.translate {
            try connection.row(
                "SELECT \(columns) FROM conversation WHERE id=?", id.bytes, read: read)
        }
    }

    /// The messages that the server could not send and may send later, lowest first.
    public func gaps(of conversation: ReplicaConversation) throws(ReplicaError) -> [ClosedRange<Seq>] {
        guard conversation.gapCount > 0 else { return [] }
        return try ReplicaError.translate {
            let gaps = try connection.rows(
                "SELECT from_seq,to_seq FROM gap WHERE conversation=? ORDER BY from_seq", conversation.number
            ) { (from: Seq($0.uint64(0)), to: Seq($0.uint64(1))) }
            return gaps.filter { $0.from <= $0.to && $0.to >= conversation.serverFirst }.map { $0.from...$0.to }
        }
    }

    /// The conversations with messages that the server could not send.
    func conversationsWithGaps() throws(ReplicaError) -> [ReplicaConversation] {
        // Each sync asks for them, and there are nearly never any.
        guard try hasGaps() else { return [] }
        return try select("WHERE number IN (SELECT conversation FROM gap) AND gap_count>0 ORDER BY number")
    }

    private func hasGaps() throws(ReplicaError) -> Bool {
        try ReplicaError.translate { try connection.hasRow("SELECT 1 FROM gap LIMIT 1") }
    }

    // MARK: The last sync

    /// Whether the database was removed or made anew since this was opened, which shows nothing new any more.
    public var isReplaced: Bool { connection.fileHasMoved }

    /// The cursor for the next sync; nil before the first complete one.
    public func cursor() throws(ReplicaError) -> String? {
        try ReplicaError.translate { try ReplicaMeta.text("cursor", on: connection) }
    }

    /// The time at which the replica begins: older messages stay on the server. nil if the replica has all messages.
    public func earliest() throws(ReplicaError) -> Timestamp? {
        try ReplicaError.translate {
            let milliseconds = try ReplicaMeta.text("earliest", on: connection).flatMap { Int64($0) }
            return milliseconds.map(Timestamp.init(milliseconds:))
        }
    }

    /// The time of the last complete sync; nil if there was none.
    public func lastSync() -> Timestamp? { LastSync.read(location, on: disk) }
}

extension Replica {
    /// The libraries with their versions, for `--version`.
    public static var libraries: [String] { [Connection.library, Block.library] }
}
