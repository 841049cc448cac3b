internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// What a process may do while it holds the replica's lock: the one connection that writes, and the log files.
///
/// Log files are written and synced first, then everything is recorded in one transaction. A crash between the two leaves
/// bytes that no row names; `recover` deals with them the next time.
final class ReplicaSession {
    /// How long to wait for another process; each holds the lock for a few megabytes' work at most.
    static let lockMilliseconds = 10_000
    /// Beyond this, what is in the WAL is moved into the database.
    private static let walBytes: UInt64 = 128 << 10

    let location: ReplicaLocation
    let disk: any Disk
    let clock: any WallClock
    let connection: Connection
    /// Reads what was recorded before this session.
    let replica: Replica
    let logs: ArchiveWriter
    /// The dictionaries of the answer that is being applied.
    var received = ReceivedDictionaries()
    private(set) var conversations: [ConversationID: WritableConversation] = [:]
    private var nextNumber: Int64?
    /// How many commits there were, by whatever process.
    private var commits: UInt64 = 0

    private init(_ location: ReplicaLocation, disk: any Disk, clock: any WallClock, epoch: Epoch) throws {
        (self.location, self.disk, self.clock) = (location, disk, clock)
        connection = try Connection(path: location.databasePath, role: .writer, disk: disk)
        connection.leaveWALOnClose()
        replica = Replica(location: location, disk: disk, connection: connection)
        logs = ArchiveWriter(
            directory: location.directory, store: location.store, epoch: epoch, disk: disk, clock: clock)
        try makeDurable()
        try ReplicaSchema.current.migrate(connection)
    }

    /// Has on the disk what the last process left, before anything is written behind it.
    private func makeDurable() throws {
        let version = try ReplicaSchema.current.check(connection)
        let isCurrent = version == ReplicaSchema.current.steps.count
        if version > 0 { commits = try ReplicaMeta.number(DurableCommit.key, on: connection) }
        if isCurrent, commits == DurableCommit.read(location, on: disk) { return }
        try Connection.makeLogDurable(of: location.databasePath, on: disk)
        // What brings the schema up to date is a commit without a number; and a note that can't be read is made anew.
        try DurableCommit.forget(location, on: disk)
        if isCurrent { DurableCommit.write(commits, location, on: disk) }
    }

    /// Takes the lock, runs `body` and lets the lock go; the session must not leave it.
    ///
    /// - Parameter timeoutMilliseconds: how long to wait for another process.
    /// - Throws: `ReplicaError.locked`; what `body` throws, as a `ReplicaError`.
    static func run<Result>(
        at location: ReplicaLocation, disk: any Disk, clock: any WallClock, epoch: Epoch = Epoch(rawValue: 0),
        timeoutMilliseconds: Int = lockMilliseconds, _ body: (ReplicaSession) throws -> Result
    ) throws(ReplicaError) -> Result {
        do {
            // Where the database is, its directory is; to make sure costs a sync.
            if try disk.information(location.databasePath) == nil { try disk.makeDirectories(location.directory) }
            guard let lock = try disk.lock(location.lockPath, timeoutMilliseconds: timeoutMilliseconds) else {
                throw ReplicaError.locked(path: location.lockPath)
            }
            // Closing the connection may checkpoint, so it has to come before the lock goes.
            defer { withExtendedLifetime(lock) {} }
            return try body(ReplicaSession(location, disk: disk, clock: clock, epoch: epoch))
        } catch {
            throw ReplicaError(error)
        }
    }

    // MARK: Conversations

    /// The conversation of that id; nil if the replica does not know it.
    func conversation(_ id: ConversationID) throws -> WritableConversation? {
        if let known = conversations[id] { return known }
        let found = try WritableConversation.find(id, on: connection)
        conversations[id] = found
        return found
    }

    /// The same, made if need be.
    func conversation(for line: SyncedConversation) throws -> WritableConversation {
        if let known = try conversation(line.id) { return known }
        // Numbers are never used twice: readers keep blocks by them.
        let number: Int64
        if let nextNumber {
            number = nextNumber
        } else {
            number = try ReplicaMeta.text("next_number", on: connection).flatMap { Int64($0) } ?? 1
        }
        nextNumber = number + 1
        let made = WritableConversation(new: number, line)
        conversations[line.id] = made
        return made
    }

    func forget(_ id: ConversationID) { conversations[id] = nil }

    // MARK: Recording

