public import NatterSystem
public import NatterModel
public import NatterLog
internal import NatterSQLite

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

/// How an erasure, or the end of the time for which messages are kept, changes the log files of one conversation.
public struct RewritePlan: Sendable {
    /// A segment to be written.
    struct Output {
        /// The segment that it replaces; nil if no message stays.
        let old: SegmentRow?
        /// The blocks of the old one that stay, lowest first.
        let blocks: [BlockRow]
        /// The row of the new file, without its size.
        let row: SegmentRow
        /// Whether it gets a dictionary of the texts that stay. All its blocks are compressed again then.
        let takesDictionary: Bool
        /// Whether the log begins with it, because older messages are not kept any more.
        var beginsLog = false
    }

    public let conversation: ConversationIdentity
    /// The messages that are erased now, lowest first, the H of each, whether it is an event, and the author of a text that did
    /// not count as unread for that user.
    public internal(set) var messages: [(seq: Seq, digest: Digest, isEvent: Bool, author: String?)] = []
    /// The commit of the newest of them.
    public internal(set) var lastCommit = Commit.zero
    /// The account that is erased, if its messages are.
    var account: ErasedAccount?
    /// The seeds that are withdrawn.
    var seeds: Set<SaltSeed> = []
    /// The first seqs of the blocks that lose messages or seeds.
    var blocks: Set<Seq> = []
    var outputs: [Output] = []
    /// Segments of which nothing stays.
    var dropped: [SegmentRow] = []
    /// The chain at the end of the log, for a log without messages.
    var hashAtEnd = Digest.zero

    init(conversation: ConversationIdentity) { self.conversation = conversation }

    var seqs: Set<Seq> { Set(messages.map(\.seq)) }
    /// The paths of the new files. Note them in `RetiredFiles` before they are written.
    public var paths: [String] { outputs.map { $0.row.name(of: conversation.id) } }
}

/// Writes segments again, without messages that are erased or not kept any more. Server and replica use it.
///
/// Seqs and hash chain stay. A block that changes gets the next revision. The steps, each of which may be the last before a
/// crash:
/// 1. `plan` says what changes. Nothing is written.
/// 2. The caller records the plan's `paths` in the table `retired`, so that a start removes a file that is only half written.
/// 3. `write` writes and syncs each new file.
/// 4. The caller records the result in one transaction (`WrittenBlocks.record`). From now on the messages are gone, and the old
///    files are in the table.
/// 5. The caller wipes them (`RetiredFiles.wipe`).
public struct SegmentRewriter {
    /// How many blocks one write has.
    private static let portion = 16
    /// A segment of fewer bytes has no dictionary, which would take as much space as it saves.
    private static let leastBytesForDictionary = 2 * LogDictionary.maximumBytes
    /// A dictionary is made of text at most so many bytes before its segment. Stored bytes are never more than those of the text.
    private static let dictionaryReach = 4 << 20

    private let conversation: ConversationIdentity
    private let reader: ArchiveReader
    private let writer: ArchiveWriter
    private let isShared: Bool

    /// - Parameter isShared: whether several servers write the files. Each keeps the messages in a log until their blocks are
    ///   recorded, so bytes that are not recorded are never the only copy.
    public init(
        _ conversation: ConversationIdentity, _ reader: ArchiveReader, _ writer: ArchiveWriter, isShared: Bool = false
    ) {
        (self.conversation, self.reader, self.writer, self.isShared) = (conversation, reader, writer, isShared)
    }

    // MARK: Planning

