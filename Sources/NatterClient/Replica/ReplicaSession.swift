internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog
internal import NatterSQLite

/// The work of a process while it holds the replica's lock. It has the only connection that writes, and appends to
/// log files.
///
/// Log files are written and synced first, then everything is recorded in one transaction. A crash in between leaves bytes
/// that no row names; `ReplicaRecovery` handles them in the next session.
final class ReplicaSession {
    /// How long to wait for another process. Each holds the lock only for a few megabytes of work.
    static let lockMilliseconds = 10_000
    /// A larger write-ahead log is checkpointed, because it makes each opening slow.
    private static let walBytes: UInt64 = 128 << 10

    let location: ReplicaLocation
    let disk: any Disk
    let clock: any WallClock
    let connection: Connection
    /// Reads what was recorded before this session.
    let replica: Replica
    let logs: ArchiveWriter
    /// The dictionaries of the answer that is being recorded.
    var received = ReceivedDictionaries()
    private(set) var conversations: [ConversationID: ConversationChange] = [:]
    private var nextNumber: Int64?
    /// The key of `ReplicaMeta` for the number of commits made by all processes.
    static let commitsKey = "commits"
    private(set) var commits: UInt64 = 0

    private init(_ location: ReplicaLocation, disk: any Disk, clock: any WallClock, epoch: Epoch) throws {
        (self.location, self.disk, self.clock) = (location, disk, clock)
        connection = try Connection(path: location.databasePath, role: .writer, disk: disk)
        connection.leaveWALOnClose()
        try ReplicaSchema.current.migrate(connection)
        replica = try Replica(location: location, disk: disk, connection: connection)
        logs = ArchiveWriter(
            directory: location.directory, store: location.store, epoch: epoch, disk: disk, clock: clock,
            isRetired: { [connection] in try RetiredFiles.has($0, on: connection) })
        commits = try ReplicaMeta.number(ReplicaSession.commitsKey, on: connection)
        if commits == 0 { try ReplicaRebuild(session: self).run() }
        try removeRetiredFiles()
    }

    /// Takes the lock, runs `body` and releases the lock. The session must not escape from `body`.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: how long to wait for another process.
    /// - Throws: `ReplicaError.locked`; errors of `body` as a `ReplicaError`.
    static func run<Result>(
        at location: ReplicaLocation, disk: any Disk = PosixDisk(), clock: any WallClock = SystemClock(),
        epoch: Epoch = Epoch(rawValue: 0), timeoutMilliseconds: Int = lockMilliseconds,
        _ body: (ReplicaSession) throws -> Result
    ) throws(ReplicaError) -> Result {
        try ReplicaError.translate {
            // If the database exists, so does its directory. Checking the directory would cost a sync.
            if try disk.information(location.databasePath) == nil {
                try disk.makeDirectories(location.directory)
                if disk is PosixDisk { location.removeRemains() }
            }
            guard let lock = try disk.lock(location.lockPath, timeoutMilliseconds: timeoutMilliseconds) else {
                throw ReplicaError.locked(path: location.lockPath)
            }
            // Closing the connection may checkpoint, so it must happen before the lock is released.
            defer { withExtendedLifetime(lock) {} }
            return try body(ReplicaSession(location, disk: disk, clock: clock, epoch: epoch))
        }
    }

    // MARK: Conversations

    /// The conversation with this id; nil if the replica does not know it.
    func conversation(_ id: ConversationID) throws -> ConversationChange? {
        if let known = conversations[id] { return known }
        let found = try ConversationChange.find(id, on: connection)
        conversations[id] = found
        return found
    }

    /// The conversation of a line, new if the replica does not know it.
    func conversation(for line: SyncedConversation) throws -> ConversationChange {
        try conversation(line.id) ?? add(line.id, line.kind, line.name)
    }

