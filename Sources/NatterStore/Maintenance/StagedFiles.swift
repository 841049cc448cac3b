internal import NatterConversation
internal import NatterSystem
internal import NatterLog
internal import NatterModel

/// The log files of one import, written one after the other into the staging directory. Not thread-safe.
///
/// Blocks are compressed before their messages have numbers. Only the header of a block depends on the numbers, and
/// `settle` corrects the headers at the end.
final class StagedFiles {
    private let staging: ImportStaging
    private let store: StoreID
    private let epoch: Epoch
    private let created: Timestamp
    private let conversation: ConversationIdentity
    private let sizes: Sizes
    /// The place that the blocks were packed for.
    private let start: Place
    private var hash: Digest
    private var files: [File] = []
    private var current: File?
    /// The newest text, from which a dictionary is made. The first text waits here until there is enough of it.
    private var recent: [Records] = []
    private var recentBytes = 0
    /// The hash of each message, in order, 32 bytes each. They are in a file, because there may be millions.
    private let digests: any DiskFile
    private(set) var count = 0
    /// The records that are about others, with the seqs that the blocks were packed for.
    private(set) var relations: [Relation] = []
    /// How many records are no texts.
    private(set) var uncounted = 0

    /// When a dictionary is trained and when a new file begins. Tests use smaller sizes.
    struct Sizes: Sendable {
        /// Bytes of text that a dictionary is trained from.
        var sample = DictionaryTrainer.sampleBytes
        /// The size of a file after which the next one begins.
        var segment = Segment.maximumBytes
    }

    /// A place in a conversation for the imported messages.
    struct Place: Sendable, Equatable {
        let firstSeq: Seq
        /// The chain before the first message.
        let hashBefore: Digest
        let commit: Commit
    }

    private struct File {
        let segment: Segment
        /// Its name in the staging directory.
        let name: String
        var size: UInt64
        var blocks: [(header: BlockHeader, offset: UInt64)] = []
    }

    /// A file with correct headers, and its rows.
    struct Settled: Sendable {
        /// Its name in the staging directory.
        let name: String
        /// Its final path below the data directory.
        let target: String
        let written: WrittenBlocks
    }

    init(
        staging: ImportStaging, store: StoreID, epoch: Epoch, created: Timestamp, conversation: ConversationIdentity,
        start: Place, sizes: Sizes
    ) throws(DiskError) {
        (self.staging, self.store, self.epoch, self.created) = (staging, store, epoch, created)
        (self.conversation, self.start, self.sizes) = (conversation, start, sizes)
        hash = start.hashBefore
        digests = try staging.disk.open(staging.directory + "/digests", .create)
    }

    func append(_ records: Records) throws {
        if current == nil, files.isEmpty {
            remember(records)
            guard recentBytes >= sizes.sample else { return }
            return try writeRecent()
        }
        if let current, current.size >= sizes.segment { try close(current) }
        if current == nil { current = try begin(at: records.firstSeq, with: DictionaryTrainer.train(recentText())) }
        try write(records)
        remember(records)
        while let oldest = recent.first, recentBytes - oldest.textBytes >= sizes.sample {
            recent.removeFirst()
            recentBytes -= oldest.textBytes
        }
    }

    /// Writes what still waits, and syncs the last file.
    func finish() throws {
        if current == nil, files.isEmpty { try writeRecent() }
        if let current { try close(current) }
        recent = []
    }

    private func remember(_ records: Records) {
        recent.append(records)
        recentBytes += records.textBytes
    }

    private func writeRecent() throws {
        guard let first = recent.first else { return }
        // For little text, a dictionary takes as much space as it saves.
        let isWorthOne = recentBytes >= 4 * LogDictionary.maximumBytes
        current = try begin(
            at: first.firstSeq, with: isWorthOne ? DictionaryTrainer.train(recentText()) : .none)
        for records in recent { try write(records) }
    }

    private func recentText() -> [UInt8] {
        var text: [UInt8] = []
        for records in recent { text += records.lastText(limit: .max) }
        return text
    }

