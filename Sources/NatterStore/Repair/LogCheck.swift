internal import NatterConversation
internal import NatterSystem
internal import NatterSQLite
internal import NatterModel
internal import NatterLog

/// Checks the log files of one conversation against their index and against each other.
struct LogCheck {
    private let check: StoreCheck
    private let conversation: CheckedConversation
    private let connection: Connection
    /// The first seq that the next block must have.
    private var nextSeq: Seq
    /// The chain up to `nextSeq`; nil behind damage, where it is not known.
    private var hash: Digest?
    private var lastCommit = Commit.zero

    init(_ check: StoreCheck, _ conversation: CheckedConversation, _ connection: Connection) {
        (self.check, self.conversation, self.connection) = (check, conversation, connection)
        nextSeq = conversation.first
        // Messages before the first one are gone, so only the end of the chain is known.
        hash = nextSeq == Seq(1) ? HashChain.start(of: conversation.identity.id) : nil
    }

    func run() throws {
        var walk = self
        let segments = try ArchiveRows.segments(of: conversation.identity.number, on: connection)
        // Rows come by seq, which is also the order of the blocks in a file.
        let blocks = Dictionary(
            grouping: try ArchiveRows.allBlocks(of: conversation.identity.number, on: connection),
            by: { SegmentName(firstSeq: $0.segmentSeq, generation: $0.generation) })
        var known: Set<SegmentName> = []
        for (index, row) in segments.enumerated() {
            let name = SegmentName(firstSeq: row.firstSeq, generation: row.generation)
            known.insert(name)
            try walk.checkFile(row, blocks[name] ?? [], isLast: index == segments.count - 1)
            try check.advance(row.size)
        }
        for (name, rows) in blocks where !known.contains(name) {
            walk.report(
                check.database, range: walk.range(of: rows),
                "the index has blocks of a log file that it does not know")
        }
        walk.checkEnd()
    }

    private struct SegmentName: Hashable {
        let firstSeq: Seq
        let generation: Int
    }

    private func report(
        _ file: String, at offset: UInt64? = nil, range: ClosedRange<Seq>? = nil, _ problem: Phrase
    ) {
        check.report(
            .logsAreWhole,
            StoreDamage(
                file: file, offset: offset, conversation: conversation.label, range: range, problem: problem))
    }

    private func range(of rows: some Collection<BlockRow>) -> ClosedRange<Seq>? {
        guard let first = rows.map(\.firstSeq).min(), let last = rows.map(\.lastSeq).max() else { return nil }
        return first...last
    }

    private func checkEnd() {
        let database = check.database
        if nextSeq <= conversation.sealedSeq {
            if check.isStated(nextSeq...conversation.sealedSeq, of: conversation) { return }
            report(
                database, range: nextSeq...conversation.sealedSeq, "no block holds messages that were sealed")
        } else if nextSeq > conversation.sealedSeq.next {
            report(database, "the index has blocks beyond the recorded end of the log, \(conversation.sealedSeq)")
        } else if let hash, hash != conversation.sealedHash {
            report(database, "the recorded hash at message \(conversation.sealedSeq) is not that of the messages")
        } else if nextSeq > conversation.first, lastCommit != conversation.sealedCommit {
            report(database, "the recorded commit of message \(conversation.sealedSeq) is not that of its block")
        }
    }

    // MARK: One file

    private mutating func checkFile(_ row: SegmentRow, _ blocks: [BlockRow], isLast: Bool) throws {
        let path = check.directory + "/" + row.name(of: conversation.identity.id)
        check.knownFiles.insert(path)
        check.summary.files += 1
        guard let found = try check.disk.information(path), found.isRegular else {
            report(path, range: range(of: blocks), "the log file is missing")
            return skip(past: blocks)
        }
        guard let segment = try openSegment(path, row, blocks) else { return skip(past: blocks) }
        checkHeader(segment, row)
        var offset = segment.bodyOffset
        var firstMissing = blocks.endIndex
        for (index, block) in blocks.enumerated() {
            if found.size < block.offset.addingReportingOverflow(UInt64(max(0, block.length))).partialValue {
                firstMissing = index
                break
            }
            if block.offset != offset {
                report(path, at: min(offset, block.offset), "bytes between two blocks belong to neither")
            }
            checkBlock(segment, block)
            offset = block.offset + UInt64(max(0, block.length))
        }
        if firstMissing < blocks.endIndex {
            let missing = blocks[firstMissing...]
            report(
                path, at: found.size, range: range(of: missing),
                "the file ends here, but \(row.size) bytes of it were recorded")
            return skip(past: missing)
        }
        if offset != row.size {
            report(path, at: min(offset, row.size), "the last block does not end where the index says, at \(row.size)")
        }
        try checkRest(segment, row, size: found.size, isLast: isLast)
    }

