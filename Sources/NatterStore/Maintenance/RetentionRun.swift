internal import NatterConversation
internal import NatterSystem
internal import NatterModel

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
        let number = target.identity.number
        let failure = store.sealer.seal([number], .until(target.cutoff), store, writer, room: .kept)
        if let failure { throw failure }
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
                // The senders of messages that can't be read are unknown.
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
        let files = try store.withReader {
            try FileRows.named(
                in: target.first...max(target.first, cut.previous), of: target.identity.number, on: $0.connection)
        }
        let isKept = Monitor(false)
        let failure = store.record(room: .kept) { [store] _ in
            try store.checkFiles(of: target.identity.number, are: target.mark)
            // Writing took a while. Somebody may have asked meanwhile to keep messages for longer, and keeps these.
            isKept.withLock { $0 = !store.isDue(target.cutoff, in: target.identity.number) }
            if isKept.withLock({ $0 }) { return .nothing }
            var decision = Decision(
                .messagesDropped(
                    Change.DroppedMessages(conversation: target.identity.number, first: cut, sent: sent)))
            decision.changes += files.map { .fileSet($0.gone) }
            decision.blocks = written
            return decision
        }
        if let failure { throw failure }
        guard isKept.withLock({ $0 }) else { return true }
        try store.withReader { SegmentRewriter(target.identity, $0, writer).takeBack(plan) }
        return false
    }
}
