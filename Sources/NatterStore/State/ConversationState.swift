internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel

/// The server's state of one conversation in memory: the end of its log, and the tail that is not sealed yet. Use it
/// only with the state lock held.
final class ConversationState {
    let identity: ConversationIdentity
    var name: String { didSet { nameKey = NameRule.caseKey(name) } }
    /// Groups of one key have the same name.
    private(set) lazy var nameKey = NameRule.caseKey(name)
    var isOpen: Bool
    var isDeleted = false
    /// What a group is about.
    var topic: String?
    /// The accounts of a personal conversation.
    let accounts: AccountPair?
    /// The account that created a group; nil if an import did, or a version that did not record it.
    var maker: AccountID?
    /// The members of a group by account.
    var members: [Int64: Membership] = [:]

    struct Membership: Sendable {
        var isAdmin: Bool
        var since: Commit
        /// The account that added the member; nil for members who joined or created the group themselves.
        var adder: AccountID?
    }

    /// The lowest seq that is kept. In a conversation that keeps none, the seq after the head.
    var first = Seq(1)
    /// The newest time of the block that began at `first` when it was looked up; nil if it is not known.
    var oldest: (first: Seq, highTime: Timestamp)?
    /// The commit that set `first` last.
    var firstCommit = Commit.zero
    /// How long messages are kept, if the store does not keep them for a shorter time.
    var retention = Retention.forever
    /// The highest seq that is in the log files and recorded in the index.
    var sealedSeq: Seq
    var sealedHash: Digest
    var sealedCommit: Commit
    /// All committed messages after `sealedSeq`.
    private(set) var tail: TailParts
    /// The newest message and the chain after it. Without a tail it is kept if it is short, so that a list of
    /// conversations unpacks no blocks.
    private(set) var newest: NewestMessage?
    /// The salt of the next message; nil if a new run begins with it.
    var nextSalt: SaltSource?
    /// The highest time that the server itself assigned here.
    var lastServerTime: Timestamp
    /// How many texts each user has written, sealed or not. See `SealedContent.sent`.
    var sent: [String: UInt64] = [:]
    /// How many of them are not kept any more.
    var dropped: [String: UInt64] = [:]
    /// The messages that were deleted.
    var deletions = DeletedMessages()
    /// The commit of the newest erasure.
    private(set) var erasedCommit = Commit.zero
    /// The commit of the newest import since the start.
    var importedCommit = Commit.zero
    /// The last seq of the tail that was written to the journal's end again, and the commit that did it.
    var journaledAgain: (upTo: Seq, at: Commit)?
    /// The newest commit that wrote tails of this conversation to the journal's end again, so that its texts may stand there.
    var lastMove = Commit.zero
    /// Whether the sealer, or an import, is sealing the tail.
    var isBeingSealed = false

    init(
        identity: ConversationIdentity, isOpen: Bool, accounts: AccountPair?, sealedSeq: Seq, sealedHash: Digest,
        sealedCommit: Commit, lastServerTime: Timestamp
    ) {
        self.identity = identity
        name = identity.name
        self.isOpen = isOpen
        self.accounts = accounts
        self.sealedSeq = sealedSeq
        self.sealedHash = sealedHash
        self.sealedCommit = sealedCommit
        self.lastServerTime = lastServerTime
        tail = TailParts(firstSeq: sealedSeq.next, hashBefore: sealedHash)
    }

    /// The state of the log files. A server that shares its store compares it before it records files that it has written,
    /// because another server may have been faster.
    struct FilesMark: Equatable, Sendable {
        let sealedSeq: Seq
        let erasedCommit: Commit
        let firstCommit: Commit
        /// `StoreState.history`.
        let history: Int
    }

    /// Its place among groups.
    var groupEntry: ConversationListing.Entry { ConversationListing.Entry(name: nameKey, number: identity.number) }

    var head: Seq { tail.lastSeq }
    var headHash: Digest { tail.hash }
    var lastCommit: Commit { tail.lastCommit ?? sealedCommit }

    /// The oldest commit of which the tail still needs the journal; nil without a tail.
    var journalFloor: Commit? {
        guard let first = tail.firstCommit else { return nil }
        if let journaledAgain, tail.firstSeq <= journaledAgain.upTo { return journaledAgain.at }
        return first
    }

    /// Appends a committed record.
    func append(_ record: Record, hash: Digest) {
        tail.append(record, hash: hash)
        newest = nil
        nextSalt = record.salt.next
        if !record.isImported { lastServerTime = max(lastServerTime, record.time) }
        switch record.uncounted {
        case .everyone: sent["", default: 0] += 1
        case .sender: sent[String(decoding: record.sender, as: UTF8.self), default: 0] += 1
        case .nobody: break
        }
    }

    /// How many messages here do not raise a user's count of unread messages: the user's own texts, and what is no text.
    func uncounted(for name: UserName) -> UInt64 { (sent[name.text] ?? 0) + (sent[""] ?? 0) }

    /// How many of them are not kept any more.
    func droppedUncounted(for name: UserName) -> UInt64 { (dropped[name.text] ?? 0) + (dropped[""] ?? 0) }

