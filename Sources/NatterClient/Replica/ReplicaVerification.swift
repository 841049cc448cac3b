internal import NatterArchive
public import NatterCrypto
internal import NatterSQLite
public import NatterLanguage
internal import NatterLog
public import NatterModel

/// What a look at every byte of a conversation's replica has found.
public struct ReplicaVerification: Sendable {
    public struct Finding: Sendable, Equatable {
        public let range: ClosedRange<Seq>
        /// What is wrong, in words.
        public let reason: Phrase
    }

    public let conversation: ReplicaConversation
    /// Messages that were read, and whose chain is right.
    public private(set) var messageCount = 0
    /// What can't be read, or is not what it says; lowest first.
    public private(set) var damaged: [Finding] = []
    /// What the server could not give.
    public private(set) var missing: [ClosedRange<Seq>] = []
    /// The chain at the head, computed anew from the messages; nil where something before it can't be read.
    public var hash: Digest? { damaged.isEmpty && missing.isEmpty ? chain : nil }
    /// The chain as far as it was followed; nil after what can't be read, until the next block says.
    private var chain: Digest?

    public var isSound: Bool { damaged.isEmpty }
    /// Whether the replica has what the server said last; nil while it has less, or can't tell.
    public var agreesWithServer: Bool? {
        guard conversation.head == conversation.serverHead, let hash, let server = conversation.serverHash else {
            return nil
        }
        return hash == server
    }

    init(_ conversation: ReplicaConversation) { self.conversation = conversation }

    mutating func note(missing range: ClosedRange<Seq>) {
        missing.append(range)
        chain = nil
    }

    mutating func note(damaged range: ClosedRange<Seq>, _ reason: Phrase) {
        damaged.append(Finding(range: range, reason: reason))
        chain = nil
    }

    mutating func note(_ block: Block, records: Records) {
        let range = block.header.firstSeq...block.header.lastSeq
        if let chain, chain != block.header.hashBefore {
            return note(damaged: range, "its chain does not follow the messages before")
        }
        guard HashChain.advance(block.header.hashBefore, over: records) == block.header.hashAfter else {
            return note(damaged: range, "its hash chain differs")
        }
        messageCount += records.count
        chain = block.header.hashAfter
    }

    mutating func begin(with hash: Digest?) { chain = hash }
}

extension Replica {
    /// Reads every message of a conversation, checks all checksums, and computes the hash chain anew.
    ///
    /// - Parameter progress: called with the seq that was reached, from time to time.
    /// - Throws: `ReplicaError` where something fails that is not damage.
    public func verify(
        _ conversation: ReplicaConversation, progress: ((Seq) -> Void)? = nil
    ) throws(ReplicaError) -> ReplicaVerification {
        var result = ReplicaVerification(conversation)
        result.begin(with: conversation.first == Seq(1) ? HashChain.start(of: conversation.id) : nil)
        var seq = conversation.first
        while seq <= conversation.head {
            do {
                seq = try verify(from: seq, of: conversation, &result)
            } catch ArchiveError.damaged(let from, let to, let detail) {
                let range = max(from, seq)...max(to, seq)
                result.note(damaged: range, detail)
                seq = range.upperBound.next
            } catch {
                throw ReplicaError(error)
            }
            progress?(seq.previous)
        }
        if let computed = result.hash, let known = conversation.hash, computed != known {
            result.note(damaged: conversation.head...conversation.head, "the chain at the head is not the one recorded")
        }
        return result
    }

    /// - Returns: where to go on.
    private func verify(
        from seq: Seq, of conversation: ReplicaConversation, _ result: inout ReplicaVerification
    ) throws -> Seq {
        let block: Block
        let dictionary: LogDictionary
        switch try reader(of: conversation).place(of: seq) {
        case .missing(let seqs):
            let through = seqs.upperBound
            let known = try gaps(of: conversation).contains { $0.contains(seq) }
            if known {
                result.note(missing: seq...through)
            } else {
                result.note(damaged: seq...through, "no block holds them")
            }
            return through.next
        case .tail(let part):
            guard let stored = try part.block(of: conversation.id) else {
                throw ArchiveError.damaged(from: part.firstSeq, to: part.lastSeq, detail: "there is no block here")
            }
            block = stored
            dictionary = .none
        case .block(let row):
            let identity = conversation.identity(for: location.user)
            block = try archive.block(row, of: identity)
            do { dictionary = try archive.segment(of: row, identity).dictionary } catch let error as LogError {
                throw ArchiveError.damaged(from: row.firstSeq, to: row.lastSeq, detail: "\(error)")
            }
        }
        do throws(FormatViolation) {
            result.note(block, records: try block.open(with: dictionary))
        } catch {
            throw ArchiveError.damaged(from: block.header.firstSeq, to: block.header.lastSeq, detail: error.reason)
        }
        return block.header.lastSeq.next
    }
}
