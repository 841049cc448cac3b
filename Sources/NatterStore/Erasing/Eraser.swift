internal import NatterConversation
internal import NatterSystem
internal import NatterModel
internal import NatterLog
internal import NatterSQLite

/// Erases messages of one conversation. It runs on the sealer's thread, so that nothing else writes log files meanwhile. Call
/// `Store.finishErasing` afterwards, also after a failure.
///
/// The journal and the tail hold no message that is erased: the tail is sealed first, and then the segments are written again.
/// Each step may be the last before a crash. See `SegmentRewriter`.
struct Eraser {
    let store: Store
    let writer: ArchiveWriter
    let identity: ConversationIdentity
    /// The account that is erased, if its messages are.
    var account: ErasedAccount?
    /// Whether what was erased before is erased again. An erased event keeps the words that it has.
    var isAgain = false
    private let found = Monitor(false)
    /// Whether something is remembered, which the next start erases if this one can't.
    private let hasBegun = Monitor(false)

    /// Whether something is erased now, by this or an earlier erasure, so that what it has left in files must go.
    var hasFoundErased: Bool { found.withLock { $0 } }

    /// The most messages of one commit.
    static let stepMessages = 16_384

    /// Erases messages, which must exist.
    ///
    /// - Parameter audit: the entry of the audit trail, which the first commit writes.
    /// - Returns: how many were erased that were not before.
    /// - Throws: `StoreError.notErased` if the disk is too full to end what has begun, `.stoppedErasing` between two commits if the
    ///   store is closing.
    func erase(_ seqs: Set<Seq>, audit: (@Sendable (BatchBuilder) -> Change)? = nil) throws -> Int {
        let all = seqs.sorted()
        do {
            if store.sealer.isStopping { throw StoreError.stoppedErasing }
            try prepareTail()
            var count = 0
            for start in stride(from: 0, to: all.count, by: Eraser.stepMessages) {
                // Bulk goes on meanwhile, and fills the journal.
                guard store.sealer.keepUp(store, writer) else { throw StoreError.stoppedErasing }
                let step = Set(all[start..<min(all.count, start + Eraser.stepMessages)])
                count += try eraseSealed(step, audit: count == 0 ? audit : nil)
            }
            return count
        } catch {
            guard StoreError(error) == .diskFull, hasBegun.withLock({ $0 }) else { throw error }
            throw StoreError.notErased
        }
    }

    /// The messages, their edits, in which an erased message would be readable, and their files.
    func withParts(_ seqs: Set<Seq>) throws -> Set<Seq> {
        try store.withReader { reader in
            var all = seqs
            for seq in seqs {
                for kind in [MessageKind.edit, .file] {
                    all.formUnion(
                        try RelationRows.seqs(
                            of: kind, about: seq, in: identity.number, limit: .max, on: reader.connection))
                }
            }
            return all
        }
    }

    /// Ends the run of salts on all servers, so that later messages do not need the seed of what is erased, and seals the tail.
    private func prepareTail() throws {
        let number = identity.number
        let failure = store.recordAlone(room: .kept) { _ in Decision(.runEnded(number)) }
        if let failure = failure ?? store.sealer.sealWhole(number, store, writer) { throw failure }
    }

    private func eraseSealed(_ seqs: Set<Seq>, audit: (@Sendable (BatchBuilder) -> Change)?) throws -> Int {
        try store.tryingAgain {
            guard let count = try store.holdingFiles(of: identity.number, { try erase(seqs, audit) }) else {
                throw StoreError.busy
            }
            return count
        }
    }

