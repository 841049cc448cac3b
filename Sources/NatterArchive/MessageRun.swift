public import NatterCrypto
public import NatterLanguage
public import NatterLog
public import NatterModel

/// Consecutive messages in memory, with the hash chain beside them: a block that was unpacked, or a tail.
public struct OpenBlock: Sendable {
    public let records: Records
    /// The chain before the first message.
    public let hashBefore: Digest
    /// The chain after each message, if the owner keeps it.
    private let knownHashes: [Digest]?

    public init(records: Records, hashBefore: Digest, hashes: [Digest]? = nil) {
        (self.records, self.hashBefore, knownHashes) = (records, hashBefore, hashes)
    }

    /// The chain after the message at `index`; -1 stands for the chain before the first.
    public func hash(after index: Int) -> Digest {
        if index < 0 { return hashBefore }
        if let knownHashes { return knownHashes[index] }
        return HashChain.advance(hashBefore, over: records, 0..<index + 1)
    }

    /// The chain after each message of `range`.
    public func hashes(_ range: Range<Int>) -> [Digest] {
        if let knownHashes { return Array(knownHashes[range]) }
        var hash = HashChain.advance(hashBefore, over: records, 0..<range.lowerBound)
        return range.map { index in
            hash = HashChain.advance(hash, over: records, index..<index + 1)
            return hash
        }
    }

    /// The chain after the message at `index`, if it is known without computing it.
    public func knownHash(after index: Int) -> Digest? { knownHashes?[index] }
}

/// A run: messages of one conversation that are stored together, as a reader gets them.
public struct MessageRun: Sendable {
    public let conversation: ConversationLog
    public let block: OpenBlock
    /// The records that the reader wants, in the reader's direction: ascending or descending.
    public let positions: [Int]

    public init(_ conversation: ConversationLog, _ block: OpenBlock, positions: [Int]) {
        (self.conversation, self.block, self.positions) = (conversation, block, positions)
    }

    public var records: Records { block.records }

    /// The same run with fewer positions.
    public func only(_ positions: [Int]) -> MessageRun { MessageRun(conversation, block, positions: positions) }

    /// The chain after each of the messages at `positions`. Each call computes it again, from the block's first message.
    public func hashes() -> [Digest] {
        guard let first = positions.first, let last = positions.last else { return [] }
        let lowest = min(first, last)
        let chain = block.hashes(lowest..<max(first, last) + 1)
        return positions.map { chain[$0 - lowest] }
    }

    /// The cursors of the messages at `positions`.
    public func cursors() -> [MessageCursor] {
        zip(positions, hashes()).map { position, hash in
            MessageCursor(
                conversation: conversation.id, seq: records.firstSeq.advanced(by: position), hashPrefix: hash.prefix)
        }
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
    ///   - name: what the reader calls the conversation.
    public init(_ record: Record, hash: Digest, of conversation: ConversationID, named name: String) {
        self.init(
            conversation: name, conversationID: conversation, seq: record.seq,
            cursor: MessageCursor(conversation: conversation, seq: record.seq, hashPrefix: hash.prefix),
            time: record.time, sender: String(decoding: record.sender, as: UTF8.self),
            text: String(decoding: record.text, as: UTF8.self), kind: record.kind, about: record.about,
            isImported: record.isImported)
    }
}

/// What a reader finds on its way through a log.
public enum LogPiece: Sendable {
    case messages(MessageRun)
    /// Messages that exist and can't be given.
    case missing(ConversationLog, ClosedRange<Seq>, MissingReason)
}

public enum MissingReason: Sendable, Equatable {
    /// No block and no tail holds them. A client lacks what its server could not send; each sync asks for it again.
    case notStored
    /// They are stored and can't be read.
    /// - Parameter block: all the messages that can't be read with them.
    case damaged(Phrase, block: ClosedRange<Seq>)
}
