public import NatterSQLite
public import NatterModel
public import NatterLog
public import NatterSystem
internal import Synchronization

/// Open segment files with their dictionaries, and recently decompressed blocks. Several readers share it.
public final class ArchiveCache: Sendable {
    struct SegmentKey: Hashable {
        let conversation: Int64
        let firstSeq: Seq
        let generation: Int
    }
    struct BlockKey: Hashable {
        let conversation: Int64
        let firstSeq: Seq
        let revision: UInt32
    }

    let directory: String
    let disk: any Disk
    // 64 segments hold at most 8 MiB of dictionaries, packed and not, and 32 blocks about 5 MiB of messages.
    private let segments = Mutex(RecentlyUsed<SegmentKey, Segment>(capacity: 64))
    private let blocks = Mutex(RecentlyUsed<BlockKey, OpenBlock>(capacity: 32))

    public init(directory: String, disk: any Disk) { (self.directory, self.disk) = (directory, disk) }

    /// The open segment file of a block, with its dictionary.
    ///
    /// - Parameter spare: finds another copy of the dictionary if the file is damaged.
    func segment(
        of row: BlockRow, _ conversation: ConversationIdentity, spare: () throws -> LogDictionary? = { nil }
    ) throws -> Segment {
        let key = SegmentKey(
            conversation: row.conversation, firstSeq: row.segmentSeq, generation: row.generation)
        if let known = segments.withLock({ $0[key] }) { return known }
        let name = Segment.name(of: conversation.id, firstSeq: key.firstSeq, generation: key.generation)
        let path = directory + "/" + name
        let segment: Segment
        do throws(LogError) { segment = try Segment.open(at: path, on: disk) } catch {
            guard case .damaged = error, let dictionary = try spare() else { throw error }
            segment = try Segment.open(at: path, on: disk, spare: dictionary)
        }
        guard segment.header.conversation == conversation.id else {
            throw LogError.damaged(path: path, offset: 0, reason: "this is the log of another conversation")
        }
        segments.withLock { $0[key] = segment }
        return segment
    }

    /// The messages of a block; nil if nothing in it is wanted.
    ///
    /// - Parameter room: where to unpack the block, which is not kept then. A walk through much opens each block once, and the
    ///   next one gets its memory while that is still in the processor's cache.
    func open(
        _ row: BlockRow, _ wish: BlockWish, in room: UnpackingRoom? = nil, of segment: () throws -> Segment
    ) throws -> OpenBlock? {
        let key = BlockKey(conversation: row.conversation, firstSeq: row.firstSeq, revision: row.revision)
        if let known = blocks.withLock({ $0[key] }) { return known }
        let segment = try segment()
        let block = try segment.block(at: row.offset, length: row.length, firstSeq: row.firstSeq)
        let records: Records?
        do throws(FormatViolation) { records = try block.open(with: segment.dictionary, wish: wish, in: room) } catch {
            throw LogError.damaged(path: segment.path, offset: row.offset, reason: error.reason)
        }
        let opened = records.map { OpenBlock(records: $0, hashBefore: block.header.hashBefore) }
        if let opened, room == nil { blocks.withLock { $0[key] = opened } }
        return opened
    }

    /// Forgets a conversation whose files were replaced or removed.
    public func forget(_ conversation: Int64) {
        segments.withLock { $0.removeAll { $0.conversation == conversation } }
        blocks.withLock { $0.removeAll { $0.conversation == conversation } }
    }
}

/// Keeps the most recently used entries.
struct RecentlyUsed<Key: Sendable, Value: Sendable>: Sendable {
    /// The one that was used last comes last. A linear search is cheap: there are few entries, and each of them cost a read of
    /// a file.
    private var entries: [(key: Key, value: Value)] = []
    let capacity: Int

    init(capacity: Int) { self.capacity = capacity }

    mutating func removeAll(where isGone: (Key) -> Bool) { entries.removeAll { isGone($0.key) } }
}

extension RecentlyUsed where Key: Equatable {
    subscript(key: Key) -> Value? {
        mutating get {
            guard let index = entries.lastIndex(where: { $0.key == key }) else { return nil }
            entries.append(entries.remove(at: index))
            return entries.last?.value
        }
        set {
            entries.removeAll { $0.key == key }
            if let newValue { entries.append((key, newValue)) }
            if entries.count > capacity { entries.removeFirst() }
        }
    }
}

