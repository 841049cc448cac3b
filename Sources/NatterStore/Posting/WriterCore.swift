internal import NatterSystem
internal import NatterModel

/// The state of the writer's thread: the end of the log as this store knows it, and the idempotency keys that are
/// still in the log.
final class WriterCore: @unchecked Sendable {
    // Unchecked: created by the thread that opens the store, then used only by the writer's thread.
    private let store: Store
    let engine: any StoreEngine
    private var place: LogPlace
    /// Keys that are not in a table of the engine yet, for look-ups and in order of arrival.
    private var recentKeys: [RecentKey: FoundKey] = [:]
    /// A slice, so that its front goes without moving the rest.
    private var recentOrder: ArraySlice<MovedKey> = []
    private let node: UInt64
    private var attempts: UInt64 = 0

    /// How many entries of other stores are read at a time.
    private static let followLimit = 256
    /// How often an entry is proposed while its answer is lost.
    private static let proposals = 16

    init(_ store: Store, _ engine: any StoreEngine, _ loaded: LoadedState) {
        (self.store, self.engine, place) = (store, engine, loaded.state.place)
        var random = SecureRandom()
        node = random.next()
        remember(loaded.keys)
    }

    private func remember(_ keys: [MovedKey]) {
        for key in keys { recentKeys[key.key] = key.found }
        recentOrder += keys
    }

    /// Whether other stores append to the same log.
    var isShared: Bool { engine.isShared }

    /// Takes its turn before the next items are taken. So those that come while it waits share the entry, and nothing is
    /// numbered twice.
    func lineUp() {
        guard !store.isFailed else { return }
        // The proposal meets the same error again, and can refuse the items.
        do { try takeOver(try engine.lineUp(behind: place)) } catch {}
    }

    /// Makes all of the items durable or none, and answers each.
    func commit(_ items: [StoreWriter.Item]) {
        guard !store.isFailed else { return refuse(items, .outcomeUnknown) }
        if case .follow(let number, let completion)? = items.first {
            // While this store appends as well, it has read them in its turn.
            let isCurrent = place == store.state.withLock { $0.place }
            if let number, isCurrent, number <= place.number {
                completion(nil)
                return tidyUp()
            }
            follow(completion)
            return tidyUp()
        }
        var items = items
        do {
            if case .directoryMoved? = engine.trouble { throw StoreError.directoryMoved }
            if try !store.reserve.isRoom(for: items.reduce(0) { $0 + $1.size }) {
                refuse(items.filter { $0.room == .ordinary }, .diskFull)
                items.removeAll { $0.room == .ordinary }
                if items.contains(where: \.isProposal) { store.reserve.makeRoom() }
            }
        } catch let refusal as StoreError {
            refuse(items, refusal)
            items = []
        } catch let error as DiskError {
            refuse(items, .failed(error.phrase))
            items = []
        } catch {
            return refuse(items, fail(error))
        }
        guard !items.isEmpty else {
            // Others wait for the place in the queue that this store has taken.
            if engine.isShared { tidyUp() }
            return
        }
        do {
            if case .upkeep(let body, let completion)? = items.first {
                try body(self)
                completion(nil)
            } else {
                try append(items)
            }
        } catch let refusal as StoreError {
            if engine.isShared { store.reserve.note(refusal) }
            refuse(items, refusal)
            // The engine of a shared log may still hold its place in the queue.
            guard engine.isShared else { return }
        } catch {
            return refuse(items, fail(error))
        }
        tidyUp()
    }

    private func tidyUp() {
        do { try engine.checkpointIfDue() } catch { _ = fail(error) }
    }

    /// - Throws: `StoreError` if nothing was written; any other error if that is unknown.
    private func append(_ items: [StoreWriter.Item]) throws {
        var isNewest = !engine.isShared
        while true {
            let moved = try findMovedKeys(items)
            let builder = BatchBuilder(store) { [self] key in recentKeys[key] ?? moved[key] }
            var isStored = false
            defer { if !isStored { builder.giveBack() } }
            for item in items {
                switch item {
                case .posting(let posting): builder.add(posting)
                case .operation(let operation): builder.add(operation)
                case .upkeep, .follow: break
                }
            }
            if let failure = builder.failure { throw failure }
            if !isNewest, builder.mayBeOutdated {
                // Another server may have just acknowledged the data that is missing here, or changed earlier messages.
                let former = place
                try followAll()
                isNewest = true
                if place != former { continue }
            }
            if builder.isEmpty {
                do { try engine.confirm(place) } catch let reason as HistoryWentBack {
                    try loadAnew(because: reason)
                    continue
                }
                return builder.answer()
            }
            attempts &+= 1
            let entry = builder.entry(behind: place, by: LogEntry.Author(node: node, attempt: attempts))
            isStored = try propose(entry, builder)
            if isStored { return }
        }
    }

