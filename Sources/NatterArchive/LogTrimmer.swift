public import NatterCrypto
internal import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// Writes the beginning of a conversation's log again, without messages that are not kept any more.
///
/// Seqs and hash chain stay. Each block is compressed again with a dictionary of what stays, and gets the next revision. The
/// steps are those of `SegmentRewriter`.
public struct LogTrimmer {
    private let reader: ArchiveReader
    private let writer: ArchiveWriter
    private let conversation: ConversationIdentity

    /// A segment of fewer bytes has no dictionary, which would take as much space as it saves.
    private static let leastBytesForDictionary = 2 * LogDictionary.maximumBytes
    /// A dictionary is made of text at most so many bytes before its segment. Stored bytes are never more than those of the text.
    private static let dictionaryReach = 4 << 20

    public init(_ conversation: ConversationIdentity, _ reader: ArchiveReader, _ writer: ArchiveWriter) {
        (self.conversation, self.reader, self.writer) = (conversation, reader, writer)
    }

    /// What becomes of the segments. The first new one is marked as the beginning of the log.
    public struct Plan: Sendable {
        /// A segment to be written.
        struct Output {
            /// The segment that it replaces; nil if no message stays.
            let old: SegmentRow?
            /// The blocks of the old one that stay, lowest first.
            let blocks: [BlockRow]
            let row: SegmentRow
        }

        let outputs: [Output]
        /// Segments of which nothing stays.
        let dropped: [SegmentRow]
        /// The paths of the new files. Note them in `RetiredFiles` before you call `write`.
        public let paths: [String]
    }

    /// Plans to drop all messages before `cut`, which is the first seq of a block, or the seq after the last sealed message.
    ///
    /// A segment whose dictionary may contain text that goes is written again, too.
    public func plan(droppingBelow cut: Seq) throws(ArchiveError) -> Plan {
        var outputs: [Plan.Output] = []
        var dropped: [SegmentRow] = []
        var keptBytes = 0
        for (row, blocks) in try segments() {
            let kept = blocks.filter { $0.firstSeq >= cut }
            guard let first = kept.first else {
                dropped.append(row)
                continue
            }
            if outputs.isEmpty || row.dictionary != .none && keptBytes < LogTrimmer.dictionaryReach {
                var new = try writer.freeRow(of: conversation, firstSeq: first.firstSeq)
                new.isClosed = row.isClosed
                outputs.append(Plan.Output(old: row, blocks: kept, row: new))
            }
            keptBytes += kept.reduce(0) { $0 + $1.length }
        }
        if outputs.isEmpty {
            // It says where the log begins and which chain its next message continues.
            outputs = [
                Plan.Output(old: nil, blocks: [], row: try writer.freeRow(of: conversation, firstSeq: cut))
            ]
        }
        return Plan(outputs: outputs, dropped: dropped, paths: outputs.map { $0.row.name(of: conversation.id) })
    }

    private func segments() throws(ArchiveError) -> [(row: SegmentRow, blocks: [BlockRow])] {
        do throws(SQLiteError) {
            return try ArchiveRows.segments(of: conversation.number, on: reader.connection).map {
                row throws(SQLiteError) in (row, try ArchiveRows.blocks(of: row, on: reader.connection))
            }
        } catch {
            throw .index(error)
        }
    }

    /// Writes and syncs the new files.
    ///
    /// - Parameter hashAtEnd: the chain at the end of the log, for a log without messages.
    /// - Throws: `damaged` if a block that stays can't be read. Then nothing of what was written is of use.
    public func write(_ plan: Plan, hashAtEnd: Digest) throws(ArchiveError) -> [WrittenBlocks] {
        var written: [WrittenBlocks] = []
        do {
            for output in plan.outputs {
                written.append(try write(output, isBeginning: written.isEmpty, hashAtEnd))
            }
        } catch {
            throw ArchiveError(error)
        }
        written[0].dropped = plan.dropped.map { ReplacedSegment(row: $0, conversation: conversation.id) }
        return written
    }

    private func write(_ output: Plan.Output, isBeginning: Bool, _ hashAtEnd: Digest) throws -> WrittenBlocks {
        let dictionary = try dictionary(of: output.blocks)
        var hash = try output.blocks.first.map { try reader.block($0, of: conversation).header.hashBefore } ?? hashAtEnd
        let segment = try writer.create(
            output.row, of: conversation, hashBefore: hash, dictionary: dictionary, isBeginning: isBeginning)
        var row = output.row
        (row.size, row.dictionary) = (segment.bodyOffset, dictionary.id)
        var rows: [BlockRow] = []
        for old in output.blocks {
            let block = try rewritten(old, dictionary)
            rows.append(BlockRow(block.header, at: row.size, in: row))
            row.size = try segment.append([block], at: row.size)
            hash = block.header.hashAfter
        }
        try segment.sync()
        let isLearned = dictionary == .none && row.size >= UInt64(LogDictionary.maximumBytes)
        row.isClosed = row.isClosed || isLearned || row.size >= Segment.maximumBytes
        return WrittenBlocks(
            segment: row, newDictionary: dictionary, blocks: rows, hashAfter: hash,
            replaced: output.old.map { ReplacedSegment(row: $0, conversation: conversation.id) })
    }

    private func rewritten(_ row: BlockRow, _ dictionary: LogDictionary) throws -> Block {
        let old = try reader.block(row, of: conversation).header
        let block = Block(
            sealing: try reader.open(row, of: conversation).records, of: conversation.id, hashBefore: old.hashBefore,
            dictionary: dictionary, revision: old.revision &+ 1)
        // This also finds damage of the old block that its checksums do not show.
        guard block.header.hashAfter == old.hashAfter else {
            throw ArchiveError.damaged(from: row.firstSeq, to: row.lastSeq, detail: "the hash chain of a block differs")
        }
        do throws(FormatViolation) { _ = try block.verify(with: dictionary) } catch {
            throw LogError.malformed(reason: error.reason)
        }
        return block
    }

    /// A dictionary of the first texts that stay.
    private func dictionary(of blocks: [BlockRow]) throws -> LogDictionary {
        guard blocks.reduce(0, { $0 + $1.length }) >= LogTrimmer.leastBytesForDictionary else { return .none }
        var text: [UInt8] = []
        for row in blocks where text.count < LogDictionary.maximumBytes {
            text += try reader.open(row, of: conversation).records.lastText(limit: LogDictionary.maximumBytes)
        }
        return LogDictionary(text)
    }
}
