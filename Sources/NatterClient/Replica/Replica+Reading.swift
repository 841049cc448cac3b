public import NatterConversation
public import NatterSystem
internal import NatterLog
public import NatterModel
internal import NatterSQLite

extension Replica {
    /// Reads one conversation as of its look-up. The reader does not see messages after its `head`.
    func reader(of conversation: ReplicaConversation) -> LogReader {
        let log = ConversationLog(
            identity: conversation.identity(for: location.user), name: conversation.name, first: conversation.first,
            head: conversation.head, sealedSeq: conversation.sealedSeq, hash: conversation.hash,
            latestTime: conversation.latestTime, mayHaveGaps: conversation.gapCount > 0,
            serverFirst: conversation.serverFirst, tail: ReplicaTail(conversation: conversation.number))
        return LogReader(log, archive)
    }

    /// Visits the messages that a filter wants, oldest first; see `LogReader.forward`.
    ///
    /// - Throws: `ReplicaError`, and what `visit` throws.
    public func forward(
        _ conversation: ReplicaConversation, _ filter: MessageFilter, limit: Int = .max,
        visit: (LogPiece) throws -> Bool
    ) throws {
        try translate { _ = try reader(of: conversation).forward(filter, limit: limit, visit: visit) }
    }

    /// Does the same, newest first. Runs come in falling order, and so do the positions in each.
    public func backward(
        _ conversation: ReplicaConversation, _ filter: MessageFilter, limit: Int = .max, readsAhead: Bool = false,
        visit: (LogPiece) throws -> Bool
    ) throws {
        try translate {
            _ = try reader(of: conversation).backward(filter, limit: limit, readsAhead: readsAhead, visit: visit)
        }
    }

    /// Visits single messages; see `LogReader.visit`.
    ///
    /// - Throws: `ReplicaError`, and what `visit` throws.
    public func visit(
        _ seqs: [Seq], of conversation: ReplicaConversation, _ visit: (LogPiece) throws -> Void
    ) throws {
        try translate { try reader(of: conversation).visit(seqs, visit) }
    }

    /// Visits the messages of several conversations by time; see `LogMerge`.
    ///
    /// - Throws: `ReplicaError`, and what `visit` throws.
    public func merged(
        _ conversations: [ReplicaConversation], _ filter: MessageFilter, after: [ConversationID: Seq] = [:],
        isNewestFirst: Bool = false, limit: Int = .max, readsAhead: Bool = false,
        isWanted: (ConversationID) -> Bool = { _ in true }, visit: (LogPiece) throws -> Bool
    ) throws {
        try translate {
            try LogMerge(conversations.map(reader(of:)), filter).walk(
                after: after, isNewestFirst: isNewestFirst, limit: limit, readsAhead: readsAhead, isWanted: isWanted,
                visit: visit)
        }
    }

    /// The messages of a run with what happened to them; nil if nothing did.
    ///
    /// - Parameters:
    ///   - folds: whether an original gets its newest text. A deleted text is empty anyway.
    ///   - showsFiles: whether a text has its files; nil if `folds` decides.
    public func changed(_ run: MessageRun, folds: Bool, showsFiles: Bool? = nil) throws -> [Message]? {
        let reader = LogReader(run.conversation, archive)
        return try translate {
            try MessageFolder(reader, folds: folds, showsFiles: showsFiles).messages(of: run)
        }
    }

    /// The text messages that answer a message, directly or not, and those that it answers: one thread, lowest first.
    ///
    /// - Parameter limit: the most messages.
    public func thread(_ seq: Seq, in conversation: ReplicaConversation, limit: Int) throws -> [Seq] {
        try translate {
            let reader = reader(of: conversation)
            var root = seq
            // Each step opens a block, so a thread that is longer than what is shown begins in its middle.
            for _ in 0..<limit {
                // An edit belongs to the thread of its original.
                guard let record = try reader.block(containing: root)?.records[root],
                    record.kind == .text || root == seq, let about = record.about, about < root,
                    about >= conversation.first
                else { break }
                root = about
            }
            var found: Set<Seq> = [root]
            var waiting = [root]
            while let next = waiting.popLast(), found.count < limit {
                let replies = try RelationRows.seqs(
                    of: .text, about: next, in: conversation.number, limit: limit - found.count, on: connection)
                for reply in replies where reply <= conversation.head && found.insert(reply).inserted {
                    waiting.append(reply)
                }
            }
            return found.sorted()
        }
    }

