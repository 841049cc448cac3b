internal import NatterArchive
internal import NatterLog
internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// Makes a replica's database anew after damage, with everything that no server would send again.
///
/// A damaged database moves to `rebuild/` first. A session that finds commits missing takes from there the rows that can
/// be read, and from the log files all messages that no row names. What the user still belongs to comes with the next
/// sync; the rest stays as it was. A kill at any point leaves files from which the next session begins again.
struct ReplicaRebuild {
    private static let tables = ["conversation", "tail", "user"]

    let session: ReplicaSession
    private var location: ReplicaLocation { session.location }
    private var disk: any Disk { session.disk }

    init(session: ReplicaSession) { self.session = session }

    private static func database(_ location: ReplicaLocation) -> String {
        location.rebuildDirectory + "/" + Path.name(of: location.databasePath)
    }

    /// Whether a damaged database waits to be read.
    static func isWaiting(at location: ReplicaLocation, _ disk: any Disk) throws(DiskError) -> Bool {
        try disk.information(database(location)) != nil
    }

    /// Moves a damaged database to `rebuild/`, unless another process was faster.
    ///
    /// - Parameter isCertain: whether it is damaged although its pages are whole.
    static func begin(
        at location: ReplicaLocation, isCertain: Bool, disk: any Disk, clock: any WallClock
    ) throws {
        guard let lock = try disk.lock(location.lockPath, timeoutMilliseconds: ReplicaSession.lockMilliseconds) else {
            throw ReplicaError.locked(path: location.lockPath)
        }
        defer { withExtendedLifetime(lock) {} }
        guard try isCertain || isDamaged(location, disk) else { return }
        // Until the new one is complete, no command takes it for everything.
        DurableCommit.distrust(location, on: disk)
        let log = location.databasePath + "-wal"
        let logBytes = try disk.information(log)?.size ?? 0
        // What an earlier process has left is of another database, unless it was killed after it had moved the log.
        if try isWaiting(at: location, disk) || disk.information(database(location) + "-wal") != nil && logBytes > 0 {
            _ = try quarantine(location, disk, clock)
        }
        try disk.makeDirectories(location.rebuildDirectory)
        if logBytes > 0 { try disk.rename(log, to: database(location) + "-wal") }
        try disk.syncDirectory(location.rebuildDirectory)
        try disk.rename(location.databasePath, to: database(location))
        try disk.removeLog(of: location.databasePath)
        try disk.syncDirectory(location.rebuildDirectory)
        try disk.syncDirectory(location.directory)
    }

    private static func isDamaged(_ location: ReplicaLocation, _ disk: any Disk) throws -> Bool {
        guard try disk.information(location.databasePath) != nil else { return false }
        do throws(SQLiteError) {
            try Connection(path: location.databasePath, role: .reader, disk: disk).checkIntegrity()
            return false
        } catch {
            guard error.reason == .corrupt else { throw error }
            return true
        }
    }

    private static func quarantine(
        _ location: ReplicaLocation, _ disk: any Disk, _ clock: any WallClock
    ) throws(DiskError) -> String {
        let directory = Quarantine(root: location.directory, disk: disk).directory
        try disk.makeDirectories(directory)
        let target = try disk.freePath("replica-\(clock.now().milliseconds).db", in: directory)
        for end in ["", "-wal"] where try disk.information(database(location) + end) != nil {
            try disk.rename(database(location) + end, to: target + end)
        }
        for name in try disk.list(location.rebuildDirectory) { try disk.remove(location.rebuildDirectory + "/" + name) }
        try disk.syncDirectory(directory)
        try disk.syncDirectory(location.rebuildDirectory)
        return target
    }

    /// Removes damaged databases that were set aside, because they may hold an erased text.
    static func wipe(at location: ReplicaLocation, _ disk: any Disk) throws(DiskError) {
        let directory = Quarantine(root: location.directory, disk: disk).directory
        guard try disk.information(directory) != nil else { return }
        for name in try disk.list(directory) where name.hasPrefix("replica") {
            try RetiredFiles(directory: directory, disk: disk).wipe(name)
        }
    }

    // MARK: - In a session

    /// Completes a database that lacks commits, and commits.
    func run() throws {
        try session.connection.checkIntegrity()
        let isNew = try session.commits == 0 && ReplicaRebuild.isWaiting(at: location, disk)
        if isNew {
            try salvage()
            for id in try knownConversations() {
                guard let conversation = try session.conversation(id) else { continue }
                try takeMessages(of: conversation)
                conversation.didReport()
            }
        } else {
            try keepLog()
        }
        for id in try conversationsWithLogs() where try session.conversation(id) == nil { try addUnnamed(id) }
        try session.commit {}
        if isNew { session.setAside = try ReplicaRebuild.quarantine(location, disk, session.clock) }
    }

    /// Keeps a copy of a log of which SQLite reads only the beginning. Nobody sends again what it had of a conversation
    /// that the user has left.
    private func keepLog() throws {
        let log = location.databasePath + "-wal"
        guard try disk.information(log)?.size ?? 0 > 0, try WALScan.damage(of: disk.open(log, .read)) != nil else {
            return
        }
        session.setAside = try Quarantine(root: location.directory, disk: disk).copy(log)
    }

