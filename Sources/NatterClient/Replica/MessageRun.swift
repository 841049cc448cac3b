internal import NatterArchive
public import NatterCrypto
public import NatterLanguage
public import NatterLog
public import NatterModel

/// Messages of one conversation that lie together, as a reader gets them.
public struct MessageRun: Sendable {
    public let conversation: ReplicaConversation
    public let records: Records
    /// Which of the records are meant, in the order in which the reader goes.
    public let positions: [Int]
    let hashBefore: Digest

    init(conversation: ReplicaConversation, block: OpenBlock, positions: [Int]) {
        (self.conversation, records, hashBefore) = (conversation, block.records, block.hashBefore)
        self.positions = positions
    }

    private init(_ run: MessageRun, positions: [Int]) {
        (conversation, records, hashBefore) = (run.conversation, run.records, run.hashBefore)
        self.positions = positions
    }

    /// Some of these messages.
    func only(_ positions: [Int]) -> MessageRun { MessageRun(self, positions: positions) }

    /// The chain after each of the messages at `positions`. Computed anew by each call, from the first record on.
    public func hashes() -> [Digest] {
        guard let last = positions.max() else { return [] }
        var chain: [Digest] = []
        chain.reserveCapacity(last + 1)
        var hash = hashBefore
        for index in 0...last {
            hash = HashChain.advance(hash, over: records, index..<index + 1)
            chain.append(hash)
        }
        return positions.map { chain[$0] }
    }

    /// The cursors of the messages at `positions`.
    public func cursors() -> [MessageCursor] {
        zip(positions, hashes()).map { position, hash in
            MessageCursor(
                conversation: conversation.id, seq: records.firstSeq.advanced(by: position), hashPrefix: hash.prefix)
        }
    }

    /// The messages at `positions` as values of their own; for what prints few of them.
    public func messages() -> [Message] {
        zip(positions, cursors()).map { position, cursor in
            let record = records[position]
            return Message(
                conversation: conversation.name, conversationID: conversation.id, seq: record.seq, cursor: cursor,
                time: record.time, sender: String(decoding: record.sender, as: UTF8.self),
                text: String(decoding: record.text, as: UTF8.self), kind: record.kind, about: record.about,
                isImported: record.isImported)
        }
    }
}

/// What a reader meets on its way.
public enum ReplicaPiece: Sendable {
    case messages(MessageRun)
    /// Messages that exist and are not here.
    case missing(ReplicaConversation, ClosedRange<Seq>, MissingReason)
}

public enum MissingReason: Sendable, Equatable {
    /// The server could not give them; each sync asks again.
    case notSent
    /// They are here and can't be read.
    case damaged(Phrase)
}

/// Which messages of a conversation somebody wants.
public struct MessageFilter: Sendable {
    /// Exclusive.
    public var after = Seq.zero
    /// Exclusive.
    public var before: Seq?
    /// Inclusive.
    public var since: Timestamp?
    /// Exclusive.
    public var until: Timestamp?
    /// Whose; canonically equivalent names are the same, upper and lower case are not.
    public var sender: String?
    /// Whose not.
    public var excludedSender: String?

    public init(after: Seq = .zero, before: Seq? = nil) { (self.after, self.before) = (after, before) }

    /// Whether every message from `after` to `before` is wanted.
    public var isPlain: Bool { since == nil && until == nil && sender == nil && excludedSender == nil }

    /// Whether messages with times of this range can be wanted.
    func mayMatch(low: Timestamp, high: Timestamp) -> Bool {
        if let since, high < since { return false }
        if let until, low >= until { return false }
        return true
    }

    /// The last seq that can be wanted, of a conversation with this head.
    func last(_ head: Seq) -> Seq { before.map { min(head, $0.previous) } ?? head }

    /// The positions wanted, ascending.
    func positions(in records: Records, _ seqs: ClosedRange<Seq>) -> [Int] {
        let lower = max(seqs.lowerBound, records.firstSeq)
        let upper = min(seqs.upperBound, records.lastSeq)
        guard lower <= upper, let start = records.index(of: lower), let end = records.index(of: upper) else {
            return []
        }
        if isPlain { return Array(start...end) }
        let matcher = MessageMatcher(self)
        return (start...end).filter { matcher.matches(records, $0) }
    }
}

/// A filter made ready to look at many messages; its seqs are left out of account.
struct MessageMatcher {
    private let filter: MessageFilter
    private let sender: SenderMatch?
    private let excluded: SenderMatch?

    init(_ filter: MessageFilter) {
        self.filter = filter
        sender = filter.sender.map { SenderMatch($0) }
        excluded = filter.excludedSender.map { SenderMatch($0) }
    }

    func matches(_ records: Records, _ index: Int) -> Bool {
        let time = records.time(at: index)
        if let since = filter.since, time < since { return false }
        if let until = filter.until, time >= until { return false }
        if let sender, !sender.matches(records.sender(at: index)) { return false }
        if let excluded, excluded.matches(records.sender(at: index)) { return false }
        return true
    }
}

/// Compares senders with a name: bytes first, which decides nearly always.
struct SenderMatch {
    private let name: String
    private let bytes: [UInt8]
    private let isASCII: Bool

    init(_ name: String) {
        self.name = name
        bytes = Array(name.utf8)
        isASCII = bytes.allSatisfy { $0 < 0x80 }
    }

    func matches(_ sender: [UInt8]) -> Bool {
        if sender == bytes { return true }
        return !isASCII && String(decoding: sender, as: UTF8.self) == name
    }
}