    /// One message; nil if it is missing.
    public func message(_ seq: Seq, in conversation: ReplicaConversation, folds: Bool) throws -> Message? {
        guard seq >= conversation.first, seq <= conversation.head else { return nil }
        return try translate {
            let reader = reader(of: conversation)
            guard let message = try reader.run(of: seq)?.messages().first else { return nil }
            return try MessageFolder(reader, folds: folds).applied(to: message)
        }
    }

    /// The texts of the user that were erased after the replica got them, for readers that leave out one's own messages.
    public func ownErased(
        of conversations: [ReplicaConversation]
    ) throws(ReplicaError) -> [ConversationID: Set<Seq>] {
        try ReplicaError.translate {
            // A replica of an older natter that was not synced since.
            guard try Schema.version(of: connection) >= ReplicaSchema.ownErasedStep else { return [:] }
            var found: [ConversationID: Set<Seq>] = [:]
            for conversation in conversations {
                let seqs = try connection.rows(
                    "SELECT seq FROM own_erased WHERE conversation=?", conversation.number
                ) { Seq($0.uint64(0)) }
                if !seqs.isEmpty { found[conversation.id] = Set(seqs) }
            }
            return found
        }
    }

    /// The numbers of the records of a kind that are about a message, lowest first.
    public func seqs(
        of kind: MessageKind, about seq: Seq, in conversation: ReplicaConversation, limit: Int
    ) throws(ReplicaError) -> [Seq] {
        try ReplicaError.translate {
            try RelationRows.seqs(of: kind, about: seq, in: conversation.number, limit: limit, on: connection)
        }
    }

    /// The seq before the newest `count` messages; see `LogReader.start`.
    public func start(
        ofNewest count: Int, _ conversation: ReplicaConversation, _ filter: MessageFilter
    ) throws(ReplicaError) -> Seq {
        try ReplicaError.translate { try reader(of: conversation).start(ofNewest: count, filter) }
    }

    /// The newest message by time, as it was sent; nil if there is none.
    public func newestMessage(of conversation: ReplicaConversation) throws(ReplicaError) -> Message? {
        try ReplicaError.translate {
            try reader(of: conversation).newestMessage().flatMap {
                try (changed($0, folds: false) ?? $0.messages()).first
            }
        }
    }

    /// The seqs of `count` messages around one; see `LogReader.window`.
    public func window(
        around seq: Seq, count: Int, _ conversation: ReplicaConversation, _ filter: MessageFilter
    ) throws(ReplicaError) -> ClosedRange<Seq>? {
        try ReplicaError.translate { try reader(of: conversation).window(around: seq, count: count, filter) }
    }

    /// Where the newest `count` messages of conversations begin; see `LogMerge.newest`.
    public func newest(
        _ count: Int, _ conversations: [ReplicaConversation], _ filter: MessageFilter
    ) throws(ReplicaError) -> (from: TimePlace?, after: [ConversationID: Seq]) {
        try ReplicaError.translate { try LogMerge(conversations.map(reader(of:)), filter).newest(count) }
    }

    /// The hash chain after a message; see `LogReader.hash`.
    public func hash(at seq: Seq, of conversation: ReplicaConversation) throws(ReplicaError) -> Digest? {
        try ReplicaError.translate { try reader(of: conversation).hash(at: seq) }
    }

    /// The cursor that stands for "everything up to this message has been seen"; nil if `hash(at:of:)` is.
    public func cursor(at seq: Seq, of conversation: ReplicaConversation) throws(ReplicaError) -> MessageCursor? {
        try ReplicaError.translate { try reader(of: conversation).cursor(at: seq) }
    }

    /// Whether a reader may continue from a cursor.
    public func standing(
        of cursor: MessageCursor, in conversation: ReplicaConversation
    ) throws(ReplicaError) -> CursorStanding {
        try ReplicaError.translate { try reader(of: conversation).standing(of: cursor) }
    }

    private func translate<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch  where error is ArchiveError || error is SQLiteError {
            throw ReplicaError(error)
        }
    }
}
