public import NatterModel
internal import NatterSystem
internal import NatterConversation
internal import NatterSQLite
internal import NatterLog

extension Store {
    /// The approximate size of a message as a JSON object, without its text.
    private static let objectBytes = 260
    /// At least the size of a conversation as a JSON object, and what its steps take in memory.
    private static let namedBytes = 1_024

    /// Begins to plan an answer of sync. ``SyncPlan/next()`` goes on.
    public func planSync(
        since position: SyncPosition, earliest: Timestamp? = nil, for principal: Principal, form: SyncAnswer.Form,
        limitBytes: Int
    ) throws(StoreError) -> SyncPlan {
        var extent = try extent(position, principal)
        // A reader that wants only recent messages gets its first answer whole: the next one could not tell that it is not its first.
        if earliest == nil, let last = try lastChange(of: extent, for: principal) {
            extent = try self.extent(position, upTo: last, principal)
        }
        return SyncPlan(self, extent, earliest: earliest, for: principal, form: form, limitBytes: limitBytes)
    }

    /// The changes of an account before what is new in conversations. A conversation that is in both is named once.
    fileprivate static func named(_ changes: [SyncAnswer.Step], _ steps: [SyncAnswer.Step]) -> [SyncAnswer.Step] {
        guard !changes.isEmpty else { return steps }
        var known: Set<ConversationID> = []
        func isNew(_ step: SyncAnswer.Step) -> Bool {
            guard case .conversation(let snapshot, _) = step else { return true }
            return known.insert(snapshot.identity.id).inserted
        }
        for step in steps { _ = isNew(step) }
        return changes.reversed().filter(isNew).reversed() + steps
    }

    /// The extent of an answer, as far as memory knows it.
    fileprivate struct Extent {
        /// The commit up to which the reader has all, apart from the part of an earlier answer that this one continues.
        let from: Commit
        let continuation: StoreCursor.Continuation?
        /// The cursor after the whole answer.
        let cursor: StoreCursor
        /// The store's commit.
        let commit: Commit
        /// The numbers of conversations with news, in the order of their ids.
        var conversations: [Int64] = []
        /// Whether the table `change` may have rows for this account. Only the first answer has them, not those that
        /// continue it.
        let hasChanges: Bool

        /// Whether the reader joined a conversation after the cursor; nil if the answer has nothing of it.
        func joinedAfter(_ conversation: ConversationState, _ account: AccountID) -> Bool? {
            let since = conversation.members[account.rawValue]?.since ?? .zero
            // The account joined after the target, so the next sync brings the whole conversation.
            if since > cursor.commit { return nil }
            let joinedAfter = since > from
            guard
                max(conversation.lastCommit, conversation.erasedCommit) > from || conversation.firstCommit > from
                    || joinedAfter,
                conversation.head > .zero || joinedAfter
            else {
                return nil
            }
            if let continuation, conversation.identity.id < continuation.conversation { return nil }
            return joinedAfter
        }
    }

    /// How many changes of an account one answer has at most, and those of the same commit as the last.
    private static let changeLimit = 10_000

    /// The commit at which an answer must end because there are too many changes of the account; nil if there are not.
    private func lastChange(of extent: Extent, for principal: Principal) throws(StoreError) -> Commit? {
        guard extent.hasChanges else { return nil }
        return try reading { reader in
            try reader.connection.row(
                """
                SELECT commit_number FROM change
                WHERE account=? AND commit_number>? AND commit_number<? ORDER BY commit_number LIMIT 1 OFFSET ?
                """, principal.account.rawValue, extent.from.rawValue, extent.cursor.commit.rawValue,
                Store.changeLimit - 1
            ) { Commit(rawValue: $0.uint64(0)) }
        }
    }

    /// The steps for one account's changes other than messages.
    fileprivate func changes(
        after from: Commit, upTo target: Commit, of principal: Principal, _ connection: Connection
    ) throws -> [SyncAnswer.Step] {
        let account = principal.account
        let rows = try connection.rows(
            """
            SELECT conversation,kind,data FROM change
            WHERE account=? AND commit_number>? AND commit_number<=? ORDER BY commit_number
            """, account.rawValue, from.rawValue, target.rawValue
        ) { (conversation: $0.int64(0), kind: ChangeKind(rawValue: $0.int(1)), data: $0.text(2)) }
        return lookUp(rows) { state, row -> SyncAnswer.Step? in
            if row.kind == .contacts { return principal.scope == .all ? .contacts : nil }
            guard let conversation = state.conversations[row.conversation] else { return nil }
            // A token for one conversation must not learn anything about others, not even that they are gone.
            guard principal.scope.covers(.read, in: conversation.identity.id) else { return nil }
            let sees = Authority.sees(principal, conversation)
            switch row.kind {
            case .read where sees:
                guard state.accounts[account]?.reads[row.conversation] != nil else { return nil }
                let snapshot = state.snapshot(of: conversation, for: account)
                return .read(
                    name: state.displayName(of: conversation, for: account), id: conversation.identity.id,
                    snapshot.mark.seq, unread: snapshot.unread)
            case .gone where !sees:
                // The reason, and the conversation's name at that time.
                let words = row.data.split(separator: " ", maxSplits: 1).map(String.init)
                guard let reason = words.first else { return nil }
                return .gone(
                    name: words.count == 2 ? words[1] : conversation.name, id: conversation.identity.id,
                    reason: reason)
            case .conversation where sees:
                return .conversation(state.snapshot(of: conversation, for: account), first: conversation.first)
            default: return nil
            }
        }
    }

