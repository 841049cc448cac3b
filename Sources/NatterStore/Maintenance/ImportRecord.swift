internal import NatterConversation
internal import NatterLog
internal import NatterModel
internal import NatterSystem

/// The end of an import: one commit numbers its messages behind everything that was written meanwhile. Other commits
/// wait only while the headers of the files are corrected, not while their content is written.
final class ImportRecord: Sendable {
    /// The sealer was working on the conversation.
    private struct IsBeingSealed: Error {}

    private let store: Store
    private let staging: ImportStaging
    private let identity: ConversationIdentity
    private let isNew: Bool
    // No two threads use them at once: the packer is done, and this one waits for the writer's thread.
    nonisolated(unsafe) private let files: StagedFiles
    private let blobs: StagedBlobs
    private let memory: ImportMemory
    private let history: History?
    private let seq: Seq?
    private let progress = Monitor(Progress())

    /// The history that an import compares its input with. If an erasure or an import on another server has changed it, the
    /// import would bring messages back, or bring them twice.
    struct History {
        private let erasedCommit: Commit
        private let importedCommit: Commit
        /// Whether the import compares its messages with those that are there, and may edit these.
        private let isMerging: Bool

        init(_ conversation: ConversationState, isMerging: Bool) {
            (erasedCommit, importedCommit) = (conversation.erasedCommit, conversation.importedCommit)
            self.isMerging = isMerging
        }

        func isOver(in conversation: ConversationState, _ memory: ImportMemory) throws(ImportError) -> Bool {
            let isImported = importedCommit != conversation.importedCommit
            if isMerging { return isImported || erasedCommit != conversation.erasedCommit }
            guard isImported else { return false }
            return try memory.isKnown()
        }
    }

    /// How often other stores may be first in a shared log. Each time the files are written there again.
    private static let tries = 16

    /// The steps to undo if the commit fails.
    private struct Progress {
        var published: [(name: String, target: String)] = []
        /// The part of the tail that this commit sealed, before the import.
        var sealed: WrittenBlocks?
        var hasClaim = false
        var mustRetry = false
        var tries = 0
        var first = Seq.zero
        var number: Int64 = 0
    }

    /// - Parameters:
    ///   - history: as it was before the input was read; nil for a new conversation.
    ///   - seq: the only seq that the first message may get; nil if any will do.
    init(
        _ store: Store, _ staging: ImportStaging, _ identity: ConversationIdentity, isNew: Bool, _ files: StagedFiles,
        _ blobs: StagedBlobs, _ memory: ImportMemory, since history: History?, packedFor seq: Seq?
    ) {
        (self.store, self.staging, self.identity) = (store, staging, identity)
        (self.isNew, self.files, self.blobs, self.memory) = (isNew, files, blobs, memory)
        (self.history, self.seq) = (history, seq)
    }

    /// - Throws: `StoreError`; errors of the disk. Nothing is published then, unless the outcome is unknown.
    func run() throws -> StoreImporter.Summary {
        // Also if the outcome is unknown, or the conversation would not be sealed before the next start.
        defer { release() }
        while true {
            // Seals the conversation first, to leave less work for the commit.
            if !isNew { try seal() }
            let failure = store.recordAlone { [self] builder in
                // It may be asked again, because another store was first.
                progress.withLock { $0.mustRetry = false }
                do { return try settle(builder) } catch let error
                    where error is IsBeingSealed || store.isShared && Sealer.isRace(error)
                {
                    progress.withLock { $0.mustRetry = true }
                    return .nothing
                }
            }
            if let failure {
                if failure != .outcomeUnknown { try takeBack() }
                throw failure
            }
            if !progress.withLock({ $0.mustRetry }) { break }
            if store.isShared { store.sealer.pause() }
        }
        let number = progress.withLock { $0.number }
        if files.count > 0 { store.search.request([number]) }
        let first = progress.withLock { $0.first }
        let count = files.count
        return StoreImporter.Summary(
            conversation: store.state.withLock { $0.conversations[number]?.name } ?? identity.name,
            count: UInt64(count), first: count > 0 ? first : .zero,
            last: count > 0 ? first.advanced(by: count - 1) : .zero)
    }

    private func seal() throws(StoreError) {
        if let failure = store.waiting({ store.sealer.requestWhole(identity.number, of: store, $0) }) { throw failure }
    }

    // MARK: On the writer's thread

