public import NatterSystem
public import NatterModel
public import NatterLog
public import NatterSQLite

/// One conversation's log for one reader at one moment: the blocks in its segment files, then its tail.
///
/// Messages between `first` and `head` that are in neither of them are missing.
public struct ConversationLog: Sendable {
    public let identity: ConversationIdentity
    /// The reader's name for the conversation: `general`, a group's name or `@bob`.
    public let name: String
    /// The lowest seq in the log, present or known to be missing.
    public let first: Seq
    /// The highest seq in the log, present or known to be missing. In an empty log, the seq before `first`.
    public let head: Seq
    /// Messages up to this seq are in blocks, as of that moment.
    public let sealedSeq: Seq
    /// The hash chain at the head; nil if the messages just before the head are missing.
    public let hash: Digest?
    /// No message has a higher time.
    public let latestTime: Timestamp
    /// Whether messages may be missing.
    public let mayHaveGaps: Bool
    /// The lowest seq that the server keeps. Messages below it that are missing here are gone for good.
    public let serverFirst: Seq
    public let tail: any LogTail

    public init(
        identity: ConversationIdentity, name: String, first: Seq = Seq(1), head: Seq, sealedSeq: Seq, hash: Digest?,
        latestTime: Timestamp = Timestamp(milliseconds: .max), mayHaveGaps: Bool = true,
        serverFirst: Seq = Seq(1), tail: any LogTail
    ) {
        (self.identity, self.name, self.first, self.head) = (identity, name, first, head)
        (self.sealedSeq, self.hash, self.latestTime) = (sealedSeq, hash, latestTime)
        (self.mayHaveGaps, self.serverFirst, self.tail) = (mayHaveGaps, serverFirst, tail)
    }

    public var id: ConversationID { identity.id }
    /// Why messages that are not stored are missing.
    func reason(ofMissing seqs: ClosedRange<Seq>) -> MissingReason {
        seqs.upperBound < serverFirst ? .notKept : .notStored
    }
    /// The database's own number of the conversation.
    public var number: Int64 { identity.number }
}

/// The messages of a conversation that are not in a log file yet. A server keeps them in memory, a client in rows of
/// its database.
///
/// Readers ask for each part once, never for each message.
public protocol LogTail: Sendable {
    /// The part that contains a message.
    ///
    /// - Parameter connection: the reader's own connection to the database of the index.
    func part(containing seq: Seq, on connection: Connection) throws(SQLiteError) -> TailPart?
    /// The nearest seqs below and above `seq` that are in a part, for a seq that is in none.
    func neighbours(of seq: Seq, on connection: Connection) throws(SQLiteError) -> (below: Seq?, above: Seq?)
    /// All parts, lowest first, without their messages.
    func extents(on connection: Connection) throws(SQLiteError) -> [RunExtent]
}

/// Messages of a tail that are stored together.
public struct TailPart: Sendable {
    public enum Content: Sendable {
        case messages(OpenBlock)
        /// The bytes of a block that needs no dictionary, checked when they are read.
        case block([UInt8])
    }

    public let firstSeq: Seq
    public let count: Int
    public let lowTime: Timestamp
    public let highTime: Timestamp
    public let content: Content

    public init(firstSeq: Seq, count: Int, lowTime: Timestamp, highTime: Timestamp, content: Content) {
        (self.firstSeq, self.count, self.lowTime, self.highTime) = (firstSeq, count, lowTime, highTime)
        self.content = content
    }

    /// A part in memory. Its times are not computed, so no filter skips it.
    public init(_ messages: OpenBlock) {
        self.init(
            firstSeq: messages.records.firstSeq, count: messages.records.count,
            lowTime: Timestamp(milliseconds: .min), highTime: Timestamp(milliseconds: .max),
            content: .messages(messages))
    }

    public var lastSeq: Seq { firstSeq.advanced(by: count - 1) }

    /// The stored block of the part, with its checksum verified; nil for messages in memory.
    ///
    /// - Throws: `ArchiveError.damaged`.
    public func block(of conversation: ConversationID) throws(ArchiveError) -> Block? {
        guard case .block(let bytes) = content else { return nil }
        do throws(FormatViolation) {
            let header = try BlockHeader(decoding: bytes)
            guard header.firstSeq == firstSeq, header.count == count, header.conversationPrefix == conversation.high,
                header.dictionary == .none
            else { throw FormatViolation("a block is not the one that its row names") }
            let block = Block(header: header, stored: Array(bytes[BlockHeader.byteCount...]))
            try block.checkStored()
            return block
        } catch {
            throw .damaged(from: firstSeq, to: lastSeq, detail: error.reason)
        }
    }

    /// - Throws: `ArchiveError.damaged`.
    public func open(of conversation: ConversationID) throws(ArchiveError) -> OpenBlock {
        if case .messages(let messages) = content { return messages }
        guard let block = try block(of: conversation) else {
            throw .damaged(from: firstSeq, to: lastSeq, detail: "there is no block here")
        }
        do throws(FormatViolation) {
            return OpenBlock(records: try block.open(with: .none), hashBefore: block.header.hashBefore)
        } catch {
            throw .damaged(from: firstSeq, to: lastSeq, detail: error.reason)
        }
    }
}

/// A run of messages according to the index, without its messages: a block, a part of the tail, or missing messages.
public struct RunExtent: Sendable {
    public let seqs: ClosedRange<Seq>
    public let lowTime: Timestamp
    public let highTime: Timestamp
    /// The highest time of all messages before the run.
    public internal(set) var highBefore: Timestamp
    public let isMissing: Bool

    /// Reads a row of a statement that selects first seq, count, lowest and highest time.
    public init(_ row: borrowing Statement) {
        let first = Seq(row.uint64(0))
        let count = max(1, min(row.int(1), BlockHeader.maximumCount))
        self.init(
            seqs: first...first.advanced(by: count - 1), lowTime: Timestamp(milliseconds: row.int64(2)),
            highTime: Timestamp(milliseconds: row.int64(3)))
    }

    public init(seqs: ClosedRange<Seq>, lowTime: Timestamp, highTime: Timestamp) {
        self.init(seqs: seqs, lowTime: lowTime, highTime: highTime, highBefore: lowTime, isMissing: false)
    }

    init(seqs: ClosedRange<Seq>, lowTime: Timestamp, highTime: Timestamp, highBefore: Timestamp, isMissing: Bool) {
        (self.seqs, self.lowTime, self.highTime) = (seqs, lowTime, highTime)
        (self.highBefore, self.isMissing) = (highBefore, isMissing)
    }

    /// The run with one message more at its end.
    public func appending(_ seq: Seq, _ time: Timestamp) -> RunExtent {
        RunExtent(seqs: seqs.lowerBound...seq, lowTime: min(lowTime, time), highTime: max(highTime, time))
    }
}

/// The place where a message is stored.
public enum MessagePlace: Sendable {
    case block(BlockRow)
    case tail(TailPart)
    /// These messages are in no block and no tail.
    case missing(ClosedRange<Seq>)

    public var seqs: ClosedRange<Seq> {
        switch self {
        case .block(let row): row.firstSeq...row.lastSeq
        case .tail(let part): part.firstSeq...part.lastSeq
        case .missing(let seqs): seqs
        }
    }

    /// Whether messages here can match.
    public func mayMatch(_ filter: MessageFilter) -> Bool {
        switch self {
        case .block(let row): filter.mayMatch(low: row.lowTime, high: row.highTime)
        case .tail(let part): filter.mayMatch(low: part.lowTime, high: part.highTime)
        case .missing: true
        }
    }
}
