internal import NatterConversation
internal import NatterModel
internal import NatterLog
internal import NatterSystem

extension Sealer {
    /// The part of one round that belongs to one conversation.
    private struct Piece: Sendable {
        let identity: ConversationIdentity
        /// Parts of the tail; at least one.
        var parts: [OpenBlock]
        /// The log files that the blocks continue.
        let mark: ConversationState.FilesMark
        let isBacklogged: Bool

        /// Leaves parts in the tail that have no room in log files.
        mutating func fit(in store: Store) throws {
            let bytes = parts.reduce(0) { $0 + $1.records.estimatedBytes }
            // Messages take room, too, while many parts are packed.
            if try parts.count > 1 && store.isRoom(forLogs: 4 * bytes) { return }
            parts.removeLast(parts.count - 1)
            // A dictionary and its copy in the database need some, too.
            guard try store.isRoom(forLogs: parts[0].records.estimatedBytes + 256 << 10) else {
                throw StoreError.diskFull
            }
        }
    }

    /// How much of a tail is sealed.
    enum Extent {
        case fullBlocks
        case all
        /// Messages up to a time.
        case until(Timestamp)
    }

    /// Seals tails and records the blocks. After a failure the tails stay as they are, durable in the journal.
    ///
    /// - Parameter room: `.kept` only if an erasure or the dropping of old messages needs it.
    func seal(
        _ conversations: [Int64], _ extent: Extent, _ store: Store, _ writer: ArchiveWriter, room: Room
    ) -> StoreError? {
        // If nothing can be recorded, each try would write the same blocks into another file.
        guard !store.isFailed else { return .outcomeUnknown }
        var written: [(piece: Piece, blocks: WrittenBlocks)] = []
        var failure: StoreError?
        for number in conversations {
            guard var piece = makePiece(number, extent, store) else {
                noteNothingFails(in: number)
                continue
            }
            do {
                // Blocks of the first file have no dictionary and are larger, so the rest of a backlog is for the next file.
                if case .fullBlocks = extent, piece.parts.count > 1, try store.hasFirstFile(piece.identity) {
                    piece.parts.removeLast(piece.parts.count - 1)
                }
                if room == .ordinary { try piece.fit(in: store) }
                let blocks = try store.write(
                    piece.parts, of: piece.identity, effort: piece.isBacklogged ? .brisk : .best, with: writer)
                written.append((piece, blocks))
            } catch {
                failure = Sealer.isRace(error) && store.isShared ? .busy : StoreError(error)
                note(
                    failed: number, isRace: failure == .busy, "\(error)", store,
                    "cannot seal conversation \(piece.identity.id): \(error)")
                store.stopIfDiskFailed(error)
                store.state.withLock { $0.conversations[number]?.isBeingSealed = false }
            }
        }
        guard !written.isEmpty else { return failure }
        let finished = written
        // Counted here, so that the writer's thread does not visit each message.
        let contents = finished.map { SealedContent($0.piece.parts) }
        let recorded = store.record(room: .kept) { builder in
            var decision = Decision()
            for ((piece, blocks), content) in zip(finished, contents) {
                // Another server may have sealed it first, or erased texts that these files or their dictionary hold.
                try store.checkFiles(of: piece.identity.number, are: piece.mark)
                decision.append(.tailSealed(Change.SealedTail(blocks, content)))
                decision.blocks.append(blocks)
            }
            return decision
        }
        if let recorded {
            if recorded != .outcomeUnknown {
                for (piece, blocks) in finished {
                    withdraw(blocks, of: piece, store, writer)
                    note(
                        failed: piece.identity.number, isRace: recorded == .busy, "\(recorded)", store,
                        "cannot seal conversation \(piece.identity.id): \(recorded)")
                }
            }
            store.state.withLock { state in
                for (piece, _) in finished { state.conversations[piece.identity.number]?.isBeingSealed = false }
            }
            return recorded
        }
        for (piece, _) in finished { noteNothingFails(in: piece.identity.number) }
        store.search.request(finished.map(\.piece.identity.number))
        return trim(store) ?? failure
    }

    /// Notes that a tail was not sealed. Reports a reason once, however often it is tried again.
    ///
    /// - Parameter isRace: whether another server of the store just seals it, which is no trouble.
    private func note(failed number: Int64, isRace: Bool, _ reason: String, _ store: Store, _ report: Phrase) {
        let isNew = queue.withLock { queue in
            queue.failed.insert(number)
            queue.retry = MonotonicClock.now() + Sealer.retryMilliseconds
            guard !isRace else { return false }
            defer { queue.trouble = (reason, (queue.trouble?.conversations ?? []).union([number])) }
            return queue.trouble?.reason != reason
        }
        if isNew { store.report(report) }
    }

    /// Notes that nothing is to be sealed now: what is left may be short, or another server has sealed it.
    private func noteNothingFails(in number: Int64) {
        queue.withLock { queue in
            _ = queue.trouble?.conversations.remove(number)
            if queue.trouble?.conversations.isEmpty == true { queue.trouble = nil }
        }
    }

    /// Whether another server writes the same file, or has just replaced it.
    static func isRace(_ error: any Error) -> Bool {
        switch ArchiveError(error) {
        case .disk(let error), .log(.disk(let error)): error.code == .fileExists || error.isMissing
        default: false
        }
    }

    private func withdraw(_ blocks: WrittenBlocks, of piece: Piece, _ store: Store, _ writer: ArchiveWriter) {
        do throws(ArchiveError) { try writer.withdraw(blocks, of: piece.identity.id) } catch {
            store.report("cannot take back what was not recorded: \(error)")
            store.stopIfDiskFailed(error)
        }
    }

    private func makePiece(_ number: Int64, _ extent: Extent, _ store: Store) -> Piece? {
        store.state.withLock { state in
            guard let conversation = state.conversations[number], !conversation.isBeingSealed else { return nil }
            let tail = conversation.tail
            var parts: [OpenBlock]
            switch extent {
            case .all: parts = tail.blocks
            case .until(let time): parts = tail.blocks(until: time)
            case .fullBlocks:
                // The rest waits for more messages.
                parts = Array(tail.fullBlocks.prefix(Sealer.roundParts))
                if parts.isEmpty, tail.estimatedBytes >= Sealer.ripeBytes { parts = tail.blocks }
            }
            guard !parts.isEmpty else { return nil }
            conversation.isBeingSealed = true
            return Piece(
                identity: conversation.identity, parts: parts, mark: state.filesMark(of: conversation),
                isBacklogged: parts.count >= Sealer.burstParts || state.journalBytes > 2 * journalBytes)
        }
    }
}
