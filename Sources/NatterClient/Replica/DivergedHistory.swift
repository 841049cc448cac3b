internal import NatterConversation
public import NatterSystem
internal import NatterLog
public import NatterModel
internal import NatterProtocol

/// A history of a conversation that the server no longer has, for example because it was restored from a backup. The replica keeps
/// it in `diverged/<id>-<time>/`: log files, a tail and, once compared,
/// `messages.ndjson`. That file lists the messages that are not in the present conversation.
public struct DivergedHistory: Sendable {
    /// A message that the user may want to send again.
    public struct Lost: Sendable {
        public let text: String
        /// All machines of the user have the same id, so that the message is sent once.
        public let id: String
        /// The message that it answers, if the server still has that.
        public let about: Seq?
    }

    public let conversation: ConversationID
    /// The directory with the log files and the tail.
    public let directory: String
    /// Whether the messages were already compared and listed.
    public let isListed: Bool
    private let disk: any Disk

    static let listName = "messages.ndjson"
    /// No file of a replica is larger.
    private static let maximumFileBytes = 64 << 20

    /// All of a replica, oldest first.
    public static func all(
        at location: ReplicaLocation, disk: any Disk = PosixDisk()
    ) throws(ReplicaError) -> [DivergedHistory] {
        do throws(DiskError) {
            guard try disk.information(location.divergedDirectory)?.isDirectory == true else { return [] }
            var found: [DivergedHistory] = []
            for name in try disk.list(location.divergedDirectory) {
                let directory = location.divergedDirectory + "/" + name
                guard let id = ConversationID(hex: name.prefix(32)) else { continue }
                let isListed = try disk.information(directory + "/" + listName) != nil
                found.append(
                    DivergedHistory(conversation: id, directory: directory, isListed: isListed, disk: disk))
            }
            return found
        } catch {
            throw ReplicaError(error)
        }
    }

    private init(conversation: ConversationID, directory: String, isListed: Bool, disk: any Disk) {
        (self.conversation, self.directory, self.isListed, self.disk) = (conversation, directory, isListed, disk)
    }

    /// Finds the messages that are not in the present conversation, which must be synced up to its head.
    ///
    /// Two messages are the same if sender, time and text are equal, even if their numbers differ. One that the server has
    /// erased has only its H left to compare, and its edits are erased, too. A lost message has its newest text, and none if it
    /// was deleted. A message before the first one of the conversation is not lost: the server has dropped it by its age.
    ///
    /// - Parameter keep: gets the user's own messages that are lost, in order. Afterwards all that are not in the conversation
    ///   are written to `messages.ndjson`.
    /// - Returns: how many messages there are, and how many of them are the user's own edits and deletions of other ones. Those
    ///   are not offered: what stands under their numbers now may be another message, or newer than they are.
    public func list(
        against replica: Replica, _ now: ReplicaConversation, own user: String,
        _ keep: ([Lost]) throws -> Void
    ) throws -> (count: Int, ownChanges: Int) {
        var known: Set<Digest> = []
        var erased: Set<Digest> = []
        try replica.forward(now, MessageFilter()) { piece in
            guard case .messages(let run) = piece else { return true }
            for position in run.positions {
                let record = run.records[position]
                known.insert(HashChain.content(of: record))
                if record.isErased { erased.insert(HashChain.digest(of: record)) }
            }
            return true
        }
        let records = try records()
        let changes = Changes(records)
        var lines: [UInt8] = []
        var (count, ownChanges) = (0, 0)
        var own: [Lost] = []
        var firstLost: Seq?
        var seen: Set<Digest> = []
        var listed: Set<Seq> = []
        var gone: Set<Seq> = []
        for record in records {
            let isEditOfGone = record.kind == .edit && record.about.map { gone.contains($0) } == true
            if isEditOfGone || !erased.isEmpty && erased.contains(HashChain.digest(of: record)) {
                gone.insert(record.seq)
                continue
            }
            let digest = HashChain.content(of: record)
            guard !known.contains(digest), seen.insert(digest).inserted else { continue }
            let isLost = record.seq >= now.first
            // From here on, a number stands for another message now.
            if isLost { firstLost = firstLost ?? record.seq }
            // The line of the original shows what it changed.
            if record.kind.isChange, let about = record.about, listed.contains(about) { continue }
            count += 1
            listed.insert(record.seq)
            let message = changes.applied(to: record, of: now, conversation)
            lines += WireJSON.encode(ExportLine(message)) + [0x0A]
            guard let firstLost, isLost, !record.isImported, message.sender == user else { continue }
            if record.kind.isChange { ownChanges += 1 }
            if record.kind == .text, !message.isDeleted {
                own.append(
                    Lost(
                        text: message.text, id: "lost-\(digest.description.prefix(32))",
                        about: record.about.flatMap { (now.first..<firstLost).contains($0) ? $0 : nil }))
            }
        }
        try keep(own)
        // Written last, so that after a kill the next run starts again. The messages offered before have the same
        // ids.
        try disk.replaceContents(of: directory + "/" + DivergedHistory.listName, with: lines)
        if !gone.isEmpty { try wipe() }
        return (count, ownChanges)
    }

