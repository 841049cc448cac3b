internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// Sends the messages that wait in an outbox, in order and each once.
///
/// Only one process delivers at a time. An entry is removed after the server has its message. If the outcome is
/// unknown, the next delivery sends the message again with the same id, which does not add it twice.
public struct OutboxDelivery {
    /// The result of a delivery.
    public struct Report: Sendable {
        public var sentCount = 0
        /// Entries that the server refused and that are now parked, with the reason.
        public var refused: [(entry: OutboxEntry, refusal: RequestError.Refusal)] = []
        /// Why the remaining entries still wait.
        public var interruption: RequestError?
        /// Whether the server may have some of those that it did not confirm.
        public var mayHaveArrived = false
        /// Whether another process is delivering, and messages still wait.
        public var isElsewhere = false
    }

    /// The largest file that is sent where there is a time for everything. `natter sync` sends the others.
    private static let quickBytes: UInt64 = 1 << 20

    private let outbox: Outbox
    private let api: ServerAPI
    private let clock = SystemClock()

    /// - Parameter api: has the token of the outbox's account.
    public init(_ outbox: Outbox, api: ServerAPI) { (self.outbox, self.api) = (outbox, api) }

    /// Sends until nothing waits or the time is up.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: the longest time without progress.
    ///   - retryMilliseconds: for how long after the last progress a request is repeated.
    ///   - deadlineMilliseconds: the time for everything; nil for no limit.
    ///   - lockMilliseconds: how long to wait for another process that delivers.
    ///   - onUpload: gets each file and how far it was sent.
    ///   - onSent: gets each entry that was sent, and the answer.
    public func run(
        timeoutMilliseconds: Int, retryMilliseconds: Int = .max, deadlineMilliseconds: Int? = nil,
        lockMilliseconds: Int = 0, onUpload: ((OutgoingFile, UInt64) -> Void)? = nil,
        onSent: @escaping (OutboxEntry, SentMessage) -> Void = { _, _ in }
    ) throws(OutboxError) -> Report {
        var report = Report()
        guard try outbox.hasWaiting() else { return report }
        guard let lock = try outbox.lockDelivery(timeoutMilliseconds: lockMilliseconds) else {
            report.isElsewhere = try outbox.hasWaiting()
            return report
        }
        defer { withExtendedLifetime(lock) {} }
        // It is not what the command was asked for.
        let onChange = api.onChange
        api.onChange = nil
        defer { api.onChange = onChange }
        let deadline = deadlineMilliseconds.map { MonotonicClock.now() + Int64($0) } ?? .max
        let sender = MessageSender(
            api: api, timeoutMilliseconds: timeoutMilliseconds, retryMilliseconds: retryMilliseconds,
            deadlineMilliseconds: deadlineMilliseconds, usesKeptRoom: true, onUpload: onUpload)
        // Before they are sent, so that even a crash leaves no doubt.
        var marked: [Int64] = []
        while report.interruption == nil {
            let entries = try nextEntries()
            // Messages that were not sent in time keep waiting. So does a file for which the time can't suffice.
            if entries.isEmpty || MonotonicClock.now() >= deadline { break }
            if deadlineMilliseconds != nil, let first = entries.first,
                first.files.contains(where: { $0.size > OutboxDelivery.quickBytes })
            {
                break
            }
            let offered = try parkDoubtful(entries, &report)
            let untried = offered.filter { $0.tried == nil }.map(\.number)
            try outbox.set(tried: clock.now(), of: untried)
            marked += untried
            try send(offered, with: sender, onSent, &report)
        }
        if report.interruption != nil, !report.mayHaveArrived { try outbox.set(tried: nil, of: marked) }
        return report
    }

    private func nextEntries() throws(OutboxError) -> [OutboxEntry] {
        var entries: [OutboxEntry] = []
        var bytes = 0
        try outbox.forEach(waitingOnly: true) { entry in
            entries.append(entry)
            bytes += entry.request.text.utf8.count
            return entries.count < MessageBatch.fullCount && bytes < MessageBatch.fullBytes
        }
        return entries
    }

