internal import NatterConversation
internal import NatterLog
internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// Makes a replica's database anew from its log files, if SQLite calls it corrupt or it is gone. The next sync brings the rest.
///
/// A damaged database moves to `quarantine/` first. A session that finds a new one takes from the log files all messages that
/// no row names.
struct ReplicaRebuild {
    let session: ReplicaSession
    private var location: ReplicaLocation { session.location }
    private var disk: any Disk { session.disk }

    init(session: ReplicaSession) { self.session = session }

    /// Moves a damaged database to `quarantine/`, unless another process was faster.
    ///
    /// - Returns: where it is now; nil if it is not damaged any more.
    static func begin(at location: ReplicaLocation, disk: any Disk, clock: any WallClock) throws -> String? {
        guard let lock = try disk.lock(location.lockPath, timeoutMilliseconds: ReplicaSession.lockMilliseconds) else {
            throw ReplicaError.locked(path: location.lockPath)
        }
        defer { withExtendedLifetime(lock) {} }
        guard try isDamaged(location, disk) else { return nil }
        let directory = Quarantine(root: location.directory, disk: disk).directory
        try disk.makeDirectories(directory)
        let target = try disk.freePath("replica-\(clock.now().milliseconds).db", in: directory)
        // The database goes first, because without its write-ahead log it lacks commits.
        for end in ["", "-wal"] where try disk.information(location.databasePath + end) != nil {
            try disk.rename(location.databasePath + end, to: target + end)
        }
        try disk.removeLog(of: location.databasePath)
        try disk.syncDirectory(directory)
        try disk.syncDirectory(location.directory)
        return target
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

    /// Removes damaged databases that were set aside, because they may hold an erased text.
    static func wipe(at location: ReplicaLocation, _ disk: any Disk) throws(DiskError) {
        let directory = Quarantine(root: location.directory, disk: disk).directory
        guard try disk.information(directory) != nil else { return }
        for name in try disk.list(directory) where name.hasPrefix("replica") {
            try RetiredFiles(directory: directory, disk: disk).wipe(name)
        }
    }

    // MARK: - In a session

    /// Records what the log files of a database without commits hold, if there are any.
    func run() throws {
        let found = try conversationsWithLogs()
        guard !found.isEmpty else { return }
        for id in found where try session.conversation(id) == nil { try addUnnamed(id) }
        try session.commit {}
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
        // No message could be read. The content of the files is in quarantine now.
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

    /// The readable log files of a conversation in order. If several have the same first message, the newest comes first.
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

    /// Takes the messages of a conversation from its log files.
    private func takeMessages(of conversation: ConversationChange) throws {
        let start = conversation.first.previous
        conversation.isRecovered = true
        (conversation.head, conversation.sealedSeq) = (start, start)
        conversation.headHash = start == .zero ? HashChain.start(of: conversation.id) : nil
        conversation.sealedHash = conversation.headHash
        for file in try files(of: conversation.id) where file.header.firstSeq > conversation.sealedSeq {
            if file.header.firstSeq > conversation.head.next { miss(before: file.header.firstSeq, in: conversation) }
            try ReplicaRecovery(session: session, conversation: conversation).run(from: file.generation)
        }
    }

    /// Notes messages as missing that no log file has. Each sync asks for them.
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
