internal import NatterConversation
public import NatterSystem
internal import NatterSQLite
public import NatterModel
internal import NatterLog

/// The result of checking every byte of a conversation in the replica.
public struct ReplicaVerification: Sendable {
    public struct Finding: Sendable, Equatable {
        public let range: ClosedRange<Seq>
        public let reason: Phrase
        /// Whether the bytes can't be read, rather than that they are other messages than expected.
        let isUnreadable: Bool
    }

    public let conversation: ReplicaConversation
    /// How many messages were read and have a correct hash chain.
    public private(set) var messageCount = 0
    /// Messages that can't be read or are wrong, lowest first.
    public private(set) var damaged: [Finding] = []
    /// Messages that the server could not send.
    public private(set) var missing: [ClosedRange<Seq>] = []
    /// The hash chain at the head, computed from the messages; nil if a message before it can't be read.
    public var hash: Digest? { damaged.isEmpty && missing.isEmpty ? chain : nil }
    /// The hash chain so far; nil behind unreadable messages, until the next block names it.
    private var chain: Digest?

    /// Whether the replica agrees with the server's last answer; nil if it has fewer messages or can't know.
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

    mutating func note(damaged range: ClosedRange<Seq>, _ reason: Phrase, isUnreadable: Bool = false) {
        damaged.append(Finding(range: range, reason: reason, isUnreadable: isUnreadable))
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
    /// Reads every message of a conversation, checks all checksums, and recomputes the hash chain.
    ///
    /// - Throws: `ReplicaError` for any failure other than damage.
    public func verify(_ conversation: ReplicaConversation) throws(ReplicaError) -> ReplicaVerification {
        var result = ReplicaVerification(conversation)
        result.begin(with: conversation.first == Seq(1) ? HashChain.start(of: conversation.id) : nil)
        var seq = conversation.first
        while seq <= conversation.head {
            do {
                seq = try verify(from: seq, of: conversation, &result)
            } catch {
                guard let withheld = ArchiveError(error).withheld else { throw ReplicaError(error) }
                let range = max(withheld.from, seq)...max(withheld.to, seq)
                result.note(damaged: range, withheld.detail, isUnreadable: true)
                seq = range.upperBound.next
            }
        }
        if let computed = result.hash, let known = conversation.hash, computed != known {
            result.note(damaged: conversation.head...conversation.head, "the chain at the head is not the one recorded")
        }
        return result
    }

    /// - Returns: the seq to continue from.
    private func verify(
        from seq: Seq, of conversation: ReplicaConversation, _ result: inout ReplicaVerification
    ) throws -> Seq {
        let block: Block
        let dictionary: LogDictionary
        switch try reader(of: conversation).place(of: seq) {
        case .missing(let seqs):
            let through = seqs.upperBound
            if through < conversation.serverFirst {
                result.begin(with: nil)
                return through.next
            }
            let known = try gaps(of: conversation).contains { $0.contains(seq) }
            if known {
                result.note(missing: seq...through)
            } else {
                result.note(damaged: seq...through, "no block holds them", isUnreadable: true)
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

extension Replica {
    /// Has SQLite check the database.
    ///
    /// - Parameter setsAside: whether a corrupt database moves to `quarantine/`, so that the next sync makes it anew.
    public func checkDatabase(setsAside: Bool) throws(ReplicaError) {
        do { try connection.checkIntegrity() } catch {
            let failure = ReplicaError(error)
            guard setsAside, failure.isDamagedDatabase else { throw failure }
            _ = try ReplicaError.translate {
                try ReplicaRebuild.begin(at: location, disk: disk, clock: SystemClock())
            }
            throw failure
        }
    }
}

extension ReplicaVerification {
    /// Records the unreadable messages as gaps, so that each sync asks the server for them. Their blocks stay in the log
    /// file, but nothing reads them any more.
    ///
    /// - Returns: whether a sync asks for all of them. It can't ask for those of a conversation that the user has left.
    public func requestAgain(at location: ReplicaLocation) throws(ReplicaError) -> Bool {
        let ranges = damaged.filter(\.isUnreadable).map(\.range)
        guard !ranges.isEmpty, !conversation.isGone else { return damaged.isEmpty }
        return try ReplicaSession.run(at: location) { session in
            guard let change = try session.conversation(conversation.id) else { return false }
            let connection = session.connection
            let asked = ranges.filter { range in
                // Messages that the server does not keep would only vanish.
                range.upperBound <= change.sealedSeq && range.lowerBound >= max(change.first, change.serverFirst)
            }
            // Another process may have dropped the tail since.
            let tails = change.head > change.sealedSeq ? ranges.filter { $0.lowerBound > change.sealedSeq } : []
            guard !asked.isEmpty || !tails.isEmpty else { return false }
            change.lastSegment = try ArchiveRows.lastSegment(of: change.number, on: connection)
            change.closeLastSegment()
            change.newGaps = asked
            if !tails.isEmpty {
                change.dropTail()
                change.newGaps.append(change.sealedSeq.next...change.head)
                change.skip(to: change.head)
            }
            try session.commit {
                for range in asked {
                    for sql: StaticString in [
                        "DELETE FROM block WHERE conversation=? AND first_seq BETWEEN ? AND ?",
                        "DELETE FROM relation WHERE conversation=? AND seq BETWEEN ? AND ?",
                    ] {
                        try connection.run(sql, change.number, range.lowerBound.rawValue, range.upperBound.rawValue)
                    }
                }
            }
            return asked.count + tails.count == damaged.count
        }
    }
}
