internal import NatterCrypto
internal import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSQLite
public import NatterSystem

/// A segment that another file replaces.
public struct ReplacedSegment: Sendable {
    public let row: SegmentRow
    public let conversation: ConversationID

    /// Removes its rows. The new file stays from now on, and the old one must go.
    func record(with new: SegmentRow, on connection: Connection) throws(SQLiteError) {
        try ArchiveRows.delete(row, on: connection)
        try RetiredFiles.insert(row.name(of: conversation), on: connection)
        try RetiredFiles.delete(new.name(of: conversation), on: connection)
    }
}

/// Writes segments again, without the messages that an erasure removes. Server and replica use it.
///
/// The steps, each of which may be the last before a crash:
/// 1. `plan` says what changes. Nothing is written.
/// 2. The caller records `names(for:)` in the table `retired`, so that a start removes a file that is only half written.
/// 3. `rewrite` writes and syncs each new file.
/// 4. The caller records the result in one transaction (`WrittenBlocks.record`). From now on the erasure is done, and the old
///    files are in the table.
/// 5. The caller wipes them (`RetiredFiles.wipe`).
public struct SegmentRewriter {
    /// How many blocks one write has.
    private static let portion = 16

    private let directory: String
    private let disk: any Disk
    private let reader: ArchiveReader

    public init(directory: String, disk: any Disk, reader: ArchiveReader) {
        (self.directory, self.disk, self.reader) = (directory, disk, reader)
    }

    /// Finds what the erasure of these messages changes. Messages that are erased already, or in no block, are left out.
    ///
    /// - Throws: `ArchiveError.damaged` if a block that must be written again can't be read.
    public func plan(
        erasing seqs: Set<Seq>, of conversation: ConversationIdentity
    ) throws(ArchiveError) -> ErasurePlan {
        do { return try ErasurePlanner.plan(seqs, of: conversation, reader) } catch { throw ArchiveError(error) }
    }

    /// The rows of the new files, without their sizes: the next generations that no file has.
    public func targets(of plan: ErasurePlan) throws(ArchiveError) -> [SegmentRow] {
        do throws(DiskError) {
            var targets: [SegmentRow] = []
            for segment in plan.segments {
                var target = segment
                repeat {
                    target.generation += 1
                } while try disk.information(
                    directory + "/" + target.name(of: plan.conversation.id)) != nil
                targets.append(target)
            }
            return targets
        } catch {
            throw .disk(error)
        }
    }

    /// Writes one segment again. The file is durable when this returns, and nothing names it yet.
    ///
    /// - Throws: `ArchiveError.damaged` if a block can't be read, or bytes are in the file that belong to no block. They may be
    ///   messages, and only a repair can tell.
    public func rewrite(
        _ old: SegmentRow, to target: SegmentRow, _ plan: ErasurePlan
    ) throws(ArchiveError) -> WrittenBlocks {
        do { return try write(old, target, plan) } catch { throw ArchiveError(error) }
    }

    private func write(_ old: SegmentRow, _ target: SegmentRow, _ plan: ErasurePlan) throws -> WrittenBlocks {
        let rows = try ArchiveRows.blocks(of: old, on: reader.connection)
        guard let first = rows.first, let last = rows.last else {
            throw LogError.malformed(reason: "the index has no block of '\(old.name(of: plan.conversation.id))'")
        }
        let source = try reader.segment(of: first, plan.conversation)
        if try source.file.size() > old.size {
            throw LogError.damaged(
                path: source.path, offset: old.size, reason: "bytes lie behind the last recorded block")
        }
        let takesDictionary = plan.dictionaries.contains(old.dictionary)
        let dictionary = takesDictionary ? try newDictionary(rows, plan) : source.dictionary
        var header = source.header
        header.dictionary = dictionary.id
        var row = target
        row.dictionary = dictionary.id
        let file = try Segment.create(
            at: directory + "/" + row.name(of: plan.conversation.id), header: header, dictionary: dictionary, on: disk)
        var offset = file.bodyOffset
        var written: [BlockRow] = []
        var portion: [Block] = []
        var hashAfter = header.hashBefore
        for blockRow in rows {
            let former = try source.block(at: blockRow.offset, length: blockRow.length, firstSeq: blockRow.firstSeq)
            let isChanged = takesDictionary || plan.blocks.contains(blockRow.firstSeq)
            let block =
                isChanged ? try erase(former, blockRow, source, dictionary, plan) : former
            written.append(
                BlockRow(
                    block.header, at: offset + UInt64(portion.reduce(0) { $0 + $1.header.totalLength }), in: row))
            hashAfter = block.header.hashAfter
            portion.append(block)
            if portion.count == SegmentRewriter.portion || blockRow == last {
                offset = try file.append(portion, at: offset)
                portion = []
            }
        }
        try file.sync()
        row.size = offset
        row.isClosed = old.isClosed || offset >= Segment.maximumBytes
        return WrittenBlocks(
            segment: row, newDictionary: dictionary, blocks: written, hashAfter: hashAfter,
            replaced: ReplacedSegment(row: old, conversation: plan.conversation.id))
    }

    /// The block with the next revision, without what is erased. Its hashes stay.
    private func erase(
        _ former: Block, _ row: BlockRow, _ source: Segment, _ dictionary: LogDictionary, _ plan: ErasurePlan
    ) throws(LogError) -> Block {
        do throws(FormatViolation) {
            let records = try former.verify(with: source.dictionary).erasing(plan.seqs, withdrawing: plan.seeds)
            let block = Block(
                sealing: records, of: plan.conversation.id, hashBefore: former.header.hashBefore,
                dictionary: dictionary, revision: former.header.revision &+ 1)
            _ = try block.verify(with: dictionary)
            guard block.header.hashAfter == former.header.hashAfter else {
                throw FormatViolation("the hash chain of a block differs")
            }
            return block
        } catch {
            throw .damaged(path: source.path, offset: row.offset, reason: error.reason)
        }
    }

    /// A dictionary of the first texts of the segment that stay.
    private func newDictionary(_ rows: [BlockRow], _ plan: ErasurePlan) throws -> LogDictionary {
        let seqs = plan.seqs
        var bytes: [UInt8] = []
        for row in rows where bytes.count < LogDictionary.maximumBytes {
            let records = try reader.open(row, of: plan.conversation).records
            for index in 0..<records.count where !seqs.contains(records.firstSeq.advanced(by: index)) {
                bytes += records[index].text
            }
        }
        return LogDictionary(bytes.prefix(LogDictionary.maximumBytes))
    }
}
