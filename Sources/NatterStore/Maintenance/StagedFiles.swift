internal import NatterArchive
internal import NatterCrypto
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// The log files of one import, written one after the other into its staging directory. For one thread.
final class StagedFiles {
    private let staging: ImportStaging
    private let store: StoreID
    private let epoch: Epoch
    private let created: Timestamp
    private let conversation: ConversationIdentity
    private let sizes: Sizes
    private var hash: Digest
    private var finished: [ImportPacker.Staged] = []
    private var current: Current?
    /// The newest text, to make a dictionary of; at first it waits to be written until there is enough of it.
    private var recent: [Records] = []
    private var recentBytes = 0

    /// When a dictionary is made and a new file begun.
    struct Sizes: Sendable {
        /// Bytes of text to make a dictionary of.
        var sample = DictionaryTrainer.sampleBytes
        /// Bytes of a file after which the next is begun.
        var segment = Segment.maximumBytes
    }

    private struct Current {
        let segment: Segment
        let name: String
        var row: SegmentRow
        var blocks: [BlockRow] = []
    }

    init(
        staging: ImportStaging, store: StoreID, epoch: Epoch, created: Timestamp, conversation: ConversationIdentity,
        hashBefore: Digest, sizes: Sizes
    ) {
        (self.staging, self.store, self.epoch, self.created) = (staging, store, epoch, created)
        (self.conversation, hash, self.sizes) = (conversation, hashBefore, sizes)
    }

    /// Adds the messages of one block.
    func append(_ records: Records) throws {
        if current == nil, finished.isEmpty {
            remember(records)
            guard recentBytes >= sizes.sample else { return }
            return try writeRecent()
        }
        if let current, current.row.size >= sizes.segment { try close(current) }
        if current == nil { current = try begin(at: records.firstSeq, with: DictionaryTrainer.train(recentText())) }
        try write(records)
        remember(records)
        while let oldest = recent.first, recentBytes - oldest.textBytes >= sizes.sample {
            recent.removeFirst()
            recentBytes -= oldest.textBytes
        }
    }

    /// Writes what still waits and syncs the last file.
    func finish() throws -> [ImportPacker.Staged] {
        if current == nil, finished.isEmpty { try writeRecent() }
        if let current { try close(current) }
        return finished
    }

    private func remember(_ records: Records) {
        recent.append(records)
        recentBytes += records.textBytes
    }

    private func writeRecent() throws {
        guard let first = recent.first else { return }
        // For a little text a dictionary would take as much room as it saves.
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

    private func begin(at seq: Seq, with dictionary: LogDictionary) throws -> Current {
        let header = SegmentHeader(
            store: store, conversation: conversation.id, epoch: epoch, firstSeq: seq, hashBefore: hash,
            created: created, dictionary: dictionary.id, kind: conversation.kind, name: conversation.name,
            users: conversation.users)
        var generation = 0
        var name = Segment.name(of: conversation.id, firstSeq: seq, generation: generation)
        while try staging.disk.information(staging.root + "/" + name) != nil {
            generation += 1
            guard generation <= 0xFFFF else { throw DiskError(code: 17, operation: "create", path: name) }
            name = Segment.name(of: conversation.id, firstSeq: seq, generation: generation)
        }
        let segment = try Segment.create(
            at: staging.path(of: name), header: header, dictionary: dictionary, on: staging.disk)
        let row = SegmentRow(
            conversation: conversation.number, firstSeq: seq, generation: generation, size: segment.bodyOffset,
            dictionary: dictionary.id, isClosed: false)
        return Current(segment: segment, name: name, row: row)
    }

    private func write(_ records: Records) throws {
        guard var file = current else { return }
        let block = Block(
            sealing: records, of: conversation.id, hashBefore: hash, dictionary: file.segment.dictionary, effort: .best)
        file.blocks.append(BlockRow(block.header, at: file.row.size, in: file.row))
        file.row.size = try file.segment.append([block], at: file.row.size)
        hash = block.header.hashAfter
        current = file
    }

    private func close(_ file: Current) throws {
        try file.segment.sync()
        var row = file.row
        row.isClosed = row.size >= Segment.maximumBytes
        let written = WrittenBlocks(
            segment: row, newDictionary: file.segment.dictionary, blocks: file.blocks, hashAfter: hash)
        finished.append(ImportPacker.Staged(name: file.name, written: written))
        current = nil
    }
}
