internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
public import NatterLanguage
internal import NatterLog
public import NatterModel
public import NatterSystem

/// The server's store in one directory: log files under `logs/`, everything else in `store.db`.
///
/// One writer thread makes changes durable, one sealer thread packs tails into log files; reads run on the threads of those
/// who ask. What is shared is `state`, behind its lock.
public final class Store: ChatStore {
    public let directory: String
    public let id: StoreID
    public let disk: any Disk
    public let clock: any WallClock
    let state = Monitor(StoreState())
    let keySecret: ShortHashKey
    let cache: ArchiveCache
    let sealer: Sealer
    let search = StoreSearch()
    let earlierMessages = EarlierMessages()
    private let writer = StoreWriter()
    private let threads = Monitor<[SystemThread]>([])
    private let readers = Monitor<[ArchiveReader]>([])
    private let news = Monitor(NewsReceiver(receive: nil))
    private let coreBox = Monitor<WriterCore?>(nil)
    private let reporter: @Sendable (Phrase) -> Void
    private let failed: @Sendable (String) -> Void
    /// nil once the directory is let go.
    private let lock: Monitor<(any DiskLock)?>
    private let keepsSearchIndex: Bool
    let checkpointBytes: Int
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
        /// WAL bytes after which it is moved into the database.
        package var checkpointBytes = StoreWriter.standardCheckpointBytes
        /// Whether a thread keeps the search index up to date; without it a search scans.
        public var keepsSearchIndex = false

