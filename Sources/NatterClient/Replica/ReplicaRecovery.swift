internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel

/// Reconciles one conversation's log files with the database after a process was killed between writing the files and
/// recording them.
///
/// Recovery looks only behind the recorded end, never at the history. It adopts valid next blocks and moves everything else to
/// `quarantine/`, so that nothing that might be a message is lost.
struct ReplicaRecovery {
    private let session: ReplicaSession
    private let conversation: ConversationChange
    private let log: LogRecovery

    init(session: ReplicaSession, conversation: ConversationChange) {
        (self.session, self.conversation) = (session, conversation)
        log = LogRecovery(
            directory: session.location.directory, store: session.location.store, conversation: conversation.id,
            disk: session.disk)
    }

    /// - Parameter generation: of the first file that is not recorded.
    func run(from generation: Int = 0) throws {
        try recoverLastSegment()
        // Files that were created but never recorded.
        var generation = generation
        for _ in 0..<0xFFFF {
            let seq = conversation.sealedSeq.next
            let name = Segment.name(of: conversation.id, firstSeq: seq, generation: generation)
            let path = session.location.directory + "/" + name
            guard try session.disk.information(path) != nil else { return }
            if try isRecorded(seq, generation) {
                generation += 1
                continue
            }
            let found = try? log.openUnrecorded(
                name, seq: seq, hash: conversation.sealedHash, number: conversation.number)
            if let (segment, row) = found ?? nil, try adopt(segment, row, isRecorded: false) {
                generation = 0
            } else {
                _ = try log.quarantine.move(path, label: "\(conversation.id)")
            }
        }
    }

    private func recoverLastSegment() throws {
        guard let row = conversation.lastSegment, !row.isClosed else { return }
        let path = session.location.directory + "/" + row.name(of: conversation.id)
        guard let found = try session.disk.information(path), found.isRegular, found.size >= row.size else {
            // A missing or short file is damage like any other. Nothing is appended to it.
            return conversation.closeLastSegment()
        }
        guard found.size > row.size, let segment = try? Segment.open(at: path, on: session.disk, mode: .readWrite)
        else { return }
        try adopt(segment, row, isRecorded: true)
    }

    private func isRecorded(_ firstSeq: Seq, _ generation: Int) throws -> Bool {
        if let last = conversation.lastSegment, last.firstSeq == firstSeq, last.generation == generation { return true }
        return try ArchiveRows.segments(of: conversation.number, on: session.connection).contains {
            $0.firstSeq == firstSeq && $0.generation == generation
        }
    }

    /// Adopts the valid blocks behind the recorded end of a file, and moves the bytes behind them to quarantine.
    ///
    /// - Returns: whether there were valid blocks. An unrecorded file without any is left unchanged.
    @discardableResult
    private func adopt(_ segment: Segment, _ recorded: SegmentRow, isRecorded: Bool) throws -> Bool {
        let tail = try? ReplicaSession.Tail(conversation, on: session.connection)
        let found = try log.adopt(
            segment, recorded, isRecorded: isRecorded, seq: conversation.sealedSeq.next, hash: conversation.sealedHash
        ) { header, records in
            guard agrees(header, records, with: tail) else { return false }
            conversation.newRelations += Relation.all(of: records)
            return true
        }
        // If the tail cannot be read, only a block that reaches the head can be compared.
        guard let last = found.blocks.last, let hash = found.hashAfter,
            !conversation.hasTail || tail != nil || last.lastSeq >= conversation.head
        else {
            if isRecorded { try quarantineEnd(of: segment, from: recorded.size) }
            return false
        }
        var row = found.row
        row.isClosed = row.size >= Segment.maximumBytes
        try quarantineEnd(of: segment, from: row.size)
        conversation.written.append(
            WrittenBlocks(
                segment: row, newDictionary: isRecorded ? nil : segment.dictionary, blocks: found.blocks,
                hashAfter: hash))
        conversation.lastSegment = row
        try takeOver(last.lastSeq, hash, highTime: found.blocks.map(\.highTime).max() ?? last.highTime, tail)
        return true
    }

    /// Whether a block contains the messages that the tail has under the same seqs, as far as the tail can be read.
    private func agrees(_ block: BlockHeader, _ records: Records, with tail: ReplicaSession.Tail?) -> Bool {
        guard conversation.hasTail, block.firstSeq <= conversation.head else { return true }
        if let index = records.index(of: conversation.head) {
            return HashChain.advance(block.hashBefore, over: records, 0..<index + 1) == conversation.headHash
        }
        guard let tail else { return true }
        guard let index = tail.records.index(of: block.lastSeq) else { return false }
        return HashChain.advance(tail.hashBefore, over: tail.records, 0..<index + 1) == block.hashAfter
    }

    /// Moves the sealed end to `seq`. The tail keeps its messages after it.
    private func takeOver(_ seq: Seq, _ hash: Digest, highTime: Timestamp, _ tail: ReplicaSession.Tail?) throws {
        guard seq < conversation.head else {
            conversation.dropTail()
            return conversation.advance(to: seq, hash: hash, highTime: highTime, isSealed: true)
        }
        if let tail, let index = tail.records.index(of: seq) {
            let rest = try Block(
                sealing: tail.records, index + 1..<tail.records.count, of: conversation.id, hashBefore: hash,
                dictionary: .none, isProvisional: true, effort: .light)
            conversation.dropTail()
            conversation.newTail = [TailRow(rest, conversation: conversation.number)]
            conversation.tailBytes = rest.header.rawLength
        }
        (conversation.sealedSeq, conversation.sealedHash) = (seq, hash)
    }

    private func quarantineEnd(of segment: Segment, from offset: UInt64) throws {
        let size = try segment.file.size()
        guard size > offset else { return }
        _ = try log.quarantine.cut(segment.path, from: offset, length: size - offset, label: "\(conversation.id)")
    }
}
