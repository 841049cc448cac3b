public import NatterSystem
public import NatterModel
public import NatterSQLite
public import NatterLog

/// Blocks that are durable in a log file and must now be recorded in the index.
public struct WrittenBlocks: Sendable {
    public var segment: SegmentRow
    /// The dictionary of a new segment, which is recorded with it.
    public var newDictionary: LogDictionary?
    public var blocks: [BlockRow]
    public var hashAfter: Digest
    /// The segment whose blocks these are, written again; nil for new messages.
    public var replaced: ReplacedSegment?
    /// Segments whose messages are not kept any more.
    public var dropped: [ReplacedSegment] = []

    public init(
        segment: SegmentRow, newDictionary: LogDictionary?, blocks: [BlockRow], hashAfter: Digest,
        replaced: ReplacedSegment? = nil
    ) {
        (self.segment, self.newDictionary, self.blocks, self.hashAfter) = (segment, newDictionary, blocks, hashAfter)
        self.replaced = replaced
    }

    /// Where the bytes begin that were written for it.
    public var start: UInt64 { newDictionary == nil ? blocks.first?.offset ?? segment.size : 0 }
    public var lastSeq: Seq { blocks.last?.lastSeq ?? .zero }
    public var lastCommit: Commit { blocks.last?.lastCommit ?? .zero }

    /// Inserts the rows. Call inside a transaction of the writer.
    public func record(on connection: Connection) throws(SQLiteError) {
        if let replaced { try replaced.record(with: segment, on: connection) }
        for segment in dropped { try segment.record(with: self.segment, on: connection) }
        if let newDictionary { try ArchiveRows.put(newDictionary, on: connection) }
        try ArchiveRows.put(segment, on: connection)
        for block in blocks { try ArchiveRows.insert(block, on: connection) }
    }
}

/// Writes sealed blocks to log files. They are written and synced before they are recorded, so the index never names
/// missing bytes. Not thread-safe. The caller must record the written blocks before the next call for the same
/// conversation.
public final class ArchiveWriter {
    public let directory: String
    public let store: StoreID
    public let epoch: Epoch
    let disk: any Disk
    let clock: any WallClock
    private let isRetired: (String) throws -> Bool

    /// - Parameter isRetired: whether a file of this name must go (`RetiredFiles.has`).
    public init(
        directory: String, store: StoreID, epoch: Epoch, disk: any Disk, clock: any WallClock,
        isRetired: @escaping (String) throws -> Bool
    ) {
        (self.directory, self.store, self.epoch, self.disk, self.clock) = (directory, store, epoch, disk, clock)
        self.isRetired = isRetired
    }

    /// A file to append to.
    public struct Target {
        public let segment: Segment
        public var row: SegmentRow
        public var isNew: Bool
    }

    /// Opens the file for the conversation's next blocks, or creates one.
    ///
    /// - Parameters:
    ///   - last: the conversation's last segment, from the index.
    ///   - firstSeq: the first seq of the next block; `hashBefore` is the chain before it.
    ///   - wanted: the dictionary that the next blocks need. All blocks of a segment have the same one, so a
    ///     different one forces a new segment.
    ///   - dictionary: the dictionary for a new segment; called only if one is created.
    public func target(
        for conversation: ConversationIdentity, last: SegmentRow?, firstSeq: Seq, hashBefore: Digest,
        wanted: DictionaryID? = nil, dictionary: () throws -> LogDictionary
    ) throws(ArchiveError) -> Target {
        try ArchiveError.translate {
            if let last, !last.isClosed, last.size < Segment.maximumBytes, wanted == nil || wanted == last.dictionary {
                let path = directory + "/" + last.name(of: conversation.id)
                // A file with another length than in the index, or with an unreadable header, is not touched.
                if let segment = try? Segment.open(at: path, on: disk, mode: .readWrite),
                    (try? segment.file.size()) == last.size
                {
                    return Target(segment: segment, row: last, isNew: false)
                }
            }
            let dictionary = try dictionary()
            return try begin(conversation, firstSeq: firstSeq, hashBefore: hashBefore, dictionary: dictionary)
        }
    }

    /// Creates a new segment file with the first free generation.
    private func begin(
        _ conversation: ConversationIdentity, firstSeq: Seq, hashBefore: Digest, dictionary: LogDictionary
    ) throws -> Target {
        var row = try freeRow(of: conversation, firstSeq: firstSeq)
        let segment = try create(row, of: conversation, hashBefore: hashBefore, dictionary: dictionary)
        (row.size, row.dictionary) = (segment.bodyOffset, dictionary.id)
        return Target(segment: segment, row: row, isNew: true)
    }

    /// The row of a segment that does not exist yet, with the first free generation above another one; when there is none, with
    /// the first that is free again.
    public func freeRow(
        of conversation: ConversationIdentity, firstSeq: Seq, above former: Int = -1
    ) throws(ArchiveError) -> SegmentRow {
        try ArchiveError.translate {
            let all = 0..<0xFFFF
            let above = min(max(0, former), all.upperBound)
            for generation in [all.dropFirst(former < 0 ? 0 : above + 1), all.prefix(above)].joined() {
                let row = SegmentRow(
                    conversation: conversation.number, firstSeq: firstSeq, generation: generation, size: 0,
                    dictionary: .none, isClosed: false)
                if try isFree(row.name(of: conversation.id)) { return row }
            }
            throw DiskError(code: .fileExists, operation: "create", path: Segment.directory(of: conversation.id))
        }
    }