    /// Plans to erase these messages. Those that are erased already, or in no block, are left out.
    ///
    /// - Parameters:
    ///   - account: the account that is erased with them.
    ///   - isAgain: whether an erased event keeps the words that it has.
    /// - Throws: `ArchiveError.damaged` if a block that must be written again can't be read; `LogError.damaged` if a file has
    ///   bytes behind its last recorded block.
    public func plan(
        erasing seqs: Set<Seq>, of account: ErasedAccount? = nil, isAgain: Bool = false
    ) throws(ArchiveError) -> RewritePlan {
        try ArchiveError.translate {
            var planner = try ErasurePlanner(seqs, of: conversation, account: account, isAgain: isAgain, reader)
            let segments = try planner.segments()
            var plan = planner.plan
            for (row, takesDictionary) in segments {
                let blocks = try ArchiveRows.blocks(of: row, on: reader.connection)
                guard !blocks.isEmpty else {
                    throw LogError.malformed(reason: "the index has no block of '\(row.name(of: conversation.id))'")
                }
                plan.outputs.append(try output(row, blocks, takesDictionary: takesDictionary))
            }
            return plan
        }
    }

    /// Plans to drop all messages before `cut`, which is the first seq of a block, or the seq after the last sealed message.
    ///
    /// A segment whose dictionary may contain text that goes is written again, too.
    ///
    /// - Parameter hashAtEnd: the chain at the end of the log, for a log without messages.
    /// - Throws: `LogError.damaged` if a file has bytes behind its last recorded block.
    public func plan(droppingBelow cut: Seq, hashAtEnd: Digest) throws(ArchiveError) -> RewritePlan {
        var plan = RewritePlan(conversation: conversation)
        plan.hashAtEnd = hashAtEnd
        var keptBytes = 0
        return try ArchiveError.translate {
            for row in try ArchiveRows.segments(of: conversation.number, on: reader.connection) {
                let kept = try ArchiveRows.blocks(of: row, on: reader.connection).filter { $0.firstSeq >= cut }
                if kept.isEmpty {
                    try checkEnd(of: row)
                    plan.dropped.append(row)
                } else if plan.outputs.isEmpty || row.dictionary != .none && keptBytes < Self.dictionaryReach {
                    plan.outputs.append(try output(row, kept, takesDictionary: true))
                }
                keptBytes += kept.reduce(0) { $0 + $1.length }
            }
            if plan.outputs.isEmpty {
                // It says where the log begins and which chain its next message continues.
                let row = try writer.freeRow(of: conversation, firstSeq: cut)
                plan.outputs = [RewritePlan.Output(old: nil, blocks: [], row: row, takesDictionary: true)]
            }
            plan.outputs[0].beginsLog = true
            return plan
        }
    }

    private func output(
        _ old: SegmentRow, _ blocks: [BlockRow], takesDictionary: Bool
    ) throws -> RewritePlan.Output {
        try checkEnd(of: old)
        let first = blocks.first?.firstSeq ?? old.firstSeq
        // A reader may still have the old file under its name.
        let row = try writer.freeRow(
            of: conversation, firstSeq: first, above: first == old.firstSeq ? old.generation : -1)
        return RewritePlan.Output(old: old, blocks: blocks, row: row, takesDictionary: takesDictionary)
    }

    /// Refuses a file with bytes that belong to no block. They may be messages, and only a repair can tell.
    private func checkEnd(of row: SegmentRow) throws {
        let path = writer.directory + "/" + row.name(of: conversation.id)
        if !isShared, let found = try writer.disk.information(path), found.size > row.size {
            throw LogError.damaged(path: path, offset: row.size, reason: "bytes lie behind the last recorded block")
        }
    }

    // MARK: Writing

    /// Writes and syncs the new files. Nothing names them yet.
    ///
    /// - Throws: `damaged` if a block that stays can't be read. Then nothing of what was written is of use.
    public func write(_ plan: RewritePlan) throws(ArchiveError) -> [WrittenBlocks] {
        var made: [String] = []
        do throws(ArchiveError) {
            return try ArchiveError.translate {
                let seqs = plan.seqs
                var written: [WrittenBlocks] = []
                for output in plan.outputs { written.append(try write(output, plan, seqs, &made)) }
                for row in plan.dropped {
                    written[0].dropped.append(ReplacedSegment(row: row, conversation: conversation.id))
                }
                return written
            }
        } catch {
            // Files of a failed attempt must not take the last room of a disk.
            if error.isFull { remove(made) }
            throw error
        }
    }