/// Reads sealed messages: rows through one connection, blocks from the files. Not thread-safe.
public final class ArchiveReader {
    public let connection: Connection
    let cache: ArchiveCache

    public init(connection: Connection, cache: ArchiveCache) { (self.connection, self.cache) = (connection, cache) }

    /// Forgets a conversation whose files were replaced.
    public func forget(_ conversation: Int64) { cache.forget(conversation) }

    /// The block that a row names, with verified checksums but not decompressed.
    public func block(_ row: BlockRow, of conversation: ConversationIdentity) throws(ArchiveError) -> Block {
        try current(row) { row in
            try segment(of: row, conversation).block(at: row.offset, length: row.length, firstSeq: row.firstSeq)
        }
    }

    /// Runs `body` again if it finds damage because the block was written again, into another file, since its row was read.
    private func current<Result>(
        _ row: BlockRow, _ body: (BlockRow) throws -> Result
    ) throws(ArchiveError) -> Result {
        do { return try body(row) } catch {
            let error = damage(error, row)
            guard case .damaged = error,
                let now = try? ArchiveRows.block(containing: row.firstSeq, of: row.conversation, on: connection),
                now != row, now.firstSeq == row.firstSeq
            else { throw error }
            do { return try body(now) } catch { throw damage(error, now) }
        }
    }

    /// The messages of a block.
    public func open(_ row: BlockRow, of conversation: ConversationIdentity) throws(ArchiveError) -> OpenBlock {
        guard let block = try open(row, of: conversation, BlockWish()) else { throw .short(row.firstSeq...row.lastSeq) }
        return block
    }

    /// The messages of a block; nil if nothing in it is wanted.
    func open(
        _ row: BlockRow, of conversation: ConversationIdentity, _ wish: BlockWish
    ) throws(ArchiveError) -> OpenBlock? {
        try current(row) { row in try cache.open(row, wish) { try segment(of: row, conversation) } }
    }

    /// The newest 64 KiB of sealed text before a seq, for the dictionary of a new segment.
    public func textBefore(_ seq: Seq, of conversation: ConversationIdentity) throws(ArchiveError) -> [UInt8] {
        var pieces: [ArraySlice<UInt8>] = []
        var room = LogDictionary.maximumBytes
        var next = seq.previous
        do throws(SQLiteError) {
            while room > 0, next > .zero,
                let row = try ArchiveRows.block(containing: next, of: conversation.number, on: connection)
            {
                // Text behind a damaged block is left out, because a dictionary is optional.
                guard let block = try? open(row, of: conversation) else { break }
                let text = block.records.lastText(limit: room)
                if text.isEmpty { break }
                pieces.append(text)
                room -= text.count
                next = row.firstSeq.previous
            }
        } catch {
            throw .index(error)
        }
        return pieces.reversed().flatMap { $0 }
    }

    /// The open segment file of a block, with its dictionary.
    public func segment(of row: BlockRow, _ conversation: ConversationIdentity) throws -> Segment {
        try cache.segment(of: row, conversation) {
            // The damage may be in the dictionary. The index has a second copy of it.
            let segments = try ArchiveRows.segments(of: row.conversation, on: connection)
            let segment = segments.first { $0.firstSeq == row.segmentSeq && $0.generation == row.generation }
            return try segment.flatMap { try ArchiveRows.dictionary($0.dictionary, on: connection) }
        }
    }

    /// Converts damage and missing files to `damaged` messages, and failed reads to `unreadable` ones. Other errors are kept.
    private func damage(_ error: any Error, _ row: BlockRow) -> ArchiveError {
        switch error {
        case LogError.damaged, LogError.newerFormat:
            .damaged(from: row.firstSeq, to: row.lastSeq, detail: "\(error)")
        case LogError.disk(let error) where error.isMissing:
            .damaged(from: row.firstSeq, to: row.lastSeq, detail: error.phrase)
        case LogError.disk(let error) where error.isUnreadable:
            .unreadable(from: row.firstSeq, to: row.lastSeq, error)
        default: ArchiveError(error)
        }
    }
}
