internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// Brings a conversation's log files and the database into step after a process was killed between writing the one and the
/// other. Valid next blocks are adopted, everything else is moved to `quarantine/`: nothing that might be a message is lost.
///
/// Only what lies behind the recorded end is looked at, never the history.
struct ReplicaRecovery {
    let session: ReplicaSession
    let conversation: WritableConversation

    private var disk: any Disk { session.disk }

    func run() throws {
        if var row = conversation.lastSegment, !row.isClosed {
            let path = session.location.directory + "/" + row.name(of: conversation.id)
            if let found = try disk.information(path), found.isRegular, found.size >= row.size {
                if found.size > row.size { try adopt(path, row, dictionary: nil) }
            } else {
                // Missing or too short is damage like any other; nothing is appended to it.
                row.isClosed = true
                conversation.lastSegment = row
                conversation.segmentUpdates.append(row)
            }
        }
        // Files that were begun and never recorded.
        var generation = 0
        var attempts = 0
        while attempts < 0xFFFF {
            attempts += 1
            let firstSeq = conversation.sealedSeq.next
            let name = Segment.name(of: conversation.id, firstSeq: firstSeq, generation: generation)
            let path = session.location.directory + "/" + name
            guard try disk.information(path) != nil else { return }
            if try isRecorded(firstSeq, generation) {
                generation += 1
                continue
            }
            let former = conversation.sealedSeq
            guard let segment = try? Segment.open(at: path, on: disk, mode: .readWrite),
                segment.header.store == session.location.store, segment.header.conversation == conversation.id,
                segment.header.firstSeq == firstSeq,
                segment.header.hashBefore == conversation.sealedHash ?? segment.header.hashBefore
            else {
                try quarantine(file: path)
                continue
            }
            let row = SegmentRow(
                conversation: conversation.number, firstSeq: firstSeq, generation: generation,
                size: segment.bodyOffset, dictionary: segment.dictionary.id, isClosed: false)
            try adopt(path, row, dictionary: segment.dictionary)
            if conversation.sealedSeq == former {
                try quarantine(file: path)
            } else {
                generation = 0
            }
        }
    }

    private func isRecorded(_ firstSeq: Seq, _ generation: Int) throws -> Bool {
        if let last = conversation.lastSegment, last.firstSeq == firstSeq, last.generation == generation { return true }
        return try ArchiveRows.segments(of: conversation.number, on: session.connection).contains {
            $0.firstSeq == firstSeq && $0.generation == generation
        }
    }

    /// Takes over the valid blocks behind what is recorded of a file.
    ///
    /// - Parameter dictionary: of a file that is not recorded at all.
    private func adopt(_ path: String, _ recorded: SegmentRow, dictionary: LogDictionary?) throws {
        guard let segment = try? Segment.open(at: path, on: disk, mode: .readWrite) else { return }
        var row = recorded
        var rows: [BlockRow] = []
        var blocks: [Block] = []
        let end = try segment.scan(
            from: row.size, expectedSeq: conversation.sealedSeq.next, expectedHash: conversation.sealedHash
        ) { place, block in
            rows.append(BlockRow(place.header, at: place.offset, in: row))
            blocks.append(block)
            return true
        }
        guard let last = blocks.last, try agrees(blocks, segment.dictionary) else {
            if dictionary == nil { try quarantine(segment, from: recorded.size) }
            return
        }
        row.size = rows.reduce(row.size) { max($0, $1.offset + UInt64($1.length)) }
        row.isClosed = row.size >= Segment.maximumBytes
        if end != .clean { try quarantine(segment, from: row.size) }
        // The tail goes for it.
        try disk.makeDurable(path, (dictionary == nil ? recorded.size : 0)..<row.size)
        conversation.written.append(
            WrittenBlocks(segment: row, newDictionary: dictionary, blocks: rows, hashAfter: last.header.hashAfter))
        conversation.lastSegment = row
        try takeOver(last.header, highTime: rows.map(\.highTime).max() ?? last.header.highestTime)
    }

    /// Whether blocks hold the messages that the tail has under the same seqs.
    private func agrees(_ blocks: [Block], _ dictionary: LogDictionary) throws -> Bool {
        guard conversation.hasTail else { return true }
        for block in blocks where block.header.lastSeq >= conversation.head {
            guard let records = try? block.open(with: dictionary), let index = records.index(of: conversation.head)
            else { return false }
            return HashChain.advance(block.header.hashBefore, over: records, 0..<index + 1) == conversation.headHash
        }
        guard let last = blocks.last, let tail = try? ReplicaSession.Tail(conversation, on: session.connection),
            let index = tail.records.index(of: last.header.lastSeq)
        else { return false }
        return HashChain.advance(tail.hashBefore, over: tail.records, 0..<index + 1) == last.header.hashAfter
    }

    /// Moves the end of what is sealed; what the tail has beyond stays in it.
    private func takeOver(_ last: BlockHeader, highTime: Timestamp) throws {
        guard last.lastSeq < conversation.head else {
            conversation.dropsStoredTail = true
            conversation.newTail = []
            conversation.tailBytes = 0
            conversation.advance(to: last.lastSeq, hash: last.hashAfter, highTime: highTime, isSealed: true)
            return
        }
        if let tail = try ReplicaSession.Tail(conversation, on: session.connection),
            let index = tail.records.index(of: last.lastSeq)
        {
            let rest = Block(
                sealing: tail.records, index + 1..<tail.records.count, of: conversation.id, hashBefore: last.hashAfter,
                dictionary: .none, isProvisional: true, effort: .light)
            conversation.newTail = [TailRow(rest, conversation: conversation.number)]
            conversation.tailBytes = rest.header.rawLength
            conversation.dropsStoredTail = true
        }
        (conversation.sealedSeq, conversation.sealedHash) = (last.lastSeq, last.hashAfter)
    }

    // MARK: Quarantine

    private func quarantinePath(_ path: String, at offset: UInt64) throws -> String {
        try disk.makeDirectories(session.location.quarantineDirectory)
        let stem = "\(session.location.quarantineDirectory)/\(conversation.id)-\(Path.name(of: path))-at-\(offset)"
        var free = stem
        var attempt = 1
        while try disk.information(free) != nil {
            free = "\(stem).\(attempt)"
            attempt += 1
        }
        return free
    }

    /// Copies the end of a file, durably, and only then cuts it off.
    private func quarantine(_ segment: Segment, from offset: UInt64) throws {
        let size = try segment.file.size()
        guard size > offset else { return }
        let path = try quarantinePath(segment.path, at: offset)
        let copy = try disk.open(path, .create)
        var position = offset
        while position < size {
            let bytes = try segment.file.read(count: Int(clamping: min(size - position, 1 << 20)), at: position)
            if bytes.isEmpty { break }
            try copy.write(bytes, at: position - offset)
            position += UInt64(bytes.count)
        }
        try copy.sync()
        try disk.syncDirectory(session.location.quarantineDirectory)
        try segment.file.truncate(to: offset)
        try segment.file.sync()
    }

    private func quarantine(file path: String) throws {
        let target = try quarantinePath(path, at: 0)
        try disk.rename(path, to: target)
        try disk.syncDirectory(session.location.quarantineDirectory)
        try disk.syncDirectory(Path.directory(of: path))
    }
}