    /// Records everything in one transaction; `also` gets its part of it.
    func commit(_ also: () throws -> Void) throws {
        for conversation in conversations.values { try writeWaiting(conversation) }
        try connection.transaction { () throws -> Void in
            for conversation in conversations.values { try conversation.record(on: connection) }
            if let nextNumber { try ReplicaMeta.set("next_number", "\(nextNumber)", on: connection) }
            try ReplicaMeta.set(DurableCommit.key, "\(commits &+ 1)", on: connection)
            try also()
        }
        commits &+= 1
        DurableCommit.write(commits, location, on: disk)
        // A large one makes every opening slow; a failure only leaves it for the next time.
        let wal = try disk.information(location.databasePath + "-wal")
        if wal?.size ?? 0 > ReplicaSession.walBytes { try? connection.checkpoint(truncating: true) }
    }

    // MARK: Log files

    /// Looks at the end of the log files, once.
    func prepare(_ conversation: WritableConversation) throws {
        guard !conversation.isRecovered else { return }
        conversation.isRecovered = true
        if !conversation.isNew {
            conversation.lastSegment = try ArchiveRows.lastSegment(of: conversation.number, on: connection)
        }
        try ReplicaRecovery(session: self, conversation: conversation).run()
    }

    /// Writes the blocks that wait, several with the same dictionary in one go.
    ///
    /// - Parameter dictionary: finds the one of an id; only for blocks that wait.
    func writeWaiting(_ conversation: WritableConversation) throws {
        guard let first = conversation.waiting.first, let last = conversation.waiting.last else { return }
        let dictionary = conversation.waiting.lazy.map(\.header.dictionary).first { $0 != .none } ?? .none
        let target = try logs.target(
            for: conversation.identity(for: location.user), last: conversation.lastSegment,
            firstSeq: first.header.firstSeq, hashBefore: first.header.hashBefore,
            // What was packed without a dictionary can stand in any file.
            wanted: dictionary == .none ? nil : dictionary, dictionary: { try self.dictionary(dictionary) })
        let size = conversation.waiting.reduce(Int(clamping: target.row.size)) { $0 + $1.header.rawLength }
        let written = try logs.write(
            conversation.waiting, to: target, hashAfter: last.header.hashAfter,
            closing: target.row.dictionary == .none && size >= LogDictionary.maximumBytes)
        conversation.written.append(written)
        conversation.lastSegment = written.segment
        conversation.waiting = []
    }

    /// Packs the tail into blocks of the log.
    func sealTail(_ conversation: WritableConversation) throws {
        guard conversation.hasTail else { return }
        try writeWaiting(conversation)
        let identity = conversation.identity(for: location.user)
        guard let tail = try Tail(conversation, on: connection), tail.records.firstSeq == conversation.sealedSeq.next,
            tail.records.lastSeq == conversation.head
        else { throw TailDamage() }
        let blocks = try logs.seal(
            tail.records, of: identity, last: conversation.lastSegment, hashBefore: tail.hashBefore, effort: .brisk,
            earlierText: { try replica.archive.textBefore(tail.records.firstSeq, of: identity) })
        guard blocks.hashAfter == conversation.headHash ?? blocks.hashAfter else { throw TailDamage() }
        conversation.written.append(blocks)
        conversation.lastSegment = blocks.segment
        conversation.dropsStoredTail = true
        conversation.newTail = []
        conversation.tailBytes = 0
        (conversation.sealedSeq, conversation.sealedHash) = (conversation.head, blocks.hashAfter)
    }

    /// Finds a dictionary that came with this answer, or with an earlier one.
    private func dictionary(_ id: DictionaryID) throws -> LogDictionary {
        if id == .none { return .none }
        if let found = try received[id] ?? ArchiveRows.dictionary(id, on: connection) { return found }
        throw FormatViolation("a block's dictionary is missing")
    }

    /// The messages of a block that has just come.
    func open(_ block: Block) throws -> Records { try block.open(with: dictionary(block.header.dictionary)) }

    /// The messages that are in no log file yet, in one piece.
    struct Tail {
        let records: Records
        let hashBefore: Digest

        /// - Returns: nil if there are none.
        /// - Throws: `TailDamage` where they can't be read, or don't follow each other.
        init?(_ conversation: WritableConversation, on connection: Connection) throws {
            var joined: OpenBlock?
            var seq = conversation.sealedSeq.next
            var records = Records(firstSeq: seq)
            for row in try conversation.tailRows(on: connection) {
                guard let block = try? row.open(conversation: conversation.id), block.records.firstSeq == seq else {
                    throw TailDamage()
                }
                if joined == nil { joined = block }
                records.append(contentsOf: block.records)
                seq = records.lastSeq.next
            }
            guard let joined else { return nil }
            self.records = records
            hashBefore = joined.hashBefore
        }
    }
}

/// The tail in the database can't be read: it has to be fetched again.
struct TailDamage: Error {}