    /// - Parameter limit: the last commit of which the answer may tell.
    private func extent(
        _ position: SyncPosition, upTo limit: Commit? = nil, _ principal: Principal
    ) throws(StoreError) -> Extent {
        try state.withLock { state throws(StoreError) in try extent(position, upTo: limit, principal, state) }
    }

    private func extent(
        _ position: SyncPosition, upTo limit: Commit?, _ principal: Principal, _ state: StoreState
    ) throws(StoreError) -> Extent {
        let commit = state.commit
        func epoch(_ commit: Commit) -> Epoch { state.epoch(of: commit) ?? Epoch(rawValue: 0) }
        var from = Commit.zero
        var target = limit ?? commit
        var continuation: StoreCursor.Continuation?
        switch position {
        case .start: break
        case .now: from = commit
        case .cursor(let cursor):
            guard cursor.isOf(id) else { throw .badCursor("the cursor is of another store") }
            // A continuation names the epoch of its target. If that epoch matches, so does all history before it.
            let last = cursor.continuation?.target ?? cursor.commit
            guard cursor.commit <= last, last <= commit, epoch(last) == cursor.epoch else {
                throw .cursorExpired(
                    "the cursor is ahead of the server, or of a history that it no longer has; compare the head and hash of each conversation with yours, and sync without a cursor"
                )
            }
            from = cursor.commit
            continuation = cursor.continuation
            if let continuation { target = continuation.target }
        }
        let end = StoreCursor(store: id, epoch: epoch(target), commit: target)
        let lastChange = state.accounts[principal.account]?.lastChange ?? .zero
        let hasChanges = lastChange > from && continuation == nil
        var extent = Extent(
            from: from, continuation: continuation, cursor: end, commit: commit, hasChanges: hasChanges)
        extent.conversations = state.visible(to: principal, after: from)
            .filter { extent.joinedAfter($0, principal.account) != nil }
            .map(\.identity).sorted { $0.id < $1.id }.map(\.number)
        return extent
    }

