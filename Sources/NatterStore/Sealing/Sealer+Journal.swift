internal import NatterConversation
internal import NatterModel
internal import NatterLog
internal import NatterSystem

/// Keeps the journal within its bound.
extension Sealer {
    /// Trims the part of the journal that no tail needs, in steps.
    func trim(_ store: Store) -> StoreError? {
        let (floor, history) = store.state.withLock { state in
            let floor = state.conversations.values.reduce(state.commit.next) { floor, conversation in
                min(floor, conversation.journalFloor ?? floor)
            }
            return (floor, state.history)
        }
        while true {
            let reached = Monitor(floor)
            do {
                try store.upkeep { [savedBytes] core in
                    // This floor says nothing about a log that went back meanwhile.
                    guard store.state.withLock({ $0.history }) == history else { throw StoreError.busy }
                    let former = store.state.withLock { $0.journalBytes }
                    let floor = try core.trim(below: floor)
                    let left = store.state.withLock { $0.journalBytes }
                    savedBytes.withLock { $0 += former - left }
                    reached.signal { $0 = floor }
                }
            } catch { return error }
            if store.state.withLock({ $0.journalBytes }) < journalBytes * 3 / 2 { store.releaseBulk() }
            if reached.withLock({ $0 }) >= floor { return nil }
        }
    }

    /// If the journal exceeds its bound, seals or moves up the tails that pin it, as long as that makes it smaller.
    ///
    /// - Parameter isAwaited: whether somebody waits for what comes after it.
    func tidy(_ store: Store, _ writer: ArchiveWriter, isAwaited: Bool = false) {
        var size = store.state.withLock { $0.journalBytes }
        queue.withLock { $0.isTidying = size > journalBytes }
        var isPutOff = false
        while size > journalBytes, !queue.withLock({ $0.isStopping }) {
            // As long as somebody sends much, it may not get back to its bound.
            isPutOff = size <= 2 * journalBytes && (isAwaited || queue.withLock { $0.isAwaited })
            if isPutOff { break }
            let former = savedBytes.withLock { $0 }
            tidyOlderHalf(store, writer)
            size = store.state.withLock { $0.journalBytes }
            if savedBytes.withLock({ $0 }) <= former { break }
        }
        queue.signal { queue in
            (queue.isUntidy, queue.isTidying) = (isPutOff, false)
            queue.tidiedBytes = size
        }
        // Even if it is still long: more is not possible now.
        store.releaseBulk()
    }

    private func tidyOlderHalf(_ store: Store, _ writer: ArchiveWriter) {
        let middle = store.state.withLock { state in
            let floors = state.conversations.values.compactMap(\.journalFloor).sorted()
            return floors.isEmpty ? nil : floors[floors.count / 2]
        }
        // Without tails, only entries without messages are left.
        if let middle { clearJournal(upTo: middle, store, writer, room: .ordinary) } else { _ = trim(store) }
    }

    /// Seals or moves up the tails that need the journal up to a commit, and trims it.
    ///
    /// - Returns: the first failure.
    @discardableResult
    func clearJournal(
        upTo commit: Commit, _ store: Store, _ writer: ArchiveWriter, room: Room = .kept
    ) -> StoreError? {
        let (large, small) = store.state.withLock { state -> ([Int64], [Int64]) in
            let tails = state.conversations.values.filter { !$0.tail.isEmpty }
            // The oldest first, so that each round lets some of the journal go.
            let old = tails.map { (floor: $0.journalFloor ?? commit, tail: $0) }.filter { $0.floor <= commit }
                .sorted { $0.floor < $1.floor }.map(\.tail)
            // If small tails alone fill the journal, moving them would never end, so they are sealed as well.
            let smallBytes = tails.lazy.map(\.tail.estimatedBytes).filter { $0 < Sealer.stragglerBytes }.reduce(0, +)
            let least = smallBytes > journalBytes / 2 ? 0 : Sealer.stragglerBytes
            return (
                old.filter { $0.tail.estimatedBytes >= least }.map(\.identity.number),
                old.filter { $0.tail.estimatedBytes < least }.map(\.identity.number)
            )
        }
        var failures: [StoreError?] = []
        var rest = large[...]
        while !rest.isEmpty {
            failures.append(seal(Array(rest.prefix(Sealer.roundSize)), .all, store, writer, room: room))
            rest = rest.dropFirst(Sealer.roundSize)
        }
        for start in stride(from: 0, to: small.count, by: Sealer.moveSize) {
            guard let failure = moveUp(Array(small[start...].prefix(Sealer.moveSize)), store, room) else { continue }
            failures.append(failure)
            break
        }
        failures.append(trim(store))
        return failures.compactMap(\.self).first
    }

    /// Writes small tails to the journal's end again, so that its front can be trimmed.
    private func moveUp(_ conversations: [Int64], _ store: Store, _ room: Room) -> StoreError? {
        let failure = store.record(room: room) { [store, savedBytes] _ in
            let tails = store.state.withLock { state in
                conversations.compactMap { number in
                    state.conversations[number].map { (number: number, tail: $0.tail) }
                }
            }
            var moved = Batch()
            for (number, tail) in tails {
                var former: SaltSource?
                for records in tail.blocks.map(\.records) {
                    for index in 0..<records.count {
                        let record = records[index]
                        moved.append(conversation: number, record, after: former, key: nil)
                        former = record.salt
                    }
                }
            }
            var decision = Decision()
            decision.movedTails = SealedBatch(moved)
            savedBytes.withLock { $0 -= decision.movedTails.rawByteCount }
            decision.append(
                .tailsMoved(tails.map { Change.MovedTail(conversation: $0.number, lastSeq: $0.tail.lastSeq) }))
            return decision
        }
        if let failure { store.report("cannot tidy the journal: \(failure)") }
        return failure
    }
}