    /// Adds a conversation that the replica does not know.
    func add(_ id: ConversationID, _ kind: ConversationKind, _ name: String) throws -> ConversationChange {
        // A number is never used twice: readers cache blocks by it.
        let number = try nextNumber ?? ReplicaMeta.text("next_number", on: connection).flatMap { Int64($0) } ?? 1
        nextNumber = number + 1
        let made = ConversationChange(new: number, id, kind, name)
        conversations[id] = made
        return made
    }

    func forget(_ id: ConversationID) { conversations[id] = nil }

    // MARK: Recording

    /// Records all changes in one transaction, together with what `also` writes.
    ///
    /// - Parameter erased: the numbers of conversations to remove. New ones may have their ids.
    func commit(erasing erased: [Int64] = [], _ also: () throws -> Void) throws {
        for conversation in conversations.values { try writeWaiting(conversation) }
        let changesGroups = try conversations.values.contains { $0.changesGroups } || isLackingGroupNames()
        if changesGroups { try GroupNames.forget(location, on: disk) }
        try connection.transaction { () throws -> Void in
            for number in erased { try ConversationChange.erase(number, on: connection) }
            for conversation in conversations.values { try conversation.record(on: connection) }
            if let nextNumber { try ReplicaMeta.set("next_number", "\(nextNumber)", on: connection) }
            try ReplicaMeta.set(ReplicaSession.commitsKey, "\(commits &+ 1)", on: connection)
            try also()
        }
        commits &+= 1
        for conversation in conversations.values { conversation.didRecord() }
        if changesGroups { GroupNames.write(try replica.groupNames(), location, on: disk) }
        // If the checkpoint fails, the next session tries again.
        let wal = try disk.information(location.databasePath + "-wal")
        if wal?.size ?? 0 > ReplicaSession.walBytes { try? connection.checkpoint(.truncating) }
    }

    private func isLackingGroupNames() throws -> Bool { try disk.information(location.groupNamesPath) == nil }

    // MARK: Log files

    /// Removes log files that are not needed any more.
    private func removeRetiredFiles() throws {
        let paths = try RetiredFiles.all(on: connection)
        guard !paths.isEmpty else { return }
        for path in paths { try RetiredFiles(directory: location.directory, disk: disk).wipe(path) }
        if paths.contains(Path.name(of: location.searchPath)) { try ReplicaIndexing.discard(at: location, disk: disk) }
        // The write-ahead log holds pages with rows that are gone, and the file may hold these rows. If that fails, the next
        // session does it. If another process reads them, a later sync truncates the log.
        try connection.checkpoint(.truncating)
        try commit { for path in paths { try RetiredFiles.delete(path, on: connection) } }
    }

    /// Writes segments of a conversation again, records that together with what `also` writes, and removes the old files. The
    /// search index, which has words of what goes, is made again.
    func rewrite(
        _ conversation: ConversationChange, _ plan: RewritePlan, _ rewriter: SegmentRewriter,
        _ also: () throws -> Void = {}
    ) throws {
        let index = [location.searchPath, location.searchPath + "-wal"].map { Path.name(of: $0) }
        try commit { for path in plan.paths + index { try RetiredFiles.insert(path, on: connection) } }
        conversation.written += try rewriter.write(plan)
        try commit(also)
        conversation.lastSegment = try ArchiveRows.lastSegment(of: conversation.number, on: connection)
        replica.archive.forget(conversation.number)
        try removeRetiredFiles()
    }

    /// Recovers the end of the log files, once in each session.
    func prepare(_ conversation: ConversationChange) throws {
        guard !conversation.isRecovered else { return }
        conversation.isRecovered = true
        if !conversation.isNew {
            conversation.lastSegment = try ArchiveRows.lastSegment(of: conversation.number, on: connection)
        }
        try ReplicaRecovery(session: self, conversation: conversation).run()
    }

