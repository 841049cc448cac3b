public import NatterLog
public import NatterModel

/// Applies edits and deletions to the messages that readers get.
///
/// A deleted text, and those of its edits, is given to nobody, and neither are its files. A folded message has its newest text
/// and its files.
public struct MessageFolder {
    /// The most edits of one message that are read to find its newest text. Only erased ones are passed over.
    private static let editLimit = 1_000

    private let reader: LogReader
    private let folds: Bool
    private let needsEdits: Bool
    private let showsFiles: Bool

    /// - Parameters:
    ///   - folds: whether a message gets its newest text. Otherwise each record keeps its own.
    ///   - showsFiles: whether a text has its files; nil if `folds` decides.
    ///   - needsEdits: whether a message whose newest text can't be read is damaged. Otherwise it gets the next older one that can.
    public init(_ reader: LogReader, folds: Bool, showsFiles: Bool? = nil, needsEdits: Bool = false) {
        (self.reader, self.folds, self.needsEdits) = (reader, folds, folds && needsEdits)
        self.showsFiles = showsFiles ?? folds
    }

    /// The messages of a run with what happened to them; nil if nothing did.
    public func messages(of run: MessageRun) throws -> [Message]? {
        guard let first = run.positions.first, let last = run.positions.last else { return nil }
        let records = run.records
        if !run.positions.contains(where: { records.kind(at: $0).isPart }) {
            let (low, high) = (min(first, last), max(first, last))
            let seqs = records.firstSeq.advanced(by: low)...records.firstSeq.advanced(by: high)
            if try reader.changes(seqs).isEmpty, try !hasFiles(behind: seqs) { return nil }
        }
        var messages = run.messages()
        try apply(to: &messages)
        return messages
    }

    /// Applies what happened to the messages, which are all of the reader's conversation.
    ///
    /// - Throws: `ArchiveError.damaged` or `.unreadable` with the first message whose newest edit can't be read. Those before it are done.
    public func apply(to messages: inout [Message]) throws {
        guard let first = messages.first else { return }
        var low = first.seq
        var high = first.seq
        var originals: Set<Seq> = []
        for message in messages {
            (low, high) = (min(low, message.seq), max(high, message.seq))
            // A page of new messages may have an edit of a very old one. Those are looked up one by one.
            if message.kind.isPart, let about = message.about { originals.insert(about) }
        }
        var changes = try reader.changes(low...high)
        for original in originals where original < low || original > high {
            changes.merge(try reader.changes(original...original)) { known, _ in known }
        }
        let hasFiles = try hasFiles(behind: low...high)
        if changes.isEmpty, !hasFiles { return }
        var records: Records?
        for index in messages.indices {
            if hasFiles, messages[index].kind == .text {
                let seq = messages[index].seq
                // Most messages of a page lie in one block.
                if records?.index(of: seq) == nil { records = (try? reader.block(containing: seq))?.records }
                if let records, let place = records.index(of: seq) {
                    messages[index].files = try files(at: place, in: records)
                }
            }
            let original = messages[index].kind.isPart ? messages[index].about : messages[index].seq
            guard let original, let change = changes[original] else { continue }
            try apply(change, to: &messages[index])
        }
    }

    /// The message with what happened to it.
    public func applied(to message: Message) throws -> Message {
        var messages = [message]
        try apply(to: &messages)
        return messages.first ?? message
    }

    private func apply(_ change: MessageChanges, to message: inout Message) throws {
        if change.isDeleted {
            if message.kind != .delete {
                message.isDeleted = true
                (message.text, message.files) = ("", [])
            }
            return
        }
        guard !message.kind.isPart, let edit = change.newestEdit else { return }
        guard folds else {
            // The newest edit may be erased, or behind what the reader has. An original is erased together with its edits, but
            // may have been edited again.
            let isReadable = edit.seq <= reader.log.head && !message.isErased && !isErased(edit.seq)
            message.edited = isReadable ? edit.time : try newestEdit(of: message.seq)?.time
            return
        }
        guard let newest = try newestEdit(of: message.seq) else { return }
        message.edited = newest.time
        message.text = String(decoding: newest.text, as: UTF8.self)
        // An erased message has no sender, and an import may have another one's edit.
        message.sender = String(decoding: newest.sender, as: UTF8.self)
        if message.isErased {
            // The text that people see is not the erased one.
            message.via = newest.via.map { String(decoding: $0, as: UTF8.self) }
            message.isErased = false
        }
    }

