internal import NatterArchive
internal import NatterCrypto
internal import NatterLanguage
internal import NatterLog
public import NatterModel
internal import NatterSystem

/// Drops messages that are due: older than they are kept. It runs on the sealer's thread, which alone writes segments anew.
///
/// Whole blocks go, oldest first. If all blocks of a conversation are due, the part of its tail that is due is sealed and goes,
/// too. One step reads a bounded number of blocks and is one commit, so a killed run is continued by the next.
struct RetentionRun {
    private let store: Store
    private let sealer: Sealer
    private let writer: ArchiveWriter

    /// The most blocks that one step drops: about 50 MiB of a log.
    private static let stepBlocks = 2_048

    init(_ store: Store, _ writer: ArchiveWriter) { (self.store, sealer, self.writer) = (store, store.sealer, writer) }

    private struct Target {
        let identity: ConversationIdentity
        let first: Seq
        let sealedSeq: Seq
        let sealedHash: Digest
        let cutoff: Timestamp
        let hasDueTail: Bool
        let mark: ConversationState.FilesMark
        let lastMove: Commit
    }

    /// Seals the part of a tail that is due, if all before it is due as well.
    ///
    /// - Returns: the newest row of the journal that may hold what is due, so that the journal must be cleared up to it before
    ///   anything is dropped. A row stays there as long as any conversation's tail needs it or an older one. Nil if nothing is due.
    func prepare(_ number: Int64) throws -> Commit? {
        guard let target = target(number) else { return nil }
        var (due, isAll) = try due(target)
        if isAll, target.hasDueTail {
            // If that fails, as on a full disk, it is done when what is dropped before has made room.
            guard (try? seal(target)) != nil else { return max(due.last?.lastCommit ?? .zero, target.lastMove) }
            due = try self.target(number).map { try self.due($0).blocks } ?? []
        }
        return due.last.map { max($0.lastCommit, target.lastMove) }
    }

    private func seal(_ target: Target) throws {
        if let failure = store.sealer.seal([target.identity.number], .until(target.cutoff), store, writer) {
            throw failure
        }
    }

    /// - Parameter cleared: up to where the journal was cleared since the last call of `prepare`.
    /// - Returns: whether anything was dropped.
    func run(_ number: Int64, cleared: Commit) throws -> Bool {
        var hasDropped = false
        var cleared = cleared
        while let target = target(number) {
            let (due, isAll) = try due(target)
            if let last = due.last {
                if last.lastCommit > cleared {
                    // That changes the target.
                    cleared = max(last.lastCommit, target.lastMove)
                    sealer.clearJournal(upTo: cleared, store, writer)
                    continue
                }
                guard let isDropped = try store.holdingFiles(of: number, { try drop(due, target) }) else { break }
                if isDropped { hasDropped = true }
            } else if isAll, target.hasDueTail {
                try seal(target)
                cleared = .zero
            } else {
                break
            }
        }
        return hasDropped
    }

    /// - Returns: nil if nothing of the conversation can be due now.
    private func target(_ number: Int64) -> Target? {
        let now = store.clock.now()
        return store.state.withLock { state in
            guard let conversation = state.conversations[number], !conversation.isBeingSealed,
                let cutoff = state.retention(of: conversation).cutoff(at: now), state.failure == nil
            else { return nil }
            // A conversation is asked for its oldest block only when that may be due.
            if let oldest = conversation.oldest, oldest.first == conversation.first, oldest.highTime > cutoff {
                return nil
            }
            let tail = conversation.tail
            return Target(
                identity: conversation.identity, first: conversation.first, sealedSeq: conversation.sealedSeq,
                sealedHash: conversation.sealedHash, cutoff: cutoff,
                hasDueTail: !tail.blocks(until: cutoff).isEmpty, mark: state.filesMark(of: conversation),
                lastMove: conversation.lastMove)
        }
    }

