internal import NatterConversation
internal import NatterSearch
internal import NatterModel
internal import NatterSystem

/// The full-text index of sealed messages, in a separate database that may be deleted: `DIR/search.db`. A background
/// thread maintains it. A search scans what is not indexed yet, so an index that is behind makes answers slower,
/// never wrong.
final class StoreSearch: Sendable {
    /// How many messages one step indexes, of as many conversations. The fewer the steps, the less there is to merge.
    private static let stepMessages = 4_096
    /// How many conversations are looked at in one go.
    private static let roundSize = 256
    /// The size at which the thread checkpoints the write-ahead log. Otherwise it would grow without bound.
    private static let walBytes = 1 << 20

    private struct Queue {
        var conversations: Set<Int64> = []
        /// Whether `request` was called since the last try began, so that no request during a failure is lost.
        var isAsked = false
        var burst = Burst()
        /// Whether somebody searched while conversations waited for the end of the burst.
        var isWanted = false
        var isStopping = false
        var trouble: String?
        /// Whether the disk was nearly full when it was last asked.
        var isCrowded = false
        /// Whether the index was found to be of this store's history.
        var isChecked = false
        /// How often the index is to be emptied because text was erased, and how often it was.
        var (purgesAsked, purgesDone) = (0, 0)
        /// Whether the thread runs.
        var isRunning = false

        /// Whether something goes before indexing.
        var isInterrupted: Bool { isStopping || purgesAsked > purgesDone }

        /// For how many milliseconds to wait for the end of the burst; nil if it is over, or not waited for. A backlog of an
        /// earlier run is none.
        var rest: Int? {
            guard !isInterrupted, !isWanted, let end = burst.end else { return nil }
            let rest = end - MonotonicClock.now()
            return rest > 0 ? Int(clamping: rest) : nil
        }
    }

    /// How long the thread waits after a failure, unless a block is sealed earlier.
    private static let retryMilliseconds = 60_000
    /// How long it waits if the database of a shared store can't be reached. To try costs little then.
    private static let awayMilliseconds = 1_000

    /// How many blocks of one conversation a step reads at most, and after how many bytes of text it ends. It writes about twice
    /// as much.
    private static let (stepBlocks, stepBytes) = (16, 1 << 20)
    /// A disk with less room than this keeps it for messages, and for erasing and dropping them. It is some steps' worth.
    private static let spareBytes: UInt64 = 8 << 20

    private let queue = Monitor(Queue())
    private let readers = Monitor<[SearchIndex]>([])

    /// Its files below the data directory.
    static let files = ["search.db", "search.db-wal", "search.db-shm"]

    static func path(_ directory: String) -> String { directory + "/search.db" }

    /// Asks the thread to index newly sealed blocks of these conversations.
    func request(_ conversations: [Int64]) {
        queue.signal { queue in
            queue.conversations.formUnion(conversations)
            queue.isAsked = true
            queue.burst.note()
        }
    }

    /// Call before the thread is started.
    func begin() { queue.signal { $0.isRunning = true } }

    func stop() { queue.signal { $0.isStopping = true } }

    /// Empties the index and waits until that is durable. It can't forget single messages: what is deleted from it stays in its
    /// pages until they are merged. The thread then makes it again, and meanwhile searches scan.
    ///
    /// - Throws: if the index could not be emptied. A start removes it then.
    func purge(_ store: Store) throws {
        guard let ask = askPurge() else {
            let path = StoreSearch.path(store.directory)
            guard try store.disk.information(path) != nil else { return }
            do { return try SearchIndex.openForWriting(path: path, disk: store.disk).empty() } catch let error
                as SearchIndexError
            {
                throw StoreError.failed(error.phrase)
            }
        }
        let isDone = queue.wait { queue -> Bool? in
            if queue.purgesDone >= ask { return true }
            return queue.isRunning && queue.trouble == nil ? nil : false
        }
        if isDone != true { throw StoreError.failed("the search index can't be emptied now") }
    }

    /// Asks the thread to empty the index, before it adds anything more.
    ///
    /// - Returns: the number of the request; nil if the thread does not run.
    @discardableResult
    func askPurge() -> Int? {
        queue.signal { queue in
            guard queue.isRunning else { return nil }
            queue.purgesAsked += 1
            return queue.purgesAsked
        }
    }

    /// Why the index is not kept up; nil while it is.
    var trouble: String? { queue.withLock { $0.trouble } }

    /// The thread's body. First indexes what an earlier process left, then what is sealed.
    func run(_ store: Store) {
        defer { queue.signal { $0.isRunning = false } }
        var discarded: Int64?
        while !store.isFailed, !queue.withLock({ $0.isStopping }) {
            queue.withLock { $0.isAsked = false }
            do {
                try feed(store)
            } catch SearchIndexError.corrupt(let path, let message) {
                store.report("the search index is damaged; it is made again")
                readers.signal { $0 = [] }
                do { try SearchIndex.discard(path: StoreSearch.path(store.directory), disk: store.disk) } catch {
                    pause(for: error, store)
                }
                // A disk on which each new one is damaged as well is not asked again and again.
                let last = discarded
                discarded = MonotonicClock.now()
                if let last, last + Int64(StoreSearch.retryMilliseconds) > MonotonicClock.now() {
                    pause(for: SearchIndexError.corrupt(path: path, message: message), store)
                }
            } catch {
                pause(for: error, store)
            }
        }
    }