    private func begin(at seq: Seq, with dictionary: LogDictionary) throws -> File {
        let header = SegmentHeader(
            store: store, conversation: conversation.id, epoch: epoch, firstSeq: seq, hashBefore: hash,
            created: created, dictionary: dictionary.id, kind: conversation.kind, name: conversation.name,
            users: conversation.users)
        let name = "\(files.count).log"
        let segment = try Segment.create(
            at: staging.path(of: name), header: header, dictionary: dictionary, on: staging.disk)
        return File(segment: segment, name: name, size: segment.bodyOffset)
    }

    private func write(_ records: Records) throws {
        guard var file = current else { return }
        let each = HashChain.digests(of: records)
        let hashAfter = each.reduce(hash) { HashChain.advance($0, by: $1) }
        let block = try Block(
            sealing: records, of: conversation.id, hashBefore: hash, hashAfter: hashAfter,
            dictionary: file.segment.dictionary, effort: .best)
        try digests.write(each.flatMap(\.bytes), at: UInt64(count * Digest.byteCount))
        count += each.count
        relations += Relation.all(of: records)
        uncounted += (0..<records.count).count { records.uncounted(at: $0) == .everyone }
        file.blocks.append((block.header, file.size))
        file.size = try file.segment.append([block], at: file.size)
        hash = hashAfter
        current = file
    }

    private func close(_ file: File) throws {
        try file.segment.sync()
        files.append(file)
        current = nil
    }

    // MARK: The place

    /// The relations with the seqs of the final place.
    func relations(at place: Place) -> [Relation] {
        let (first, packed) = (place.firstSeq.rawValue, start.firstSeq.rawValue)
        func settled(_ seq: Seq) -> Seq { Seq(seq.rawValue &- packed &+ first) }
        return relations.map {
            Relation(about: settled($0.about), kind: $0.kind, seq: settled($0.seq), time: $0.time)
        }
    }

    /// Corrects the headers for the final place: each gets its number, its commit and the chain before and after it.
    /// Costs a seek and 160 bytes for each block, and less than a microsecond for each message.
    ///
    /// - Parameters:
    ///   - number: the conversation's number, for the rows.
    ///   - writer: knows which names are free.
    func settle(at place: Place, in number: Int64, with writer: ArchiveWriter) throws -> [Settled] {
        var seq = place.firstSeq
        var hash = place.hashBefore
        var done = 0
        let isElsewhere = place.hashBefore != start.hashBefore
        var settled: [Settled] = []
        for file in files {
            // A file that a shared store has taken and given back is a copy.
            let segment = try Segment.open(
                at: staging.path(of: file.name), on: staging.disk, mode: .readWrite, spare: file.segment.dictionary)
            var header = segment.header
            (header.firstSeq, header.hashBefore) = (seq, hash)
            try segment.replaceHeader(header)
            var row = try writer.freeRow(of: conversation, firstSeq: seq)
            (row.conversation, row.size, row.dictionary) = (number, file.size, segment.dictionary.id)
            row.isClosed = file.size >= Segment.maximumBytes
            var rows: [BlockRow] = []
            for (packed, offset) in file.blocks {
                var header = packed
                (header.firstSeq, header.hashBefore, header.lastCommit) = (seq, hash, place.commit)
                if isElsewhere { header.hashAfter = try chain(hash, over: done..<done + header.count) }
                try segment.replaceHeader(header, at: offset)
                rows.append(BlockRow(header, at: offset, in: row))
                seq = header.lastSeq.next
                hash = header.hashAfter
                done += header.count
            }
            try segment.sync()
            settled.append(
                Settled(
                    name: file.name, target: row.name(of: conversation.id),
                    written: WrittenBlocks(
                        segment: row, newDictionary: segment.dictionary, blocks: rows, hashAfter: hash)))
        }
        return settled
    }

    private func chain(_ hash: Digest, over range: Range<Int>) throws -> Digest {
        let bytes = try digests.read(
            count: range.count * Digest.byteCount, at: UInt64(range.lowerBound * Digest.byteCount))
        return try bytes.withUnsafeBytes { bytes in
            var hash = hash
            for index in 0..<range.count {
                let start = index * Digest.byteCount
                guard start + Digest.byteCount <= bytes.count,
                    let next = Digest(bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<start + Digest.byteCount]))
                else { throw DiskError(code: .ioError, operation: "read", path: digests.path) }
                hash = HashChain.advance(hash, by: next)
            }
            return hash
        }
    }
}
