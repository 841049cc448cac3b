internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
public import NatterLanguage
internal import NatterLog
public import NatterModel
public import NatterSystem

/// A server's store: numbering, authority, idempotency, the hash chain, sync and reading, over an engine that keeps its data.
///
/// One writer thread makes changes durable, one sealer thread packs tails into log files. Reads run on the threads of those
/// who ask. All threads share `state`, behind its lock.
public final class Store: Sendable {
    public let id: StoreID
    public let clock: any WallClock
    let engine: any StoreEngine
    let state: Monitor<StoreState>
    let keySecret: ShortHashKey
    let sealer: Sealer
    let search = StoreSearch()
    let earlierMessages = EarlierMessages()
    private let writer = StoreWriter()
    private let threads = Monitor<[SystemThread]>([])
    private let readers = Monitor<[ArchiveReader]>([])
    private let news = Monitor(NewsReceiver(receive: nil))
    private let reporter: @Sendable (Phrase) -> Void
    private let failed: @Sendable (String) -> Void
    private let keepsSearchIndex: Bool
    /// Whether an import is under way; there is one directory to prepare its files in.
    let isImporting = Monitor(false)

    public struct Options: Sendable {
        /// Days that idempotency keys are remembered, at least.
        public var idRetentionDays = 30
        /// Gets a line for each thing that an operator should know: what was recovered, what is damaged.
        public var report: @Sendable (Phrase) -> Void = { _ in }
        /// Called once, when a write has failed so that the disk's content is unknown. Nothing is written from then on.
        public var failed: @Sendable (String) -> Void = { _ in }

        /// The bound of what is kept uncompressed.
        package var journalBytes = Sealer.standardJournalBytes
        /// Bytes of the write-ahead log after which it is moved into the database.
        package var checkpointBytes = 4 << 20
        /// Whether a thread keeps the search index up to date; without it a search scans.
        public var keepsSearchIndex = false

        public init() {}
    }

    init(_ engine: any StoreEngine, _ loaded: LoadedState, clock: any WallClock, options: Options) {
        (self.engine, self.clock) = (engine, clock)
        (id, keySecret, state) = (loaded.id, loaded.keySecret, Monitor(loaded.state))
        (reporter, failed, keepsSearchIndex) = (options.report, options.failed, options.keepsSearchIndex)
        sealer = Sealer(journalBytes: options.journalBytes)
    }

    public var directory: String { engine.directory }
    public var disk: any Disk { engine.disk }
    public var now: Timestamp { clock.now() }

    /// Starts the threads.
    func start(_ core: WriterCore) throws {
        let writing = try SystemThread(name: "natter-writer") { [self] in writer.run(core) }
        let sealing = try SystemThread(name: "natter-sealer") { [self] in sealer.run(self) }
        let repeating = try SystemThread(name: "natter-repeats") { [self] in earlierMessages.run() }
        var running = [sealing, writing, repeating]
        if keepsSearchIndex {
            running.insert(try SystemThread(name: "natter-search") { [self] in search.run(self) }, at: 0)
        }
        let all = running
        threads.signal { $0 = all }
        engine.onNews { [weak self] in self?.follow { _ in } }
    }

    /// Finishes what is queued and lets the directory go. Nothing may be asked of the store afterwards.
    public func close() {
        guard threads.withLock({ !$0.isEmpty }) else { return }
        savePresence()
        search.stop()
        sealer.stop()
        let running = threads.signal { threads in
            defer { threads = [] }
            return threads
        }
        // The last two are the writer, and the thread that answers for it.
        for thread in running.dropLast(2) { thread.join() }
        writer.stop()
        running.dropLast().last?.join()
        earlierMessages.stop()
        running.last?.join()
        readers.signal { $0 = [] }
        engine.close(isClean: !isFailed)
    }

    public var isFailed: Bool { failure != nil }

    /// Why nothing is written any more; nil while all is well.
    public var failure: String? { state.withLock { $0.failure } }

    /// Refuses all writes from now on.
    func fail(_ reason: String) {
        let isFirst = state.withLock { state in
            defer { state.failure = state.failure ?? reason }
            return state.failure == nil
        }
        if isFirst {
            report("a write failed, nothing more is written: \(reason)")
            failed(reason)
        }
    }

    /// Stops all writing if an error of a thread besides the writer's says that the disk did not do what it was told to. Even if
    /// all that was acknowledged is safe in another file, such a disk cannot be relied on.
    func stopIfDiskFailed(_ error: any Error) {
        if ArchiveError(error).leavesUnknown { fail("\(error)") }
    }

    func report(_ line: Phrase) { reporter(line) }

    // MARK: Changes

