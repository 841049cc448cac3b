internal import NatterConversation
internal import NatterLog
public import NatterModel

/// One answer of sync. It is planned at one moment and read block by block while it is sent, so an answer of any size
/// needs the memory of one block.
public final class SyncAnswer: @unchecked Sendable {
    // Unchecked: it moves between threads, but only one thread at a time calls `next`.

    /// How an answer is to be written.
    public enum Form: Sendable {
        /// Each message as an object.
        case messages
        /// Blocks as they are stored.
        case blocks
    }

    public enum Chunk: Sendable {
        case conversation(ConversationView)
        case messages([Message])
        /// The record of a dictionary, before the first block that names it.
        case dictionary([UInt8])
        /// Header and stored bytes of a block. It belongs to the conversation named last.
        case block([UInt8])
        /// A block that was made for this answer only.
        case provisional([UInt8])
        /// The reader's read mark, and how many messages after it are unread.
        case read(conversation: String, id: ConversationID, seq: Seq, unread: UInt64)
        /// A conversation that the reader no longer sees: `removed`, `left` or `deleted`.
        case gone(conversation: String, id: ConversationID, reason: String)
        /// The reader's contacts, or the users whom they block, changed.
        case contacts
        case damaged(conversation: String, id: ConversationID, from: Seq, to: Seq)
        /// Messages that the reader has and that were erased since. In blocks, the blocks that were written again say so, except
        /// of messages that are not kept any more.
        case erased(id: ConversationID, [Seq])
    }

    enum Step {
        /// `first` is the lowest seq that this reader gets.
        case conversation(Store.Snapshot, first: Seq)
        case sealed(BlockRow)
        case records(OpenBlock, Range<Int>)
        case damaged(from: Seq, to: Seq)
        case erased([Seq])
        case read(name: String, id: ConversationID, Seq, unread: UInt64)
        case gone(name: String, id: ConversationID, reason: String)
        case contacts
    }

    /// The cursor after the whole answer.
    public let cursor: StoreCursor
    /// Whether there is more than this answer contains.
    public let more: Bool
    public let isEmpty: Bool
    /// The store's commit when the answer was planned.
    public let commit: Commit
    private let store: Store
    private let form: Form
    private var steps: ArraySlice<Step>
    /// The rest of a block whose messages are too many for one chunk.
    private var rest: Step?
    private var current: Store.Snapshot?
    private var sentDictionaries: Set<DictionaryID> = []
    /// The ranges that `next` has returned, with the names of their conversations.
    public private(set) var sent: [(conversation: String, first: Seq, last: Seq)] = []

    init(store: Store, form: Form, steps: [Step], cursor: StoreCursor, more: Bool, commit: Commit) {
        (self.store, self.form, self.steps, self.cursor) = (store, form, steps[...], cursor)
        (self.more, self.commit, isEmpty) = (more, commit, steps.isEmpty)
    }

    /// A chunk of messages ends with the one that brings it to about this many bytes in the answer.
    private static let chunkBytes = 64 << 10

    /// About how many bytes the plan takes.
    public var heldBytes: Int { steps.count * (MemoryLayout<Step>.stride + 128) }

    /// About how many bytes the open block takes of which the next chunks are made; 0 if there is none.
    public var restBytes: Int {
        guard case .records(let block, _) = rest else { return 0 }
        return block.records.textBytes + block.records.count * SyncAnswer.rowBytes
    }

    /// A message's places in the columns of an open block, and its hash.
    private static let rowBytes = 80

    /// The next chunks; nil after the last.
    public func next() throws(StoreError) -> [Chunk]? {
        guard let step = rest ?? steps.popFirst() else { return nil }
        rest = nil
        switch step {
        case .conversation(let snapshot, let first):
            current = snapshot
            return [.conversation(store.view(of: snapshot, first: first))]
        case .damaged(let from, let to): return damaged(from, to)
        case .erased(let seqs): return current.map { [.erased(id: $0.identity.id, seqs)] } ?? []
        case .read(let name, let id, let seq, let unread):
            return [.read(conversation: name, id: id, seq: seq, unread: unread)]
        case .gone(let name, let id, let reason): return [.gone(conversation: name, id: id, reason: reason)]
        case .contacts: return [.contacts]
        case .records(let block, let range):
            if form == .messages { return try store.reading { try messages(block, range, $0) } }
            do { return try blocks(block, range) } catch { throw StoreError(error) }
        case .sealed(let row):
            do throws(StoreError) { return try store.reading { try chunks(row, $0) } } catch {
                if case .damaged(let from, let to, _) = error { return damaged(from, to) }
                throw error
            }
        }
    }

    private func damaged(_ from: Seq, _ to: Seq) -> [Chunk] {
        guard let current else { return [] }
        return [.damaged(conversation: current.name, id: current.identity.id, from: from, to: to)]
    }

    private func note(_ first: Seq, _ last: Seq) {
        guard let current else { return }
        if let latest = sent.last, latest.conversation == current.name, latest.last.next == first {
            sent[sent.count - 1].last = last
        } else {
            sent.append((current.name, first, last))
        }
    }

    private func chunks(_ row: BlockRow, _ reader: ArchiveReader) throws -> [Chunk] {
        guard let current else { return [] }
        switch form {
        case .messages:
            let block = try reader.open(row, of: current.identity)
            return try messages(block, 0..<block.records.count, reader)
        case .blocks:
            let block = try reader.block(row, of: current.identity)
            note(row.firstSeq, row.lastSeq)
            var chunks: [Chunk] = []
            if block.header.dictionary != .none, sentDictionaries.insert(block.header.dictionary).inserted {
                chunks.append(.dictionary(try reader.segment(of: row, current.identity).dictionary.record))
            }
            chunks.append(.block(block.bytes))
            return chunks
        }
    }

    private func note(_ records: Records, _ range: Range<Int>) {
        guard !range.isEmpty else { return }
        note(records.firstSeq.advanced(by: range.lowerBound), records.firstSeq.advanced(by: range.upperBound - 1))
    }

    /// Returns the first messages of the range and keeps the rest for the next chunk: a block of short texts has thousands, of
    /// which each takes some hundred bytes in an answer.
    private func messages(_ block: OpenBlock, _ all: Range<Int>, _ reader: ArchiveReader) throws -> [Chunk] {
        guard let current else { return [] }
        var bytes = 0
        let fitting = all.prefix { index in
            defer { bytes += block.records.answerBytes(at: index) }
            return bytes < SyncAnswer.chunkBytes
        }
        let range = all.lowerBound..<fitting.endIndex
        if range.upperBound < all.upperBound { rest = .records(block, range.upperBound..<all.upperBound) }
        note(block.records, range)
        var list = zip(range, block.hashes(range)).map { index, hash in
            Message(block.records[index], hash: hash, of: current.identity.id, named: current.name)
        }
        try MessageFolder(current.reader(reader), folds: false).apply(to: &list)
        return [.messages(list)]
    }

    private func blocks(_ messages: OpenBlock, _ range: Range<Int>) throws -> [Chunk] {
        guard let current else { return [] }
        let records = messages.records
        note(records, range)
        return try messages.provisional(range, of: current.identity.id).map { .provisional($0.bytes) }
    }
}
