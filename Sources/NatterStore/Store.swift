internal import NatterConversation
public import NatterSystem
public import NatterModel
internal import NatterSQLite

/// A server's store: numbering, authority, idempotency, the hash chain, sync and reading. The engine below it keeps
/// the data.
///
/// One writer thread makes changes durable, and one sealer thread compresses tails into log files. Reads run on the
/// calling threads. All threads share `state`, which has a lock.
public final class Store: Sendable {
    public let id: StoreID
    public let clock: any WallClock
    let engine: any StoreEngine
    let state: Monitor<StoreState>
    let keySecret: ShortHashKey
    let cursorSeal: CursorSeal
    let sealer: Sealer
    let search = StoreSearch()
    let reserve: DiskReserve
    let searchBudget: SearchBudget
    let quotas = Quotas()
    /// Seals what users get for the files that they upload.
    let uploadBox: SecretBox
    let earlierMessages = EarlierMessages()
    private let writer = StoreWriter()
    private let threads = Monitor<[SystemThread]>([])
    private let readers = Monitor(IdleReaders())
    private let news = Monitor(NewsReceiver(receive: nil))
    private let reporter: @Sendable (Phrase) -> Void
    private let failed: @Sendable (String) -> Void
    private let keepsSearchIndex: Bool
    let onlyReads: Bool
    let schedule = Monitor(ErasureSchedule())
    let remembered: RememberedErasures
    /// Where the newest erasure may have left a text; nil if nowhere.
    let erasureRemains = Monitor<Phrase?>(nil)
    /// How many log files were missing, or shorter than recorded, at the start.
    public var shortLogCount: Int { engine.shortLogCount }
    private let damages = Monitor<Set<String>>([])
    /// How many damaged places of log files readers have met since the start.
    public var damageCount: Int { damages.withLock(\.count) }
    /// How many backups and checks are reading log files.
    let copies = Monitor(0)
    /// Whether an import is running. Only one can, because there is only one staging directory.
    let isImporting = Monitor(false)

    public struct Options: Sendable {
        /// The least number of days that idempotency keys are remembered.
        public var idRetentionDays = 30
        /// Called with each thing that an operator should know, such as recovery or damage.
        public var report: @Sendable (Phrase) -> Void = { _ in }
        /// Called once, after a write failed so that the disk's content is unknown. Nothing is written afterwards.
        public var failed: @Sendable (String) -> Void = { _ in }

        /// The bound of uncompressed messages in the journal.
        package var journalBytes = Sealer.standardJournalBytes
        /// The size of the write-ahead log that causes a checkpoint.
        package var checkpointBytes = 4 << 20
        /// How long a request waits for a database that is away.
        package var databasePatienceMilliseconds: Int64 = 10_000
        var searchBudget = SearchBudget()
        /// Whether a thread maintains the search index. Without it, a search scans.
        public var keepsSearchIndex = false
        /// Whether room on the disk is kept, so that a start on a full one can serve reading.
        public var keepsReserve = false
        /// Whether a restore opens what it has copied, which nobody else may yet.
        var opensUnfinished = false
        /// Whether nothing is written. Set by `look`.
        var onlyReads = false

        public init() {}
    }

    init(
        _ engine: any StoreEngine, _ loaded: LoadedState, reserve: DiskReserve, clock: any WallClock, options: Options
    ) {
        self.reserve = reserve
        (self.engine, self.clock) = (engine, clock)
        var state = loaded.state
        state.prepare()
        (id, keySecret, self.state) = (state.store, loaded.keySecret, Monitor(state))
        cursorSeal = CursorSeal(loaded.keySecret)
        uploadBox = SecretBox(loaded.keySecret, for: "upload")
        (reporter, failed, keepsSearchIndex) = (options.report, options.failed, options.keepsSearchIndex)
        sealer = Sealer(journalBytes: options.journalBytes)
        remembered = RememberedErasures(engine.directory, engine.disk)
        onlyReads = options.onlyReads
        if onlyReads { writer.stop() }
        searchBudget = options.searchBudget
    }

    public var directory: String { engine.directory }
    public var disk: any Disk { engine.disk }
    public var now: Timestamp { clock.now() }

    func start(_ core: WriterCore) throws {
        let writing = try SystemThread(name: "natter-writer") { [self] in writer.run(core) }
        let sealing = try SystemThread(name: "natter-sealer") { [self] in sealer.run(self) }
        let repeating = try SystemThread(name: "natter-repeats") { [self] in earlierMessages.run() }
        var running = [sealing, writing, repeating]
        if keepsSearchIndex {
            search.begin()
            running.insert(try SystemThread(name: "natter-search") { [self] in search.run(self) }, at: 0)
        }
        let all = running
        threads.signal { $0 = all }
        engine.onNews { [weak self] number in self?.follow(to: number) { _ in } }
    }