    /// Removes the log files and the tail, because they hold a text that the server has erased. The list has what exists
    /// nowhere else.
    func wipe() throws(DiskError) {
        let files = RetiredFiles(directory: directory, disk: disk)
        let logs = directory + "/logs"
        if try disk.information(logs) != nil {
            for name in try disk.list(logs) { try files.wipe("logs/" + name) }
        }
        try files.wipe("tail.blocks")
    }

    // MARK: Reading

    /// How edits and deletions have changed the messages of the history.
    private struct Changes {
        private var edits: [Seq: Record] = [:]
        private var deleted: Set<Seq> = []

        init(_ records: [Record]) {
            for record in records {
                guard let about = record.about else { continue }
                if record.kind == .delete { deleted.insert(about) }
                if record.kind == .edit, !record.isErased { edits[about] = record }
            }
        }

        func applied(to record: Record, of now: ReplicaConversation, _ id: ConversationID) -> Message {
            let isDeleted = deleted.contains(record.kind == .edit ? record.about ?? record.seq : record.seq)
            let text = isDeleted ? [] : (edits[record.seq] ?? record).text
            var message = Message(
                conversation: now.name, conversationID: id, seq: record.seq,
                cursor: MessageCursor(conversation: id, seq: record.seq, hashPrefix: 0), time: record.time,
                sender: String(decoding: record.sender, as: UTF8.self), text: String(decoding: text, as: UTF8.self),
                kind: record.kind, about: record.about, isImported: record.isImported, isErased: record.isErased)
            message.isDeleted = isDeleted
            return message
        }
    }

    /// All readable messages in the order of their seqs.
    private func records() throws -> [Record] {
        var found: [Record] = []
        let logs = directory + "/logs"
        if try disk.information(logs)?.isDirectory == true {
            for name in try disk.list(logs) {
                let path = logs + "/" + name
                let contents = SegmentContents(try disk.contents(of: path, limit: Self.maximumFileBytes), path: path)
                for place in contents.blocks {
                    guard let dictionary = contents.dictionary,
                        let records = try? contents.block(place).verify(with: dictionary)
                    else { continue }
                    for index in 0..<records.count { found.append(records[index]) }
                }
            }
        }
        let tail = directory + "/tail.blocks"
        if try disk.information(tail) != nil {
            found += tailRecords(try disk.contents(of: tail, limit: Self.maximumFileBytes))
        }
        return found.sorted { $0.seq < $1.seq }
    }

    private func tailRecords(_ bytes: [UInt8]) -> [Record] {
        var found: [Record] = []
        var offset = 0
        while offset + BlockHeader.byteCount <= bytes.count {
            let header = try? BlockHeader(decoding: Array(bytes[offset..<offset + BlockHeader.byteCount]))
            guard let header, offset + header.totalLength <= bytes.count else { break }
            let stored = Array(bytes[offset + BlockHeader.byteCount..<offset + header.totalLength])
            if let records = try? Block(header: header, stored: stored).open(with: .none) {
                for index in 0..<records.count { found.append(records[index]) }
            }
            offset += header.totalLength
        }
        return found
    }
}