    /// Opens the file. If its dictionary is damaged, the copy in the index is used.
    private func openSegment(_ path: String, _ row: SegmentRow, _ blocks: [BlockRow]) throws -> Segment? {
        var spare: LogDictionary?
        if row.dictionary != .none {
            spare = try? ArchiveRows.dictionary(row.dictionary, on: connection)
            if spare?.id != row.dictionary {
                report(
                    check.database,
                    "the second copy of the dictionary of '\(check.name(path))' is missing or damaged")
            }
        }
        do throws(LogError) {
            return try Segment.open(at: path, on: check.disk)
        } catch {
            if case .disk(let cause) = error, cause.code.isOfProcess { throw cause }
            let segment = spare.flatMap { try? Segment.open(at: path, on: check.disk, spare: $0) }
            report(error, path, range: segment == nil ? range(of: blocks) : nil)
            return segment
        }
    }

    private func report(_ error: LogError, _ path: String, range: ClosedRange<Seq>?) {
        if case .damaged(_, let offset, let reason) = error {
            report(path, at: offset, range: range, reason)
        } else {
            report(path, range: range, error.phrase)
        }
    }

    private func checkHeader(_ segment: Segment, _ row: SegmentRow) {
        let header = segment.header
        let identity = conversation.identity
        if header.conversation != identity.id || header.kind != identity.kind || header.users != identity.users {
            report(segment.path, at: 0, "the file's header is of another conversation")
        } else if header.firstSeq != row.firstSeq || header.dictionary != row.dictionary {
            report(segment.path, at: 0, "the file's header is not what the index says")
        } else if header.firstSeq == nextSeq, let hash, header.hashBefore != hash {
            report(segment.path, at: 0, "the file's header has another hash than the message before it")
        }
    }

    /// Checks the bytes behind the last recorded block.
    private func checkRest(_ segment: Segment, _ row: SegmentRow, size: UInt64, isLast: Bool) throws {
        guard size > row.size else { return }
        guard !check.isClean, isLast, !row.isClosed else {
            return report(
                segment.path, at: row.size, "\(size - row.size) bytes lie behind the last recorded block")
        }
        // After a crash this is normal: the next start adopts whole blocks and moves a torn one to quarantine.
        let end = try segment.scan(from: row.size, expectedSeq: nextSeq, expectedHash: hash) { _, _ in true }
        if case .damaged(let offset, _, let reason) = end { report(segment.path, at: offset, reason) }
    }

    // MARK: One block

    private mutating func skip(past rows: some Collection<BlockRow>) {
        guard let range = range(of: rows) else { return }
        nextSeq = max(nextSeq, range.upperBound.next)
        lastCommit = rows.map(\.lastCommit).max() ?? lastCommit
        hash = nil
    }

    private mutating func checkBlock(_ segment: Segment, _ row: BlockRow) {
        if row.firstSeq > nextSeq {
            let missing = nextSeq...row.firstSeq.previous
            if !check.isStated(missing, of: conversation) {
                report(segment.path, at: row.offset, range: missing, "no block holds the messages before this one")
            }
            hash = nil
        } else if row.firstSeq < nextSeq {
            report(segment.path, at: row.offset, "a block begins with a message that one before it holds")
            hash = nil
        }
        do throws(LogError) {
            let block = try segment.block(at: row.offset, length: row.length, firstSeq: row.firstSeq)
            try verify(block, row, segment)
            hash = block.header.hashAfter
            lastCommit = block.header.lastCommit
            check.summary.messages += UInt64(row.count)
        } catch {
            report(error, segment.path, range: row.firstSeq...row.lastSeq)
            hash = nil
            lastCommit = row.lastCommit
        }
        nextSeq = row.lastSeq.next
    }

    private func verify(_ block: Block, _ row: BlockRow, _ segment: Segment) throws(LogError) {
        do throws(FormatViolation) {
            _ = try block.verify(with: segment.dictionary)
            if let hash, block.header.hashBefore != hash {
                throw FormatViolation("a block has another hash than the message before it")
            }
        } catch {
            throw .damaged(path: segment.path, offset: row.offset, reason: error.reason)
        }
        let header = block.header
        if header.count != row.count || header.lowestTime != row.lowTime || header.highestTime != row.highTime
            || header.lastCommit != row.lastCommit || header.revision != row.revision
        {
            report(segment.path, at: row.offset, "a block is not what the index says of it")
        }
    }
}