    /// Removes what `write` has made, if it is of no use after all.
    public func takeBack(_ plan: RewritePlan) { remove(plan.paths) }

    private func remove(_ names: [String]) {
        for name in names { try? writer.disk.remove(writer.directory + "/" + name) }
    }

    /// - Parameter made: gets the name of the new file.
    private func write(
        _ output: RewritePlan.Output, _ plan: RewritePlan, _ seqs: Set<Seq>, _ made: inout [String]
    ) throws -> WrittenBlocks {
        let source = try output.blocks.first.map { try reader.segment(of: $0, conversation) }
        let dictionary =
            output.takesDictionary ? try newDictionary(output.blocks, seqs) : source?.dictionary ?? .none
        var hash =
            try output.blocks.first.map { try reader.block($0, of: conversation).header.hashBefore } ?? plan.hashAtEnd
        let target = try writer.create(
            output.row, of: conversation, hashBefore: hash, dictionary: dictionary,
            isBeginning: output.beginsLog || source?.header.isBeginning ?? false)
        made.append(output.row.name(of: conversation.id))
        var row = output.row
        (row.size, row.dictionary) = (target.bodyOffset, dictionary.id)
        var rows: [BlockRow] = []
        for start in stride(from: 0, to: output.blocks.count, by: SegmentRewriter.portion) {
            var portion: [Block] = []
            var end = row.size
            for old in output.blocks[start..<min(output.blocks.count, start + SegmentRewriter.portion)] {
                guard let source else { continue }
                var block = try source.block(at: old.offset, length: old.length, firstSeq: old.firstSeq)
                if output.takesDictionary || plan.blocks.contains(old.firstSeq) {
                    block = try rewritten(block, old, source, dictionary, seqs, plan)
                }
                rows.append(BlockRow(block.header, at: end, in: row))
                end += UInt64(block.header.totalLength)
                portion.append(block)
                hash = block.header.hashAfter
            }
            row.size = try target.append(portion, at: row.size)
        }
        try target.sync()
        let isLearned = dictionary == .none && row.size >= UInt64(LogDictionary.maximumBytes)
        row.isClosed = output.old?.isClosed ?? false || isLearned || row.size >= Segment.maximumBytes
        return WrittenBlocks(
            segment: row, newDictionary: dictionary, blocks: rows, hashAfter: hash,
            replaced: output.old.map { ReplacedSegment(row: $0, conversation: conversation.id) })
    }

    /// The block with the next revision, without what is erased. Its hashes stay.
    private func rewritten(
        _ former: Block, _ row: BlockRow, _ source: Segment, _ dictionary: LogDictionary, _ seqs: Set<Seq>,
        _ plan: RewritePlan
    ) throws(LogError) -> Block {
        do throws(FormatViolation) {
            let records = try former.verify(with: source.dictionary)
                .erasing(seqs, withdrawing: plan.seeds, of: plan.account)
            let block = try Block(
                sealing: records, of: conversation.id, hashBefore: former.header.hashBefore, dictionary: dictionary,
                revision: former.header.revision &+ 1)
            _ = try block.verify(with: dictionary)
            guard block.header.hashAfter == former.header.hashAfter else {
                throw FormatViolation("the hash chain of a block differs")
            }
            return block
        } catch {
            throw .damaged(path: source.path, offset: row.offset, reason: error.reason)
        }
    }

    /// A dictionary of the first texts that stay.
    private func newDictionary(_ rows: [BlockRow], _ erased: Set<Seq>) throws -> LogDictionary {
        guard rows.reduce(0, { $0 + $1.length }) >= Self.leastBytesForDictionary else { return .none }
        var text: [UInt8] = []
        for row in rows where text.count < LogDictionary.maximumBytes {
            let records = try reader.open(row, of: conversation).records
            for index in 0..<records.count where !erased.contains(records.firstSeq.advanced(by: index)) {
                records.withText(at: index) { text += $0 }
            }
        }
        return LogDictionary(text.prefix(LogDictionary.maximumBytes))
    }
}
