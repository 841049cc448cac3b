public import NatterSystem
public import NatterModel
public import NatterLog
internal import Synchronization

/// Consecutive messages in memory with their hash chain: a decompressed block or a tail.
public struct OpenBlock: Sendable {
    public let records: Records
    /// The chain before the first message.
    public let hashBefore: Digest
    private let chain: Chain

    /// The chain after each message, as far as it is known. All copies of a block share it, so that each page of a
    /// cached block does not compute the chain of all messages before the page.
    private final class Chain: Sendable {
        let hashes: Mutex<[Digest]>
        init(_ hashes: [Digest]) { self.hashes = Mutex(hashes) }
    }

    /// - Parameter hashes: the chain after each message, if it is known.
    public init(records: Records, hashBefore: Digest, hashes: [Digest] = []) {
        (self.records, self.hashBefore, chain) = (records, hashBefore, Chain(hashes))
    }

    /// The chain after the message at `index`; -1 means the chain before the first message.
    public func hash(after index: Int) -> Digest { index < 0 ? hashBefore : hashes(index..<index + 1)[0] }

    /// The chain after each message of `range`.
    public func hashes(_ range: Range<Int>) -> [Digest] {
        chain.hashes.withLock { hashes in
            var hash = hashes.last ?? hashBefore
            while hashes.count < range.upperBound {
                hash = HashChain.advance(hash, over: records, hashes.count..<hashes.count + 1)
                hashes.append(hash)
            }
            return Array(hashes[range])
        }
    }

    /// Blocks for one reader with the messages of `range`.
    public func provisional(
        _ range: Range<Int>, of conversation: ConversationID
    ) throws(FormatViolation) -> [Block] {
        try records.blocks(
            range, of: conversation, hashBefore: hash(after: range.lowerBound - 1), knownHash: knownHash(after:),
            dictionary: .none, isProvisional: true, effort: .light)
    }

    /// The chain after the message at `index`; nil if it must be computed.
    func knownHash(after index: Int) -> Digest? {
        chain.hashes.withLock { index < $0.count ? $0[index] : nil }
    }
}

/// Messages of one conversation that are stored together and that a reader wants.
public struct MessageRun: Sendable {
    public let conversation: ConversationLog
    public let block: OpenBlock
    /// The positions of the wanted records in the reader's direction, ascending or descending.
    public let positions: [Int]

    public init(_ conversation: ConversationLog, _ block: OpenBlock, positions: [Int]) {
        (self.conversation, self.block, self.positions) = (conversation, block, positions)
    }

    public var records: Records { block.records }

    /// This run with fewer positions.
    public func only(_ positions: [Int]) -> MessageRun { MessageRun(conversation, block, positions: positions) }

    /// The chain after each of the messages at `positions`.
    public func hashes() -> [Digest] {
        guard let first = positions.first, let last = positions.last else { return [] }
        let lowest = min(first, last)
        let chain = block.hashes(lowest..<max(first, last) + 1)
        return positions.map { chain[$0 - lowest] }
    }

    /// The messages at `positions`.
    public func messages() -> [Message] {
        zip(positions, hashes()).map { position, hash in
            Message(records[position], hash: hash, of: conversation.id, named: conversation.name)
        }
    }
}

extension Message {
    /// - Parameters:
    ///   - hash: the chain after the message.
    ///   - name: the reader's name for the conversation.
    public init(_ record: Record, hash: Digest, of conversation: ConversationID, named name: String) {
        let file = record.kind == .file ? FileRecord(line: record.text) : nil
        self.init(
            conversation: name, conversationID: conversation, seq: record.seq,
            cursor: MessageCursor(conversation: conversation, seq: record.seq, hashPrefix: hash.prefix),
            time: record.time, sender: String(decoding: record.sender, as: UTF8.self),
            text: file?.name ?? String(decoding: record.text, as: UTF8.self), kind: record.kind, about: record.about,
            isImported: record.isImported, via: record.via.map { String(decoding: $0, as: UTF8.self) },
            written: record.written, isErased: record.isErased)
        files = file.map { [$0] } ?? []
    }
}

/// A piece of a log, as a reader visits it.
public enum LogPiece: Sendable {
    case messages(MessageRun)
    /// Messages that exist but can't be read.
    case missing(ConversationLog, ClosedRange<Seq>, MissingReason)
}

public enum MissingReason: Sendable, Equatable {
    /// They are in no block and no tail. A client lacks messages that its server could not send; each sync asks for
    /// them again.
    case notStored
    /// The server does not keep them any more.
    case notKept
    /// They are stored but can't be read.
    /// - Parameter block: all the messages that can't be read for the same reason.
    case damaged(Phrase, block: ClosedRange<Seq>)
}