    /// Makes erasures and other long work on log files end soon, before `close`.
    public func endErrands() { sealer.stop() }

    /// Finishes queued work and unlocks the directory. No function may be called afterwards.
    public func close() {
        guard threads.withLock({ !$0.isEmpty }) else { return }
        savePresence()
        search.stop()
        sealer.stop()
        let running = threads.exchange([])
        // The last two are the writer's thread and the thread that answers for it.
        for thread in running.dropLast(2) { thread.join() }
        writer.stop()
        running.dropLast().last?.join()
        earlierMessages.stop()
        running.last?.join()
        dropReaders()
        engine.close(isClean: !isFailed)
    }

    public var isFailed: Bool { failure != nil }

    /// Whether it no longer writes because a newer natterd has changed it.
    public var isOutdated: Bool { state.withLock { $0.isOutdated } }

    /// Why the store no longer writes; nil while it does.
    public var failure: String? { state.withLock { $0.failure } }

    /// Refuses all writes from now on.
    func fail(_ reason: String, isOutdated: Bool = false) {
        let isFirst = state.withLock { state in
            guard state.failure == nil else { return false }
            (state.failure, state.isOutdated) = (reason, isOutdated)
            return true
        }
        if isFirst {
            if !isOutdated { report("a write failed, nothing more is written: \(reason)") }
            failed(reason)
        }
    }

    /// Stops all writing if an error outside the writer's thread shows that the disk did not obey. Even if everything
    /// acknowledged is safe in another file, such a disk can't be trusted.
    func stopIfDiskFailed(_ error: any Error) {
        if ArchiveError(error).leavesUnknown { fail("\(error)") }
    }

    func report(_ line: Phrase) { reporter(line) }

    // MARK: Changes

    /// Hands an item to the writer, or refuses it if too much is waiting.
    func submit(_ item: StoreWriter.Item) { if !writer.submit(item) { item.refuse(.busy) } }

    /// Makes bulk wait if the sealer has to shorten the journal first.
    func holdBulk(journalBytes: Int) {
        guard sealer.holdsBulk(journalBytes: journalBytes) else { return }
        writer.holdBulk(true)
        // The sealer may have finished in between.
        if !sealer.holdsBulk(journalBytes: journalBytes) { writer.holdBulk(false) }
    }

    func releaseBulk() { writer.holdBulk(false) }

    /// Makes changes that depend on the state. Everything after it sees its changes.
    ///
    /// - Parameters:
    ///   - principal: who asks. Their token is checked again, because it may have been revoked since the request began. nil
    ///     for a change that needs no token.
    ///   - turn: whose turn it takes among changes; nil for that of `principal`, or the operator's.
    ///   - decide: runs on the writer's thread with the state lock held, and again if other stores were first in the log.
    ///     Its last value is the answer.
    func change<Value: Sendable>(
        by principal: Principal? = nil, turn: ChangeTurn? = nil, room: Room = .ordinary,
        answering completion: @escaping Completion<Value>,
        _ decide: @escaping @Sendable (StoreState, BatchBuilder) throws(StoreError) -> (Decision, Value)
    ) {
        let answer = Monitor<Result<Value, StoreError>>(.failure(.failed("the store gave no answer")))
        let operation = StoreWriter.Operation(
            decide: { [self] builder in
                let (decision, value) = try state.withLock { state in
                    if let principal, !state.isGood(principal, at: builder.now) { throw StoreError.unauthorized }
                    return try decide(state, builder)
                }
                answer.withLock { $0 = .success(value) }
                return decision
            }, completion: { error in completion(error.map { .failure($0) } ?? answer.withLock { $0 }) },
            endsBatch: true, turn: turn ?? principal.map { .account($0.account) } ?? .operators, room: room)
        submit(.operation(operation))
    }

    /// Makes changes that nothing after them depends on, so that many of them share a batch.
    func record(
        room: Room = .ordinary, _ decide: @escaping @Sendable (BatchBuilder) throws -> Decision,
        _ completion: @escaping @Sendable (StoreError?) -> Void
    ) {
        submit(.operation(StoreWriter.Operation(decide: decide, completion: completion, room: room)))
    }

    /// Does the same and waits. Must not be called on the writer's thread.
    func record(
        room: Room = .ordinary, _ decide: @escaping @Sendable (BatchBuilder) throws -> Decision
    ) -> StoreError? {
        waiting { record(room: room, decide, $0) }
    }

    /// Makes changes in a batch of their own, after everything earlier, and waits. Must not be called on the writer's
    /// thread.
    func recordAlone(
        room: Room = .ordinary, _ decide: @escaping @Sendable (BatchBuilder) throws -> Decision
    ) -> StoreError? {
        waiting { completion in
            let operation = StoreWriter.Operation(
                decide: decide, completion: completion, endsBatch: true, beginsBatch: true,
                room: room)
            submit(.operation(operation))
        }
    }