    /// Notes that messages are not kept any more.
    func drop(below seq: Seq, counts: [String: Int], at commit: Commit) {
        guard seq > first else { return }
        (first, firstCommit) = (seq, commit)
        for (sender, count) in counts { dropped[sender, default: 0] += UInt64(max(0, count)) }
        deletions.drop(below: seq)
        if let newest, newest.record.seq < seq { self.newest = nil }
    }

    /// Counts sealed messages that were not in the tail.
    func noteAdopted(_ content: SealedContent) {
        for (sender, count) in content.sent { sent[sender, default: 0] += UInt64(count) }
    }

    /// Removes sealed messages from the tail.
    func drop(upTo seq: Seq, hash: Digest, commit: Commit) {
        guard seq > sealedSeq else { return }
        newest = seq == tail.lastSeq ? tail.newest.flatMap { NewestMessage($0.record, hash: $0.hash) } : nil
        tail.drop(upTo: seq, hash: hash)
        (sealedSeq, sealedHash, sealedCommit) = (seq, hash, commit)
    }

    /// Notes an erasure. The copy of the newest message may be one that was erased; the tail holds none.
    func noteErasure(at commit: Commit) {
        erasedCommit = max(erasedCommit, commit)
        newest = nil
    }

    /// Keeps the newest message after it was read from its block.
    ///
    /// - Parameters:
    ///   - head: the chain after the last message when it was read.
    ///   - commit: the newest erasure before it was read. A later one may have taken its text.
    func keep(_ message: NewestMessage, head: Digest, erasedCommit commit: Commit) {
        guard tail.isEmpty, head == sealedHash, message.record.seq >= first, erasedCommit == commit else { return }
        newest = message
    }
}

/// A copy of the newest message of a conversation whose messages are all sealed.
struct NewestMessage: Sendable {
    /// A longer text is read from its block. So 20,000 conversations take at most 10 MB.
    private static let textLimit = 512

    let record: Record
    /// The chain after it.
    let hash: Digest

    /// - Returns: nil for a text that is too long to be kept.
    init?(_ record: Record, hash: Digest) {
        guard record.text.count <= NewestMessage.textLimit else { return nil }
        var copy = record
        // Without it, the slice would keep the whole tail or block in memory.
        copy.text = Array(record.text)[...]
        (self.record, self.hash) = (copy, hash)
    }
}

/// The deleted messages of a conversation, lowest first.
///
/// They are in memory, because each list of conversations counts those that a user has not read. A message is deleted once, so
/// this takes 12 bytes for each deletion.
struct DeletedMessages: Sendable {
    private var seqs: [UInt64] = []
    /// The number of each one's author in `names`.
    private var authors: [UInt32] = []
    private var names: [String: UInt32] = [:]

    /// - Parameter author: as in the table `relation`.
    mutating func insert(_ seq: Seq, author: String) {
        let place = firstPlace(after: seq.previous)
        guard place == seqs.count || seqs[place] != seq.rawValue else { return }
        let number = names[author] ?? UInt32(names.count)
        names[author] = number
        seqs.insert(seq.rawValue, at: place)
        authors.insert(number, at: place)
    }

    /// Forgets messages that are not kept any more.
    mutating func drop(below seq: Seq) {
        let place = firstPlace(after: seq.previous)
        seqs.removeFirst(place)
        authors.removeFirst(place)
    }

    func contains(_ seq: Seq) -> Bool {
        let place = firstPlace(after: seq.previous)
        return place < seqs.count && seqs[place] == seq.rawValue
    }

    /// How many deleted messages after a seq counted for this user.
    func count(after seq: Seq, for user: String) -> UInt64 {
        let start = firstPlace(after: seq)
        guard start < seqs.count else { return 0 }
        let (own, everyone) = (names[user], names[RelationRows.everyone])
        return UInt64(authors[start...].count { $0 != own && $0 != everyone })
    }

    private func firstPlace(after seq: Seq) -> Int {
        seqs.indices.partitionPoint { seqs[$0] > seq.rawValue }
    }
}

extension ConversationID {
    /// The id of a personal conversation or of `general`. It follows from the store and the names, which never
    /// change. So two users who have not written to each other already have one, and a rebuilt index finds the same
    /// id.
    ///
    /// - Parameter users: in byte order.
    static func derived(store: StoreID, kind: ConversationKind, users: [String]) -> ConversationID {
        var bytes = store.bytes + [kind.rawValue]
        for user in users {
            bytes.append(counted: user.utf8)
        }
        let digest = Digest(of: bytes).bytes
        return ConversationID(bytes: digest.prefix(16)) ?? ConversationID(high: 0, low: 0)
    }

    /// User names in the order from which ids are derived.
    static func inOrder(_ users: [String]) -> [String] { users.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
}

extension ConversationIdentity {
    /// A personal conversation before its first message. It has no number yet.
    static func unwritten(_ one: AccountState, _ other: AccountState, in store: StoreID) -> ConversationIdentity {
        let users = ConversationID.inOrder([one.name.text, other.name.text])
        let id = ConversationID.derived(store: store, kind: .personal, users: users)
        return ConversationIdentity(number: 0, id: id, kind: .personal, name: "", users: users)
    }
}
