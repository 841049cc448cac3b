internal import NatterArchive
internal import NatterCrypto
internal import NatterSQLite
internal import NatterLanguage
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// The one thread that writes the database. It takes all that has arrived while the last commit ran, gives numbers, and
/// makes everything durable in one commit; then it answers.
final class StoreWriter: Sendable {
    /// Messages of one request.
    struct Posting: Sendable {
        let messages: [NewMessage]
        let principal: Principal
        let stopAtRefusal: Bool
        let completion: @Sendable ([PostOutcome]) -> Void

        var cost: Int { messages.reduce(64) { $0 + $1.text.utf8.count + 64 } }
    }

    /// Any other change. `body` runs inside the transaction and says what to change in memory once it is durable; what it
    /// throws undoes only its own part. It gets the number of the commit; whoever makes use of it must see to it that the
    /// number is found again at start (it stands in a row that recovery reads) and set `StoreState.commit`.
    struct Operation: Sendable {
        let body: @Sendable (Connection, Commit, Numbering) throws -> @Sendable (inout StoreState) -> Void
        let completion: @Sendable (StoreError?) -> Void
        /// Whether what comes after it must see what it has changed: who may write where, for example.
        var endsBatch = false
        /// Whether it must see all that came before it as a part of the state, heads of conversations included.
        var beginsBatch = false
    }

    enum Item: Sendable {
        case posting(Posting)
        case operation(Operation)
    }

    private struct Queue {
        var items: [Item] = []
        var cost = 0
        var isStopping = false
    }

    /// Bytes that may wait for a commit; what comes on top is told to come back.
    static let queueLimit = 64 << 20
    /// Bytes and messages of one commit.
    static let batchBytes = 1 << 20
    /// A commit is refused when the file system has less than this left, so that sealing and deleting can still finish.
    static let reservedBytes: UInt64 = 1 << 20
    /// WAL bytes after which it is moved into the database.
    static let standardCheckpointBytes = 4 << 20

    private let queue = Monitor(Queue())

    /// - Returns: false if too much is waiting.
    func submit(_ item: Item) -> Bool {
        var cost = 64
        if case .posting(let posting) = item { cost = posting.cost }
        return queue.signal { queue in
            guard !queue.isStopping, queue.cost < StoreWriter.queueLimit else { return false }
            queue.items.append(item)
            queue.cost += cost
            return true
        }
    }

    /// Lets the thread end once all that is queued has been done.
    func stop() { queue.signal { $0.isStopping = true } }

    /// What is to be done next; nil once there is nothing and never will be.
    private func next() -> [Item]? {
        queue.wait { queue -> [Item]?? in
            if queue.items.isEmpty { return queue.isStopping ? .some(nil) : nil }
            var taken = 0
            var cost = 0
            for item in queue.items {
                if taken > 0, case .operation(let operation) = item, operation.beginsBatch { break }
                if case .posting(let posting) = item { cost += posting.cost } else { cost += 64 }
                taken += 1
                if cost >= StoreWriter.batchBytes { break }
                if case .operation(let operation) = item, operation.endsBatch { break }
            }
            queue.cost -= min(cost, queue.cost)
            if taken == queue.items.count {
                defer { queue.items.removeAll(keepingCapacity: true) }
                return .some(queue.items)
            }
            defer { queue.items.removeFirst(taken) }
            return .some(Array(queue.items.prefix(taken)))
        } ?? nil
    }

    /// The thread's body.
    func run(_ core: WriterCore) {
        while let items = next() { core.commit(items) }
        core.close()
    }
}

/// What the writer's thread owns.
final class WriterCore: @unchecked Sendable {
    // Unchecked: made on the thread that opens the store, then used by the writer's thread alone.
    let store: Store
    let connection: Connection
    private var keys: KeyTables
    /// Keys of the journal, which are not in a table yet, for look-up and in order of arrival.
    private var recentKeys: [RecentKey: KeyTables.Found] = [:]
    private var recentOrder: [(commit: Commit, key: Batch.Key)] = []
    private var walBytes = 0

    struct RecentKey: Hashable {
        let account: Int64
        let hash: UInt64
    }

    init(store: Store, connection: Connection, retentionDays: Int) throws {
        self.store = store
        self.connection = connection
        keys = try KeyTables(connection: connection, retentionDays: retentionDays)
    }

    /// Takes in a key found in the journal at start.
    func remember(_ key: Batch.Key, conversation: Int64, seq: Seq, commit: Commit) {
        recentKeys[RecentKey(account: key.account, hash: key.hash)] = KeyTables.Found(
            conversation: conversation, seq: seq, content: key.content)
        recentOrder.append((commit, key))
    }

    func close() { try? connection.checkpoint(truncating: true) }

