internal import NatterConversation
internal import NatterLog
internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// A file below `files/` that is not what it must be: a repair moves it to quarantine.
struct StrayFile: Sendable, Equatable {
    let path: String
    /// The conversation of the message that names it, whose next erasure wipes it in quarantine, too; nil if no message does.
    let conversation: ConversationID?
}

/// Checks the files of messages against the table `file` and the records that name them.
struct FileCheck {
    /// The row is nil if only the record tells, as in an index that was made from the logs.
    private typealias Wanted = (row: FileRow?, conversation: Int64?, seq: Seq?)

    private let check: StoreCheck
    private let archive: ArchiveReader
    private let conversations: [Int64: CheckedConversation]

    init(_ check: StoreCheck, _ conversations: [CheckedConversation], _ connection: Connection) {
        self.check = check
        archive = ArchiveReader(
            connection: connection, cache: ArchiveCache(directory: check.directory, disk: check.disk))
        self.conversations = Dictionary(
            conversations.map { ($0.identity.number, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// - Parameter tails: the journal's records by conversation.
    func run(_ tails: [Int64: [Record]]) throws {
        let connection = archive.connection
        for row in try FileRows.unnamed(on: connection) { check.knownFiles.insert(path(row.id)) }
        var wanted: [Wanted] = try FileRows.wanted(on: connection).map { ($0, $0.conversation, $0.seq) }
        wanted += try FileRows.unknown(on: connection).map { (nil, $0.conversation, $0.seq) }
        for file in wanted {
            let record = record(of: file, tails)
            guard let id = file.row?.id ?? record?.id, let size = record?.size ?? file.row?.size else { continue }
            check.knownFiles.insert(path(id))
            check.summary.files += 1
            // The check of the logs names a message that can't be read, or another in its place.
            try examine(id, size, record?.id == id ? record : nil, file)
            try check.advance(size)
        }
    }

    private func path(_ id: FileID) -> String { "\(check.directory)/\(BlobPath.of(id))" }

    private func record(of file: Wanted, _ tails: [Int64: [Record]]) -> FileRecord? {
        guard let number = file.conversation, let seq = file.seq, let conversation = conversations[number] else {
            return nil
        }
        var record = tails[number]?.first { $0.seq == seq }
        if record == nil, seq <= conversation.sealedSeq,
            let row = try? ArchiveRows.block(containing: seq, of: number, on: archive.connection)
        {
            record = (try? archive.open(row, of: conversation.identity))?.records[seq]
        }
        guard let record, record.kind == .file, !record.isErased else { return nil }
        return FileRecord(line: record.text)
    }

    private func examine(_ id: FileID, _ size: UInt64, _ record: FileRecord?, _ file: Wanted) throws {
        let conversation = file.conversation.flatMap { conversations[$0] }
        func report(_ problem: Phrase) {
            check.report(
                .filesOfMessagesAreWhole,
                StoreDamage(
                    file: path(id), conversation: conversation?.label, range: file.seq.map { $0...$0 },
                    problem: problem))
        }
        let found = try check.disk.information(path(id))
        guard let found, found.isRegular else { return report("the file of a message is missing") }
        guard try found.size != size || !isIntact(record) else { return }
        check.summary.strayFiles.append(StrayFile(path: path(id), conversation: conversation?.identity.id))
        report("the file of a message is not what was uploaded")
    }

    /// - Parameter record: nil if only the size can be checked.
    private func isIntact(_ record: FileRecord?) throws(DiskError) -> Bool {
        guard let record else { return true }
        do throws(DiskError) { return try Blob(record, in: check.directory, disk: check.disk).isIntact() } catch {
            if error.code.isOfProcess { throw error }
            return false
        }
    }
}

extension StoreRepair {
    /// Moves files to quarantine that are not what they must be. Their messages stay.
    ///
    /// - Parameter left: the check after the repair of the logs.
    static func setAside(
        _ left: inout StoreCheck.Summary, in directory: String, disk: any Disk, report: (Phrase) -> Void
    ) throws {
        for stray in left.strayFiles {
            let target = try Quarantine(root: directory, disk: disk).move(
                stray.path, label: stray.conversation?.description ?? "")
            // Of a message, it is missing from now on.
            if stray.conversation == nil { left.damages -= 1 }
            report("moved '\(stray.path)' to '\(target)'; it is no file of a message as it was uploaded")
        }
    }
}
