internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
internal import NatterModel

/// The server's state of one conversation in memory: the end of its log, and the tail that is not sealed yet. Use it
/// only with the state lock held.
final class ConversationState {
    let identity: ConversationIdentity
    var name: String
    var isOpen: Bool
    var isDeleted = false
    /// The accounts of a personal conversation, the lower number first.
    let accounts: (Int64, Int64)?
    /// The account that created a group; nil if an import did, or a version that did not record it.
    var maker: AccountID?
    /// The members of a group by account.
    var members: [Int64: Membership] = [:]

    struct Membership: Sendable {
        var isAdmin: Bool
        var since: Commit
    }

    /// The highest seq that is in the log files and recorded in the index.
    var sealedSeq: Seq
    var sealedHash: Digest
    var sealedCommit: Commit
    /// All committed messages after `sealedSeq`.
    var tail: Records
    /// The chain after each record of the tail.
    var tailHashes: [Digest] = []
    /// What salts the next message; nil if a new run begins with it.
    var nextSalt: SaltSource?
    /// The highest time that the server itself assigned here.
    var lastServerTime: Timestamp
    /// How many sealed texts each user has written. See `SealedContent.sent`.
    var sent: [String: UInt64] = [:]
    /// The messages that were deleted.
    var deletions = DeletedMessages()
    /// The last seq of the tail that was written to the journal's end again, and the commit that did it.
    var journaledAgain: (upTo: Seq, at: Commit)?
    /// Whether the sealer, or an import, is sealing the tail.
    var isBeingSealed = false

    init(
        identity: ConversationIdentity, isOpen: Bool, accounts: (Int64, Int64)?, sealedSeq: Seq, sealedHash: Digest,
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
        tail = Records(firstSeq: sealedSeq.next)
    }

    var head: Seq { tail.isEmpty ? sealedSeq : tail.lastSeq }
    var headHash: Digest { tailHashes.last ?? sealedHash }
    var lastCommit: Commit { tail.isEmpty ? sealedCommit : tail.commit(at: tail.count - 1) }

    /// The oldest commit of which the tail still needs the journal; nil without a tail.
    var journalFloor: Commit? {
        guard !tail.isEmpty else { return nil }
        if let journaledAgain, tail.firstSeq <= journaledAgain.upTo { return journaledAgain.at }
        return tail.commit(at: 0)
    }

    /// The chain at a seq in the tail, or at the last sealed seq.
    func hash(at seq: Seq) -> Digest? {
        if seq == sealedSeq { return sealedHash }
        return tail.index(of: seq).map { tailHashes[$0] }
    }

    /// Appends a committed record.
    func append(_ record: Record, hash: Digest) {
        tail.append(record)
        tailHashes.append(hash)
        nextSalt = record.salt.next
        if !record.isImported { lastServerTime = max(lastServerTime, record.time) }
    }

    /// How many messages here do not raise a user's count of unread messages, sealed or not: the user's own texts, and what is
    /// no text.
    func uncounted(for name: UserName) -> UInt64 {
        (sent[name.text] ?? 0) + (sent[""] ?? 0)
            + UInt64(tail.uncounted(for: Array(name.text.utf8), tail.firstSeq...tail.lastSeq.next))
    }

    /// Adds messages that are about to leave the tail to the counts.
    func noteSealed(_ content: SealedContent) {
        for (sender, count) in content.sent { sent[sender, default: 0] += UInt64(count) }
    }

    /// Removes sealed messages from the tail.
    func drop(upTo seq: Seq, hash: Digest, commit: Commit) {
        guard seq > sealedSeq else { return }
        let count = min(tail.count, seq.distance(after: sealedSeq))
        tail = tail.slice(count..<tail.count)
        if tail.isEmpty { tail = Records(firstSeq: seq.next) }
        tailHashes.removeFirst(count)
        (sealedSeq, sealedHash, sealedCommit) = (seq, hash, commit)
    }
}

/// The deleted messages of a conversation, lowest first.
///
/// They are in memory, because each list of conversations counts those that a user has not read. A message is deleted once, so
/// this takes 12 bytes for each deletion.
struct DeletedMessages: Sendable {
    private var seqs: [UInt64] = []
    /// The place of each one's author in `names`.
    private var authors: [UInt32] = []
    private var names: [String] = []

    /// - Parameter author: as in the table `relation`.
    mutating func insert(_ seq: Seq, author: String) {
        let place = firstPlace(after: seq.previous)
        guard place == seqs.count || seqs[place] != seq.rawValue else { return }
        let number = names.firstIndex(of: author) ?? names.count
        if number == names.count { names.append(author) }
        seqs.insert(seq.rawValue, at: place)
        authors.insert(UInt32(number), at: place)
    }

    func contains(_ seq: Seq) -> Bool {
        let place = firstPlace(after: seq.previous)
        return place < seqs.count && seqs[place] == seq.rawValue
    }

    /// How many deleted messages after a seq counted for this user.
    func count(after seq: Seq, for user: String) -> UInt64 {
        let start = firstPlace(after: seq)
        guard start < seqs.count else { return 0 }
        let isCounted = names.map { $0 != user && $0 != RelationRows.everyone }
        return UInt64(authors[start...].count { isCounted[Int($0)] })
    }

    private func firstPlace(after seq: Seq) -> Int {
        var (low, high) = (0, seqs.count)
        while low < high {
            let middle = (low + high) / 2
            if seqs[middle] <= seq.rawValue { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
