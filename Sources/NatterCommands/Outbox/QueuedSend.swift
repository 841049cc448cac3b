internal import NatterCommandLine
internal import NatterClient
internal import NatterHTTP
internal import NatterModel
internal import NatterSystem
internal import NatterProtocol

/// `send --queue` of one message. It sends the message after those that already wait, or puts it into the outbox.
struct QueuedSend {
    enum Outcome {
        case sent(SentMessage)
        case queued(OutboxEntry, reason: Phrase)
    }

    /// For how long a message that can also wait is tried again.
    private static let retryMilliseconds = 2_000

    let outbox: Outbox
    /// The API, or nil with `--offline`.
    let api: ServerAPI?
    let context: Context

    func send(_ request: SendRequest, files: [OutgoingFile] = []) throws -> Outcome {
        guard let api else { return .queued(try add(request, files).entry, reason: "--offline was given") }
        var request = request
        if let (own, isNew) = try placeBehindOthers(request, files) {
            if let outcome = try sendBehindOthers(own, isNew: isNew, api) { return outcome }
            // Another command has delivered it. The server knows its id, and answers the same once more.
            if isNew { try outbox.withdraw(own) }
            request = own.request
        }
        let sender = MessageSender(
            api: api, timeoutMilliseconds: try context.timeoutMilliseconds(),
            retryMilliseconds: QueuedSend.retryMilliseconds, onTrying: context.tellTrying,
            onUpload: context.showUploads())
        do throws(MessageSender.Unsent) { return .sent(try sender.send(request, files: files)) } catch {
            guard error.isOutcomeUnknown || error.cause.allowsQueueing else { throw error.cause }
            do throws(OutboxError) {
                // The entry keeps the id of the first attempt, so that the message arrives only once even if that succeeded.
                let entry = try add(request, files, mayHaveArrived: error.isOutcomeUnknown).entry
                return .queued(entry, reason: error.cause.reason)
            } catch let problem {
                guard error.isOutcomeUnknown else { throw problem }
                let reason: Phrase = "\(error.cause.reason), and it could not be queued: \(problem)"
                throw Delivery.unknown(error.cause, isUnread: error.isUnread, request, because: reason)
            }
        }
    }

    /// - Returns: nil if nothing waits, or on a full disk, which may be what the message tells of. Then it comes before them.
    private func placeBehindOthers(
        _ request: SendRequest, _ files: [OutgoingFile]
    ) throws(OutboxError) -> (entry: OutboxEntry, isNew: Bool)? {
        do throws(OutboxError) { return try outbox.hasWaiting() ? add(request, files) : nil } catch {
            guard case .full = error else { throw error }
            context.note("what waits in the outbox comes after this message: \(error)")
            return nil
        }
    }

    private func add(
        _ request: SendRequest, _ files: [OutgoingFile], mayHaveArrived: Bool = false
    ) throws(OutboxError) -> (entry: OutboxEntry, isNew: Bool) {
        let request = NamedGroups(context).identified(request)
        let added = try outbox.add([request], files: files, at: context.now, mayHaveArrived: mayHaveArrived).first
        guard let added else { throw .storage("the outbox did not take the message") }
        context.noteChange()
        return added
    }

    /// Delivers what waits. The message is already there, so that the order stays correct whichever process delivers it.
    ///
    /// - Returns: nil if the message no longer waits, because another command has delivered it.
    private func sendBehindOthers(_ own: OutboxEntry, isNew: Bool, _ api: ServerAPI) throws -> Outcome? {
        let timeout = try context.timeoutMilliseconds()
        var answer: SentMessage?
        var report = try OutboxDelivery(outbox, api: api).run(
            timeoutMilliseconds: timeout, retryMilliseconds: QueuedSend.retryMilliseconds, lockMilliseconds: timeout,
            onUpload: context.showUploads()
        ) { entry, message in
            if entry.number == own.number { answer = message }
        }
        let refusal = report.refused.first { $0.entry.number == own.number }?.refusal
        report.refused.removeAll { $0.entry.number == own.number }
        if answer != nil { report.sentCount -= 1 }
        context.tell(report)
        if let answer { return .sent(answer) }
        if let refusal {
            // The refusal is reported now, so the entry is not needed for a later report.
            if isNew { try outbox.withdraw(own) }
            let error = RequestError.refused(refusal)
            guard report.mayHaveArrived, !refusal.isAboutMessage else { throw error }
            throw Delivery.unknown(error, own.request)
        }
        guard try outbox.waits(own) else { return nil }
        if let error = report.interruption {
            guard error.allowsQueueing || report.mayHaveArrived else {
                // If the message already waited, another command has reported it, and it stays.
                if isNew { try outbox.withdraw(own) }
                throw error
            }
            return .queued(own, reason: error.reason)
        }
        return .queued(own, reason: "another command is delivering what waits before it")
    }
}