    /// The oldest blocks that are due, and whether no other block is there.
    private func due(_ target: Target) throws -> (blocks: [BlockRow], isAll: Bool) {
        guard target.first <= target.sealedSeq else { return ([], true) }
        let rows = try store.withReader { reader in
            try ArchiveRows.blocks(
                target.first...target.sealedSeq, of: target.identity.number, limit: Self.stepBlocks,
                on: reader.connection)
        }
        let due = rows.prefix { $0.highTime <= target.cutoff }
        if due.isEmpty, let oldest = rows.first {
            store.state.withLock { state in
                state.conversations[target.identity.number]?.oldest = (target.first, oldest.highTime)
            }
        }
        guard due.count == Self.stepBlocks, let last = due.last else {
            return (Array(due), due.count == rows.count && due.last?.lastSeq == target.sealedSeq || rows.isEmpty)
        }
        // Ends with a whole segment, which need not be written anew only to go with the next step.
        let whole = due.prefix { ($0.segmentSeq, $0.generation) != (last.segmentSeq, last.generation) }
        return (Array(whole.isEmpty ? due : whole), false)
    }

    /// - Returns: false if messages are kept for longer by now.
    private func drop(_ due: [BlockRow], _ target: Target) throws -> Bool {
        guard let last = due.last else { return false }
        let (cut, sent, plan) = try store.withReader { reader in
            var counts = SealedContent()
            for row in due {
                // Who wrote messages that can't be read is not known any more.
                if let block = try? reader.open(row, of: target.identity) { counts.add(block.records) }
            }
            let next = try ArchiveRows.blocks(
                last.lastSeq.next...max(last.lastSeq.next, target.sealedSeq), of: target.identity.number, limit: 1,
                on: reader.connection
            ).first
            let cut = next?.firstSeq ?? target.sealedSeq.next
            let erased = try ErasedTexts.counts(
                target.first...max(target.first, cut.previous), in: target.identity.number, reader.connection)
            let sent = counts.sent.merging(erased, uniquingKeysWith: +)
            let rewriter = SegmentRewriter(target.identity, reader, writer, isShared: store.isShared)
            return (cut, sent, try rewriter.plan(droppingBelow: cut, hashAtEnd: target.sealedHash))
        }
        try store.noteRetired(plan.paths)
        let written = try store.withReader { try SegmentRewriter(target.identity, $0, writer).write(plan) }
        let isKept = Monitor(false)
        let failure = store.record(freesRoom: true) { [store] _ in
            try store.checkFiles(of: target.identity.number, are: target.mark)
            // Writing took a while. Who has asked meanwhile to keep messages for longer, and was told so, keeps these.
            isKept.withLock { $0 = !store.isDue(target.cutoff, in: target.identity.number) }
            if isKept.withLock({ $0 }) { return .nothing }
            var decision = Decision(
                .messagesDropped(
                    Change.DroppedMessages(conversation: target.identity.number, first: cut, sent: sent)))
            decision.blocks = written
            return decision
        }
        if let failure { throw failure }
        guard isKept.withLock({ $0 }) else { return true }
        try store.withReader { SegmentRewriter(target.identity, $0, writer).takeBack(plan) }
        return false
    }
}

extension StoreState {
    /// How long messages of a conversation are kept: at most as long as the store keeps any.
    func retention(of conversation: ConversationState) -> Retention { .shorter(conversation.retention, retention) }
}

extension Store {
    /// Whether messages up to a time are not kept any more.
    fileprivate func isDue(_ time: Timestamp, in number: Int64) -> Bool {
        let now = clock.now()
        return state.withLock { state in
            let cutoff = state.conversations[number].flatMap { state.retention(of: $0).cutoff(at: now) }
            return cutoff.map { time <= $0 } ?? false
        }
    }

    /// How long the store keeps messages at most.
    public var retention: Retention { state.withLock { $0.retention } }

    public func use(_ retention: Retention) { state.withLock { $0.retention = retention } }

    /// Drops the messages of all conversations that are due, in the background.
    public func dropDueMessages() {
        let numbers = state.withLock { state in
            state.conversations.values.filter { state.retention(of: $0).days != nil }.map(\.identity.number).sorted()
        }
        dropDueMessages(of: numbers)
    }

    func dropDueMessages(of id: ConversationID) {
        guard let number = state.withLock({ $0.conversation(id)?.identity.number }) else { return }
        dropDueMessages(of: [number])
    }