    /// Makes all of the items durable, or none, and answers each.
    func commit(_ items: [StoreWriter.Item]) {
        guard !store.isFailed else { return refuse(items, .outcomeUnknown) }
        do {
            let free = try store.disk.freeBytes(store.directory)
            guard free > StoreWriter.reservedBytes else { return refuse(items, .diskFull) }
        } catch {
            return refuse(items, .failed(error.phrase))
        }
        var numbering: Numbering?
        var answers: [@Sendable () -> Void] = []
        var changes: [@Sendable (inout StoreState) -> Void] = []
        do {
            try connection.execute("BEGIN IMMEDIATE")
            let number = store.state.withLock { $0.commit.next }
            let current = Numbering(commit: number, now: store.clock.now(), core: self)
            numbering = current
            for item in items {
                switch item {
                case .posting(let posting): current.number(posting)
                case .operation(let operation):
                    do {
                        try connection.execute("SAVEPOINT operation")
                        let change = try operation.body(connection, number, current)
                        try connection.execute("RELEASE operation")
                        changes.append(change)
                        answers.append { operation.completion(nil) }
                    } catch {
                        if ArchiveError(error).leavesUnknown { throw error }
                        // Only this one is undone.
                        try connection.execute("ROLLBACK TO operation; RELEASE operation")
                        try keys.reload()
                        let reason = StoreError(error)
                        answers.append { operation.completion(reason) }
                    }
                }
            }
            if let failure = current.failure { throw failure }
            if !current.batch.isEmpty {
                let statement = try connection.statement("INSERT INTO batch VALUES (?,?)")
                try statement.run(Batch.rowNumber(of: number, isMoved: false), current.batch.sealed())
            }
        } catch {
            rollBack()
            let reason = StoreError(error)
            return refuse(items, isHarmless(error) ? reason : fail(error))
        }
        do {
            try connection.execute("COMMIT")
        } catch {
            rollBack()
            return refuse(items, error.reason == .full || error.reason == .busy ? StoreError(error) : fail(error))
        }
        guard let numbering else { return }
        publish(numbering, changes, answers)
    }

    private func rollBack() {
        connection.rollBack()
        // Tables that were made or dropped in the transaction are not, after all.
        try? keys.reload()
    }

    private func publish(
        _ numbering: Numbering, _ changes: [@Sendable (inout StoreState) -> Void], _ answers: [@Sendable () -> Void]
    ) {
        let (outcome, journalBytes) = store.state.withLock { state in
            for change in changes { change(&state) }
            return (numbering.publish(to: &state), state.journalBytes)
        }
        for (key, commit) in numbering.newKeys {
            remember(key.key, conversation: key.conversation, seq: key.seq, commit: commit)
        }
        for answer in numbering.answers(store) { answer() }
        for answer in answers { answer() }
        if let news = outcome.news { store.announce(news) }
        if !outcome.ripe.isEmpty { store.sealer.request(outcome.ripe) }
        store.sealer.note(journalBytes: journalBytes)
        walBytes += numbering.batch.size + 4_096
        if walBytes >= store.checkpointBytes { checkpoint() }
    }

    /// Between two commits: nobody else ever checkpoints.
    private func checkpoint() {
        walBytes = 0
        do { try connection.checkpoint(truncating: false) } catch {
            // The WAL still holds every frame, but a second try could succeed over pages that were lost: stop here.
            if error.reason == .inputOutput { _ = fail(error) }
        }
    }

    /// Moves keys out of the journal and cuts off the part of it that is sealed; in bounded steps, so that no
    /// acknowledgement waits long. Inside the transaction of an operation.
    ///
    /// - Parameter floor: the lowest commit that a tail still needs.
    /// - Returns: the commit below which the journal is gone once this is committed, and how many keys `forget` then takes.
    func trim(below floor: Commit, limit: Int) throws -> (floor: Commit, moved: Int) {
        var floor = floor
        let now = store.clock.now()
        var moved = 0
        while moved < recentOrder.count, recentOrder[moved].commit < floor {
            if moved >= limit {
                floor = recentOrder[moved].commit
                break
            }
            let key = recentOrder[moved].key
            let recent = RecentKey(account: key.account, hash: key.hash)
            if let found = recentKeys[recent] {
                try keys.insert(key, conversation: found.conversation, seq: found.seq, now: now)
            }
            moved += 1
        }
        try keys.dropExpired(now: now)
        let statement = try connection.statement("DELETE FROM batch WHERE number < ?")
        try statement.run(Batch.rowNumber(of: floor, isMoved: true))
        return (floor, moved)
    }

    /// Lets go of the oldest keys, which stand in a table now.
    func forget(_ count: Int) {
        for (_, key) in recentOrder.prefix(count) {
            recentKeys[RecentKey(account: key.account, hash: key.hash)] = nil
        }
        recentOrder.removeFirst(min(count, recentOrder.count))
    }

    func find(_ key: RecentKey) throws(SQLiteError) -> KeyTables.Found? {
        if let recent = recentKeys[key] { return recent }
        return try keys.find(account: key.account, hash: key.hash)
    }

    private func isHarmless(_ error: any Error) -> Bool {
        switch error {
        case let error as SQLiteError: error.reason != .inputOutput && error.reason != .corrupt
        case is StoreError: true
        default: false
        }
    }

    /// From here on nothing is written: what is on the disk is not known.
    private func fail(_ error: any Error) -> StoreError {
        store.fail("\(error)")
        return .outcomeUnknown
    }

    private func refuse(_ items: [StoreWriter.Item], _ reason: StoreError) {
        for item in items {
            switch item {
            case .posting(let posting):
                posting.completion(posting.messages.map { _ in .refused(reason) })
            case .operation(let operation): operation.completion(reason)
            }
        }
    }
}