    private func erase(_ seqs: Set<Seq>, _ audit: (@Sendable (BatchBuilder) -> Change)?) throws -> Int {
        let (mark, first, lastMove, newest) = store.state.withLock { state in
            let conversation = state.conversations[identity.number]
            return (
                conversation.map(state.filesMark(of:)), conversation?.first ?? .zero, conversation?.lastMove ?? .zero,
                state.commit
            )
        }
        return try store.withReader { reader in
            let rewriter = SegmentRewriter(identity, reader, writer, isShared: store.isShared)
            let plan = try rewriter.plan(erasing: seqs, of: account, isAgain: isAgain)
            let unlisted = try unlisted(seqs.filter { $0 >= first }, reader)
            let dropped = try dropped(seqs.filter { $0 < first }, reader)
            let messages =
                plan.messages.map {
                    Change.ErasedMessage(seq: $0.seq, digest: $0.digest, author: $0.author.flatMap(number(of:)))
                } + unlisted + dropped
            guard !messages.isEmpty else {
                found.withLock { $0 = true }
                return 0
            }
            // Rows of tails that were moved up may hold the texts, too.
            try clearJournal(upTo: unlisted.isEmpty ? max(plan.lastCommit, lastMove) : newest)
            try store.engine.forgetContent(of: Set(messages.map(\.seq)), in: identity.number)
            // A start that repeats the erasure of a message would take all words of an event. It erases the account again instead.
            let events = Set(plan.messages.filter { $0.isEvent && account != nil }.map(\.seq))
            do {
                try store.noteRetired(plan.paths)
                let written = try rewriter.write(plan)
                // A remembered message is erased whatever happens, so a full disk should have been noticed before.
                do {
                    try store.remember(
                        messages.filter { !events.contains($0.seq) && $0.digest != .zero }.map {
                            .message(.init(conversation: identity.id, seq: $0.seq, digest: $0.digest))
                        })
                } catch {
                    rewriter.takeBack(plan)
                    throw error
                }
                hasBegun.withLock { $0 = true }
                try record(messages, written, mark, audit)
            } catch {
                store.stopIfDiskFailed(error)
                throw error
            }
            return plan.messages.count + dropped.count
        }
    }

    /// The number of an author; nil if the account itself is erased, because nothing of it is kept.
    private func number(of author: String) -> Int64? {
        guard account == nil else { return nil }
        return store.state.withLock { $0.account(named: author)?.id.rawValue }
    }

    /// Messages that the log has as erased, but the table does not: after an older database was put in place, or a new one was
    /// made from the logs. With a new commit, all readers learn of them.
    private func unlisted(_ seqs: Set<Seq>, _ reader: ArchiveReader) throws -> [Change.ErasedMessage] {
        try notInTable(seqs, reader).compactMap { seq in
            guard
                let row = try ArchiveRows.block(containing: seq, of: identity.number, on: reader.connection),
                case let records = try reader.open(row, of: identity).records, let index = records.index(of: seq),
                records.isErased(at: index), let digest = records.digest(of: seq)
            else { return nil }
            return Change.ErasedMessage(seq: seq, digest: digest)
        }
    }

    /// Messages that are not kept any more, but may be in replicas, which erase them. Nobody knows their hashes here.
    private func dropped(_ seqs: Set<Seq>, _ reader: ArchiveReader) throws -> [Change.ErasedMessage] {
        try notInTable(seqs, reader).map { Change.ErasedMessage(seq: $0, digest: .zero) }
    }

    private func notInTable(_ seqs: Set<Seq>, _ reader: ArchiveReader) throws -> [Seq] {
        try seqs.sorted().filter { try !ErasedTexts.has($0, in: identity.number, reader.connection) }
    }

    /// Removes from the journal what may hold the texts.
    ///
    /// - Parameter commit: the last one whose row does, of a shared log. Files keep copies of rows that went before.
    private func clearJournal(upTo commit: Commit) throws(StoreError) {
        if store.isShared { return try clearRows(upTo: commit) }
        // If an erasure was cut short, the other table is emptied first.
        var hasTurned = false
        while !hasTurned {
            let turned = Monitor(false)
            try store.upkeep { core in
                let isDone = try core.engine.turnJournal()
                turned.withLock { $0 = isDone }
            }
            hasTurned = turned.withLock { $0 }
            try clearRows(upTo: store.state.withLock { $0.commit })
            try store.upkeep { try $0.engine.emptyFormerJournal() }
        }
    }

    private func clearRows(upTo commit: Commit) throws(StoreError) {
        func isClear() -> Bool {
            store.state.withLock { state in
                !state.conversations.values.contains { $0.journalFloor.map { $0 <= commit } ?? false }
            }
        }
        var failure: StoreError?
        if !isClear() || store.state.withLock({ $0.journalBytes }) > 0 {
            failure = store.sealer.clearJournal(upTo: commit, store, writer)
        }
        // Even if no tail needs what is there, it may not have been removed.
        if let failure { throw failure }
        // An import holds a tail.
        guard isClear() else { throw .busy }
    }