    /// Waits until the next block is sealed, because the disk may have room again by then. Meanwhile searches scan.
    private func pause(for error: any Error, _ store: Store) {
        let isAway = StoreError(error).isOfDatabase
        // The database's message changes from try to try.
        let trouble = isAway ? "the store can't be reached" : "\(error)"
        let isNew = queue.signal { queue in
            defer { queue.trouble = trouble }
            return queue.trouble != trouble
        }
        if isNew, isAway { store.report("the search index waits until the store can be reached again: \(error)") }
        if isNew, !isAway { store.report("the search index can't be written: \(error)") }
        // The index can be made again, so a bad spot under it must not end the server at each start.
        if !(error is SearchIndexError) { store.stopIfDiskFailed(error) }
        guard !store.isFailed else { return }
        let milliseconds = isAway ? StoreSearch.awayMilliseconds : StoreSearch.retryMilliseconds
        queue.wait(timeoutMilliseconds: milliseconds) { $0.isAsked || $0.isStopping }
    }

    private func feed(_ store: Store) throws {
        let index = try SearchIndex.openForWriting(path: StoreSearch.path(store.directory), disk: store.disk)
        try check(index, store)
        if try isOlderThanErasure(index, store) { try index.empty() }
        queue.signal { queue in
            queue.isChecked = true
            queue.conversations.formUnion(store.state.withLock { Array($0.conversations.keys) })
        }
        while awaitWork() {
            if queue.withLock({ $0.purgesAsked > $0.purgesDone }) { try empty(index, store) }
            var numbers = queue.withLock { queue in
                defer { (queue.conversations, queue.burst, queue.isWanted) = ([], Burst(), false) }
                return Array(queue.conversations)
            }
            var failure: ArchiveError?
            while !numbers.isEmpty, !queue.withLock({ $0.isInterrupted }) {
                let unreadable = try takeIn(Array(numbers.suffix(StoreSearch.roundSize)), store, index)
                failure = failure ?? unreadable
                numbers.removeLast(min(StoreSearch.roundSize, numbers.count))
            }
            // It is tried again with all conversations, of which the others have nothing left to do.
            if let failure { throw failure }
            // There may have been nothing to do.
            queue.withLock { $0.trouble = nil }
        }
        try? index.checkpoint()
    }

    /// Waits for conversations to index, and for the end of the burst, unless somebody searches and would have to scan more.
    ///
    /// - Returns: false at the end.
    private func awaitWork() -> Bool {
        queue.wait { $0.isInterrupted || !$0.conversations.isEmpty }
        while let rest = queue.withLock({ $0.rest }) {
            queue.wait(timeoutMilliseconds: rest) { $0.rest == nil }
        }
        return !queue.withLock { $0.isStopping }
    }

    /// Forgets conversations whose messages are not those of the logs, as after a restore by hand, and those of which messages
    /// could not be read: they may be there again. If the last run of this store wrote the index, nothing else can be wrong but
    /// messages that are not there.
    private func check(_ index: SearchIndex, _ store: Store) throws {
        let (logs, formers) = store.state.withLock { state in
            let open = state.conversations.values.filter { !$0.isDeleted }
            let logs = open.map { ($0.identity.id, Tail($0).log(of: $0.identity, named: $0.name)) }
            return (
                Dictionary(logs, uniquingKeysWith: { first, _ in first }), state.epochs.suffix(2).map(\.epoch)
            )
        }
        let isOurs = formers.contains(try index.epoch())
        var (foreign, damaged): ([ConversationID], [ConversationID]) = ([], [])
        for (id, coverage) in try index.coverage() where !queue.withLock({ $0.isStopping }) {
            guard let log = logs[id] else { continue }
            let mark = try index.mark(of: id)
            if mark?.seq == .zero {
                damaged.append(id)
                continue
            }
            let agrees =
                try coverage.upperBound <= log.sealedSeq
                && (isOurs || store.withReader { try LogReader(log, $0).agrees(with: mark) })
            if !agrees { foreign.append(id) }
        }
        if !foreign.isEmpty {
            store.report("the search index is of another history; \(foreign.count) conversations are indexed again")
        }
        if !damaged.isEmpty {
            store.report(
                "the search index lacks messages that could not be read; \(damaged.count) conversations are indexed again"
            )
        }
        if !(foreign + damaged).isEmpty {
            try index.write { writer in for id in foreign + damaged { try writer.forget(id) } }
        }
    }