    /// Whether a new file may have this name.
    private func isFree(_ name: String) throws -> Bool {
        // A file that could not be made may still be one that must go, and a new one would go in its place.
        try disk.information(directory + "/" + name) == nil && !isRetired(name)
    }

    /// Creates the file of a row.
    func create(
        _ row: SegmentRow, of conversation: ConversationIdentity, hashBefore: Digest, dictionary: LogDictionary,
        isBeginning: Bool = false
    ) throws(LogError) -> Segment {
        let header = SegmentHeader(
            store: store, conversation: conversation.id, epoch: epoch, firstSeq: row.firstSeq, hashBefore: hashBefore,
            created: clock.now(), dictionary: dictionary.id, kind: conversation.kind, name: conversation.name,
            users: conversation.users, isBeginning: isBeginning)
        return try Segment.create(
            at: directory + "/" + row.name(of: conversation.id), header: header, dictionary: dictionary, on: disk)
    }

    /// Writes the blocks and syncs the file.
    ///
    /// - Parameter closing: whether nothing may be appended to this segment afterwards.
    public func write(
        _ blocks: [Block], to target: Target, hashAfter: Digest, closing: Bool = false
    ) throws(ArchiveError) -> WrittenBlocks {
        do throws(LogError) {
            var row = target.row
            var offset = row.size
            var rows: [BlockRow] = []
            for block in blocks {
                rows.append(BlockRow(block.header, at: offset, in: row))
                offset += UInt64(block.header.totalLength)
            }
            _ = try target.segment.append(blocks, at: row.size)
            try target.segment.sync()
            row.size = offset
            row.isClosed = closing || offset >= Segment.maximumBytes
            return WrittenBlocks(
                segment: row, newDictionary: target.isNew ? target.segment.dictionary : nil, blocks: rows,
                hashAfter: hashAfter)
        } catch {
            // The partly written blocks are not recorded, and their messages are still where they came from.
            try? takeBack(target.segment.path, to: target.isNew ? nil : target.row.size)
            throw .log(error)
        }
    }

    /// Removes written blocks that will not be recorded because their transaction certainly failed.
    public func withdraw(_ written: WrittenBlocks, of conversation: ConversationID) throws(ArchiveError) {
        let isNew = written.newDictionary != nil
        do throws(DiskError) {
            let path = directory + "/" + written.segment.name(of: conversation)
            try takeBack(path, to: isNew ? nil : written.blocks.first?.offset)
        } catch {
            throw .disk(error)
        }
    }

    /// - Parameter size: the file's former length; nil if it did not exist.
    private func takeBack(_ path: String, to size: UInt64?) throws(DiskError) {
        // Another server may have removed the file.
        guard try disk.information(path) != nil else { return }
        if let size {
            let file = try disk.open(path, .readWrite)
            try file.truncate(to: size)
            try file.sync()
        } else {
            try disk.remove(path)
            try disk.syncDirectory(Path.directory(of: path))
        }
    }

    /// Seals the messages of consecutive parts into blocks and writes them.
    ///
    /// A conversation's first segment has no dictionary. Once it has 64 KiB of text it is closed, and the next
    /// segment takes its dictionary from that text.
    ///
    /// - Parameters:
    ///   - last: the conversation's last segment, from the index.
    ///   - earlierText: up to 64 KiB of the newest text before these records, for the dictionary of a new segment.
    public func seal(
        _ parts: [OpenBlock], of conversation: ConversationIdentity, last: SegmentRow?, effort: Block.Effort = .best,
        earlierText: () throws -> [UInt8]
    ) throws(ArchiveError) -> WrittenBlocks {
        guard let first = parts.first else { throw .log(.malformed(reason: "there is nothing to seal")) }
        let target = try target(
            for: conversation, last: last, firstSeq: first.records.firstSeq, hashBefore: first.hashBefore,
            dictionary: { LogDictionary(try earlierText()) })
        var blocks: [Block] = []
        do throws(FormatViolation) {
            for part in parts {
                blocks += try part.records.blocks(
                    0..<part.records.count, of: conversation.id,
                    hashBefore: blocks.last?.header.hashAfter ?? first.hashBefore,
                    knownHash: part.knownHash(after:), dictionary: target.segment.dictionary, effort: effort)
            }
            // The tail is dropped once the blocks are recorded. So this first proves that each can be decompressed, and that
            // it has the hash chain.
            for block in blocks { _ = try block.verify(with: target.segment.dictionary) }
        } catch {
            throw .log(.malformed(reason: error.reason))
        }
        let isLearning = target.row.dictionary == .none
        let stored = target.row.size + UInt64(blocks.reduce(0) { $0 + $1.header.rawLength })
        return try write(
            blocks, to: target, hashAfter: blocks.last?.header.hashAfter ?? first.hashBefore,
            closing: isLearning && stored >= UInt64(LogDictionary.maximumBytes))
    }
}
