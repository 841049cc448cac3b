internal import NatterConversation
internal import NatterSQLite
internal import NatterModel
internal import NatterLog
internal import NatterSystem

/// Reconciles index and log files when a store is opened. It never guesses. Valid next blocks are adopted, torn
/// writes are moved to `quarantine/`, and everything else is left unchanged and reported.
///
/// It reads the end of each conversation's last file, not the history.
struct StoreRecovery {
    let store: FileEngine
    let storeID: StoreID
    let connection: Connection
    private let journal: AcknowledgedRecords
    /// Whether the index has just been rebuilt from the logs.
    let isRebuilt: Bool
    private let adopted = AdoptedEvents()

    init(
        store: FileEngine, storeID: StoreID, connection: Connection,
        journal: @escaping () throws -> [Int64: [Record]], isRebuilt: Bool
    ) {
        (self.store, self.storeID, self.connection) = (store, storeID, connection)
        (self.journal, self.isRebuilt) = (AcknowledgedRecords(read: journal), isRebuilt)
    }

    /// The logs contain conversations, or messages, that the index does not know.
    struct StaleIndex: Error {}

    func run(_ state: inout StoreState, isClean: Bool) throws {
        try store.disk.makeDirectories(store.directory + "/logs")
        try ImportStaging(root: store.directory, disk: store.disk).recover(connection, report: store.report)
        let mark = StoreRecovery.readMark(in: store.directory, store.disk)
        let last = state.epochs.last?.epoch
        let isInStep = isClean && mark == last
        if let loss = StoreRecovery.lossOfLaterRuns(than: last, mark, in: store.directory) { store.report(loss) }
        try connection.transaction {
            // Read at once, because a query for each of many conversations takes most of a start.
            let segments = try ArchiveRows.segments(on: connection)
            for (number, rows) in segments {
                if let last = rows.last, let conversation = state.conversations[number] {
                    try check(last, of: conversation)
                }
            }
            // Unrecorded files exist only after a crash, or if the index is older than the logs.
            if !isInStep { try adoptFiles(state, known: segments) }
            try adopted.settle(in: &state, on: connection, report: store.report)
        }
    }

    // MARK: The end of a recorded file

    private func check(_ row: SegmentRow, of conversation: ConversationState) throws {
        let path = store.directory + "/" + row.name(of: conversation.identity.id)
        guard let found = try store.disk.information(path), found.isRegular else {
            store.shortLogs.withLock { $0 += 1 }
            return store.report("the log '\(path)' is missing; its messages can't be read")
        }
        if found.size == row.size { return }
        guard found.size > row.size else {
            store.shortLogs.withLock { $0 += 1 }
            // Handled like other damage: reading finds the exact range, and new blocks go into a new file.
            return store.report(
                "the log '\(path)' has \(found.size) bytes, but \(row.size) were recorded; what is missing can't be read"
            )
        }
        var row = row
        do {
            let segment = try Segment.open(at: path, on: store.disk, mode: .readWrite)
            try adopt(segment, row, conversation, isRecorded: true)
        } catch let error as LogError {
            store.report("\(error); the file is left as it is")
            row.isClosed = true
            try ArchiveRows.put(row, on: connection)
        }
    }

    /// Adopts the valid blocks behind the recorded end of a file, and handles the bytes behind them.
    ///
    /// - Parameter isRecorded: whether the index already names the file, so that its beginning is durable.
    private func adopt(
        _ segment: Segment, _ recorded: SegmentRow, _ conversation: ConversationState, isRecorded: Bool
    ) throws {
        var content = SealedContent()
        let acknowledged = try journal.records(of: conversation.identity.number)
        let known = max(conversation.sealedSeq, acknowledged.last?.seq ?? .zero)
        let found = try recovery(conversation).adopt(
            segment, recorded, isRecorded: isRecorded, seq: conversation.sealedSeq.next, hash: conversation.sealedHash
        ) { _, records in
            guard HashChain.agree(records, acknowledged) else { return false }
            content.add(records)
            adopted.add(GroupHistory.events(in: records).filter { $0.seq > known }, of: conversation)
            return true
        }
        var row = found.row
        if let last = found.blocks.last, let hash = found.hashAfter {
            let written = WrittenBlocks(segment: row, newDictionary: nil, blocks: found.blocks, hashAfter: hash)
            for block in found.blocks { try ArchiveRows.insert(block, on: connection) }
            for relation in content.relations {
                try RelationRows.insert(relation, of: conversation.identity.number, on: connection)
            }
            try Change.tailSealed(Change.SealedTail(written, content)).write(to: connection, at: last.lastCommit)
            conversation.lastServerTime = max(conversation.lastServerTime, content.serverTime ?? .zero)
            conversation.noteAdopted(content)
            conversation.drop(upTo: last.lastSeq, hash: hash, commit: last.lastCommit)
            store.report("adopted messages \(found.blocks[0].firstSeq) to \(last.lastSeq) found in '\(segment.path)'")
        }
        switch found.end {
        case .clean where found.isForeign:
            store.report(
                "'\(segment.path)' has other messages at byte \(row.size) than were acknowledged; it is left as it is")
            row.isClosed = true
        case .clean: break
        case .torn(let offset, let length): try quarantine(segment, offset: offset, length: length)
        // A power loss may leave any sectors of a write, not only the first ones. If the journal has the next
        // message, these bytes are a torn write.
        case .damaged(let offset, let length, _) where acknowledged.contains { $0.seq == conversation.sealedSeq.next }:
            try quarantine(segment, offset: offset, length: length)
        case .damaged(let offset, let length, let reason):
            store.report(
                "'\(segment.path)' has \(length) bytes from byte \(offset) on that are no block (\(reason)); they are left as they are"
            )
            row.isClosed = true
        }
        if row.size > Segment.maximumBytes { row.isClosed = true }
        try ArchiveRows.put(row, on: connection)
    }