    private func record(
        _ messages: [Change.ErasedMessage], _ blocks: [WrittenBlocks], _ mark: ConversationState.FilesMark?,
        _ audit: (@Sendable (BatchBuilder) -> Change)?
    ) throws {
        let number = identity.number
        let files = try store.files(namedBy: Set(messages.map(\.seq)), in: number)
        let failure = store.recordAlone(room: .kept) { [store] builder in
            try store.checkFiles(of: number, are: mark)
            var decision = Decision(.erased(messages, in: number))
            decision.changes += files
            if let audit { decision.append(audit(builder)) }
            decision.blocks = blocks
            return decision
        }
        if failure == nil || failure == .outcomeUnknown { found.withLock { $0 = true } }
        if let failure { throw failure }
    }
}

extension Store {
    /// Runs `body` while neither an import nor a sealing writes files of the conversation.
    ///
    /// - Returns: nil if one does.
    func holdingFiles<Result>(of number: Int64, _ body: () throws -> Result) rethrows -> Result? {
        let isHeld = state.withLock { state in
            guard let conversation = state.conversations[number], !conversation.isBeingSealed else { return false }
            conversation.isBeingSealed = true
            return true
        }
        guard isHeld else { return nil }
        defer { state.withLock { $0.conversations[number]?.isBeingSealed = false } }
        return try body()
    }

    /// Runs `body` again after another server was faster. The next sweep removes what `body` wrote then.
    func tryingAgain<Result>(_ body: () throws -> Result) throws -> Result {
        for _ in 0..<Sealer.races where isShared {
            do { return try body() } catch let error where error as? StoreError == .busy || Sealer.isRace(error) {
                sealer.pause()
            }
        }
        return try body()
    }

    /// Throws if another server has written log files of a conversation since they were looked at.
    func checkFiles(of number: Int64, are mark: ConversationState.FilesMark?) throws(StoreError) {
        let now = state.withLock { state in state.conversations[number].map(state.filesMark(of:)) }
        guard now == mark else { throw .busy }
    }

    /// Writes log files for one thread.
    func archiveWriter() -> ArchiveWriter {
        ArchiveWriter(
            directory: directory, store: id, epoch: state.withLock { $0.epoch }, disk: disk, clock: clock,
            isRetired: { [self] path in try withReader { try RetiredFiles.has(path, on: $0.connection) } })
    }

    /// Names new log files before they are written, so that they are removed if they are never recorded.
    func noteRetired(_ paths: [String]) throws {
        try upkeep { try $0.engine.noteNew(paths) }
    }

    /// Removes what erasures of these conversations have left in files. After a failure, the next erasure or the next start does
    /// it. Call on the sealer's thread.
    ///
    /// - Parameter hasErased: false if the erasure was refused before it erased anything.
    func finishErasing(_ conversations: [ConversationID], hasErased: Bool = true) {
        guard !isFailed else { return }
        erasureRemains.signal { $0 = nil }
        do {
            if isShared { return try sweep(conversations) }
            try emptyWriteAheadLog()
            try wipeRetired()
            for id in conversations { try wipeQuarantine(of: id) }
            try emptyWriteAheadLog()
            // They may hold what nothing else has of other conversations, so whoever knows that they don't removes them.
            if hasErased, let path = try Quarantine(root: directory, disk: disk).databases().first {
                reportRemains("'\(path)', which was set aside, may hold an erased text; remove it when nobody needs it")
            }
            // Damage has left it behind. The repair moves it to the quarantine, which the next erasure removes.
            if hasErased, let path = try conversations.lazy.compactMap(unknownFile).first {
                reportRemains(
                    "'\(path)', which the index does not know, may hold an erased text; run 'natterd fsck --repair', and erase again"
                )
            }
        } catch {
            // Nothing was erased: it was a look for what may be left, and the next one finds it.
            let failure = StoreError(error)
            if isShared, conversations.isEmpty, failure.isOfDatabase || failure == .busy { return }
            if hasErased {
                reportRemains(
                    failure == .outcomeUnknown
                        ? "an erased text is not gone from all files yet; the next start removes it"
                        : "an erased text is not gone from all files yet; the next start removes it: \(failure.cause)")
            }
            stopIfDiskFailed(error)
        }
    }

    /// A log file of the conversation that is neither recorded nor about to go.
    private func unknownFile(of id: ConversationID) throws -> String? {
        let path = Segment.directory(of: id)
        guard try disk.information(directory + "/" + path) != nil else { return nil }
        return try withReader { reader in
            try disk.list(directory + "/" + path).map { path + "/" + $0 }.first {
                try !RetiredFiles.isRecorded($0, on: reader.connection) && !RetiredFiles.has($0, on: reader.connection)
            }
        }
    }

