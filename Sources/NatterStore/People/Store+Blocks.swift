internal import NatterLog
internal import NatterConversation
public import NatterModel
internal import NatterSystem

extension Store {
    public func block(
        of conversation: ConversationID, firstSeq: Seq, revision: UInt32, for principal: Principal
    ) throws(StoreError) -> StoredBlock? {
        let found = try state.withLock { state throws(StoreError) -> ConversationIdentity? in
            let name = conversation.description
            // Before all else, so that such a token does not tell which conversations there are.
            try Authority.checkScope(.read, of: principal, on: conversation)
            guard let known = state.conversation(conversation),
                Authority.sees(principal.account, known)
                    // A user who may see that it is there is told that it is not theirs.
                    || known.identity.kind == .group && Authority.lists(principal.account, known)
            else { return nil }
            try Authority.check(.read, of: principal.account, in: known, named: name, state)
            return known.identity
        }
        guard let found else { throw .noSuchConversation(conversation.description) }
        return try reading { reader in
            guard
                let row = try ArchiveRows.block(containing: firstSeq, of: found.number, on: reader.connection),
                row.firstSeq == firstSeq, row.revision == revision
            else { return nil }
            let block = try reader.block(row, of: found)
            return StoredBlock(bytes: block.bytes, tag: "\(block.header.hashAfter)-\(revision)")
        }
    }

    public func statistics() -> StoreStatistics {
        let now = clock.now()
        return state.withLock { state in
            var counts = StoreStatistics()
            counts.accounts = state.accounts.count
            counts.sessions = state.tokens.count
            counts.online = state.onlineCount(at: now)
            for conversation in state.conversations.values where !conversation.isDeleted {
                counts.conversations += 1
                // Those that retention has dropped are not there any more.
                let dropped = min(conversation.head, conversation.first.previous)
                counts.messages += conversation.head.rawValue - dropped.rawValue
                counts.unsealedMessages += UInt64(conversation.tail.count)
            }
            counts.journalBytes = state.journalBytes
            (counts.files, counts.fileBytes) = (state.files.count, state.files.bytes)
            counts.waitingFiles = UInt64(state.files.waiting.count)
            counts.commit = state.commit.rawValue
            counts.epochRun = UInt64(state.epoch.run)
            counts.epoch = "\(state.epoch)"
            return counts
        }
    }

    /// Disk use, for the operator.
    public struct Sizes: Sendable, Equatable {
        /// The recorded part of the log files.
        public var logs: UInt64 = 0
        /// The database and its write-ahead log.
        public var database: UInt64 = 0
        public var search: UInt64 = 0
        /// Free space of the file system.
        public var free: UInt64 = 0
    }

    /// Free space of the file system; nil if that can't be told.
    public var freeBytes: UInt64? { try? disk.freeBytes(directory) }

    public func sizes() throws(StoreError) -> Sizes {
        var sizes = Sizes()
        do {
            sizes.logs = try withReader { try ArchiveRows.segmentBytes(on: $0.connection) }
            for suffix in ["", "-wal"] {
                sizes.database += try disk.information(Store.databasePath(directory) + suffix)?.size ?? 0
                sizes.search += try disk.information(StoreSearch.path(directory) + suffix)?.size ?? 0
            }
            sizes.free = try disk.freeBytes(directory)
        } catch {
            throw StoreError(error)
        }
        return sizes
    }

    /// Whether the next block of a conversation goes to a file without a dictionary.
    func hasFirstFile(_ identity: ConversationIdentity) throws -> Bool {
        try withReader { reader in
            let last = try ArchiveRows.lastSegment(of: identity.number, on: reader.connection)
            return last.map { !$0.isClosed && $0.dictionary == .none } ?? true
        }
    }

    /// Writes parts of a conversation's tail, at least one, behind its last block. They still have to be recorded.
    func write(
        _ parts: [OpenBlock], of identity: ConversationIdentity, effort: Block.Effort, with writer: ArchiveWriter
    ) throws -> WrittenBlocks {
        try withReader { reader in
            let last = try ArchiveRows.lastSegment(of: identity.number, on: reader.connection)
            return try writer.seal(
                parts, of: identity, last: last, effort: effort,
                earlierText: { try reader.textBefore(parts[0].records.firstSeq, of: identity) })
        }
    }
}
