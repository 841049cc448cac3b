internal import NatterConversation
internal import NatterModel
internal import NatterSQLite
internal import NatterSystem

/// When deleted messages, texts that an edit has replaced, and old files are erased.
struct ErasureSchedule: Sendable {
    /// nil for never.
    var delayMilliseconds: Int64?
    /// How old a file may become; nil for any age.
    var fileMilliseconds: Int64?
    /// When there is another look for what is due, in milliseconds of the monotonic clock.
    var next: Int64 = 0
    var isRunning = false
}

/// Deletions and edits up to one time are due, and files that were uploaded up to the other.
private struct DueTimes {
    let changes: Timestamp
    let files: Timestamp
}

extension Store {
    /// How often there is a look for what is due. The search index is made again afterwards, so not for each message.
    private static let dueMilliseconds: Int64 = 3_600_000
    /// The most messages that one step erases, all in one segment, which it writes again. Sealing goes on between two steps.
    private static let dueMessages = 1_000
    /// For how many times its own time a step rests, so that acknowledgements wait for neither processor nor disk.
    private static let restFactor: Int64 = 4

    /// - Parameter days: how many days after a deletion, or an edit, the text is erased; 0 for as soon as possible, nil for never.
    public func eraseDeleted(after days: Int?) {
        schedule.withLock { $0.delayMilliseconds = days.map { Int64($0) * 86_400_000 } }
    }

    /// - Parameter days: how old a file may become before it is erased from its message; nil for any age.
    public func eraseFiles(after days: Int?) {
        schedule.withLock { $0.fileMilliseconds = days.map { Int64($0) * 86_400_000 } }
    }

    /// Erases what is due, in the background, and removes what erasures on other servers have left. Call it about once a minute.
    public func eraseDue() {
        if isShared { sealer.requestSweep() }
        let times = schedule.withLock { schedule -> DueTimes? in
            let now = MonotonicClock.now()
            guard schedule.delayMilliseconds != nil || schedule.fileMilliseconds != nil, !schedule.isRunning,
                now >= schedule.next || schedule.delayMilliseconds == 0
            else { return nil }
            schedule.isRunning = true
            schedule.next = now + Store.dueMilliseconds
            func time(_ age: Int64?) -> Timestamp {
                age.map { clock.now().advanced(milliseconds: -$0) } ?? Timestamp(milliseconds: .min)
            }
            return DueTimes(changes: time(schedule.delayMilliseconds), files: time(schedule.fileMilliseconds))
        }
        guard let times, !isFailed else { return }
        let isTaken = sealer.submit { [self] _ in
            do {
                let files = try withReader { try FileRows.conversations(before: times.files, on: $0.connection) }
                let numbers = Set(try conversationsDue(at: times.changes)).union(files).sorted()
                eraseDue(before: times, in: numbers[...], erased: [])
            } catch {
                report("can't look for deleted messages and old files that are to be erased: \(StoreError(error))")
                stopIfDiskFailed(error)
                schedule.signal { $0.isRunning = false }
            }
        }
        if !isTaken { schedule.signal { $0.isRunning = false } }
    }

    /// The conversations in which something may be due. The first time these are all with an edit or a deletion. Afterwards
    /// each of them is known with the time of what is next in it.
    private func conversationsDue(at cutoff: Timestamp) throws -> [Int64] {
        let known = state.withLock { state -> [Int64: Timestamp]? in
            defer { if state.pendingErasures == nil { state.pendingErasures = [:] } }
            return state.pendingErasures
        }
        if let known { return known.filter { $0.value <= cutoff }.keys.sorted() }
        do {
            return try withReader { try RelationRows.changedConversations(on: $0.connection) }
        } catch {
            state.withLock { $0.pendingErasures = nil }
            throw error
        }
    }

