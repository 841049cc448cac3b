internal import NatterConversation
public import NatterSystem
internal import NatterSQLite
public import NatterModel

/// A conversation in a replica, as of the moment when it was looked up.
public struct ReplicaConversation: Sendable, Hashable {
    /// The replica's own number for it.
    public let number: Int64
    public let id: ConversationID
    public let kind: ConversationKind
    /// The reader's name for the conversation: `general`, a group's name, `@bob`.
    public let name: String
    /// The lowest seq of the replica: the first that the server still had when the replica began, or the first that the
    /// replica keeps.
    public let first: Seq
    /// The lowest seq that the server keeps, as of the last sync.
    public let serverFirst: Seq
    /// The highest seq that the replica has, or knows to be missing.
    public let head: Seq
    /// The hash chain at the head; nil while the messages just before the head are missing.
    public let hash: Digest?
    /// The head in the server's last answer, ahead of `head` while a sync is incomplete, and the hash chain there.
    public let serverHead: Seq
    public let serverHash: Digest?
    /// The last message that the user has read, on any device.
    public let read: Seq
    /// How many messages after `read` are not the user's own, as of the last sync.
    public let unread: UInt64
    /// What a group is about.
    public let topic: String?
    /// `removed`, `left`, `deleted`, or `missing` if a restored server does not know the group; nil while the user belongs
    /// to it.
    public let goneReason: String?
    /// The highest time of any message.
    public let latestTime: Timestamp
    /// How many gaps there are; see `Replica.gaps`.
    public let gapCount: Int
    let sealedSeq: Seq

    public var isGone: Bool { goneReason != nil }
    /// The id, if this is a group. The name of any other conversation always means the same one.
    public var groupID: ConversationID? { kind == .group ? id : nil }
    /// The unread messages that the server has and a replica that begins late lacks; nil if there are none.
    public var unreadBeforeFirst: ClosedRange<Seq>? {
        let start = max(read.next, serverFirst)
        return start < first ? start...first.previous : nil
    }
}

extension ReplicaConversation {
    /// The columns that `init(_:path:)` reads, in order.
    static func columns(of connection: Connection) throws(SQLiteError) -> String {
        let topic = try Schema.version(of: connection) >= ReplicaSchema.displayStep ? "topic" : "NULL"
        return """
            number,id,kind,name,first,head,head_hash,server_head,server_hash,read,unread,gone,max_time,gap_count,sealed_seq,
            server_first,\(topic)
            """
    }

    /// Reads a row of a statement that selects `columns`.
    /// - Throws: `corrupt` for values that natter never writes.
    init(_ row: borrowing Statement, path: String) throws(SQLiteError) {
        guard let id = ConversationID(bytes: row.blob(1)),
            let kind = ConversationKind(rawValue: UInt8(truncatingIfNeeded: row.int64(2))),
            [4, 5, 7, 9, 10, 14, 15].allSatisfy({ row.int64($0) >= 0 })
        else { throw SQLiteError(reason: .corrupt, message: "a conversation that cannot be", path: path) }
        number = row.int64(0)
        self.id = id
        self.kind = kind
        name = row.text(3)
        first = Seq(row.uint64(4))
        head = Seq(row.uint64(5))
        hash = Digest(bytes: row.blob(6))
        serverHead = Seq(row.uint64(7))
        serverHash = Digest(bytes: row.blob(8))
        read = Seq(row.uint64(9))
        unread = row.uint64(10)
        goneReason = row.optionalText(11)
        latestTime = Timestamp(milliseconds: row.int64(12))
        gapCount = row.int(13)
        sealedSeq = Seq(row.uint64(14))
        serverFirst = Seq(row.uint64(15))
        topic = row.optionalText(16)
    }

    /// - Parameter user: the owner of the replica.
    func identity(for user: String) -> ConversationIdentity {
        ReplicaConversation.identity(number: number, id: id, kind: kind, name: name, user: user)
    }

    static func identity(
        number: Int64, id: ConversationID, kind: ConversationKind, name: String, user: String
    ) -> ConversationIdentity {
        guard kind == .personal else {
            return ConversationIdentity(number: number, id: id, kind: kind, name: name, users: [])
        }
        let users = [user, String(name.dropFirst())].sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return ConversationIdentity(number: number, id: id, kind: kind, name: "", users: users)
    }
}