    /// Finds the ids of the items that have left the log. All are looked up at once, because each look-up has a cost of
    /// its own.
    private func findMovedKeys(_ items: [StoreWriter.Item]) throws -> [RecentKey: FoundKey] {
        var keys: [RecentKey] = []
        for case .posting(let posting) in items {
            for case let key? in posting.messages.lazy.map(\.recentKey) where recentKeys[key] == nil {
                keys.append(key)
            }
        }
        return keys.isEmpty ? [:] : try engine.find(keys)
    }

    /// - Returns: whether the entry is in the log. If not, the entries of other stores that came first were applied.
    private func propose(_ entry: LogEntry, _ builder: BatchBuilder) throws -> Bool {
        var isUncertain = false
        for _ in 0..<WriterCore.proposals {
            do {
                switch try engine.append(entry, with: builder.blocks) {
                case .done(let reached):
                    publish(entry, builder, at: reached)
                    return true
                case .behind(let others, let isMoved):
                    guard let first = others.first, first.author == entry.author else {
                        try takeOver(others)
                        if isMoved { try beginEpoch() }
                        return false
                    }
                    // This entry is our own: it was written, but the answer was lost.
                    try engine.confirm(first.end)
                    publish(entry, builder, at: first.end)
                    // The requests are answered even if applying later entries fails.
                    do { try takeOver(Array(others.dropFirst())) } catch { _ = fail(error) }
                    return true
                case .unknown: isUncertain = true
                }
            } catch let reason as HistoryWentBack {
                try loadAnew(because: reason)
                // It may be in the log, which was trimmed since: this server may have stood still for long.
                if isUncertain { throw StoreError.outcomeUnknown }
                return false
            }
        }
        throw StoreError.outcomeUnknown
    }

    private func publish(_ entry: LogEntry, _ builder: BatchBuilder, at reached: LogPlace) {
        place = reached
        // They lack the rows of the entry.
        if !engine.hasRows { store.dropReaders() }
        if engine.isShared { store.reserve.note(nil) }
        let (published, journalBytes) = store.state.withLock { state in
            state.place = reached
            return (builder.publish(entry, to: &state), state.journalBytes)
        }
        remember(builder.newKeys)
        forgetContent(builder.changes)
        builder.answer()
        if !published.ripe.isEmpty { store.sealer.request(published.ripe) }
        announce(published, journalBytes)
    }

    private func announce(_ published: StoreState.Published, _ journalBytes: Int) {
        if let news = published.news { store.announce(news) }
        store.sealer.note(journalBytes: journalBytes)
        store.holdBulk(journalBytes: journalBytes)
    }

    // MARK: Entries of others

    private func follow(_ completion: (StoreError?) -> Void) {
        do {
            try followAll()
            completion(nil)
        } catch {
            if WriterCore.misfit(error) != nil { _ = fail(error) }
            completion(StoreError(error))
        }
    }

    private func followAll() throws {
        while true {
            let others: [LogEntry]
            do { others = try engine.entries(after: place, limit: WriterCore.followLimit) } catch let reason
                as HistoryWentBack
            {
                try loadAnew(because: reason)
                continue
            }
            try takeOver(others)
            // Fewer than asked for end where the log did a moment ago. Its end may move on faster than this follows.
            if others.count < WriterCore.followLimit { return }
        }
    }

    private func takeOver(_ others: [LogEntry]) throws {
        for entry in others {
            let reached = entry.end
            let isRewriting = entry.changes.contains { $0.rewritten != nil }
            // Before the index can take the entry's epoch for that of its words.
            if isRewriting { store.search.askPurge() }
            let (published, keys, journalBytes, erased) = try store.state.withLock { state in
                let (published, keys) = try state.follow(entry)
                state.place = reached
                return (published, keys, state.journalBytes, entry.changes.flatMap(state.remembered))
            }
            place = reached
            remember(keys)
            forgetContent(entry.changes)
            store.remember(erasedByOthers: erased)
            for case .tailSealed(let sealed) in entry.changes { store.sealer.noteSealed(sealed.conversation) }
            if !published.ripe.isEmpty { store.sealer.leave(published.ripe) }
            announce(published, journalBytes)
            if entry.changes.contains(where: \.shortensTails) { store.sealer.requestTrim() }
            if isRewriting { store.sealer.requestSweep() }
        }
    }

    /// Forgets what the ids of erased messages stood for.
    private func forgetContent(_ changes: [Change]) {
        for case .erased(let messages, let number) in changes where !recentOrder.isEmpty {
            let seqs = Set(messages.map(\.seq))
            for index in recentOrder.indices {
                let found = recentOrder[index].found
                guard found.conversation == number, seqs.contains(found.seq) else { continue }
                recentOrder[index].found = found.withoutContent
                recentKeys[recentOrder[index].key] = found.withoutContent
            }
        }
    }