    /// Writes the waiting blocks. They share one dictionary, except blocks without a dictionary, which fit into every
    /// file.
    func writeWaiting(_ conversation: ConversationChange) throws {
        guard let first = conversation.waiting.first, let last = conversation.waiting.last else { return }
        let dictionary = conversation.waiting.lazy.map(\.header.dictionary).first { $0 != .none } ?? .none
        let target = try logs.target(
            for: conversation.identity(for: location.user), last: conversation.lastSegment,
            firstSeq: first.header.firstSeq, hashBefore: first.header.hashBefore,
            wanted: dictionary == .none ? nil : dictionary, dictionary: { try self.dictionary(dictionary) })
        let size = conversation.waiting.reduce(Int(clamping: target.row.size)) { $0 + $1.header.rawLength }
        conversation.add(
            try logs.write(
                conversation.waiting, to: target, hashAfter: last.header.hashAfter,
                closing: target.row.dictionary == .none && size >= LogDictionary.maximumBytes))
        conversation.waiting = []
    }

    /// Seals the tail into blocks of the log.
    ///
    /// - Parameter seq: a message of the tail with which a block must begin; nil for none.
    func sealTail(_ conversation: ConversationChange, splittingBefore seq: Seq? = nil) throws {
        guard conversation.hasTail else { return }
        try writeWaiting(conversation)
        let identity = conversation.identity(for: location.user)
        guard let tail = try Tail(conversation, on: connection), tail.records.firstSeq == conversation.sealedSeq.next,
            tail.records.lastSeq == conversation.head
        else { throw TailDamage() }
        var parts = [OpenBlock(records: tail.records, hashBefore: tail.hashBefore)]
        if let seq, seq > tail.records.firstSeq, seq <= tail.records.lastSeq {
            let count = seq.distance(after: tail.records.firstSeq)
            let low = OpenBlock(records: tail.records.slice(0..<count), hashBefore: tail.hashBefore)
            let high = tail.records.slice(count..<tail.records.count)
            parts = [low, OpenBlock(records: high, hashBefore: low.hash(after: count - 1))]
        }
        let blocks = try logs.seal(
            parts, of: identity, last: conversation.lastSegment, effort: .brisk,
            earlierText: { try replica.archive.textBefore(tail.records.firstSeq, of: identity) })
        guard blocks.hashAfter == conversation.headHash ?? blocks.hashAfter else { throw TailDamage() }
        conversation.add(blocks)
        conversation.dropTail()
        (conversation.sealedSeq, conversation.sealedHash) = (conversation.head, blocks.hashAfter)
    }

    /// Finds a dictionary that was received with this answer or an earlier one.
    private func dictionary(_ id: DictionaryID) throws -> LogDictionary {
        if id == .none { return .none }
        if let found = try received[id] ?? ArchiveRows.dictionary(id, on: connection) { return found }
        throw FormatViolation("a block's dictionary is missing")
    }

    /// The messages of a block that was just received.
    func open(_ block: Block) throws -> Records { try block.open(with: dictionary(block.header.dictionary)) }

    /// The unsealed messages, joined.
    struct Tail {
        let records: Records
        let hashBefore: Digest

        /// - Returns: nil if there are none.
        /// - Throws: `TailDamage` if they can't be read or are not consecutive.
        init?(_ conversation: ConversationChange, on connection: Connection) throws {
            var hashBefore: Digest?
            var seq = conversation.sealedSeq.next
            var records = Records(firstSeq: seq)
            for row in try conversation.tailRows(on: connection) {
                guard let block = try? row.open(conversation: conversation.id), block.records.firstSeq == seq else {
                    throw TailDamage()
                }
                hashBefore = hashBefore ?? block.hashBefore
                records.append(contentsOf: block.records)
                seq = records.lastSeq.next
            }
            guard let hashBefore else { return nil }
            // The server tells commits in blocks of its log alone, so they would not rise.
            records.hideCommits()
            (self.records, self.hashBefore) = (records, hashBefore)
        }
    }
}

/// The tail in the database can't be read and must be fetched again.
struct TailDamage: Error {}