    /// Whether text may have been erased in a shared store since the index was written. Files name the index in `retired`.
    private func isOlderThanErasure(_ index: SearchIndex, _ store: Store) throws -> Bool {
        guard store.isShared else { return false }
        let epoch = try index.epoch()
        return store.state.withLock { state in
            let newest = state.conversations.values.map { max($0.erasedCommit, $0.firstCommit) }.max() ?? .zero
            let begin = state.epochs.first { $0.epoch == epoch }?.firstCommit ?? .zero
            return newest > .zero && newest >= begin
        }
    }

    /// Indexes what is sealed of these conversations. A log file that the disk can't read now keeps no other conversation waiting.
    ///
    /// - Returns: the first failure of such a file.
    private func takeIn(_ numbers: [Int64], _ store: Store, _ index: SearchIndex) throws -> ArchiveError? {
        let (epoch, logs) = store.state.withLock { state in
            (
                state.epoch,
                numbers.compactMap { state.conversations[$0] }.filter { !$0.isDeleted }
                    .map { Tail($0).log(of: $0.identity, named: $0.name) }
            )
        }
        var work: [(log: ConversationLog, next: Seq)] = []
        for log in logs {
            let next = max(log.first, try index.indexedUpTo(log.id).next)
            if next <= log.sealedSeq { work.append((log, next)) }
        }
        var failure: ArchiveError?
        while !work.isEmpty, awaitRoom(index, store) {
            var rest = work
            do {
                try store.withReader { archive in
                    try index.write { writer in
                        var room = StoreSearch.stepMessages
                        while room > 0, writer.textBytes < StoreSearch.stepBytes, let (log, next) = rest.last {
                            var blocks = 1
                            let reached = try SearchFeed.add(
                                LogReader(log, archive), from: next, through: log.sealedSeq, limit: room,
                                skipsDamage: true, to: writer
                            ) {
                                blocks += 1
                                return blocks >= StoreSearch.stepBlocks
                            }
                            room -= reached.distance(after: next.previous)
                            rest[rest.count - 1].next = reached.next
                            if reached >= log.sealedSeq { rest.removeLast() }
                        }
                        try writer.note(epoch)
                    }
                }
            } catch let error as ArchiveError {
                // The database of a shared store can't be read by halves.
                guard case .unreadable = error, !store.isShared, let unreadable = rest.last else { throw error }
                failure = failure ?? error
                work.removeAll { $0.log.id == unreadable.log.id }
                continue
            }
            work = rest
            if failure == nil { queue.withLock { $0.trouble = nil } }
            try keepSmall(index, store)
        }
        return failure
    }

    /// Waits while the disk is nearly full. Searches scan meanwhile.
    ///
    /// - Returns: false if something goes before indexing.
    private func awaitRoom(_ index: SearchIndex, _ store: Store) -> Bool {
        while let free = try? store.disk.freeBytes(store.directory), free < StoreSearch.spareBytes,
            !queue.withLock({ $0.isInterrupted })
        {
            let isTold = queue.withLock { queue in
                defer { (queue.isCrowded, queue.isAsked) = (true, false) }
                return queue.isCrowded
            }
            if !isTold { store.report("the search index waits until the disk has more room") }
            // Its write-ahead log gives back what it has.
            try? index.checkpoint()
            queue.wait(timeoutMilliseconds: StoreSearch.retryMilliseconds) { $0.isInterrupted || $0.isAsked }
        }
        return queue.withLock { queue in
            if !queue.isInterrupted { queue.isCrowded = false }
            return !queue.isInterrupted
        }
    }

    private func empty(_ index: SearchIndex, _ store: Store) throws {
        let asked = queue.withLock { $0.purgesAsked }
        try index.empty()
        let all = store.state.withLock { Array($0.conversations.keys) }
        queue.signal { queue in
            queue.purgesDone = asked
            queue.conversations.formUnion(all)
        }
    }

    /// Checkpoints a large write-ahead log. While a search reads, a checkpoint does nothing, and the next step tries
    /// again.
    private func keepSmall(_ index: SearchIndex, _ store: Store) throws {
        let wal = try store.disk.information(StoreSearch.path(store.directory) + "-wal")
        if wal?.size ?? 0 > StoreSearch.walBytes { try index.checkpoint() }
    }

    /// Lends an index for reading; nil if there is none yet.
    func withIndex<Result>(_ store: Store, _ body: (SearchIndex?) throws -> Result) rethrows -> Result {
        let isChecked = queue.signal { queue in
            queue.isWanted = !queue.conversations.isEmpty
            return queue.isChecked
        }
        // Without the thread nobody has looked whether it is ours.
        guard isChecked else { return try body(nil) }
        let reader =
            readers.withLock { $0.popLast() }
            ?? SearchIndex.openForReading(path: StoreSearch.path(store.directory), disk: store.disk)
        defer { if let reader { readers.signal { if $0.count < 4 { $0.append(reader) } } } }
        return try body(reader)
    }
}