    /// Loads the state again after the log was restored to an earlier state. A new epoch separates cursors of the
    /// lost history from later ones.
    private func loadAnew(because reason: HistoryWentBack) throws {
        let loaded = try engine.load()
        store.report(
            reason.copyFailure.map {
                "the copy of PostgreSQL's tables in the data directory could not be written, and was made anew: \($0)"
            }
                ?? "the store's log does not continue where this server stopped: it went back to an earlier state, or was trimmed while this server stood still; the store is loaded again, as after a restore from a backup"
        )
        let former = place
        place = loaded.state.place
        store.dropReaders()
        (recentKeys, recentOrder) = ([:], [])
        remember(loaded.keys)
        // It may have words of what was erased meanwhile, or of the lost history.
        store.search.askPurge()
        store.state.withLock { state in
            var next = loaded.state
            (next.failure, next.isOutdated) = (state.failure, state.isOutdated)
            (next.retention, next.limits) = (state.retention, state.limits)
            next.files.keep(from: state.files)
            next.history = state.history + 1
            next.prepare()
            for (account, known) in state.accounts where known.waiting > 0 {
                next.accounts[account]?.waiting = known.waiting
                next.noteActive(account)
            }
            state = next
        }
        // Whatever happens now, readers who wait for commits of the lost history must look again.
        defer {
            store.announce(
                News(commit: store.state.withLock { $0.commit }, isForAll: true, accounts: [], isAnew: true))
            store.repeatErasures()
        }
        do { try beginEpoch() } catch {
            // The next look at the log or proposal finds again that it went back.
            place = former
            throw error is HistoryWentBack ? StoreError.busy : error
        }
    }

    /// Begins an epoch behind what was loaded, unless another server that has noticed the same is first.
    private func beginEpoch() throws {
        for _ in 0..<WriterCore.proposals {
            attempts &+= 1
            let (epoch, commit) = store.state.withLock { (Epoch.next(after: $0.epoch), $0.commit.next) }
            let begin = LogEntry(
                before: place, author: LogEntry.Author(node: node, attempt: attempts), commit: commit,
                changes: [.epochBegun(epoch, first: commit)])
            switch try engine.append(begin, with: []) {
            case .done(let reached):
                place = reached
                return store.state.withLock { state in
                    state.place = reached
                    state.journalBytes += state.leastEntryBytes
                    for change in begin.changes { change.apply(to: &state, at: begin.commit) }
                }
            case .behind(let others, _):
                try takeOver(others)
                if others.contains(where: { $0.changes.contains(where: \.beginsEpoch) }) { return }
            case .unknown: continue
            }
        }
        throw StoreError.busy
    }

    // MARK: Upkeep

    /// How many keys one step moves, and how many on a disk that is nearly full: each may write a page to the write-ahead log.
    private static let (trimmedKeys, fewKeys) = (1_000, 64)

    /// Moves keys out of the log and trims its sealed part. It works in bounded steps, so that no acknowledgement
    /// waits long.
    ///
    /// - Parameter floor: the lowest commit that a tail still needs.
    /// - Returns: the commit below which the log was trimmed.
    func trim(below floor: Commit) throws -> Commit {
        var floor = floor
        let isAmple = (try? store.reserve.isFree((2 << 20) + engine.logBytes)) == true
        let count = isAmple ? WriterCore.trimmedKeys : WriterCore.fewKeys
        if let first = recentOrder.first, let next = recentOrder.dropFirst(count).first {
            // All keys of a commit go together, however many, or a large commit would never go.
            floor = min(floor, max(next.commit, first.commit.next))
        }
        let keys = Array(recentOrder.prefix { $0.commit < floor })
        let trimmed = try engine.trim(below: floor, moving: keys, now: store.clock.now(), at: place)
        // They are in a table now.
        let moved = keys.prefix { $0.commit < trimmed.floor }
        for key in moved { recentKeys[key.key] = nil }
        recentOrder = recentOrder.dropFirst(moved.count)
        store.state.withLock { $0.journalBytes -= trimmed.bytes }
        return trimmed.floor
    }

    /// Why a server must end and not begin again by itself; nil if it need not.
    private static func misfit(_ error: any Error) -> Phrase? {
        switch error as? StoreOpenError {
        case .newer(let reason)?, .unfit(let reason)?: reason
        default: nil
        }
    }

    /// Stops all writing, because the content of the disk is unknown, or the store is newer than this program or another one.
    private func fail(_ error: any Error) -> StoreError {
        if let reason = WriterCore.misfit(error) {
            store.fail("\(reason)", isOutdated: true)
        } else {
            store.fail("\(error)")
        }
        return .outcomeUnknown
    }

    private func refuse(_ items: [StoreWriter.Item], _ reason: StoreError) {
        for item in items { item.refuse(reason) }
    }
}