    private func recovery(_ conversation: ConversationState) -> LogRecovery {
        LogRecovery(
            directory: store.directory, store: storeID, conversation: conversation.identity.id, disk: store.disk)
    }

    /// Moves a torn write at the end of a file to `quarantine/`.
    private func quarantine(_ segment: Segment, offset: UInt64, length: UInt64) throws {
        let path = try Quarantine(root: store.directory, disk: store.disk)
            .cut(segment.path, from: offset, length: length, label: "\(segment.header.conversation)")
        store.report("moved \(length) bytes of an unfinished write from '\(segment.path)' byte \(offset) to '\(path)'")
    }

    // MARK: Files that are not recorded

    private func adoptFiles(_ state: StoreState, known segments: [Int64: [SegmentRow]]) throws {
        let byID = Dictionary(
            state.conversations.values.map { ($0.identity.id, $0) }, uniquingKeysWith: { first, _ in first })
        let logs = store.directory + "/logs"
        for upper in try store.disk.list(logs) where upper.utf8.count == 2 {
            for name in try store.disk.list(logs + "/" + upper) {
                let directory = "\(logs)/\(upper)/\(name)"
                guard let id = ConversationID(hex: name), try store.disk.information(directory)?.isDirectory == true
                else {
                    store.report("'\(directory)' is not a conversation's directory; it is left as it is")
                    continue
                }
                guard let conversation = byID[id] else {
                    if try store.disk.list(directory).isEmpty { continue }
                    guard isRebuilt || !isOurs(directory, id) else { throw StaleIndex() }
                    store.report(
                        "'\(directory)' holds a conversation that the index does not know; it is left as it is")
                    continue
                }
                let known = Set((segments[conversation.identity.number] ?? []).map { Path.name(of: $0.name(of: id)) })
                for file in try store.disk.list(directory) where !known.contains(file) {
                    try adoptFile("logs/\(upper)/\(name)/\(file)", conversation)
                }
            }
        }
    }

    /// Whether a directory contains a log of this store with at least one block.
    private func isOurs(_ directory: String, _ id: ConversationID) -> Bool {
        let names = (try? store.disk.list(directory)) ?? []
        return names.contains { name in
            guard let segment = try? Segment.open(at: "\(directory)/\(name)", on: store.disk) else { return false }
            return segment.header.store == storeID && segment.header.conversation == id
                && (try? segment.block(at: segment.bodyOffset)) != nil
        }
    }

    private func adoptFile(_ name: String, _ conversation: ConversationState) throws {
        let path = store.directory + "/" + name
        do {
            let found = try recovery(conversation).openUnrecorded(
                name, seq: conversation.sealedSeq.next, hash: conversation.sealedHash,
                number: conversation.identity.number)
            guard let (segment, row) = found else {
                return store.report("the log '\(path)' does not follow what the index knows; it is left as it is")
            }
            try ArchiveRows.put(segment.dictionary, on: connection)
            try adopt(segment, row, conversation, isRecorded: false)
        } catch let error as LogError {
            if case .damaged = error,
                try Segment.isBegun(path, on: store.disk, with: conversation.sealedSeq.next)
            {
                return try setAside(path, conversation)
            }
            store.report("\(error); the file is left as it is")
        }
    }

    /// Moves a torn segment to `quarantine/`. Nothing would ever use it where it is.
    private func setAside(_ path: String, _ conversation: ConversationState) throws {
        let place = try Quarantine(root: store.directory, disk: store.disk).move(
            path, label: "\(conversation.identity.id)")
        store.report("moved '\(path)', a log that was only begun, to '\(place)'")
    }

    // MARK: The mark

    /// `logs/epoch` names the last run of the server that wrote here. If the index names another one, it does not
    /// belong to the present state of the logs.
    static func writeMark(_ epoch: Epoch, in directory: String, disk: any Disk) throws {
        try disk.replaceContents(of: directory + "/logs/epoch", with: Array("\(epoch)\n".utf8))
    }

    static func readMark(in directory: String, _ disk: any Disk) -> Epoch? {
        guard let bytes = try? disk.contents(of: directory + "/logs/epoch", limit: 64),
            let value = UInt64(String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" }, radix: 16)
        else { return nil }
        return Epoch(rawValue: value)
    }

    /// A warning if a later run of the server has written here than the last one that the database knows. Data may be lost:
    /// somebody has put an older database in place, or the writes of that run to it are gone. nil if there is no such run.
    static func lossOfLaterRuns(than last: Epoch?, _ mark: Epoch?, in directory: String) -> Phrase? {
        guard let mark, let last, mark.run > last.run,
            // Where the rest is the same, a bit of the mark was flipped.
            UInt32(truncatingIfNeeded: mark.rawValue ^ last.rawValue) != 0
        else { return nil }
        return
            "'\(Store.databasePath(directory))' is older than the logs; what it had later may be lost, messages and accounts among it; a backup may have them"
    }
}

/// The records of each conversation in the journal: all that are acknowledged but not sealed. They are read only if a file
/// has more than is recorded, because most starts do not need them.
private final class AcknowledgedRecords {
    private let read: () throws -> [Int64: [Record]]
    private var found: [Int64: [Record]]?

    init(read: @escaping () throws -> [Int64: [Record]]) { self.read = read }

    /// By seq.
    func records(of conversation: Int64) throws -> [Record] {
        let all = try found ?? read()
        found = all
        return all[conversation] ?? []
    }
}