    /// Erases what is due in the first of these conversations, then in the others, each as an errand of its own after a rest.
    private func eraseDue(
        before times: DueTimes, in numbers: ArraySlice<Int64>, erased: [ConversationID], rest milliseconds: Int64 = 0
    ) {
        let isTaken = sealer.submit(after: milliseconds) { [self] writer in
            let began = MonotonicClock.now()
            var (rest, erased) = (numbers, erased)
            while let number = rest.first {
                rest = rest.dropFirst()
                guard let identity = state.withLock({ $0.conversations[number]?.identity }) else { continue }
                // Edits and deletions from now on are noted again.
                state.withLock { _ = $0.pendingErasures?.removeValue(forKey: number) }
                do {
                    let (changed, next) = try withReader {
                        try Store.due(before: times.changes, in: number, on: $0.connection)
                    }
                    let due = try changed.union(
                        withReader {
                            try FileRows.seqs(
                                before: times.files, in: number, limit: Store.dueMessages, on: $0.connection)
                        })
                    if let next { state.withLock { $0.notePendingErasure(in: number, since: next) } }
                    if due.isEmpty { continue }
                    let step = try withReader { try Store.inOneSegment(due, of: number, on: $0.connection) }
                    let count = try Eraser(store: self, writer: writer, identity: identity).erase(step)
                    erased.append(identity.id)
                    let isWhole = step.count == due.count && due.count < Store.dueMessages
                    if !isWhole { state.withLock { $0.notePendingErasure(in: number, since: times.changes) } }
                    return eraseDue(
                        before: times, in: isWhole || count == 0 ? rest : numbers, erased: erased,
                        rest: (MonotonicClock.now() - began) * Store.restFactor)
                } catch StoreError.stoppedErasing {
                    // The next start finds what is due.
                    break
                } catch {
                    erased.append(identity.id)
                    state.withLock { $0.notePendingErasure(in: number, since: times.changes) }
                    report(
                        "deleted messages or old files of conversation \(identity.id) can't be erased: \(StoreError(error))"
                    )
                    stopIfDiskFailed(error)
                }
            }
            if !erased.isEmpty { finishErasing(erased) }
            schedule.signal { $0.isRunning = false }
        }
        if !isTaken { schedule.signal { $0.isRunning = false } }
    }

    /// Messages that were deleted, their edits and files, and texts that an edit has replaced, if that was before a time, the first ones
    /// first; and when the next of them was deleted or replaced. The newest text of a message that is not deleted is never due.
    /// An edit that was erased replaces nothing, because the next older text stands for it.
    private static func due(
        before cutoff: Timestamp, in conversation: Int64, on connection: Connection
    ) throws -> (seqs: Set<Seq>, next: Timestamp?) {
        let rows = try connection.statement(
            """
            WITH change AS (
                SELECT about, kind, seq, time FROM relation WHERE conversation=?1 AND kind >= 2 AND kind <= 3
                AND (kind=3 OR seq NOT IN (SELECT seq FROM erasure WHERE conversation=?1))
            ), gone AS (
                SELECT about AS seq, time FROM change
                UNION ALL SELECT edit.seq, later.time FROM change AS edit JOIN change AS later ON later.about=edit.about
                WHERE edit.kind=2 AND (later.kind=3 OR later.seq>edit.seq)
                UNION ALL SELECT file.seq, change.time FROM relation AS file JOIN change ON change.about=file.about
                WHERE file.conversation=?1 AND file.kind=4 AND change.kind=3
            )
            SELECT seq, min(time) AS since FROM gone WHERE seq NOT IN (SELECT seq FROM erasure WHERE conversation=?1)
            AND seq >= (SELECT first_seq FROM conversation WHERE number=?1)
            GROUP BY seq ORDER BY since LIMIT ?2
            """)
        try rows.bind(conversation, dueMessages + 1)
        var seqs: Set<Seq> = []
        while try rows.step() {
            let since = Timestamp(milliseconds: rows.int64(1))
            guard since <= cutoff, seqs.count < dueMessages else { return (seqs, since) }
            seqs.insert(Seq(rows.uint64(0)))
        }
        return (seqs, nil)
    }

    /// Those of `seqs` that lie in the same segment as the lowest.
    private static func inOneSegment(
        _ seqs: Set<Seq>, of conversation: Int64, on connection: Connection
    ) throws(SQLiteError) -> Set<Seq> {
        guard let lowest = seqs.min(),
            let next = try ArchiveRows.segments(of: conversation, on: connection).first(where: { $0.firstSeq > lowest })
        else { return seqs }
        return seqs.filter { $0 < next.firstSeq }
    }

    /// Waits until nothing is being erased in the background.
    package func waitForErasures() { _ = schedule.wait { $0.isRunning ? nil : true } }
}