    private func settle(_ builder: BatchBuilder) throws -> Decision {
        // If another store was first in the log, all that was done stands at the wrong place.
        let tries = progress.withLock { progress in
            if progress.hasClaim || !progress.published.isEmpty { progress.tries += 1 }
            return progress.tries
        }
        guard tries < ImportRecord.tries else { throw StoreError.busy }
        try takeBack()
        var decision = Decision()
        let group = isNew ? try newConversation(builder) : nil
        if let group { decision.append(.conversationAdded(group)) }
        if let history, let conversation = store.state.withLock({ $0.conversations[identity.number] }),
            try history.isOver(in: conversation, memory)
        {
            throw StoreError.busy
        }
        let tail = try claim()
        let number = group?.number ?? identity.number
        // Messages that came after that stand before the import. They are sealed with it, so that they leave the
        // journal.
        let tailBlocks = tail.isEmpty ? nil : try seal(tail.blocks)
        if let tailBlocks {
            decision.blocks.append(tailBlocks)
            decision.append(.tailSealed(Change.SealedTail(tailBlocks, SealedContent(tail.blocks))))
        }
        let place = StagedFiles.Place(
            firstSeq: tail.lastSeq.next, hashBefore: tail.hash, commit: builder.commit)
        // Somebody wrote here meanwhile.
        if let seq, seq != place.firstSeq { throw StoreError.busy }
        let settled = try files.settle(at: place, in: number, with: writer)
        let targets = settled.map { (name: $0.name, target: $0.target) } + blobs.targets
        progress.withLock { $0.published = targets }
        if !targets.isEmpty { try staging.publish(targets) }
        decision.blocks += settled.map(\.written)
        if let last = settled.last?.written {
            decision.append(
                .importSettled(
                    Change.SettledImport(
                        conversation: number, lastSeq: last.lastSeq, hashAfter: last.hashAfter,
                        uncounted: files.uncounted)))
            for relation in files.relations(at: place) {
                // An imported deletion counts for everyone.
                let author = relation.kind == .delete ? RelationRows.nobody : nil
                decision.append(.related(relation, in: number, author: author))
            }
        }
        for row in blobs.rows(from: place.firstSeq, in: number, at: builder.now) { decision.append(.fileSet(row)) }
        if let change = memory.change(in: number, first: place.firstSeq, at: builder.now) { decision.append(change) }
        progress.withLock { ($0.first, $0.number) = (place.firstSeq, number) }
        return decision
    }

    private func newConversation(_ builder: BatchBuilder) throws(StoreError) -> Change.NewConversation {
        if identity.kind == .personal { return try newPersonal(builder) }
        guard store.state.withLock({ $0.groups[NameRule.caseKey(identity.name)] == nil }) else {
            throw .nameTaken(identity.name)
        }
        return Change.NewConversation(
            number: builder.newConversationNumber(), id: identity.id, kind: .group, name: identity.name)
    }

    private func newPersonal(_ builder: BatchBuilder) throws(StoreError) -> Change.NewConversation {
        let (own, peer) = try store.state.withLock { state throws(StoreError) in
            guard let first = identity.users.first, let own = state.account(named: first) else {
                throw .noSuchUser(identity.users.first ?? "")
            }
            let second = identity.users.last ?? first
            guard let peer = state.account(named: second) else { throw .noSuchUser(second) }
            // They have begun to write while the file was read.
            guard state.personal[AccountPair(own.id, peer.id)] == nil else { throw .busy }
            return (own, peer)
        }
        return .personal(own, peer, in: store.id, number: builder.newConversationNumber())
    }

    /// Keeps the sealer away from the conversation. Returns its tail.
    private func claim() throws -> TailParts {
        if isNew { return TailParts(firstSeq: Seq(1), hashBefore: HashChain.start(of: identity.id)) }
        return try store.state.withLock { state in
            guard let conversation = state.conversations[identity.number], !conversation.isDeleted else {
                throw StoreError.noSuchConversation(identity.name)
            }
            if conversation.isBeingSealed { throw IsBeingSealed() }
            conversation.isBeingSealed = true
            progress.withLock { $0.hasClaim = true }
            return conversation.tail
        }
    }

    /// Lets the sealer continue, if it was kept away.
    private func release() {
        let hadClaim = progress.withLock { progress in
            defer { progress.hasClaim = false }
            return progress.hasClaim
        }
        if hadClaim { store.state.withLock { $0.conversations[identity.number]?.isBeingSealed = false } }
    }

    private func seal(_ parts: [OpenBlock]) throws -> WrittenBlocks {
        let written = try store.write(parts, of: identity, effort: .brisk, with: writer)
        progress.withLock { $0.sealed = written }
        return written
    }

    private var writer: ArchiveWriter { store.archiveWriter() }

    /// Removes files that were not recorded. Only then may the sealer continue.
    private func takeBack() throws {
        let done = progress.withLock { progress in
            defer { (progress.published, progress.sealed) = ([], nil) }
            return progress
        }
        defer { release() }
        try staging.withdraw(done.published)
        if let sealed = done.sealed { try writer.withdraw(sealed, of: identity.id) }
    }
}
