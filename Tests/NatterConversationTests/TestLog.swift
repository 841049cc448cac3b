import NatterConversation
import NatterSystem
import NatterLog
import NatterModel
import NatterSQLite
import SystemSupport
import TestSupport

/// Log files and their index in a temporary directory.
final class TestArchive {
    let reader: ArchiveReader
    let directory: TemporaryDirectory
    private let connection: Connection
    private let writer: ArchiveWriter

    init() throws {
        directory = try TemporaryDirectory()
        connection = try Connection(path: directory("index.db"), role: .writer)
        try connection.execute(ArchiveSchema.tables)
        writer = ArchiveWriter(
            directory: directory.path, store: StoreID(high: 1, low: 2), epoch: Epoch(rawValue: 1), disk: PosixDisk(),
            clock: TestClock(), isRetired: { _ in false })
        reader = ArchiveReader(
            connection: connection, cache: ArchiveCache(directory: directory.path, disk: PosixDisk()))
    }

    /// Seals messages into blocks, in a new segment if `last` is nil.
    func seal(
        _ records: Records, of conversation: ConversationIdentity, last: SegmentRow?, hashBefore: Digest
    ) throws -> WrittenBlocks {
        let written = try writer.seal(
            [OpenBlock(records: records, hashBefore: hashBefore)], of: conversation, last: last, earlierText: { [] })
        try written.record(on: connection)
        return written
    }

    /// Flips a bit in the middle of each block.
    func damage(_ written: WrittenBlocks, of conversation: ConversationID) throws {
        let file = try PosixDisk().open(directory(written.segment.name(of: conversation)), .readWrite)
        for block in written.blocks {
            let place = block.offset + UInt64(BlockHeader.byteCount + (block.length - BlockHeader.byteCount) / 2)
            let byte = try file.read(count: 1, at: place)
            try file.write(byte.map { $0 ^ 4 }, at: place)
        }
    }
}

/// A log with runs of all kinds in random order, and what a reader should get of it.
struct TestLog {
    let reader: LogReader
    /// Kept because its files go with it.
    private let archive: TestArchive
    /// The messages that can be read, by rising seq.
    let messages: [Message]
    /// For each message, the highest time that the index knows up to it.
    let keys: [Timestamp]
    /// The hash chain after each seq, readable or not; the chain at the start comes first.
    let chain: [Digest]
    /// Messages that nothing holds.
    let absent: [ClosedRange<Seq>]
    let damaged: [RunExtent]
    /// The first seqs of the runs that can be read.
    let starts: Set<Seq>

    private enum Kind: CaseIterable { case sealed, moreSealed, absent, damaged }

