internal import NatterArchive
internal import NatterSearch
internal import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// What somebody searches for on the server.
public struct SearchRequest: Sendable {
    public var query: String
    /// As the reader calls it; nil for all that they see.
    public var conversation: String?
    /// A sender's exact name.
    public var sender: String?
    public var since: Timestamp?
    public var until: Timestamp?
    /// Where the page before ended.
    public var before: SearchPlace?
    public var limit: Int

    public init(query: String, limit: Int) { (self.query, self.limit) = (query, limit) }
}

/// A message's place among all that a search finds: newest first, by time, then conversation, then seq.
public struct SearchPlace: Sendable, Comparable, CustomStringConvertible {
    public let time: Timestamp
    public let conversation: ConversationID
    public let seq: Seq

    public init(time: Timestamp, conversation: ConversationID, seq: Seq) {
        (self.time, self.conversation, self.seq) = (time, conversation, seq)
    }

    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let time = Int64(parts[0]), let id = ConversationID(hex: parts[1]),
            let seq = UInt64(parts[2])
        else { return nil }
        self.init(time: Timestamp(milliseconds: time), conversation: id, seq: Seq(seq))
    }

    public var description: String { "\(time.milliseconds).\(conversation).\(seq)" }

    public static func < (left: SearchPlace, right: SearchPlace) -> Bool {
        (left.time, left.conversation, left.seq) < (right.time, right.conversation, right.seq)
    }
}

public struct SearchPage: Sendable {
    /// Newest first.
    public let messages: [Message]
    public let more: Bool
    /// Goes into `before`.
    public let next: SearchPlace?
}

/// Full-text search over the sealed messages of the server's conversations, in a database of its own that can be thrown away:
/// `DIR/search.db`. A thread feeds it behind everybody's back; what it has not taken in yet is scanned, so an answer is never
/// wrong, only slower.
final class StoreSearch: Sendable {
    /// Messages of one step of indexing.
    private static let stepMessages = 4_096
    /// Size of the WAL from which it is moved into the file: nobody else does so, and left alone it grows for ever.
    private static let walBytes = 1 << 20

    private struct Queue {
        var conversations: Set<Int64> = []
        /// Whether anything was asked for since the last look.
        var isAsked = false
        var isStopping = false
    }

    private let queue = Monitor(Queue())
    private let readers = Monitor<[Reader]>([])

    /// An index opened for reading, lent to one thread at a time.
    private final class Reader: @unchecked Sendable {
        let index: SearchIndex
        init(_ index: SearchIndex) { self.index = index }
    }

    static func path(_ directory: String) -> String { directory + "/search.db" }

    /// Asks for the newly sealed blocks of these conversations to be taken in.
    func request(_ conversations: [Int64]) {
        queue.signal { queue in
            queue.conversations.formUnion(conversations)
            queue.isAsked = true
        }
    }

    func stop() { queue.signal { $0.isStopping = true } }

    /// The thread's body: first everything that a former run has left over, then what is sealed.
    func run(_ store: Store) {
        while !store.isFailed, !queue.withLock({ $0.isStopping }) {
            do {
                try feed(store)
            } catch SearchIndexError.corrupt {
                store.report("the search index is damaged; it is made again")
                readers.signal { $0 = [] }
                do { try SearchIndex.discard(path: StoreSearch.path(store.directory), disk: store.disk) } catch {
                    pause(for: error, store)
                }
            } catch {
                pause(for: error, store)
            }
        }
    }

    /// Search scans meanwhile, and nothing else depends on it. The next block that is sealed is the next try: by then there
    /// may be room again.
    private func pause(for error: any Error, _ store: Store) {
        store.report("the search index can't be written: \(error)")
        if case SearchIndexError.database(let cause) = error { store.heed(cause) } else { store.heed(error) }
        queue.withLock { $0.isAsked = false }
        guard !store.isFailed else { return }
        _ = queue.wait { $0.isAsked || $0.isStopping ? true : nil }
    }

    private func feed(_ store: Store) throws {
        let index = try SearchIndex.openForWriting(path: StoreSearch.path(store.directory), disk: store.disk)
        queue.signal { queue in
            queue.conversations.formUnion(store.state.withLock { Array($0.conversations.keys) })
        }
        while let number = queue.wait(until: { queue -> Int64?? in
            if queue.isStopping { return .some(nil) }
            return queue.conversations.popFirst().map { .some($0) }
        }) ?? nil {
            try takeIn(number, store, index)
        }
        try? index.checkpoint(truncating: true)
    }

    private func takeIn(_ number: Int64, _ store: Store, _ index: SearchIndex) throws {
        let known = store.state.withLock { state in
            state.conversations[number].flatMap { $0.isDeleted ? nil : ($0.identity, $0.sealedSeq) }
        }
        guard let (identity, sealed) = known else { return }
        var next = try index.indexedUpTo(identity.id).next
        while next <= sealed, !queue.withLock({ $0.isStopping }) {
            try store.withReader { reader in
                try index.write { writer in
                    var count = 0
                    while next <= sealed, count < StoreSearch.stepMessages,
                        let row = try ArchiveRows.block(containing: next, of: number, on: reader.connection)
                    {
                        // A damaged block has no words; its numbers are taken all the same, so that what follows is found.
                        let records = try? reader.open(row, of: identity).records
                        try writer.add(identity.id, from: next) { rows in
                            for seq in stride(from: next.rawValue, through: row.lastSeq.rawValue, by: 1) {
                                guard let records, let index = records.index(of: Seq(seq)) else {
                                    try rows.append(time: row.highTime, text: "")
                                    continue
                                }
                                try records.withText(at: index) { text in
                                    try rows.append(time: records.time(at: index), text: text)
                                }
                            }
                        }
                        count += row.count
                        next = row.lastSeq.next
                    }
                    if count == 0 { next = sealed.next }
                }
            }
            try keepSmall(index, store)
        }
    }

    /// Where a search is reading meanwhile this does nothing; the next step tries again.
    private func keepSmall(_ index: SearchIndex, _ store: Store) throws {
        let wal = try store.disk.information(StoreSearch.path(store.directory) + "-wal")
        if wal?.size ?? 0 > StoreSearch.walBytes { try index.checkpoint(truncating: true) }
    }

    /// Lends an index for reading; nil where there is none yet.
    func withIndex<Result>(_ store: Store, _ body: (SearchIndex?) throws -> Result) rethrows -> Result {
        let reader =
            readers.withLock { $0.popLast() }
            ?? SearchIndex.openForReading(path: StoreSearch.path(store.directory), disk: store.disk).map(Reader.init)
        defer { if let reader { readers.signal { if $0.count < 4 { $0.append(reader) } } } }
        return try body(reader?.index)
    }
}
