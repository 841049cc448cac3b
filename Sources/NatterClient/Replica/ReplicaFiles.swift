internal import NatterConversation
internal import NatterLog
public import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// Files of messages that the replica keeps, so that they can be read without the server. A row says which message each belongs
/// to, and is there before its file: when the message goes, the file goes.
extension Replica {
    /// A file that a message of the replica names.
    public struct MessageFile: Sendable {
        public let conversation: ReplicaConversation
        public let seq: Seq
        public let record: FileRecord

        public init(conversation: ReplicaConversation, seq: Seq, record: FileRecord) {
            (self.conversation, self.seq, self.record) = (conversation, seq, record)
        }
    }

    /// The files of a conversation's messages, oldest first, each with the number of the message that people see.
    ///
    /// - Parameter since: only those of messages from this time on.
    public func files(of conversation: ReplicaConversation, since: Timestamp?) throws -> [MessageFile] {
        var filter = MessageFilter()
        filter.since = since
        var found: [MessageFile] = []
        try forward(conversation, filter) { piece in
            guard case .messages(let run) = piece else { return true }
            for message in try changed(run, folds: true) ?? [] where message.kind == .text {
                found += message.files.map {
                    MessageFile(conversation: conversation, seq: message.seq, record: $0)
                }
            }
            return true
        }
        return found
    }

    /// The path of a file of the replica, whether it is there or not.
    public func path(of record: FileRecord) -> String { path(of: record.id) }

    private func path(of id: FileID) -> String { location.directory + "/" + BlobPath.of(id) }

    public func hasBytes(of record: FileRecord) -> Bool { has(record.id, size: record.size) }

    private func has(_ id: FileID, size: UInt64) -> Bool { (try? disk.information(path(of: id)))?.size == size }

    /// The files up to a size that messages name and the replica does not have.
    public func lackingFiles(upTo size: UInt64) throws -> [MessageFile] {
        do {
            let known = try FileRows.wanted(on: connection).filter { !has($0.id, size: $0.size) }.compactMap { row in
                row.conversation.flatMap { number in row.seq.map { (number, $0) } }
            }
            let conversations = Dictionary(
                try conversations(includingGone: true).map { ($0.number, $0) }, uniquingKeysWith: { $1 })
            return try (known + FileRows.unknown(on: connection)).compactMap { number, seq in
                guard let conversation = conversations[number],
                    let message = try message(seq, in: conversation, folds: false),
                    let record = message.files.first, record.size <= size
                else { return nil }
                return MessageFile(conversation: conversation, seq: seq, record: record)
            }
        } catch let error as SQLiteError { throw ReplicaError(error) }
    }

    /// Prepares the place of a file that is about to be fetched.
    ///
    /// - Returns: its path; nil if its message has gone meanwhile.
    public static func expect(_ file: MessageFile, at location: ReplicaLocation) throws(ReplicaError) -> String? {
        try ReplicaSession.run(at: location) { session in
            guard let now = try session.replica.conversation(file.conversation.id),
                try session.replica.message(file.seq, in: now, folds: false)?.files.first == file.record
            else { return nil }
            let path = session.replica.path(of: file.record)
            try session.disk.makeDirectories(Path.directory(of: path))
            try session.commit {
                try FileRows.put(
                    FileRow(
                        id: file.record.id, state: .named, account: 0, size: file.record.size,
                        time: session.clock.now(), conversation: now.number, seq: file.seq),
                    on: session.connection)
            }
            return path
        }
    }

    /// Removes files that no row names, as after an interrupted fetch of a file whose message went, or after a new index.
    public static func dropUnknownFiles(at location: ReplicaLocation) throws(ReplicaError) {
        try ReplicaSession.run(at: location) { session in
            let root = location.directory + "/" + BlobPath.directory
            guard try session.disk.information(root) != nil else { return }
            let known = Set(try FileRows.wanted(on: session.connection).map { BlobPath.of($0.id) })
            for part in try session.disk.list(root) {
                for name in try session.disk.list(root + "/" + part) {
                    let path = "\(BlobPath.directory)/\(part)/\(name)"
                    if !known.contains(path) {
                        try RetiredFiles(directory: location.directory, disk: session.disk).wipe(path)
                    }
                }
            }
        }
    }
}