    /// Parks entries that a server may have taken so long ago that it does not know their ids any more. To send them again
    /// could add them twice, so the user decides.
    private func parkDoubtful(
        _ entries: [OutboxEntry], _ report: inout Report
    ) throws(OutboxError) -> [OutboxEntry] {
        let oldest = clock.now().milliseconds - Limits.idRetentionMilliseconds
        var rest: [OutboxEntry] = []
        for entry in entries {
            guard let tried = entry.tried, tried.milliseconds < oldest else {
                rest.append(entry)
                continue
            }
            let refusal = RequestError.Refusal(
                .outcomeUnknown, "it was sent on \(tried.rfc3339) without an answer, and may be there already")
            try outbox.settle(sent: [], refused: (entry.number, refusal))
            report.refused.append((entry: entry, refusal: refusal))
        }
        return rest
    }

    /// Marks messages as read. If the server refuses that, as in a conversation that is gone, there is nothing left to mark.
    private func send(mark entry: OutboxEntry, _ report: inout Report) throws(OutboxError) {
        let (name, id) = (entry.request.conversation, entry.request.conversationID)
        do throws(RequestError) {
            _ = try api.markRead(name, id: id, upTo: Seq(entry.request.about ?? 0))
        } catch {
            guard case .refused(let refusal) = error, [400, 403, 404, 422].contains(refusal.status) else {
                return report.interruption = error
            }
        }
        try outbox.settle(sent: [entry.number], refused: nil)
    }

    /// Sends some entries up to the first that is refused or a mark, and records the outcome, even after an error.
    private func send(
        _ entries: [OutboxEntry], with sender: MessageSender,
        _ onSent: @escaping (OutboxEntry, SentMessage) -> Void, _ report: inout Report
    ) throws(OutboxError) {
        if let first = entries.first, first.isMark { return try send(mark: first, &report) }
        var batch = MessageBatch()
        for entry in entries.prefix(while: { !$0.isMark }) where !batch.isFull {
            // One with files is sent alone.
            guard batch.isEmpty || entry.files.isEmpty && batch.firstFiles.isEmpty else { break }
            var request = entry.request
            // The server keeps it if the message waited for long.
            request.written = entry.queued.milliseconds
            do throws(DiskError) {
                let files = try entry.files.map { file throws(DiskError) in try file.outgoing(on: outbox.disk) }
                batch.append(request, files: files, number: entry.number)
            } catch {
                let refusal = RequestError.Refusal(
                    status: ErrorCode.gone.status, code: "cannot_read", phrase: "its file cannot be read: \(error)")
                try outbox.settle(sent: [], refused: (entry.number, refusal))
                return report.refused.append((entry, refusal))
            }
        }
        let offered = entries.prefix(batch.count)
        var unanswered = offered
        var refusal: RequestError.Refusal?
        var failure: (any Error)?
        do {
            refusal = try sender.send(&batch) { message in
                if let entry = unanswered.popFirst() { onSent(entry, message) }
            }
        } catch {
            failure = error
        }
        report.mayHaveArrived = report.mayHaveArrived || sender.mayHaveArrived
        let sent = offered.dropLast(batch.count)
        let refused = refusal.flatMap { refusal in offered.dropFirst(sent.count).first.map { ($0, refusal) } }
        // A crash or an error before this is harmless, because the same ids are sent again.
        try outbox.settle(sent: sent.map(\.number), refused: refused.map { ($0.0.number, $0.1) })
        report.sentCount += sent.count
        if let refused { report.refused.append((entry: refused.0, refusal: refused.1)) }
        guard let failure else { return }
        guard let error = failure as? RequestError else { throw OutboxError(failure) }
        report.interruption = error
    }
}