    /// - Parameter isImported: whether every message was imported, so that times go back for good reason.
    init(_ number: Int64, in archive: TestArchive, isImported: Bool = false, _ random: inout SeededGenerator) throws {
        let id = ConversationID(using: &random)
        let identity = ConversationIdentity(number: number, id: id, kind: .group, name: "g\(number)", users: [])
        var chain = [HashChain.start(of: id)]
        var (messages, keys, starts) = ([Message](), [Timestamp](), Set<Seq>())
        var (absent, damaged) = ([ClosedRange<Seq>](), [RunExtent]())
        var sealedSeq = Seq.zero
        var last: SegmentRow?
        var highest = Timestamp(milliseconds: .min)
        var latest = Timestamp(milliseconds: .min)
        var tail: [TailPart] = []

        func makeRun() -> (records: Records, hashBefore: Digest) {
            let hashBefore = chain[chain.count - 1]
            var records = Records(firstSeq: Seq(UInt64(chain.count)))
            for index in 0..<([1, 3, 60].randomElement(using: &random) ?? 1) {
                records.append(
                    time: Timestamp(milliseconds: Int64(1_000_000 + chain.count * 10 + random.int(-200...200))),
                    sender: Array((Bool.random(using: &random) ? "alice" : "bob").utf8),
                    text: Array("word \(random.int(1...9))".utf8), kind: random.once(in: 10) ? .event : .text,
                    isImported: isImported, commit: Commit(UInt64(chain.count)))
                chain.append(HashChain.advance(chain[chain.count - 1], over: records, index..<index + 1))
            }
            latest = max(latest, records.highestTime)
            return (records, hashBefore)
        }
        func note(_ records: Records) {
            starts.insert(records.firstSeq)
            for index in 0..<records.count {
                let record = records[index]
                highest = max(highest, record.time)
                messages.append(Message(record, hash: chain[Int(record.seq.rawValue)], of: id, named: identity.name))
                keys.append(highest)
            }
        }
        func noteAbsent(_ records: Records) {
            let seqs = records.firstSeq...records.lastSeq
            if let before = absent.last, before.upperBound.next == seqs.lowerBound {
                absent[absent.count - 1] = before.lowerBound...seqs.upperBound
            } else {
                absent.append(seqs)
            }
        }

        for _ in 0..<random.int(6...14) {
            let run = makeRun()
            switch Kind.allCases.randomElement(using: &random) ?? .sealed {
            case .absent:
                noteAbsent(run.records)
                last = nil
            case .damaged:
                let written = try archive.seal(run.records, of: identity, last: nil, hashBefore: run.hashBefore)
                try archive.damage(written, of: id)
                highest = max(highest, run.records.highestTime)
                damaged.append(
                    RunExtent(
                        seqs: run.records.firstSeq...run.records.lastSeq, lowTime: run.records.lowestTime,
                        highTime: run.records.highestTime))
                last = nil
            case .sealed, .moreSealed:
                last = try archive.seal(run.records, of: identity, last: last, hashBefore: run.hashBefore).segment
                note(run.records)
            }
            sealedSeq = run.records.lastSeq
        }
        for _ in 0..<random.int(0...4) {
            let run = makeRun()
            if random.once(in: 4) {
                noteAbsent(run.records)
                continue
            }
            note(run.records)
            // A server's part is in memory, a client's is a block in a row.
            if Bool.random(using: &random) {
                let block = try Block(
                    sealing: run.records, 0..<run.records.count, of: id, hashBefore: run.hashBefore, dictionary: .none,
                    effort: .light)
                tail.append(
                    TailPart(
                        firstSeq: run.records.firstSeq, count: run.records.count, lowTime: run.records.lowestTime,
                        highTime: run.records.highestTime, content: .block(block.bytes)))
            } else {
                tail.append(TailPart(OpenBlock(records: run.records, hashBefore: run.hashBefore)))
            }
        }
        let head = Seq(UInt64(chain.count - 1))
        let log = ConversationLog(
            identity: identity, name: identity.name, head: head, sealedSeq: sealedSeq,
            hash: absent.last?.upperBound == head ? nil : chain[chain.count - 1], latestTime: latest,
            tail: PartsTail(parts: tail))
        reader = LogReader(log, archive.reader)
        (self.archive, self.messages, self.keys, self.chain) = (archive, messages, keys, chain)
        (self.absent, self.damaged, self.starts) = (absent, damaged, starts)
    }
}

/// A tail of parts in memory.
private struct PartsTail: LogTail {
    let parts: [TailPart]

    func part(containing seq: Seq, on connection: Connection) -> TailPart? {
        parts.first { $0.firstSeq <= seq && seq <= $0.lastSeq }
    }

    func neighbours(of seq: Seq, on connection: Connection) -> (below: Seq?, above: Seq?) {
        (parts.last { $0.lastSeq < seq }?.lastSeq, parts.first { $0.firstSeq > seq }?.firstSeq)
    }

    func extents(on connection: Connection) throws(SQLiteError) -> [RunExtent] {
        parts.map { part in
            if case .messages(let block) = part.content {
                return RunExtent(
                    seqs: part.firstSeq...part.lastSeq, lowTime: block.records.lowestTime,
                    highTime: block.records.highestTime)
            }
            return RunExtent(seqs: part.firstSeq...part.lastSeq, lowTime: part.lowTime, highTime: part.highTime)
        }
    }
}
