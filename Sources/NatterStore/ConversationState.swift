internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
internal import NatterModel

/// What the server keeps in memory of one conversation: where the log ends, and the tail that is not in it yet. Touched only
/// under the lock of the store's state.
final class ConversationState {
    let identity: ConversationIdentity
    var name: String
    var isOpen: Bool
    var isDeleted = false
    /// Accounts of a personal conversation, lower number first.
    let accounts: (Int64, Int64)?
    /// Members of a group and whether they are admins, and since which commit.
    var members: [Int64: Membership] = [:]

    struct Membership: Sendable {
        var isAdmin: Bool
        var since: Commit
    }

    /// The highest seq that the log files hold and the index names.
    var sealedSeq: Seq
    var sealedHash: Digest
    var sealedCommit: Commit
    /// Everything after `sealedSeq`, committed.
    var tail: Records
    /// The chain after each record of the tail.
    var tailHashes: [Digest] = []
    /// The highest time that the server itself gave here.
    var lastServerTime: Timestamp
    /// How many of the sealed messages are whose; imported ones are nobody's.
    var sent: [String: UInt64] = [:]
    /// Up to which seq the tail was written into the journal again, and by which commit.
    var journaledAgain: (upTo: Seq, at: Commit)?
    /// Being sealed by the sealer just now.
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

    /// The oldest commit whose part of the journal the tail still needs; nil without a tail.
    var journalFloor: Commit? {
        guard !tail.isEmpty else { return nil }
        if let journaledAgain, tail.firstSeq <= journaledAgain.upTo { return journaledAgain.at }
        return tail.commit(at: 0)
    }

    /// The chain after a seq that is in the tail, or the last sealed one.
    func hash(at seq: Seq) -> Digest? {
        if seq == sealedSeq { return sealedHash }
        return tail.index(of: seq).map { tailHashes[$0] }
    }

    /// Takes over a committed record.
    func append(_ record: Record, hash: Digest) {
        tail.append(record)
        tailHashes.append(hash)
        if !record.isImported { lastServerTime = max(lastServerTime, record.time) }
    }

    /// How many of all messages somebody has sent.
    func sentCount(by name: UserName) -> UInt64 {
        (sent[name.text] ?? 0) + UInt64(tail.count(by: Array(name.text.utf8), tail.firstSeq...tail.lastSeq.next))
    }

    /// Counts what is about to be dropped from the tail.
    func noteSealed(_ content: SealedContent) {
        for (sender, count) in content.sent { sent[sender, default: 0] += UInt64(count) }
    }

    /// Lets go of what has been sealed.
    func drop(upTo seq: Seq, hash: Digest, commit: Commit) {
        guard seq > sealedSeq else { return }
        let count = min(tail.count, seq.distance(after: sealedSeq))
        tail = tail.slice(count..<tail.count)
        if tail.isEmpty { tail = Records(firstSeq: seq.next) }
        tailHashes.removeFirst(count)
        (sealedSeq, sealedHash, sealedCommit) = (seq, hash, commit)
    }
}