    /// Copies the rows that can be read. What the server tells, such as read marks and users, is only a beginning.
    private func salvage() throws {
        let path = ReplicaRebuild.database(location)
        let target = session.connection
        do {
            let source = try Connection(path: path, role: .reader, disk: disk)
            // Otherwise SQLite refuses all of a file that is shorter than its header says.
            try source.execute("PRAGMA writable_schema=ON")
            try target.transaction {
                for table in ReplicaRebuild.tables {
                    _ = try TableSalvage.copy(table, from: source, to: target)
                }
                for key in ["earliest", ReplicaUsers.timeKey] {
                    guard let value = try? ReplicaMeta.text(key, on: source) else { continue }
                    try ReplicaMeta.set(key, value, on: target)
                }
                try target.execute(
                    """
                    UPDATE conversation SET gap_count=0;
                    INSERT OR REPLACE INTO meta
                    SELECT 'next_number', CAST(1+max(number) AS TEXT) FROM conversation HAVING count(*)>0;
                    """)
            }
        } catch let error as SQLiteError where error.path == path && error.reason != .newerSchema {
            // Then the log files have all that is left.
        }
    }

    private func knownConversations() throws -> [ConversationID] {
        try session.connection.rows("SELECT id FROM conversation ORDER BY number") { ConversationID(bytes: $0.blob(0)) }
            .compactMap(\.self)
    }

    private func conversationsWithLogs() throws -> [ConversationID] {
        let logs = location.directory + "/logs"
        guard try disk.information(logs)?.isDirectory == true else { return [] }
        return try disk.list(logs).flatMap { part in
            guard try disk.information(logs + "/" + part)?.isDirectory == true else { return [ConversationID]() }
            return try disk.list(logs + "/" + part).compactMap { ConversationID(hex: $0) }
        }
    }

    /// Adds a conversation that only its log files name. It counts as missing until the server names it.
    private func addUnnamed(_ id: ConversationID) throws {
        guard let header = try files(of: id).first?.header, let name = name(of: header) else { return }
        let conversation = try session.add(id, header.kind, name)
        conversation.gone = PortionWriter.missing
        conversation.first = header.firstSeq
        try takeMessages(of: conversation)
        // No message could be read. What the files have is in quarantine now.
        if conversation.head < conversation.first { session.forget(id) }
    }

    private func name(of header: SegmentHeader) -> String? {
        guard header.kind == .personal else { return header.name.isEmpty ? nil : header.name }
        return (header.users.first { $0 != location.user } ?? header.users.first).map { "@" + $0 }
    }

    // MARK: - Messages

    private struct File {
        let generation: Int
        let header: SegmentHeader
    }

    /// The readable log files of a conversation in order. Of several with the same first message the newest comes first.
    private func files(of id: ConversationID) throws -> [File] {
        let directory = location.directory + "/" + Segment.directory(of: id)
        guard try disk.information(directory)?.isDirectory == true else { return [] }
        var files: [File] = []
        for name in try disk.list(directory) {
            guard let segment = try? Segment.open(at: directory + "/" + name, on: disk),
                segment.header.store == location.store, segment.header.conversation == id,
                let generation = segment.header.generation(ofName: Segment.directory(of: id) + "/" + name)
            else { continue }
            files.append(File(generation: generation, header: segment.header))
        }
        return files.sorted { ($0.header.firstSeq, $1.generation) < ($1.header.firstSeq, $0.generation) }
    }

    /// Takes the messages of a conversation from its log files, and those of its tail that follow them.
    private func takeMessages(of conversation: ConversationChange) throws {
        let tail = try TailRow.all(of: conversation.number, on: session.connection)
        let start = conversation.first.previous
        conversation.dropTail()
        conversation.isRecovered = true
        (conversation.head, conversation.sealedSeq) = (start, start)
        conversation.headHash = start == .zero ? HashChain.start(of: conversation.id) : nil
        conversation.sealedHash = conversation.headHash
        for file in try files(of: conversation.id) where file.header.firstSeq > conversation.sealedSeq {
            if file.header.firstSeq > conversation.head.next { miss(before: file.header.firstSeq, in: conversation) }
            try ReplicaRecovery(session: session, conversation: conversation).run(from: file.generation)
        }
        for row in tail {
            guard let block = try? row.open(conversation: conversation.id) else { continue }
            if block.records.firstSeq > conversation.head.next, !conversation.hasTail {
                miss(before: block.records.firstSeq, in: conversation)
            }
            guard block.records.firstSeq == conversation.head.next,
                conversation.headHash == nil || conversation.headHash == block.hashBefore
            else { continue }
            conversation.newTail.append(row)
            conversation.tailBytes += (try? BlockHeader(decoding: row.data))?.rawLength ?? row.data.count
            conversation.newRelations += Relation.all(of: block.records)
            conversation.advance(
                to: block.records.lastSeq, hash: HashChain.advance(block.hashBefore, over: block.records),
                highTime: row.highTime, isSealed: false)
        }
    }

    /// Notes messages as missing that neither a log file nor the tail has. Each sync asks for them.
    private func miss(before seq: Seq, in conversation: ConversationChange) {
        if conversation.head == .zero, conversation.isNew {
            conversation.first = seq
        } else {
            conversation.newGaps.append(conversation.head.next...seq.previous)
        }
        conversation.skip(to: seq.previous)
        conversation.closeLastSegment()
    }
}