    /// Runs `body` on the engine between two batches, and waits. Must not be called on the writer's thread.
    func upkeep(_ body: @escaping @Sendable (WriterCore) throws -> Void) throws(StoreError) {
        if let failure = waiting({ submit(.upkeep(body, $0)) }) { throw failure }
    }

    /// Waits for the answer to `ask`.
    func waiting(_ ask: (@escaping @Sendable (StoreError?) -> Void) -> Void) -> StoreError? {
        let result = Monitor<Result<Void, StoreError>?>(nil)
        ask { error in result.signal { $0 = error.map { .failure($0) } ?? .success(()) } }
        if case .failure(let error) = result.wait(until: { $0 }) { return error }
        return nil
    }

    /// Applies entries that other stores have appended to a shared log.
    ///
    /// - Parameter number: of an entry that must be applied; nil if it is not known.
    private func follow(to number: UInt64?, _ completion: @escaping @Sendable (StoreError?) -> Void) {
        submit(.follow(to: number, completion))
    }

    /// Whether other servers write to this store as well.
    public var isShared: Bool { engine.isShared }

    /// Waits until everything that any store of a shared log has acknowledged is visible here. A reader who has seen
    /// a message on one server must not miss it on another.
    public func catchUp() throws(StoreError) {
        guard engine.isShared else { return }
        let before = state.withLock { $0.place }
        let head: LogPlace
        do { head = try engine.head() } catch { throw StoreError(error) }
        let now = state.withLock { $0.place }
        // This store may have gone on meanwhile. But if the log ends before the place that it had, the log went back.
        if head == now || before.number <= head.number && head.number < now.number { return }
        let isAhead = head.number > before.number
        if let failure = waiting({ follow(to: isAhead ? head.number : nil, $0) }) { throw failure }
    }

    /// Seals a conversation up to its last message, even a short tail, after what is ripe now.
    package func seal(
        _ name: String, for principal: Principal, _ completion: @escaping @Sendable (StoreError?) -> Void
    ) throws(StoreError) {
        let number = try state.withLock { state throws(StoreError) -> Int64? in
            guard case .existing(let found) = try state.resolve(name, for: principal.account) else { return nil }
            return found.identity.number
        }
        guard let number else { return completion(nil) }
        sealer.requestWhole(number, of: self, completion)
    }

    /// Calls back after the sealer, and then the writer, have done what was ripe or asked for.
    package func settle(_ completion: @escaping @Sendable (StoreError?) -> Void) {
        sealer.requestWhole(nil, of: self) { [self] _ in record(room: .kept, { _ in .nothing }, completion) }
    }

    func announce(_ news: News) { self.news.withLock { $0 }.receive?(news) }

    public func onNews(_ body: @escaping @Sendable (News) -> Void) { news.signal { $0 = NewsReceiver(receive: body) } }

    // MARK: Reading

    /// Lends a reader of the index and the logs. A reader is used by one thread at a time.
    func withReader<Result>(_ body: (ArchiveReader) throws -> Result) throws -> Result {
        let (generation, idle) = readers.withLock { ($0.generation, $0.idle.popLast()) }
        let reader = try idle ?? engine.makeReader()
        defer {
            readers.signal { readers in
                if readers.generation == generation, readers.idle.count < 8 { readers.idle.append(reader) }
            }
        }
        do { return try body(reader) } catch {
            noteDamage(error)
            throw error
        }
    }

    /// Reports each damage once, and counts it for whoever watches the server. It is found again with every request. A database that
    /// SQLite calls corrupt can't be trusted with anything, so nothing more is written.
    private func noteDamage(_ error: any Error) {
        if case .index(let error) = ArchiveError(error), error.reason == .corrupt { fail("\(error)") }
        guard case .damaged(let from, let to, let detail) = StoreError(error) else { return }
        let isNew = damages.withLock { $0.count < 1_000 && $0.insert("\(from) \(to) \(detail)").inserted }
        if isNew { report("cannot serve messages \(from) to \(to): \(detail)") }
    }

    /// Reads as `withReader` does, with the errors that callers of the store get.
    func reading<Result>(_ body: (ArchiveReader) throws -> Result) throws(StoreError) -> Result {
        do { return try withReader(body) } catch { throw StoreError(error) }
    }

    /// Lets go of all readers, including those that are lent: they know a history that is no longer the store's.
    func dropReaders() {
        readers.signal { readers in
            readers.generation += 1
            readers.idle = []
        }
    }
}

/// Readers that nobody uses now. A reader of an earlier generation does not come back.
private struct IdleReaders {
    var generation = 0
    var idle: [ArchiveReader] = []
}

/// The receiver of news about commits. A structure, for the reason that `Monitor` gives about functions.
private struct NewsReceiver: Sendable {
    let receive: (@Sendable (News) -> Void)?
}