    /// Hands messages to the writer.
    func submit(_ posting: StoreWriter.Posting) {
        if !writer.submit(.posting(posting)) { posting.completion(posting.messages.map { _ in .refused(.busy) }) }
    }

    /// Makes changes that depend on the state: `decide` runs on the writer's thread, with the state lock held. What comes after
    /// sees what it has changed.
    func change(
        _ decide: @escaping @Sendable (StoreState, BatchBuilder) throws(StoreError) -> Decision,
        _ completion: @escaping @Sendable (StoreError?) -> Void
    ) {
        let operation = StoreWriter.Operation(
            decide: { [self] builder in try state.withLock { try decide($0, builder) } }, completion: completion,
            endsBatch: true)
        if !writer.submit(.operation(operation)) { completion(.busy) }
    }

    /// Makes changes that nothing after them depends on, so that many of them share a batch.
    func record(
        _ decide: @escaping @Sendable (BatchBuilder) throws -> Decision,
        _ completion: @escaping @Sendable (StoreError?) -> Void
    ) {
        let operation = StoreWriter.Operation(decide: decide, completion: completion)
        if !writer.submit(.operation(operation)) { completion(.busy) }
    }

    /// The same, waiting. Not for the writer's own thread.
    func record(_ decide: @escaping @Sendable (BatchBuilder) throws -> Decision) -> StoreError? {
        waiting { record(decide, $0) }
    }

    /// Makes changes in a batch of their own, over all that came before, and waits. Not for the writer's own thread.
    func recordAlone(_ decide: @escaping @Sendable (BatchBuilder) throws -> Decision) -> StoreError? {
        waiting { completion in
            let operation = StoreWriter.Operation(
                decide: decide, completion: completion, endsBatch: true, beginsBatch: true)
            if !writer.submit(.operation(operation)) { completion(.busy) }
        }
    }

    /// Does something to the engine between two batches, and waits. Not for the writer's own thread.
    func upkeep(_ body: @escaping @Sendable (WriterCore) throws -> Void) -> StoreError? {
        waiting { completion in if !writer.submit(.upkeep(body, completion)) { completion(.busy) } }
    }

    private func waiting(_ ask: (@escaping @Sendable (StoreError?) -> Void) -> Void) -> StoreError? {
        let result = Monitor<Result<Void, StoreError>?>(nil)
        ask { error in result.signal { $0 = error.map { .failure($0) } ?? .success(()) } }
        if case .failure(let error) = result.wait(until: { $0 }) { return error }
        return nil
    }

    /// Takes over what other stores have put into a shared log.
    private func follow(_ completion: @escaping @Sendable (StoreError?) -> Void) {
        if !writer.submit(.follow(completion)) { completion(.busy) }
    }

    /// Waits until all is visible here that any store of a shared log has acknowledged so far: what a reader was told by
    /// another server must not be missing at this one.
    func catchUp() {
        guard engine.isShared else { return }
        let known = state.withLock { $0.place }
        if let head = try? engine.head(), head == known { return }
        if let failure = waiting({ follow($0) }) { report("cannot read what other servers have written: \(failure)") }
    }

    /// Seals a conversation to its last message, ripe or not, after what the sealer has to do already.
    package func seal(
        _ name: String, for principal: Principal, _ completion: @escaping @Sendable (StoreError?) -> Void
    ) throws(StoreError) {
        let number = try state.withLock { state throws(StoreError) -> Int64? in
            guard case .existing(let found) = try state.resolve(name, for: principal.account) else { return nil }
            return found.identity.number
        }
        guard let number else { return completion(nil) }
        sealer.requestWhole(number, completion)
    }

    /// Calls back once the sealer, and then the writer, have done what they have to do so far.
    package func settle(_ completion: @escaping @Sendable (StoreError?) -> Void) {
        // No conversation has this number, so nothing is sealed by it.
        sealer.requestWhole(0) { [self] _ in record({ _ in .nothing }, completion) }
    }

    func announce(_ news: News) { self.news.withLock { $0 }.receive?(news) }

    public func onNews(_ body: @escaping @Sendable (News) -> Void) { news.signal { $0 = NewsReceiver(receive: body) } }

    // MARK: Reading

    /// Lends a reader of the index and the logs; each is used by one thread at a time.
    func withReader<Result>(_ body: (ArchiveReader) throws -> Result) throws -> Result {
        let reader = try readers.withLock { $0.popLast() } ?? engine.makeReader()
        defer { readers.signal { if $0.count < 8 { $0.append(reader) } } }
        return try body(reader)
    }
}

/// The receiver of news about commits, in a structure because of what `Monitor` says of functions.
private struct NewsReceiver: Sendable {
    let receive: (@Sendable (News) -> Void)?
}