    /// Those of a text's files that can be read and are not erased. Their records follow the text; only the last text of a block
    /// may have them in the next one.
    private func files(at index: Int, in records: Records) throws -> [FileRecord] {
        guard records.kind(at: index) == .text else { return [] }
        let last = min(records.count, reader.log.head.distance(after: records.firstSeq.previous))
        let end = (index + 1..<max(last, index + 1)).first { records.kind(at: $0) != .file } ?? last
        var files = (index + 1..<max(end, index + 1)).compactMap { file(records[$0]) }
        guard end == records.count else { return files }
        let seq = records.firstSeq.advanced(by: index)
        let all = try RelationRows.seqs(
            of: .file, about: seq, in: reader.log.number, limit: Limits.filesPerMessage,
            on: reader.archive.connection)
        for next in all where next > records.lastSeq && next <= reader.log.head {
            if let record = (try? reader.block(containing: next)?.records[next]) ?? nil, let file = file(record) {
                files.append(file)
            }
        }
        return files
    }

    /// Whether any text of a range may have files that are to be shown.
    private func hasFiles(behind seqs: ClosedRange<Seq>) throws -> Bool {
        try showsFiles
            && RelationRows.hasFiles(
                in: seqs.lowerBound...seqs.upperBound.advanced(by: Limits.filesPerMessage), of: reader.log.number,
                on: reader.archive.connection)
    }

    private func file(_ record: Record) -> FileRecord? {
        record.kind == .file && !record.isErased ? FileRecord(line: record.text) : nil
    }

    /// Whether the message of a record has files that can be read.
    func hasFiles(_ record: Record) throws -> Bool {
        let original = record.kind.isPart ? record.about : record.seq
        guard let original, try reader.changes(original...original)[original]?.isDeleted != true,
            let records = try reader.block(containing: original)?.records, let index = records.index(of: original)
        else { return false }
        return try !files(at: index, in: records).isEmpty
    }

    /// Whether a record can be read and is erased.
    private func isErased(_ seq: Seq) -> Bool {
        ((try? reader.block(containing: seq)?.records[seq]) ?? nil)?.isErased == true
    }

    /// The newest edit of a message that is not erased; nil if it has none.
    ///
    /// - Throws: with `needsEdits`, `ArchiveError.damaged` or `.unreadable` with the seq of the message, which is what its reader
    ///   can't get.
    public func newestEdit(of seq: Seq) throws -> Record? {
        var last = reader.log.head
        // Usually the newest one is it.
        for limit in [1, MessageFolder.editLimit] {
            let edits = try RelationRows.edits(
                of: seq, upTo: last, in: reader.log.number, limit: limit, on: reader.archive.connection)
            for edit in edits {
                do throws(ArchiveError) {
                    if let record = try reader.block(containing: edit)?.records[edit], record.kind == .edit,
                        !record.isErased
                    {
                        return record
                    }
                } catch {
                    guard let withheld = error.withholding(seq) else { throw error }
                    if needsEdits { throw withheld }
                }
            }
            guard let oldest = edits.last else { return nil }
            last = oldest.previous
        }
        return nil
    }

    /// Whether none of the messages is edited or deleted.
    public func areUnchanged(_ records: Records) throws -> Bool {
        try reader.changes(records.firstSeq...records.lastSeq).isEmpty
    }

    /// Whether a search may find this record: it has the text that people see now, or is a file of theirs.
    public func isCurrent(_ record: Record) throws -> Bool {
        guard !record.isErased else { return false }
        let original = record.kind.isPart ? record.about : record.seq
        // The text of an edit whose original is not kept any more is nowhere to be seen.
        guard let original, original >= min(reader.log.first, reader.log.serverFirst) else { return false }
        guard let change = try reader.changes(original...original)[original] else { return record.kind != .edit }
        if change.isDeleted { return false }
        if record.kind == .file { return true }
        guard let newest = change.newestEdit else { return true }
        if newest.seq == record.seq { return true }
        // The newest edit may be erased.
        do {
            guard let text = try newestEdit(of: original) else { return record.seq == original }
            return text.seq == record.seq
        } catch let error as ArchiveError where error.withheld != nil {
            // Nobody knows the text that people see now.
            return false
        }
    }
}