    /// Plans one conversation from the reader's position to the target commit, as far as there is room.
    fileprivate struct Walk {
        let reader: LogReader
        let snapshot: Snapshot
        let form: SyncAnswer.Form
        var room: Int
        let from: Commit
        let target: Commit
        /// The last seq of an earlier answer that this one continues.
        let start: Seq?
        /// The time from which a reader without any of the conversation wants it; nil for all of it.
        let earliest: Timestamp?
        var steps: [SyncAnswer.Step] = []

        init(
            archive: ArchiveReader, snapshot: Snapshot, form: SyncAnswer.Form, room: Int, from: Commit,
            target: Commit, start: Seq?, earliest: Timestamp?
        ) {
            reader = snapshot.reader(archive)
            (self.snapshot, self.form, self.room) = (snapshot, form, room)
            (self.from, self.target, self.start) = (from, target, start)
            self.earliest = from == .zero ? earliest : nil
        }

        /// - Returns: the last seq that fits, if not all do.
        mutating func run() throws -> Seq? {
            // Only now, so that each answer has something of the first conversation.
            defer { if !steps.isEmpty { room -= Store.namedBytes } }
            // Erasures come first. A continuation at a seq that the reader had before continues them.
            let hasErasures = snapshot.erasedCommit > from && earliest == nil
            let known = start == nil || hasErasures ? try lastSeq(upTo: from) : .zero
            // A reader may hold dropped messages from an answer whose end it did not get, or from before its cursor expired. So
            // even the first answer tells of them.
            let reach = max(known, snapshot.tail.first.previous)
            if hasErasures, start ?? .zero < reach, let reached = try takeErasures(after: start ?? .zero, upTo: reach) {
                return reached
            }
            // All answers of one sync have the same begin, or the reader would take earlier messages for dropped.
            let begin = max(snapshot.tail.first, try earliest.map { try firstSeq(from: $0) } ?? .zero)
            let first = max(max(start ?? .zero, known).next, begin)
            let last = try lastSeq(upTo: target)
            // A reader that wants only recent messages still learns of conversations without new ones. All learn what is not
            // kept any more.
            let isBegun = start.map { $0 < last } ?? false
            let isNamed = !isBegun && (earliest != nil || snapshot.firstCommit > from)
            guard first <= last || isNamed else { return nil }
            if room <= 0 { return first.previous }
            if steps.isEmpty {
                steps.append(.conversation(snapshot, first: begin))
            }
            var seq = first
            while seq <= last {
                if room <= 0 { return seq.previous }
                seq = try append(from: seq, through: last).next
            }
            return nil
        }

        /// The most seqs of one line.
        private static let erasedSeqs = 1_000

        /// Takes the erasures of messages that the reader may have.
        ///
        /// - Returns: the last seq that fits, if not all do.
        private mutating func takeErasures(after start: Seq, upTo reach: Seq) throws -> Seq? {
            var next = start
            while next < reach {
                // Dropped messages are in no block.
                let isDropped = next.next < snapshot.tail.first
                let end = isDropped ? min(reach, snapshot.tail.first.previous) : reach
                // Takes only the first one of a block. The block comes whole, with all others in it.
                let limit = form == .blocks && !isDropped ? 1 : Walk.erasedSeqs
                let seqs = try erased(after: next, upTo: end, limit: limit)
                guard let last = seqs.last else {
                    next = end
                    continue
                }
                if room <= 0 { return next }
                if steps.isEmpty { steps.append(.conversation(snapshot, first: snapshot.tail.first)) }
                if form == .blocks, !isDropped, case .block(let row) = try reader.place(of: last) {
                    steps.append(.sealed(row))
                    room -= row.length
                    next = min(row.lastSeq, reach)
                } else {
                    steps.append(.erased(seqs))
                    room -= Store.objectBytes + seqs.count * 8
                    next = last
                }
            }
            return nil
        }

        private func erased(after start: Seq, upTo last: Seq, limit: Int) throws -> [Seq] {
            try reader.archive.connection.rows(
                """
                SELECT seq FROM erasure
                WHERE conversation=? AND commit_number>? AND commit_number<=? AND seq>? AND seq<=?
                ORDER BY seq LIMIT ?
                """, snapshot.identity.number, from.rawValue, target.rawValue, start.rawValue, last.rawValue, limit
            ) { Seq($0.uint64(0)) }
        }

        /// Takes the run at `seq`. A block is taken whole if the reader needs all of it.
        ///
        /// - Returns: the last seq that was taken.
        private mutating func append(from seq: Seq, through last: Seq) throws -> Seq {
            do {
                let place = try reader.place(of: seq)
                if case .block(let row) = place, row.firstSeq == seq, row.lastSeq <= last {
                    steps.append(.sealed(row))
                    // The length of the texts is known only after the block is decompressed. Some grow to 200 times
                    // their size.
                    room -=
                        form == .messages
                        ? max(row.length * 2, Block.targetRawBytes) + row.count * Store.objectBytes : row.length
                    return row.lastSeq
                }
                guard let block = try reader.open(place) else {
                    guard case .missing(let seqs) = place else { throw StoreError.failed("a block is short") }
                    return damaged(seq, min(seqs.upperBound, last))
                }
                let records = block.records
                guard let lower = records.index(of: seq) else { throw StoreError.failed("a block is short") }
                var end = (records.index(of: last) ?? records.count - 1) + 1
                // While the sealer is behind, a tail may be larger than an answer, so it is divided into several
                // steps.
                if case .tail = place {
                    end = min(end, lower + records.blockCount(from: lower))
                }
                steps.append(.records(block, lower..<end))
                room -= records.textBytes + (end - lower) * (form == .messages ? Store.objectBytes : 8)
                return records.firstSeq.advanced(by: end - 1)
            } catch {
                guard let withheld = ArchiveError(error).withheld else { throw error }
                return damaged(max(withheld.from, seq), min(withheld.to, last))
            }
        }

        private mutating func damaged(_ from: Seq, _ to: Seq) -> Seq {
            steps.append(.damaged(from: from, to: to))
            return to
        }

        /// The seq from which all messages since a time are sent. It is the first of a block, because sealed blocks
        /// are sent whole.
        private func firstSeq(from earliest: Timestamp) throws -> Seq {
            let conversation = snapshot.identity.number
            if let row = try ArchiveRows.firstBlock(
                from: earliest, of: conversation, on: reader.archive.connection)
            {
                return row.firstSeq
            }
            for records in snapshot.tail.parts.blocks.map(\.records) {
                if let index = (0..<records.count).first(where: { records.time(at: $0) >= earliest }) {
                    return records.firstSeq.advanced(by: index)
                }
            }
            return snapshot.tail.head.next
        }

        /// The highest seq of all commits up to and including this one.
        private func lastSeq(upTo commit: Commit) throws -> Seq {
            let tail = snapshot.tail
            if commit == .zero { return .zero }
            if let newest = tail.parts.lastCommit, newest <= commit { return tail.head }
            let inTail = tail.parts.count(upTo: commit)
            if inTail > 0 { return tail.sealedSeq.advanced(by: inTail) }
            // This is true even if the last sealed messages are lost and no block contains their commit.
            if tail.sealedCommit <= commit { return tail.sealedSeq }
            let row = try ArchiveRows.lastBlock(
                upTo: commit, of: snapshot.identity.number, on: reader.archive.connection)
            let whole = row?.lastSeq ?? tail.first.previous
            guard whole < tail.sealedSeq else { return tail.sealedSeq }
            // The seq is inside the next block, or that block is damaged.
            let block: OpenBlock
            do throws(ArchiveError) { block = try reader.storedBlock(containing: whole.next) } catch {
                if error.withheld != nil { return whole }
                throw error
            }
            return whole.advanced(by: block.records.count(upTo: commit))
        }
    }
}