        public init() {}
    }

    init(
        directory: String, id: StoreID, keySecret: ShortHashKey, disk: any Disk, clock: any WallClock,
        lock: any DiskLock,
        options: Options
    ) {
        (self.directory, self.id, self.keySecret, self.disk, self.clock) = (directory, id, keySecret, disk, clock)
        (self.lock, reporter, failed) = (Monitor(lock), options.report, options.failed)
        (keepsSearchIndex, checkpointBytes) = (options.keepsSearchIndex, options.checkpointBytes)
        sealer = Sealer(journalBytes: options.journalBytes)
        cache = ArchiveCache(directory: directory, disk: disk)
    }

    public var now: Timestamp { clock.now() }

    static func databasePath(_ directory: String) -> String { directory + "/store.db" }

    /// The writer's own; nil before `start` and after `close`.
    var core: WriterCore? { coreBox.withLock { $0 } }

    /// Starts the threads.
    func start(_ core: WriterCore) throws {
        coreBox.signal { $0 = core }
        let writing = try SystemThread(name: "natter-writer") { [self] in writer.run(core) }
        let sealing = try SystemThread(name: "natter-sealer") { [self] in sealer.run(self) }
        let repeating = try SystemThread(name: "natter-repeats") { [self] in earlierMessages.run() }
        var running = [sealing, writing, repeating]
        if keepsSearchIndex {
            running.insert(try SystemThread(name: "natter-search") { [self] in search.run(self) }, at: 0)
        }
        let all = running
        threads.signal { $0 = all }
    }

    /// Finishes what is queued and lets the directory go. Nothing may be asked of the store afterwards.
    public func close() {
        guard core != nil else { return }
        savePresence()
        search.stop()
        sealer.stop()
        let running = threads.signal { threads in
            defer { threads = [] }
            return threads
        }
        // The last two are the writer, and what answers for it.
        for thread in running.dropLast(2) { thread.join() }
        if !isFailed { _ = perform { connection, _ in try Store.markClean(connection) } }
        writer.stop()
        running.dropLast().last?.join()
        earlierMessages.stop()
        running.last?.join()
        readers.signal { $0 = [] }
        coreBox.signal { $0 = nil }
        lock.signal { $0 = nil }
    }

    private static func markClean(_ connection: Connection) throws -> @Sendable (inout StoreState) -> Void {
        try connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', 1)")
        return { _ in }
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

    /// Looks at an error of whoever changes files besides the writer. Where the disk did not do what it was told to, nothing
    /// more is written, even if what was acknowledged is safe in another file: such a disk is not to be relied on.
    func heed(_ error: any Error) {
        if ArchiveError(error).leavesUnknown { fail("\(error)") }
    }

    func report(_ line: Phrase) { reporter(line) }

    // MARK: Changes

    /// Hands messages to the writer.
    func submit(_ posting: StoreWriter.Posting) {
        if !writer.submit(.posting(posting)) { posting.completion(posting.messages.map { _ in .refused(.busy) }) }
    }

    /// Has a change made, and answers when it is durable.
    func perform(
        _ body: @escaping @Sendable (Connection, Commit) throws -> @Sendable (inout StoreState) -> Void,
        _ completion: @escaping @Sendable (StoreError?) -> Void
    ) {
        let operation = StoreWriter.Operation(
            body: { connection, commit, _ in try body(connection, commit) }, completion: completion)
        if !writer.submit(.operation(operation)) { completion(.busy) }
    }

    /// Has a change made that decides over what comes after it, and that may put messages of its own into the batch.
    func performDeciding(
        _ body: @escaping @Sendable (Connection, Commit, Numbering) throws -> @Sendable (inout StoreState) -> Void,
        _ completion: @escaping @Sendable (StoreError?) -> Void
    ) {
        let operation = StoreWriter.Operation(body: body, completion: completion, endsBatch: true)
        if !writer.submit(.operation(operation)) { completion(.busy) }
    }

    /// Has a change made in a commit of its own, and waits for it. Not for the writer's own thread.
    func performAlone(
        _ body: @escaping @Sendable (Connection, Commit) throws -> @Sendable (inout StoreState) -> Void
    ) -> StoreError? {
        let result = Monitor<Result<Void, StoreError>?>(nil)
        let operation = StoreWriter.Operation(
            body: { connection, commit, _ in try body(connection, commit) },
            completion: { error in result.signal { $0 = error.map { .failure($0) } ?? .success(()) } },
            endsBatch: true, beginsBatch: true)
        guard writer.submit(.operation(operation)) else { return .busy }
        if case .failure(let error) = result.wait(until: { $0 }) { return error }
        return nil
    }

    /// The same, waiting. Not for the writer's own thread.
    func perform(
        _ body: @escaping @Sendable (Connection, Commit) throws -> @Sendable (inout StoreState) -> Void
    ) -> StoreError? {
        let result = Monitor<Result<Void, StoreError>?>(nil)
        perform(body) { error in result.signal { $0 = error.map { .failure($0) } ?? .success(()) } }
        switch result.wait(until: { $0 }) {
        case .failure(let error): return error
        case .success, nil: return nil
        }
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
        sealer.requestWhole(0) { [self] _ in perform({ _, _ in { _ in } }, completion) }
    }

    func announce(_ news: News) { self.news.withLock { $0 }.receive?(news) }

    public func onNews(_ body: @escaping @Sendable (News) -> Void) { news.signal { $0 = NewsReceiver(receive: body) } }

    // MARK: Reading

    /// Lends a reader of the index and the logs; each is used by one thread at a time.
    func withReader<Result>(_ body: (ArchiveReader) throws -> Result) throws -> Result {
        let reader =
            try readers.withLock { $0.popLast() }
            ?? ArchiveReader(
                connection: Connection(path: Store.databasePath(directory), role: .reader, disk: disk), cache: cache)
        defer { readers.signal { if $0.count < 8 { $0.append(reader) } } }
        return try body(reader)
    }

    // MARK: Rows

    /// Adds a conversation, inside the writer's transaction.
    func insertConversation(
        kind: ConversationKind, name: String, users: [String], accounts: AccountPair?, isOpen: Bool = false,
        id given: ConversationID? = nil, on connection: Connection
    ) throws -> ConversationState {
        let sorted = users.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var random = SecureRandom()
        let derived =
            kind == .group
            ? ConversationID(using: &random) : ConversationID.derived(store: self.id, kind: kind, users: sorted)
        let id = given ?? derived
        let hash = HashChain.start(of: id)
        let statement = try connection.statement(
            """
            INSERT INTO conversation (id,kind,name,name_key,is_open,user_a,user_b,sealed_hash)
            VALUES (?,?,?,?,?,?,?,?)
            """)
        try statement.run(
            id.bytes, Int(kind.rawValue), name, NameRule.caseKey(name), isOpen, accounts?.first, accounts?.second,
            hash.bytes)
        let identity = ConversationIdentity(
            number: connection.lastInsertedRow, id: id, kind: kind, name: name, users: sorted)
        return ConversationState(
            identity: identity, isOpen: isOpen, accounts: accounts.map { ($0.first, $0.second) }, sealedSeq: .zero,
            sealedHash: hash, sealedCommit: .zero, lastServerTime: .zero)
    }

    /// Moves a conversation's sealed end forward, inside the transaction that records the blocks.
    static func recordSealed(
        _ written: WrittenBlocks, _ content: SealedContent, on connection: Connection
    ) throws(SQLiteError) {
        let statement = try connection.statement(
            """
            UPDATE conversation SET sealed_seq=?, sealed_hash=?, sealed_commit=?,
            sealed_time=max(coalesce(sealed_time,0),?) WHERE number=?
            """)
        try statement.run(
            written.lastSeq.rawValue, written.hashAfter.bytes, written.lastCommit.rawValue,
            (content.serverTime ?? .zero).milliseconds, written.segment.conversation)
        let count = try connection.statement(
            """
            INSERT INTO sent VALUES (?,?,?) ON CONFLICT (conversation,sender) DO UPDATE SET count=count+excluded.count
            """)
        for (sender, added) in content.sent {
            try count.run(written.segment.conversation, sender, added)
        }
    }
}

/// Who is told of commits, in a structure because of what ``Monitor`` says of functions.
private struct NewsReceiver: Sendable {
    let receive: (@Sendable (News) -> Void)?
}
