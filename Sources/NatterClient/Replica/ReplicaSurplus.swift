internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
public import NatterModel
public import NatterSystem
internal import NatterWire

/// What lies aside of a conversation because the server does not have it any more: it was put back from a backup, or has lost
/// it otherwise. `diverged/<id>-<time>/`, with log files, a tail, and, once they have been looked through, `messages.ndjson`
/// for people: the messages that are not in the conversation as it is now.
public struct ReplicaSurplus: Sendable {
    /// A message that somebody may want to send again.
    public struct Lost: Sendable {
        public let text: String
        /// The same whichever of a user's machines offers it, so that it is sent once.
        public let id: String
        public let time: Timestamp
    }

    public let conversation: ConversationID
    /// Where it all lies.
    public let directory: String
    /// Whether it has been looked through.
    public let isListed: Bool
    private let disk: any Disk

    static let listName = "messages.ndjson"
    /// More than a file of ours can have.
    private static let maximumFileBytes = 64 << 20

    /// All that lies aside in a replica, oldest first.
    public static func all(
        at location: ReplicaLocation, disk: any Disk = PosixDisk()
    ) throws(ReplicaError) -> [ReplicaSurplus] {
        do throws(DiskError) {
            guard try disk.information(location.divergedDirectory)?.isDirectory == true else { return [] }
            var found: [ReplicaSurplus] = []
            for name in try disk.list(location.divergedDirectory) {
                let directory = location.divergedDirectory + "/" + name
                guard let id = ConversationID(hex: name.prefix(32)) else { continue }
                let isListed = try disk.information(directory + "/" + listName) != nil
                found.append(
                    ReplicaSurplus(conversation: id, directory: directory, isListed: isListed, disk: disk))
            }
            return found
        } catch {
            throw ReplicaError(error)
        }
    }

    private init(conversation: ConversationID, directory: String, isListed: Bool, disk: any Disk) {
        (self.conversation, self.directory, self.isListed, self.disk) = (conversation, directory, isListed, disk)
    }

    /// Finds what is not in the conversation as it is now, which must be synced to its head.
    ///
    /// A message is the same if sender, time and text are, whatever its number has become.
    ///
    /// - Parameter list: gets the messages that are nowhere else, in their order; then they are written to `messages.ndjson`.
    /// - Returns: how many there are, and which of them are the user's own.
    public func list(
        against replica: Replica, _ now: ReplicaConversation, own user: String,
        _ keep: ([Lost]) throws -> Void
    ) throws -> Int {
        var known: Set<Digest> = []
        try replica.forward(now, MessageFilter()) { piece in
            if case .messages(let run) = piece {
                for position in run.positions { known.insert(HashChain.digest(of: run.records[position])) }
            }
            return true
        }
        var lines: [UInt8] = []
        var count = 0
        var own: [Lost] = []
        var seen: Set<Digest> = []
        for record in try records() {
            let digest = HashChain.digest(of: record)
            guard !known.contains(digest), seen.insert(digest).inserted else { continue }
            count += 1
            let message = Message(
                conversation: now.name, conversationID: conversation, seq: record.seq,
                cursor: MessageCursor(conversation: conversation, seq: record.seq, hashPrefix: 0), time: record.time,
                sender: String(decoding: record.sender, as: UTF8.self),
                text: String(decoding: record.text, as: UTF8.self), kind: record.kind, about: record.about,
                isImported: record.isImported)
            lines += WireJSON.encode(ExportLine(message)) + [0x0A]
            if record.kind == .text, !record.isImported, message.sender == user {
                own.append(Lost(text: message.text, id: "lost-\(digest.description.prefix(32))", time: record.time))
            }
        }
        try keep(own)
        // Last, so that a process that is killed before begins again; what it had offered by then has the same ids.
        try disk.replaceContents(of: directory + "/" + ReplicaSurplus.listName, with: lines)
        return count
    }

    // MARK: Reading

    /// All that can be read of it, in the order of seqs.
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
            let header = try? Array(bytes[offset..<offset + BlockHeader.byteCount]).withUnsafeBytesTyped {
                bytes throws(FormatViolation) in try BlockHeader(decoding: bytes)
            }
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