/// The plan of one answer of sync. It is made in steps, so that a reader of thousands of conversations holds no thread for
/// long. The answer ends at the commit at which the plan began, whatever happens meanwhile.
public final class SyncPlan: @unchecked Sendable {
    // Unchecked: it moves between threads, but only one thread at a time calls `next`.

    /// How many conversations a step looks at.
    private static let stepCount = 128

    private let store: Store
    private let extent: Store.Extent
    private let earliest: Timestamp?
    private let principal: Principal
    private let form: SyncAnswer.Form
    private var room: Int
    private var rest: ArraySlice<Int64>
    /// The changes of the account; nil until they are read.
    private var changes: [SyncAnswer.Step]?
    private var steps: [SyncAnswer.Step] = []
    /// Whether a conversation has news after the answer's end.
    private var hasLaterNews = false

    fileprivate init(
        _ store: Store, _ extent: Store.Extent, earliest: Timestamp?, for principal: Principal, form: SyncAnswer.Form,
        limitBytes: Int
    ) {
        (self.store, self.extent, self.earliest, self.principal) = (store, extent, earliest, principal)
        (self.form, room, rest) = (form, limitBytes, extent.conversations[...])
        changes = extent.hasChanges ? nil : []
    }

    /// Takes a step.
    ///
    /// - Returns: nil if there are more.
    public func next() throws(StoreError) -> SyncAnswer? {
        guard changes != nil else {
            changes = try store.reading { reader in
                try store.changes(
                    after: extent.from, upTo: extent.cursor.commit, of: principal, reader.connection)
            }
            return rest.isEmpty ? answer() : nil
        }
        // Without a reader, because nearly every request that waits finds nothing at first.
        if rest.isEmpty { return answer() }
        let found = store.lookUp(rest.prefix(SyncPlan.stepCount)) { state, number in
            state.visible(number, to: principal).flatMap { conversation in
                extent.joinedAfter(conversation, principal.account).map { joinedAfter in
                    (
                        snapshot: state.snapshot(of: conversation, for: principal.account), joinedAfter: joinedAfter,
                        lastCommit: conversation.lastCommit
                    )
                }
            }
        }
        rest = rest.dropFirst(SyncPlan.stepCount)
        let end = try store.reading { reader in try walk(found, reader) }
        return end != nil || rest.isEmpty ? answer(continuing: end) : nil
    }

    /// - Returns: where the answer ends, if it has no room for all.
    private func walk(
        _ found: [(snapshot: Store.Snapshot, joinedAfter: Bool, lastCommit: Commit)], _ reader: ArchiveReader
    ) throws -> StoreCursor.Continuation? {
        let target = extent.cursor.commit
        for (snapshot, joinedAfter, lastCommit) in found {
            let id = snapshot.identity.id
            var walk = Store.Walk(
                archive: reader, snapshot: snapshot, form: form, room: room, from: joinedAfter ? .zero : extent.from,
                target: target, start: extent.continuation.flatMap { $0.conversation == id ? $0.seq : nil },
                earliest: earliest)
            let reached = try walk.run()
            steps += walk.steps
            room = walk.room
            if let reached { return StoreCursor.Continuation(target: target, conversation: id, seq: reached) }
            if lastCommit > target { hasLaterNews = true }
        }
        return nil
    }

    private func answer(continuing end: StoreCursor.Continuation? = nil) -> SyncAnswer {
        let cursor =
            end.map { StoreCursor(store: store.id, epoch: extent.cursor.epoch, commit: extent.from, continuation: $0) }
            ?? extent.cursor
        return SyncAnswer(
            store: store, form: form, steps: Store.named(changes ?? [], steps), cursor: cursor,
            more: end != nil || extent.cursor.commit < extent.commit || hasLaterNews, commit: extent.commit)
    }
}