    /// - Parameter completion: gets the last error.
    func dropDueMessages(
        of numbers: [Int64], _ completion: @escaping @Sendable (StoreError?) -> Void = { _ in }
    ) {
        guard engine.sealsTails, !numbers.isEmpty else { return completion(nil) }
        let isTaken = sealer.submit { [self] writer in
            var failure: StoreError?
            defer { completion(failure) }
            var dropped: [ConversationID] = []
            func each(_ numbers: [Int64], _ body: (Int64) throws -> Void) {
                for number in numbers where !isFailed && sealer.keepUp(self, writer) {
                    do { try body(number) } catch {
                        failure = StoreError(error)
                        report("cannot drop old messages of conversation \(number): \(error)")
                        stopIfDiskFailed(error)
                    }
                }
            }
            let run = RetentionRun(self, writer)
            // Once for all conversations, because it may move the tails of all. On a full disk it can't be helped if something stays
            // in the journal: what goes makes room.
            var (due, cleared): ([Int64], Commit) = ([], .zero)
            each(numbers) { number in
                guard let last = try tryingAgain({ try run.prepare(number) }) else { return }
                due.append(number)
                cleared = max(cleared, last)
            }
            if !due.isEmpty { sealer.clearJournal(upTo: cleared, self, writer) }
            each(due) { number in
                guard try tryingAgain({ try run.run(number, cleared: cleared) }) else { return }
                dropped += state.withLock { [$0.conversations[number]?.identity.id].compactMap { $0 } }
            }
            // The search index holds words of what is gone, and the write-ahead log its blocks' texts. A step that failed, as at a
            // damaged block, may have left a new file, and so may each run after it.
            if !dropped.isEmpty || failure != nil {
                finishErasing(isShared ? dropped : [], hasErased: !dropped.isEmpty)
            }
        }
        if !isTaken { completion(.busy) }
    }

    /// Sets how long the messages of a conversation are kept, and drops what is due.
    ///
    /// - Parameter name: as an operator calls it: `general`, a group's name, `@alice,@bob`.
    public func setRetention(
        _ retention: Retention, of name: String, by actor: String,
        _ completion: @escaping Completion<RetentionView>
    ) {
        let dropping: Completion<Int64> = { [self] result in
            let number: Int64
            do throws(StoreError) { number = try result.get() } catch { return completion(.failure(error)) }
            dropDueMessages(of: [number]) { [self] failure in
                switch failure {
                case .diskFull: return completion(.failure(.notDropped(name)))
                // The next time that old messages are looked for, in an hour or at a start, they go.
                case nil, .busy: break
                case let failure?:
                    return completion(
                        .failure(
                            .failed(
                                "the time is set, but old messages of '\(name)' are still there: \(failure.phrase); run 'natterd fsck'"
                            )))
                }
                let view = state.withLock { state in
                    state.conversations[number].map {
                        RetentionView(conversation: name, retention: state.retention(of: $0), first: $0.first)
                    }
                }
                completion(view.map { .success($0) } ?? .failure(.noSuchConversation(name)))
            }
        }
        // Who shortens it wants room.
        change(freesRoom: true, answering: dropping) { [self] state, builder throws(StoreError) in
            guard let conversation = try StoreExporter.find(name, in: state) else {
                throw .noSuchConversation(name)
            }
            let number = conversation.identity.number
            guard var decision = try decide(retention, for: conversation, state) else { return (.nothing, number) }
            decision.append(builder.audited(actor, "retention_set", "\(name) \(retention)"))
            return (decision, number)
        }
    }

    /// - Returns: nil if nothing changes.
    /// - Throws: if the store keeps messages for a shorter time.
    func decide(
        _ retention: Retention, for conversation: ConversationState, _ state: StoreState
    ) throws(StoreError) -> Decision? {
        if retention.days != nil, Retention.shorter(retention, state.retention) != retention {
            throw .forbidden("this server keeps messages for \(state.retention.days ?? 0) days at most")
        }
        guard retention != conversation.retention else { return nil }
        return Decision(.retentionSet(conversation.identity.number, retention))
    }
}

/// How long the messages of a conversation are kept, and the first one that is.
public struct RetentionView: Sendable, Equatable {
    public let conversation: String
    public let retention: Retention
    public let first: Seq
}