    /// A reader can be in the way for a moment, and a backup for long. Nobody's message waits for it.
    func emptyWriteAheadLog() throws {
        for _ in 0..<20 {
            try upkeep { try $0.engine.emptyWriteAheadLog() }
            if (try disk.information(Store.databasePath(directory) + "-wal")?.size ?? 0) == 0 { return }
            sealer.pause(milliseconds: 200)
        }
        reportRemains("a reader keeps the write-ahead log; an erased text may stay in it until the next checkpoint")
    }

    private func reportRemains(_ remains: Phrase) {
        let isKnown = erasureRemains.signal { last in
            defer { last = remains }
            return last == remains
        }
        if !isKnown { report(remains) }
    }

    /// Removes what recovery and repair have set aside of a conversation.
    private func wipeQuarantine(of id: ConversationID) throws {
        for path in try Quarantine(root: directory, disk: disk).wipe(id) {
            report("removed '\(path)', which may hold an erased text")
        }
    }

    /// Removes what erased and dropped messages have left where several servers share the store. Files that one of them still
    /// reads go later: each server sweeps after it has read of an erasure, and regularly.
    private func sweep(_ conversations: [ConversationID]) throws {
        if let failure = sealer.trim(self) { throw failure }
        try engine.sweep(conversations)
        if !conversations.isEmpty { try search.purge(self) }
        try upkeep { try $0.engine.emptyWriteAheadLog() }
    }

    /// Overwrites and removes the files that erasures have replaced, unless a backup or a check reads them. Call on the sealer's
    /// thread.
    func wipeRetired() throws {
        if isShared { return }
        let paths = try withReader { try RetiredFiles.all(on: $0.connection) }
        guard copies.withLock({ $0 == 0 }) else {
            if !paths.isEmpty { reportRemains(Store.neededByCopies) }
            return
        }
        // The index needs room for its purge. These files give some back.
        for path in paths where !StoreSearch.files.contains(path) {
            try RetiredFiles(directory: directory, disk: disk).wipe(path)
        }
        if paths.contains(StoreSearch.files[0]) { try search.purge(self) }
        try upkeep { core in
            try core.engine.changeFiles { for path in paths { try RetiredFiles.delete(path, on: $0) } }
        }
    }

    private static let neededByCopies: Phrase =
        "an erased text may stay in files that a backup or a check still reads; they go when it ends"

    /// Runs `body`, which reads log files as the index names them at one moment. Erasures leave files in place until it ends.
    func copying<Result>(_ body: () throws -> Result) rethrows -> Result {
        copies.signal { $0 += 1 }
        defer {
            copies.signal { $0 -= 1 }
            _ = sealer.submit { [self] _ in
                do {
                    try wipeRetired()
                    let isLast = copies.withLock { $0 == 0 }
                    erasureRemains.signal { if isLast, $0 == Store.neededByCopies { $0 = nil } }
                } catch {
                    report("an erased text is not gone from all files yet: \(StoreError(error).cause)")
                }
            }
        }
        return try body()
    }
}

/// For whom erased texts do not count as unread. Their records do not name their authors any more, but the counts of a user's
/// own texts still have them.
enum ErasedTexts {
    /// How many of these messages are erased texts of each user.
    static func counts(
        _ seqs: ClosedRange<Seq>, in conversation: Int64, _ connection: Connection
    ) throws(SQLiteError) -> [String: Int] {
        let rows = try connection.statement(
            """
            SELECT account.name,count(*) FROM erasure JOIN account ON account.number=erasure.author
            WHERE conversation=? AND seq>=? AND seq<=? GROUP BY account.name
            """)
        try rows.bind(conversation, seqs.lowerBound.rawValue, seqs.upperBound.rawValue)
        var counts: [String: Int] = [:]
        while try rows.step() { counts[rows.text(0)] = rows.int(1) }
        return counts
    }

    /// Whether a message is recorded as erased.
    static func has(_ seq: Seq, in conversation: Int64, _ connection: Connection) throws(SQLiteError) -> Bool {
        try connection.hasRow("SELECT 1 FROM erasure WHERE conversation=? AND seq=?", conversation, seq.rawValue)
    }

    /// The author of an erased text as the table `relation` records it; nil if it counts for everyone.
    static func author(
        of seq: Seq, in conversation: Int64, _ connection: Connection
    ) throws(SQLiteError) -> String? {
        try connection.row("SELECT author FROM erasure WHERE conversation=? AND seq=?", conversation, seq.rawValue) {
            $0.optionalInt64(0).map { "#\($0)" }
        } ?? nil
    }
}
